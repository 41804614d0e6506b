use pyo3::prelude::*;
use segs_core::resize;

use crate::arrays::{Input, Output, Rank, with_pixel_type};
use crate::door::detached;

/// Resizes frames to the size of `out` with a Lanczos filter.
#[pyfunction]
pub(crate) fn resize_frames(py: Python<'_>, frames: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    with_pixel_type!("frames", frames, T => {
        let frames = Input::<T>::new("frames", frames, Rank::Frames)?;
        let mut out = Output::<T>::new("out", out, Rank::Frames)?;
        out.apart_from(&frames)?;
        let (frames, out) = (frames.view()?, out.view()?);
        detached(py, |interrupted| resize::resize_frames(frames, out, interrupted))
    })
}

/// Resizes masks to the size of `out`, bilinearly.
#[pyfunction]
pub(crate) fn resize_masks(py: Python<'_>, masks: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
    let mut out = Output::<f32>::new("out", out, Rank::Masks)?;
    out.apart_from(&masks)?;
    let (masks, out) = (masks.view()?, out.view()?);
    detached(py, |interrupted| resize::resize_masks(masks, out, interrupted))
}
