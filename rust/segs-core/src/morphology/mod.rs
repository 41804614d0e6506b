//! Operations on the shape of masks.

mod combine;
mod components;
mod runs;
mod window;

pub use components::{Component, components, fill_holes};
pub use window::{dilate, erode};

use crate::cpu::multiversion;
use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::view::{Frames, FramesMut, Shape, check_mask};

/// Rows of one job.
const BAND_ROWS: usize = 64;

/// Writes 1 where a mask is above `level`, else 0. NaN is not above anything.
pub fn threshold(
    masks: Frames<'_, f32>,
    level: f32,
    out: FramesMut<'_, u8>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let shape = out.shape();
    check_same(masks.shape(), shape)?;
    let bytes = shape.len() * (size_of::<f32>() + 1);
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        for (i, row) in band.data.chunks_exact_mut(shape.row_len()).enumerate() {
            threshold_row(masks.row(band.frame, band.y + i), level, row);
        }
    })
}

multiversion! {
    fn threshold_row(mask: &[f32], level: f32, out: &mut [u8]) = threshold_row_body;
}

#[inline(always)]
fn threshold_row_body(mask: &[f32], level: f32, out: &mut [u8]) {
    for (o, &m) in out.iter_mut().zip(mask) {
        *o = u8::from(m > level);
    }
}

fn check_same(masks: Shape, out: Shape) -> Result<()> {
    check_mask(masks)?;
    if masks == out { Ok(()) } else { Err(Error::shape("out", masks.to_string(), out.to_string())) }
}

#[cfg(test)]
mod tests;
