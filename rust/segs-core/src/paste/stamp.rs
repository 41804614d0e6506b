//! A patch in one frame, row by row.

use crate::gather::Fill;
use crate::paste::Patch;
use crate::paste::blend::{Layout, blend_row, unit};
use crate::pixel::Pixel;
use crate::region::Clip;
use crate::shift::{LANCZOS_TAPS, LINEAR_TAPS, Rows, Shift, Source};
use crate::view::Shape;

/// What is pasted into one frame.
pub(super) struct Stamp<'a, T> {
    patch: Patch<'a, T>,
    layout: Layout,
    frame: usize,
    clip: Clip,
    shifted: Option<Shifted<'a, T>>,
}

/// A crop and its mask on the pixels of the frame.
struct Shifted<'a, T> {
    crop: Rows<'a, T, LANCZOS_TAPS>,
    mask: Rows<'a, f32, LINEAR_TAPS>,
    crop_row: Vec<T>,
    mask_row: Vec<f32>,
    /// From rows of the clip to the rows of the crop at or before them.
    y: i64,
}

impl<'a, T: Pixel> Stamp<'a, T> {
    /// The stamp of frame `frame` of `frames`; `None` where the frame has no part of it.
    pub(super) fn new(patch: Patch<'a, T>, layout: Layout, frames: Shape, frame: usize) -> Option<Self> {
        let clip = patch.clip(frames, frame)?;
        let shift = patch.shifts.get(frame);
        let shifted = (!shift.is_whole()).then(|| Shifted::new(&patch, clip, frame, shift));
        Some(Self { patch, layout, frame, clip, shifted })
    }

    /// Pastes into row `y` of the frame, given whole; a row outside the clip stays.
    #[inline]
    pub(super) fn paste(&mut self, y: usize, row: &mut [T]) {
        let Clip { x, width, left, .. } = self.clip;
        let Some(row_of_clip) = y.checked_sub(self.clip.y).filter(|&row| row < self.clip.height) else { return };
        let (layout, alpha) = (self.layout, self.patch.alpha);
        let channels = layout.frame_channels();
        let row = &mut row[x * channels..(x + width) * channels];
        if let Some(shifted) = &mut self.shifted {
            if let Some((crop, mask)) = shifted.row(row_of_clip) {
                blend_row(layout, row, crop, mask, alpha);
            }
            return;
        }
        let (crops, masks, from) = (&self.patch.crops, &self.patch.masks, row_of_clip + self.clip.top);
        let crop_channels = crops.shape().channels;
        let crop = &crops.row(crops.serving(self.frame), from)[left * crop_channels..(left + width) * crop_channels];
        let mask = &masks.row(masks.serving(self.frame), from)[left..left + width];
        blend_row(layout, row, crop, mask, alpha);
    }
}

impl<'a, T: Pixel> Shifted<'a, T> {
    fn new(patch: &Patch<'a, T>, clip: Clip, frame: usize, shift: Shift) -> Self {
        let ((back_x, part_x), (back_y, part_y)) = (backwards(shift.x()), backwards(shift.y()));
        let (x, part) = (clip.left as i64 - back_x, (part_x, part_y));
        let Patch { crops, masks, .. } = *patch;
        let crop = Source { frames: crops, frame: crops.serving(frame), fill: Fill::Edge, prepare: None };
        let prepare: fn(&mut [f32]) = |values| values.iter_mut().for_each(|value| *value = unit(*value));
        let mask =
            Source { frames: masks, frame: masks.serving(frame), fill: Fill::Constant(0.0), prepare: Some(prepare) };
        Self {
            crop: Rows::new(crop, x, clip.width, part),
            mask: Rows::new(mask, x, clip.width, part),
            crop_row: vec![T::default(); clip.width * crops.shape().channels],
            mask_row: vec![0.0; clip.width],
            y: clip.top as i64 - back_y,
        }
    }

    /// Crop and mask of a row of the clip; `None` where the mask hides all of it.
    fn row(&mut self, row_of_clip: usize) -> Option<(&[T], &[f32])> {
        let y = row_of_clip as i64 + self.y;
        self.mask.write(y, &mut self.mask_row);
        if self.mask_row.iter().all(|&weight| weight == 0.0) {
            return None;
        }
        self.crop.write(y, &mut self.crop_row);
        Some((&self.crop_row, &self.mask_row))
    }
}

/// Whole pixels back, and from there the part of a pixel on, that undo a shift to the right or down.
fn backwards(part: f64) -> (i64, f64) {
    if part > 0.0 { (1, 1.0 - part) } else { (0, 0.0) }
}
