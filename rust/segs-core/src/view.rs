//! Checked views over batches of images. Masks are frames of one channel.

use crate::error::{Error, Result};
use crate::pixel::Pixel;

/// Sizes of a batch `(frames, height, width, channels)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of frames.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Samples of a pixel, 1 to 4.
    pub channels: usize,
}

impl Shape {
    /// Shape of a batch of masks.
    pub fn mask(frames: usize, height: usize, width: usize) -> Self {
        Self { frames, height, width, channels: 1 }
    }

    /// Samples in a row.
    pub fn row_len(&self) -> usize {
        self.width * self.channels
    }

    /// Samples in a frame.
    pub fn frame_len(&self) -> usize {
        self.height * self.row_len()
    }

    /// Samples in the batch.
    pub fn len(&self) -> usize {
        self.frames * self.frame_len()
    }

    /// Whether there is no sample at all.
    pub fn is_empty(&self) -> bool {
        // Not `len() == 0`: that product may wrap for a shape that is not checked yet.
        [self.frames, self.height, self.width, self.channels].contains(&0)
    }

    fn checked_len(&self) -> Option<usize> {
        self.width.checked_mul(self.channels)?.checked_mul(self.height)?.checked_mul(self.frames)
    }

    fn check(&self, argument: &'static str) -> Result<usize> {
        if !(1..=4).contains(&self.channels) {
            return Err(Error::shape(argument, "1 to 4 channels", self.channels.to_string()));
        }
        self.checked_len().ok_or_else(|| Error::shape(argument, "a size that fits memory", self.to_string()))
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { frames, height, width, channels } = self;
        write!(f, "({frames}, {height}, {width}, {channels})")
    }
}

/// A batch to read. Each row is contiguous; rows and frames may lie apart, or be the same memory again (stride 0).
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a, T> {
    data: &'a [T],
    shape: Shape,
    frame_stride: usize,
    row_stride: usize,
}

impl<'a, T> Frames<'a, T> {
    /// A batch without gaps.
    pub fn new(argument: &'static str, data: &'a [T], shape: Shape) -> Result<Self> {
        // Checked before the strides are calculated, which wrap for sizes beyond any memory.
        shape.check(argument)?;
        Self::with_strides(argument, data, shape, shape.frame_len(), shape.row_len())
    }

    /// A batch whose frames and rows start `frame_stride` and `row_stride` samples apart.
    pub fn with_strides(
        argument: &'static str,
        data: &'a [T],
        shape: Shape,
        frame_stride: usize,
        row_stride: usize,
    ) -> Result<Self> {
        let len = shape.check(argument)?;
        let last = if len == 0 {
            Some(0)
        } else {
            let frames = frame_stride.checked_mul(shape.frames - 1);
            let rows = row_stride.checked_mul(shape.height - 1);
            frames.zip(rows).and_then(|(f, r)| f.checked_add(r)?.checked_add(shape.row_len()))
        };
        match last {
            Some(last) if last <= data.len() => Ok(Self { data, shape, frame_stride, row_stride }),
            _ => Err(Error::shape(argument, format!("samples for {shape}"), format!("{} samples", data.len()))),
        }
    }

    /// Sizes of the batch.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Samples from the first to the last one, gaps included.
    pub fn span(&self) -> usize {
        if self.shape.is_empty() {
            return 0;
        }
        self.frame_stride * (self.shape.frames - 1) + self.row_stride * (self.shape.height - 1) + self.shape.row_len()
    }

    /// One row of samples.
    #[inline]
    pub fn row(&self, frame: usize, y: usize) -> &'a [T] {
        let start = frame * self.frame_stride + y * self.row_stride;
        &self.data[start..start + self.shape.row_len()]
    }

    /// The frame that serves output frame `index`: a batch of one serves them all.
    #[inline]
    pub fn serving(&self, index: usize) -> usize {
        if self.shape.frames == 1 { 0 } else { index }
    }

    /// Checks that there is one frame for all of `frames`, or one for each.
    pub(crate) fn check_serves(&self, argument: &'static str, frames: usize) -> Result<()> {
        if self.shape.frames == 1 || self.shape.frames == frames {
            return Ok(());
        }
        Err(Error::shape(argument, format!("1 or {frames} frames"), self.shape.frames.to_string()))
    }
}

impl<'a, T: Pixel> Frames<'a, T> {
    /// The batch itself where its samples are bytes.
    pub(crate) fn as_bytes(&self) -> Option<Frames<'a, u8>> {
        let Self { data, shape, frame_stride, row_stride } = *self;
        T::as_bytes(data).map(|data| Frames { data, shape, frame_stride, row_stride })
    }
}

/// Checks that there is one channel, as masks have it.
pub(crate) fn check_mask(masks: Shape) -> Result<()> {
    if masks.channels == 1 {
        return Ok(());
    }
    Err(Error::shape("masks", "one channel", masks.channels.to_string()))
}

/// A batch to write, without gaps.
#[derive(Debug)]
pub struct FramesMut<'a, T> {
    data: &'a mut [T],
    shape: Shape,
}

/// Rows `y..y + rows` of one frame: the unit of parallel work. Bands of one batch never overlap.
#[derive(Debug)]
pub struct Band<'a, T> {
    /// Which frame.
    pub frame: usize,
    /// First row.
    pub y: usize,
    /// Number of rows.
    pub rows: usize,
    /// The rows, full width, without gaps.
    pub data: &'a mut [T],
}

