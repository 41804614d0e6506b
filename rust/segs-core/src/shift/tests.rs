//! Crops and pastes between pixels against the definition in `f64`, per pixel.
// What is copied or must not change is exact.
#![allow(clippy::float_cmp)]

use std::f64::consts::PI;

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::cpu::{LEVEL_LOCK, Level, level, set_level};
use crate::gather::{Fill, crop_frames};
use crate::parallel::{NEVER, set_num_threads};
use crate::paste::{Patch, copy_paste, paste};
use crate::pixel::Pixel;
use crate::region::{Region, Regions};
use crate::view::{Frames, FramesMut, Shape};

/// Numbers in `[0, 1)` that look random, the same for the same seed.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..len).map(next).collect()
}

pub(crate) fn samples<T: Pixel>(shape: Shape, seed: u64) -> Vec<T> {
    noise(shape.len(), seed).into_iter().map(|v| T::from_f32((v * 1.2 - 0.1).clamp(0.0, 1.0) as f32 * T::MAX)).collect()
}

pub(crate) fn to_f64<T: Pixel>(samples: &[T]) -> Vec<f64> {
    samples.iter().map(|sample| f64::from(sample.to_f32())).collect()
}

/// The weights of the pixels `floor(place) - 2` to `floor(place) + 3`.
pub(crate) fn lanczos_weights(part: f64) -> Vec<(i64, f64)> {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let weights: Vec<(i64, f64)> =
        (-2..4).map(|tap| (tap, tap as f64 - part)).map(|(tap, x)| (tap, sinc(x) * sinc(x / 3.0))).collect();
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.into_iter().map(|(tap, weight)| (tap, weight / sum)).collect()
}

pub(crate) fn linear_weights(part: f64) -> Vec<(i64, f64)> {
    vec![(0, 1.0 - part), (1, part)]
}

/// The sample of a plane at a place, by weights along each axis; `outside` continues it, or its edge where that is None.
pub(crate) fn interpolated(
    plane: &dyn Fn(usize, usize) -> f64,
    size: (usize, usize),
    place: (f64, f64),
    weights: fn(f64) -> Vec<(i64, f64)>,
    outside: Option<f64>,
) -> f64 {
    let at = |y: i64, x: i64| {
        let (inner_y, inner_x) = (y.clamp(0, size.0 as i64 - 1), x.clamp(0, size.1 as i64 - 1));
        match outside {
            Some(value) if (inner_y, inner_x) != (y, x) => value,
            _ => plane(inner_y as usize, inner_x as usize),
        }
    };
    let (y, x) = (place.0.floor(), place.1.floor());
    let columns = weights(place.1 - x);
    let across = |y: i64| columns.iter().map(|(tap, weight)| weight * at(y, x as i64 + tap)).sum::<f64>();
    weights(place.0 - y).iter().map(|(tap, weight)| weight * across(y as i64 + tap)).sum()
}

#[derive(Debug, Clone)]
struct Case {
    frames: Shape,
    size: (usize, usize),
    places: Vec<(f64, f64)>,
    seed: u64,
    fill: Option<f64>,
}

impl Case {
    fn regions(&self) -> Vec<Region> {
        let at =
            |&(x, y): &(f64, f64)| Region::at(x.floor() as i64, y.floor() as i64, self.size.1, self.size.0).unwrap();
        self.places.iter().map(at).collect()
    }

    fn shifts(&self) -> Vec<Shift> {
        self.places.iter().map(|&(x, y)| Shift::new(x - x.floor(), y - y.floor()).unwrap()).collect()
    }

    fn crop_shape(&self) -> Shape {
        Shape { height: self.size.0, width: self.size.1, ..self.frames }
    }
}

fn coordinate(reach: i64) -> impl Strategy<Value = f64> {
    // Sixty-fourths, so that sums of places are exact.
    (-reach * 64..reach * 64, any::<bool>())
        .prop_map(|(v, whole)| if whole { (v / 64) as f64 } else { v as f64 / 64.0 })
}

