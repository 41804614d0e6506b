//! Turned crops and pastes: the definition in `f64` where samples are numbers of their range; whatever they are, frames
//! that are not turned are cropped and pasted as ever, and nothing changes where no mask reaches.

#![no_main]

use std::f64::consts::PI;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::gather::{Fill, crop_frames};
use segs_core::parallel::NEVER;
use segs_core::paste::{Patch, copy_paste, paste};
use segs_core::region::{Region, Regions};
use segs_core::shift::{Shift, Shifts};
use segs_core::view::{FramesMut, Shape};
use segs_fuzz::{Angle, Batch, Channels, Corner, Count, Dtype, Gaps, Paint, Part, Sample, Side, indices, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    dtype: Dtype,
    count: Count,
    frame: (Side, Side),
    crop: (Side, Side),
    channels: Channels,
    gaps: [Gaps; 3],
    paints: [Paint; 3],
    corners: [Corner; 3],
    parts: [Part; 3],
    angles: [Angle; 3],
    moving: bool,
    fill: Option<u8>,
    alpha: u8,
    baseline: bool,
}

fn weights(part: f64) -> [f64; 6] {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    let weights: [f64; 6] = std::array::from_fn(|tap| tap as f64 - 2.0 - part).map(|x| sinc(x) * sinc(x / 3.0));
    weights.map(|weight| weight / weights.iter().sum::<f64>())
}

/// Where a pixel of the crop lies in the frame, in indices of samples; or with `back` the other way round.
fn place(region: Region, shift: Shift, (y, x): (usize, usize), back: bool) -> (f64, f64) {
    let own = (region.height() as f64 / 2.0, region.width() as f64 / 2.0);
    let middle = (region.y1() as f64 + shift.y() + own.0, region.x1() as f64 + shift.x() + own.1);
    let (from, to, angle) = if back { (middle, own, -shift.angle()) } else { (own, middle, shift.angle()) };
    let (sin, cos) = angle.to_radians().sin_cos();
    let (y, x) = (y as f64 + 0.5 - from.0, x as f64 + 0.5 - from.1);
    (sin * x + cos * y + to.0 - 0.5, cos * x - sin * y + to.1 - 0.5)
}

/// A sample of a frame, continued by `outside` or its edge, at a place.
fn interpolated<T: Sample>(
    frames: &Batch<T>,
    (frame, channel): (usize, usize),
    place: (f64, f64),
    outside: Option<T>,
) -> f64 {
    let (height, width) = (frames.shape.height as i64, frames.shape.width as i64);
    let sample = |y: i64, x: i64| {
        let inside = (0..height).contains(&y) && (0..width).contains(&x);
        let value = match outside {
            Some(value) if !inside => value,
            _ => frames.at(frame, y.clamp(0, height - 1) as usize, x.clamp(0, width - 1) as usize, channel),
        };
        f64::from(value.to_f32())
    };
    let (y, x) = (place.0.floor(), place.1.floor());
    let columns = weights(place.1 - x);
    let across = |y: i64| (-2..).zip(columns).map(|(tap, weight)| weight * sample(y, x as i64 + tap)).sum::<f64>();
    let rows = (-2..).zip(weights(place.0 - y));
    let value = rows.map(|(tap, weight)| weight * across(y as i64 + tap)).sum::<f64>();
    value.clamp(0.0, f64::from(T::MAX))
}

fn crops<T: Sample>(
    input: &Input,
    frames: &Batch<T>,
    regions: Regions<'_>,
    (shifts, unturned): (Shifts<'_>, Shifts<'_>),
    tolerance: f64,
) {
    let to = Shape { height: input.crop.0.0, width: input.crop.1.0, ..frames.shape };
    let fill = input.fill.map(|byte| T::new(f32::from(byte) / 255.0));
    let crop = |shifts: Shifts<'_>| {
        let mut out = vec![T::new(0.25); to.len()];
        let view = FramesMut::new("out", &mut out, to).unwrap();
        let result = crop_frames(frames.view(), regions, shifts, fill.map_or(Fill::Edge, Fill::Constant), view, NEVER);
        result.map(|()| out)
    };
    let (Ok(out), Ok(whole)) = (crop(shifts), crop(unturned)) else {
        assert!(frames.shape.is_empty() && !to.is_empty() && fill.is_none());
        return;
    };
    for (((frame, y, x, channel), got), whole) in indices(to).zip(&out).zip(&whole) {
        let (region, shift) = (regions.get(frame), shifts.get(frame));
        if !shift.is_turned() {
            assert_eq!(got.bits(), whole.bits());
        } else if !input.paints[0].wild {
            let expected = interpolated(frames, (frame, channel), place(region, shift, (y, x), false), fill);
            assert!((f64::from(got.to_f32()) - expected).abs() <= tolerance, "{got:?} instead of {expected}");
        }
    }
}

