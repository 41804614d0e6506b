//! Sample types of a frame.

use half::f16;

/// A sample of a frame: `f32` and `f16` in `[0, 1]`, `u8` in `0..=255`.
///
/// Kernels compute in `f32` in the sample's own range, so that a copy through `f32` is exact for every type.
pub trait Pixel: Copy + Default + PartialEq + Send + Sync + 'static {
    /// The sample that means "full": 1.0, or 255.
    const MAX: f32;

    /// The sample as `f32`, in its own range.
    fn to_f32(self) -> f32;

    /// The nearest sample to `value`; integer types round half up and clamp, floats keep what they get.
    fn from_f32(value: f32) -> Self;
}

impl Pixel for f32 {
    const MAX: f32 = 1.0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Pixel for f16 {
    const MAX: f32 = 1.0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}

impl Pixel for u8 {
    const MAX: f32 = 255.0;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        // `as` saturates and maps NaN to 0.
        (value + 0.5) as u8
    }
}
