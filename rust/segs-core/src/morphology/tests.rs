//! The kernels against plain oracles, pixel by pixel.
// The results are exact, and so are the comparisons.
#![allow(clippy::float_cmp)]

use super::*;
use crate::parallel::NEVER;
use proptest::prelude::*;
use std::collections::VecDeque;

fn masks() -> impl Strategy<Value = (Shape, Vec<f32>)> {
    masks_of(0..24, 0..40)
}

fn masks_of(
    heights: std::ops::Range<usize>,
    widths: std::ops::Range<usize>,
) -> impl Strategy<Value = (Shape, Vec<f32>)> {
    (0usize..3, heights, widths).prop_flat_map(|(count, height, width)| {
        let shape = Shape::mask(count, height, width);
        (Just(shape), prop::collection::vec(-1.0f32..1.0, shape.len()))
    })
}

/// Flags with long runs as well as lone pixels.
fn flags() -> impl Strategy<Value = (Shape, Vec<u8>)> {
    let pixels = prop::collection::vec((prop_oneof![Just(0u8), Just(1), Just(255)], 1usize..110), 0..400);
    (0usize..20, prop_oneof![0usize..50, 50usize..260], pixels).prop_map(|(height, width, runs)| {
        let pixels =
            runs.into_iter().flat_map(|(value, len)| std::iter::repeat_n(value, if len > 20 { len } else { 1 }));
        let shape = Shape::mask(1, height, width);
        (shape, pixels.chain(std::iter::repeat(0)).take(shape.len()).collect())
    })
}

/// Numbers the regions of pixels that satisfy `belongs`, in raster order from 1.
fn flood(shape: Shape, belongs: impl Fn(usize) -> bool, steps: &[(i64, i64)]) -> Vec<i32> {
    let mut labels = vec![0; shape.len()];
    let mut count = 0;
    for start in 0..shape.len() {
        if labels[start] != 0 || !belongs(start) {
            continue;
        }
        count += 1;
        labels[start] = count;
        let mut queue = VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            for (dx, dy) in steps {
                let (x, y) = ((at % shape.width) as i64 + dx, (at / shape.width) as i64 + dy);
                if x < 0 || y < 0 || x >= shape.width as i64 || y >= shape.height as i64 {
                    continue;
                }
                let next = y as usize * shape.width + x as usize;
                if labels[next] == 0 && belongs(next) {
                    labels[next] = count;
                    queue.push_back(next);
                }
            }
        }
    }
    labels
}

const SIDES: [(i64, i64); 4] = [(1, 0), (-1, 0), (0, 1), (0, -1)];
const SIDES_AND_CORNERS: [(i64, i64); 8] = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)];

