//! Weights of an axis as integers of 16 bits, which CPUs multiply and add in pairs.

use crate::resize::plan::Axis;

/// The weights of two neighboring taps.
pub(super) type Pair = [i16; 2];

/// Most bits after the point of a weight. With more, the sum of 255s would not fit 32 bits.
const MAX_BITS: u32 = 22;

/// Most bits after the point of a sample: 255 and as many fit 15 bits.
const MAX_FRACTION: u32 = 7;

/// Which neighboring input samples are pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairing {
    /// Each sample and the next one: pair `i` is of the samples `i` and `i + 1`, and taps go on two pairs further.
    Every,
    /// Half as many: pair `i` is of the samples `2 * i - shift` and `2 * i + 1 - shift`.
    Other { shift: usize },
}

impl Pairing {
    /// The first pair for taps from sample `start` on, and how many taps without weight that puts before them.
    pub(super) fn begin(self, start: usize) -> (usize, usize) {
        match self {
            Self::Every => (start, 0),
            Self::Other { shift } => (usize::midpoint(start, shift), (start + shift) % 2),
        }
    }

    /// Pairs that hold `samples` samples.
    pub(super) fn count(self, samples: usize) -> usize {
        match self {
            Self::Every => samples,
            Self::Other { shift } => (samples + shift).div_ceil(2),
        }
    }

    /// From the pair of two taps to the pair of the next two.
    pub(super) fn step(self) -> usize {
        if self == Self::Every { 2 } else { 1 }
    }

    /// Most pairs of an output sample of `axis`.
    fn longest(self, axis: &Axis) -> usize {
        let pairs = |index: usize| {
            let (start, weights) = axis.taps(index);
            (self.begin(start).1 + weights.len()).div_ceil(2)
        };
        (0..axis.len()).map(pairs).max().unwrap_or(0)
    }
}

/// Weights of one axis, times a power of two. Every output sample has as many: those that it lacks are 0.
#[derive(Debug)]
pub(super) struct Taps {
    axis: Axis,
    pairing: Pairing,
    /// The first pair of each output sample.
    firsts: Vec<usize>,
    pairs: usize,
    weights: Vec<Pair>,
    bits: u32,
    /// Largest sum of the weights of a sample without their signs.
    gain: i64,
}

impl Taps {
    /// The weights of `axis` with as many bits as neither a weight nor a sum of bytes overflows with.
    pub(super) fn new(axis: Axis, pairing: Pairing) -> Self {
        let largest = (0..axis.len()).flat_map(|i| axis.taps(i).1).fold(0.0f32, |most, w| most.max(w.abs()));
        // Rounding may add one.
        let fits = |bits: &u32| f64::from(largest) * f64::from(1u32 << bits) <= f64::from(i16::MAX - 1);
        let bits = (1..=MAX_BITS).rev().find(fits).unwrap_or(1);
        let firsts = (0..axis.len()).map(|index| pairing.begin(axis.taps(index).0).0).collect();
        let pairs = pairing.longest(&axis);
        let mut taps = Self { axis, pairing, firsts, pairs, weights: Vec::new(), bits, gain: 0 };
        taps.round();
        while taps.sum(0) > i64::from(i32::MAX) {
            taps.bits -= 1;
            taps.round();
        }
        taps
    }

    /// As [`Taps::new`], with only every other pair where samples are many: then that saves more than another tap costs.
    pub(super) fn of_columns(axis: Axis, samples: usize) -> Self {
        let others = [Pairing::Other { shift: 0 }, Pairing::Other { shift: 1 }];
        let fewest = others.into_iter().min_by_key(|pairing| pairing.longest(&axis));
        let pairing = fewest.filter(|_| samples >= 2 * axis.len()).unwrap_or(Pairing::Every);
        Self::new(axis, pairing)
    }

