//! Arrays of `NumPy` as views of the core: dtype, rank, strides and aliasing are checked here and nowhere else.

use half::f16;
use numpy::{
    Element, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use segs_core::pixel::Pixel;
use segs_core::region::{Region, Regions};
use segs_core::shift::{Shift, Shifts};
use segs_core::view::{Frames, FramesMut, Shape};

use crate::door::{invalid, to_python, wrong_type};

/// Sample types of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F16,
    U8,
}

/// Runs `$body` with `$T` bound to the sample type that `$array` has.
macro_rules! with_pixel_type {
    ($argument:literal, $array:expr, $T:ident => $body:expr) => {
        match $crate::arrays::pixel_dtype($argument, $array)? {
            $crate::arrays::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::arrays::Dtype::F16 => {
                type $T = ::half::f16;
                $body
            }
            $crate::arrays::Dtype::U8 => {
                type $T = u8;
                $body
            }
        }
    };
}
pub(crate) use with_pixel_type;

/// The sample type of an array of frames.
pub(crate) fn pixel_dtype(argument: &str, array: &Bound<'_, PyAny>) -> PyResult<Dtype> {
    let untyped = untyped(argument, array)?;
    let dtype = untyped.dtype();
    let py = array.py();
    if dtype.is_equiv_to(&numpy::dtype::<f32>(py)) {
        Ok(Dtype::F32)
    } else if dtype.is_equiv_to(&numpy::dtype::<f16>(py)) {
        Ok(Dtype::F16)
    } else if dtype.is_equiv_to(&numpy::dtype::<u8>(py)) {
        Ok(Dtype::U8)
    } else {
        Err(wrong_type(argument, "float32, float16 or uint8", dtype.to_string()))
    }
}

pub(crate) fn untyped<'a, 'py>(
    argument: &str,
    array: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyUntypedArray>> {
    array.cast::<PyUntypedArray>().map_err(|_| wrong_type(argument, "a NumPy array", type_name(array)))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().qualname().map_or_else(|_| "another type".to_owned(), |name| name.to_string())
}

/// The array with its element type, which is in native byte order and aligned.
pub(crate) fn typed<'a, 'py, T: Element>(
    argument: &str,
    array: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyArrayDyn<T>>> {
    let untyped = untyped(argument, array)?;
    let typed = array
        .cast::<PyArrayDyn<T>>()
        .map_err(|_| wrong_type(argument, numpy::dtype::<T>(array.py()).to_string(), untyped.dtype().to_string()))?;
    if !typed.is_aligned() {
        return Err(invalid(argument, "an aligned array", "one whose elements straddle their natural addresses"));
    }
    Ok(typed)
}

/// Sizes of frames `(B, H, W, C)`, masks `(N, h, w)` or one mask `(h, w)`, by rank.
fn shape(argument: &str, dims: &[usize], rank: Rank) -> PyResult<Shape> {
    match (rank, dims) {
        (Rank::Frames, &[frames, height, width, channels]) => Ok(Shape { frames, height, width, channels }),
        (Rank::Masks, &[frames, height, width]) => Ok(Shape::mask(frames, height, width)),
        (Rank::Mask, &[height, width]) => Ok(Shape::mask(1, height, width)),
        (Rank::Frames, _) => Err(invalid(argument, "shape (B, H, W, C)", format!("{dims:?}"))),
        (Rank::Masks, _) => Err(invalid(argument, "shape (N, h, w)", format!("{dims:?}"))),
        (Rank::Mask, _) => Err(invalid(argument, "shape (h, w)", format!("{dims:?}"))),
    }
}

/// What an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    Frames,
    Masks,
    Mask,
}

/// A borrowed array to read. Its rows must be contiguous; rows and frames may lie apart.
pub(crate) struct Input<'py, T: Element> {
    argument: &'static str,
    array: PyReadonlyArrayDyn<'py, T>,
    shape: Shape,
    frame_stride: usize,
    row_stride: usize,
}

impl<'py, T: Element> Input<'py, T> {
    /// Borrows `array` for reading.
    pub(crate) fn new(argument: &'static str, array: &Bound<'py, PyAny>, rank: Rank) -> PyResult<Self> {
        let typed = typed::<T>(argument, array)?;
        let shape = shape(argument, typed.shape(), rank)?;
        let expected = "an array that no other call is writing to";
        let array = typed.try_readonly().map_err(|_| invalid(argument, expected, "one that is being written"))?;
        let (frame_stride, row_stride) = row_strides::<T>(argument, &array, shape, rank)?;
        Ok(Self { argument, array, shape, frame_stride, row_stride })
    }

