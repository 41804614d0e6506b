//! Extremes of rows, and of shifted copies of one row.

use crate::cpu::multiversion;

/// Which of two values survives.
pub(super) trait Choice: Sync {
    fn choose(a: f32, b: f32) -> f32;
}

pub(super) struct Largest;

impl Choice for Largest {
    #[inline(always)]
    fn choose(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
}

pub(super) struct Smallest;

impl Choice for Smallest {
    #[inline(always)]
    fn choose(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
}

/// Rows of results that are made together, at most: with eight lanes each, half the registers.
pub(super) const GROUP_ROWS: usize = 8;

/// Shifted copies that are compared in one pass over a row, at most.
pub(super) const SHIFTS: usize = 7;

/// Columns that are worked on together: one vector.
const LANES: usize = 8;

multiversion! {
    /// Row `i` of the `count` rows of `out`, which begin `stride` samples apart, becomes the extremes of the rows from
    /// `rows[i]` to the one before `rows[rows.len() - count + 1 + i]`. `count` is 1, 2, 4 or 8, and some of `rows` are
    /// part of all results.
    fn combine_rows[C: Choice](rows: &[&[f32]], count: usize, out: &mut [f32], stride: usize) = combine_rows_body::<C>;
}

#[inline(always)]
fn combine_rows_body<C: Choice>(rows: &[&[f32]], count: usize, out: &mut [f32], stride: usize) {
    match count {
        8 => combine_group::<C, 8>(rows, out, stride),
        4 => combine_group::<C, 4>(rows, out, stride),
        2 => combine_group::<C, 2>(rows, out, stride),
        _ => combine_group::<C, 1>(rows, out, stride),
    }
}

#[inline(always)]
fn combine_group<C: Choice, const R: usize>(rows: &[&[f32]], out: &mut [f32], stride: usize) {
    let width = rows[0].len();
    assert!(rows.len() >= 2 * R - 1 && rows.iter().all(|row| row.len() == width));
    assert!(width <= stride && stride.checked_mul(R - 1).is_some_and(|last| out.len() >= last + width));
    let whole = width - width % LANES;
    for x in (0..whole).step_by(LANES) {
        // SAFETY: `x + LANES` is at most the width; the rest was checked above.
        unsafe { combine_columns::<C, R, LANES>(rows, x, out, stride) };
    }
    if whole < width && width >= LANES {
        // The last columns are made together with some that are there already.
        // SAFETY: as above.
        unsafe { combine_columns::<C, R, LANES>(rows, width - LANES, out, stride) };
    } else {
        for x in whole..width {
            // SAFETY: as above, with one column.
            unsafe { combine_columns::<C, R, 1>(rows, x, out, stride) };
        }
    }
}

/// Columns `x..x + N`. The rows that are part of all `R` results are compared once; of those before and after them, each
/// result needs one less, and one more, than the result above it.
///
/// # Safety
///
/// There are `2 * R - 1` rows or more, each of `x + N` samples or more, and `out` holds `(R - 1) * stride + x + N`.
#[inline(always)]
unsafe fn combine_columns<C: Choice, const R: usize, const N: usize>(
    rows: &[&[f32]],
    x: usize,
    out: &mut [f32],
    stride: usize,
) {
    // Checks of each access would cost more than the comparisons.
    // SAFETY: the caller's promise.
    let load = |row: &&[f32]| unsafe { *row.as_ptr().add(x).cast::<[f32; N]>() };
    let choose = |mut a: [f32; N], b: [f32; N]| {
        for (a, b) in a.iter_mut().zip(b) {
            *a = C::choose(*a, b);
        }
        a
    };
    let mut store = |y: usize, values: [f32; N]| {
        // SAFETY: the caller's promise; `[f32; N]` is aligned as `f32` is.
        unsafe { *out.as_mut_ptr().add(y * stride + x).cast::<[f32; N]>() = values };
    };
    let (before, rest) = rows.split_at(R - 1);
    let (shared, after) = rest.split_at(rest.len() + 1 - R);
    let mut common = load(&shared[0]);
    for row in &shared[1..] {
        common = choose(common, load(row));
    }
    // Entry i also has the rows from the one before the shared ones back to row i.
    let mut from = [common; R];
    for i in (0..R - 1).rev() {
        from[i] = choose(from[i + 1], load(&before[i]));
    }
    store(0, from[0]);
    if R == 1 {
        return;
    }
    let mut until = load(&after[0]);
    store(1, choose(from[1], until));
    for i in 2..R {
        until = choose(until, load(&after[i - 1]));
        store(i, choose(from[i], until));
    }
}

multiversion! {
    /// Each sample of `out` becomes the extreme of `count` samples of `line`, of which the last one lies `last` samples
    /// further and the others `step` samples apart. `count` is at most [`SHIFTS`].
    fn combine_shifts[C: Choice](line: &[f32], step: usize, count: usize, last: usize, out: &mut [f32]) =
        combine_shifts_body::<C>;
}

#[inline(always)]
fn combine_shifts_body<C: Choice>(line: &[f32], step: usize, count: usize, last: usize, out: &mut [f32]) {
    match count {
        1 => combine_copies::<C, 1>(line, step, last, out),
        2 => combine_copies::<C, 2>(line, step, last, out),
        3 => combine_copies::<C, 3>(line, step, last, out),
        4 => combine_copies::<C, 4>(line, step, last, out),
        5 => combine_copies::<C, 5>(line, step, last, out),
        6 => combine_copies::<C, 6>(line, step, last, out),
        _ => combine_copies::<C, SHIFTS>(line, step, last, out),
    }
}

#[inline(always)]
fn combine_copies<C: Choice, const N: usize>(line: &[f32], step: usize, last: usize, out: &mut [f32]) {
    let len = out.len();
    let copies: [&[f32]; N] = std::array::from_fn(|i| &line[if i + 1 == N { last } else { i * step }..][..len]);
    for (x, out) in out.iter_mut().enumerate() {
        let mut value = copies[0][x];
        for copy in &copies[1..] {
            value = C::choose(value, copy[x]);
        }
        *out = value;
    }
}

multiversion! {
    /// Each sample of `a` becomes the extreme of itself and that of `b`.
    fn choose_into[C: Choice](a: &mut [f32], b: &[f32]) = choose_into_body::<C>;
}

#[inline(always)]
fn choose_into_body<C: Choice>(a: &mut [f32], b: &[f32]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = C::choose(*a, b);
    }
}
