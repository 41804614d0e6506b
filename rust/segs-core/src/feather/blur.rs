//! The two passes of the Gaussian, over a ring of horizontally filtered rows.
//!
//! Each result is summed in one order whatever its place in a block, a group or a band: how the work is cut up changes
//! no bit of it.

use crate::cpu::multiversion;
use crate::view::{Band, Frames};

/// Columns that are filtered together, and that are skipped together where they are flat: eight vectors of eight lanes.
const BLOCK: usize = 64;

/// Output rows that are filtered together. With the rows around them, up to a feather of 85, a block of columns fits the
/// first cache.
const GROUP_ROWS: usize = 16;

/// Buffers of one job.
#[derive(Debug)]
pub(super) struct Blur<'a> {
    /// Weights of the centre and of one side.
    weights: &'a [f32],
    height: usize,
    width: usize,
    /// Blocks in a row; rows of the buffers are padded to whole ones.
    blocks: usize,
    /// One row of the mask with its reflected borders.
    padded: Vec<f32>,
    /// Horizontally filtered rows, each at a place of its own until `capacity` rows later.
    ring: Vec<f32>,
    capacity: usize,
    /// For each block of each row of the ring: its value if it is flat.
    flat: Vec<Option<f32>>,
    /// For each block of each row of the ring: how many rows, up to this one, are flat there with one value.
    runs: Vec<usize>,
    /// Where the rows around a group begin in the ring.
    offsets: Vec<usize>,
}

impl<'a> Blur<'a> {
    pub(super) fn new(weights: &'a [f32], height: usize, width: usize) -> Self {
        let radius = weights.len() - 1;
        let blocks = width.div_ceil(BLOCK);
        let capacity = (2 * radius + GROUP_ROWS).next_power_of_two();
        Self {
            weights,
            height,
            width,
            blocks,
            padded: vec![0.0; blocks * BLOCK + 2 * radius],
            ring: vec![0.0; capacity * blocks * BLOCK],
            capacity,
            flat: vec![None; capacity * blocks],
            runs: vec![0; capacity * blocks],
            offsets: vec![0; 2 * radius + GROUP_ROWS],
        }
    }

    /// Filters the rows of one band.
    pub(super) fn band(&mut self, masks: Frames<'_, f32>, band: &mut Band<'_, f32>) {
        let radius = self.weights.len() - 1;
        let begin = band.y.saturating_sub(radius);
        let mut next = begin;
        for (group, data) in band.data.chunks_mut(GROUP_ROWS * self.width).enumerate() {
            let first = band.y + group * GROUP_ROWS;
            let rows = data.len() / self.width;
            let end = (first + rows + radius).min(self.height);
            while next < end {
                self.push(masks.row(band.frame, next), next, next == begin);
                next += 1;
            }
            for (index, offset) in self.offsets.iter_mut().enumerate().take(2 * radius + rows) {
                let row = reflect((first + index) as isize - radius as isize, self.height);
                *offset = row % self.capacity * self.blocks * BLOCK;
            }
            self.filter_columns(first, data);
        }
    }

    /// Filters row `y` of a mask horizontally into the ring. The first row of a band follows no other.
    fn push(&mut self, row: &[f32], y: usize, is_first: bool) {
        let radius = self.weights.len() - 1;
        let (left, rest) = self.padded.split_at_mut(radius);
        let (middle, right) = rest.split_at_mut(self.width);
        middle.copy_from_slice(row);
        for (i, value) in left.iter_mut().rev().enumerate() {
            *value = row[i + 1];
        }
        for (i, value) in right.iter_mut().take(radius).enumerate() {
            *value = row[self.width - 2 - i];
        }
        let (slot, before) = (y % self.capacity, (y + self.capacity - 1) % self.capacity);
        for block in 0..self.blocks {
            let x = block * BLOCK;
            let out = &mut self.ring[(slot * self.blocks + block) * BLOCK..][..BLOCK];
            // The results of a block are made of the samples from its first one, less the radius, on.
            let samples = (self.width - x).min(BLOCK) + 2 * radius;
            let flat = flat_value(&self.padded[x..x + samples]);
            match flat {
                Some(value) => out.fill(value),
                None => filter_row(&self.padded[x..], self.weights, out),
            }
            let goes_on = flat.is_some() && !is_first && flat == self.flat[before * self.blocks + block];
            let run = if goes_on { self.runs[before * self.blocks + block] } else { 0 };
            self.runs[slot * self.blocks + block] = run + usize::from(flat.is_some());
            self.flat[slot * self.blocks + block] = flat;
        }
    }

