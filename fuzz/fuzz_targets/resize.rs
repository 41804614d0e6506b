//! Lanczos and bilinear resizing, against their definitions in `f64`.

#![no_main]

use std::f64::consts::PI;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::parallel::NEVER;
use segs_core::resize::{resize_frames, resize_masks};
use segs_core::view::{FramesMut, Shape};
use segs_fuzz::{Batch, Channels, Count, Dtype, Gaps, Paint, Sample, Side, indices, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    dtype: Dtype,
    count: Count,
    from: (Side, Side),
    to: (Side, Side),
    channels: Channels,
    gaps: Gaps,
    paint: Paint,
    baseline: bool,
}

/// Samples and weights that each output sample is made of.
type Taps = Vec<Vec<(usize, f64)>>;

fn lanczos(from: usize, to: usize) -> Taps {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    let filter = |x: f64| if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let taps = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - 3.0 * wide + 0.5).max(0.0) as usize;
        let end = ((center + 3.0 * wide + 0.5) as usize).min(from);
        let weights = (first..end).map(|j| (j, filter((j as f64 - center + 0.5) / wide)));
        let sum: f64 = weights.clone().map(|(_, weight)| weight).sum();
        weights.map(|(j, weight)| (j, weight / sum)).collect()
    };
    (0..to).map(taps).collect()
}

fn bilinear(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    let taps = |i: usize| {
        let place = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
        let first = (place as usize).min(from - 1);
        let share = (place - first as f64).min(1.0);
        vec![(first, 1.0 - share), ((first + 1).min(from - 1), share)]
    };
    (0..to).map(taps).collect()
}

/// Compares a result with the two-dimensional sum; `full` is the largest sample.
fn compare<T: Sample>(from: &Batch<T>, out: &[T], to: Shape, taps: fn(usize, usize) -> Taps, tolerance: f64) {
    let (rows, columns) = (taps(from.shape.height, to.height), taps(from.shape.width, to.width));
    for ((frame, y, x, channel), got) in indices(to).zip(out) {
        let mut expected = 0.0;
        for &(j, row) in &rows[y] {
            for &(i, column) in &columns[x] {
                expected += row * column * f64::from(from.at(frame, j, i, channel).to_f32());
            }
        }
        let expected = expected.clamp(0.0, f64::from(T::MAX));
        let got = f64::from(got.to_f32());
        assert!((got - expected).abs() <= tolerance, "{got} instead of {expected} at {y}, {x}");
    }
}

fn shapes(input: &Input, channels: usize) -> (Shape, Shape) {
    let from = Shape { frames: input.count.0, height: input.from.0.0, width: input.from.1.0, channels };
    (from, Shape { height: input.to.0.0, width: input.to.1.0, ..from })
}

fn frames<T: Sample>(input: &Input, tolerance: f64) {
    let (shape, to) = shapes(input, input.channels.0);
    let from = Batch::<T>::new(shape, input.gaps, &input.paint);
    let mut out = vec![T::default(); to.len()];
    let result = resize_frames(from.view(), FramesMut::new("out", &mut out, to).unwrap(), NEVER);
    assert_eq!(result.is_err(), shape.is_empty() && !to.is_empty());
    if result.is_ok() && !to.is_empty() && !input.paint.wild {
        compare(&from, &out, to, lanczos, tolerance);
    }
}

fuzz_target!(|input: Input| {
    use_level(input.baseline);
    match input.dtype {
        Dtype::F32 => frames::<f32>(&input, 1e-5),
        // Half a step of the samples next to 1.
        Dtype::F16 => frames::<half::f16>(&input, 2.6e-4),
        // Bytes are clipped between the passes, as Pillow does: tests beside Pillow hold their values.
        Dtype::U8 => frames::<u8>(&input, f64::from(u8::MAX)),
    }
    let (shape, to) = shapes(&input, 1);
    let from = Batch::<f32>::new(shape, input.gaps, &input.paint);
    let mut out = vec![0.0; to.len()];
    let result = resize_masks(from.view(), FramesMut::new("out", &mut out, to).unwrap(), NEVER);
    assert_eq!(result.is_err(), shape.is_empty() && !to.is_empty());
    if result.is_ok() && !to.is_empty() && !input.paint.wild {
        compare(&from, &out, to, bilinear, 1e-5);
    }
});
