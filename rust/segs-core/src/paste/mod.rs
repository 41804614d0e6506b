//! Blending crops back into the frames through masks.
//!
//! With `m = mask * alpha`, a sample becomes `(1 - m) * frame + m * crop`: two products and a sum, each rounded to
//! `f32` and never fused, so that every CPU level and an eager tensor library give the same bits. Where `m` is 0 the
//! frame keeps its bits, whatever the crop holds there; where `m` is 1 it takes the crop's. Mask values are clamped to
//! `[0, 1]`, and NaN counts as 0.

mod blend;

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each, for_each_band};
use crate::pixel::Pixel;
use crate::region::{Clip, Regions};
use crate::view::{Frames, FramesMut, Shape};

use blend::{Layout, blend_row};

/// Rows of one job: enough to be worth handing out, few enough that threads end together.
const BAND_ROWS: usize = 64;

/// What is pasted, and where.
///
/// Four channels mean RGB and a straight (not premultiplied) alpha. The alpha of a crop multiplies its mask; onto
/// frames that have an alpha themselves it is laid by the `over` operator. A crop without alpha changes the colours of
/// such frames and leaves their alpha.
#[derive(Debug, Clone, Copy)]
pub struct Patch<'a, T> {
    /// One crop for all frames, or one for each.
    pub crops: Frames<'a, T>,
    /// How much of the crop shows, in `[0, 1]`: one mask for all frames, or one for each, of the crops' size.
    pub masks: Frames<'a, f32>,
    /// Where the crops lie in the frames; they have the crops' size and may pass the frame's edges.
    pub regions: Regions<'a>,
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
        Ok(layout)
    }

    /// Bytes that pasting into `frames` moves.
    fn bytes(&self, frames: Shape) -> usize {
        let crops = self.crops.shape();
        let pixel = (2 * frames.channels + crops.channels) * size_of::<T>() + size_of::<f32>();
        crops.height.saturating_mul(crops.width).saturating_mul(frames.frames).saturating_mul(pixel)
    }

    /// Pastes row `y` of frame `frame`, which lies inside `clip`, into that row's samples.
    #[inline]
    fn paste_row(&self, layout: Layout, clip: Clip, frame: usize, y: usize, row: &mut [T]) {
        let from = y - clip.y + clip.top;
        let (crop_channels, channels) = (self.crops.shape().channels, layout.frame_channels());
        let crop = self.crops.row(self.crops.serving(frame), from);
        let mask = self.masks.row(self.masks.serving(frame), from);
        blend_row(
            layout,
            &mut row[clip.x * channels..(clip.x + clip.width) * channels],
            &crop[clip.left * crop_channels..(clip.left + clip.width) * crop_channels],
            &mask[clip.left..clip.left + clip.width],
            self.alpha,
        );
    }
}

/// Pastes into `frames` in place. Nothing outside the part of the region that lies in the frame is read or written.
pub fn paste<T: Pixel>(frames: FramesMut<'_, T>, patch: Patch<'_, T>, interrupted: Interrupted<'_>) -> Result<()> {
    let shape = frames.shape();
    let layout = patch.check(shape)?;
    let clip = |frame: usize| patch.regions.get(frame).clip(shape.width, shape.height);
    let bands = frames.bands(BAND_ROWS, |frame| clip(frame).map_or(0..0, |clip| clip.y..clip.y + clip.height));
    for_each(bands, patch.bytes(shape), interrupted, |band| {
        let Some(clip) = clip(band.frame) else { return };
        for (i, row) in band.data.chunks_exact_mut(shape.row_len()).enumerate() {
            patch.paste_row(layout, clip, band.frame, band.y + i, row);
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
        let clip = patch.regions.get(band.frame).clip(shape.width, shape.height);
        for (i, row) in band.data.chunks_exact_mut(shape.row_len()).enumerate() {
            let y = band.y + i;
            row.copy_from_slice(frames.row(band.frame, y));
            if let Some(clip) = clip.filter(|clip| (clip.y..clip.y + clip.height).contains(&y)) {
                patch.paste_row(layout, clip, band.frame, y, row);
            }
        }
    })
}

#[cfg(test)]
mod tests;
