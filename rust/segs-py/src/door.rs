//! The one place where the interpreter is released, and the one where kernel errors become Python's.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use segs_core::Error;
use segs_core::parallel::Interrupted;

pyo3::import_exception!(segs_detailer.errors, InvalidArgumentError);
pyo3::import_exception!(segs_detailer.errors, InvalidTypeError);

/// Runs `kernel` detached from the interpreter. A signal that came meanwhile (Ctrl-C) stops it and is raised.
pub(crate) fn detached<R: Send>(
    py: Python<'_>,
    kernel: impl FnOnce(Interrupted<'_>) -> segs_core::Result<R> + Send,
) -> PyResult<R> {
    let signal: Mutex<Option<PyErr>> = Mutex::new(None);
    let result = py.detach(|| {
        let interrupted = || {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => false,
                Err(error) => {
                    *signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    true
                }
            })
        };
        kernel(&interrupted)
    });
    match signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => result.map_err(to_python),
    }
}

/// The Python exception for an error of the core. Each kind is named: a new one does not compile until it has its own.
pub(crate) fn to_python(error: Error) -> PyErr {
    match error {
        Error::Shape { argument, expected, got } | Error::Value { argument, expected, got } => {
            invalid(argument, expected, got)
        }
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
    }
}

/// An `InvalidArgumentError`.
pub(crate) fn invalid(argument: &str, expected: impl Into<String>, got: impl Into<String>) -> PyErr {
    InvalidArgumentError::new_err((argument.to_owned(), expected.into(), got.into()))
}

/// An `InvalidTypeError`.
pub(crate) fn wrong_type(argument: &str, expected: impl Into<String>, got: impl Into<String>) -> PyErr {
    InvalidTypeError::new_err((argument.to_owned(), expected.into(), got.into()))
}
