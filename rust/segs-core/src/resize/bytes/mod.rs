//! Lanczos resizing of frames of bytes, in integers.
//!
//! Weights have 16 bits. Between the passes samples keep as many bits after the point as the sums of the second pass
//! have room for, seven at most, so that in effect results are rounded once; there they are limited to `0..=255` as
//! Pillow's are.

mod horizontal;
mod taps;
mod vertical;

use std::sync::{Mutex, PoisonError};

use crate::cpu::{Level, level};
use crate::error::Result;
use crate::parallel::{Brake, Interrupted, for_each_long};
use crate::resize::lanczos::band_rows;
use crate::resize::plan::{Axis, pillow_vertical_first};
use crate::resize::ring::Ring;
use crate::view::{Band, Frames, FramesMut, Shape};

use horizontal::{Horizontal, ROWS};
use taps::{Finish, Pairing, Taps};
use vertical::{BLOCK, Rows, weigh_rows};

/// Bytes of a line of the cache.
const CACHE_LINE: usize = 64;

/// Whether [`resize`] can do it, faster than in floats: on CPUs that multiply and add pairs, which the horizontal pass
/// is laid out for, and where that pass comes first.
pub(super) fn suits(from: Shape, to: Shape) -> bool {
    let vertical_first = from.width != to.width && pillow_vertical_first(from, to);
    level() == Level::Avx2 && (3..=4).contains(&from.channels) && !vertical_first
}

/// As [`super::resize_frames`], after its checks.
pub(super) fn resize(frames: Frames<'_, u8>, out: FramesMut<'_, u8>, interrupted: Interrupted<'_>) -> Result<()> {
    let (from, to) = (frames.shape(), out.shape());
    let plan = Plan::new(from, to);
    let scratches: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());
    let lock = || scratches.lock().unwrap_or_else(PoisonError::into_inner);
    for_each_long(out.all_bands(band_rows(to)), from.len() + to.len(), interrupted, |mut band, brake| {
        let waiting = lock().pop();
        let mut scratch = waiting.unwrap_or_else(|| plan.scratch());
        plan.resize_band(frames, &mut band, &mut scratch, brake);
        lock().push(scratch);
    })
}

/// A pass along one axis.
#[derive(Debug)]
struct Pass {
    taps: Taps,
    finish: Finish,
}

/// All that frames of one size have in common. An axis that keeps its size has no pass.
#[derive(Debug)]
struct Plan {
    from: Shape,
    to: Shape,
    horizontal: Option<Pass>,
    vertical: Option<Pass>,
}

/// Buffers of one job.
#[derive(Debug)]
struct Scratch {
    horizontal: Option<Horizontal>,
    ring: Ring<i16>,
    /// Where the rows of an output row start in the ring.
    starts: Vec<[usize; 2]>,
}

impl Plan {
    fn new(from: Shape, to: Shape) -> Self {
        let axis = |from: usize, to: usize| (from != to).then(|| Axis::new(from, to));
        let horizontal = axis(from.width, to.width).map(|axis| Taps::of_columns(axis, from.width));
        let vertical = axis(from.height, to.height).map(|axis| Taps::new(axis, Pairing::Every));
        let fraction = horizontal.as_ref().and(vertical.as_ref()).map_or(0, Taps::most_fraction);
        let pass = |taps: Taps, before, after| Pass { finish: Finish::new(&taps, before, after), taps };
        Self {
            from,
            to,
            horizontal: horizontal.map(|taps| pass(taps, 0, fraction)),
            vertical: vertical.map(|taps| pass(taps, fraction, 0)),
        }
    }

    fn scratch(&self) -> Scratch {
        let horizontal = |pass: &Pass| Horizontal::new(&pass.taps, self.from.width, self.from.channels);
        // Rows come into the ring several at a time, the last of them perhaps before they are needed.
        let ring = |pass: &Pass| Ring::new(pass.taps.axis().window(1) + ROWS, ring_row_len(self.to.row_len()));
        Scratch {
            horizontal: self.horizontal.as_ref().map(horizontal),
            ring: self.vertical.as_ref().map_or_else(|| Ring::new(0, 0), ring),
            starts: vec![[0; 2]; self.vertical.as_ref().map_or(0, |pass| pass.taps.pairs())],
        }
    }

    fn resize_band(
        &self,
        frames: Frames<'_, u8>,
        band: &mut Band<'_, u8>,
        scratch: &mut Scratch,
        brake: &mut Brake<'_>,
    ) {
        let row_len = self.to.row_len();
        match (&self.horizontal, &self.vertical) {
            (None, None) => {
                for (y, out) in (band.y..).zip(band.data.chunks_exact_mut(row_len)) {
                    out.copy_from_slice(frames.row(band.frame, y));
                }
            }
            (Some(columns), None) => {
                let Some(horizontal) = &mut scratch.horizontal else { return };
                for (strip, data) in band.data.chunks_mut(ROWS * row_len).enumerate() {
                    let rows = rows_from(frames, band.frame, band.y + strip * ROWS);
                    horizontal.filter(&columns.taps, columns.finish, rows);
                    for (row, out) in data.chunks_exact_mut(row_len).enumerate() {
                        narrow(horizontal.row(row), out);
                    }
                }
            }
            (columns, Some(rows)) => {
                let mut next = rows.taps.taps(band.y).0;
                for (y, out) in (band.y..).zip(band.data.chunks_exact_mut(row_len)) {
                    let end = rows.taps.axis().end(y);
                    while next < end {
                        if brake.stops() {
                            return;
                        }
                        next += self.fill(columns.as_ref(), frames, band.frame, next, scratch);
                    }
                    weigh_rows(scratch.rows_of(&rows.taps, y), rows.finish, out);
                }
            }
        }
    }

