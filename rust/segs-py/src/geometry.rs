use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::arrays::{RegionList, RegionTable};
use crate::door::{invalid, to_python, wrong_type};

/// Rescales regions of frames of `from_size` (height, width) to frames of `to_size`.
#[pyfunction]
pub(crate) fn rescale_regions(
    regions: &Bound<'_, PyAny>,
    from_size: &Bound<'_, PyAny>,
    to_size: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let regions = RegionList::new("regions", regions)?;
    let (from, to) = (size("from_size", from_size)?, size("to_size", to_size)?);
    let mut out = RegionTable::new("out", out, regions.len())?;
    let rescaled = regions.iter().map(|region| region.rescale(from, to)).collect::<segs_core::Result<Vec<_>>>();
    out.write(&rescaled.map_err(to_python)?);
    Ok(())
}

/// A (height, width) pair.
fn size(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<(usize, usize)> {
    let expected = "a (height, width) pair";
    let pair: Vec<Bound<'_, PyAny>> =
        value.extract().map_err(|_| wrong_type(argument, expected, value.get_type().to_string()))?;
    match pair.as_slice() {
        [height, width] => Ok((extent(argument, height)?, extent(argument, width)?)),
        _ => Err(invalid(argument, expected, format!("{} values", pair.len()))),
    }
}

/// A number of pixels.
pub(crate) fn extent(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let got = || value.str().map_or_else(|_| "another value".to_owned(), |text| text.to_string());
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            invalid(argument, "a whole number of pixels, 0 or more", got())
        } else {
            wrong_type(argument, "an int", value.get_type().to_string())
        }
    })
}

/// A number, as `f32`.
pub(crate) fn number(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<f32> {
    // An int beyond every float is still a number: its error is one of value.
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            return invalid(argument, "a finite number", "an int beyond the range of floats");
        }
        wrong_type(argument, "a number", value.get_type().to_string())
    })
}

/// A number of pixels that may be negative, to be checked by who asks.
pub(crate) fn pixels(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            invalid(argument, "a number of pixels", "a number beyond 64 bits")
        } else {
            wrong_type(argument, "an int", value.get_type().to_string())
        }
    })
}
