//! Crops gathered out of many frames.

use crate::copy::{copy_row, finish_stream, streams};
use crate::error::{Error, Result};
use crate::parallel::{Brake, Interrupted, for_each_band, for_each_long};
use crate::pixel::Pixel;
use crate::region::Regions;
use crate::shift::{LANCZOS_TAPS, Rows, Shifts, Source};
use crate::turn::{Grid, SincTile, TILE};
use crate::view::{Frames, FramesMut, Shape};

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

/// The same where places lie between pixels: each job filters the five rows around its first one anew.
const SHIFTED_BAND_ROWS: usize = 128;

/// Copies the region of every frame, moved and turned by its shift, to `out`. Parts outside the frame are filled.
///
/// Where the place is whole, samples are copied. Elsewhere they are interpolated, out of what is filled too, and limited
/// to the range of a sample.
pub fn crop_frames<T: Pixel>(
    frames: Frames<'_, T>,
    regions: Regions<'_>,
    shifts: Shifts<'_>,
    fill: Fill<T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (frames.shape(), out.shape());
    if (to.frames, to.channels) != (from.frames, from.channels) {
        return Err(Error::shape("out", format!("the frames and channels of {from}"), to.to_string()));
    }
    regions.check(to.frames, to.height, to.width)?;
    shifts.check(to.frames)?;
    if to.is_empty() {
        return Ok(());
    }
    if from.is_empty() && fill == Fill::Edge {
        return Err(Error::shape("frames", "at least one pixel to fill with", from.to_string()));
    }
    if !shifts.are_whole() {
        return crop_shifted(frames, regions, shifts, fill, out, interrupted);
    }
    let bytes = to.len() * size_of::<T>();
    let stream = streams(bytes);
    for_each_band(out, BAND_ROWS, 2 * bytes, interrupted, |band| {
        let region = regions.get(band.frame);
        let span = Span::new(from, to, region.x1());
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            let y = region.y1() + (band.y + i) as i64;
            span.crop_row(frames, band.frame, y, fill, row, stream);
        }
        if stream {
            finish_stream();
        }
    })
}

/// [`crop_frames`], after its checks, where some place is not whole.
fn crop_shifted<T: Pixel>(
    frames: Frames<'_, T>,
    regions: Regions<'_>,
    shifts: Shifts<'_>,
    fill: Fill<T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let to = out.shape();
    // As much work as moving so many bytes, whatever the type.
    let bytes = 2 * size_of::<f32>() * to.len();
    for_each_long(out.all_bands(SHIFTED_BAND_ROWS), bytes, interrupted, |band, brake| {
        let (region, shift) = (regions.get(band.frame), shifts.get(band.frame));
        let source = Source { frames, frame: band.frame, fill, prepare: None };
        if shift.is_turned() {
            let tile = SincTile::new(source, Grid::of_crop(region, shift));
            return crop_turned(tile, band.y, band.data, to.row_len(), brake);
        }
        let mut rows = Rows::<T, LANCZOS_TAPS>::new(source, region.x1(), to.width, (shift.x(), shift.y()));
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            if brake.stops() {
                return;
            }
            let y = region.y1() + (band.y + i) as i64;
            if shift.is_whole() {
                Span::new(frames.shape(), to, region.x1()).crop_row(frames, band.frame, y, fill, row, false);
            } else {
                rows.write(y, row);
            }
        }
    })
}

/// Writes the rows of a crop from row `y` on, `row_len` samples each, tile after tile.
fn crop_turned<T: Pixel>(mut tile: SincTile<'_, T>, y: usize, rows: &mut [T], row_len: usize, brake: &mut Brake<'_>) {
    let width = row_len / tile.channels();
    for (part, rows) in rows.chunks_mut(TILE * row_len).enumerate() {
        let y = y + part * TILE;
        for x in (0..width).step_by(TILE) {
            if brake.stops() {
                return;
            }
            let end = (x + TILE).min(width);
            tile.read((x, end), (y, y + rows.len() / row_len));
            for (i, row) in rows.chunks_exact_mut(row_len).enumerate() {
                tile.write(x, y + i, &mut row[x * tile.channels()..end * tile.channels()]);
            }
        }
    }
}

/// Which samples of the rows of a crop are before, inside and after the frame. The same for all rows of a frame.
struct Span {
    start: usize,
    end: usize,
    /// The first sample of the frame inside.
    first: usize,
}

impl Span {
    /// For rows of `to` that begin at column `x` of frames `from`.
    fn new(from: Shape, to: Shape, x: i64) -> Self {
        let width = to.width as i64;
        let start = (-x).clamp(0, width);
        let end = (from.width as i64 - x).clamp(start, width);
        let first = if start < end { (x + start) as usize } else { 0 };
        let samples = |columns: i64| columns as usize * to.channels;
        Self { start: samples(start), end: samples(end), first: first * to.channels }
    }

