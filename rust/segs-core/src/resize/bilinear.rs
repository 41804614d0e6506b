//! Bilinear resizing of masks.

use crate::cpu::multiversion;
use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each_band};
use crate::resize::columns::{Columns, between_columns};
use crate::view::{Band, Frames, FramesMut, check_mask};

/// Rows of a job.
const BAND_ROWS: usize = 64;

/// An output sample lies between the input samples `first` and `first + 1`, by `share` from the first one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) first: usize,
    pub(super) share: f32,
}

/// Torch computes small outputs, by this sum of height and width, in a kernel of its own, and rounds places otherwise.
const SMALL_OUTPUT: usize = 128;

/// Where each of `to` output samples lies among `from` input samples: the centers of pixels are at half coordinates.
///
/// All in `f32`, rounded as torch does: after each operation, or where `fused` once for both. The other way would move the
/// share by more than the tolerance where the index is large.
pub(super) fn places(from: usize, to: usize, fused: bool) -> Vec<Place> {
    let scale = from as f32 / to as f32;
    let place = |index: usize| {
        let center = index as f32 + 0.5;
        let position = if fused { scale.mul_add(center, -0.5) } else { scale * center - 0.5 }.max(0.0);
        let first = (position as usize).min(from - 1);
        Place { first, share: (position - first as f32).clamp(0.0, 1.0) }
    };
    (0..to).map(place).collect()
}

/// Resizes every mask to the size of `out`: bilinear, half-pixel centers, no antialiasing, which is torch's
/// `interpolate(mode="bilinear", align_corners=False)`. Masks that keep their size are copied.
pub fn resize_masks(masks: Frames<'_, f32>, out: FramesMut<'_, f32>, interrupted: Interrupted<'_>) -> Result<()> {
    let (from, to) = (masks.shape(), out.shape());
    check_mask(from)?;
    if !super::check("masks", from, to)? {
        return Ok(());
    }
    if u32::try_from(from.width).is_err() {
        return Err(Error::shape("masks", "fewer than 2^32 columns", from.to_string()));
    }
    let copy = (from.height, from.width) == (to.height, to.width);
    let fused = to.height + to.width <= SMALL_OUTPUT;
    let columns = Columns::new(&places(from.width, to.width, fused));
    let rows = places(from.height, to.height, fused);
    let bytes = (from.len() + to.len()) * size_of::<f32>();
    for_each_band(out, BAND_ROWS, bytes, interrupted, |mut band| {
        if copy {
            for (i, row) in band.data.chunks_exact_mut(to.width).enumerate() {
                row.copy_from_slice(masks.row(band.frame, band.y + i));
            }
        } else {
            resize_band(masks, &columns, &rows, &mut band);
        }
    })
}

/// The input rows around an output row, resized to its width.
struct Line {
    row: Option<usize>,
    values: Vec<f32>,
}

fn resize_band(masks: Frames<'_, f32>, columns: &Columns, rows: &[Place], band: &mut Band<'_, f32>) {
    let from = masks.shape();
    let line = || Line { row: None, values: vec![0.0; columns.len()] };
    let (mut above, mut below) = (line(), line());
    let fill = |line: &mut Line, row: usize| {
        if line.row != Some(row) {
            between_columns(masks.row(band.frame, row), columns, &mut line.values);
            line.row = Some(row);
        }
    };
    for (place, out) in rows[band.y..].iter().zip(band.data.chunks_exact_mut(columns.len())) {
        let (first, second) = (place.first, (place.first + 1).min(from.height - 1));
        if below.row == Some(first) {
            std::mem::swap(&mut above, &mut below);
        }
        fill(&mut above, first);
        if place.share == 0.0 {
            out.copy_from_slice(&above.values);
            continue;
        }
        fill(&mut below, second);
        between_rows(&above.values, &below.values, place.share, out);
    }
}

multiversion! { fn between_rows(above: &[f32], below: &[f32], share: f32, out: &mut [f32]) = between_rows_body; }

#[inline(always)]
fn between_rows_body(above: &[f32], below: &[f32], share: f32, out: &mut [f32]) {
    for (value, (a, b)) in out.iter_mut().zip(above.iter().zip(below)) {
        *value = (1.0 - share) * a + share * b;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parallel::NEVER;
    use crate::view::Shape;

    fn resize(masks: &[f32], from: Shape, to: Shape) -> Vec<f32> {
        let mut out = vec![f32::NAN; to.len()];
        let masks = Frames::new("masks", masks, from).unwrap();
        resize_masks(masks, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
        out
    }

    /// One sample in `f64`, its place too.
    fn expected(mask: &[f32], from: Shape, to: Shape, y: usize, x: usize) -> f64 {
        let place = |index: usize, from: usize, to: usize| {
            let position = ((index as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
            (position as usize, (position as usize + 1).min(from - 1), position.fract())
        };
        let ((top, bottom, down), (left, right, along)) =
            (place(y, from.height, to.height), place(x, from.width, to.width));
        let at = |y: usize, x: usize| f64::from(mask[y * from.width + x]);
        let row = |y: usize| (1.0 - along) * at(y, left) + along * at(y, right);
        (1.0 - down) * row(top) + down * row(bottom)
    }

    proptest! {
        #[test]
        fn each_sample_lies_between_its_four_neighbors(
            height in 1usize..40, width in 1usize..40, to_height in 1usize..90, to_width in 1usize..90,
            seed in any::<u32>(),
        ) {
            let (from, to) = (Shape::mask(2, height, width), Shape::mask(2, to_height, to_width));
            let masks = crate::resize::tests::noise(from.len(), seed);
            let out = resize(&masks, from, to);
            for (frame, mask) in masks.chunks_exact(from.frame_len()).enumerate() {
                for y in 0..to_height {
                    for x in 0..to_width {
                        let got = f64::from(out[frame * to.frame_len() + y * to_width + x]);
                        // The place is rounded to `f32`: at 40 that is a step of 4e-6.
                        prop_assert!((got - expected(mask, from, to, y, x)).abs() < 2e-5);
                    }
                }
            }
            if (height, width) == (to_height, to_width) {
                prop_assert_eq!(out, masks);
            }
        }
    }

    #[test]
    fn channels_and_missing_pixels_are_refused() {
        let rgb = Shape { frames: 1, height: 1, width: 1, channels: 3 };
        let mut out = [0.0; 3];
        let result = resize_masks(
            Frames::new("masks", &[0.0; 3], rgb).unwrap(),
            FramesMut::new("out", &mut out, rgb).unwrap(),
            NEVER,
        );
        assert!(matches!(result, Err(Error::Shape { argument: "masks", .. })));
        let result = resize_masks(
            Frames::new("masks", &[], Shape::mask(1, 0, 4)).unwrap(),
            FramesMut::new("out", &mut out, Shape::mask(1, 1, 3)).unwrap(),
            NEVER,
        );
        assert!(matches!(result, Err(Error::Shape { argument: "masks", .. })));
    }
}
