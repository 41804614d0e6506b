use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::cpu::{LEVEL_LOCK, Level, set_level};
use crate::error::{Error, Result};
use crate::parallel::{NEVER, set_num_threads};
use crate::region::Region;
use crate::view::{Frames, FramesMut, Shape};

const BT709: (f64, f64) = (0.2126, 0.0722);

fn video(across: Siting, down: Siting) -> PlaneFormat {
    PlaneFormat { bits: 10, shift: 6, full_range: false, matrix: Some(BT709), across, down }
}

/// Planes one after the other in one memory.
struct Memory {
    data: Vec<u16>,
    layouts: Vec<Layout>,
}

impl Memory {
    fn new(format: &PlaneFormat, (height, width): (usize, usize), seed: usize) -> Self {
        let chroma = (height.div_ceil(format.down.step), width.div_ceil(format.across.step));
        let mut layouts = Vec::new();
        let mut end = 0;
        for (height, width) in [(height, width), chroma, chroma] {
            layouts.push(Layout { first: end, ..Layout::packed(height, width) });
            end += height * width;
        }
        let top = (1 << format.bits) - 1;
        let data = (0..end).map(|i| (((i * 7919 + seed * 31) % 2003) as u16 & top) << format.shift).collect();
        Self { data, layouts }
    }

    fn at(&self, plane: usize, y: usize, x: usize, format: &PlaneFormat) -> f64 {
        let Layout { first, width, .. } = self.layouts[plane];
        f64::from(self.data[first + y * width + x] >> format.shift)
    }

    fn to_rgb(&self, format: &PlaneFormat, window: Region) -> Result<Vec<f32>> {
        let planes: Vec<_> = self.layouts.iter().map(|&layout| Plane::new(&self.data, layout).unwrap()).collect();
        let shape = Shape { frames: 1, height: window.height(), width: window.width(), channels: 3 };
        let mut out = vec![f32::NAN; shape.len()];
        planes_to_rgb(&planes, format, window, false, FramesMut::new("out", &mut out, shape).unwrap(), NEVER)?;
        Ok(out)
    }

    fn blend(&mut self, format: &PlaneFormat, overlay: &[f32], window: Region) -> Result<()> {
        let cells = Cell::from_mut(self.data.as_mut_slice()).as_slice_of_cells();
        let planes: Vec<_> = self.layouts.iter().map(|&layout| PlaneMut::new(cells, layout).unwrap()).collect();
        let shape = Shape { frames: 1, height: window.height(), width: window.width(), channels: 4 };
        blend_planes(&planes, format, Frames::new("overlay", overlay, shape).unwrap(), window, NEVER)
    }
}

/// Chroma of plane `plane` at a pixel, from 0 for no color to 1 for all of its range.
fn chroma(memory: &Memory, format: &PlaneFormat, plane: usize, y: usize, x: usize) -> f64 {
    let between = |siting: Siting, at: usize, count: usize| {
        let first = if siting.step == 1 { 0.0 } else { siting.first };
        let place = ((at as f64 - first) / siting.step as f64).clamp(0.0, (count - 1) as f64);
        (place.floor() as usize, (place.floor() as usize + 1).min(count - 1), place - place.floor())
    };
    let Layout { height, width, .. } = memory.layouts[plane];
    let ((top, bottom, down), (left, right, along)) =
        (between(format.down, y, height), between(format.across, x, width));
    let row = |y| (1.0 - along) * memory.at(plane, y, left, format) + along * memory.at(plane, y, right, format);
    ((1.0 - down) * row(top) + down * row(bottom) - 512.0) / 896.0
}

/// How much of the area of a sample of chroma a pixel covers; those beyond the edge are the one at it.
fn share(siting: Siting, sample: usize, pixel: usize, size: usize) -> f64 {
    let (step, first) = (siting.step as f64, if siting.step == 1 { 0.0 } else { siting.first });
    let middle = sample as f64 * step + first;
    let covered =
        |pixel: f64| ((middle + step / 2.0).min(pixel + 0.5) - (middle - step / 2.0).max(pixel - 0.5)).max(0.0);
    let reach = 4 * siting.step as isize;
    (-reach..size as isize + reach)
        .filter(|&at| at.clamp(0, size as isize - 1) == pixel as isize)
        .map(|at| covered(at as f64) / step)
        .sum()
}

