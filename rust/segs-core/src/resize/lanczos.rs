//! Lanczos resizing of frames.

use crate::error::Result;
use crate::parallel::{Interrupted, for_each};
use crate::pixel::Pixel;
use crate::resize::plan::Axis;
use crate::view::{Frames, FramesMut};

/// Rows of one job.
const BAND_ROWS: usize = 64;

/// Resizes every frame to the size of `out` with a Lanczos filter of three lobes, clamped to the range of a sample.
pub fn resize_frames<T: Pixel>(
    frames: Frames<'_, T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (frames.shape(), out.shape());
    if !super::check("frames", from, to)? {
        return Ok(());
    }
    let (horizontal, vertical) = (Axis::new(from.width, to.width), Axis::new(from.height, to.height));
    let bytes = (from.len() + to.len()) * size_of::<T>();
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        let channels = from.channels;
        let mut scratch = vec![0.0; from.row_len()];
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            let y = band.y + i;
            if horizontal.is_identity() && vertical.is_identity() {
                row.copy_from_slice(frames.row(band.frame, y));
                continue;
            }
            if vertical.is_identity() {
                for (value, sample) in scratch.iter_mut().zip(frames.row(band.frame, y)) {
                    *value = sample.to_f32();
                }
            } else {
                scratch.fill(0.0);
                let (start, weights) = vertical.taps(y);
                for (k, weight) in weights.iter().enumerate() {
                    for (sum, sample) in scratch.iter_mut().zip(frames.row(band.frame, start + k)) {
                        *sum += weight * sample.to_f32();
                    }
                }
            }
            if horizontal.is_identity() {
                for (sample, value) in row.iter_mut().zip(&scratch) {
                    *sample = T::from_f32(value.clamp(0.0, T::MAX));
                }
                continue;
            }
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let (start, weights) = horizontal.taps(x);
                let mut sums = [0.0; 4];
                for (input, weight) in scratch[start * channels..].chunks_exact(channels).zip(weights) {
                    for (sum, value) in sums.iter_mut().zip(input) {
                        *sum += weight * value;
                    }
                }
                for (sample, sum) in pixel.iter_mut().zip(sums) {
                    *sample = T::from_f32(sum.clamp(0.0, T::MAX));
                }
            }
        }
    })
}
