//! Largest and smallest value in a square window around each pixel.
//!
//! A window of `n` pixels is covered by two windows of the largest power of two that fits, and those come from
//! doubling: `log2(n)` passes of one comparison per pixel, along rows first, then along columns.

use std::cell::RefCell;

use super::check_same;
use crate::cpu::multiversion;
use crate::error::Result;
use crate::parallel::{Brake, Interrupted, for_each_long};
use crate::view::{Band, Frames, FramesMut};

/// Rows of one job, at least; a window's height of rows is filtered twice between two jobs.
const BAND_ROWS: usize = 64;

/// A job has at least this many windows' heights of rows, so that little is filtered twice.
const BAND_WINDOWS: usize = 4;

/// Each pixel becomes the largest value in the window of `size` x `size` pixels that starts `size / 2` to its left and
/// above, as with the default anchor of `OpenCV`. Pixels outside the mask count for nothing. Sizes 0 and 1 copy.
pub fn dilate(
    masks: Frames<'_, f32>,
    size: usize,
    out: FramesMut<'_, f32>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    filter::<Largest>(masks, size, out, interrupted)
}

/// Each pixel becomes the smallest value in the window that [`dilate`] uses.
pub fn erode(masks: Frames<'_, f32>, size: usize, out: FramesMut<'_, f32>, interrupted: Interrupted<'_>) -> Result<()> {
    filter::<Smallest>(masks, size, out, interrupted)
}

/// Which of two values survives.
pub(super) trait Choice: Sync {
    /// What loses against everything.
    const NEUTRAL: f32;

    fn choose(a: f32, b: f32) -> f32;
}

struct Largest;

impl Choice for Largest {
    const NEUTRAL: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn choose(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
}

struct Smallest;

impl Choice for Smallest {
    const NEUTRAL: f32 = f32::INFINITY;

    #[inline(always)]
    fn choose(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
}

/// How far a window reaches before and after its pixel, never further than the mask.
#[derive(Debug, Clone, Copy)]
struct Reach {
    before: usize,
    after: usize,
}

impl Reach {
    fn new(size: usize, len: usize) -> Self {
        let most = len.saturating_sub(1);
        Self { before: (size / 2).min(most), after: size.saturating_sub(size / 2 + 1).min(most) }
    }

    fn window(self) -> usize {
        self.before + 1 + self.after
    }
}

fn filter<C: Choice>(
    masks: Frames<'_, f32>,
    size: usize,
    out: FramesMut<'_, f32>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let shape = out.shape();
    check_same(masks.shape(), shape)?;
    if shape.is_empty() {
        return Ok(());
    }
    let (across, down) = (Reach::new(size, shape.width), Reach::new(size, shape.height));
    let rows = BAND_ROWS.max(BAND_WINDOWS * down.window());
    let bytes = 2 * shape.len() * size_of::<f32>();
    for_each_long(out.all_bands(rows), bytes, interrupted, |mut band, brake| {
        SCRATCH.with_borrow_mut(|scratch| {
            filter_band::<C>(masks, across, down, &mut band, scratch, brake);
            if scratch.rows.len() > KEPT_SAMPLES {
                scratch.rows = Vec::new();
            }
        });
    })
}

/// A thread keeps no more than this between calls: 4 MB, enough for the bands of a mask of 1080 rows.
const KEPT_SAMPLES: usize = 1 << 20;

/// Buffers of one thread, kept from call to call.
#[derive(Default)]
struct Scratch {
    /// Rows filtered along x.
    rows: Vec<f32>,
    /// One row with its borders, and the pass after it.
    line: [Vec<f32>; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Rows between two questions whether to stop: a window may be as high as the mask, and all of that is one job.
const BRAKE_ROWS: usize = 64;

fn filter_band<C: Choice>(
    masks: Frames<'_, f32>,
    across: Reach,
    down: Reach,
    band: &mut Band<'_, f32>,
    scratch: &mut Scratch,
    brake: &mut Brake<'_>,
) {
    let shape = masks.shape();
    let width = shape.width;
    let count = band.rows + down.before + down.after;
    // What the last band left is overwritten: row by row, here.
    scratch.rows.resize(count * width, C::NEUTRAL);
    for (i, row) in scratch.rows.chunks_exact_mut(width).enumerate() {
        if i % BRAKE_ROWS == BRAKE_ROWS - 1 && brake.stops() {
            return;
        }
        match (band.y + i).checked_sub(down.before).filter(|&y| y < shape.height) {
            Some(y) => filter_row::<C>(masks.row(band.frame, y), across, row, &mut scratch.line),
            None => row.fill(C::NEUTRAL),
        }
    }
    let (half, rest) = doubling(down.window());
    let mut step = 1;
    while step < half {
        for y in 0..count - step {
            if y % BRAKE_ROWS == BRAKE_ROWS - 1 && brake.stops() {
                return;
            }
            let (a, b) = scratch.rows[y * width..].split_at_mut(step * width);
            choose_into::<C>(&mut a[..width], &b[..width]);
        }
        step *= 2;
    }
    for (y, out) in band.data.chunks_exact_mut(width).enumerate() {
        choose_to::<C>(&scratch.rows[y * width..][..width], &scratch.rows[(y + rest) * width..][..width], out);
    }
}

/// The largest power of two that fits `window`, and where its second copy starts so that both cover the window.
fn doubling(window: usize) -> (usize, usize) {
    let half = 1 << window.ilog2();
    (half, window - half)
}

fn filter_row<C: Choice>(row: &[f32], reach: Reach, out: &mut [f32], [line, next]: &mut [Vec<f32>; 2]) {
    line.clear();
    line.resize(reach.before, C::NEUTRAL);
    line.extend_from_slice(row);
    line.resize(row.len() + reach.before + reach.after, C::NEUTRAL);
    next.resize(line.len(), C::NEUTRAL);
    let (half, rest) = doubling(reach.window());
    let mut step = 1;
    while step < half {
        choose_to::<C>(&line[..line.len() - step], &line[step..], &mut next[..line.len() - step]);
        std::mem::swap(line, next);
        step *= 2;
    }
    choose_to::<C>(&line[..out.len()], &line[rest..rest + out.len()], out);
}

multiversion! {
    fn choose_into[C: Choice](a: &mut [f32], b: &[f32]) = choose_into_body::<C>;
}

multiversion! {
    fn choose_to[C: Choice](a: &[f32], b: &[f32], out: &mut [f32]) = choose_to_body::<C>;
}

#[inline(always)]
fn choose_into_body<C: Choice>(a: &mut [f32], b: &[f32]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = C::choose(*a, b);
    }
}

#[inline(always)]
fn choose_to_body<C: Choice>(a: &[f32], b: &[f32], out: &mut [f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = C::choose(a, b);
    }
}
