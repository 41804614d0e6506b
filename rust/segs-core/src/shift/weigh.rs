//! Weighted sums of rows: all that a shift computes.
//!
//! Down the image, the taps of a sample lie in rows below each other; across it, in one row that is read several times,
//! each time a pixel further. Every sum takes its taps in order, so that it has the same bits at any place in a row.

use crate::cpu::multiversion;
use crate::pixel::{LANES, Pixel};
use crate::shift::{LANCZOS_TAPS, LINEAR_TAPS};

/// Samples that are summed together.
const BLOCK: usize = 4 * LANES;

multiversion! {
    /// Writes the sums of the rows, each times its weight, limited to `range`. The rows are at least as long as `out`, and
    /// as many as the weights: those of a filter of this module.
    fn weigh[T: Pixel](rows: &[&[f32]], weights: &[f32], range: (f32, f32), out: &mut [T]) =
        weigh_body::<T, true>, weigh_body::<T, false>;
}

#[inline(always)]
fn weigh_body<T: Pixel, const FAST: bool>(rows: &[&[f32]], weights: &[f32], range: (f32, f32), out: &mut [T]) {
    match weights.len() {
        LANCZOS_TAPS => weigh_taps::<T, LANCZOS_TAPS, FAST>(rows, weights, range, out),
        LINEAR_TAPS => weigh_taps::<T, LINEAR_TAPS, FAST>(rows, weights, range, out),
        taps => unreachable!("no filter has {taps} taps"),
    }
}

#[inline(always)]
fn weigh_taps<T: Pixel, const N: usize, const FAST: bool>(
    rows: &[&[f32]],
    weights: &[f32],
    range: (f32, f32),
    out: &mut [T],
) {
    let len = out.len();
    let rows: [&[f32]; N] = std::array::from_fn(|tap| &rows[tap][..len]);
    let weights: [f32; N] = std::array::from_fn(|tap| weights[tap]);
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    for (index, block) in blocks.iter_mut().enumerate() {
        let sums: [f32; BLOCK] = sums::<N, BLOCK, FAST>(&rows, &weights, index * BLOCK, range);
        write_lanes::<T, FAST>(&sums, block);
    }
    let start = len - rest.len();
    let (groups, last) = rest.as_chunks_mut::<LANES>();
    for (index, group) in groups.iter_mut().enumerate() {
        let sums: [f32; LANES] = sums::<N, LANES, FAST>(&rows, &weights, start + index * LANES, range);
        write_lanes::<T, FAST>(&sums, group);
    }
    let start = len - last.len();
    for (index, sample) in last.iter_mut().enumerate() {
        *sample = T::from_f32(sums::<N, 1, FAST>(&rows, &weights, start + index, range)[0]);
    }
}

/// The sums of `LEN` samples from `start` on.
#[inline(always)]
fn sums<const N: usize, const LEN: usize, const FUSED: bool>(
    rows: &[&[f32]; N],
    weights: &[f32; N],
    start: usize,
    range: (f32, f32),
) -> [f32; LEN] {
    let mut sums = [0.0f32; LEN];
    for (row, &weight) in rows.iter().zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(&row[start..start + LEN]) {
            *sum = if FUSED { weight.mul_add(value, *sum) } else { *sum + weight * value };
        }
    }
    sums.map(|sum| sum.clamp(range.0, range.1))
}

/// Slices of one length, a multiple of [`LANES`].
#[inline(always)]
fn write_lanes<T: Pixel, const FAST: bool>(values: &[f32], out: &mut [T]) {
    for (values, out) in values.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0) {
        // SAFETY: `multiversion` takes the fast body only at the level `Avx2`.
        *out = unsafe { T::narrow_lanes::<FAST>(*values) };
    }
}

multiversion! {
    /// Converts a row to floats; the slices have one length.
    fn widen_row[T: Pixel](row: &[T], values: &mut [f32]) = widen_row_body::<T>;
}

#[inline(always)]
fn widen_row_body<T: Pixel>(row: &[T], values: &mut [f32]) {
    T::widen(row, values);
}