    /// Filters the ring's rows vertically into the output rows from `first` on, block by block.
    fn filter_columns(&self, first: usize, out: &mut [f32]) {
        let radius = self.weights.len() - 1;
        for block in 0..self.blocks {
            let x = block * BLOCK;
            for (index, row) in out.chunks_exact_mut(self.width).enumerate() {
                let y = first + index;
                let last = (y + radius).min(self.height - 1);
                let needed = last - y.saturating_sub(radius) + 1;
                let end = self.width.min(x + BLOCK);
                let place = last % self.capacity * self.blocks + block;
                match self.flat[place] {
                    Some(value) if self.runs[place] >= needed => row[x..end].fill(value),
                    _ => weigh_rows(&self.ring[x..], &self.offsets[index..], self.weights, &mut row[x..end]),
                }
            }
        }
    }
}

/// The value that all samples have, if they do.
#[inline]
fn flat_value(samples: &[f32]) -> Option<f32> {
    let value = samples[0];
    // Most that are not flat show it at once; the rest is compared without branches.
    if samples[samples.len() - 1] != value || samples[samples.len() / 2] != value {
        return None;
    }
    let differs = |chunk: &[f32]| chunk.iter().fold(0, |any, sample| any | u32::from(*sample != value)) != 0;
    (!samples.chunks(BLOCK).any(differs)).then_some(value)
}

/// The row or column that stands for `index`, which may lie outside by less than `len`.
fn reflect(index: isize, len: usize) -> usize {
    let index = index.unsigned_abs();
    if index < len { index } else { 2 * (len - 1) - index }
}

#[inline(always)]
fn add_product<const FUSED: bool>(sum: f32, weight: f32, value: f32) -> f32 {
    if FUSED { weight.mul_add(value, sum) } else { sum + weight * value }
}

multiversion! {
    fn filter_row(padded: &[f32], weights: &[f32], out: &mut [f32]) =
        filter_row_body::<true, BLOCK>, filter_row_body::<false, { BLOCK / 2 }>;
}

/// One block of the horizontal pass; `padded` begins `weights.len() - 1` samples before it.
#[inline(always)]
fn filter_row_body<const FUSED: bool, const LANES: usize>(padded: &[f32], weights: &[f32], out: &mut [f32]) {
    let radius = weights.len() - 1;
    for (index, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let x = index * LANES;
        let padded = &padded[x..x + LANES + 2 * radius];
        let mut sums = [0.0; LANES];
        for (sum, centre) in sums.iter_mut().zip(&padded[radius..radius + LANES]) {
            *sum = weights[0] * centre;
        }
        for (k, &weight) in weights.iter().enumerate().skip(1) {
            let (before, after) = (&padded[radius - k..][..LANES], &padded[radius + k..][..LANES]);
            for (sum, (a, b)) in sums.iter_mut().zip(before.iter().zip(after)) {
                *sum = add_product::<FUSED>(*sum, weight, a + b);
            }
        }
        *out = sums;
    }
}

multiversion! {
    fn weigh_rows(columns: &[f32], offsets: &[usize], weights: &[f32], out: &mut [f32]) =
        weigh_rows_body::<true, BLOCK>, weigh_rows_body::<false, { BLOCK / 2 }>;
}

/// One block of one row of the vertical pass: `columns` is the ring from the block on, where its rows begin at `offsets`.
#[inline(always)]
fn weigh_rows_body<const FUSED: bool, const LANES: usize>(
    columns: &[f32],
    offsets: &[usize],
    weights: &[f32],
    out: &mut [f32],
) {
    let radius = weights.len() - 1;
    for (index, out) in out.chunks_mut(LANES).enumerate() {
        let row = |offset: usize| &columns[offset + index * LANES..][..LANES];
        let mut sums = [0.0; LANES];
        for (sum, centre) in sums.iter_mut().zip(row(offsets[radius])) {
            *sum = weights[0] * centre;
        }
        for (k, &weight) in weights.iter().enumerate().skip(1) {
            let (before, after) = (row(offsets[radius - k]), row(offsets[radius + k]));
            for (sum, (a, b)) in sums.iter_mut().zip(before.iter().zip(after)) {
                *sum = add_product::<FUSED>(*sum, weight, a + b);
            }
        }
        match out.as_chunks_mut::<LANES>() {
            ([whole], []) => *whole = sums,
            (_, part) => part.copy_from_slice(&sums[..part.len()]),
        }
    }
}
