//! Conversion between halves and floats, slice by slice: so the CPU is asked once what it can do, not at each sample.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::cpu::multiversion;

multiversion! {
    /// Every half as a float; the slices have one length.
    fn widen(halves: &[f16], out: &mut [f32]) = f16c::widen, widen_body;
}

fn widen_body(halves: &[f16], out: &mut [f32]) {
    halves.convert_to_f32_slice(out);
}

multiversion! {
    /// The nearest half to every float, the even one of two; the slices have one length.
    fn narrow(floats: &[f32], out: &mut [f16]) = f16c::narrow, narrow_body;
}

fn narrow_body(floats: &[f32], out: &mut [f16]) {
    out.convert_from_f32_slice(floats);
}

#[cfg(target_arch = "x86_64")]
mod f16c {
    use half::f16;

    use crate::pixel::{LANES, Pixel};

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    pub(super) fn widen(halves: &[f16], out: &mut [f32]) {
        let (chunks, rest) = halves.as_chunks::<LANES>();
        let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
        for (halves, out) in chunks.iter().zip(out_chunks) {
            widen_chunk(halves, out);
        }
        if !rest.is_empty() {
            let (mut halves, mut floats) = ([f16::ZERO; LANES], [0.0; LANES]);
            halves[..rest.len()].copy_from_slice(rest);
            widen_chunk(&halves, &mut floats);
            out_rest.copy_from_slice(&floats[..rest.len()]);
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    pub(super) fn narrow(floats: &[f32], out: &mut [f16]) {
        let (chunks, rest) = floats.as_chunks::<LANES>();
        let (out_chunks, out_rest) = out.as_chunks_mut::<LANES>();
        for (floats, out) in chunks.iter().zip(out_chunks) {
            narrow_chunk(floats, out);
        }
        if !rest.is_empty() {
            let (mut floats, mut halves) = ([0.0; LANES], [f16::ZERO; LANES]);
            floats[..rest.len()].copy_from_slice(rest);
            narrow_chunk(&floats, &mut halves);
            out_rest.copy_from_slice(&halves[..rest.len()]);
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn widen_chunk(halves: &[f16; LANES], out: &mut [f32; LANES]) {
        // SAFETY: this code runs at the level of AVX2 only.
        *out = unsafe { f16::widen_lanes::<true>(*halves) };
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    fn narrow_chunk(floats: &[f32; LANES], out: &mut [f16; LANES]) {
        // SAFETY: this code runs at the level of AVX2 only.
        *out = unsafe { f16::narrow_lanes::<true>(*floats) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_give_the_bits_of_single_samples() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| !half.is_nan()).collect();
        let mut floats = vec![0.0; halves.len()];
        widen(&halves, &mut floats);
        assert!(halves.iter().zip(&floats).all(|(half, float)| half.to_f32().to_bits() == float.to_bits()));
        // Halfway between two halves, and the floats next to that, and those too large or too small for any half.
        let between = floats.windows(2).map(|pair| pair[0].midpoint(pair[1]));
        let around = between.flat_map(|value| [value, value.next_up(), value.next_down()]);
        let values: Vec<f32> = around.chain(floats.iter().copied()).chain([1e30, -1e30, 1e-30, -1e-30]).collect();
        let mut narrowed = vec![f16::ZERO; values.len()];
        narrow(&values, &mut narrowed);
        for (value, half) in values.iter().zip(&narrowed) {
            assert!(value.is_nan() || f16::from_f32(*value).to_bits() == half.to_bits(), "{value:e}");
        }
    }

    #[test]
    fn not_a_number_stays_one_at_every_place_of_a_slice() {
        for len in 1..20 {
            for place in 0..len {
                let mut floats = vec![0.5; len];
                floats[place] = f32::NAN;
                let (mut halves, mut back) = (vec![f16::ZERO; len], vec![0.0; len]);
                narrow(&floats, &mut halves);
                widen(&halves, &mut back);
                assert!(back.iter().enumerate().all(|(i, value)| value.is_nan() == (i == place)));
            }
        }
    }
}
