//! The horizontal pass in integers, over a few rows at a time.
//!
//! Rows are gathered into a strip of columns. A column has lanes for the samples of a pixel of each row, and in each lane a
//! pair of neighboring samples: so two taps of eight lanes are one multiplication.

use crate::cpu::multiversion;
use crate::resize::bytes::taps::{Finish, Pairing, Taps};

/// Rows that are filtered together: with fewer, weights are loaded more often.
pub(super) const ROWS: usize = 4;

/// Lanes of a row's pixel. Of three channels, the fourth lane is nobody's.
const ROW_LANES: usize = 4;

/// Lanes of a column.
const LANES: usize = ROWS * ROW_LANES;

/// A pair of samples for each lane.
type Column = [i16; 2 * LANES];

/// The horizontal pass and its buffers.
#[derive(Debug)]
pub(super) struct Horizontal {
    channels: usize,
    /// Columns of the strip that are gathered.
    columns: usize,
    strip: Vec<Column>,
    rows: [Vec<i16>; ROWS],
}

impl Horizontal {
    /// Buffers for `taps` over rows of `width` pixels of three or four channels.
    pub(super) fn new(taps: &Taps, width: usize, channels: usize) -> Self {
        let columns = taps.pairing().count(width);
        // The last taps of a sample, without weight, may lie past the last column; and rows are written two pixels at a
        // time, up to four samples further than they go.
        let row = || vec![0; (taps.axis().len() + 2) * ROW_LANES];
        let strip = vec![[0; 2 * LANES]; columns + taps.pairing().step() * taps.pairs()];
        Self { channels, columns, strip, rows: std::array::from_fn(|_| row()) }
    }

    /// Filters rows, which are as long as [`Horizontal::new`] was told.
    pub(super) fn filter(&mut self, taps: &Taps, finish: Finish, rows: [&[u8]; ROWS]) {
        let (strip, pairing) = (&mut self.strip[..self.columns], taps.pairing());
        if self.channels == 3 {
            gather_3(rows, pairing, strip);
            weigh_columns_of_3(&self.strip, taps, finish, &mut self.rows);
        } else {
            gather_4(rows, pairing, strip);
            weigh_columns_of_4(&self.strip, taps, finish, &mut self.rows);
        }
    }

    /// Row `row` of those that were filtered, and some samples more.
    pub(super) fn row(&self, row: usize) -> &[i16] {
        &self.rows[row]
    }
}

multiversion! {
    /// Gathers rows of three channels.
    fn gather_3(rows: [&[u8]; ROWS], pairing: Pairing, strip: &mut [Column]) =
        avx2::gather_3, gather_body::<3>;
}

multiversion! {
    /// Gathers rows of four channels.
    fn gather_4(rows: [&[u8]; ROWS], pairing: Pairing, strip: &mut [Column]) =
        avx2::gather_4, gather_body::<4>;
}

#[inline(always)]
fn gather_body<const CHANNELS: usize>(rows: [&[u8]; ROWS], pairing: Pairing, strip: &mut [Column]) {
    gather::<CHANNELS>(rows, pairing, 0, strip);
}

/// Gathers the columns of `strip` from `first` on. Past the ends of a row is its first or last pixel, without weight.
#[inline(always)]
fn gather<const CHANNELS: usize>(rows: [&[u8]; ROWS], pairing: Pairing, first: usize, strip: &mut [Column]) {
    let rows = rows.map(|row| row.as_chunks::<CHANNELS>().0);
    let last = rows[0].len() - 1;
    for (index, column) in strip.iter_mut().enumerate().skip(first) {
        let (left, right) = match pairing {
            Pairing::Every => (index, index + 1),
            Pairing::Other { shift } => ((2 * index).saturating_sub(shift), 2 * index + 1 - shift),
        };
        for (row, pixels) in rows.iter().enumerate() {
            let (left, right) = (&pixels[left.min(last)], &pixels[right.min(last)]);
            for channel in 0..CHANNELS {
                let lane = row * ROW_LANES + channel;
                column[2 * lane] = left[channel].into();
                column[2 * lane + 1] = right[channel].into();
            }
        }
    }
}

multiversion! {
    /// Computes all output columns, into rows of three channels.
    fn weigh_columns_of_3(strip: &[Column], taps: &Taps, finish: Finish, rows: &mut [Vec<i16>; ROWS]) =
        avx2::weigh::<3>, weigh::<3>;
}

multiversion! {
    /// Computes all output columns, into rows of four channels.
    fn weigh_columns_of_4(strip: &[Column], taps: &Taps, finish: Finish, rows: &mut [Vec<i16>; ROWS]) =
        avx2::weigh::<4>, weigh::<4>;
}