fn cases() -> impl Strategy<Value = Case> {
    let size = (0usize..30, 0usize..80);
    (1usize..4, 1usize..30, 1usize..80, 1usize..5, size, any::<u64>(), any::<bool>()).prop_flat_map(
        |(count, height, width, channels, size, seed, filled)| {
            prop::collection::vec((coordinate(90), coordinate(40)), count).prop_map(move |places| Case {
                frames: Shape { frames: count, height, width, channels },
                size,
                places,
                seed,
                fill: filled.then_some(0.4),
            })
        },
    )
}

fn crops<T: Pixel>(case: &Case, frames: &[T]) -> Vec<T> {
    let (regions, shifts, to) = (case.regions(), case.shifts(), case.crop_shape());
    let fill = case.fill.map_or(Fill::Edge, |value| Fill::Constant(T::from_f32(value as f32 * T::MAX)));
    let mut out = vec![T::from_f32(T::MAX); to.len()];
    let frames = Frames::new("frames", frames, case.frames).unwrap();
    let view = FramesMut::new("out", &mut out, to).unwrap();
    crop_frames(frames, Regions::PerFrame(&regions), Shifts::PerFrame(&shifts), fill, view, NEVER).unwrap();
    out
}

fn check_crops<T: Pixel + std::fmt::Debug>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    let frames: Vec<T> = samples(case.frames, case.seed);
    let values = to_f64(&frames);
    let Shape { height, width, channels, .. } = case.frames;
    let outside = case.fill.map(|value| f64::from(T::from_f32(value as f32 * T::MAX).to_f32()));
    let out = crops(case, &frames);
    for (index, got) in out.iter().enumerate() {
        let (c, pixel) = (index % channels, index / channels);
        let (frame, y, x) =
            (pixel / (case.size.0 * case.size.1), pixel / case.size.1 % case.size.0, pixel % case.size.1);
        let (left, top) = case.places[frame];
        let plane = |y: usize, x: usize| values[((frame * height + y) * width + x) * channels + c];
        let place = (top + y as f64, left + x as f64);
        let expected = interpolated(&plane, (height, width), place, lanczos_weights, outside);
        let expected = expected.clamp(0.0, f64::from(T::MAX));
        let got = f64::from(got.to_f32());
        let whole = left == left.floor() && top == top.floor();
        prop_assert!((got - expected).abs() <= if whole { 1e-12 } else { tolerance }, "{} {}", got, expected);
    }
    Ok(())
}

