//! A patch in one frame, row by row.

use crate::gather::Fill;
use crate::paste::Patch;
use crate::paste::blend::{Layout, blend_row, unit};
use crate::pixel::Pixel;
use crate::region::Clip;
use crate::shift::{LANCZOS_TAPS, LINEAR_TAPS, Rows, Shift, Source};
use crate::turn::{Grid, LinearTile, SincTile, TILE};
use crate::view::Shape;

/// What is pasted into one frame.
pub(super) struct Stamp<'a, T> {
    patch: Patch<'a, T>,
    layout: Layout,
    frame: usize,
    frame_width: usize,
    clip: Clip,
    between: Between<'a, T>,
}

/// How a crop comes onto the pixels of the frame.
enum Between<'a, T> {
    /// It lies on them.
    Whole,
    /// Row by row.
    Shifted(Box<Shifted<'a, T>>),
    /// Tile by tile.
    Turned(Box<Turned<'a, T>>),
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
        let between = if shift.is_turned() {
            Between::Turned(Box::new(Turned::new(&patch, frame, shift)))
        } else if shift.is_whole() {
            Between::Whole
        } else {
            Between::Shifted(Box::new(Shifted::new(&patch, clip, frame, shift)))
        };
        Some(Self { patch, layout, frame, frame_width: frames.width, clip, between })
    }

    /// Rows that are best pasted together.
    pub(super) fn rows_at_once(&self) -> usize {
        if matches!(self.between, Between::Turned(_)) { TILE } else { 1 }
    }

    /// Pastes into rows of the frame, given whole, from row `y` on; rows outside the clip stay.
    pub(super) fn paste_band(&mut self, y: usize, rows: &mut [T]) {
        let row_len = self.frame_width * self.layout.frame_channels();
        if let Between::Turned(turned) = &mut self.between {
            let (start, end) = (self.clip.y.max(y), (self.clip.y + self.clip.height).min(y + rows.len() / row_len));
            if start < end {
                let rows = &mut rows[(start - y) * row_len..(end - y) * row_len];
                turned.paste(start, rows, row_len, self.clip, self.layout, self.patch.alpha);
            }
            return;
        }
        for (i, row) in rows.chunks_exact_mut(row_len).enumerate() {
            self.paste(y + i, row);
        }
    }

    /// Pastes a crop that is not turned into row `y` of the frame.
    #[inline]
    fn paste(&mut self, y: usize, row: &mut [T]) {
        let Clip { x, width, left, .. } = self.clip;
        let Some(row_of_clip) = y.checked_sub(self.clip.y).filter(|&row| row < self.clip.height) else { return };
        let (layout, alpha) = (self.layout, self.patch.alpha);
        let channels = layout.frame_channels();
        let row = &mut row[x * channels..(x + width) * channels];
        if let Between::Shifted(shifted) = &mut self.between {
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
        let (crop, mask) = sources(patch, frame);
        Self {
            crop: Rows::new(crop, x, clip.width, part),
            mask: Rows::new(mask, x, clip.width, part),
            crop_row: vec![T::default(); clip.width * patch.crops.shape().channels],
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

/// A turned crop and its mask.
struct Turned<'a, T> {
    crop: SincTile<'a, T>,
    mask: LinearTile<'a>,
    crop_row: Vec<T>,
    mask_row: [f32; TILE],
}

impl<'a, T: Pixel> Turned<'a, T> {
    fn new(patch: &Patch<'a, T>, frame: usize, shift: Shift) -> Self {
        let grid = Grid::of_frame(patch.regions.get(frame), shift);
        let (crop, mask) = sources(patch, frame);
        let crop_row = vec![T::default(); TILE * patch.crops.shape().channels];
        let (crop, mask) = (SincTile::new(crop, grid), LinearTile::new(mask, grid));
        Self { crop, mask, crop_row, mask_row: [0.0; TILE] }
    }

    /// Pastes into rows of the frame from row `y` on, all of them in the clip.
    fn paste(&mut self, y: usize, rows: &mut [T], row_len: usize, clip: Clip, layout: Layout, alpha: f32) {
        let (channels, stop) = (layout.frame_channels(), clip.x + clip.width);
        for (part, rows) in rows.chunks_mut(TILE * row_len).enumerate() {
            let y = y + part * TILE;
            let lines = (y, y + rows.len() / row_len);
            for x in (clip.x..stop).step_by(TILE) {
                let columns = (x, (x + TILE).min(stop));
                if !self.mask.read(columns, lines) {
                    continue;
                }
                let width = columns.1 - x;
                let (mask, crop) = (&mut self.mask_row[..width], &mut self.crop_row[..width * self.crop.channels()]);
                let mut is_read = false;
                for (i, row) in rows.chunks_exact_mut(row_len).enumerate() {
                    self.mask.write(x, y + i, mask);
                    if mask.iter().all(|&weight| weight == 0.0) {
                        continue;
                    }
                    if !is_read {
                        self.crop.read(columns, lines);
                        is_read = true;
                    }
                    self.crop.write(x, y + i, crop);
                    blend_row(layout, &mut row[x * channels..columns.1 * channels], crop, mask, alpha);
                }
            }
        }
    }
}

/// A crop, continued by its edge, and its mask, limited to `[0, 1]` and continued by 0.
fn sources<'a, T: Pixel>(patch: &Patch<'a, T>, frame: usize) -> (Source<'a, T>, Source<'a, f32>) {
    let Patch { crops, masks, .. } = *patch;
    let crop = Source { frames: crops, frame: crops.serving(frame), fill: Fill::Edge, prepare: None };
    let prepare: fn(&mut [f32]) = |values| values.iter_mut().for_each(|value| *value = unit(*value));
    let mask = Source { frames: masks, frame: masks.serving(frame), fill: Fill::Constant(0.0), prepare: Some(prepare) };
    (crop, mask)
}

/// Whole pixels back, and from there the part of a pixel on, that undo a shift to the right or down.
fn backwards(part: f64) -> (i64, f64) {
    if part > 0.0 { (1, 1.0 - part) } else { (0, 0.0) }
}
