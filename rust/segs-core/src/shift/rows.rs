//! Shifted rows of one image, in any order.

use crate::gather::Fill;
use crate::pixel::Pixel;
use crate::shift::weigh::{weigh, widen_row};
use crate::shift::weights;
use crate::view::Frames;

/// No limits.
const UNLIMITED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// One image, continued without end by its edge or a constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a, T> {
    pub(crate) frames: Frames<'a, T>,
    pub(crate) frame: usize,
    pub(crate) fill: Fill<T>,
    /// Changes the samples before they are weighed.
    pub(crate) prepare: Option<fn(&mut [f32])>,
}

/// Rows of a [`Source`] as seen from a place between its pixels, by filters of `N` taps along each axis.
///
/// The rows that one row needs are filtered across when they are first asked for, and kept in a ring for the next row.
#[derive(Debug)]
pub(crate) struct Rows<'a, T, const N: usize> {
    source: Source<'a, T>,
    /// Column of the source at or before the first sample of a row.
    x: i64,
    across: Option<[f32; N]>,
    down: Option<[f32; N]>,
    /// Samples of a row.
    len: usize,
    wide: Vec<f32>,
    ring: Vec<f32>,
    /// Which row of the source each slot of the ring holds.
    held: [Option<i64>; N],
}

impl<'a, T: Pixel, const N: usize> Rows<'a, T, N> {
    /// Rows of `width` pixels, the first of which lies at `x` and `part.0` of a pixel; rows lie at theirs and `part.1`.
    pub(crate) fn new(source: Source<'a, T>, x: i64, width: usize, part: (f64, f64)) -> Self {
        let channels = source.frames.shape().channels;
        let (across, down) = (weights::<N>(part.0), weights::<N>(part.1));
        let len = width * channels;
        let read = len + if across.is_some() { (N - 1) * channels } else { 0 };
        let slots = if down.is_some() { N } else { 0 };
        Self { source, x, across, down, len, wide: vec![0.0; read], ring: vec![0.0; slots * len], held: [None; N] }
    }

    /// Writes the row at `y` and the part of a pixel below it.
    pub(crate) fn write(&mut self, y: i64, out: &mut [T]) {
        let limits = (0.0, T::MAX);
        let Some(down) = self.down else {
            return filter_across(&self.source, self.x, y, self.across, limits, &mut self.wide, out);
        };
        let first = y - before::<N>();
        for tap in 0..N as i64 {
            self.hold(first + tap);
        }
        let rows: [&[f32]; N] = std::array::from_fn(|tap| {
            let slot = slot::<N>(first + tap as i64);
            &self.ring[slot * self.len..(slot + 1) * self.len]
        });
        weigh(&rows, &down, limits, out);
    }

    /// Sees to it that the ring holds row `y` of the source, filtered across.
    fn hold(&mut self, y: i64) {
        let slot = slot::<N>(y);
        if self.held[slot] != Some(y) {
            self.held[slot] = Some(y);
            let out = &mut self.ring[slot * self.len..(slot + 1) * self.len];
            filter_across(&self.source, self.x, y, self.across, UNLIMITED, &mut self.wide, out);
        }
    }
}

/// Taps before the pixel that a place follows.
fn before<const N: usize>() -> i64 {
    N as i64 / 2 - 1
}

fn slot<const N: usize>(y: i64) -> usize {
    y.rem_euclid(N as i64) as usize
}

/// Writes row `y` of the source from column `x` on, filtered by `weights`.
fn filter_across<T: Pixel, U: Pixel, const N: usize>(
    source: &Source<'_, T>,
    x: i64,
    y: i64,
    weights: Option<[f32; N]>,
    limits: (f32, f32),
    wide: &mut [f32],
    out: &mut [U],
) {
    let Some(weights) = weights else {
        return U::narrow(read_row(source, x, y, wide), out);
    };
    let row = read_row(source, x - before::<N>(), y, wide);
    let channels = source.frames.shape().channels;
    let taps: [&[f32]; N] = std::array::from_fn(|tap| &row[tap * channels..tap * channels + out.len()]);
    weigh(&taps, &weights, limits, out);
}

/// Row `y` of the source from column `x` on as floats, as many as `wide` holds.
pub(crate) fn read_row<'b, T: Pixel>(source: &Source<'b, T>, x: i64, y: i64, wide: &'b mut [f32]) -> &'b [f32] {
    let shape = source.frames.shape();
    let channels = shape.channels;
    let inner_y = y.clamp(0, (shape.height as i64 - 1).max(0));
    if let Fill::Constant(value) = source.fill
        && (inner_y != y || shape.is_empty())
    {
        wide.fill(value.to_f32());
    } else {
        let row = source.frames.row(source.frame, inner_y as usize);
        // Columns before, inside and after the image.
        let width = (wide.len() / channels) as i64;
        let start = (-x).clamp(0, width);
        let end = (shape.width as i64 - x).clamp(start, width);
        let first = (x + start).max(0) as usize * channels;
        let inside = if end > start { &row[first..first + (end - start) as usize * channels] } else { &[] };
        if let (Some(row), true, None) = (T::as_f32(inside), inside.len() == wide.len(), source.prepare) {
            return row;
        }
        let (before, rest) = wide.split_at_mut(start as usize * channels);
        let (middle, after) = rest.split_at_mut(inside.len());
        widen_row(inside, middle);
        let (left, right) = match source.fill {
            Fill::Constant(value) => ([value; 4], [value; 4]),
            Fill::Edge => (first_pixel(row), first_pixel(&row[row.len() - channels..])),
        };
        repeat_pixel(before, &left[..channels]);
        repeat_pixel(after, &right[..channels]);
    }
    if let Some(prepare) = source.prepare {
        prepare(wide);
    }
    wide
}

/// The first pixel, and whatever follows up to four samples.
fn first_pixel<T: Pixel>(row: &[T]) -> [T; 4] {
    std::array::from_fn(|channel| row.get(channel).copied().unwrap_or_default())
}

fn repeat_pixel<T: Pixel>(out: &mut [f32], pixel: &[T]) {
    for target in out.chunks_exact_mut(pixel.len()) {
        for (target, sample) in target.iter_mut().zip(pixel) {
            *target = sample.to_f32();
        }
    }
}
