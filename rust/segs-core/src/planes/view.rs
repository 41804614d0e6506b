//! Planes in memory, wherever their samples lie.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::error::{Error, Result};

/// A sample of a plane: an unsigned integer.
pub trait Sample: Copy + Default + Send + Sync + 'static {
    /// Bits in memory.
    const BITS: u32;

    /// Its value in the lowest bits, after a shift down.
    fn value(self, shift: u32) -> f32;

    /// The sample for a value from 0 to `top`, rounded to the nearest and shifted up. NaN counts as 0.
    fn nearest(value: f32, top: f32, shift: u32) -> Self;
}

/// The nearest code, in operations that exist as vectors.
#[inline(always)]
fn code(value: f32, top: f32) -> i32 {
    let value = value + 0.5;
    let positive = if value > 0.0 { value } else { 0.0 };
    let bounded = if positive < top { positive } else { top };
    // SAFETY: neither NaN nor infinite, and at most 65535.
    unsafe { bounded.to_int_unchecked::<i32>() }
}

impl Sample for u8 {
    const BITS: u32 = 8;

    #[inline(always)]
    fn value(self, shift: u32) -> f32 {
        f32::from(self >> shift)
    }

    #[inline(always)]
    fn nearest(value: f32, top: f32, shift: u32) -> Self {
        (code(value, top) as u8) << shift
    }
}

impl Sample for u16 {
    const BITS: u32 = 16;

    #[inline(always)]
    fn value(self, shift: u32) -> f32 {
        f32::from(self >> shift)
    }

    #[inline(always)]
    fn nearest(value: f32, top: f32, shift: u32) -> Self {
        (code(value, top) as u16) << shift
    }
}

/// Where the samples of a plane lie in its memory, counted in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Rows.
    pub height: usize,
    /// Samples of a row.
    pub width: usize,
    /// Place of the first sample of the first row.
    pub first: usize,
    /// From a row to the next.
    pub row: isize,
    /// From a sample of a row to the next.
    pub step: isize,
}

impl Layout {
    /// A plane without gaps.
    pub fn packed(height: usize, width: usize) -> Self {
        Self { height, width, first: 0, row: width as isize, step: 1 }
    }

    /// Checks that all samples lie within memory of `len` samples.
    fn check(&self, len: usize) -> Result<()> {
        if self.height == 0 || self.width == 0 {
            return Err(Error::shape("planes", "at least one sample", format!("{}x{}", self.width, self.height)));
        }
        let reach = |count: usize, stride: isize| {
            let last = i128::try_from(count - 1).ok()?.checked_mul(stride as i128)?;
            Some((last.min(0), last.max(0)))
        };
        let fits = reach(self.height, self.row).zip(reach(self.width, self.step)).is_some_and(|(down, across)| {
            let first = self.first as i128;
            first + down.0 + across.0 >= 0 && first + down.1 + across.1 < len as i128
        });
        if fits {
            return Ok(());
        }
        let Self { height, width, row, step, .. } = self;
        let expected = format!("memory for {width}x{height} samples, strides {row} and {step}");
        Err(Error::shape("planes", expected, format!("{len} samples")))
    }

    /// Place of the first sample of row `y`. Only for rows of a checked layout.
    fn start(&self, y: usize) -> usize {
        (self.first as isize + y as isize * self.row) as usize
    }

    /// The lowest place, and the axes as count and distance, the axis of the larger distance first.
    fn lattice(&self) -> (isize, [(usize, usize); 2]) {
        let lowest = [(self.height, self.row), (self.width, self.step)]
            .into_iter()
            .filter(|axis| axis.1 < 0)
            .fold(self.first as isize, |place, (count, stride)| place + (count - 1) as isize * stride);
        // An axis of one sample has no distance of its own.
        let axis = |count: usize, stride: isize| (count, if count == 1 { 0 } else { stride.unsigned_abs() });
        let mut axes = [axis(self.height, self.row), axis(self.width, self.step)];
        axes.sort_by_key(|axis| std::cmp::Reverse(axis.1));
        (lowest, axes)
    }

    /// Whether no two samples are one.
    fn is_apart_from_itself(&self) -> bool {
        let (_, [(outer, far), (inner, near)]) = self.lattice();
        let within = inner == 1 || near > 0;
        within && (outer == 1 || far > (inner - 1) * near)
    }