    /// Elements from the first to the last one, gaps included.
    fn span(&self) -> usize {
        if self.shape.is_empty() {
            return 0;
        }
        self.frame_stride * (self.shape.frames - 1) + self.row_stride * (self.shape.height - 1) + self.shape.row_len()
    }

    /// Its addresses.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        addresses(self.array.data(), self.span())
    }

    /// The checked view.
    pub(crate) fn view(&self) -> PyResult<Frames<'_, T>> {
        let len = self.span();
        let data: &[T] = if len == 0 {
            &[]
        } else {
            // SAFETY: strides are not negative (checked in `row_strides`), so the elements of the array lie in
            // `data..data + len`, all of it inside one allocation that the borrow keeps alive and unwritten; they are
            // aligned (checked in `typed`).
            unsafe { std::slice::from_raw_parts(self.array.data(), len) }
        };
        Frames::with_strides(self.argument, data, self.shape, self.frame_stride, self.row_stride).map_err(to_python)
    }
}

/// The address of the first byte of `len` elements, and of the one after the last.
fn addresses<T>(start: *const T, len: usize) -> (usize, usize) {
    (start as usize, start as usize + len * size_of::<T>())
}

/// Whether two ranges of addresses have one in common.
pub(crate) fn overlaps((a, b): (usize, usize), (c, d): (usize, usize)) -> bool {
    a < d && c < b
}

/// Distances between frames and rows in elements.
fn row_strides<T: Element>(
    argument: &str,
    array: &PyReadonlyArrayDyn<'_, T>,
    shape: Shape,
    rank: Rank,
) -> PyResult<(usize, usize)> {
    let size = size_of::<T>() as isize;
    let dims = array.shape();
    let strides = array.strides();
    let refuse = || {
        let expected = "rows without gaps and no negative strides; numpy.ascontiguousarray makes them so";
        Err(invalid(argument, expected, format!("shape {dims:?} with strides {strides:?} bytes")))
    };
    if shape.is_empty() {
        return Ok((shape.frame_len(), shape.row_len()));
    }
    // Within a row every element follows the one before.
    let rows = usize::from(rank != Rank::Mask);
    let mut step = size;
    for axis in (rows + 1..dims.len()).rev() {
        if dims[axis] > 1 && strides[axis] != step {
            return refuse();
        }
        step *= dims[axis] as isize;
    }
    let stride = |axis: usize| {
        if dims[axis] == 1 {
            Some(0)
        } else {
            usize::try_from(strides[axis]).ok().filter(|s| s % size_of::<T>() == 0).map(|s| s / size_of::<T>())
        }
    };
    match (if rank == Rank::Mask { Some(0) } else { stride(0) }, stride(rows)) {
        (Some(frame), Some(row)) => Ok((frame, row)),
        _ => refuse(),
    }
}

/// A borrowed array to write: C-contiguous, writable, shared with no input.
pub(crate) struct Output<'py, T: Element> {
    argument: &'static str,
    array: PyReadwriteArrayDyn<'py, T>,
    shape: Shape,
}

impl<'py, T: Element> Output<'py, T> {
    /// Borrows `array` for writing. Borrow the inputs first: memory shared with one of them is refused here.
    pub(crate) fn new(argument: &'static str, array: &Bound<'py, PyAny>, rank: Rank) -> PyResult<Self> {
        let typed = typed::<T>(argument, array)?;
        let shape = shape(argument, typed.shape(), rank)?;
        if !typed.is_c_contiguous() {
            return Err(invalid(argument, "a C-contiguous array", format!("strides {:?} bytes", typed.strides())));
        }
        let array = typed.try_readwrite().map_err(|error| match error {
            numpy::BorrowError::NotWriteable => invalid(argument, "a writable array", "a read-only one"),
            _ => invalid(argument, "an array that shares no memory with an input", "one that overlaps"),
        })?;
        Ok(Self { argument, array, shape })
    }

    /// Refuses memory shared with `input`, also where both came from other owners (two views of one torch tensor).
    pub(crate) fn apart_from<U: Element>(&self, input: &Input<'_, U>) -> PyResult<()> {
        self.apart_from_bytes(input.argument, input.bytes())
    }

    /// Refuses memory shared with that of `input`, between two addresses.
    pub(crate) fn apart_from_bytes(&self, input: &str, bytes: (usize, usize)) -> PyResult<()> {
        if overlaps(addresses(self.array.data(), self.shape.len()), bytes) {
            let got = format!("memory shared with {input}");
            return Err(invalid(self.argument, "an array that shares no memory with an input", got));
        }
        Ok(())
    }

