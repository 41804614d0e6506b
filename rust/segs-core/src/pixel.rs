//! Sample types of a frame.

use half::f16;

use crate::halves;

/// Samples that the larger registers of [`crate::cpu::Level::Avx2`] hold as `f32`.
pub(crate) const LANES: usize = 8;

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

    /// [`Pixel::to_f32`] of [`LANES`] samples.
    ///
    /// # Safety
    ///
    /// `FAST` only at [`crate::cpu::Level::Avx2`].
    #[inline(always)]
    unsafe fn widen_lanes<const FAST: bool>(samples: [Self; LANES]) -> [f32; LANES] {
        samples.map(Self::to_f32)
    }

    /// [`Pixel::from_f32`] of [`LANES`] values.
    ///
    /// # Safety
    ///
    /// `FAST` only at [`crate::cpu::Level::Avx2`].
    #[inline(always)]
    unsafe fn narrow_lanes<const FAST: bool>(values: [f32; LANES]) -> [Self; LANES] {
        values.map(Self::from_f32)
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

    /// The samples themselves where they are bytes, for kernels that compute those in integers.
    #[inline(always)]
    fn as_bytes(samples: &[Self]) -> Option<&[u8]> {
        let _ = samples;
        None
    }

    /// As [`Pixel::as_bytes`], to write.
    #[inline(always)]
    fn as_bytes_mut(samples: &mut [Self]) -> Option<&mut [u8]> {
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

    #[inline]
    fn widen(samples: &[Self], out: &mut [f32]) {
        halves::widen(samples, out);
    }

    #[inline]
    fn narrow(values: &[f32], out: &mut [Self]) {
        halves::narrow(values, out);
    }

    #[inline(always)]
    unsafe fn widen_lanes<const FAST: bool>(samples: [Self; LANES]) -> [f32; LANES] {
        #[cfg(target_arch = "x86_64")]
        if FAST {
            use std::arch::x86_64::{__m128i, __m256, _mm256_cvtph_ps};
            // SAFETY: the arrays have the sizes of the vectors and no invalid values, and the level has F16C.
            return unsafe {
                let samples = std::mem::transmute::<[Self; LANES], __m128i>(samples);
                std::mem::transmute::<__m256, [f32; LANES]>(_mm256_cvtph_ps(samples))
            };
        }
        let mut values = [0.0; LANES];
        Self::widen(&samples, &mut values);
        values
    }

    #[inline(always)]
    unsafe fn narrow_lanes<const FAST: bool>(values: [f32; LANES]) -> [Self; LANES] {
        #[cfg(target_arch = "x86_64")]
        if FAST {
            use std::arch::x86_64::{__m128i, __m256, _MM_FROUND_TO_NEAREST_INT, _mm256_cvtps_ph};
            // SAFETY: the arrays have the sizes of the vectors and no invalid values, and the level has F16C.
            return unsafe {
                let values = std::mem::transmute::<[f32; LANES], __m256>(values);
                std::mem::transmute::<__m128i, [Self; LANES]>(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values))
            };
        }
        let mut samples = [Self::ZERO; LANES];
        Self::narrow(&values, &mut samples);
        samples
    }
}

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
        // SAFETY: neither NaN nor infinite, and in the range of both types.
        unsafe { bounded.to_int_unchecked::<i32>() as u8 }
    }

    #[inline(always)]
    unsafe fn widen_lanes<const FAST: bool>(samples: [Self; LANES]) -> [f32; LANES] {
        #[cfg(target_arch = "x86_64")]
        if FAST {
            use std::arch::x86_64::{__m256, _mm_cvtsi64_si128, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32};
            // SAFETY: an array of floats is as large as the vector and has no invalid values; the level has AVX2.
            return unsafe {
                let samples = _mm_cvtsi64_si128(i64::from_le_bytes(samples));
                std::mem::transmute::<__m256, [f32; LANES]>(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(samples)))
            };
        }
        samples.map(Self::to_f32)
    }

    #[inline(always)]
    unsafe fn narrow_lanes<const FAST: bool>(values: [f32; LANES]) -> [Self; LANES] {
        #[cfg(target_arch = "x86_64")]
        if FAST {
            use std::arch::x86_64::{
                __m256, _mm_cvtsi128_si64, _mm_packus_epi16, _mm_packus_epi32, _mm256_add_ps, _mm256_castsi256_si128,
                _mm256_cvttps_epi32, _mm256_extracti128_si256, _mm256_max_ps, _mm256_min_ps, _mm256_set1_ps,
                _mm256_setzero_ps,
            };
            // SAFETY: an array of floats is as large as the vector; the level has AVX2.
            return unsafe {
                let values = _mm256_add_ps(std::mem::transmute::<[f32; LANES], __m256>(values), _mm256_set1_ps(0.5));
                // Of a NaN and a number, the second comes out.
                let bounded = _mm256_min_ps(_mm256_max_ps(values, _mm256_setzero_ps()), _mm256_set1_ps(255.0));
                let whole = _mm256_cvttps_epi32(bounded);
                let words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
                _mm_cvtsi128_si64(_mm_packus_epi16(words, words)).to_le_bytes()
            };
        }
        values.map(Self::from_f32)
    }

    #[inline(always)]
    fn as_bytes(samples: &[Self]) -> Option<&[u8]> {
        Some(samples)
    }

    #[inline(always)]
    fn as_bytes_mut(samples: &mut [Self]) -> Option<&mut [u8]> {
        Some(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Level, best};

    /// Values around the steps of bytes and beyond them, and those that are no numbers.
    fn values() -> Vec<f32> {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.499_999_97, 254.5, 255.5, 1e9, -1e9];
        let steps = (-600..66_000).map(|step| step as f32 / 256.0);
        steps.flat_map(|value| [value.next_down(), value, value.next_up()]).chain(special).collect()
    }

    fn check_lanes<T: Pixel + std::fmt::Debug, const FAST: bool>(samples: &[T]) {
        for samples in samples.as_chunks().0 {
            // SAFETY: `FAST` is asked for only where the CPU has the level.
            let wide = unsafe { T::widen_lanes::<FAST>(*samples) };
            assert_eq!(wide, samples.map(T::to_f32));
        }
        for values in values().as_chunks().0 {
            // SAFETY: as above.
            let narrow = unsafe { T::narrow_lanes::<FAST>(*values) };
            let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
            assert!(narrow.iter().zip(values).all(|(a, b)| same(a.to_f32(), T::from_f32(*b).to_f32())), "{values:?}");
        }
    }

    #[test]
    fn lanes_convert_as_single_samples_do() {
        let bytes: Vec<u8> = (0..=255).collect();
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| !half.is_nan()).collect();
        check_lanes::<u8, false>(&bytes);
        check_lanes::<f16, false>(&halves);
        check_lanes::<f32, false>(&values()[..8]);
        if best() == Level::Avx2 {
            check_lanes::<u8, true>(&bytes);
            check_lanes::<f16, true>(&halves);
            check_lanes::<f32, true>(&values()[..8]);
        }
    }

    #[test]
    fn bytes_round_half_up_and_saturate() {
        for value in values() {
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
