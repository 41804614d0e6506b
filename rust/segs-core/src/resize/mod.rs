//! Resizing: Lanczos for frames, bilinear for masks.

mod bilinear;
mod bytes;
mod columns;
mod lanczos;
mod passes;
mod plan;
mod ring;

pub use bilinear::resize_masks;
pub(crate) use plan::lanczos;

use crate::error::{Error, Result};
use crate::parallel::Interrupted;
use crate::pixel::Pixel;
use crate::view::{Frames, FramesMut, Shape};

/// Resizes every frame to the size of `out` with a Lanczos filter of three lobes, widened when shrinking, which is
/// Pillow's `LANCZOS`. An axis that keeps its size is not filtered.
///
/// Results are limited to the range of a sample, once. Only for bytes the first pass is limited too, and the order of
/// the passes is Pillow's, so that both differ by rounding alone; for floats the cheaper order is chosen.
pub fn resize_frames<T: Pixel>(
    frames: Frames<'_, T>,
    mut out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    if !check("frames", frames.shape(), out.shape())? {
        return Ok(());
    }
    match (frames.as_bytes(), out.as_bytes()) {
        (Some(frames), Some(out)) if bytes::suits(frames.shape(), out.shape()) => {
            bytes::resize(frames, out, interrupted)
        }
        _ => lanczos::resize(frames, out, interrupted),
    }
}

/// Checks what both kernels ask of their sizes. `false` means that there is nothing to write.
fn check(argument: &'static str, from: Shape, to: Shape) -> Result<bool> {
    if (to.frames, to.channels) != (from.frames, from.channels) {
        return Err(Error::shape("out", format!("the frames and channels of {from}"), to.to_string()));
    }
    if !to.is_empty() && from.is_empty() {
        return Err(Error::shape(argument, "at least one pixel", from.to_string()));
    }
    Ok(!to.is_empty())
}

#[cfg(test)]
mod tests {
    /// Samples in `[0, 1)`, a fifth of them 0 and a fifth 1, from a linear congruential generator.
    pub(crate) fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 24) as f32;
            if value < 0.2 {
                0.0
            } else if value > 0.8 {
                1.0
            } else {
                value
            }
        };
        (0..len).map(next).collect()
    }
}
