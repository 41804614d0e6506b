//! The two passes of a separable resize, over rows of `f32`.
//!
//! Every output sample is a sum of its taps in order, whatever its place in a block, a strip or a band: how the work is
//! cut up changes no bit of the result.

use crate::cpu::multiversion;
use crate::pixel::Pixel;
use crate::resize::plan::Axis;
use crate::resize::ring::Ring;

/// Adds `weight * value`, in one rounding where `FUSED`.
#[inline(always)]
fn add_product<const FUSED: bool>(sum: f32, weight: f32, value: f32) -> f32 {
    if FUSED { weight.mul_add(value, sum) } else { sum + weight * value }
}

multiversion! {
    /// The vertical pass: filters the ring's rows into the output rows from `first` on, as many as `out` holds, and limits
    /// the results to `range`. The ring must hold all rows that these need.
    fn vertical[T: Pixel](ring: &Ring<f32>, axis: &Axis, first: usize, range: (f32, f32), out: &mut [T]) =
        weigh_rows::<T, true, 64>, weigh_rows::<T, false, 32>;
}

/// Goes over all output rows for a few columns before the next ones: so the columns stay in the first cache.
#[inline(always)]
fn weigh_rows<T: Pixel, const FUSED: bool, const LANES: usize>(
    ring: &Ring<f32>,
    axis: &Axis,
    first: usize,
    range: (f32, f32),
    out: &mut [T],
) {
    let mut x = 0;
    while x + LANES <= ring.row_len() {
        weigh_columns::<T, FUSED, LANES>(ring, axis, first, x, range, out);
        x += LANES;
    }
    while x + 8 <= ring.row_len() {
        weigh_columns::<T, FUSED, 8>(ring, axis, first, x, range, out);
        x += 8;
    }
    while x < ring.row_len() {
        weigh_columns::<T, FUSED, 1>(ring, axis, first, x, range, out);
        x += 1;
    }
}

/// `LANES` columns from `x` on.
#[inline(always)]
fn weigh_columns<T: Pixel, const FUSED: bool, const LANES: usize>(
    ring: &Ring<f32>,
    axis: &Axis,
    first: usize,
    x: usize,
    range: (f32, f32),
    out: &mut [T],
) {
    for (index, row) in out.chunks_exact_mut(ring.row_len()).enumerate() {
        let (start, weights) = axis.taps(first + index);
        // Past its last row the ring goes on with its first one.
        let slot = ring.slot(start);
        let (before, after) = weights.split_at(weights.len().min(ring.capacity() - slot));
        let mut sums = [0.0; LANES];
        for (slot, weights) in [(slot, before), (0, after)] {
            let mut offset = slot * ring.row_len() + x;
            for &weight in weights {
                let values = &ring.data()[offset..offset + LANES];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = add_product::<FUSED>(*sum, weight, *value);
                }
                offset += ring.row_len();
            }
        }
        T::narrow(&sums.map(|sum| sum.clamp(range.0, range.1)), &mut row[x..x + LANES]);
    }
}

/// Output columns that are filtered before they are handed on: 64 of 24 lanes are 6 KB.
const BLOCK_COLUMNS: usize = 64;

/// The horizontal pass over a few rows at a time, whose samples are interleaved column by column: then each tap is one
/// multiplication of contiguous lanes, whatever the number of channels.
#[derive(Debug)]
pub(super) struct Horizontal {
    channels: usize,
    row_len: usize,
    /// The rows to filter, one after the other.
    rows: Vec<f32>,
    /// The same, interleaved: for each column the pixels of all rows.
    strip: Vec<f32>,
    /// Output columns, interleaved.
    block: Vec<f32>,
    /// The same, row by row.
    block_rows: Vec<f32>,
}

impl Horizontal {
    /// Scratch for rows of `width` pixels.
    pub(super) fn new(width: usize, channels: usize) -> Self {
        let rows = Self::rows_at_once(channels);
        let lanes = rows * channels;
        Self {
            channels,
            row_len: width * channels,
            rows: vec![0.0; width * lanes],
            strip: vec![0.0; width * lanes],
            block: vec![0.0; BLOCK_COLUMNS * lanes],
            block_rows: vec![0.0; BLOCK_COLUMNS * lanes],
        }
    }

    /// Rows that are filtered together: as many as give two or three vectors of eight lanes.
    pub(super) fn rows_at_once(channels: usize) -> usize {
        match channels {
            1 => 16,
            2 | 3 => 8,
            _ => 4,
        }
    }

