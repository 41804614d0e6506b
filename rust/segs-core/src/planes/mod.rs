//! Frames as decoders give them: a plane of samples for each component, chroma perhaps in fewer samples than luma.
//!
//! A region is converted to RGB, and an overlay is blended into the planes themselves, where it has a share; all other
//! samples keep their bits. Conversion between planes and RGB is affine, so that blending commutes with it.
//!
//! What color is between two samples of chroma is interpolated linearly, from where they lie ([`Siting`]). The other
//! way, a sample of chroma is the mean over the area of its own that lies about it, one chroma step wide: one part,
//! two parts and one where it lies on a pixel, halves where it lies between two. Pixels beyond the edge count as those
//! at it.

mod blend;
mod coding;
mod lines;
mod to_rgb;
mod view;

#[cfg(test)]
mod tests;

pub use blend::blend_planes;
pub use coding::{PlaneFormat, Siting};
pub use to_rgb::planes_to_rgb;
pub use view::{Layout, Plane, PlaneMut, Sample};
