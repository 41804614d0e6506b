//! Resizing: Lanczos for frames, bilinear for masks.

mod bilinear;
mod lanczos;
mod plan;

pub use bilinear::resize_masks;
pub use lanczos::resize_frames;

use crate::error::{Error, Result};
use crate::view::Shape;

/// Checks what both kernels ask of their sizes. `false` means that there is nothing to write.
fn check(argument: &'static str, from: Shape, to: Shape) -> Result<bool> {
    if (to.frames, to.channels) != (from.frames, from.channels) {
        return Err(Error::shape("out", format!("the frames and channels of {from}"), to.to_string()));
    }
    if !to.is_empty() && from.is_empty() {
        return Err(Error::shape(argument, "at least one pixel", from.to_string()));
    }
    Ok(!to.is_empty())
}
