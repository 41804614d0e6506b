//! Feathering of masks: a separable Gaussian.

mod blur;

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::feather::blur::Blur;
use crate::parallel::{Interrupted, for_each_long, num_threads};
use crate::view::{Frames, FramesMut, Shape, check_mask};

/// Standard deviation of the Gaussian in pixels, whatever the feather: Impact Pack's choice.
const SIGMA: f64 = 10.0;

/// Fewest rows of a job, in kernels.
const MIN_BAND_KERNELS: usize = 4;

/// Fewest rows of a job.
const MIN_BAND_ROWS: usize = 128;

/// Jobs for each thread, so that threads end at about the same time.
const JOBS_PER_THREAD: usize = 2;

/// Blurs every mask with a Gaussian of `2 * feather + 1` taps whose borders reflect without repeating the edge pixel.
///
/// Where the shorter side of a mask is not longer than that, the kernel shrinks to half the side, made odd; below three
/// taps the mask is copied as it is. Where all samples that a result is made of are equal, it is that very value.
pub fn feather_mask(
    masks: Frames<'_, f32>,
    feather: usize,
    out: FramesMut<'_, f32>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (masks.shape(), out.shape());
    check_mask(from)?;
    if to != from {
        return Err(Error::shape("out", format!("the shape of the masks, {from}"), to.to_string()));
    }
    if to.is_empty() {
        return Ok(());
    }
    let weights = half_kernel(radius(feather, from.height.min(from.width)));
    let scratches: Mutex<Vec<Blur<'_>>> = Mutex::new(Vec::new());
    let lock = || scratches.lock().unwrap_or_else(PoisonError::into_inner);
    let bands = out.all_bands(band_rows(to, weights.len()));
    for_each_long(bands, 2 * to.len() * size_of::<f32>(), interrupted, |mut band, brake| {
        if weights.len() == 1 {
            for (i, row) in band.data.chunks_exact_mut(to.width).enumerate() {
                row.copy_from_slice(masks.row(band.frame, band.y + i));
            }
            return;
        }
        let waiting = lock().pop();
        let mut blur = waiting.unwrap_or_else(|| Blur::new(&weights, to.height, to.width));
        blur.band(masks, &mut band, brake);
        lock().push(blur);
    })
}

/// Rows of a job: whole masks where they are many, and never so few that the rows around a band, which are filtered for
/// it anew, cost much beside its own.
fn band_rows(shape: Shape, half_kernel: usize) -> usize {
    let bands = (JOBS_PER_THREAD * num_threads()).div_ceil(shape.frames);
    shape.height.div_ceil(bands).max(MIN_BAND_KERNELS * (2 * half_kernel - 1)).max(MIN_BAND_ROWS)
}

/// Taps on each side of the center, for masks whose shorter side is `shortest`.
fn radius(feather: usize, shortest: usize) -> usize {
    // The kernel is not shorter than the side: `shortest <= 2 * feather + 1`, without overflow.
    if feather >= shortest / 2 {
        // Half the side, made odd.
        shortest / 2 / 2
    } else {
        feather
    }
}

