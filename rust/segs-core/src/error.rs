//! The one error type of the kernels.

use thiserror::Error;

/// Why a kernel refused its arguments, or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A shape, size or count does not fit the kernel or another argument.
    #[error("{argument}: expected {expected}, got {got}")]
    Shape {
        /// Name of the offending argument.
        argument: &'static str,
        /// What the kernel accepts.
        expected: String,
        /// What the caller passed.
        got: String,
    },
    /// A value is outside the range that the kernel accepts.
    #[error("{argument}: expected {expected}, got {got}")]
    Value {
        /// Name of the offending argument.
        argument: &'static str,
        /// What the kernel accepts.
        expected: String,
        /// What the caller passed.
        got: String,
    },
    /// The caller asked to stop before the work was done; the output is incomplete.
    #[error("interrupted before all frames were done")]
    Interrupted,
}

/// Result of a kernel.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn shape(argument: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Shape { argument, expected: expected.into(), got: got.into() }
    }

    pub(crate) fn value(argument: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Value { argument, expected: expected.into(), got: got.into() }
    }
}
