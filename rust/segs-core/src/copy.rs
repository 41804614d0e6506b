//! Copies of rows that lie apart.
//!
//! The C library's `memcpy` is made for long stretches: of rows of some kilobytes, far from each other, it copies a third
//! to two thirds as many in the same time.

use crate::cpu::multiversion;
use crate::pixel::Pixel;

/// More than this is better written past the caches. Those of last level keep some 32 MB for a few cores; what is copied
/// passes them twice, read and written, and pushes out what was written first before someone reads it. Written past
/// them, a line is not read before either: copies of bytes take two thirds of the time.
const STREAM_BYTES: usize = 16 << 20;

/// Whether an output of so many bytes is to be streamed past the caches.
pub(crate) fn streams(bytes: usize) -> bool {
    bytes >= STREAM_BYTES
}

/// Ends a job that streamed: what it wrote is seen before anything that it writes from here on.
pub(crate) fn finish_stream() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has SSE.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

multiversion! {
    /// Copies a row, and asks the cache for `next`, which will be copied after it. With `stream` the row is written past
    /// the caches; [`finish_stream`] must follow before other threads are told of it. The rows have one length.
    fn copy_row[T: Pixel](from: &[T], to: &mut [T], next: &[T], stream: bool) = copy_row_fast, copy_row_baseline;
}

#[inline(always)]
fn copy_row_baseline<T: Pixel>(from: &[T], to: &mut [T], _next: &[T], _stream: bool) {
    to.copy_from_slice(from);
}

#[cfg(not(target_arch = "x86_64"))]
use copy_row_baseline as copy_row_fast;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn copy_row_fast<T: Pixel>(from: &[T], to: &mut [T], next: &[T], stream: bool) {
    assert_eq!(from.len(), to.len());
    let (from, next) = (from.as_ptr().cast::<u8>(), next.as_ptr().cast::<u8>());
    let bytes = size_of_val(to);
    let to = to.as_mut_ptr().cast::<u8>();
    // SAFETY: both have so many bytes, and a slice that is written overlaps no other; samples are plain numbers, whose
    // bytes may be copied in any portions. `multiversion` takes this body only at the level `Avx2`.
    unsafe {
        if stream {
            copy_bytes::<true>(from, to, next, bytes);
        } else {
            copy_bytes::<false>(from, to, next, bytes);
        }
    }
}

/// Bytes that are copied together: two lines of the cache.
#[cfg(target_arch = "x86_64")]
const BLOCK: usize = 128;

/// # Safety
///
/// `from` and `to` point to `bytes` bytes each that do not overlap, and the CPU has AVX2. `next` may be any address.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn copy_bytes<const STREAM: bool>(from: *const u8, to: *mut u8, next: *const u8, bytes: usize) {
    use std::arch::x86_64::{
        __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_stream_si256,
    };
    const VECTOR: usize = size_of::<__m256i>();
    // Streams fill whole lines, from a line's start on.
    let head = if STREAM { to.align_offset(BLOCK / 2).min(bytes) } else { 0 };
    let end = bytes - (bytes - head) % BLOCK;
    // SAFETY: all offsets are below `bytes`, as the caller promises it; streamed vectors begin at a multiple of their
    // size. A prefetch reads nothing into the program, whatever the address.
    unsafe {
        from.copy_to_nonoverlapping(to, head);
        for start in (head..end).step_by(BLOCK) {
            for line in [0, BLOCK / 2] {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(start + line).cast());
            }
            let load = |i: usize| _mm256_loadu_si256(from.add(start + i * VECTOR).cast());
            let vectors = [load(0), load(1), load(2), load(3)];
            for (i, vector) in vectors.into_iter().enumerate() {
                let place = to.add(start + i * VECTOR).cast();
                if STREAM {
                    _mm256_stream_si256(place, vector);
                } else {
                    _mm256_storeu_si256(place, vector);
                }
            }
        }
        if end < bytes {
            from.add(end).copy_to_nonoverlapping(to.add(end), bytes - end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use proptest::prelude::*;

    fn check<T: Pixel + std::fmt::Debug>(len: usize, at: usize, to: usize, stream: bool) {
        let source: Vec<T> = (0..len + at).map(|i| T::from_f32((i % 200) as f32)).collect();
        let mut out = vec![T::from_f32(222.0); to + len + 3];
        copy_row(&source[at..], &mut out[to..to + len], &source[..len], stream);
        finish_stream();
        assert_eq!(out[to..to + len], source[at..]);
        assert!(out[..to].iter().chain(&out[to + len..]).all(|sample| *sample == T::from_f32(222.0)));
    }

    proptest! {
        #[test]
        fn every_sample_is_copied_and_nothing_else(
            len in 0usize..600, at in 0usize..40, to in 0usize..70, stream in any::<bool>(),
        ) {
            check::<f32>(len, at, to, stream);
            check::<f16>(len, at, to, stream);
            check::<u8>(len, at, to, stream);
        }
    }
}
