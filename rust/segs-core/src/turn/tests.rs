//! Turned crops and pastes against the definition in `f64`, per pixel.
// What must not change is exact.
#![allow(clippy::float_cmp)]

use half::f16;
use proptest::prelude::*;

use crate::cpu::LEVEL_LOCK;
use crate::gather::{Fill, crop_frames};
use crate::parallel::{NEVER, set_num_threads};
use crate::paste::{Patch, copy_paste, paste};
use crate::pixel::Pixel;
use crate::region::{Region, Regions};
use crate::shift::tests::{at_level, interpolated, lanczos_weights, linear_weights, noise, samples, to_f64};
use crate::shift::{Shift, Shifts};
use crate::view::{Frames, FramesMut, Shape};

/// From rows and columns to those of another image.
type Source = fn(usize, usize) -> (usize, usize);

/// A corner, and an angle about the middle.
type Place = (f64, f64, f64);

#[derive(Debug, Clone)]
struct Case {
    frames: Shape,
    size: (usize, usize),
    places: Vec<Place>,
    seed: u64,
    fill: Option<f64>,
}

impl Case {
    fn regions(&self) -> Vec<Region> {
        let at = |&(x, y, _): &Place| Region::at(x.floor() as i64, y.floor() as i64, self.size.1, self.size.0).unwrap();
        self.places.iter().map(at).collect()
    }

    fn shifts(&self) -> Vec<Shift> {
        let of = |&(x, y, angle): &Place| Shift::new(x - x.floor(), y - y.floor()).unwrap().turned(angle).unwrap();
        self.places.iter().map(of).collect()
    }

    fn crop_shape(&self) -> Shape {
        Shape { height: self.size.0, width: self.size.1, ..self.frames }
    }