    /// Rounds the running sums of the weights, not each weight: so they sum to 1 exactly, and flat areas stay as they are.
    fn round(&mut self) {
        let scale = f64::from(1u32 << self.bits);
        self.weights.clear();
        self.gain = 0;
        let mut row = vec![0; 2 * self.pairs];
        for index in 0..self.axis.len() {
            let (start, weights) = self.axis.taps(index);
            row.fill(0);
            let (mut running, mut before) = (0.0, 0);
            for (rounded, &weight) in row[self.pairing.begin(start).1..].iter_mut().zip(weights) {
                running += f64::from(weight) * scale;
                let after = running.round() as i64;
                *rounded = (after - before) as i16;
                before = after;
            }
            self.gain = self.gain.max(row.iter().map(|&weight| i64::from(weight).abs()).sum());
            self.weights.extend_from_slice(row.as_chunks().0);
        }
    }

    /// Largest sum that samples with `fraction` bits after the point give, with what is added for rounding.
    fn sum(&self, fraction: u32) -> i64 {
        ((255 * self.gain) << fraction) + (1 << (self.bits + fraction - 1))
    }

    /// Most bits after the point that samples may have.
    pub(super) fn most_fraction(&self) -> u32 {
        (0..=MAX_FRACTION).rev().find(|&fraction| self.sum(fraction) <= i64::from(i32::MAX)).unwrap_or(0)
    }

    /// Bits after the point of a weight.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Pairs of taps of every output sample.
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    /// First pair of output sample `index`, and the weights from there on. They may go on past the last input sample,
    /// where they are 0.
    #[inline(always)]
    pub(super) fn taps(&self, index: usize) -> (usize, &[Pair]) {
        (self.firsts[index], &self.weights[index * self.pairs..(index + 1) * self.pairs])
    }

    /// [`Taps::taps`] of all output samples: the first pairs, and as many times [`Taps::pairs`] weights.
    pub(super) fn all(&self) -> (&[usize], &[Pair]) {
        (&self.firsts, &self.weights)
    }

    /// Which input samples are pairs.
    pub(super) fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The axis in floats.
    pub(super) fn axis(&self) -> &Axis {
        &self.axis
    }
}

/// How sums become samples again: without their lowest `shift` bits, rounded, and limited to `0..=most`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub(super) shift: u32,
    pub(super) most: i16,
}

impl Finish {
    /// From samples with `before` bits after the point, weighted by `taps`, to samples with `after` bits.
    pub(super) fn new(taps: &Taps, before: u32, after: u32) -> Self {
        Self { shift: taps.bits() + before - after, most: 255 << after }
    }

    /// What sums start with, so that cutting off bits rounds.
    #[inline(always)]
    pub(super) fn half(self) -> i32 {
        1 << (self.shift - 1)
    }

    /// The sample for a sum that started with [`Finish::half`].
    #[inline(always)]
    pub(super) fn sample(self, sum: i32) -> i16 {
        (sum >> self.shift).clamp(0, i32::from(self.most)) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_are_as_exact_as_they_fit() {
        for (from, to) in [(1, 5), (7, 3), (384, 768), (768, 384), (1000, 999), (4000, 3), (20_000, 1)] {
            let pairings = [Pairing::Every, Pairing::Other { shift: 0 }, Pairing::Other { shift: 1 }];
            for taps in pairings.map(|pairing| Taps::new(Axis::new(from, to), pairing)) {
                assert!(taps.bits() >= 14 && taps.sum(taps.most_fraction()) <= i64::from(i32::MAX));
                for index in 0..to {
                    let (start, exact) = taps.axis().taps(index);
                    let (first, before) = taps.pairing().begin(start);
                    assert_eq!(taps.taps(index).0, first);
                    let weights: Vec<i32> =
                        taps.taps(index).1.as_flattened().iter().map(|&weight| i32::from(weight)).collect();
                    assert_eq!(weights.iter().sum::<i32>(), 1 << taps.bits());
                    for (i, &weight) in weights.iter().enumerate() {
                        let exact = i.checked_sub(before).and_then(|i| exact.get(i)).copied().unwrap_or(0.0);
                        assert!((f64::from(weight) - f64::from(exact) * f64::from(1 << taps.bits())).abs() <= 1.0);
                    }
                }
            }
        }
    }
}