    /// Whether no sample is one of `other`, whose place 0 lies `offset` samples after that of this one. Planes that are
    /// woven into each other are told to be apart where they are woven row by row or sample by sample.
    fn is_apart_from(&self, other: &Self, offset: isize) -> bool {
        let (a, [(a_outer, a_far), (a_inner, a_near)]) = self.lattice();
        let (b, [(b_outer, b_far), (b_inner, b_near)]) = other.lattice();
        let b = b + offset;
        let (a_row, b_row) = ((a_inner - 1) * a_near, (b_inner - 1) * b_near);
        let a_end = a + ((a_outer - 1) * a_far + a_row) as isize;
        let b_end = b + ((b_outer - 1) * b_far + b_row) as isize;
        if a_end < b || b_end < a {
            return true;
        }
        let far = match (a_outer, b_outer) {
            (1, 1) => usize::MAX,
            (1, _) => b_far,
            (_, 1) => a_far,
            _ if a_far == b_far => a_far,
            _ => return false,
        };
        // Both lie in the same rows, of length `far`, of which the plane that begins first begins the first one.
        let (later, first_row, later_row) = if a <= b { (b - a, a_row, b_row) } else { (a - b, b_row, a_row) };
        let column = later as usize % far;
        if column + later_row >= far || first_row >= far {
            return false;
        }
        let distance = gcd(a_near, b_near);
        column > first_row || (distance > 0 && !column.is_multiple_of(distance))
    }
}

/// The greatest common divisor; that of a number and 0 is the number.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A plane to read.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a, T> {
    data: &'a [T],
    layout: Layout,
}

impl<'a, T: Sample> Plane<'a, T> {
    /// The plane that lies in `data` as `layout` says.
    pub fn new(data: &'a [T], layout: Layout) -> Result<Self> {
        layout.check(data.len())?;
        Ok(Self { data, layout })
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.layout.height, self.layout.width)
    }

    /// The samples `start..end` of row `y`: in place where they follow each other, else gathered in `buffer`.
    #[inline]
    pub(super) fn row<'b>(&'b self, y: usize, start: usize, end: usize, buffer: &'b mut Vec<T>) -> &'b [T] {
        assert!(y < self.layout.height && start <= end && end <= self.layout.width);
        let first = self.layout.start(y);
        if self.layout.step == 1 {
            return &self.data[first + start..first + end];
        }
        buffer.resize(end - start, T::default());
        // SAFETY: the layout was checked to lie in `data`, and row and columns to lie in the layout.
        let line = unsafe { Line::new(self.data.as_ptr().cast_mut().add(first), self.layout.step, start, end) };
        line.gather(buffer);
        buffer
    }
}

/// A plane to write. Planes may be woven into each other.
#[derive(Debug, Clone, Copy)]
pub struct PlaneMut<'a, T: Copy> {
    data: &'a [Cell<T>],
    layout: Layout,
}

impl<'a, T: Sample> PlaneMut<'a, T> {
    /// The plane that lies in `data` as `layout` says.
    pub fn new(data: &'a [Cell<T>], layout: Layout) -> Result<Self> {
        layout.check(data.len())?;
        if !layout.is_apart_from_itself() {
            let got = format!("strides {} and {}", layout.row, layout.step);
            return Err(Error::shape("planes", "a place of its own for every sample", got));
        }
        Ok(Self { data, layout })
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.layout.height, self.layout.width)
    }

    fn is_apart_from(&self, other: &Self) -> bool {
        let distance = (other.data.as_ptr() as isize).wrapping_sub(self.data.as_ptr() as isize);
        distance % size_of::<T>() as isize == 0
            && self.layout.is_apart_from(&other.layout, distance / size_of::<T>() as isize)
    }
}

/// Planes that several threads write, each to rows of its own.
pub(super) struct SharedPlanes<'a, T: Copy> {
    planes: Vec<(*mut T, Layout)>,
    cells: PhantomData<&'a [Cell<T>]>,
}

// SAFETY: the cells are borrowed for as long as this lives, by the thread that made it and waits for the others; the
// others write, by the contract of `line`, to lines apart from each other.
unsafe impl<T: Sample> Sync for SharedPlanes<'_, T> {}

impl<'a, T: Sample> SharedPlanes<'a, T> {
    /// Checks that no sample belongs to two planes.
    pub(super) fn new(planes: &[PlaneMut<'a, T>]) -> Result<Self> {
        for (index, plane) in planes.iter().enumerate() {
            if let Some(other) = planes[..index].iter().position(|other| !other.is_apart_from(plane)) {
                let got = format!("planes {other} and {index} over the same memory");
                return Err(Error::shape("planes", "planes apart from each other", got));
            }
        }
        let planes = planes.iter().map(|plane| (plane.data.as_ptr() as *mut T, plane.layout)).collect();
        Ok(Self { planes, cells: PhantomData })
    }

    /// Number of planes.
    pub(super) fn len(&self) -> usize {
        self.planes.len()
    }

    /// The samples `start..end` of row `y` of a plane.
    ///
    /// # Safety
    ///
    /// While it lives no other thread has a line of this row of this plane.
    pub(super) unsafe fn line(&self, plane: usize, y: usize, start: usize, end: usize) -> Line<T> {
        let (data, layout) = self.planes[plane];
        assert!(y < layout.height && start <= end && end <= layout.width);
        // SAFETY: the layout was checked to lie in the memory, and row and columns to lie in the layout.
        unsafe { Line::new(data.add(layout.start(y)), layout.step, start, end) }
    }
}

/// Samples of a row.
pub(super) struct Line<T> {
    first: *mut T,
    step: isize,
    len: usize,
}

impl<T: Sample> Line<T> {
    /// The samples `start..end` of the row whose first one is at `row`.
    ///
    /// # Safety
    ///
    /// All of them are in one allocation, may be read, and written where [`Line::scatter`] is used, as long as this lives.
    unsafe fn new(row: *mut T, step: isize, start: usize, end: usize) -> Self {
        // SAFETY: an empty line is not moved; the first sample of others lies in the allocation.
        let first = if start < end { unsafe { row.offset(start as isize * step) } } else { row };
        Self { first, step, len: end - start }
    }

