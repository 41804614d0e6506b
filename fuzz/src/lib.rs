//! Structured inputs of the fuzz targets: small batches with gaps between rows, samples of every type, regions.

use arbitrary::{Arbitrary, Unstructured};
use half::f16;
use segs_core::cpu::{Level, set_level};
use segs_core::pixel::Pixel;
use segs_core::region::Region;
use segs_core::shift::Shift;
use segs_core::view::{Frames, Shape};

/// Longest side of a batch: long enough for several vectors and a rest, short enough for an oracle per pixel.
pub const MAX_SIDE: usize = 40;

/// A sample that can be made from a byte and compared by its bits.
pub trait Sample: Pixel + std::fmt::Debug {
    /// The sample for `value` in `[0, 1]`, or beyond it where the type has such samples.
    fn new(value: f32) -> Self;

    /// Its bits: NaN equals itself, and 0 differs from -0.
    fn bits(self) -> u32;
}

impl Sample for f32 {
    fn new(value: f32) -> Self {
        value
    }

    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Sample for f16 {
    fn new(value: f32) -> Self {
        f16::from_f32(value)
    }

    fn bits(self) -> u32 {
        self.to_bits().into()
    }
}

impl Sample for u8 {
    fn new(value: f32) -> Self {
        (value * 255.0) as u8
    }

    fn bits(self) -> u32 {
        self.into()
    }
}

/// The sample type that a target is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Dtype {
    F32,
    F16,
    U8,
}

/// Bytes from which samples are made, repeated as often as they are needed.
#[derive(Debug, Clone, Arbitrary)]
pub struct Paint {
    bytes: Vec<u8>,
    /// Whether some bytes mean NaN, infinities and values outside `[0, 1]`.
    pub wild: bool,
}

impl Paint {
    /// The value of sample `index`.
    pub fn value(&self, index: usize) -> f32 {
        let byte = if self.bytes.is_empty() { 0 } else { self.bytes[index % self.bytes.len()] };
        match byte {
            245..=254 if self.wild => {
                let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1.5, -0.5, 1e-45, f32::MAX, -f32::NAN];
                strange[usize::from(byte - 245) % strange.len()]
            }
            byte => f32::from(byte) / 255.0,
        }
    }
}

/// A side of a batch, often 0 or 1.
#[derive(Debug, Clone, Copy)]
pub struct Side(pub usize);

impl<'a> Arbitrary<'a> for Side {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(0..=MAX_SIDE)?))
    }
}

/// Number of frames.
#[derive(Debug, Clone, Copy)]
pub struct Count(pub usize);

impl<'a> Arbitrary<'a> for Count {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(0..=3)?))
    }
}

/// 1 to 4 channels.
#[derive(Debug, Clone, Copy)]
pub struct Channels(pub usize);

impl<'a> Arbitrary<'a> for Channels {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u.int_in_range(1..=4)?))
    }
}

/// Samples between the rows and frames of a batch, which no kernel may read as pixels.
#[derive(Debug, Clone, Copy)]
pub struct Gaps {
    rows: usize,
    frames: usize,
}

impl<'a> Arbitrary<'a> for Gaps {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self { rows: u.int_in_range(0..=3)?, frames: u.int_in_range(0..=3)? })
    }
}

/// A batch whose rows may have gaps.
#[derive(Debug)]
pub struct Batch<T> {
    pub data: Vec<T>,
    pub shape: Shape,
    frame_stride: usize,
    row_stride: usize,
}

impl<T: Sample> Batch<T> {
    /// Paints a batch.
    pub fn new(shape: Shape, gaps: Gaps, paint: &Paint) -> Self {
        let row_stride = shape.row_len() + gaps.rows;
        let frame_stride = shape.height * row_stride + gaps.frames;
        let data = (0..shape.frames * frame_stride).map(|i| T::new(paint.value(i))).collect();
        Self { data, shape, frame_stride, row_stride }
    }

    /// The view that kernels take.
    pub fn view(&self) -> Frames<'_, T> {
        Frames::with_strides("batch", &self.data, self.shape, self.frame_stride, self.row_stride).unwrap()
    }

    /// One sample.
    pub fn at(&self, frame: usize, y: usize, x: usize, channel: usize) -> T {
        self.data[frame * self.frame_stride + y * self.row_stride + x * self.shape.channels + channel]
    }

    /// All samples, without the gaps.
    pub fn pixels(&self) -> Vec<T> {
        indices(self.shape).map(|(frame, y, x, channel)| self.at(frame, y, x, channel)).collect()
    }
}

/// Frame, row, column and channel of every sample, in order.
pub fn indices(shape: Shape) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let Shape { height, width, channels, .. } = shape;
    (0..shape.len()).map(move |i| {
        let pixel = i / channels;
        (pixel / width / height, pixel / width % height, pixel % width, i % channels)
    })
}

/// The top left corner of a region that may lie far outside.
#[derive(Debug, Clone, Copy)]
pub struct Corner(i64, i64);

impl<'a> Arbitrary<'a> for Corner {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut coordinate = || {
            Ok(match u.int_in_range(0..=9)? {
                0 => u.int_in_range(-(1 << 29)..=1 << 29)?,
                _ => u.int_in_range(-60..=60)?,
            })
        };
        Ok(Self(coordinate()?, coordinate()?))
    }
}

impl Corner {
    /// The region of that size.
    pub fn region(self, height: usize, width: usize) -> Region {
        Region::at(self.0, self.1, width, height).unwrap()
    }
}

/// How far a place lies behind its corner: often not at all, sometimes nearly a pixel.
#[derive(Debug, Clone, Copy)]
pub struct Part(pub Shift);

impl<'a> Arbitrary<'a> for Part {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut part = || {
            Ok(match u.int_in_range(0..=9)? {
                0..=2 => 0.0,
                3 => 1.0 - f64::EPSILON,
                4 => f64::MIN_POSITIVE,
                _ => f64::from(u.int_in_range(0..=u16::MAX)?) / 65536.0,
            })
        };
        Ok(Self(Shift::new(part()?, part()?).unwrap()))
    }
}

/// Degrees by which a place is turned: often by quarters, sometimes hardly at all.
#[derive(Debug, Clone, Copy)]
pub struct Angle(pub f64);

impl<'a> Arbitrary<'a> for Angle {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(match u.int_in_range(0..=9)? {
            0 => 0.0,
            1 | 2 => 45.0 * f64::from(u.int_in_range(-16..=16i8)?),
            3 => f64::MIN_POSITIVE,
            4 => 1e-9 * f64::from(u.int_in_range(0..=u16::MAX)?),
            _ => f64::from(u.int_in_range(0..=u16::MAX)?) / 64.0 - 512.0,
        }))
    }
}

/// Runs the kernels' baseline code, or the best that the CPU has.
pub fn use_level(baseline: bool) {
    set_level(if baseline { Level::Baseline } else { Level::Avx2 });
}