    /// The first `rows` of the rows to filter next, to be overwritten.
    pub(super) fn rows_mut(&mut self, rows: usize) -> &mut [f32] {
        &mut self.rows[..rows * self.row_len]
    }

    /// Filters the first `rows` rows, limits the results to `range`, and gives them to `sink(row, offset, values)`.
    pub(super) fn filter(
        &mut self,
        axis: &Axis,
        rows: usize,
        range: (f32, f32),
        sink: impl FnMut(usize, usize, &[f32]),
    ) {
        match self.channels {
            1 => self.filter_lanes::<1, 16>(filter_16, axis, rows, range, sink),
            2 => self.filter_lanes::<2, 16>(filter_16, axis, rows, range, sink),
            3 => self.filter_lanes::<3, 24>(filter_24, axis, rows, range, sink),
            _ => self.filter_lanes::<4, 16>(filter_16, axis, rows, range, sink),
        }
    }

    #[inline(always)]
    fn filter_lanes<const CHANNELS: usize, const LANES: usize>(
        &mut self,
        filter: impl Fn(&[f32], &Axis, usize, (f32, f32), &mut [f32]),
        axis: &Axis,
        rows: usize,
        range: (f32, f32),
        mut sink: impl FnMut(usize, usize, &[f32]),
    ) {
        let width = self.row_len / CHANNELS;
        // Rows that are not there are filtered too, as they were left from before; nobody reads them.
        interleave::<CHANNELS, LANES>(&self.rows, width, &mut self.strip);
        let mut x = 0;
        while x < axis.len() {
            let columns = BLOCK_COLUMNS.min(axis.len() - x);
            let block = &mut self.block[..columns * LANES];
            filter(&self.strip, axis, x, range, block);
            let block_rows = &mut self.block_rows[..columns * LANES];
            deinterleave::<CHANNELS, LANES>(block, columns, block_rows);
            for (row, values) in block_rows.chunks_exact(columns * CHANNELS).take(rows).enumerate() {
                sink(row, x * CHANNELS, values);
            }
            x += columns;
        }
    }
}

/// Rows of `width` pixels to columns of `LANES` samples.
fn interleave<const CHANNELS: usize, const LANES: usize>(rows: &[f32], width: usize, strip: &mut [f32]) {
    let rows = rows.as_chunks::<CHANNELS>().0;
    for (x, column) in strip.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        for (row, pixel) in column.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
            *pixel = rows[row * width + x];
        }
    }
}

/// Columns of `LANES` samples to rows of `width` pixels.
fn deinterleave<const CHANNELS: usize, const LANES: usize>(strip: &[f32], width: usize, rows: &mut [f32]) {
    let rows = rows.as_chunks_mut::<CHANNELS>().0;
    for (x, column) in strip.as_chunks::<LANES>().0.iter().enumerate() {
        for (row, pixel) in column.as_chunks::<CHANNELS>().0.iter().enumerate() {
            rows[row * width + x] = *pixel;
        }
    }
}

multiversion! {
    fn filter_16(strip: &[f32], axis: &Axis, first: usize, range: (f32, f32), block: &mut [f32]) =
        filter_body::<true, 16>, filter_body::<false, 16>;
}

multiversion! {
    fn filter_24(strip: &[f32], axis: &Axis, first: usize, range: (f32, f32), block: &mut [f32]) =
        filter_body::<true, 24>, filter_body::<false, 24>;
}

/// Filters a strip into the output columns from `first` on, as many as `block` holds.
#[inline(always)]
fn filter_body<const FUSED: bool, const LANES: usize>(
    strip: &[f32],
    axis: &Axis,
    first: usize,
    range: (f32, f32),
    block: &mut [f32],
) {
    let strip = strip.as_chunks::<LANES>().0;
    for (index, out) in block.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let (start, weights) = axis.taps(first + index);
        let mut sums = [0.0; LANES];
        for (column, &weight) in strip[start..start + weights.len()].iter().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(column) {
                *sum = add_product::<FUSED>(*sum, weight, *value);
            }
        }
        *out = sums.map(|sum| sum.clamp(range.0, range.1));
    }
}

multiversion! { fn read_row[T: Pixel](row: &[T], values: &mut [f32]) = read_row_body::<T>; }

#[inline(always)]
fn read_row_body<T: Pixel>(row: &[T], values: &mut [f32]) {
    T::widen(row, values);
}

multiversion! { fn write_row[T: Pixel](values: &[f32], row: &mut [T]) = write_row_body::<T>; }

#[inline(always)]
fn write_row_body<T: Pixel>(values: &[f32], row: &mut [T]) {
    T::narrow(values, row);
}