    /// Copies a row of a frame, as far as the frame has one; what lies outside is filled.
    #[inline]
    fn crop_row<T: Pixel>(
        &self,
        frames: Frames<'_, T>,
        frame: usize,
        y: i64,
        fill: Fill<T>,
        out: &mut [T],
        stream: bool,
    ) {
        let Shape { height, channels, .. } = frames.shape();
        let nearest = |y: i64| frames.row(frame, y.clamp(0, height as i64 - 1) as usize);
        let source = match fill {
            Fill::Constant(value) if y < 0 || y >= height as i64 => return out.fill(value),
            _ => nearest(y),
        };
        let columns = self.first..self.first + self.end - self.start;
        if !columns.is_empty() {
            copy_row(&source[columns.clone()], &mut out[self.start..self.end], &nearest(y + 1)[columns], stream);
        }
        if self.end - self.start == out.len() {
            return;
        }
        let (before, after) = (self.start, self.end);
        match fill {
            Fill::Constant(value) => {
                out[..before].fill(value);
                out[after..].fill(value);
            }
            Fill::Edge => {
                repeat_pixel(&mut out[..before], &source[..channels]);
                repeat_pixel(&mut out[after..], &source[source.len() - channels..]);
            }
        }
    }
}

fn repeat_pixel<T: Copy>(out: &mut [T], pixel: &[T]) {
    for target in out.chunks_exact_mut(pixel.len()) {
        target.copy_from_slice(pixel);
    }
}

#[cfg(test)]
mod tests {
    // Samples are copied, so they stay what they are.
    #![allow(clippy::float_cmp)]

    use super::*;
    use crate::parallel::NEVER;
    use crate::region::Region;
    use crate::view::Shape;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_pixel_is_the_nearest_of_the_frame_or_the_constant(
            count in 1usize..3, height in 1usize..12, width in 1usize..12, channels in 1usize..5,
            h in 0usize..20, w in 0usize..20, moving in any::<bool>(), edge in any::<bool>(),
            corners in prop::collection::vec((-30i64..30, -30i64..30), 3),
        ) {
            let shape = Shape { frames: count, height, width, channels };
            let samples: Vec<f32> = (0..shape.len()).map(|i| i as f32).collect();
            let frames = Frames::new("frames", &samples, shape).unwrap();
            let list: Vec<Region> = corners[..count].iter().map(|&(x, y)| Region::at(x, y, w, h).unwrap()).collect();
            let regions = if moving { Regions::PerFrame(&list) } else { Regions::Shared(list[0]) };
            let fill = if edge { Fill::Edge } else { Fill::Constant(-1.0) };
            let to = Shape { frames: count, height: h, width: w, channels };
            let mut out = vec![-9.0; to.len()];
            crop_frames(frames, regions, Shifts::WHOLE, fill, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
            for (index, &sample) in out.iter().enumerate() {
                let (c, pixel) = (index % channels, index / channels);
                let (frame, y, x) = (pixel / (h * w), pixel / w % h, pixel % w);
                let region = regions.get(frame);
                let (y, x) = (region.y1() + y as i64, region.x1() + x as i64);
                let (inner_y, inner_x) = (y.clamp(0, height as i64 - 1), x.clamp(0, width as i64 - 1));
                let outside = (inner_y, inner_x) != (y, x);
                let expected = if outside && !edge {
                    -1.0
                } else {
                    samples[((frame * height + inner_y as usize) * width + inner_x as usize) * channels + c]
                };
                prop_assert_eq!(sample, expected);
            }
        }
    }

    #[test]
    fn without_a_pixel_there_is_only_the_constant() {
        let none = Shape { frames: 1, height: 0, width: 5, channels: 1 };
        let frames = Frames::new("frames", &[0u8; 0], none).unwrap();
        let region = Regions::Shared(Region::at(0, 0, 2, 1).unwrap());
        let to = Shape { frames: 1, height: 1, width: 2, channels: 1 };
        let mut out = [9u8; 2];
        let view = FramesMut::new("out", &mut out, to).unwrap();
        assert!(crop_frames(frames, region, Shifts::WHOLE, Fill::Edge, view, NEVER).is_err());
        let view = FramesMut::new("out", &mut out, to).unwrap();
        crop_frames(frames, region, Shifts::WHOLE, Fill::Constant(3), view, NEVER).unwrap();
        assert_eq!(out, [3, 3]);
    }
}
