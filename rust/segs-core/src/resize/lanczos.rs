//! Lanczos resizing of frames.

use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::parallel::{Brake, Interrupted, for_each_long, num_threads};
use crate::pixel::Pixel;
use crate::resize::passes::{Horizontal, read_row, vertical, write_row};
use crate::resize::plan::{Axis, pillow_vertical_first};
use crate::resize::ring::Ring;
use crate::view::{Band, Frames, FramesMut, Shape};

/// Fewest rows of a job. Each job filters the rows around its first one anew: 6 of them when enlarging.
const MIN_BAND_ROWS: usize = 64;

/// Jobs for each thread, so that threads end at about the same time.
const JOBS_PER_THREAD: usize = 4;

/// Cost of a tap of the horizontal pass in taps of the vertical one, which needs no interleaving. Measured.
const HORIZONTAL_COST: usize = 2;

/// Most output rows of one vertical pass: more reuse nothing that fewer do not.
const MAX_GROUP_ROWS: usize = 16;

/// Bytes of the input rows of one vertical pass: they are to stay in the second cache, which no CPU of today has smaller.
const WINDOW_BYTES: usize = 256 << 10;

/// No limits.
const UNLIMITED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// As [`super::resize_frames`], after its checks, in floats.
pub(super) fn resize<T: Pixel>(
    frames: Frames<'_, T>,
    out: FramesMut<'_, T>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    let (from, to) = (frames.shape(), out.shape());
    let plan = Plan::new::<T>(from, to);
    let scratches: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());
    let lock = || scratches.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = (from.len() + to.len()) * size_of::<T>();
    for_each_long(out.all_bands(band_rows(to)), bytes, interrupted, |mut band, brake| {
        let waiting = lock().pop();
        let mut scratch = waiting.unwrap_or_else(|| plan.scratch());
        plan.resize_band(frames, &mut band, &mut scratch, brake);
        lock().push(scratch);
    })
}

/// Rows of a job: whole frames where they are many.
pub(super) fn band_rows(to: Shape) -> usize {
    let bands = (JOBS_PER_THREAD * num_threads()).div_ceil(to.frames);
    to.height.div_ceil(bands).max(MIN_BAND_ROWS)
}

/// Which pass comes first. An axis that keeps its size has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Copy,
    HorizontalFirst,
    VerticalFirst,
}

/// All that frames of one size have in common.
#[derive(Debug)]
struct Plan {
    from: Shape,
    to: Shape,
    horizontal: Axis,
    vertical: Axis,
    order: Order,
    /// Limits of the first pass.
    between: (f32, f32),
    /// Output rows of one vertical pass.
    group_rows: usize,
}

/// Buffers of one job.
#[derive(Debug)]
struct Scratch {
    ring: Ring<f32>,
    horizontal: Horizontal,
}

impl Plan {
    fn new<T: Pixel>(from: Shape, to: Shape) -> Self {
        let (horizontal, vertical) = (Axis::new(from.width, to.width), Axis::new(from.height, to.height));
        let order = match (horizontal.is_identity(), vertical.is_identity()) {
            (true, true) => Order::Copy,
            (false, true) => Order::VerticalFirst,
            (false, false) if Self::vertical_first::<T>(from, to, &horizontal, &vertical) => Order::VerticalFirst,
            _ => Order::HorizontalFirst,
        };
        let between = if T::INTEGER { (0.0, T::MAX) } else { UNLIMITED };
        let row_bytes = size_of::<f32>() * if order == Order::VerticalFirst { from.row_len() } else { to.row_len() };
        let most = match order {
            Order::VerticalFirst => MAX_GROUP_ROWS.min(Horizontal::rows_at_once(from.channels)),
            Order::HorizontalFirst | Order::Copy => MAX_GROUP_ROWS,
        };
        let fits = |&rows: &usize| vertical.window(rows) * row_bytes <= WINDOW_BYTES;
        let group_rows = (1..=most).rev().find(fits).unwrap_or(1);
        Self { from, to, horizontal, vertical, order, between, group_rows }
    }

    fn vertical_first<T: Pixel>(from: Shape, to: Shape, horizontal: &Axis, vertical: &Axis) -> bool {
        if T::INTEGER {
            return pillow_vertical_first(from, to);
        }
        let cost = |rows: usize, columns: usize| {
            HORIZONTAL_COST * rows * to.width * horizontal.longest() + to.height * columns * vertical.longest()
        };
        cost(to.height, from.width) < cost(from.height, to.width)
    }