    /// Copies the samples to `out`, which has as many.
    #[inline]
    pub(super) fn gather(&self, out: &mut [T]) {
        assert_eq!(out.len(), self.len);
        match self.step {
            // SAFETY: as `new` says; `out` is a borrow of other memory.
            1 => unsafe { self.first.copy_to_nonoverlapping(out.as_mut_ptr(), self.len) },
            2 => self.gather_by(2, out),
            3 => self.gather_by(3, out),
            4 => self.gather_by(4, out),
            step => self.gather_by(step, out),
        }
    }

    #[inline(always)]
    fn gather_by(&self, step: isize, out: &mut [T]) {
        for (x, sample) in out.iter_mut().enumerate() {
            // SAFETY: as `new` says, since there are as many samples as in `out`.
            *sample = unsafe { self.first.offset(x as isize * step).read() };
        }
    }

    /// Copies `samples`, as many as there are, to the line.
    #[inline]
    pub(super) fn scatter(&mut self, samples: &[T]) {
        assert_eq!(samples.len(), self.len);
        match self.step {
            // SAFETY: as `new` says; `samples` are a borrow of other memory.
            1 => unsafe { self.first.copy_from_nonoverlapping(samples.as_ptr(), self.len) },
            2 => self.scatter_by(2, samples),
            3 => self.scatter_by(3, samples),
            4 => self.scatter_by(4, samples),
            step => self.scatter_by(step, samples),
        }
    }

    #[inline(always)]
    fn scatter_by(&mut self, step: isize, samples: &[T]) {
        for (x, &sample) in samples.iter().enumerate() {
            // SAFETY: as `new` says, since there are as many samples as in `samples`.
            unsafe { self.first.offset(x as isize * step).write(sample) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn places(layout: &Layout) -> Vec<isize> {
        let rows = 0..layout.height as isize;
        rows.flat_map(|y| {
            (0..layout.width as isize).map(move |x| layout.first as isize + y * layout.row + x * layout.step)
        })
        .collect()
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        (1usize..5, 1usize..5, 30usize..60, -12isize..13, -5isize..6)
            .prop_map(|(height, width, first, row, step)| Layout { height, width, first, row, step })
    }

    proptest! {
        #[test]
        fn what_is_told_to_be_apart_is(a in layouts(), b in layouts(), offset in -8isize..9) {
            let (mine, others) = (places(&a), places(&b));
            if a.is_apart_from_itself() && b.is_apart_from_itself() && a.is_apart_from(&b, offset) {
                prop_assert!(others.iter().all(|place| !mine.contains(&(place + offset))));
            }
        }

        #[test]
        fn a_plane_that_is_apart_from_itself_has_no_place_twice(layout in layouts()) {
            let mut places = places(&layout);
            places.sort_unstable();
            let count = places.len();
            places.dedup();
            prop_assert!(!layout.is_apart_from_itself() || places.len() == count);
        }
    }

    #[test]
    fn the_layouts_of_decoders_are_apart() {
        let woven = |first, step| Layout { height: 3, width: 4, first, row: 16, step };
        // Cb and Cr by turns; red, green, blue and alpha; luma and chroma of packed 4:2:2.
        assert!(woven(0, 2).is_apart_from(&woven(1, 2), 0));
        assert!((1..4).all(|first| woven(0, 4).is_apart_from(&woven(first, 4), 0)));
        assert!(woven(0, 2).is_apart_from(&Layout { width: 2, ..woven(1, 4) }, 0));
        assert!(!woven(0, 2).is_apart_from(&woven(2, 2), 0));
        // The same turned by 90 degrees, and rows of two planes side by side.
        let turned = |first| Layout { height: 4, width: 3, first, row: 2, step: 16 };
        assert!(turned(0).is_apart_from(&turned(1), 0));
        assert!(woven(0, 1).is_apart_from(&woven(8, 1), 0));
        // One memory for all.
        assert!(!woven(0, 1).is_apart_from(&woven(0, 1), 0));
    }
}
