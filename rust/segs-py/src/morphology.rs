use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use segs_core::morphology;

use crate::arrays::{Input, Output, Rank};
use crate::door::detached;
use crate::geometry::{extent, number};

/// Writes 1 to `out` where a mask is above `level`, else 0.
#[pyfunction]
pub(crate) fn threshold(
    py: Python<'_>,
    masks: &Bound<'_, PyAny>,
    level: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let level = number("level", level)?;
    let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
    let mut out = Output::<u8>::new("out", out, Rank::Masks)?;
    out.apart_from(&masks)?;
    let (masks, out) = (masks.view()?, out.view()?);
    detached(py, |interrupted| morphology::threshold(masks, level, out, interrupted))
}

/// Writes the largest value in the window of `size` x `size` pixels around each pixel.
#[pyfunction]
pub(crate) fn dilate(
    py: Python<'_>,
    masks: &Bound<'_, PyAny>,
    size: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let size = extent("size", size)?;
    let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
    let mut out = Output::<f32>::new("out", out, Rank::Masks)?;
    out.apart_from(&masks)?;
    let (masks, out) = (masks.view()?, out.view()?);
    detached(py, |interrupted| morphology::dilate(masks, size, out, interrupted))
}

/// Writes the smallest value in the window of `size` x `size` pixels around each pixel.
#[pyfunction]
pub(crate) fn erode(
    py: Python<'_>,
    masks: &Bound<'_, PyAny>,
    size: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let size = extent("size", size)?;
    let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
    let mut out = Output::<f32>::new("out", out, Rank::Masks)?;
    out.apart_from(&masks)?;
    let (masks, out) = (masks.view()?, out.view()?);
    detached(py, |interrupted| morphology::erode(masks, size, out, interrupted))
}

/// Writes 1 to `out` where the mask is not 0 and in its holes, else 0.
#[pyfunction]
pub(crate) fn fill_holes(py: Python<'_>, mask: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    let mask = Input::<u8>::new("mask", mask, Rank::Mask)?;
    let mut out = Output::<u8>::new("out", out, Rank::Mask)?;
    out.apart_from(&mask)?;
    let (mask, out) = (mask.view()?, out.view()?);
    detached(py, |interrupted| morphology::fill_holes(mask, out, interrupted))
}

/// Labels the connected regions of the mask; returns `(x1, y1, x2, y2, area)` of each.
#[pyfunction]
pub(crate) fn components<'py>(
    py: Python<'py>,
    mask: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let mask = Input::<u8>::new("mask", mask, Rank::Mask)?;
    let mut labels = Output::<i32>::new("labels", labels, Rank::Mask)?;
    labels.apart_from(&mask)?;
    let (mask, labels) = (mask.view()?, labels.view()?);
    let found = detached(py, |interrupted| morphology::components(mask, labels, interrupted))?;
    let count = found.len();
    let numbers = found.into_iter().flat_map(|c| [c.x1, c.y1, c.x2, c.y2, c.area]).map(|n| n as i64);
    PyArray1::from_vec(py, numbers.collect()).reshape([count, 5])
}