    fn scratch(&self) -> Scratch {
        let channels = self.from.channels;
        let window = self.vertical.window(self.group_rows);
        let ring = match self.order {
            // Rows come into the ring several at a time, the last of them perhaps before they are needed.
            Order::HorizontalFirst => Ring::new(window + Horizontal::rows_at_once(channels), self.to.row_len()),
            Order::VerticalFirst if !self.vertical.is_identity() => Ring::new(window, self.from.row_len()),
            Order::VerticalFirst | Order::Copy => Ring::new(0, 0),
        };
        let width = if self.horizontal.is_identity() { 0 } else { self.from.width };
        Scratch { ring, horizontal: Horizontal::new(width, channels) }
    }

    fn resize_band<T: Pixel>(
        &self,
        frames: Frames<'_, T>,
        band: &mut Band<'_, T>,
        scratch: &mut Scratch,
        brake: &mut Brake<'_>,
    ) {
        match self.order {
            Order::Copy => {
                for (i, row) in band.data.chunks_exact_mut(self.to.row_len()).enumerate() {
                    row.copy_from_slice(frames.row(band.frame, band.y + i));
                }
            }
            Order::HorizontalFirst => self.horizontal_first(frames, band, scratch, brake),
            Order::VerticalFirst => self.vertical_first_band(frames, band, scratch, brake),
        }
    }

    fn horizontal_first<T: Pixel>(
        &self,
        frames: Frames<'_, T>,
        band: &mut Band<'_, T>,
        scratch: &mut Scratch,
        brake: &mut Brake<'_>,
    ) {
        let Scratch { ring, horizontal } = scratch;
        let row_len = self.to.row_len();
        let limits = (0.0, T::MAX);
        let mut next = self.vertical.taps(band.y).0;
        for (group, data) in band.data.chunks_mut(self.group_rows * row_len).enumerate() {
            let first = band.y + group * self.group_rows;
            let end = self.vertical.end(first + data.len() / row_len - 1);
            while next < end {
                if brake.stops() {
                    return;
                }
                next += self.fill(frames, band.frame, next, ring, horizontal);
            }
            vertical(ring, &self.vertical, first, limits, data);
        }
    }

    /// Brings input rows from `first` on, filtered horizontally, into the ring. Returns how many.
    fn fill<T: Pixel>(
        &self,
        frames: Frames<'_, T>,
        frame: usize,
        first: usize,
        ring: &mut Ring<f32>,
        horizontal: &mut Horizontal,
    ) -> usize {
        if self.horizontal.is_identity() {
            read_row(frames.row(frame, first), ring.row_mut(first));
            return 1;
        }
        let rows = Horizontal::rows_at_once(self.from.channels).min(self.from.height - first);
        for (row, values) in horizontal.rows_mut(rows).chunks_exact_mut(self.from.row_len()).enumerate() {
            read_row(frames.row(frame, first + row), values);
        }
        horizontal.filter(&self.horizontal, rows, self.between, |row, offset, values| {
            ring.row_mut(first + row)[offset..offset + values.len()].copy_from_slice(values);
        });
        rows
    }

