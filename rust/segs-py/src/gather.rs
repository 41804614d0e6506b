use pyo3::prelude::*;
use segs_core::gather::{self, Fill};

use crate::arrays::{Input, Output, Rank, RegionList, ShiftList, sample, with_pixel_type};
use crate::door::detached;
use crate::geometry::number;

/// Copies the region of every frame, moved and turned by its shift, to `out`; parts outside are `fill`, or the nearest
/// pixel where it is None.
#[pyfunction]
#[pyo3(signature = (frames, regions, out, fill=None, shifts=None))]
pub(crate) fn crop_frames(
    py: Python<'_>,
    frames: &Bound<'_, PyAny>,
    regions: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    fill: Option<&Bound<'_, PyAny>>,
    shifts: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let fill = fill.map(|fill| number("fill", fill)).transpose()?;
    let regions = RegionList::new("regions", regions)?;
    let shifts = ShiftList::new("shifts", shifts)?;
    with_pixel_type!("frames", frames, T => {
        let frames = Input::<T>::new("frames", frames, Rank::Frames)?;
        let mut out = Output::<T>::new("out", out, Rank::Frames)?;
        out.apart_from(&frames)?;
        let fill = fill.map_or(Fill::Edge, |value| Fill::Constant(sample(value)));
        let (frames, out) = (frames.view()?, out.view()?);
        detached(py, |interrupted| gather::crop_frames(frames, regions.view(), shifts.view(), fill, out, interrupted))
    })
}
