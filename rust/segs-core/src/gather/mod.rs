//! Crops gathered out of many frames.

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::pixel::Pixel;
use crate::region::Regions;
use crate::view::{Frames, FramesMut};

/// What a crop shows where it passes the frame's edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill<T> {
    /// The nearest pixel of the frame.
    Edge,
    /// One value for all channels.
    Constant(T),
}

/// Rows of one job: enough to be worth handing out, few enough that threads end together.
const BAND_ROWS: usize = 64;

/// Copies the region of every frame to `out`. Parts outside the frame are filled.
pub fn crop_frames<T: Pixel>(
    frames: Frames<'_, T>,
    regions: Regions<'_>,
    fill: Fill<T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (frames.shape(), out.shape());
    if (to.frames, to.channels) != (from.frames, from.channels) {
        return Err(Error::shape("out", format!("the frames and channels of {from}"), to.to_string()));
    }
    regions.check(to.frames, to.height, to.width)?;
    if to.is_empty() {
        return Ok(());
    }
    if from.is_empty() && fill == Fill::Edge {
        return Err(Error::shape("frames", "at least one pixel to fill with", from.to_string()));
    }
    let bytes = 2 * to.len() * size_of::<T>();
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        let region = regions.get(band.frame);
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            let y = region.y1() + (band.y + i) as i64;
            crop_row(frames, band.frame, region.x1(), y, fill, row);
        }
    })
}

fn crop_row<T: Pixel>(frames: Frames<'_, T>, frame: usize, x: i64, y: i64, fill: Fill<T>, out: &mut [T]) {
    let shape = frames.shape();
    let channels = shape.channels;
    let source = match fill {
        Fill::Constant(value) if y < 0 || y >= shape.height as i64 => return out.fill(value),
        _ => frames.row(frame, y.clamp(0, shape.height as i64 - 1) as usize),
    };
    let width = (out.len() / channels) as i64;
    // Columns of the crop before, inside and after the frame.
    let start = (-x).clamp(0, width) as usize;
    let end = (shape.width as i64 - x).clamp(start as i64, width) as usize;
    let (before, rest) = out.split_at_mut(start * channels);
    let (inside, after) = rest.split_at_mut((end - start) * channels);
    if !inside.is_empty() {
        let first = (x + start as i64) as usize * channels;
        inside.copy_from_slice(&source[first..first + inside.len()]);
    }
    match fill {
        Fill::Constant(value) => {
            before.fill(value);
            after.fill(value);
        }
        Fill::Edge => {
            repeat_pixel(before, &source[..channels]);
            repeat_pixel(after, &source[source.len() - channels..]);
        }
    }
}

fn repeat_pixel<T: Copy>(out: &mut [T], pixel: &[T]) {
    for target in out.chunks_exact_mut(pixel.len()) {
        target.copy_from_slice(pixel);
    }
}
