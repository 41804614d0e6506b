use pyo3::prelude::*;
use segs_core::paste as kernels;

use crate::arrays::{Input, Output, Rank, RegionList, ShiftList, with_pixel_type};
use crate::door::detached;
use crate::geometry::number;

/// Blends the crops into `frames` in place.
#[pyfunction]
#[pyo3(signature = (frames, crops, masks, regions, alpha, shifts=None))]
pub(crate) fn paste(
    py: Python<'_>,
    frames: &Bound<'_, PyAny>,
    crops: &Bound<'_, PyAny>,
    masks: &Bound<'_, PyAny>,
    regions: &Bound<'_, PyAny>,
    alpha: &Bound<'_, PyAny>,
    shifts: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let alpha = number("alpha", alpha)?;
    let regions = RegionList::new("regions", regions)?;
    let shifts = ShiftList::new("shifts", shifts)?;
    with_pixel_type!("frames", frames, T => {
        let crops = Input::<T>::new("crops", crops, Rank::Frames)?;
        let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
        let mut frames = Output::<T>::new("frames", frames, Rank::Frames)?;
        frames.apart_from(&crops)?;
        frames.apart_from(&masks)?;
        let patch = kernels::Patch { crops: crops.view()?, masks: masks.view()?, regions: regions.view(), shifts: shifts.view(), alpha };
        let frames = frames.view()?;
        detached(py, |interrupted| kernels::paste(frames, patch, interrupted))
    })
}

/// Copies `frames` to `out` and blends the crops in there.
#[pyfunction]
#[pyo3(signature = (frames, crops, masks, regions, alpha, out, shifts=None))]
#[allow(clippy::too_many_arguments)] // as Python passes them
pub(crate) fn copy_paste(
    py: Python<'_>,
    frames: &Bound<'_, PyAny>,
    crops: &Bound<'_, PyAny>,
    masks: &Bound<'_, PyAny>,
    regions: &Bound<'_, PyAny>,
    alpha: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    shifts: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let alpha = number("alpha", alpha)?;
    let regions = RegionList::new("regions", regions)?;
    let shifts = ShiftList::new("shifts", shifts)?;
    with_pixel_type!("frames", frames, T => {
        let frames = Input::<T>::new("frames", frames, Rank::Frames)?;
        let crops = Input::<T>::new("crops", crops, Rank::Frames)?;
        let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
        let mut out = Output::<T>::new("out", out, Rank::Frames)?;
        out.apart_from(&frames)?;
        out.apart_from(&crops)?;
        out.apart_from(&masks)?;
        let patch = kernels::Patch { crops: crops.view()?, masks: masks.view()?, regions: regions.view(), shifts: shifts.view(), alpha };
        let (frames, out) = (frames.view()?, out.view()?);
        detached(py, |interrupted| kernels::copy_paste(frames, patch, out, interrupted))
    })
}