fn check_windows(shape: Shape, values: &[f32], size: usize) -> Result<(), TestCaseError> {
    let view = Frames::new("masks", values, shape).unwrap();
    let mut largest = vec![9.0; values.len()];
    dilate(view, size, FramesMut::new("out", &mut largest, shape).unwrap(), NEVER).unwrap();
    let mut smallest = vec![9.0; values.len()];
    erode(view, size, FramesMut::new("out", &mut smallest, shape).unwrap(), NEVER).unwrap();
    for index in 0..values.len() {
        let (frame, y, x) = (index / shape.frame_len(), index / shape.width % shape.height, index % shape.width);
        // Saturating: a window may be larger than any mask.
        let span = |at: usize, len: usize| {
            let start = at.saturating_sub(size / 2);
            let end = at.saturating_add(size.max(1) - size / 2).min(len);
            start..end
        };
        let window = || span(y, shape.height).flat_map(|y| &view.row(frame, y)[span(x, shape.width)]).copied();
        prop_assert_eq!(largest[index], window().fold(f32::NEG_INFINITY, f32::max));
        prop_assert_eq!(smallest[index], window().fold(f32::INFINITY, f32::min));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_window_holds_its_extremes((shape, values) in masks(), size in prop_oneof![0usize..20, Just(usize::MAX)]) {
        check_windows(shape, &values, size)?;
    }

    #[test]
    fn a_large_window_holds_its_extremes(
        (shape, values) in prop_oneof![masks_of(60..200, 0..12), masks_of(0..12, 60..200)], size in 20usize..200,
    ) {
        check_windows(shape, &values, size)?;
    }

    #[test]
    fn labels_are_those_of_a_flood((shape, pixels) in flags()) {
        let mut labels = vec![-1; pixels.len()];
        let view = Frames::new("mask", &pixels, shape).unwrap();
        let found = components(view, FramesMut::new("labels", &mut labels, shape).unwrap(), NEVER).unwrap();
        let expected = flood(shape, |index| pixels[index] != 0, &SIDES_AND_CORNERS);
        prop_assert_eq!(&labels, &expected);
        prop_assert_eq!(found.len() as i32, expected.iter().copied().max().unwrap_or(0));
        for (index, component) in found.iter().enumerate() {
            let inside: Vec<_> = (0..labels.len()).filter(|&at| labels[at] == index as i32 + 1)
                .map(|at| (at % shape.width, at / shape.width)).collect();
            prop_assert_eq!(component.area, inside.len());
            prop_assert_eq!(component.x1, inside.iter().map(|p| p.0).min().unwrap());
            prop_assert_eq!(component.x2, inside.iter().map(|p| p.0).max().unwrap() + 1);
            prop_assert_eq!(component.y1, inside.iter().map(|p| p.1).min().unwrap());
            prop_assert_eq!(component.y2, inside.iter().map(|p| p.1).max().unwrap() + 1);
        }
    }

    #[test]
    fn holes_are_what_a_flood_from_the_edge_leaves((shape, pixels) in flags()) {
        let mut out = vec![7; pixels.len()];
        let view = Frames::new("mask", &pixels, shape).unwrap();
        fill_holes(view, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
        let regions = flood(shape, |index| pixels[index] == 0, &SIDES);
        let open: std::collections::HashSet<i32> = (0..regions.len()).filter(|at| {
            let (x, y) = (at % shape.width, at / shape.width);
            x == 0 || y == 0 || x + 1 == shape.width || y + 1 == shape.height
        }).map(|at| regions[at]).collect();
        for (at, &value) in out.iter().enumerate() {
            prop_assert_eq!(value, u8::from(pixels[at] != 0 || !open.contains(&regions[at])));
        }
    }

    #[test]
    fn a_threshold_compares_each_value((shape, values) in masks_of(0..12, 0..120), level in -1.0f32..1.0) {
        let mut out = vec![7; values.len()];
        let view = Frames::new("masks", &values, shape).unwrap();
        threshold(view, level, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
        prop_assert!(out.iter().zip(&values).all(|(&o, &v)| o == u8::from(v > level)));
    }
}

#[test]
fn nan_is_not_above_a_threshold() {
    let mut out = [7; 3];
    let shape = Shape::mask(1, 1, 3);
    let view = Frames::new("masks", &[f32::NAN, f32::INFINITY, 0.5], shape).unwrap();
    threshold(view, 0.5, FramesMut::new("out", &mut out, shape).unwrap(), NEVER).unwrap();
    assert_eq!(out, [0, 1, 0]);
}

#[test]
fn other_sizes_and_stacks_are_refused() {
    let (shape, other) = (Shape::mask(1, 2, 3), Shape::mask(1, 3, 2));
    let view = Frames::new("masks", &[0.0; 6], shape).unwrap();
    let mut out = [0.0; 6];
    assert!(dilate(view, 3, FramesMut::new("out", &mut out, other).unwrap(), NEVER).is_err());
    let two = Shape::mask(2, 1, 3);
    let mut labels = [0; 6];
    let view = Frames::new("mask", &[0u8; 6], two).unwrap();
    assert!(components(view, FramesMut::new("labels", &mut labels, two).unwrap(), NEVER).is_err());
    let colored = Shape { channels: 2, ..shape };
    let view = Frames::new("masks", &[0.0; 12], colored).unwrap();
    let mut out = [0.0; 12];
    assert!(dilate(view, 3, FramesMut::new("out", &mut out, colored).unwrap(), NEVER).is_err());
}

#[test]
fn masks_without_pixels_have_no_components() {
    let shape = Shape::mask(1, 5, 0);
    let view = Frames::with_strides("mask", &[0u8; 0], shape, 0, 3).unwrap();
    assert!(components(view, FramesMut::new("labels", &mut [], shape).unwrap(), NEVER).unwrap().is_empty());
    fill_holes(view, FramesMut::new("out", &mut [], shape).unwrap(), NEVER).unwrap();
}
