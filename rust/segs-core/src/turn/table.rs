//! Weights of the Lanczos filter at places within a pixel.

use std::sync::atomic::{AtomicPtr, Ordering};

use crate::shift::{LANCZOS_TAPS, weights};

/// Places within a pixel whose weights are known.
const STEPS: usize = 2048;

/// Weights of one place, and what they change by up to the next. Two of the eight are 0: a vector has as many.
#[derive(Debug, Clone, Copy)]
struct Entry {
    weights: [f32; 8],
    changes: [f32; 8],
}

/// The weights of all places.
#[derive(Debug)]
pub(super) struct Table(Vec<Entry>);

impl Table {
    /// The one table of the process.
    pub(super) fn get() -> &'static Self {
        // Not a `OnceLock`: a fork while it is being set would leave it locked in the child. Two threads that come first
        // make one each, with the same numbers.
        static MADE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());
        // SAFETY: a pointer stored in MADE comes from `Box::leak` and is never freed.
        if let Some(table) = unsafe { MADE.load(Ordering::Acquire).as_ref() } {
            return table;
        }
        let made: &'static Self = Box::leak(Box::new(Self::new()));
        MADE.store(std::ptr::from_ref(made).cast_mut(), Ordering::Release);
        made
    }

    fn new() -> Self {
        let at = |step: usize| {
            // A whole place is that of one sample, at either end.
            let own = match step {
                0 => [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
                STEPS => [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                _ => weights::<LANCZOS_TAPS>(step as f64 / STEPS as f64).unwrap_or_default(),
            };
            std::array::from_fn::<f32, 8, _>(|tap| own.get(tap).copied().unwrap_or(0.0))
        };
        let between = |step: usize| {
            let (weights, next) = (at(step), at(step + 1));
            Entry { weights, changes: std::array::from_fn(|tap| next[tap] - weights[tap]) }
        };
        Self((0..STEPS).map(between).collect())
    }

    /// The weights of the six samples around a place that lies `part` of a pixel, up to 1, after the third of them.
    #[inline(always)]
    pub(super) fn weights<const FUSED: bool>(&self, part: f32) -> [f32; 8] {
        let scaled = part * STEPS as f32;
        // SAFETY: a part of a pixel is from 0 to 1, which no place of a `Grid`, whose numbers are finite, exceeds.
        let step = unsafe { scaled.to_int_unchecked::<i32>() } as usize;
        let step = step.min(STEPS - 1);
        let rest = scaled - step as f32;
        let entry = &self.0[step];
        std::array::from_fn(|tap| {
            let (weight, change) = (entry.weights[tap], entry.changes[tap]);
            if FUSED { rest.mul_add(change, weight) } else { weight + rest * change }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_filter_and_sum_to_one() {
        let table = Table::get();
        for index in 0..100_000 {
            let part = index as f32 / 100_000.0;
            let own = table.weights::<false>(part);
            let exact = weights::<LANCZOS_TAPS>(f64::from(part)).unwrap_or([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
            assert!(own.iter().zip(exact).all(|(a, b)| (a - b).abs() < 3e-7), "{part}: {own:?} {exact:?}");
            assert!((own.iter().sum::<f32>() - 1.0).abs() < 3e-7);
            assert_eq!(own[6..], [0.0, 0.0]);
        }
        assert_eq!(table.weights::<false>(0.0), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(table.weights::<true>(1.0), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