    fn vertical_first_band<T: Pixel>(
        &self,
        frames: Frames<'_, T>,
        band: &mut Band<'_, T>,
        scratch: &mut Scratch,
        brake: &mut Brake<'_>,
    ) {
        let Scratch { ring, horizontal } = scratch;
        let row_len = self.to.row_len();
        let rows_at_once = Horizontal::rows_at_once(self.from.channels);
        let mut next = self.vertical.taps(band.y).0;
        for (strip, data) in band.data.chunks_mut(rows_at_once * row_len).enumerate() {
            let first = band.y + strip * rows_at_once;
            let rows = data.len() / row_len;
            let input = horizontal.rows_mut(rows);
            if self.vertical.is_identity() {
                for (row, values) in input.chunks_exact_mut(self.from.row_len()).enumerate() {
                    read_row(frames.row(band.frame, first + row), values);
                }
            } else {
                for (group, values) in input.chunks_mut(self.group_rows * self.from.row_len()).enumerate() {
                    let first = first + group * self.group_rows;
                    let end = self.vertical.end(first + values.len() / self.from.row_len() - 1);
                    if brake.stops() {
                        return;
                    }
                    while next < end {
                        read_row(frames.row(band.frame, next), ring.row_mut(next));
                        next += 1;
                    }
                    vertical(ring, &self.vertical, first, self.between, values);
                }
            }
            horizontal.filter(&self.horizontal, rows, (0.0, T::MAX), |row, offset, values| {
                write_row(values, &mut data[row * row_len + offset..][..values.len()]);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::{LEVEL_LOCK, Level, set_level};
    use crate::error::Error;
    use crate::parallel::{NEVER, set_num_threads};
    use crate::resize::resize_frames;
    use crate::resize::tests::noise;

    fn resize<T: Pixel>(frames: &[T], from: Shape, to: Shape) -> Vec<T> {
        let mut out = vec![T::default(); to.len()];
        let frames = Frames::new("frames", frames, from).unwrap();
        resize_frames(frames, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
        out
    }

    /// The filter's weights of one axis as its definition says, in `f64`: a row for each output sample.
    fn matrix(from: usize, to: usize) -> Vec<Vec<f64>> {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        let scale = from as f64 / to as f64;
        let widening = scale.max(1.0);
        let row = |index: usize| {
            if from == to {
                return (0..from).map(|i| f64::from(u8::from(i == index))).collect();
            }
            let center = (index as f64 + 0.5) * scale;
            let first = ((center - 3.0 * widening + 0.5) as i64).max(0) as usize;
            let end = ((center + 3.0 * widening + 0.5) as usize).min(from);
            let weight = |i: usize| {
                let x = (i as f64 + 0.5 - center) / widening;
                if (first..end).contains(&i) && x.abs() <= 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
            };
            let weights: Vec<f64> = (0..from).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|w| w / sum).collect()
        };
        (0..to).map(row).collect()
    }

    /// Both passes in `f64` without any limit in between: the order does not matter then.
    fn oracle(frames: &[f32], from: Shape, to: Shape) -> Vec<f64> {
        let (rows, columns) = (matrix(from.height, to.height), matrix(from.width, to.width));
        let mut out = Vec::with_capacity(to.len());
        for frame in frames.chunks_exact(from.frame_len()) {
            let mut between = vec![0.0; from.height * to.row_len()];
            for y in 0..from.height {
                for (x, weights) in columns.iter().enumerate() {
                    for c in 0..from.channels {
                        let sample = |i: usize| f64::from(frame[y * from.row_len() + i * from.channels + c]);
                        between[y * to.row_len() + x * to.channels + c] =
                            weights.iter().enumerate().map(|(i, w)| w * sample(i)).sum();
                    }
                }
            }
            for weights in &rows {
                for x in 0..to.row_len() {
                    let sum: f64 = weights.iter().enumerate().map(|(i, w)| w * between[i * to.row_len() + x]).sum();
                    out.push(sum.clamp(0.0, 1.0));
                }
            }
        }
        out
    }

    fn shapes() -> impl Strategy<Value = (Shape, Shape)> {
        // Wide enough for several blocks of columns, high enough for several groups of rows.
        (1usize..3, 1usize..5, 1usize..60, 1usize..60, 1usize..100, 1usize..100, 0usize..4).prop_map(
            |(frames, channels, height, width, to_height, to_width, same)| {
                let to_height = if same == 1 { height } else { to_height };
                let to_width = if same == 2 { width } else { to_width };
                (
                    Shape { frames, height, width, channels },
                    Shape { frames, height: to_height, width: to_width, channels },
                )
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn floats_agree_with_the_definition((from, to) in shapes(), seed in any::<u32>()) {
            let frames = noise(from.len(), seed);
            let expected = oracle(&frames, from, to);
            for (got, expected) in resize(&frames, from, to).iter().zip(&expected) {
                prop_assert!((f64::from(*got) - expected).abs() < 1e-5, "{} {}", got, expected);
            }
            let halves: Vec<f16> = frames.iter().map(|v| f16::from_f32(*v)).collect();
            let frames: Vec<f32> = halves.iter().map(|v| v.to_f32()).collect();
            let expected = oracle(&frames, from, to);
            for (got, expected) in resize(&halves, from, to).iter().zip(&expected) {
                prop_assert!((f64::from(got.to_f32()) - expected).abs() < 5e-4, "{} {}", got, expected);
            }
        }

        #[test]
        fn bytes_agree_with_the_definition_where_nothing_overshoots((from, to) in shapes(), seed in any::<u32>()) {
            // Between 80 and 175 the first pass stays within the range, so that its limits change nothing.
            let frames: Vec<u8> = noise(from.len(), seed).iter().map(|v| (80.0 + 95.0 * v) as u8).collect();
            let scaled: Vec<f32> = frames.iter().map(|v| f32::from(*v) / 255.0).collect();
            let expected = oracle(&scaled, from, to);
            for (got, expected) in resize(&frames, from, to).iter().zip(&expected) {
                // Half a step, and what rounding the weights may add.
                prop_assert!((f64::from(*got) - 255.0 * expected).abs() < 0.53, "{} {}", got, 255.0 * expected);
            }
        }

        #[test]
        fn rows_far_apart_are_read_in_place((from, to) in shapes(), seed in any::<u32>()) {
            let _compares = LEVEL_LOCK.read();
            let frames = noise(from.len(), seed);
            let row_stride = from.row_len() + 5;
            let frame_stride = row_stride * from.height + 3;
            let mut apart = vec![f32::NAN; frame_stride * from.frames];
            for (i, row) in frames.chunks_exact(from.row_len()).enumerate() {
                let start = i / from.height * frame_stride + i % from.height * row_stride;
                apart[start..start + row.len()].copy_from_slice(row);
            }
            let mut out = vec![0.0; to.len()];
            let view = Frames::with_strides("frames", &apart, from, frame_stride, row_stride).unwrap();
            resize_frames(view, FramesMut::new("out", &mut out, to).unwrap(), NEVER).unwrap();
            prop_assert_eq!(out, resize(&frames, from, to));
        }
    }

    #[test]
    fn the_number_of_threads_and_bands_changes_no_bit() {
        let _compares = LEVEL_LOCK.read();
        // Large enough to be shared: more than `PARALLEL_BYTES`, and several bands of a frame.
        for (height, width, to_height, to_width) in [(300, 200, 700, 500), (700, 500, 300, 211), (300, 500, 700, 200)] {
            let from = Shape { frames: 1, height, width, channels: 3 };
            let to = Shape { frames: 1, height: to_height, width: to_width, channels: 3 };
            let frames = noise(from.len(), 1);
            let bytes: Vec<u8> = frames.iter().map(|v| (v * 255.0) as u8).collect();
            set_num_threads(1);
            let expected = (resize(&frames, from, to), resize(&bytes, from, to));
            for threads in [2, 3, 8] {
                set_num_threads(threads);
                assert!(expected == (resize(&frames, from, to), resize(&bytes, from, to)));
            }
            // One band each.
            for (index, row) in expected.0.chunks_exact(to.row_len()).enumerate().step_by(97) {
                let plan = Plan::new::<f32>(from, to);
                let mut out = vec![0.0; to.row_len()];
                let mut band = Band { frame: 0, y: index, rows: 1, data: &mut out };
                plan.resize_band(
                    Frames::new("frames", &frames, from).unwrap(),
                    &mut band,
                    &mut plan.scratch(),
                    &mut Brake::released(),
                );
                assert_eq!(out, row);
            }
        }
        set_num_threads(0);
    }

    #[test]
    fn the_levels_of_the_cpu_agree() {
        let _changes = LEVEL_LOCK.write();
        let from = Shape { frames: 1, height: 50, width: 70, channels: 3 };
        for (height, width) in [(90, 130), (20, 30)] {
            let to = Shape { height, width, ..from };
            let frames = noise(from.len(), 2);
            set_level(Level::Baseline);
            let baseline = resize(&frames, from, to);
            set_level(Level::Avx2);
            for (a, b) in resize(&frames, from, to).iter().zip(&baseline) {
                assert!((a - b).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_size_that_stays_is_copied_bit_by_bit() {
        let shape = Shape { frames: 2, height: 5, width: 7, channels: 3 };
        // Beyond the range, and not numbers: nothing is computed, so nothing is limited.
        let mut frames: Vec<f32> = noise(shape.len(), 3).iter().map(|v| 4.0 * v - 2.0).collect();
        frames[3] = f32::NAN;
        let out = resize(&frames, shape, shape);
        assert!(out.iter().zip(&frames).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn a_sample_that_is_not_a_number_stays_one() {
        let shape = |side| Shape { frames: 1, height: side, width: side, channels: 1 };
        let mut frames = vec![0.5; 64];
        frames[27] = f32::NAN;
        assert!(resize(&frames, shape(8), shape(16)).iter().any(|v| v.is_nan()));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let from = Shape { frames: 1, height: 2, width: 2, channels: 3 };
        let refused = |from: Shape, to: Shape| {
            let (frames, mut out) = (vec![0.0; from.len()], vec![0.0; to.len()]);
            let frames = Frames::new("frames", &frames, from).unwrap();
            match resize_frames(frames, FramesMut::new("out", &mut out, to).unwrap(), NEVER) {
                Err(Error::Shape { argument, .. }) => argument,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(from, Shape { channels: 1, ..from }), "out");
        assert_eq!(refused(from, Shape { frames: 2, ..from }), "out");
        assert_eq!(refused(Shape { height: 0, ..from }, from), "frames");
        assert_eq!(resize::<f32>(&[], Shape { height: 0, ..from }, Shape { width: 0, ..from }), []);
        assert_eq!(resize::<f32>(&[], Shape { frames: 0, ..from }, Shape { frames: 0, width: 9, ..from }), []);
    }
}