    /// The checked view.
    pub(crate) fn view(&mut self) -> PyResult<FramesMut<'_, T>> {
        let (argument, shape) = (self.argument, self.shape);
        let data = self.array.as_slice_mut().map_err(|_| invalid(argument, "a C-contiguous array", "gaps"))?;
        FramesMut::new(argument, data, shape).map_err(to_python)
    }
}

/// Regions `(1, 4)` for all frames, or `(B, 4)`, int64.
pub(crate) struct RegionList(Vec<Region>);

impl RegionList {
    pub(crate) fn new(argument: &'static str, array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let typed = typed::<i64>(argument, array)?;
        let &[count, 4] = typed.shape() else {
            return Err(invalid(argument, "shape (1, 4) or (B, 4)", format!("{:?}", typed.shape())));
        };
        let array = typed.try_readonly().map_err(|_| invalid(argument, "a readable array", "one being written"))?;
        let array = array.as_array();
        let regions = (0..count)
            .map(|i| Region::new(array[[i, 0]], array[[i, 1]], array[[i, 2]], array[[i, 3]]))
            .collect::<segs_core::Result<Vec<_>>>()
            .map_err(to_python)?;
        Ok(Self(regions))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The region, where there is to be one.
    pub(crate) fn only(&self, argument: &str) -> PyResult<Region> {
        match self.0.as_slice() {
            [region] => Ok(*region),
            regions => Err(invalid(argument, "one region", regions.len().to_string())),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Region> {
        self.0.iter()
    }

    pub(crate) fn view(&self) -> Regions<'_> {
        match self.0.as_slice() {
            [region] => Regions::Shared(*region),
            regions => Regions::PerFrame(regions),
        }
    }
}

/// Shifts `(1, 2)` for all frames, or `(B, 2)`, float64, or with angles in degrees as a third column; none are whole
/// places.
pub(crate) struct ShiftList(Vec<Shift>);

impl ShiftList {
    pub(crate) fn new(argument: &'static str, array: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(array) = array else { return Ok(Self(vec![Shift::WHOLE])) };
        let typed = typed::<f64>(argument, array)?;
        let &[count, columns @ (2 | 3)] = typed.shape() else {
            let expected = "shape (1, 2) or (B, 2), or with three columns";
            return Err(invalid(argument, expected, format!("{:?}", typed.shape())));
        };
        let array = typed.try_readonly().map_err(|_| invalid(argument, "a readable array", "one being written"))?;
        let array = array.as_array();
        let shifts = (0..count)
            .map(|i| {
                let shift = Shift::new(array[[i, 0]], array[[i, 1]])?;
                if columns == 3 { shift.turned(array[[i, 2]]) } else { Ok(shift) }
            })
            .collect::<segs_core::Result<Vec<_>>>()
            .map_err(to_python)?;
        Ok(Self(shifts))
    }

    pub(crate) fn view(&self) -> Shifts<'_> {
        match self.0.as_slice() {
            [shift] => Shifts::Shared(*shift),
            shifts => Shifts::PerFrame(shifts),
        }
    }
}

/// An array `(N, 4)` of int64 to write regions to.
pub(crate) struct RegionTable<'py>(PyReadwriteArrayDyn<'py, i64>);

impl<'py> RegionTable<'py> {
    pub(crate) fn new(argument: &'static str, array: &Bound<'py, PyAny>, count: usize) -> PyResult<Self> {
        let typed = typed::<i64>(argument, array)?;
        if typed.shape() != [count, 4] || !typed.is_c_contiguous() {
            let got = format!("{:?} with strides {:?} bytes", typed.shape(), typed.strides());
            return Err(invalid(argument, format!("a C-contiguous array of shape ({count}, 4)"), got));
        }
        let array = typed.try_readwrite().map_err(|_| invalid(argument, "a writable array", "one that is not"))?;
        Ok(Self(array))
    }

    pub(crate) fn write(&mut self, regions: &[Region]) {
        let mut array = self.0.as_array_mut();
        for (target, value) in array.iter_mut().zip(regions.iter().flat_map(Region::corners)) {
            *target = value;
        }
    }
}

/// A sample of type `T` from a value in `[0, 1]`.
pub(crate) fn sample<T: Pixel>(value: f32) -> T {
    T::from_f32(value * T::MAX)
}
