//! The kernels against a plain oracle, pixel by pixel.
// The results are exact, and so are the comparisons.
#![allow(clippy::float_cmp)]

use super::*;
use crate::cpu::{LEVEL_LOCK, Level, level, set_level};
use crate::parallel::NEVER;
use crate::region::Region;
use half::f16;
use proptest::prelude::*;

/// One pixel as the module's documentation defines it.
fn expected<T: Pixel>(frame: &[T], crop: &[T], mask: f32, alpha: f32) -> Vec<T> {
    let unit = |v: f32| if v.is_nan() { 0.0 } else { v.clamp(0.0, 1.0) };
    let mut weight = unit(mask) * alpha;
    if crop.len() == 4 {
        weight *= unit(crop[3].to_f32() / T::MAX);
    }
    let pick = |d: T, s: T, mixed: f32| match weight {
        0.0 => d,
        1.0 => s,
        _ => T::from_f32(mixed),
    };
    if frame.len() < 4 || crop.len() < 4 {
        let mix = |(&d, &s): (&T, &T)| pick(d, s, (1.0 - weight) * d.to_f32() + weight * s.to_f32());
        let blended = frame.iter().zip(crop).map(mix);
        return blended.chain(frame.iter().skip(crop.len()).copied()).collect();
    }
    let under = unit(frame[3].to_f32() / T::MAX) * (1.0 - weight);
    let total = weight + under;
    let color = |(&d, &s): (&T, &T)| pick(d, s, (s.to_f32() * weight + d.to_f32() * under) / total);
    let mut pixel: Vec<T> = frame.iter().zip(crop).take(3).map(color).collect();
    pixel.push(pick(frame[3], T::from_f32(T::MAX), total * T::MAX));
    pixel
}

#[derive(Debug, Clone)]
struct Case {
    frames: Shape,
    crops: Shape,
    masks: usize,
    regions: Vec<Region>,
    alpha: f32,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![Just((1, 1)), Just((2, 2)), Just((3, 3)), Just((3, 4)), Just((4, 3)), Just((4, 4))];
    let alpha = prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..1.0];
    (0usize..4, 1usize..30, 1usize..160, 0usize..30, 0usize..160, channels, alpha, any::<[bool; 3]>(), any::<u64>())
        .prop_flat_map(|(count, height, width, h, w, (frame_channels, crop_channels), alpha, one, seed)| {
            let of = move |one: bool| if one { 1 } else { count };
            let regions = prop::collection::vec(
                (-200i64..200, -40i64..40).prop_map(move |(x, y)| Region::at(x, y, w, h).unwrap()),
                of(one[2]),
            );
            regions.prop_map(move |regions| Case {
                frames: Shape { frames: count, height, width, channels: frame_channels },
                crops: Shape { frames: of(one[0]), height: h, width: w, channels: crop_channels },
                masks: of(one[1]),
                regions,
                alpha,
                seed,
            })
        })
}

/// Numbers that look random, the same for the same seed.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn samples<T: Pixel>(shape: Shape, next: &mut impl FnMut() -> f32) -> Vec<T> {
    (0..shape.len()).map(|_| T::from_f32(next() * T::MAX)).collect()
}

/// Mask values with flat parts, and with values that no mask should have.
fn mask_values(shape: Shape, next: &mut impl FnMut() -> f32) -> Vec<f32> {
    let mut values = Vec::new();
    while values.len() < shape.len() {
        let (run, kind) = (1 + (next() * 90.0) as usize, next());
        let value = match (kind * 8.0) as u8 {
            0 | 1 => 0.0,
            2 | 3 => 1.0,
            4 if next() < 0.2 => [f32::NAN, f32::INFINITY, -1.0, f32::NEG_INFINITY, 2.0][(next() * 5.0) as usize],
            _ => -1e-9,
        };
        values.extend((0..run).map(|_| if value == -1e-9 { next() } else { value }));
    }
    values.truncate(shape.len());
    values
}

fn check<T: Pixel + std::fmt::Debug>(case: &Case) {
    let mut next = noise(case.seed);
    let frames: Vec<T> = samples(case.frames, &mut next);
    let crops: Vec<T> = samples(case.crops, &mut next);
    let mask_shape = Shape::mask(case.masks, case.crops.height, case.crops.width);
    let masks = mask_values(mask_shape, &mut next);
    let patch = Patch {
        crops: Frames::new("crops", &crops, case.crops).unwrap(),
        masks: Frames::new("masks", &masks, mask_shape).unwrap(),
        regions: if let [region] = case.regions[..] {
            Regions::Shared(region)
        } else {
            Regions::PerFrame(&case.regions)
        },
        shifts: Shifts::WHOLE,
        alpha: case.alpha,
    };

    let mut oracle = frames.clone();
    let Shape { height, width, channels, .. } = case.frames;
    for (index, pixel) in oracle.chunks_exact_mut(channels).enumerate() {
        let (frame, y, x) = (index / (height * width), index / width % height, index % width);
        let region = patch.regions.get(frame);
        let (left, top) = (x as i64 - region.x1(), y as i64 - region.y1());
        if left < 0 || top < 0 || left >= region.width() as i64 || top >= region.height() as i64 {
            continue;
        }
        let (left, top) = (left as usize, top as usize);
        let crop = &patch.crops.row(patch.crops.serving(frame), top)[left * case.crops.channels..];
        let mask = patch.masks.row(patch.masks.serving(frame), top)[left];
        pixel.copy_from_slice(&expected(pixel, &crop[..case.crops.channels], mask, case.alpha));
    }

    let mut out = frames.clone();
    paste(FramesMut::new("frames", &mut out, case.frames).unwrap(), patch, NEVER).unwrap();
    assert_eq!(out, oracle);
    let mut out: Vec<T> = vec![T::default(); frames.len()];
    let view = Frames::new("frames", &frames, case.frames).unwrap();
    copy_paste(view, patch, FramesMut::new("out", &mut out, case.frames).unwrap(), NEVER).unwrap();
    assert_eq!(out, oracle);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_pixel_is_what_the_definition_says(case in cases(), fast in any::<bool>()) {
        let _guard = LEVEL_LOCK.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = level();
        set_level(if fast { Level::Avx2 } else { Level::Baseline });
        check::<f32>(&case);
        check::<f16>(&case);
        check::<u8>(&case);
        set_level(before);
    }
}

