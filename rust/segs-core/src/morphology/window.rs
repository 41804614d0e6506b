//! Largest and smallest value in a square window around each pixel.
//!
//! Columns come first: a few rows of results are made together, and what their windows share is compared once. Then
//! rows, where windows of a few pixels are made of shifted copies, and wider windows of shifted copies of those. Where a
//! window passes the mask's edge, the edge pixel stands for what lies outside: the window has it anyway.

use std::cell::RefCell;

use super::check_same;
use super::combine::{Choice, GROUP_ROWS, Largest, SHIFTS, Smallest, choose_into, combine_rows, combine_shifts};
use crate::error::Result;
use crate::parallel::{Brake, Interrupted, for_each_long};
use crate::view::{Band, Frames, FramesMut};

/// Rows of one job, at least; a window's height of rows is filtered twice between two jobs.
const BAND_ROWS: usize = 64;

/// A job has at least this many windows' heights of rows, so that little is filtered twice.
const BAND_WINDOWS: usize = 4;

/// Windows of more rows are made of windows of [`STEP_ROWS`] rows, by doubling.
const DIRECT_ROWS: usize = 64;

/// Rows of the windows that higher ones are made of.
const STEP_ROWS: usize = 32;

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
    let plan = Plan { across, shifts: Shifts::new(across.window()), down };
    let rows = if down.window() <= DIRECT_ROWS { BAND_ROWS } else { BAND_ROWS.max(BAND_WINDOWS * down.window()) };
    let bytes = 2 * shape.len() * size_of::<f32>();
    for_each_long(out.all_bands(rows), bytes, interrupted, |mut band, brake| {
        SCRATCH.with_borrow_mut(|scratch| {
            if down.window() <= DIRECT_ROWS {
                filter_band::<C>(masks, &plan, &mut band, scratch);
            } else {
                filter_band_by_doubling::<C>(masks, &plan, &mut band, scratch, brake);
            }
            if scratch.rows.len() > KEPT_SAMPLES {
                scratch.rows = Vec::new();
            }
        });
    })
}

/// What is done to all bands of one call.
struct Plan {
    across: Reach,
    shifts: Shifts,
    down: Reach,
}

/// A thread keeps no more than this between calls: 4 MB, enough for the bands of a mask of 1080 rows.
const KEPT_SAMPLES: usize = 1 << 20;