    /// Brings input rows from `first` on, filtered horizontally, into the ring. Returns how many.
    fn fill(
        &self,
        columns: Option<&Pass>,
        frames: Frames<'_, u8>,
        frame: usize,
        first: usize,
        scratch: &mut Scratch,
    ) -> usize {
        let Some((columns, horizontal)) = columns.zip(scratch.horizontal.as_mut()) else {
            widen(frames.row(frame, first), scratch.ring.row_mut(first));
            return 1;
        };
        let count = ROWS.min(self.from.height - first);
        horizontal.filter(&columns.taps, columns.finish, rows_from(frames, frame, first));
        for row in 0..count {
            let out = &mut scratch.ring.row_mut(first + row)[..self.to.row_len()];
            out.copy_from_slice(&horizontal.row(row)[..self.to.row_len()]);
        }
        count
    }
}

impl Scratch {
    /// The rows in the ring that make output row `y`.
    fn rows_of<'a>(&'a mut self, taps: &'a Taps, y: usize) -> Rows<'a> {
        let (first, weights) = taps.taps(y);
        for (pair, starts) in self.starts.iter_mut().enumerate() {
            *starts = [0, 1].map(|row| self.ring.slot(first + 2 * pair + row) * self.ring.row_len());
        }
        Rows { data: self.ring.data(), starts: &self.starts, weights }
    }
}

/// The rows from `first` on. After the last row comes that row again, which nobody reads.
fn rows_from(frames: Frames<'_, u8>, frame: usize, first: usize) -> [&[u8]; ROWS] {
    let last = frames.shape().height - 1;
    std::array::from_fn(|row| frames.row(frame, (first + row).min(last)))
}

fn widen(row: &[u8], out: &mut [i16]) {
    for (out, &sample) in out.iter_mut().zip(row) {
        *out = i16::from(sample);
    }
}

/// Samples of the range of bytes.
fn narrow(row: &[i16], out: &mut [u8]) {
    for (out, &sample) in out.iter_mut().zip(row) {
        *out = sample as u8;
    }
}

/// Samples from one row of a ring to the next: whole blocks, and an odd number of cache lines, so that the rows of a
/// column do not share the few places that a cache has for addresses far apart by a power of two.
fn ring_row_len(samples: usize) -> usize {
    let lines = (samples.next_multiple_of(BLOCK) * size_of::<i16>()).div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE / size_of::<i16>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::{LEVEL_LOCK, set_level};
    use crate::parallel::NEVER;
    use crate::resize::tests::noise;

    /// One axis of a frame, sample by sample: `at(i)` is input sample `i`.
    fn weighted(pass: &Pass, index: usize, at: impl Fn(usize) -> i32) -> i32 {
        let (start, exact) = pass.taps.axis().taps(index);
        let before = pass.taps.pairing().begin(start).1;
        let weights = pass.taps.taps(index).1.as_flattened()[before..].iter().take(exact.len());
        let sum: i32 = weights.enumerate().map(|(i, &weight)| i32::from(weight) * at(start + i)).sum();
        i32::from(pass.finish.sample(pass.finish.half() + sum))
    }

    fn oracle(frame: &[u8], from: Shape, to: Shape) -> Vec<u8> {
        let plan = Plan::new(from, to);
        let channels = from.channels;
        let horizontal = |y: usize, x: usize, c: usize| {
            let at = |x: usize| i32::from(frame[(y * from.width + x) * channels + c]);
            plan.horizontal.as_ref().map_or_else(|| at(x), |pass| weighted(pass, x, at))
        };
        let sample = |index: usize| {
            let (y, x, c) = (index / to.row_len(), index / channels % to.width, index % channels);
            let at = |y: usize| horizontal(y, x, c);
            plan.vertical.as_ref().map_or_else(|| at(y), |pass| weighted(pass, y, at)) as u8
        };
        (0..to.len()).map(sample).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_level_gives_the_sums_of_single_samples(
            channels in 3usize..5, height in 1usize..40, width in 1usize..60, to_height in 1usize..40,
            to_width in 1usize..80, same in 0usize..4, seed in any::<u32>(),
        ) {
            let _changes = LEVEL_LOCK.write();
            let from = Shape { frames: 1, height, width, channels };
            let to_height = if same == 1 { height } else { to_height };
            let to_width = if same == 2 { width } else { to_width };
            let to = Shape { height: to_height, width: to_width, ..from };
            let frame: Vec<u8> = noise(from.len(), seed).iter().map(|v| (v * 255.0) as u8).collect();
            let expected = oracle(&frame, from, to);
            for level in [Level::Baseline, Level::Avx2] {
                set_level(level);
                let mut out = vec![7; to.len()];
                let frames = Frames::new("frames", &frame, from).unwrap();
                resize(frames, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
                prop_assert_eq!(&out, &expected);
            }
            set_level(Level::Avx2);
        }
    }

    #[test]
    fn flat_areas_stay_as_they_are() {
        let from = Shape { frames: 1, height: 30, width: 41, channels: 3 };
        for (height, width) in [(77, 80), (11, 13), (30, 100), (9, 41)] {
            let to = Shape { height, width, ..from };
            for value in [0, 1, 127, 254, 255] {
                let (frame, mut out) = (vec![value; from.len()], vec![7; to.len()]);
                let frames = Frames::new("frames", &frame, from).unwrap();
                resize(frames, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
                assert!(out.iter().all(|&sample| sample == value));
            }
        }
    }
}