fn check_pastes<T: Pixel + std::fmt::Debug>(case: &Case, tolerance: f64) -> Result<(), TestCaseError> {
    // Four channels are blended by other rules, which the tests of whole places see to.
    let case = &Case { frames: Shape { channels: case.frames.channels.min(3), ..case.frames }, ..case.clone() };
    let (frames, to): (Vec<T>, _) = (samples(case.frames, case.seed), case.crop_shape());
    let stamps: Vec<T> = samples(to, case.seed ^ 1);
    let mask_shape = Shape::mask(1, to.height, to.width);
    let masks: Vec<f32> = noise(mask_shape.len(), case.seed ^ 2).iter().map(|v| (v * 3.0 - 1.0) as f32).collect();
    let (regions, shifts) = (case.regions(), case.shifts());
    let patch = Patch {
        crops: Frames::new("crops", &stamps, to).unwrap(),
        masks: Frames::new("masks", &masks, mask_shape).unwrap(),
        regions: Regions::PerFrame(&regions),
        shifts: Shifts::PerFrame(&shifts),
        alpha: 0.75,
    };
    let mut out = vec![T::default(); frames.len()];
    let view = Frames::new("frames", &frames, case.frames).unwrap();
    copy_paste(view, patch, FramesMut::new("out", &mut out, case.frames).unwrap(), NEVER).unwrap();
    let mut in_place = frames.clone();
    paste(FramesMut::new("frames", &mut in_place, case.frames).unwrap(), patch, NEVER).unwrap();
    prop_assert!(out.iter().zip(&in_place).all(|(a, b)| a == b));

    let (crops, Shape { height, width, channels, .. }) = (to_f64(&stamps), case.frames);
    for (index, (got, frame_sample)) in out.iter().zip(&frames).enumerate() {
        let (c, pixel) = (index % channels, index / channels);
        let (frame, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
        let (left, top) = case.places[frame];
        let place = (y as f64 - top, x as f64 - left);
        let mask = |y: usize, x: usize| f64::from(masks[y * to.width + x]).clamp(0.0, 1.0);
        let crop = |y: usize, x: usize| crops[((frame * to.height + y) * to.width + x) * channels + c];
        let weight = if mask_shape.is_empty() {
            0.0
        } else {
            0.75 * interpolated(&mask, case.size, place, linear_weights, Some(0.0))
        };
        if weight == 0.0 {
            // Bits, not values: nothing happens outside the mask.
            prop_assert!(got == frame_sample);
            continue;
        }
        let sample = interpolated(&crop, case.size, place, lanczos_weights, None).clamp(0.0, f64::from(T::MAX));
        let expected = (1.0 - weight) * f64::from(frame_sample.to_f32()) + weight * sample;
        prop_assert!((f64::from(got.to_f32()) - expected).abs() <= tolerance, "{:?} {}", got, expected);
    }
    Ok(())
}

/// Runs `check` at a level of the CPU, which no other test changes meanwhile.
pub(crate) fn at_level(fast: bool, check: impl FnOnce() -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
    let _guard = LEVEL_LOCK.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = level();
    set_level(if fast { Level::Avx2 } else { Level::Baseline });
    let result = check();
    set_level(before);
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn crops_between_pixels_are_interpolated(case in cases(), fast in any::<bool>()) {
        at_level(fast, || {
            check_crops::<f32>(&case, 2e-6)?;
            check_crops::<f16>(&case, 5e-4)?;
            // Half a step of rounding, and what floats are off.
            check_crops::<u8>(&case, 0.501)
        })?;
    }

    #[test]
    fn pastes_between_pixels_are_interpolated(case in cases(), fast in any::<bool>()) {
        at_level(fast, || {
            check_pastes::<f32>(&case, 3e-6)?;
            check_pastes::<f16>(&case, 1e-3)?;
            // The crop is rounded on its way, and the blend once more.
            check_pastes::<u8>(&case, 1.001)
        })?;
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let _guard = LEVEL_LOCK.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let frames = Shape { frames: 3, height: 300, width: 310, channels: 3 };
    let places = vec![(20.3, 10.7), (25.0, 11.5), (-3.1, 40.0)];
    let case = Case { frames, size: (290, 280), places, seed: 5, fill: None };
    let (pixels, stamps): (Vec<f32>, Vec<f32>) = (samples(frames, 5), samples(case.crop_shape(), 6));
    let masks = noise(290 * 280, 7).into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let run = |threads: usize| {
        set_num_threads(threads);
        let crops = crops(&case, &pixels);
        let patch = Patch {
            crops: Frames::new("crops", &stamps, case.crop_shape()).unwrap(),
            masks: Frames::new("masks", &masks, Shape::mask(1, 290, 280)).unwrap(),
            regions: Regions::PerFrame(&case.regions()),
            shifts: Shifts::PerFrame(&case.shifts()),
            alpha: 1.0,
        };
        let mut pasted = pixels.clone();
        paste(FramesMut::new("frames", &mut pasted, frames).unwrap(), patch, NEVER).unwrap();
        set_num_threads(0);
        (crops, pasted)
    };
    let one = run(1);
    assert!([2, 3, 7].into_iter().all(|threads| run(threads) == one));
}

#[test]
fn a_mask_of_ones_shows_the_crop_alone_whatever_the_frame_holds() {
    for part in [0.1, 0.25, 1.0 / 3.0, 0.7, 0.999_999] {
        let shape = Shape { frames: 1, height: 12, width: 14, channels: 3 };
        let mut frames = vec![f32::NAN; shape.len()];
        let crop_shape = Shape { height: 8, width: 9, ..shape };
        let (crops, masks) = (vec![0.5; crop_shape.len()], vec![1.0; 72]);
        let patch = Patch {
            crops: Frames::new("crops", &crops, crop_shape).unwrap(),
            masks: Frames::new("masks", &masks, Shape::mask(1, 8, 9)).unwrap(),
            regions: Regions::Shared(Region::at(2, 1, 9, 8).unwrap()),
            shifts: Shifts::Shared(Shift::new(part, part).unwrap()),
            alpha: 1.0,
        };
        paste(FramesMut::new("frames", &mut frames, shape).unwrap(), patch, NEVER).unwrap();
        for (index, pixel) in frames.chunks_exact(3).enumerate() {
            let (y, x) = (index / 14, index % 14);
            let inside = (2..9).contains(&y) && (3..11).contains(&x);
            assert!(inside == pixel.iter().all(|v| (v - 0.5).abs() < 1e-6), "{part} {y} {x} {pixel:?}");
        }
    }
}

#[test]
fn parts_that_are_none_are_refused() {
    for part in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
        assert!(Shift::new(part, 0.0).is_err());
        assert!(Shift::new(0.0, part).is_err());
    }
    for angle in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(Shift::WHOLE.turned(angle).is_err());
    }
    // Full turns are none.
    for angle in [0.0, -0.0, 360.0, -720.0, -1e-300] {
        assert!(Shift::WHOLE.turned(angle).unwrap().is_whole(), "{angle}");
    }
    let shape = Shape { frames: 3, height: 2, width: 2, channels: 1 };
    let (frames, mut out) = ([0u8; 12], [0u8; 12]);
    let region = Regions::Shared(Region::at(0, 0, 2, 2).unwrap());
    let shifts = [Shift::new(0.5, 0.0).unwrap(); 2];
    let (from, to) = (Frames::new("frames", &frames, shape).unwrap(), FramesMut::new("out", &mut out, shape).unwrap());
    let error = crop_frames(from, region, Shifts::PerFrame(&shifts), Fill::Edge, to, NEVER).unwrap_err();
    assert_eq!(error.to_string(), "shifts: expected 1 or 3 shifts, got 2");
}