/// Weights of the center and of the taps on one side of it; the whole kernel sums to 1. Those that are 0 as `f32`, from
/// some 145 pixels on, are left out.
fn half_kernel(radius: usize) -> Vec<f32> {
    let weight = |k: usize| (-0.5 * (k as f64 / SIGMA).powi(2)).exp();
    let sum: f64 = weight(0) + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|k| (weight(k) / sum) as f32).take_while(|&weight| weight > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::{LEVEL_LOCK, Level, set_level};
    use crate::parallel::{NEVER, set_num_threads};

    fn feather(masks: &[f32], shape: Shape, feather: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; shape.len()];
        let masks = Frames::new("masks", masks, shape).unwrap();
        feather_mask(masks, feather, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
        out
    }

    /// The whole two-dimensional sum in `f64`, with the kernel's size as Impact Pack computes it.
    fn oracle(mask: &[f32], height: usize, width: usize, feather: usize) -> Vec<f64> {
        let shortest = height.min(width);
        let mut taps = 2 * feather + 1;
        if shortest <= taps {
            taps = shortest / 2 + usize::from((shortest / 2).is_multiple_of(2));
        }
        let radius = if feather == 0 || taps < 3 { 0 } else { (taps / 2) as isize };
        let kernel: Vec<f64> = (-radius..=radius).map(|k| (-((k * k) as f64) / 200.0).exp()).collect();
        let sum: f64 = kernel.iter().sum();
        let inside = |index: isize, len: usize| {
            let len = len as isize;
            (if index < 0 {
                -index
            } else if index >= len {
                2 * len - 2 - index
            } else {
                index
            }) as usize
        };
        let pass = |values: &dyn Fn(isize, isize) -> f64, y: isize, x: isize, down: isize| {
            let tap = |(k, weight): (usize, &f64)| {
                let k = k as isize - radius;
                weight / sum * values(y + k * down, x + k * (1 - down))
            };
            kernel.iter().enumerate().map(tap).sum::<f64>()
        };
        let mask = |y: isize, x: isize| f64::from(mask[inside(y, height) * width + inside(x, width)]);
        let mut between = vec![0.0; height * width];
        for (i, value) in between.iter_mut().enumerate() {
            *value = pass(&mask, (i / width) as isize, (i % width) as isize, 0);
        }
        let between = |y: isize, x: isize| between[inside(y, height) * width + x as usize];
        (0..height * width).map(|i| pass(&between, (i / width) as isize, (i % width) as isize, 1)).collect()
    }

    #[test]
    fn weights_that_are_zero_are_left_out() {
        let weights = half_kernel(2000);
        assert!((130..160).contains(&weights.len()), "{}", weights.len());
        assert_eq!(weights[..100], half_kernel(100_000)[..100]);
        assert_eq!(half_kernel(20).len(), 21);
    }

    /// A rectangle of ones with some noise beside it: flat areas, edges, and neither.
    fn mask(shape: Shape, seed: usize) -> Vec<f32> {
        let inside = |i: usize, low: usize, len: usize| i * 4 >= low * len && i * 8 < 7 * len;
        (0..shape.len())
            .map(|i| {
                let (y, x) = (i / shape.width % shape.height, i % shape.width);
                if inside(y, seed % 3, shape.height) && inside(x, seed % 4, shape.width) {
                    1.0
                } else if (y + seed) % 16 == 3 && x % 64 > 40 {
                    ((i * 7919 + seed) % 1000) as f32 / 1000.0
                } else {
                    0.0
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn feathering_agrees_with_the_definition(
            height in 1usize..80, width in 1usize..300, taps in 0usize..60, seed in 0usize..1000,
        ) {
            let shape = Shape::mask(2, height, width);
            let masks = mask(shape, seed);
            let out = feather(&masks, shape, taps);
            for (mask, out) in masks.chunks_exact(height * width).zip(out.chunks_exact(height * width)) {
                for (got, expected) in out.iter().zip(oracle(mask, height, width, taps)) {
                    prop_assert!((f64::from(*got) - expected).abs() < 2e-6, "{} {}", got, expected);
                }
            }
        }
    }

    #[test]
    fn flat_areas_keep_their_value_exactly() {
        for value in [0.0, 0.3, 1.0] {
            let shape = Shape::mask(1, 50, 90);
            assert!(feather(&vec![value; shape.len()], shape, 20).iter().all(|v| *v == value));
        }
        let shape = Shape::mask(1, 300, 300);
        let masks: Vec<f32> = (0..shape.len()).map(|i| if i % 300 < 150 { 0.0 } else { 1.0 }).collect();
        let out = feather(&masks, shape, 20);
        for row in out.chunks_exact(300) {
            assert!(row[..64].iter().all(|v| *v == 0.0) && row[192..].iter().all(|v| *v == 1.0));
            assert!(row[131..169].windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn nothing_to_blur_is_copied() {
        let shape = Shape::mask(2, 9, 13);
        let masks = mask(shape, 5);
        assert_eq!(feather(&masks, shape, 0), masks);
        for thin in [Shape::mask(1, 1, 50), Shape::mask(1, 3, 50), Shape::mask(1, 50, 2)] {
            let masks = mask(thin, 5);
            assert_eq!(feather(&masks, thin, usize::MAX), masks);
        }
        assert_eq!(feather(&[], Shape::mask(0, 4, 4), 5), []);
        assert_eq!(feather(&[], Shape::mask(2, 0, 4), 5), []);
    }

    #[test]
    fn the_kernel_shrinks_with_the_mask() {
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(|side| radius(20, side)),
            [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
        );
        assert_eq!((radius(20, 41), radius(20, 42), radius(0, 50), radius(usize::MAX, 100)), (10, 20, 0, 25));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let _compares = LEVEL_LOCK.read();
        let shape = Shape::mask(1, 1200, 700);
        let masks = mask(shape, 2);
        for taps in [5, 50] {
            set_num_threads(1);
            let expected = feather(&masks, shape, taps);
            for threads in [2, 3, 8] {
                set_num_threads(threads);
                assert!(feather(&masks, shape, taps) == expected);
            }
        }
        set_num_threads(0);
    }

    #[test]
    fn the_levels_of_the_cpu_agree() {
        let _changes = LEVEL_LOCK.write();
        let shape = Shape::mask(1, 120, 170);
        let masks = mask(shape, 2);
        set_level(Level::Baseline);
        let baseline = feather(&masks, shape, 20);
        set_level(Level::Avx2);
        for (a, b) in feather(&masks, shape, 20).iter().zip(&baseline) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut out = [0.0; 12];
        let rgb = Shape { frames: 1, height: 2, width: 2, channels: 3 };
        for (from, to, wrong) in [(rgb, rgb, "masks"), (Shape::mask(1, 3, 4), Shape::mask(1, 4, 3), "out")] {
            let masks = Frames::new("masks", &[0.0; 12], from).unwrap();
            let result = feather_mask(masks, 1, FramesMut::new("out", &mut out, to).unwrap(), NEVER);
            assert!(matches!(result, Err(Error::Shape { argument, .. }) if argument == wrong));
        }
    }
}
