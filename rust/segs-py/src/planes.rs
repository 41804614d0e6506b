use std::cell::Cell;

use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use segs_core::planes::{self, Layout, Plane, PlaneFormat, PlaneMut, Sample, Siting};

use crate::arrays::{Input, Output, Rank, RegionList, overlaps, typed, untyped};
use crate::door::{detached, invalid, to_python, wrong_type};

/// Converts the region `window` (1, 4) of planes to RGB in `out` (1, h, w, 3).
#[pyfunction]
pub(crate) fn planes_to_rgb(
    py: Python<'_>,
    planes: &Bound<'_, PyAny>,
    format: &Bound<'_, PyAny>,
    window: &Bound<'_, PyAny>,
    clip: bool,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let (planes, format) = (list("planes", planes)?, plane_format(format)?);
    let windows = RegionList::new("window", window)?;
    if has_bytes(&planes)? {
        to_rgb::<u8>(py, &planes, &format, &windows, clip, out)
    } else {
        to_rgb::<u16>(py, &planes, &format, &windows, clip, out)
    }
}

fn to_rgb<T: Sample + numpy::Element>(
    py: Python<'_>,
    planes: &[Bound<'_, PyAny>],
    format: &PlaneFormat,
    windows: &RegionList,
    clip: bool,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let borrowed = borrow::<T>(planes)?;
    let mut out = Output::<f32>::new("out", out, Rank::Frames)?;
    for plane in &borrowed {
        out.apart_from_bytes("planes", plane.bytes())?;
    }
    let views = borrowed.iter().map(Borrowed::view).collect::<PyResult<Vec<_>>>()?;
    let (window, out) = (windows.only("window")?, out.view()?);
    detached(py, |interrupted| planes::planes_to_rgb(&views, format, window, clip, out, interrupted))
}

/// Blends `overlay` (1, h, w, 4), colors times alpha and alpha, into planes at `window` (1, 4).
#[pyfunction]
pub(crate) fn blend_planes(
    py: Python<'_>,
    planes: &Bound<'_, PyAny>,
    format: &Bound<'_, PyAny>,
    overlay: &Bound<'_, PyAny>,
    window: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let (planes, format) = (list("planes", planes)?, plane_format(format)?);
    let windows = RegionList::new("window", window)?;
    let overlay = Input::<f32>::new("overlay", overlay, Rank::Frames)?;
    if has_bytes(&planes)? {
        blend::<u8>(py, &planes, &format, &overlay, &windows)
    } else {
        blend::<u16>(py, &planes, &format, &overlay, &windows)
    }
}

fn blend<T: Sample + numpy::Element>(
    py: Python<'_>,
    planes: &[Bound<'_, PyAny>],
    format: &PlaneFormat,
    overlay: &Input<'_, f32>,
    windows: &RegionList,
) -> PyResult<()> {
    let borrowed = borrow::<T>(planes)?;
    for plane in &borrowed {
        if overlaps(plane.bytes(), overlay.bytes()) {
            return Err(invalid("planes", "arrays that share no memory with an input", "memory shared with overlay"));
        }
    }
    let views = borrowed.iter().map(Borrowed::view_mut).collect::<PyResult<Vec<_>>>()?;
    let views = Writable(views);
    let (window, overlay) = (windows.only("window")?, overlay.view()?);
    detached(py, move |interrupted| {
        // All of it, not its part alone: only as a whole it may go along.
        let views = views;
        planes::blend_planes(&views.0, format, overlay, window, interrupted)
    })
}

/// Planes to write, which go along to where the interpreter is not held: that is still the thread that borrowed them.
struct Writable<'a, T: Copy>(Vec<PlaneMut<'a, T>>);

// SAFETY: `detached` runs its kernel in the calling thread.
unsafe impl<T: Sample> Send for Writable<'_, T> {}

fn list<'py>(argument: &str, value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    value.extract().map_err(|_| wrong_type(argument, "a sequence of NumPy arrays", value.get_type().to_string()))
}

/// Whether planes have bytes, rather than 16 bits.
fn has_bytes(planes: &[Bound<'_, PyAny>]) -> PyResult<bool> {
    let Some(first) = planes.first() else {
        return Err(invalid("planes", "1 or 3 planes", "0"));
    };
    let dtype = untyped("planes", first)?.dtype();
    if numpy::PyArrayDescrMethods::is_equiv_to(&dtype, &numpy::dtype::<u8>(first.py())) {
        Ok(true)
    } else if numpy::PyArrayDescrMethods::is_equiv_to(&dtype, &numpy::dtype::<u16>(first.py())) {
        Ok(false)
    } else {
        Err(wrong_type("planes", "uint8 or uint16", dtype.to_string()))
    }
}

fn borrow<'py, T: Sample + numpy::Element>(planes: &[Bound<'py, PyAny>]) -> PyResult<Vec<Borrowed<'py, T>>> {
    planes.iter().map(Borrowed::new).collect()
}

