//! The horizontal half of bilinear resizing: one row, between its own samples.

use crate::cpu::multiversion;
use crate::resize::bilinear::Place;

/// Where each output column lies. Apart from each other, so that both are read as vectors.
#[derive(Debug)]
pub(super) struct Columns {
    /// The input column to the left of each output column. They never fall.
    first: Vec<u32>,
    /// How far away from it.
    share: Vec<f32>,
}

impl Columns {
    /// Columns at `places`, which lie within less than 2^32 input columns.
    pub(super) fn new(places: &[Place]) -> Self {
        Self {
            first: places.iter().map(|place| place.first as u32).collect(),
            share: places.iter().map(|place| place.share).collect(),
        }
    }

    /// Number of output columns.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }
}

multiversion! {
    /// Computes all output columns of `row`. To the right of its last sample is that sample again.
    fn between_columns(row: &[f32], columns: &Columns, out: &mut [f32]) = avx2::between_columns, between_columns_body;
}

#[inline(always)]
fn between_columns_body(row: &[f32], columns: &Columns, out: &mut [f32]) {
    between_each(row, &columns.first, &columns.share, out);
}

#[inline(always)]
fn between_each(row: &[f32], first: &[u32], share: &[f32], out: &mut [f32]) {
    for (value, (&first, &share)) in out.iter_mut().zip(first.iter().zip(share)) {
        let first = first as usize;
        let (left, right) = (row[first], row[(first + 1).min(row.len() - 1)]);
        *value = (1.0 - share) * left + share * right;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_blendv_ps, _mm256_castsi256_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_min_epu32, _mm256_mul_ps, _mm256_permutevar8x32_ps, _mm256_set1_epi32,
        _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi32, _mm256_sub_ps,
    };

    use super::{Columns, between_each};

    const LANES: usize = 8;

    /// Eight output columns at a time, whose input columns are picked from one or two vectors where they lie that close
    /// together: when enlarging, and when shrinking to no less than half.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn between_columns(row: &[f32], columns: &Columns, out: &mut [f32]) {
        let (firsts, rest_first) = columns.first.as_chunks::<LANES>();
        let (shares, rest_share) = columns.share.as_chunks::<LANES>();
        let (outs, rest_out) = out.as_chunks_mut::<LANES>();
        let one = _mm256_set1_ps(1.0);
        let last_column = _mm256_set1_epi32(row.len() as i32 - 1);
        for ((first, share), out) in firsts.iter().zip(shares).zip(outs) {
            let (start, reach) = (first[0] as usize, first[LANES - 1] - first[0]);
            let lefts = load_columns(first);
            let rights = _mm256_min_epu32(_mm256_add_epi32(lefts, _mm256_set1_epi32(1)), last_column);
            let (left, right) = if reach < 8 && row.len() >= 8 {
                (pick_of_8(row, start, lefts), pick_of_8(row, start + 1, rights))
            } else if reach < 16 && row.len() >= 16 {
                (pick_of_16(row, start, lefts), pick_of_16(row, start + 1, rights))
            } else {
                between_each(row, first, share, out);
                continue;
            };
            let share = load(share);
            let sum = _mm256_add_ps(_mm256_mul_ps(_mm256_sub_ps(one, share), left), _mm256_mul_ps(share, right));
            store(sum, out);
        }
        between_each(row, rest_first, rest_share, rest_out);
    }

    /// The samples at `columns`, which are not further than seven from `start`. Moves to the left at the row's end.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn pick_of_8(row: &[f32], start: usize, columns: __m256i) -> __m256 {
        let start = start.min(row.len() - 8);
        let places = _mm256_sub_epi32(columns, _mm256_set1_epi32(start as i32));
        let samples: &[f32; 8] = row[start..].first_chunk().expect("eight samples from `start` on");
        _mm256_permutevar8x32_ps(load(samples), places)
    }

    /// As [`pick_of_8`], up to fifteen from `start`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn pick_of_16(row: &[f32], start: usize, columns: __m256i) -> __m256 {
        let start = start.min(row.len() - 16);
        let places = _mm256_sub_epi32(columns, _mm256_set1_epi32(start as i32));
        let samples: &[f32; 16] = row[start..].first_chunk().expect("sixteen samples from `start` on");
        let (low, high) =
            (samples.first_chunk().expect("eight of sixteen"), samples.last_chunk().expect("eight of sixteen"));
        // Permutations take the lowest three bits of a place; the fourth, moved to the sign, says which half.
        let which = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places));
        let from_low = _mm256_permutevar8x32_ps(load(low), places);
        _mm256_blendv_ps(from_low, _mm256_permutevar8x32_ps(load(high), places), which)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load(values: &[f32; 8]) -> __m256 {
        // SAFETY: the reference is to eight readable values, and the load needs no alignment.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load_columns(columns: &[u32; 8]) -> __m256i {
        // SAFETY: the reference is to eight readable values, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(columns.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn store(values: __m256, out: &mut [f32; 8]) {
        // SAFETY: the reference is to eight writable values, and the store needs no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resize::bilinear::places;
    use crate::resize::tests::noise;

    proptest! {
        #[test]
        fn vectors_give_the_bits_of_single_samples(
            width in 1usize..90, to in 1usize..200, fused in any::<bool>(), seed in any::<u32>(),
        ) {
            let row = noise(width, seed);
            let columns = Columns::new(&places(width, to, fused));
            let (mut got, mut expected) = (vec![f32::NAN; to], vec![f32::NAN; to]);
            between_columns(&row, &columns, &mut got);
            between_columns_body(&row, &columns, &mut expected);
            prop_assert!(got.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