    /// Where a pixel of a frame's crop lies in the frame, as row and column; or the other way round.
    fn place(&self, frame: usize, (row, column): (usize, usize), into_crop: bool) -> (f64, f64) {
        let (left, top, angle) = self.places[frame];
        let own = (self.size.1 as f64 / 2.0, self.size.0 as f64 / 2.0);
        let in_frame = (left + own.0, top + own.1);
        let (from, to, angle) = if into_crop { (in_frame, own, -angle) } else { (own, in_frame, angle) };
        let (sin, cos) = angle.to_radians().sin_cos();
        let (x, y) = (column as f64 + 0.5 - from.0, row as f64 + 0.5 - from.1);
        (sin * x + cos * y + to.1 - 0.5, cos * x - sin * y + to.0 - 0.5)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let size = (0usize..30, 0usize..80);
    let angle = prop_oneof![(-8i32..8).prop_map(|v| f64::from(v) * 45.0), -400.0..400.0];
    (1usize..3, 1usize..30, 1usize..80, 1usize..5, size, any::<u64>(), any::<bool>(), angle).prop_flat_map(
        |(count, height, width, channels, size, seed, filled, angle)| {
            let coordinate = |reach: i32| (-reach * 64..reach * 64).prop_map(|v| f64::from(v) / 64.0);
            prop::collection::vec((coordinate(90), coordinate(40)), count).prop_map(move |corners| Case {
                frames: Shape { frames: count, height, width, channels },
                size,
                places: corners.iter().enumerate().map(|(i, &(x, y))| (x, y, angle * (1.0 - i as f64))).collect(),
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
    for (index, got) in crops(case, &frames).iter().enumerate() {
        let (c, pixel) = (index % channels, index / channels);
        let (frame, y, x) =
            (pixel / (case.size.0 * case.size.1), pixel / case.size.1 % case.size.0, pixel % case.size.1);
        let plane = |y: usize, x: usize| values[((frame * height + y) * width + x) * channels + c];
        let place = case.place(frame, (y, x), false);
        let expected = interpolated(&plane, (height, width), place, lanczos_weights, outside);
        let expected = expected.clamp(0.0, f64::from(T::MAX));
        let got = f64::from(got.to_f32());
        prop_assert!((got - expected).abs() <= tolerance, "{} {}", got, expected);
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
        let place = case.place(frame, (y, x), true);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn turned_crops_are_interpolated(case in cases(), fast in any::<bool>()) {
        at_level(fast, || {
            check_crops::<f32>(&case, 4e-6)?;
            check_crops::<f16>(&case, 5e-4)?;
            // Half a step of rounding, and what floats and weights are off.
            check_crops::<u8>(&case, 0.502)
        })?;
    }

    #[test]
    fn turned_pastes_are_interpolated(case in cases(), fast in any::<bool>()) {
        at_level(fast, || {
            check_pastes::<f32>(&case, 5e-6)?;
            check_pastes::<f16>(&case, 1e-3)?;
            // The crop is rounded on its way, and the blend once more.
            check_pastes::<u8>(&case, 1.002)
        })?;
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let _guard = LEVEL_LOCK.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let frames = Shape { frames: 3, height: 300, width: 310, channels: 3 };
    let places = vec![(20.3, 10.7, 33.0), (25.0, 11.5, 181.5), (-3.1, 40.0, -90.0)];
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
fn quarter_turns_bring_pixels_to_pixels() {
    let frames = Shape { frames: 1, height: 90, width: 90, channels: 3 };
    let pixels: Vec<f32> = samples(frames, 3);
    let at = |y: usize, x: usize| &pixels[(y * 90 + x) * 3..][..3];
    let sources: [(f64, Source); 3] =
        [(90.0, |y, x| (x, 89 - y)), (180.0, |y, x| (89 - y, 89 - x)), (270.0, |y, x| (89 - x, y))];
    for (angle, source) in sources {
        let case = Case { frames, size: (90, 90), places: vec![(0.0, 0.0, angle)], seed: 0, fill: None };
        let turned = crops(&case, &pixels);
        for (index, pixel) in turned.chunks_exact(3).enumerate() {
            let (y, x) = source(index / 90, index % 90);
            assert_eq!(pixel, at(y, x), "{angle}");
        }
        let masks = vec![1.0; 90 * 90];
        let patch = Patch {
            crops: Frames::new("crops", &turned, frames).unwrap(),
            masks: Frames::new("masks", &masks, Shape::mask(1, 90, 90)).unwrap(),
            regions: Regions::PerFrame(&case.regions()),
            shifts: Shifts::PerFrame(&case.shifts()),
            alpha: 1.0,
        };
        let mut back = vec![f32::NAN; frames.len()];
        paste(FramesMut::new("frames", &mut back, frames).unwrap(), patch, NEVER).unwrap();
        assert_eq!(back, pixels);
    }
}

#[test]
fn a_mask_of_ones_shows_the_crop_alone_whatever_the_frame_holds() {
    let shape = Shape { frames: 1, height: 60, width: 70, channels: 3 };
    let crop_shape = Shape { height: 24, width: 20, ..shape };
    let (crops, masks) = (vec![0.5; crop_shape.len()], vec![1.0; 480]);
    for angle in [10.0, 45.0, 133.0, 299.0] {
        let mut frames = vec![f32::NAN; shape.len()];
        let patch = Patch {
            crops: Frames::new("crops", &crops, crop_shape).unwrap(),
            masks: Frames::new("masks", &masks, Shape::mask(1, 24, 20)).unwrap(),
            regions: Regions::Shared(Region::at(25, 18, 20, 24).unwrap()),
            shifts: Shifts::Shared(Shift::new(0.3, 0.6).unwrap().turned(angle).unwrap()),
            alpha: 1.0,
        };
        paste(FramesMut::new("frames", &mut frames, shape).unwrap(), patch, NEVER).unwrap();
        let (sin, cos) = f64::to_radians(-angle).sin_cos();
        for (index, pixel) in frames.chunks_exact(3).enumerate() {
            let (x, y) = ((index % 70) as f64 + 0.5 - 35.3, (index / 70) as f64 + 0.5 - 30.6);
            let (x, y) = ((cos * x - sin * y).abs(), (sin * x + cos * y).abs());
            if x < 9.4 && y < 11.4 {
                assert!(pixel.iter().all(|v| (v - 0.5).abs() < 1e-6), "{angle} {pixel:?}");
            } else if x > 10.6 || y > 12.6 {
                assert!(pixel.iter().all(|v| v.is_nan()));
            }
        }
    }
}

#[test]
fn the_farthest_and_emptiest_regions_do_nothing_wrong() {
    let far = 1 << 30;
    let shape = Shape { frames: 1, height: 2, width: 2, channels: 1 };
    let frames = [1.0f32, 2.0, 3.0, 4.0].map(|v| v / 4.0);
    let shifts = Shifts::Shared(Shift::new(0.5, 0.5).unwrap().turned(30.0).unwrap());
    for (x, y) in [(-far, -far), (far - 2, far - 2), (-far, far - 2)] {
        let regions = Regions::Shared(Region::at(x, y, 2, 2).unwrap());
        let (mut out, from) = ([0.0f32; 4], Frames::new("frames", &frames, shape).unwrap());
        let view = FramesMut::new("out", &mut out, shape).unwrap();
        crop_frames(from, regions, shifts, Fill::Edge, view, NEVER).unwrap();
        let corner = frames[usize::from(x > 0) + 2 * usize::from(y > 0)];
        assert!(out.iter().all(|v| (v - corner).abs() < 1e-6));
        let masks = [1.0; 4];
        let masks = Frames::new("masks", &masks, Shape::mask(1, 2, 2)).unwrap();
        let mut pasted = frames;
        let patch = Patch { crops: from, masks, regions, shifts, alpha: 1.0 };
        paste(FramesMut::new("frames", &mut pasted, shape).unwrap(), patch, NEVER).unwrap();
        assert_eq!(pasted, frames);
    }
    for (height, width) in [(0, 5), (5, 0)] {
        let none = Shape { height, width, ..shape };
        let patch = Patch {
            crops: Frames::new("crops", &[], none).unwrap(),
            masks: Frames::new("masks", &[], Shape::mask(1, height, width)).unwrap(),
            regions: Regions::Shared(Region::at(0, 0, width, height).unwrap()),
            shifts,
            alpha: 1.0,
        };
        let mut pasted = frames;
        paste(FramesMut::new("frames", &mut pasted, shape).unwrap(), patch, NEVER).unwrap();
        assert_eq!(pasted, frames);
    }
}