/// A plane, borrowed for reading: no other kernel writes to it meanwhile.
struct Borrowed<'py, T: numpy::Element> {
    array: PyReadonlyArrayDyn<'py, T>,
    layout: Layout,
    /// From the first sample back to the one at the lowest address.
    back: usize,
    /// Samples from that one to the one at the highest.
    span: usize,
}

impl<'py, T: Sample + numpy::Element> Borrowed<'py, T> {
    fn new(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let typed: &Bound<'py, PyArrayDyn<T>> = typed("planes", array)?;
        let &[height, width] = typed.shape() else {
            return Err(invalid("planes", "planes of shape (H, W)", format!("{:?}", typed.shape())));
        };
        let size = size_of::<T>() as isize;
        if height == 0 || width == 0 {
            return Err(invalid("planes", "at least one sample", format!("{:?}", typed.shape())));
        }
        if typed.shape().iter().zip(typed.strides()).any(|(&count, stride)| count > 1 && stride % size != 0) {
            return Err(invalid("planes", "strides of whole samples", format!("{:?} bytes", typed.strides())));
        }
        let stride = |axis: usize| if typed.shape()[axis] > 1 { typed.strides()[axis] / size } else { 0 };
        let (row, step) = (stride(0), if width > 1 { stride(1) } else { 1 });
        let reaches = [(height - 1) as isize * row, (width - 1) as isize * step];
        let back = reaches.iter().map(|reach| reach.min(&0).unsigned_abs()).sum();
        let span = reaches.iter().map(|reach| reach.unsigned_abs()).sum::<usize>() + 1;
        let layout = Layout { height, width, first: back, row, step };
        let expected = "planes that no other call is writing to";
        let array = typed.try_readonly().map_err(|_| invalid("planes", expected, "one that is being written"))?;
        Ok(Self { array, layout, back, span })
    }

    fn lowest(&self) -> *mut T {
        // `wrapping`, as it is only looked at until a view is made.
        self.array.data().wrapping_sub(self.back)
    }

    /// Addresses from the first to the one after the last.
    fn bytes(&self) -> (usize, usize) {
        let start = self.lowest() as usize;
        (start, start + self.span * size_of::<T>())
    }

    fn view(&self) -> PyResult<Plane<'_, T>> {
        // SAFETY: all samples of the array lie in one allocation, from the lowest to the highest address, that the
        // borrow keeps alive and unwritten by kernels; they are aligned (checked in `typed`).
        let data = unsafe { std::slice::from_raw_parts(self.lowest().cast_const(), self.span) };
        Plane::new(data, self.layout).map_err(to_python)
    }

    fn view_mut(&self) -> PyResult<PlaneMut<'_, T>> {
        if !self.array.getattr("flags")?.getattr("writeable")?.extract::<bool>()? {
            return Err(invalid("planes", "writable arrays", "a read-only one"));
        }
        // SAFETY: as in `view`, and NumPy says that the memory may be written. Other planes may be woven into it, of which
        // NumPy's borrows can tell only some apart: hence cells, and the check of the core.
        let data = unsafe { std::slice::from_raw_parts(self.lowest().cast::<Cell<T>>(), self.span) };
        PlaneMut::new(data, self.layout).map_err(to_python)
    }
}

/// The core's form of Python's `PlaneFormat`.
fn plane_format(format: &Bound<'_, PyAny>) -> PyResult<PlaneFormat> {
    let siting = |step: &'static str, first: &'static str| {
        PyResult::Ok(Siting { step: field(format, step, "an int")?, first: field(format, first, "a number")? })
    };
    Ok(PlaneFormat {
        bits: field(format, "bits", "an int")?,
        shift: field(format, "shift", "an int")?,
        full_range: field(format, "full_range", "a bool")?,
        matrix: field(format, "matrix", "(Kr, Kb) or None")?,
        across: siting("step_x", "chroma_x")?,
        down: siting("step_y", "chroma_y")?,
    })
}

fn field<'py, V: for<'a> FromPyObject<'a, 'py>>(format: &Bound<'py, PyAny>, name: &str, expected: &str) -> PyResult<V> {
    let value =
        format.getattr(name).map_err(|_| wrong_type("format", "a PlaneFormat", format.get_type().to_string()))?;
    value.extract().map_err(|_| {
        let got = value.repr().map_or_else(|_| "another value".to_owned(), |text| text.to_string());
        wrong_type(&format!("format.{name}"), expected, got)
    })
}