fn pastes<T: Sample>(
    input: &Input,
    frames: &Batch<T>,
    regions: Regions<'_>,
    (shifts, unturned): (Shifts<'_>, Shifts<'_>),
) {
    let shape = frames.shape;
    let (height, width) = (input.crop.0.0, input.crop.1.0);
    let crops = Batch::<T>::new(Shape { height, width, ..shape }, input.gaps[1], &input.paints[1]);
    let masks = Batch::<f32>::new(Shape::mask(1, height, width), input.gaps[2], &input.paints[2]);
    let patch = |shifts| {
        let alpha = f32::from(input.alpha) / 255.0;
        Patch { crops: crops.view(), masks: masks.view(), regions, shifts, alpha }
    };
    let stamped = |shifts| {
        let mut pixels = frames.pixels();
        paste(FramesMut::new("frames", &mut pixels, shape).unwrap(), patch(shifts), NEVER).unwrap();
        pixels
    };
    let (out, whole) = (stamped(shifts), stamped(unturned));
    let mut copy = vec![T::new(0.25); shape.len()];
    let view = FramesMut::new("out", &mut copy, shape).unwrap();
    copy_paste(frames.view(), patch(shifts), view, NEVER).unwrap();
    let nan = |a: &T, b: &T| a.to_f32().is_nan() && b.to_f32().is_nan();
    assert!(out.iter().zip(&copy).all(|(a, b)| a.bits() == b.bits() || nan(a, b)));
    for (((frame, y, x, channel), got), whole) in indices(shape).zip(&out).zip(&whole) {
        let (region, shift) = (regions.get(frame), shifts.get(frame));
        if !shift.is_turned() {
            assert!(got.bits() == whole.bits() || nan(got, whole));
            continue;
        }
        // The mask's pixels around the place that this pixel has in the crop; it may be rounded to the next.
        let at = place(region, shift, (y, x), true);
        let shown = |y: i64, x: i64| {
            (0..height as i64).contains(&y)
                && (0..width as i64).contains(&x)
                && masks.at(0, y as usize, x as usize, 0) > 0.0
        };
        let near = |at: f64| (at - 1e-6).floor() as i64..=(at + 1e-6).floor() as i64 + 1;
        if !near(at.0).any(|y| near(at.1).any(|x| shown(y, x))) {
            assert_eq!(got.bits(), frames.at(frame, y, x, channel).bits());
        }
    }
}

fn run<T: Sample>(input: &Input, tolerance: f64) {
    let Input { count, frame, channels, .. } = input;
    let shape = Shape { frames: count.0, height: frame.0.0, width: frame.1.0, channels: channels.0 };
    let frames = Batch::<T>::new(shape, input.gaps[0], &input.paints[0]);
    let list = input.corners.map(|corner| corner.region(input.crop.0.0, input.crop.1.0));
    let parts = input.parts.map(|part| part.0);
    let turned: [Shift; 3] = std::array::from_fn(|index| parts[index].turned(input.angles[index].0).unwrap());
    let (regions, shifts) = if input.moving {
        let own = ..shape.frames;
        (Regions::PerFrame(&list[own]), (Shifts::PerFrame(&turned[own]), Shifts::PerFrame(&parts[own])))
    } else {
        (Regions::Shared(list[0]), (Shifts::Shared(turned[0]), Shifts::Shared(parts[0])))
    };
    crops(input, &frames, regions, shifts, tolerance);
    pastes(input, &frames, regions, shifts);
}

fuzz_target!(|input: Input| {
    use_level(input.baseline);
    match input.dtype {
        Dtype::F32 => run::<f32>(&input, 6e-6),
        Dtype::F16 => run::<half::f16>(&input, 6e-4),
        Dtype::U8 => run::<u8>(&input, 0.502),
    }
});
