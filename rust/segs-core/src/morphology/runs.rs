//! Runs of equal pixels, and which of them touch.

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, Watch};
use crate::view::{Frames, Shape};

/// Columns `start..end` of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Pixels that are looked at together, as bits of one number.
const BLOCK: usize = 64;

/// Which neighbors of a pixel touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbors {
    Four,
    Eight,
}

/// The runs of a mask in raster order, joined into regions.
pub(super) struct RunForest {
    runs: Vec<Run>,
    /// `rows[y]..rows[y + 1]` are the runs of row `y`.
    rows: Vec<u32>,
    /// The region's first run is its root; every other run points to one before it.
    parent: Vec<u32>,
}

impl RunForest {
    /// The regions of pixels that are not 0 (`set`), or are.
    pub(super) fn new(
        mask: Frames<'_, u8>,
        set: bool,
        neighbors: Neighbors,
        interrupted: Interrupted<'_>,
    ) -> Result<Self> {
        let shape = mask.shape();
        check_size(shape)?;
        let mut forest = Self { runs: Vec::new(), rows: vec![0], parent: Vec::new() };
        let mut watch = Watch::new(interrupted);
        for y in 0..shape.height {
            watch.check()?;
            let above = forest.row(y.wrapping_sub(1));
            collect_runs(mask.row(0, y), set, &mut forest.runs);
            forest.rows.push(forest.runs.len() as u32);
            forest.parent.extend(forest.parent.len() as u32..forest.runs.len() as u32);
            forest.join(above, forest.row(y), u32::from(neighbors == Neighbors::Eight));
        }
        Ok(forest)
    }

    /// Number of runs.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Indices of the runs of row `y`, none where there is no such row.
    pub(super) fn row(&self, y: usize) -> std::ops::Range<usize> {
        match self.rows.get(y).zip(self.rows.get(y.wrapping_add(1))) {
            Some((&start, &end)) => start as usize..end as usize,
            None => 0..0,
        }
    }

    pub(super) fn run(&self, index: usize) -> Run {
        self.runs[index]
    }

    /// The first run of the region that run `index` belongs to.
    pub(super) fn root(&mut self, index: usize) -> usize {
        let mut at = index as u32;
        while self.parent[at as usize] != at {
            // Halving the path keeps later walks short.
            let grandparent = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = grandparent;
            at = grandparent;
        }
        at as usize
    }

    /// Joins the regions of the touching runs of two neighboring rows.
    fn join(&mut self, above: std::ops::Range<usize>, below: std::ops::Range<usize>, diagonal: u32) {
        let (mut a, mut b) = (above.start, below.start);
        while a < above.end && b < below.end {
            let (run, other) = (self.runs[a], self.runs[b]);
            if run.start < other.end + diagonal && other.start < run.end + diagonal {
                let (first, second) = (self.root(a), self.root(b));
                let (first, second) = (first.min(second), first.max(second));
                self.parent[second] = first as u32;
            }
            // The run that ends first touches nothing further; of two that end together the next ones may still touch.
            if run.end <= other.end {
                a += 1;
            } else {
                b += 1;
            }
        }
    }
}

/// Runs are counted in `u32`, labels in `i32`.
fn check_size(shape: Shape) -> Result<()> {
    let most = shape.width.div_ceil(2).checked_mul(shape.height);
    if shape.frames != 1 {
        return Err(Error::shape("mask", "one mask", shape.to_string()));
    }
    if shape.width > u32::MAX as usize / 2 || most.is_none_or(|runs| runs > i32::MAX as usize) {
        return Err(Error::shape("mask", "less than 2^32 pixels", shape.to_string()));
    }
    Ok(())
}

fn collect_runs(row: &[u8], set: bool, runs: &mut Vec<Run>) {
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    // Filled up with pixels that are not wanted, so that every run ends.
    let mut last = [u8::from(!set); BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut open = None;
    // Whether the pixel before the block is wanted.
    let mut before = 0;
    for (index, block) in blocks.iter().chain(std::iter::once(&last)).enumerate() {
        let wanted = if set { bits(block) } else { !bits(block) };
        // Where a pixel differs from the one before it, a run begins or ends.
        let mut edges = wanted ^ ((wanted << 1) | before);
        before = wanted >> (BLOCK - 1);
        while edges != 0 {
            let x = (index * BLOCK) as u32 + edges.trailing_zeros();
            edges &= edges - 1;
            open = match open {
                Some(start) => {
                    runs.push(Run { start, end: x });
                    None
                }
                None => Some(x),
            };
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use portable_bits as bits;

/// Bit i is set where pixel i is not 0.
#[cfg(target_arch = "x86_64")]
#[inline]
fn bits(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_setzero_si128};
    block.as_chunks::<16>().0.iter().rev().fold(0, |bits, pixels| {
        // SAFETY: the array is as large as the vector, which has no invalid values; every x86-64 CPU has SSE2.
        let zeros = unsafe {
            let pixels = std::mem::transmute::<[u8; 16], __m128i>(*pixels);
            _mm_movemask_epi8(_mm_cmpeq_epi8(pixels, _mm_setzero_si128()))
        };
        (bits << 16) | u64::from(!zeros as u16)
    })
}

/// As `bits`, for CPUs of any kind.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
fn portable_bits(block: &[u8; BLOCK]) -> u64 {
    block.as_chunks::<8>().0.iter().rev().fold(0, |bits, pixels| {
        let pixels = u64::from_le_bytes(*pixels);
        // The highest bit of each byte that is not 0; then those bits side by side.
        let set = (((pixels & 0x7f7f_7f7f_7f7f_7f7f) + 0x7f7f_7f7f_7f7f_7f7f) | pixels) & 0x8080_8080_8080_8080;
        (bits << 8) | ((set >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_tell_which_pixels_are_not_0(
            pixels in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(127), Just(128), Just(255)], BLOCK),
        ) {
            let block: &[u8; BLOCK] = pixels.as_slice().try_into().unwrap();
            let expected = (0..BLOCK).fold(0, |bits, i| bits | (u64::from(block[i] != 0) << i));
            prop_assert_eq!(bits(block), expected);
            prop_assert_eq!(portable_bits(block), expected);
        }
    }
}
