//! Blending crops back into the frames through masks.
//!
//! With `m = mask * alpha`, a sample becomes `(1 - m) * frame + m * crop`: two products and a sum, each rounded to
//! `f32` and never fused, so that every CPU level and an eager tensor library give the same bits. Where `m` is 0 the
//! frame keeps its bits, whatever the crop holds there; where `m` is 1 it takes the crop's. Mask values are clamped to
//! `[0, 1]`, and NaN counts as 0.
//!
//! A crop whose place lies between pixels is first brought onto them: itself by the filter for frames, continued by its
//! edge, its mask linearly, continued by 0. So it covers up to a column and a row more. A crop that is turned is brought
//! onto them in the same way, by filters along its own axes.

mod blend;
mod stamp;

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each, for_each_band};
use crate::pixel::Pixel;
use crate::region::{Clip, Regions};
use crate::shift::Shifts;
use crate::turn::reach;
use crate::view::{Frames, FramesMut, Shape};

use blend::Layout;
use stamp::Stamp;

/// Rows of one job: enough to be worth handing out, few enough that threads end together.
const BAND_ROWS: usize = 64;

/// What is pasted, and where.
///
/// Four channels mean RGB and a straight (not premultiplied) alpha. The alpha of a crop multiplies its mask; onto
/// frames that have an alpha themselves it is laid by the `over` operator. A crop without alpha changes the colors of
/// such frames and leaves their alpha.
#[derive(Debug, Clone, Copy)]
pub struct Patch<'a, T> {
    /// One crop for all frames, or one for each.
    pub crops: Frames<'a, T>,
    /// How much of the crop shows, in `[0, 1]`: one mask for all frames, or one for each, of the crops' size.
    pub masks: Frames<'a, f32>,
    /// Where the crops lie in the frames; they have the crops' size and may pass the frame's edges.
    pub regions: Regions<'a>,
    /// How far right of and below their regions the crops lie, in parts of a pixel, and how far they are turned.
    pub shifts: Shifts<'a>,
    /// Multiplies the masks, in `[0, 1]`.
    pub alpha: f32,
}

impl<T: Pixel> Patch<'_, T> {
    /// Checks that the patch fits `frames`, and tells how its channels meet theirs.
    fn check(&self, frames: Shape) -> Result<Layout> {
        let (crops, masks) = (self.crops.shape(), self.masks.shape());
        let layout = Layout::new(frames.channels, crops.channels)?;
        self.crops.check_serves("crops", frames.frames)?;
        self.masks.check_serves("masks", frames.frames)?;
        if (masks.height, masks.width, masks.channels) != (crops.height, crops.width, 1) {
            let expected = format!("masks of {}x{} pixels, as the crops are", crops.width, crops.height);
            return Err(Error::shape("masks", expected, format!("{}x{}", masks.width, masks.height)));
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(Error::value("alpha", "a number in [0, 1]", self.alpha.to_string()));
        }
        self.regions.check(frames.frames, crops.height, crops.width)?;
        self.shifts.check(frames.frames)?;
        Ok(layout)
    }

    /// Bytes that pasting into `frames` moves.
    fn bytes(&self, frames: Shape) -> usize {
        let crops = self.crops.shape();
        // A shift works on floats, and as long as moving one there and back takes.
        let sample = if self.shifts.are_whole() { size_of::<T>() } else { 2 * size_of::<f32>() };
        let pixel = (2 * frames.channels + crops.channels) * sample + size_of::<f32>();
        crops.height.saturating_mul(crops.width).saturating_mul(frames.frames).saturating_mul(pixel)
    }

    /// The part of frame `frame`, of `frames`, that the crop may change.
    fn clip(&self, frames: Shape, frame: usize) -> Option<Clip> {
        let (region, shift) = (self.regions.get(frame), self.shifts.get(frame));
        if region.width() == 0 || region.height() == 0 {
            return None;
        }
        let changed =
            if shift.is_turned() { reach(region, shift) } else { region.grown(shift.x() > 0.0, shift.y() > 0.0) };
        changed.clip(frames.width, frames.height)
    }
}

/// Pastes into `frames` in place. Nothing outside the part of the region that lies in the frame is read or written.
pub fn paste<T: Pixel>(frames: FramesMut<'_, T>, patch: Patch<'_, T>, interrupted: Interrupted<'_>) -> Result<()> {
    let shape = frames.shape();
    let layout = patch.check(shape)?;
    let clip = |frame: usize| patch.clip(shape, frame);
    let bands = frames.bands(BAND_ROWS, |frame| clip(frame).map_or(0..0, |clip| clip.y..clip.y + clip.height));
    for_each(bands, patch.bytes(shape), interrupted, |band| {
        if let Some(mut stamp) = Stamp::new(patch, layout, shape, band.frame) {
            stamp.paste_band(band.y, band.data);
        }
    })
}

/// Copies `frames` to `out` and pastes there, in one pass.
pub fn copy_paste<T: Pixel>(
    frames: Frames<'_, T>,
    patch: Patch<'_, T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let shape = frames.shape();
    if out.shape() != shape {
        return Err(Error::shape("out", shape.to_string(), out.shape().to_string()));
    }
    let layout = patch.check(shape)?;
    let bytes = patch.bytes(shape).saturating_add(2 * shape.len() * size_of::<T>());
    for_each_band(out, BAND_ROWS, bytes, interrupted, |band| {
        let mut stamp = Stamp::new(patch, layout, shape, band.frame);
        // Rows that were just copied are still near, unless more than one is needed at a time.
        let rows = stamp.as_ref().map_or(1, Stamp::rows_at_once);
        for (part, pixels) in band.data.chunks_mut(rows * shape.row_len()).enumerate() {
            let y = band.y + part * rows;
            for (i, row) in pixels.chunks_exact_mut(shape.row_len()).enumerate() {
                row.copy_from_slice(frames.row(band.frame, y + i));
            }
            if let Some(stamp) = &mut stamp {
                stamp.paste_band(y, pixels);
            }
        }
    })
}

#[cfg(test)]
mod tests;