fn sitings() -> impl Strategy<Value = Siting> {
    (prop::sample::select(vec![1, 2, 4]), prop::sample::select(vec![-1.0, 0.0, 0.25, 0.5, 1.0]))
        .prop_map(|(step, first)| Siting { step, first })
}

proptest! {
    #[test]
    fn rgb_agrees_with_the_definition(
        across in sitings(), down in sitings(), height in 1usize..14, width in 1usize..20, x in -9i64..20, y in -9i64..14,
        seed in 0usize..1000,
    ) {
        let (format, (kr, kb)) = (video(across, down), BT709);
        let memory = Memory::new(&format, (height, width), seed);
        let window = Region::at(x, y, 11, 7).unwrap();
        let out = memory.to_rgb(&format, window).unwrap();
        for (i, pixel) in out.as_chunks::<3>().0.iter().enumerate() {
            let y = (y + i as i64 / 11).clamp(0, height as i64 - 1) as usize;
            let x = (x + i as i64 % 11).clamp(0, width as i64 - 1) as usize;
            let luma = (memory.at(0, y, x, &format) - 64.0) / 876.0;
            let (cb, cr) = (chroma(&memory, &format, 1, y, x), chroma(&memory, &format, 2, y, x));
            let (red, blue) = (luma + 2.0 * (1.0 - kr) * cr, luma + 2.0 * (1.0 - kb) * cb);
            let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
            for (&got, expected) in pixel.iter().zip([red, green, blue]) {
                prop_assert!((f64::from(got) - expected).abs() < 1e-6, "{} {}", got, expected);
            }
        }
    }

    #[test]
    fn blending_agrees_with_the_definition(
        across in sitings(), down in sitings(), height in 1usize..14, width in 1usize..20, x in -9i64..20, y in -9i64..14,
        seed in 0usize..1000,
    ) {
        let (format, (kr, kb)) = (video(across, down), BT709);
        let mut memory = Memory::new(&format, (height, width), seed);
        let before = Memory { data: memory.data.clone(), layouts: memory.layouts.clone() };
        let window = Region::at(x, y, 11, 7).unwrap();
        let overlay: Vec<f32> = (0..11 * 7).flat_map(|i| {
            let alpha = ((((i * 13 + seed) % 17) as f32 - 6.0) / 6.0).clamp(0.0, 1.0);
            let color = |k: usize| alpha * ((i * 5 + k * 3 + seed) % 11) as f32 / 10.0;
            [color(0), color(1), color(2), alpha]
        }).collect();
        memory.blend(&format, &overlay, window).unwrap();
        // What a plane gets at a pixel: its part of the color, in codes, and the alpha.
        let layer = |plane: usize, y: usize, x: usize| {
            let (row, column) = (y as i64 - window.y1(), x as i64 - window.x1());
            if !(0..7).contains(&row) || !(0..11).contains(&column) {
                return (0.0, 0.0);
            }
            let [red, green, blue, alpha] =
                overlay.as_chunks::<4>().0[(row * 11 + column) as usize].map(f64::from);
            let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
            let value = match plane {
                0 => luma * 876.0 + 64.0 * alpha,
                1 => (blue - luma) / (2.0 * (1.0 - kb)) * 896.0 + 512.0 * alpha,
                _ => (red - luma) / (2.0 * (1.0 - kr)) * 896.0 + 512.0 * alpha,
            };
            (value, alpha)
        };
        for plane in 0..3 {
            let Layout { height: rows, width: columns, first, .. } = memory.layouts[plane];
            let full = |siting| if plane == 0 { Siting::FULL } else { siting };
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                let (mut value, mut alpha) = (0.0, 0.0);
                for (py, px) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let weight = share(full(down), y, py, height) * share(full(across), x, px, width);
                    if weight > 0.0 {
                        let (part, a) = layer(plane, py, px);
                        value += weight * part;
                        alpha += weight * a;
                    }
                }
                let place = first + y * columns + x;
                if alpha == 0.0 {
                    prop_assert_eq!(memory.data[place], before.data[place]);
                }
                let exact = ((1.0 - alpha) * before.at(plane, y, x, &format) + value).clamp(0.0, 1023.0);
                let got = memory.at(plane, y, x, &format);
                prop_assert!((got - exact).abs() < 0.501, "plane {} at {} {}: {} {}", plane, y, x, got, exact);
            }
        }
    }
}