#[test]
fn the_farthest_regions_do_not_overflow() {
    let far = 1 << 30;
    let shape = Shape { frames: 1, height: 2, width: 2, channels: 1 };
    let frames = [1.0f32, 2.0, 3.0, 4.0].map(|v| v / 4.0);
    let half = Shifts::Shared(Shift::new(0.5, 0.5).unwrap());
    for (x, y) in [(-far, -far), (far - 2, far - 2), (-far, far - 2)] {
        let regions = Regions::Shared(Region::at(x, y, 2, 2).unwrap());
        let (mut out, from) = ([0.0f32; 4], Frames::new("frames", &frames, shape).unwrap());
        let view = FramesMut::new("out", &mut out, shape).unwrap();
        crop_frames(from, regions, half, Fill::Edge, view, NEVER).unwrap();
        let corner = frames[usize::from(x > 0) + 2 * usize::from(y > 0)];
        assert!(out.iter().all(|v| (v - corner).abs() < 1e-6));
        let masks = [1.0; 4];
        let masks = Frames::new("masks", &masks, Shape::mask(1, 2, 2)).unwrap();
        let mut pasted = frames;
        let patch = Patch { crops: from, masks, regions, shifts: half, alpha: 1.0 };
        paste(FramesMut::new("frames", &mut pasted, shape).unwrap(), patch, NEVER).unwrap();
        assert_eq!(pasted, frames);
    }
}
