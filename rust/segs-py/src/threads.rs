//! Number of threads, and the CPU level.

use pyo3::prelude::*;
use segs_core::cpu::{self, Level};
use segs_core::parallel;

use crate::door::invalid;

/// Sets the number of threads of all kernels; 0 goes back to the environment's or the default.
#[pyfunction]
pub(crate) fn set_num_threads(threads: usize) {
    parallel::set_num_threads(threads);
}

/// Number of threads that kernels may use.
#[pyfunction]
pub(crate) fn get_num_threads() -> usize {
    parallel::num_threads()
}

/// The instruction set in use: "scalar" or "avx2".
#[pyfunction]
pub(crate) fn cpu_level() -> &'static str {
    match cpu::level() {
        Level::Baseline => "scalar",
        Level::Avx2 => "avx2",
    }
}

/// Whether the CPU has AVX-512, which no kernel uses.
#[pyfunction]
pub(crate) fn cpu_has_avx512() -> bool {
    cpu::has_avx512()
}

/// Uses an instruction set, or the best one that the CPU has if it lacks that.
#[pyfunction]
pub(crate) fn set_cpu_level(level: &str) -> PyResult<()> {
    match level {
        "scalar" => cpu::set_level(Level::Baseline),
        "avx2" => cpu::set_level(Level::Avx2),
        other => return Err(invalid("level", "'scalar' or 'avx2'", format!("{other:?}"))),
    }
    Ok(())
}