#[test]
fn means_of_chroma_are_those_of_its_place() {
    let taps = |step, first| Siting { step, first }.taps();
    assert_eq!((taps(1, 0.5).first, taps(1, 0.5).weights), (0, vec![1.0]));
    assert_eq!((taps(2, 0.0).first, taps(2, 0.0).weights), (-1, vec![0.25, 0.5, 0.25]));
    assert_eq!((taps(2, 0.5).first, taps(2, 0.5).weights), (0, vec![0.5, 0.5]));
    assert_eq!((taps(4, 0.0).first, taps(4, 0.0).weights), (-2, vec![0.125, 0.25, 0.25, 0.25, 0.125]));
    assert_eq!((taps(4, 1.5).first, taps(4, 1.5).weights), (0, vec![0.25; 4]));
}

#[test]
fn neither_threads_nor_levels_change_a_bit() {
    let _changes = LEVEL_LOCK.write();
    let format = video(Siting { step: 2, first: 0.0 }, Siting { step: 2, first: 0.5 });
    let window = Region::at(-3, 20, 500, 333).unwrap();
    let overlay: Vec<f32> = (0..500 * 333 * 4).map(|i| (i * 31 % 101) as f32 / 100.0).collect();
    let mut results = Vec::new();
    for (level, threads) in [(Level::Baseline, 1), (Level::Avx2, 1), (Level::Avx2, 3), (Level::Baseline, 2)] {
        set_level(level);
        set_num_threads(threads);
        let mut memory = Memory::new(&format, (400, 480), 5);
        let rgb: Vec<u32> = memory.to_rgb(&format, window).unwrap().iter().map(|value| value.to_bits()).collect();
        memory.blend(&format, &overlay, window).unwrap();
        results.push((rgb, memory.data));
    }
    set_level(Level::Avx2);
    set_num_threads(0);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let two = Siting { step: 2, first: 0.0 };
    let good = video(two, two);
    let window = Region::at(0, 0, 2, 2).unwrap();
    let refused = |format: PlaneFormat, change: fn(&mut Memory), name: &str| {
        let mut memory = Memory::new(&good, (6, 8), 1);
        change(&mut memory);
        for result in [memory.to_rgb(&format, window).map(drop), memory.blend(&format, &[0.0; 16], window)] {
            let Err(Error::Shape { argument, .. } | Error::Value { argument, .. }) = result else {
                panic!("{format:?} was taken");
            };
            assert_eq!(argument, name);
        }
    };
    refused(PlaneFormat { bits: 7, ..good }, |_| (), "format.bits");
    refused(PlaneFormat { bits: u32::MAX, ..good }, |_| (), "format.bits");
    refused(PlaneFormat { shift: u32::MAX, ..good }, |_| (), "planes");
    refused(PlaneFormat { matrix: Some((f64::NAN, 0.1)), ..good }, |_| (), "format.matrix");
    refused(PlaneFormat { matrix: None, ..good }, |_| (), "format.step_x");
    refused(video(Siting { step: 3, first: 0.0 }, two), |_| (), "format.step_x");
    refused(video(two, Siting { step: 2, first: f64::INFINITY }), |_| (), "format.chroma_y");
    refused(good, |memory| memory.layouts.truncate(2), "planes");
    refused(good, |memory| memory.layouts[2].width = 3, "planes");
    let same = Memory { data: vec![0; 48], layouts: vec![Layout::packed(6, 8); 3] };
    let mut same = same;
    assert!(same.blend(&video(Siting::FULL, Siting::FULL), &[0.0; 16], window).is_err());
    for layout in [
        Layout { first: 1, ..Layout::packed(6, 8) },
        Layout { row: isize::MAX, ..Layout::packed(6, 8) },
        Layout { step: -1, ..Layout::packed(6, 8) },
        Layout::packed(0, 8),
        Layout { height: usize::MAX, ..Layout::packed(6, 8) },
    ] {
        assert!(Plane::new(&[0u8; 48], layout).is_err());
    }
}
