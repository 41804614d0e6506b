//! Pasting crops of all channel counts: nothing outside the region changes, and inside the blend is the definition's.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::parallel::NEVER;
use segs_core::paste::{Patch, copy_paste, paste};
use segs_core::pixel::Pixel;
use segs_core::region::Regions;
use segs_core::shift::Shifts;
use segs_core::view::{FramesMut, Shape};
use segs_fuzz::{Batch, Channels, Corner, Count, Dtype, Gaps, Paint, Sample, Side, indices, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    dtype: Dtype,
    count: Count,
    frame: (Side, Side),
    crop: (Side, Side),
    channels: Channels,
    crop_channels: Channels,
    one_crop: bool,
    one_mask: bool,
    gaps: [Gaps; 3],
    paints: [Paint; 3],
    corners: [Corner; 3],
    moving: bool,
    alpha: u8,
    baseline: bool,
}

fn unit(value: f32) -> f32 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

fn mix(under: f32, over: f32, weight: f32) -> f32 {
    if weight <= 0.0 {
        under
    } else if weight >= 1.0 {
        over
    } else {
        (1.0 - weight) * under + weight * over
    }
}

/// One pixel of the result, with the weight that the mask and alpha give.
fn blended<T: Pixel>(d: &[T], s: &[T], weight: f32) -> Vec<T> {
    let (d, s): (Vec<f32>, Vec<f32>) = (d.iter().map(|v| v.to_f32()).collect(), s.iter().map(|v| v.to_f32()).collect());
    let mut out = d.clone();
    match (d.len(), s.len()) {
        (4, 4) => {
            let weight = weight * unit(s[3] / T::MAX);
            let under = unit(d[3] / T::MAX) * (1.0 - weight);
            if weight >= 1.0 {
                out[..3].copy_from_slice(&s[..3]);
                out[3] = T::MAX;
            } else if weight > 0.0 {
                for c in 0..3 {
                    out[c] = (s[c] * weight + d[c] * under) / (weight + under);
                }
                out[3] = (weight + under) * T::MAX;
            }
        }
        (3, 4) => {
            let weight = weight * unit(s[3] / T::MAX);
            for c in 0..3 {
                out[c] = mix(d[c], s[c], weight);
            }
        }
        (channels, other) => {
            for c in 0..channels.min(other) {
                out[c] = mix(d[c], s[c], weight);
            }
        }
    }
    out.into_iter().map(T::from_f32).collect()
}

fn run<T: Sample>(input: &Input) {
    let channels = input.channels.0;
    // Other pairs are refused, which the target `buffers` sees to.
    let crop_channels = if channels < 3 { channels } else { 3 + input.crop_channels.0 % 2 };
    let shape = Shape { frames: input.count.0, height: input.frame.0.0, width: input.frame.1.0, channels };
    let one = |one: bool| if one { 1 } else { shape.frames };
    let (height, width) = (input.crop.0.0, input.crop.1.0);
    let crop_shape = Shape { frames: one(input.one_crop), height, width, channels: crop_channels };
    let [frame_gaps, crop_gaps, mask_gaps] = input.gaps;
    let frames = Batch::<T>::new(shape, frame_gaps, &input.paints[0]);
    let crops = Batch::<T>::new(crop_shape, crop_gaps, &input.paints[1]);
    let masks = Batch::<f32>::new(Shape::mask(one(input.one_mask), height, width), mask_gaps, &input.paints[2]);
    let list = input.corners.map(|corner| corner.region(height, width));
    let regions = if input.moving { Regions::PerFrame(&list[..shape.frames]) } else { Regions::Shared(list[0]) };
    let alpha = f32::from(input.alpha) / 255.0;
    let patch = Patch { crops: crops.view(), masks: masks.view(), regions, shifts: Shifts::WHOLE, alpha };
    let mut out = vec![T::new(0.25); shape.len()];
    copy_paste(frames.view(), patch, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
    let mut in_place = frames.pixels();
    paste(FramesMut::new("frames", &mut in_place, shape).unwrap(), patch, NEVER).unwrap();
    assert!(out.iter().zip(&in_place).all(|(a, b)| a.bits() == b.bits()));

    let pixels = indices(Shape { channels: 1, ..shape });
    for ((frame, y, x, _), got) in pixels.zip(out.chunks_exact(channels)) {
        let region = regions.get(frame);
        let (inner_y, inner_x) = (y as i64 - region.y1(), x as i64 - region.x1());
        let d: Vec<T> = (0..channels).map(|c| frames.at(frame, y, x, c)).collect();
        let inside = (0..height as i64).contains(&inner_y) && (0..width as i64).contains(&inner_x);
        let expected = if inside {
            let (y, x) = (inner_y as usize, inner_x as usize);
            let serving = |count: usize| if count == 1 { 0 } else { frame };
            let crop = serving(crop_shape.frames);
            let s: Vec<T> = (0..crop_channels).map(|c| crops.at(crop, y, x, c)).collect();
            let weight = unit(masks.at(serving(masks.shape.frames), y, x, 0)) * alpha;
            if weight == 0.0 { d } else { blended(&d, &s, weight) }
        } else {
            d
        };
        for (got, expected) in got.iter().zip(expected) {
            // The payload of a NaN that was calculated with is the processor's affair.
            let nan = got.to_f32().is_nan() && expected.to_f32().is_nan();
            assert!(nan || got.bits() == expected.bits(), "{got:?} instead of {expected:?} at {y}, {x}");
        }
    }
}

fuzz_target!(|input: Input| {
    use_level(input.baseline);
    match input.dtype {
        Dtype::F32 => run::<f32>(&input),
        Dtype::F16 => run::<half::f16>(&input),
        Dtype::U8 => run::<u8>(&input),
    }
});
