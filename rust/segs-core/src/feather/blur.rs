//! The two passes of the Gaussian, over a ring of horizontally filtered rows.
//!
//! Each result is summed in one order whatever its place in a block, a group or a band: how the work is cut up changes
//! no bit of it.

use crate::cpu::multiversion;
use crate::parallel::Brake;
use crate::view::{Band, Frames};

/// Columns that are filtered together, and that are skipped together where they are flat: eight vectors of eight lanes.
const BLOCK: usize = 64;

/// Output rows that are filtered together. With the rows around them, up to a feather of 85, a block of columns fits the
/// first cache.
const GROUP_ROWS: usize = 16;

/// Filtered samples of one row. They begin with a line of the cache, so that no vector of them lies in two.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Block([f32; BLOCK]);

/// Buffers of one job.
#[derive(Debug)]
pub(super) struct Blur<'a> {
    /// Weights of the center and of one side.
    weights: &'a [f32],
    height: usize,
    width: usize,
    /// One row of the mask with its reflected borders, without what lies far from them.
    padded: Vec<f32>,
    /// Horizontally filtered rows, block by block: each block of a row at a place of its own in its column of blocks,
    /// until as many rows later as there are places. If rows lay together, those of most masks would lie a power of two
    /// apart and push each other out of the cache; the one place more keeps the columns from doing so.
    ring: Vec<Block>,
    /// For each block in the ring, column by column: where it is flat.
    flats: Vec<Flat>,
    /// One less than the places of a column, which are a power of two.
    last_place: usize,
    /// Places of the rows around a group in each column of blocks.
    places: Vec<usize>,
}

/// How many rows up to one, none or more, are flat in a block, all with one value.
#[derive(Debug, Clone, Copy, Default)]
struct Flat {
    rows: usize,
    value: f32,
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
            padded: vec![0.0; blocks * BLOCK + 2 * radius],
            ring: vec![Block([0.0; BLOCK]); (capacity + 1) * blocks],
            flats: vec![Flat::default(); capacity * blocks],
            last_place: capacity - 1,
            places: vec![0; 2 * radius + GROUP_ROWS],
        }
    }

    /// Filters the rows of one band, unless it is told to stop.
    pub(super) fn band(&mut self, masks: Frames<'_, f32>, band: &mut Band<'_, f32>, brake: &mut Brake<'_>) {
        let radius = self.weights.len() - 1;
        let begin = band.y.saturating_sub(radius);
        let mut next = begin;
        for (group, data) in band.data.chunks_mut(GROUP_ROWS * self.width).enumerate() {
            let first = band.y + group * GROUP_ROWS;
            let rows = data.len() / self.width;
            let end = (first + rows + radius).min(self.height);
            if brake.stops() {
                return;
            }
            while next < end {
                self.push(masks.row(band.frame, next), next, next == begin);
                next += 1;
            }
            for (index, place) in self.places.iter_mut().enumerate().take(2 * radius + rows) {
                *place = reflect((first + index) as isize - radius as isize, self.height) & self.last_place;
            }
            self.filter_columns(first, data);
        }
    }

    /// Filters row `y` of a mask horizontally into the ring. The first row of a band follows no other.
    fn push(&mut self, row: &[f32], y: usize, is_first: bool) {
        let radius = self.weights.len() - 1;
        let inner = inner_blocks(self.width, radius);
        pad_ends(row, radius, inner.clone(), &mut self.padded);
        let (place, before) = (y & self.last_place, y.wrapping_sub(1) & self.last_place);
        let columns = self.ring.chunks_exact_mut(self.last_place + 2);
        let flats = self.flats.chunks_exact_mut(self.last_place + 1);
        for (block, (column, flats)) in columns.zip(flats).enumerate() {
            let x = block * BLOCK;
            let samples = if inner.contains(&block) { &row[x - radius..] } else { &self.padded[x..] };
            // The results of a block are made of the samples from its first one, less the radius, on.
            let flat = flat_value(&samples[..(self.width - x).min(BLOCK) + 2 * radius]);
            flats[place] = if let Some(value) = flat {
                column[place].0.fill(value);
                let goes_on = !is_first && flats[before].rows > 0 && flats[before].value == value;
                Flat { value, rows: if goes_on { flats[before].rows + 1 } else { 1 } }
            } else {
                filter_row(samples, self.weights, &mut column[place].0);
                Flat::default()
            };
        }
    }

    /// Filters the ring's rows vertically into the output rows from `first` on, block by block.
    fn filter_columns(&self, first: usize, out: &mut [f32]) {
        let radius = self.weights.len() - 1;
        let columns = self.ring.chunks_exact(self.last_place + 2);
        for (block, (column, flats)) in columns.zip(self.flats.chunks_exact(self.last_place + 1)).enumerate() {
            let x = block * BLOCK;
            let end = self.width.min(x + BLOCK);
            for (index, row) in out.chunks_exact_mut(self.width).enumerate() {
                let y = first + index;
                let last = (y + radius).min(self.height - 1);
                let flat = flats[last & self.last_place];
                if flat.rows > last - y.saturating_sub(radius) {
                    row[x..end].fill(flat.value);
                } else {
                    weigh_rows(column, &self.places[index..=index + 2 * radius], self.weights, &mut row[x..end]);
                }
            }
        }
    }
}

