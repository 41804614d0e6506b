//! Feathering, against the two-dimensional sum in `f64`.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::feather::feather_mask;
use segs_core::parallel::NEVER;
use segs_core::view::{FramesMut, Shape};
use segs_fuzz::{Batch, Count, Gaps, Paint, Side, indices, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    count: Count,
    size: (Side, Side),
    feather: u8,
    huge: bool,
    gaps: Gaps,
    paint: Paint,
    baseline: bool,
}

fn reflected(index: isize, len: usize) -> usize {
    let last = len as isize - 1;
    let index = index.abs();
    (if index > last { 2 * last - index } else { index }) as usize
}

fuzz_target!(|input: Input| {
    use_level(input.baseline);
    let shape = Shape::mask(input.count.0, input.size.0.0, input.size.1.0);
    let masks = Batch::<f32>::new(shape, input.gaps, &input.paint);
    let feather = if input.huge { usize::MAX - usize::from(input.feather) } else { input.feather.into() };
    let mut out = vec![-1.0; shape.len()];
    feather_mask(masks.view(), feather, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
    if shape.is_empty() {
        return;
    }
    let shortest = shape.height.min(shape.width);
    let mut taps = feather.saturating_mul(2).saturating_add(1);
    if shortest <= taps {
        taps = shortest / 2 + usize::from((shortest / 2).is_multiple_of(2));
    }
    let radius = (taps / 2) as isize;
    if radius == 0 {
        assert!(out.iter().zip(masks.pixels()).all(|(a, b)| a.to_bits() == b.to_bits()));
        return;
    }
    if input.paint.wild {
        return;
    }
    let kernel: Vec<f64> = (-radius..=radius).map(|k| (-((k * k) as f64) / 200.0).exp()).collect();
    let sum: f64 = kernel.iter().sum();
    let mut rows = vec![0.0; shape.len()];
    for ((frame, y, x, _), row) in indices(shape).zip(&mut rows) {
        for (k, weight) in kernel.iter().enumerate() {
            let from = reflected(x as isize + k as isize - radius, shape.width);
            *row += weight / sum * f64::from(masks.at(frame, y, from, 0));
        }
    }
    for ((frame, y, x, _), got) in indices(shape).zip(&out) {
        let mut expected = 0.0;
        for (k, weight) in kernel.iter().enumerate() {
            let from = reflected(y as isize + k as isize - radius, shape.height);
            expected += weight / sum * rows[(frame * shape.height + from) * shape.width + x];
        }
        assert!((f64::from(*got) - expected).abs() < 2e-6, "{got} instead of {expected} at {y}, {x}");
    }
});
