//! Sample types of a frame.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// A sample of a frame: `f32` and `f16` in `[0, 1]`, `u8` in `0..=255`.
///
/// Kernels compute in `f32` in the sample's own range, so that a copy through `f32` is exact for every type.
pub trait Pixel: Copy + Default + PartialEq + Send + Sync + 'static {
    /// The sample that means "full": 1.0, or 255.
    const MAX: f32;

    /// Whether samples are whole steps, as those of pictures in files are.
    const INTEGER: bool;

    /// The sample as `f32`, in its own range.
    fn to_f32(self) -> f32;

    /// The nearest sample to `value`; integer types round half up and clamp, floats keep what they get.
    fn from_f32(value: f32) -> Self;

    /// [`Pixel::to_f32`] of every sample; the slices have one length.
    #[inline(always)]
    fn widen(samples: &[Self], out: &mut [f32]) {
        for (out, &sample) in out.iter_mut().zip(samples) {
            *out = sample.to_f32();
        }
    }

    /// [`Pixel::from_f32`] of every value; the slices have one length.
    #[inline(always)]
    fn narrow(values: &[f32], out: &mut [Self]) {
        for (out, &value) in out.iter_mut().zip(values) {
            *out = Self::from_f32(value);
        }
    }

    /// The samples themselves where they are `f32` already: kernels then need no copy of them.
    #[inline(always)]
    fn as_f32(samples: &[Self]) -> Option<&[f32]> {
        let _ = samples;
        None
    }

    /// As [`Pixel::as_f32`], to write.
    #[inline(always)]
    fn as_f32_mut(samples: &mut [Self]) -> Option<&mut [f32]> {
        let _ = samples;
        None
    }
}

impl Pixel for f32 {
    const MAX: f32 = 1.0;
    const INTEGER: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn as_f32(samples: &[Self]) -> Option<&[f32]> {
        Some(samples)
    }

    #[inline(always)]
    fn as_f32_mut(samples: &mut [Self]) -> Option<&mut [f32]> {
        Some(samples)
    }
}

impl Pixel for f16 {
    const MAX: f32 = 1.0;
    const INTEGER: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    // On slices the CPU is asked once what it can do, not at each sample.
    #[inline]
    fn widen(samples: &[Self], out: &mut [f32]) {
        samples.convert_to_f32_slice(out);
    }

    #[inline]
    fn narrow(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

/// From here on an `f32` has no fraction, and its lowest bits count ones.
const WHOLE: f32 = 8_388_608.0;

impl Pixel for u8 {
    const MAX: f32 = 255.0;
    const INTEGER: bool = true;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        // `(value + 0.5) as u8`, which saturates and maps NaN to 0, in operations that exist as vectors.
        let value = value + 0.5;
        let positive = if value > 0.0 { value } else { 0.0 };
        let bounded = if positive < 255.0 { positive } else { 255.0 };
        let nearest = (bounded + WHOLE) - WHOLE;
        let floor = if nearest > bounded { nearest - 1.0 } else { nearest };
        (floor + WHOLE).to_bits() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_half_up_and_saturate() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.499_999_97, 254.5, 255.5, 1e9, -1e9];
        let steps = (-600..66_000).map(|step| step as f32 / 256.0);
        let around = steps.flat_map(|value| [value.next_down(), value, value.next_up()]);
        for value in around.chain(special) {
            assert_eq!(u8::from_f32(value), (value + 0.5) as u8, "{value:e}");
        }
    }

    #[test]
    fn slices_of_halves_convert_as_single_ones_do() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| !half.is_nan()).collect();
        let mut floats = vec![0.0; halves.len()];
        f16::widen(&halves, &mut floats);
        assert!(halves.iter().zip(&floats).all(|(half, &float)| half.to_f32() == float));
        let mut back = vec![f16::ZERO; halves.len()];
        f16::narrow(&floats, &mut back);
        assert!(halves.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
