//! Feathering of masks: a separable Gaussian.

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::view::{Frames, FramesMut};

/// Standard deviation of the Gaussian in pixels, whatever the feather: Impact Pack's choice.
const SIGMA: f64 = 10.0;

/// Rows of one job.
const BAND_ROWS: usize = 128;

/// Blurs every mask with a Gaussian of `2 * feather + 1` taps whose borders reflect without repeating the edge pixel.
///
/// Where the shorter side of a mask is not longer than that, the kernel shrinks to half the side, made odd; below three
/// taps the mask is copied as it is.
pub fn feather_mask(
    masks: Frames<'_, f32>,
    feather: usize,
    out: FramesMut<'_, f32>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (masks.shape(), out.shape());
    if from.channels != 1 {
        return Err(Error::shape("masks", "one channel", from.channels.to_string()));
    }
    if to != from {
        return Err(Error::shape("out", format!("the shape of the masks, {from}"), to.to_string()));
    }
    if to.is_empty() {
        return Ok(());
    }
    let radius = radius(feather, from.height.min(from.width));
    let weights = half_kernel(radius);
    let width = to.width;
    for_each(out.all_bands(BAND_ROWS), 2 * to.len() * size_of::<f32>(), interrupted, |band| {
        let mut padded = vec![0.0; width + 2 * radius];
        let mut filtered = vec![0.0; (band.rows + 2 * radius) * width];
        for (i, row) in filtered.chunks_exact_mut(width).enumerate() {
            let source = masks.row(band.frame, reflect((band.y + i) as isize - radius as isize, to.height));
            for (x, value) in padded.iter_mut().enumerate() {
                *value = source[reflect(x as isize - radius as isize, width)];
            }
            for (x, value) in row.iter_mut().enumerate() {
                *value = weights[0] * padded[x + radius];
                for (k, weight) in weights.iter().enumerate().skip(1) {
                    *value += weight * (padded[x + radius - k] + padded[x + radius + k]);
                }
            }
        }
        for (i, row) in band.data.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let at = |y: usize| filtered[y * width + x];
                *value = weights[0] * at(i + radius);
                for (k, weight) in weights.iter().enumerate().skip(1) {
                    *value += weight * (at(i + radius - k) + at(i + radius + k));
                }
            }
        }
    })
}

/// Taps on each side of the centre, for masks whose shorter side is `shortest`.
fn radius(feather: usize, shortest: usize) -> usize {
    // The kernel is not shorter than the side: `shortest <= 2 * feather + 1`, without overflow.
    if feather >= shortest / 2 {
        // Half the side, made odd.
        shortest / 2 / 2
    } else {
        feather
    }
}

/// Weights of the centre and of the taps on one side of it; the whole kernel sums to 1.
fn half_kernel(radius: usize) -> Vec<f32> {
    let weight = |k: usize| (-0.5 * (k as f64 / SIGMA).powi(2)).exp();
    let sum: f64 = weight(0) + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|k| (weight(k) / sum) as f32).collect()
}

/// The row or column that stands for `index`, which may lie outside by less than `len`.
fn reflect(index: isize, len: usize) -> usize {
    let index = index.unsigned_abs();
    if index < len { index } else { 2 * (len - 1) - index }
}
