//! Samples at places that have weights of their own.

use crate::cpu::multiversion;
use crate::pixel::LANES;
use crate::shift::{LANCZOS_TAPS, LINEAR_TAPS};
use crate::turn::Grid;
use crate::turn::table::Table;

/// A place in a box of samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spot {
    /// Column and row of the sample at or before the place.
    pub(super) column: u32,
    pub(super) row: u32,
    /// Parts of a pixel from there, up to 1.
    pub(super) x: f32,
    pub(super) y: f32,
}

multiversion! {
    /// Finds the spots of pixels in a row of a grid, from column `first` on, in the box whose corner lies at `corner`.
    fn find_spots(grid: &Grid, first: usize, row: usize, corner: (i64, i64), spots: &mut [Spot]) = find_spots_body;
}

#[inline(always)]
fn find_spots_body(grid: &Grid, first: usize, row: usize, corner: (i64, i64), spots: &mut [Spot]) {
    let (left, top) = (corner.0 as f64, corner.1 as f64);
    for (index, spot) in spots.iter_mut().enumerate() {
        let (x, y) = grid.at(first + index, row);
        let (column, line) = (x.floor(), y.floor());
        let (x, y) = ((x - column) as f32, (y - line) as f32);
        *spot = Spot { column: (column - left) as u32, row: (line - top) as u32, x, y };
    }
}

/// Samples of a pixel in a box: of one channel, or of up to four.
pub(super) const WIDE: usize = 4;

/// Samples of two pixels.
const LANES_OF_TWO: usize = 2 * WIDE;

/// Taps of a filter before the sample that a place follows.
const BEFORE: usize = LANCZOS_TAPS / 2 - 1;

multiversion! {
    /// Writes the pixels at the spots, limited to `[0, most]`: [`WIDE`] samples each, as the box has them. Its rows lie
    /// `stride` samples apart, and it reaches two pixels before all spots and three after.
    fn sinc_wide(samples: &[f32], stride: usize, spots: &[Spot], most: f32, out: &mut [[f32; WIDE]]) =
        sinc_wide_body::<true>, sinc_wide_body::<false>;
}

#[inline(always)]
fn sinc_wide_body<const FUSED: bool>(
    samples: &[f32],
    stride: usize,
    spots: &[Spot],
    most: f32,
    out: &mut [[f32; WIDE]],
) {
    const PAIRS: usize = LANCZOS_TAPS / 2;
    let table = Table::get();
    for (spot, out) in spots.iter().zip(out) {
        let down = table.weights::<FUSED>(spot.y);
        let start = (spot.row as usize - BEFORE) * stride + (spot.column as usize - BEFORE) * WIDE;
        // Two columns fill a vector.
        let mut columns = [[0.0f32; LANES_OF_TWO]; PAIRS];
        for tap in 0..LANCZOS_TAPS {
            let row = &samples[start + tap * stride..][..LANCZOS_TAPS * WIDE];
            for (sums, values) in columns.iter_mut().zip(row.as_chunks::<LANES_OF_TWO>().0) {
                *sums = weighed::<LANES_OF_TWO, FUSED>(&[down[tap]; LANES_OF_TWO], values, sums);
            }
        }
        let across = table.weights::<FUSED>(spot.x);
        let mut sums = [0.0f32; LANES_OF_TWO];
        for (pair, columns) in columns.iter().enumerate() {
            let weights = std::array::from_fn(|index| across[2 * pair + index / WIDE]);
            sums = weighed::<LANES_OF_TWO, FUSED>(&weights, columns, &sums);
        }
        *out = std::array::from_fn(|channel| (sums[channel] + sums[channel + WIDE]).clamp(0.0, most));
    }
}

multiversion! {
    /// The same where pixels have one sample.
    fn sinc_narrow(samples: &[f32], stride: usize, spots: &[Spot], most: f32, out: &mut [f32]) =
        sinc_narrow_body::<true>, sinc_narrow_body::<false>;
}

#[inline(always)]
fn sinc_narrow_body<const FUSED: bool>(samples: &[f32], stride: usize, spots: &[Spot], most: f32, out: &mut [f32]) {
    let table = Table::get();
    for (spot, out) in spots.iter().zip(out) {
        let down = table.weights::<FUSED>(spot.y);
        let start = (spot.row as usize - BEFORE) * stride + spot.column as usize - BEFORE;
        // Two more than the taps, whose weights are 0: they fill a vector.
        let mut columns = [0.0f32; LANES];
        for tap in 0..LANCZOS_TAPS {
            let row = &samples[start + tap * stride..];
            let values = std::array::from_fn(|index| if index < LANCZOS_TAPS { row[index] } else { 0.0 });
            columns = weighed::<LANES, FUSED>(&[down[tap]; LANES], &values, &columns);
        }
        let across = table.weights::<FUSED>(spot.x);
        let sum: f32 = columns.iter().zip(across).map(|(value, weight)| weight * value).sum();
        *out = sum.clamp(0.0, most);
    }
}

#[inline(always)]
fn weighed<const N: usize, const FUSED: bool>(weights: &[f32; N], values: &[f32; N], sums: &[f32; N]) -> [f32; N] {
    std::array::from_fn(|lane| {
        if FUSED { weights[lane].mul_add(values[lane], sums[lane]) } else { sums[lane] + weights[lane] * values[lane] }
    })
}

multiversion! {
    /// Writes the values of a mask at the spots. The box reaches one pixel after all of them.
    fn linear(samples: &[f32], stride: usize, spots: &[Spot], out: &mut [f32]) = linear_body;
}

#[inline(always)]
fn linear_body(samples: &[f32], stride: usize, spots: &[Spot], out: &mut [f32]) {
    // Written so that between equal values lies that value to the bit: a mask of ones stays one.
    let between = |a: f32, b: f32, part: f32| a + part * (b - a);
    for (spot, out) in spots.iter().zip(out) {
        let start = spot.row as usize * stride + spot.column as usize;
        let (above, below) = (&samples[start..][..LINEAR_TAPS], &samples[start + stride..][..LINEAR_TAPS]);
        *out = between(between(above[0], above[1], spot.x), between(below[0], below[1], spot.x), spot.y);
    }
}