/// The value that all samples have, if they do.
#[inline(always)]
fn flat_value(samples: &[f32]) -> Option<f32> {
    let value = samples[0];
    // Most that are not flat show it at once; the rest is compared without branches.
    if samples[samples.len() - 1] != value || samples[samples.len() / 2] != value {
        return None;
    }
    let differs = |chunk: &[f32]| chunk.iter().fold(0, |any, sample| any | u32::from(*sample != value)) != 0;
    (!samples.chunks(BLOCK).any(differs)).then_some(value)
}

/// The blocks whose results are made of samples of the row alone, none of its borders.
fn inner_blocks(width: usize, radius: usize) -> std::ops::Range<usize> {
    let first = radius.div_ceil(BLOCK);
    first..(width.saturating_sub(radius) / BLOCK).max(first)
}

/// Writes a row with its reflected borders to `padded`, except for what only the blocks `inner` are made of.
fn pad_ends(row: &[f32], radius: usize, inner: std::ops::Range<usize>, padded: &mut [f32]) {
    let width = row.len();
    let (left, rest) = padded.split_at_mut(radius);
    let (middle, right) = rest.split_at_mut(width);
    for (i, value) in left.iter_mut().rev().enumerate() {
        *value = row[i + 1];
    }
    for (i, value) in right.iter_mut().take(radius).enumerate() {
        *value = row[width - 2 - i];
    }
    let start = (inner.start * BLOCK + radius).min(width);
    middle[..start].copy_from_slice(&row[..start]);
    let end = (inner.end * BLOCK - radius).max(start).min(width);
    middle[end..].copy_from_slice(&row[end..]);
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
    fn filter_row(padded: &[f32], weights: &[f32], out: &mut [f32; BLOCK]) =
        filter_row_body::<true, BLOCK>, filter_row_body::<false, { BLOCK / 2 }>;
}

/// One block of the horizontal pass; `padded` begins `weights.len() - 1` samples before it.
#[inline(always)]
fn filter_row_body<const FUSED: bool, const LANES: usize>(padded: &[f32], weights: &[f32], out: &mut [f32; BLOCK]) {
    let radius = weights.len() - 1;
    for (index, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let x = index * LANES;
        let padded = &padded[x..x + LANES + 2 * radius];
        let center = &padded[radius..radius + LANES];
        let mut sums: [f32; LANES] = std::array::from_fn(|i| weights[0] * center[i]);
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
    /// One block of one row of the vertical pass, whose samples are at `places` of `column`.
    fn weigh_rows(column: &[Block], places: &[usize], weights: &[f32], out: &mut [f32]) =
        weigh_rows_body::<true, BLOCK>, weigh_rows_body::<false, { BLOCK / 2 }>;
}

#[inline(always)]
fn weigh_rows_body<const FUSED: bool, const LANES: usize>(
    column: &[Block],
    places: &[usize],
    weights: &[f32],
    out: &mut [f32],
) {
    for (index, out) in out.chunks_mut(LANES).enumerate() {
        let sums = weigh_columns::<FUSED, LANES>(column, places, weights, index * LANES);
        match out.as_chunks_mut::<LANES>() {
            ([whole], []) => *whole = sums,
            (_, part) => part.copy_from_slice(&sums[..part.len()]),
        }
    }
}

/// Columns from `x` on of a block, for the row whose samples are at `places`.
#[inline(always)]
fn weigh_columns<const FUSED: bool, const LANES: usize>(
    column: &[Block],
    places: &[usize],
    weights: &[f32],
    x: usize,
) -> [f32; LANES] {
    let radius = weights.len() - 1;
    let samples = |place: usize| &column[place].0[x..x + LANES];
    let (before, rest) = places.split_at(radius);
    let center = samples(rest[0]);
    let mut sums: [f32; LANES] = std::array::from_fn(|i| weights[0] * center[i]);
    for ((&weight, &before), &after) in weights[1..].iter().zip(before.iter().rev()).zip(&rest[1..]) {
        for (sum, (a, b)) in sums.iter_mut().zip(samples(before).iter().zip(samples(after))) {
            *sum = add_product::<FUSED>(*sum, weight, a + b);
        }
    }
    sums
}