impl<'a, T> FramesMut<'a, T> {
    /// A batch without gaps.
    pub fn new(argument: &'static str, data: &'a mut [T], shape: Shape) -> Result<Self> {
        let len = shape.check(argument)?;
        if data.len() != len {
            return Err(Error::shape(argument, format!("samples for {shape}"), format!("{} samples", data.len())));
        }
        Ok(Self { data, shape })
    }

    /// Sizes of the batch.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Cuts the rows `y1..y2` of every frame, given by `rows(frame)`, into bands of at most `band_rows` rows.
    pub fn bands(self, band_rows: usize, rows: impl Fn(usize) -> std::ops::Range<usize>) -> Vec<Band<'a, T>> {
        let shape = self.shape;
        if shape.is_empty() {
            return Vec::new();
        }
        let mut bands = Vec::new();
        for (frame, pixels) in self.data.chunks_exact_mut(shape.frame_len()).enumerate() {
            let wanted = rows(frame);
            let (start, end) = (wanted.start.min(shape.height), wanted.end.min(shape.height));
            if start >= end {
                continue;
            }
            let pixels = &mut pixels[start * shape.row_len()..end * shape.row_len()];
            let chunks = pixels.chunks_mut(band_rows.max(1) * shape.row_len());
            bands.extend(chunks.enumerate().map(|(i, data)| Band {
                frame,
                y: start + i * band_rows.max(1),
                rows: data.len() / shape.row_len(),
                data,
            }));
        }
        bands
    }

    /// Cuts all rows of every frame into bands, and these into `shares` jobs of neighbors.
    ///
    /// Fresh memory is given in pages of up to 2 MB. Threads that write far from each other do not wait for each other's
    /// pages: copies of whole clips take a quarter less time than in bands that are handed out one by one.
    pub(crate) fn shares(self, band_rows: usize, shares: usize) -> Vec<Vec<Band<'a, T>>> {
        let bands = self.all_bands(band_rows);
        let each = bands.len().div_ceil(shares.max(1)).max(1);
        let mut bands = bands.into_iter();
        std::iter::from_fn(|| Some(bands.by_ref().take(each).collect()).filter(|share: &Vec<_>| !share.is_empty()))
            .collect()
    }

    /// Cuts all rows of every frame into bands.
    pub fn all_bands(self, band_rows: usize) -> Vec<Band<'a, T>> {
        let height = self.shape.height;
        self.bands(band_rows, |_| 0..height)
    }
}

impl<T: Pixel> FramesMut<'_, T> {
    /// The batch itself where its samples are bytes.
    pub(crate) fn as_bytes(&mut self) -> Option<FramesMut<'_, u8>> {
        T::as_bytes_mut(self.data).map(|data| FramesMut { data, shape: self.shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_buffers_and_wrapping_sizes_are_refused() {
        let shape = Shape { frames: 2, height: 3, width: 4, channels: 3 };
        assert!(Frames::new("frames", &[0f32; 71], shape).is_err());
        assert!(Frames::with_strides("frames", &[0f32; 72], shape, usize::MAX, 12).is_err());
        let wrapping = Shape { frames: usize::MAX, height: 2, width: 1, channels: 1 };
        assert!(Frames::new("frames", &[0f32; 4], wrapping).is_err());
        let wide = Shape { frames: 1, height: usize::MAX, width: usize::MAX, channels: 2 };
        assert!(Frames::new("frames", &[0f32; 4], wide).is_err());
        assert!(FramesMut::new("out", &mut [0f32; 73], shape).is_err());
        let five = Shape { channels: 5, ..shape };
        assert!(Frames::new("frames", &[0f32; 120], five).is_err());
    }

    #[test]
    fn bands_cover_the_wanted_rows_once() {
        let shape = Shape::mask(2, 7, 3);
        let mut data = vec![0u8; shape.len()];
        for band in FramesMut::new("out", &mut data, shape).unwrap().bands(2, |frame| frame + 1..6) {
            assert!(band.rows <= 2);
            for sample in band.data {
                *sample += 1;
            }
        }
        let rows = |frame: usize| data[frame * 21..][..21].chunks(3).map(|r| r[0]).collect::<Vec<_>>();
        assert_eq!(rows(0), [0, 1, 1, 1, 1, 1, 0]);
        assert_eq!(rows(1), [0, 0, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn shares_hold_every_row_once_and_in_order() {
        let shape = Shape { frames: 3, height: 7, width: 2, channels: 1 };
        for shares in [0, 1, 2, 4, 100] {
            let mut data = vec![0f32; 42];
            let jobs = FramesMut::new("out", &mut data, shape).unwrap().shares(3, shares);
            assert!(jobs.len() <= shares.max(1) && jobs.iter().all(|job| !job.is_empty()));
            let rows: Vec<_> =
                jobs.iter().flatten().flat_map(|band| (band.y..band.y + band.rows).map(|y| (band.frame, y))).collect();
            assert_eq!(rows, (0..3).flat_map(|frame| (0..7).map(move |y| (frame, y))).collect::<Vec<_>>());
        }
    }
}
