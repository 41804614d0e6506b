//! Image kernels over batches of frames: crops, Lanczos resizing, mask feathering, pasting and morphology.
//!
//! Every kernel takes checked views ([`view`]) and an output that the caller allocated, computes in `f32`, and gives
//! the same bits for every number of threads.

mod copy;
pub mod cpu;
pub mod error;
pub mod feather;
pub mod gather;
mod halves;
pub mod morphology;
pub mod parallel;
pub mod paste;
pub mod pixel;
pub mod planes;
pub mod region;
pub mod resize;
pub mod shift;
pub mod turn;
pub mod view;

pub use error::{Error, Result};