#[inline(always)]
fn weigh<const KEPT: usize>(strip: &[Column], taps: &Taps, finish: Finish, rows: &mut [Vec<i16>; ROWS]) {
    let step = taps.pairing().step();
    let (starts, weights) = taps.all();
    for (x, (&start, weights)) in starts.iter().zip(weights.chunks_exact(taps.pairs())).enumerate() {
        let mut sums = [finish.half(); LANES];
        for (column, &[a, b]) in strip[start..].iter().step_by(step).zip(weights) {
            for (sum, &[value, next]) in sums.iter_mut().zip(column.as_chunks::<2>().0) {
                *sum += i32::from(a) * i32::from(value) + i32::from(b) * i32::from(next);
            }
        }
        // What is written past the lanes that are kept is overwritten by the next ones.
        let samples = sums.map(|sum| finish.sample(sum));
        for (row, samples) in rows.iter_mut().zip(samples.as_chunks::<ROW_LANES>().0) {
            row[x * KEPT..][..ROW_LANES].copy_from_slice(samples);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _MM_HINT_T0, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_prefetch, _mm_storeu_si128,
        _mm256_add_epi32, _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epi16, _mm256_min_epi16, _mm256_packs_epi32,
        _mm256_set_m128i, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
        _mm256_sra_epi32, _mm256_storeu_si256,
    };

    use super::{Column, Finish, Pairing, ROW_LANES, ROWS, Taps};
    use crate::resize::bytes::taps::Pair;

    /// Samples of a column in one vector, which are those of two rows.
    const HALF: usize = 4 * ROW_LANES;

    /// The lanes of a column.
    type Sums = [__m256i; ROWS / 2];

    /// Instead of a number of pairs that is known beforehand.
    const ANY: usize = 0;

    /// In a shuffle: the byte 0.
    const NONE: u8 = 0x80;

    /// How pixels `first` and the one after it of sixteen bytes become the four lanes of a row.
    const fn lanes_of_pixel<const CHANNELS: usize>(first: usize) -> [u8; 16] {
        let mut places = [NONE; 16];
        let mut channel = 0;
        while channel < CHANNELS {
            places[4 * channel] = (first * CHANNELS + channel) as u8;
            places[4 * channel + 2] = ((first + 1) * CHANNELS + channel) as u8;
            channel += 1;
        }
        places
    }

    /// How two pixels of four lanes become two of three: the first twelve bytes.
    const WITHOUT_FOURTH: [u8; 16] = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, NONE, NONE, NONE, NONE];

    /// Rows of three channels: sixteen bytes are five pixels.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn gather_3(rows: [&[u8]; ROWS], pairing: Pairing, strip: &mut [Column]) {
        match pairing {
            Pairing::Every => gather::<3, 1, 4>(rows, pairing, 0, strip),
            Pairing::Other { shift } => gather::<3, 2, 2>(rows, pairing, shift, strip),
        }
    }

    /// Rows of four channels: sixteen bytes are four pixels.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn gather_4(rows: [&[u8]; ROWS], pairing: Pairing, strip: &mut [Column]) {
        match pairing {
            Pairing::Every => gather::<4, 1, 3>(rows, pairing, 0, strip),
            Pairing::Other { shift } => gather::<4, 2, 2>(rows, pairing, shift, strip),
        }
    }

    /// Sixteen bytes of each row give `COLUMNS` columns, which are `STEP` pixels apart. The first `shift` columns, and
    /// those for which there are no sixteen bytes any more, are gathered one by one.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn gather<const CHANNELS: usize, const STEP: usize, const COLUMNS: usize>(
        rows: [&[u8]; ROWS],
        pairing: Pairing,
        shift: usize,
        strip: &mut [Column],
    ) {
        let places: [__m256i; COLUMNS] =
            std::array::from_fn(|column| _mm256_broadcastsi128_si256(load(&lanes_of_pixel::<CHANNELS>(column * STEP))));
        let apart = rows[1].as_ptr().addr().wrapping_sub(rows[0].as_ptr().addr()) as isize;
        let mut done = shift;
        let starts = (shift * (STEP - 1) * CHANNELS..).step_by(COLUMNS * STEP * CHANNELS);
        for (columns, start) in strip[shift..].as_chunks_mut::<COLUMNS>().0.iter_mut().zip(starts) {
            // All rows have one length.
            if start + 16 > rows[0].len() {
                break;
            }
            for row in rows {
                // Rows are too short for the CPU to see by itself that those of the next strip come next.
                let ahead = row.as_ptr().wrapping_add(start).wrapping_offset(ROWS as isize * apart);
                // SAFETY: prefetching reads nothing, whatever the address. Later compilers call it safe themselves.
                #[allow(unused_unsafe)]
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                }
            }
            let bytes = rows.map(|row| load(row[start..].first_chunk().expect("sixteen bytes, as was checked")));
            for (column, &places) in columns.iter_mut().zip(&places) {
                for (half, bytes) in column.as_chunks_mut::<HALF>().0.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    let pairs = _mm256_shuffle_epi8(_mm256_set_m128i(bytes[1], bytes[0]), places);
                    // SAFETY: the reference is to 32 writable bytes, and the store needs no alignment.
                    unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), pairs) };
                }
            }
            done += COLUMNS;
        }
        super::gather::<CHANNELS>(rows, pairing, 0, &mut strip[..shift]);
        super::gather::<CHANNELS>(rows, pairing, done, strip);
    }

    /// Two output columns at a time, of which the first `KEPT` lanes of each row are kept.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    pub(super) fn weigh<const KEPT: usize>(strip: &[Column], taps: &Taps, finish: Finish, rows: &mut [Vec<i16>; ROWS]) {
        match (taps.pairing().step(), taps.pairs()) {
            (1, _) => weigh_pairs::<KEPT, 1, ANY>(strip, taps, finish, rows),
            // When enlarging; so the compiler knows how often to repeat.
            (_, 3) => weigh_pairs::<KEPT, 2, 3>(strip, taps, finish, rows),
            _ => weigh_pairs::<KEPT, 2, ANY>(strip, taps, finish, rows),
        }
    }

    /// Output columns of `PAIRS` pairs, `STEP` columns from one to the next.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn weigh_pairs<const KEPT: usize, const STEP: usize, const PAIRS: usize>(
        strip: &[Column],
        taps: &Taps,
        finish: Finish,
        rows: &mut [Vec<i16>; ROWS],
    ) {
        let pairs = if PAIRS == ANY { taps.pairs() } else { PAIRS };
        let shift = _mm_cvtsi32_si128(finish.shift as i32);
        let half = [_mm256_set1_epi32(finish.half()); ROWS / 2];
        let most = _mm256_set1_epi16(finish.most);
        let without_fourth = _mm256_broadcastsi128_si256(load(&WITHOUT_FOURTH));
        let mut write = |x: usize, [a, b]: [Sums; 2]| {
            for ((rows, a), b) in rows.as_chunks_mut::<2>().0.iter_mut().zip(a).zip(b) {
                let samples = _mm256_packs_epi32(_mm256_sra_epi32(a, shift), _mm256_sra_epi32(b, shift));
                let limited = _mm256_min_epi16(_mm256_max_epi16(samples, _mm256_setzero_si256()), most);
                let kept = if KEPT == 3 { _mm256_shuffle_epi8(limited, without_fourth) } else { limited };
                // What is written past the two columns is overwritten by the next ones.
                store(_mm256_castsi256_si128(kept), &mut rows[0][x * KEPT..]);
                store(_mm256_extracti128_si256::<1>(kept), &mut rows[1][x * KEPT..]);
            }
        };
        let (starts, weights) = taps.all();
        let (two_starts, last_start) = starts.as_chunks::<2>();
        let (two_weights, last_weights) = weights.split_at(two_starts.len() * 2 * pairs);
        let mut x = 0;
        for (&[a, b], weights) in two_starts.iter().zip(two_weights.chunks_exact(2 * pairs)) {
            let columns = |start: usize| strip[start..][..STEP * pairs].as_chunks::<STEP>().0;
            let (a_weights, b_weights) = weights.split_at(pairs);
            let mut sums = [half; 2];
            let taps = columns(a).iter().zip(a_weights).zip(columns(b).iter().zip(b_weights));
            for ((a, &a_weight), (b, &b_weight)) in taps {
                sums = [add(sums[0], &a[0], a_weight), add(sums[1], &b[0], b_weight)];
            }
            write(x, sums);
            x += 2;
        }
        for (&start, weights) in last_start.iter().zip(last_weights.chunks_exact(pairs)) {
            let columns = strip[start..].as_chunks::<STEP>().0;
            let mut sum = half;
            for (column, &weights) in columns.iter().zip(weights) {
                sum = add(sum, &column[0], weights);
            }
            write(x, [sum, half]);
        }
    }

    /// Adds the weighted samples of a column.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn add(sums: Sums, column: &Column, [a, b]: Pair) -> Sums {
        let weights = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
        let (halves, _) = column.as_chunks::<HALF>();
        std::array::from_fn(|half| {
            // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
            let samples = unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) };
            _mm256_add_epi32(sums[half], _mm256_madd_epi16(samples, weights))
        })
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: the reference is to sixteen readable bytes, and the load needs no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn store(samples: __m128i, out: &mut [i16]) {
        let out: &mut [i16; 2 * ROW_LANES] = out.first_chunk_mut().expect("rows go on for eight samples");
        // SAFETY: the reference is to sixteen writable bytes, and the store needs no alignment.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), samples) }
    }
}
