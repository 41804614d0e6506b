//! The vertical pass in integers.

use crate::cpu::multiversion;
use crate::resize::bytes::taps::{Finish, Pair};

/// Rows are as long as a multiple of this.
pub(super) const BLOCK: usize = 32;

/// The rows that make an output row, and their weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// All rows of a ring.
    pub(super) data: &'a [i16],
    /// Where the two rows of each pair start. From each on there are at least as many samples as of the output row,
    /// rounded up to a multiple of [`BLOCK`].
    pub(super) starts: &'a [[usize; 2]],
    pub(super) weights: &'a [Pair],
}

multiversion! {
    /// Computes an output row of bytes.
    fn weigh_rows(rows: Rows<'_>, finish: Finish, out: &mut [u8]) = avx2::weigh_rows, weigh_rows_body;
}

#[inline(always)]
fn weigh_rows_body(rows: Rows<'_>, finish: Finish, out: &mut [u8]) {
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [finish.half(); BLOCK];
        for (starts, weights) in rows.starts.iter().zip(rows.weights) {
            for (&start, &weight) in starts.iter().zip(weights) {
                let values = &rows.data[start + block * BLOCK..][..BLOCK];
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum += i32::from(weight) * i32::from(value);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = finish.sample(sum) as u8;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_sra_epi32,
        _mm256_storeu_si256, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
    };

    use super::{BLOCK, Finish, Rows};

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn weigh_rows(rows: Rows<'_>, finish: Finish, out: &mut [u8]) {
        // When enlarging there are three pairs, which fit registers.
        if let (&[a, b, c], &[u, v, w]) = (rows.starts, rows.weights) {
            weigh_blocks(Rows { starts: &[a, b, c], weights: &[u, v, w], ..rows }, finish, out);
        } else {
            weigh_blocks(rows, finish, out);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn weigh_blocks(rows: Rows<'_>, finish: Finish, out: &mut [u8]) {
        // Checked once, so that the blocks need not.
        let row_len = out.len().next_multiple_of(BLOCK);
        assert!(
            rows.starts
                .as_flattened()
                .iter()
                .all(|&start| start <= rows.data.len() && row_len <= rows.data.len() - start)
        );
        let shift = _mm_cvtsi32_si128(finish.shift as i32);
        let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
        let whole = blocks.len();
        for (block, out) in blocks.iter_mut().enumerate() {
            // SAFETY: `block` is less than `row_len / BLOCK`, and that many blocks were found to follow every start.
            store(unsafe { weigh_block(rows, finish, shift, block * BLOCK) }, out);
        }
        if !rest.is_empty() {
            let mut last = [0; BLOCK];
            // SAFETY: `row_len` is a multiple of `BLOCK` beyond the whole blocks, since there is a rest.
            store(unsafe { weigh_block(rows, finish, shift, whole * BLOCK) }, &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// A block of output bytes.
    ///
    /// # Safety
    ///
    /// From every start plus `x` on there must be [`BLOCK`] samples.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn weigh_block(rows: Rows<'_>, finish: Finish, shift: __m128i, x: usize) -> __m256i {
        let mut sums = [_mm256_set1_epi32(finish.half()); 4];
        for (&[first, second], &[a, b]) in rows.starts.iter().zip(rows.weights) {
            let weights = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
            for half in 0..2 {
                let x = x + half * (BLOCK / 2);
                // SAFETY: half a block from `x` on, and the caller says that a block is there; no alignment is needed.
                let (above, below) = unsafe {
                    let at = |start: usize| rows.data.as_ptr().add(start + x);
                    (_mm256_loadu_si256(at(first).cast()), _mm256_loadu_si256(at(second).cast()))
                };
                // What unpacking parts, packing joins again in order.
                let (low, high) = (_mm256_unpacklo_epi16(above, below), _mm256_unpackhi_epi16(above, below));
                for (sum, pairs) in sums[2 * half..].iter_mut().zip([low, high]) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, weights));
                }
            }
        }
        let [a, b, c, d] = sums.map(|sum| _mm256_sra_epi32(sum, shift));
        // These instructions work on both halves of a vector by themselves, and leave quarters in the order 0 2 1 3.
        let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn store(bytes: __m256i, out: &mut [u8; BLOCK]) {
        // SAFETY: the reference is to 32 writable bytes, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) }
    }
}