fn patch<'a, T>(crops: &'a [T], masks: &'a [f32], size: (usize, usize), region: Region) -> Patch<'a, T> {
    let (height, width) = size;
    let shape = Shape { frames: 1, height, width, channels: 3 };
    Patch {
        crops: Frames::new("crops", crops, shape).unwrap(),
        masks: Frames::new("masks", masks, Shape::mask(1, height, width)).unwrap(),
        regions: Regions::Shared(region),
        shifts: Shifts::WHOLE,
        alpha: 1.0,
    }
}

#[test]
fn what_the_mask_hides_does_not_come_through() {
    fn check<T: Pixel + std::fmt::Debug>() {
        // A mask of 0 beside one of a half, in one tile: NaN in the crop stays out, NaN in the frame stays in.
        let masks = [0.0, 0.5, 0.0, 1.0];
        let crops = [f32::NAN, f32::NAN, f32::NAN, 1.0, 1.0, 1.0, f32::INFINITY, 0.0, 0.0, 0.25, 0.25, 0.25];
        let frames = [0.0, 0.125, 0.25, 0.0, 0.0, 0.0, 0.5, 0.75, f32::NAN, f32::NAN, f32::INFINITY, 0.5];
        let (crops, mut frames) = (crops.map(T::from_f32), frames.map(T::from_f32));
        let shape = Shape { frames: 1, height: 1, width: 4, channels: 3 };
        let region = Region::at(0, 0, 4, 1).unwrap();
        let view = FramesMut::new("frames", &mut frames, shape).unwrap();
        paste(view, patch(&crops, &masks, (1, 4), region), NEVER).unwrap();
        assert_eq!(frames[..8], [0.0, 0.125, 0.25, 0.5, 0.5, 0.5, 0.5, 0.75].map(T::from_f32));
        assert!(frames[8].to_f32().is_nan());
        assert_eq!(frames[9..], [0.25; 3].map(T::from_f32));
    }
    check::<f32>();
    check::<f16>();
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = Shape { frames: 2, height: 4, width: 4, channels: 3 };
    let mut frames = vec![0.0; shape.len()];
    let region = Region::at(0, 0, 2, 2).unwrap();
    let good = patch(&[0.0; 12], &[0.0; 4], (2, 2), region);
    let mut refused = |patch: Patch<'_, f32>, shape: Shape, argument: &str| {
        let frames = FramesMut::new("frames", &mut frames[..shape.len()], shape).unwrap();
        let error = paste(frames, patch, NEVER).unwrap_err();
        assert!(error.to_string().starts_with(argument), "{error}");
    };
    for alpha in [-0.1, 1.1, f32::NAN] {
        refused(Patch { alpha, ..good }, shape, "alpha");
    }
    refused(Patch { regions: Regions::Shared(Region::at(0, 0, 3, 2).unwrap()), ..good }, shape, "regions");
    refused(Patch { regions: Regions::PerFrame(&[region; 3]), ..good }, shape, "regions");
    let masks = Frames::new("masks", &[0.0; 6], Shape::mask(1, 2, 3)).unwrap();
    refused(Patch { masks, ..good }, shape, "masks");
    let masks = Frames::new("masks", &[0.0; 12], Shape::mask(3, 2, 2)).unwrap();
    refused(Patch { masks, ..good }, shape, "masks");
    let crops = Frames::new("crops", &[0.0; 36], Shape { frames: 3, height: 2, width: 2, channels: 3 }).unwrap();
    refused(Patch { crops, ..good }, shape, "crops");
    refused(good, Shape { channels: 1, ..shape }, "crops");
    refused(good, Shape { channels: 2, ..shape }, "crops");
}

#[test]
fn the_copy_must_have_the_frames_shape() {
    let shape = Shape { frames: 1, height: 4, width: 4, channels: 3 };
    let frames = [0.0; 48];
    let mut out = [0.0; 24];
    let small = FramesMut::new("out", &mut out, Shape { height: 2, ..shape }).unwrap();
    let patch = patch(&[0.0; 12], &[0.0; 4], (2, 2), Region::at(0, 0, 2, 2).unwrap());
    assert!(copy_paste(Frames::new("frames", &frames, shape).unwrap(), patch, small, NEVER).is_err());
}
