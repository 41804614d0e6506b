//! Crops of every sample type, against the definition per pixel.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::gather::{Fill, crop_frames};
use segs_core::parallel::NEVER;
use segs_core::region::Regions;
use segs_core::shift::Shifts;
use segs_core::view::{FramesMut, Shape};
use segs_fuzz::{Batch, Channels, Corner, Count, Dtype, Gaps, Paint, Sample, Side, indices};

#[derive(Debug, Arbitrary)]
struct Input {
    dtype: Dtype,
    count: Count,
    frame: (Side, Side),
    crop: (Side, Side),
    channels: Channels,
    gaps: Gaps,
    paint: Paint,
    corners: [Corner; 3],
    moving: bool,
    fill: Option<u8>,
}

fn run<T: Sample>(input: &Input) {
    let shape =
        Shape { frames: input.count.0, height: input.frame.0.0, width: input.frame.1.0, channels: input.channels.0 };
    let frames = Batch::<T>::new(shape, input.gaps, &input.paint);
    let to = Shape { height: input.crop.0.0, width: input.crop.1.0, ..shape };
    let list = input.corners.map(|corner| corner.region(to.height, to.width));
    let regions = if input.moving { Regions::PerFrame(&list[..shape.frames]) } else { Regions::Shared(list[0]) };
    let fill = input.fill.map(|byte| T::new(f32::from(byte) / 255.0));
    let mut out = vec![T::new(0.25); to.len()];
    let view = FramesMut::new("out", &mut out, to).unwrap();
    let fill_with = fill.map_or(Fill::Edge, Fill::Constant);
    let result = crop_frames(frames.view(), regions, Shifts::WHOLE, fill_with, view, NEVER);
    if shape.is_empty() && !to.is_empty() && fill.is_none() {
        assert!(result.is_err());
        return;
    }
    result.unwrap();
    for ((frame, y, x, channel), got) in indices(to).zip(&out) {
        let region = regions.get(frame);
        let (y, x) = (region.y1() + y as i64, region.x1() + x as i64);
        let inside = (0..shape.height as i64).contains(&y) && (0..shape.width as i64).contains(&x);
        let expected = match fill {
            Some(value) if !inside => value,
            _ => {
                let (y, x) = (y.clamp(0, shape.height as i64 - 1), x.clamp(0, shape.width as i64 - 1));
                frames.at(frame, y as usize, x as usize, channel)
            }
        };
        assert_eq!(got.bits(), expected.bits());
    }
}

fuzz_target!(|input: Input| match input.dtype {
    Dtype::F32 => run::<f32>(&input),
    Dtype::F16 => run::<half::f16>(&input),
    Dtype::U8 => run::<u8>(&input),
});
