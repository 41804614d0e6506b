//! Resizing: Lanczos for frames, bilinear for masks.

mod bilinear;
mod columns;
mod lanczos;
mod passes;
mod plan;

pub use bilinear::resize_masks;
pub use lanczos::resize_frames;

use crate::error::{Error, Result};
use crate::view::Shape;

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
