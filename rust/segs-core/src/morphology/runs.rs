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

/// Pixels that are looked at together.
const BLOCK: usize = 16;

/// Pixels that are looked at one by one first: most runs of a noisy mask end here.
const NEAR: usize = 4;

/// Which neighbours of a pixel touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbours {
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
        neighbours: Neighbours,
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
            forest.join(above, forest.row(y), u32::from(neighbours == Neighbours::Eight));
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

    /// Joins the regions of the touching runs of two neighbouring rows.
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
    let mut x = 0;
    while let Some(start) = find(row, x, set) {
        let end = find(row, start, !set).unwrap_or(row.len());
        runs.push(Run { start: start as u32, end: end as u32 });
        x = end;
    }
}

/// The first column from `from` on whose pixel is set, or is not.
fn find(row: &[u8], from: usize, set: bool) -> Option<usize> {
    let rest = &row[from..];
    let wanted = |&pixel: &u8| (pixel != 0) == set;
    if let Some(offset) = rest.iter().take(NEAR).position(wanted) {
        return Some(from + offset);
    }
    // Long runs are passed by whole blocks.
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    let passed = BLOCK * blocks.iter().take_while(|block| !block.iter().fold(false, |any, p| any | wanted(p))).count();
    rest[passed..].iter().position(wanted).map(|offset| from + passed + offset)
}
