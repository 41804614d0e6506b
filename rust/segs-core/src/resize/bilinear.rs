//! Bilinear resizing of masks.

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::view::{Frames, FramesMut};

/// Rows of one job.
const BAND_ROWS: usize = 64;

/// The two input samples that an output sample lies between, and the share of the second.
#[derive(Debug, Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// Where each of `to` output samples lies among `from` input samples: the centres of pixels are at half coordinates.
///
/// All in `f32` with one fused multiply-add, as torch computes it: another rounding would move the share by more than
/// the tolerance where the index is large.
fn places(from: usize, to: usize) -> Vec<Between> {
    let scale = from as f32 / to as f32;
    let place = |index: usize| {
        let position = scale.mul_add(index as f32 + 0.5, -0.5).max(0.0);
        let first = (position as usize).min(from - 1);
        Between { first, second: (first + 1).min(from - 1), share: (position - first as f32).clamp(0.0, 1.0) }
    };
    if from == to {
        return (0..to).map(|i| Between { first: i, second: i, share: 0.0 }).collect();
    }
    (0..to).map(place).collect()
}

/// Resizes every mask to the size of `out`: bilinear, half-pixel centres, no antialiasing, which is torch's
/// `interpolate(mode="bilinear", align_corners=False)`.
pub fn resize_masks(masks: Frames<'_, f32>, out: FramesMut<'_, f32>, interrupted: Interrupted<'_>) -> Result<()> {
    let (from, to) = (masks.shape(), out.shape());
    if from.channels != 1 {
        return Err(Error::shape("masks", "one channel", from.channels.to_string()));
    }
    if !super::check("masks", from, to)? {
        return Ok(());
    }
    let (columns, rows) = (places(from.width, to.width), places(from.height, to.height));
    let bytes = (from.len() + to.len()) * size_of::<f32>();
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            let place = rows[band.y + i];
            let (above, below) = (masks.row(band.frame, place.first), masks.row(band.frame, place.second));
            for (value, column) in row.iter_mut().zip(&columns) {
                let between = |line: &[f32]| {
                    let (a, b) = (line[column.first], line[column.second]);
                    (1.0 - column.share) * a + column.share * b
                };
                *value = (1.0 - place.share) * between(above) + place.share * between(below);
            }
        }
    })
}
