//! See the module's kernels.
