//! Operations on the shape of masks.

mod combine;
mod components;
mod runs;
mod window;

pub use components::{Component, components, fill_holes};
pub use window::{dilate, erode};

use crate::cpu::multiversion;
use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::view::{Frames, FramesMut, Shape, check_mask};

/// Rows of one job.
const BAND_ROWS: usize = 64;

/// Writes 1 where a mask is above `level`, else 0. NaN is not above anything.
pub fn threshold(
    masks: Frames<'_, f32>,
    level: f32,
    out: FramesMut<'_, u8>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let shape = out.shape();
    check_same(masks.shape(), shape)?;
    let bytes = shape.len() * (size_of::<f32>() + 1);
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        for (i, row) in band.data.chunks_exact_mut(shape.row_len()).enumerate() {
            threshold_row(masks.row(band.frame, band.y + i), level, row);
        }
    })
}

multiversion! {
    fn threshold_row(mask: &[f32], level: f32, out: &mut [u8]) = threshold_row_body::<true>, threshold_row_body::<false>;
}

/// Samples whose results fill a register of bytes.
const LANES: usize = 32;

#[inline(always)]
fn threshold_row_body<const FAST: bool>(mask: &[f32], level: f32, out: &mut [u8]) {
    let (mut mask, mut out) = (mask, out);
    #[cfg(target_arch = "x86_64")]
    if FAST {
        let (masks, outs) = (mask.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
        for (out, mask) in outs.0.iter_mut().zip(masks.0) {
            // SAFETY: `multiversion` takes the fast body only at the level `Avx2`.
            *out = unsafe { above(mask, level) };
        }
        (mask, out) = (masks.1, outs.1);
    }
    for (o, &m) in out.iter_mut().zip(mask) {
        *o = u8::from(m > level);
    }
}

/// Compilers shuffle more than needed to bring 32 comparisons into bytes in their order.
///
/// # Safety
///
/// The CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn above(mask: &[f32; LANES], level: f32) -> [u8; LANES] {
    use std::arch::x86_64::{
        __m256i, _CMP_GT_OQ, _mm256_and_si256, _mm256_castps_si256, _mm256_cmp_ps, _mm256_loadu_ps, _mm256_packs_epi16,
        _mm256_packs_epi32, _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_set1_ps, _mm256_setr_epi32,
    };
    // SAFETY: the caller's promise; four vectors of eight samples are loaded, which is what there is; an array of bytes
    // is as large as the vector and has no invalid values.
    unsafe {
        let level = _mm256_set1_ps(level);
        let compared = |eight: usize| {
            let samples = _mm256_loadu_ps(mask.as_ptr().add(8 * eight));
            _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(samples, level))
        };
        let (first, second) =
            (_mm256_packs_epi32(compared(0), compared(1)), _mm256_packs_epi32(compared(2), compared(3)));
        // Packing takes the halves of its registers in turn; this puts them in order.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
        std::mem::transmute::<__m256i, [u8; LANES]>(_mm256_and_si256(bytes, _mm256_set1_epi8(1)))
    }
}

fn check_same(masks: Shape, out: Shape) -> Result<()> {
    check_mask(masks)?;
    if masks == out { Ok(()) } else { Err(Error::shape("out", masks.to_string(), out.to_string())) }
}

#[cfg(test)]
mod tests;
