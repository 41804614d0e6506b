use pyo3::prelude::*;
use segs_core::feather;

use crate::arrays::{Input, Output, Rank};
use crate::door::{detached, invalid};
use crate::geometry::pixels;

/// Blurs masks with a Gaussian of `2 * feather + 1` taps.
#[pyfunction]
pub(crate) fn feather_mask(
    py: Python<'_>,
    masks: &Bound<'_, PyAny>,
    feather: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let feather = pixels("feather", feather)?;
    let Ok(feather) = usize::try_from(feather) else {
        return Err(invalid("feather", "0 or more pixels", feather.to_string()));
    };
    let masks = Input::<f32>::new("masks", masks, Rank::Masks)?;
    let mut out = Output::<f32>::new("out", out, Rank::Masks)?;
    out.apart_from(&masks)?;
    let (masks, out) = (masks.view()?, out.view()?);
    detached(py, |interrupted| feather::feather_mask(masks, feather, out, interrupted))
}