/// Buffers of one thread, kept from call to call.
#[derive(Default)]
struct Scratch {
    /// Rows of a band with the rows around it, filtered along columns.
    rows: Vec<f32>,
    /// Rows with their borders, filtered along columns.
    lines: Vec<f32>,
    /// What the passes over a line leave to the next ones.
    between: [Vec<f32>; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Rows between two questions whether to stop: a window may be as high as the mask, and all of that is one job.
const BRAKE_ROWS: usize = 64;

fn filter_band<C: Choice>(masks: Frames<'_, f32>, plan: &Plan, band: &mut Band<'_, f32>, scratch: &mut Scratch) {
    let width = masks.shape().width;
    let window = plan.down.window();
    let stride = width + plan.across.window() - 1;
    scratch.lines.resize(GROUP_ROWS * stride, 0.0);
    let mut sources = [[0.0f32; 0].as_slice(); DIRECT_ROWS + GROUP_ROWS - 1];
    let mut rest = &mut *band.data;
    let mut y = band.y;
    while !rest.is_empty() {
        let rows = group_rows(window, rest.len() / width);
        let sources = &mut sources[..window + rows - 1];
        find_rows(masks, band.frame, y as isize - plan.down.before as isize, sources);
        combine_rows::<C>(sources, rows, &mut scratch.lines[plan.across.before..], stride);
        let (group, after) = rest.split_at_mut(rows * width);
        for (line, out) in scratch.lines.chunks_exact_mut(stride).zip(group.chunks_exact_mut(width)) {
            filter_line::<C>(line, plan, out, &mut scratch.between);
        }
        rest = after;
        y += rows;
    }
}

/// Fills `sources` with the rows of a frame from `first` on, outside of it with the nearest ones.
fn find_rows<'a>(masks: Frames<'a, f32>, frame: usize, first: isize, sources: &mut [&'a [f32]]) {
    let last = masks.shape().height as isize - 1;
    for (i, source) in sources.iter_mut().enumerate() {
        *source = masks.row(frame, (first + i as isize).clamp(0, last) as usize);
    }
}

/// How many rows of results to make together, out of `rows`: their windows must all share a row.
fn group_rows(window: usize, rows: usize) -> usize {
    1 << rows.min(window).min(GROUP_ROWS).ilog2()
}

fn filter_band_by_doubling<C: Choice>(
    masks: Frames<'_, f32>,
    plan: &Plan,
    band: &mut Band<'_, f32>,
    scratch: &mut Scratch,
    brake: &mut Brake<'_>,
) {
    let width = masks.shape().width;
    let window = plan.down.window();
    let Scratch { rows, lines, between } = scratch;
    // Row i becomes the window that begins at row `band.y - before + i`; the last rows serve none.
    let count = band.rows + window - STEP_ROWS;
    // What the last band left is overwritten: row by row, here.
    rows.resize(count * width, 0.0);
    let first = band.y as isize - plan.down.before as isize;
    let mut sources = [[0.0f32; 0].as_slice(); STEP_ROWS + GROUP_ROWS - 1];
    let mut done = 0;
    while done < count {
        let group = group_rows(STEP_ROWS, count - done);
        let sources = &mut sources[..STEP_ROWS + group - 1];
        find_rows(masks, band.frame, first + done as isize, sources);
        combine_rows::<C>(sources, group, &mut rows[done * width..], width);
        done += group;
        if done % BRAKE_ROWS < GROUP_ROWS && brake.stops() {
            return;
        }
    }
    // Two windows of the largest doubling of `STEP_ROWS` rows cover the whole one.
    let half = STEP_ROWS << (window / STEP_ROWS).ilog2();
    let mut step = STEP_ROWS;
    while step < half {
        for y in 0..count - step {
            if y % BRAKE_ROWS == BRAKE_ROWS - 1 && brake.stops() {
                return;
            }
            let (a, b) = rows[y * width..].split_at_mut(step * width);
            choose_into::<C>(&mut a[..width], &b[..width]);
        }
        step *= 2;
    }
    lines.resize(width + plan.across.window() - 1, 0.0);
    for (y, out) in band.data.chunks_exact_mut(width).enumerate() {
        let parts = [y, y + window - half].map(|y| &rows[y * width..][..width]);
        combine_rows::<C>(&parts, 1, &mut lines[plan.across.before..], width);
        filter_line::<C>(lines, plan, out, between);
    }
}

/// Passes over a row that make windows out of narrower ones.
struct Shifts {
    /// Windows of so many pixels grow by this factor in each pass but the last, which makes them whole.
    factor: usize,
    window: usize,
}

impl Shifts {
    /// The passes with the fewest loads and stores.
    fn new(window: usize) -> Self {
        let passes = |factor: usize| if window <= factor { 1 } else { (window - 1).ilog(factor) as usize + 1 };
        let factor = (2..=SHIFTS).min_by_key(|&factor| passes(factor) * (factor + 1)).unwrap_or(SHIFTS);
        Self { factor, window }
    }
}

/// Filters a line, whose samples begin after its left border, along x.
fn filter_line<C: Choice>(line: &mut [f32], plan: &Plan, out: &mut [f32], between: &mut [Vec<f32>; 2]) {
    let Reach { before, .. } = plan.across;
    let end = before + out.len();
    let (left, right) = (line[before], line[end - 1]);
    line[..before].fill(left);
    line[end..].fill(right);
    let Shifts { factor, window } = plan.shifts;
    let [next, other] = between;
    let mut from = &*line;
    let mut made = 1;
    while made * factor < window {
        // Windows of `made` pixels, `factor` of them side by side.
        let len = line.len() + 1 - made * factor;
        next.resize(line.len(), 0.0);
        combine_shifts::<C>(from, made, factor, made * (factor - 1), &mut next[..len]);
        made *= factor;
        std::mem::swap(next, other);
        from = &other[..len];
    }
    // The last of them overlaps the one before it.
    combine_shifts::<C>(from, made, window.div_ceil(made), window - made, out);
}
