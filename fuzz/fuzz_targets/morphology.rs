//! Windows, thresholds, holes and components, against a search of every window and a flood fill.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::morphology::{Component, components, dilate, erode, fill_holes, threshold};
use segs_core::parallel::{Interrupted, NEVER};
use segs_core::view::{Frames, FramesMut, Shape};
use segs_fuzz::{Batch, Count, Gaps, Paint, Side, indices, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    count: Count,
    size: (Side, Side),
    window: u8,
    huge: bool,
    level: f32,
    cut: u8,
    gaps: Gaps,
    paint: Paint,
    baseline: bool,
}

type Window = fn(Frames<'_, f32>, usize, FramesMut<'_, f32>, Interrupted<'_>) -> segs_core::Result<()>;

fn windows(masks: &Batch<f32>, size: usize, kernel: Window, pick: fn(f32, f32) -> f32) {
    let shape = masks.shape;
    let mut out = vec![-1.0; shape.len()];
    kernel(masks.view(), size, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
    if masks.data.iter().any(|v| v.is_nan()) {
        return;
    }
    let side = size.max(1);
    let reach = |at: usize, len: usize| {
        let start = at.saturating_sub(side / 2);
        start..(at + 1).saturating_add(side - side / 2 - 1).min(len)
    };
    for ((frame, y, x, _), got) in indices(shape).zip(&out) {
        let rows = reach(y, shape.height);
        let values = rows.flat_map(|j| reach(x, shape.width).map(move |i| masks.at(frame, j, i, 0)));
        assert_eq!(*got, values.reduce(pick).unwrap(), "at {y}, {x}");
    }
}

/// Marks what can be reached from `start` over pixels where `open` says so.
fn flood(
    start: (usize, usize),
    shape: Shape,
    eight: bool,
    open: impl Fn(usize, usize) -> bool,
    seen: &mut [bool],
) -> Vec<(usize, usize)> {
    let mut reached = Vec::new();
    let mut waiting = vec![start];
    while let Some((y, x)) = waiting.pop() {
        if !open(y, x) || std::mem::replace(&mut seen[y * shape.width + x], true) {
            continue;
        }
        reached.push((y, x));
        for (dy, dx) in [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)] {
            if !eight && dy != 0 && dx != 0 {
                continue;
            }
            let (y, x) = (y.wrapping_add_signed(dy), x.wrapping_add_signed(dx));
            if y < shape.height && x < shape.width {
                waiting.push((y, x));
            }
        }
    }
    reached
}

fn regions(mask: &Batch<u8>) {
    let shape = mask.shape;
    let set = |y: usize, x: usize| mask.at(0, y, x, 0) != 0;
    let mut labels = vec![-1; shape.len()];
    let found = components(mask.view(), FramesMut::new("labels", &mut labels, shape).unwrap(), NEVER).unwrap();
    let (mut expected, mut boxes) = (vec![0; shape.len()], Vec::new());
    let mut seen = vec![false; shape.len()];
    for (_, y, x, _) in indices(shape) {
        let pixels = flood((y, x), shape, true, set, &mut seen);
        if pixels.is_empty() {
            continue;
        }
        let mut component = Component { x1: x, y1: y, x2: x + 1, y2: y + 1, area: pixels.len() };
        for (y, x) in pixels {
            expected[y * shape.width + x] = boxes.len() as i32 + 1;
            component.x1 = component.x1.min(x);
            component.y1 = component.y1.min(y);
            component.x2 = component.x2.max(x + 1);
            component.y2 = component.y2.max(y + 1);
        }
        boxes.push(component);
    }
    assert_eq!(labels, expected);
    assert_eq!(found, boxes);

    let mut filled = vec![9; shape.len()];
    fill_holes(mask.view(), FramesMut::new("out", &mut filled, shape).unwrap(), NEVER).unwrap();
    let mut outside = vec![false; shape.len()];
    for (_, y, x, _) in indices(shape) {
        if y == 0 || x == 0 || y + 1 == shape.height || x + 1 == shape.width {
            flood((y, x), shape, false, |y, x| !set(y, x), &mut outside);
        }
    }
    assert!(filled.iter().zip(&outside).all(|(&filled, &outside)| filled == u8::from(!outside)));
}

fuzz_target!(|input: Input| {
    use_level(input.baseline);
    let shape = Shape::mask(input.count.0, input.size.0.0, input.size.1.0);
    let masks = Batch::<f32>::new(shape, input.gaps, &input.paint);
    let window = if input.huge { usize::MAX - usize::from(input.window) } else { input.window.into() };
    windows(&masks, window, dilate, f32::max);
    windows(&masks, window, erode, f32::min);
    let mut flags = vec![9; shape.len()];
    threshold(masks.view(), input.level, FramesMut::new("out", &mut flags, shape).unwrap(), NEVER).unwrap();
    assert!(flags.iter().zip(masks.pixels()).all(|(&flag, value)| flag == u8::from(value > input.level)));

    let mut binary = Batch::<u8>::new(Shape { frames: 1, ..shape }, input.gaps, &input.paint);
    for sample in &mut binary.data {
        *sample = if *sample > input.cut { *sample } else { 0 };
    }
    regions(&binary);
});
