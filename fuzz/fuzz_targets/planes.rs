//! Planes anywhere in memory: RGB of a region, and an overlay blended in, against the definitions per pixel.

#![no_main]

use std::cell::Cell;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use segs_core::parallel::NEVER;
use segs_core::planes::{Layout, Plane, PlaneFormat, PlaneMut, Sample, Siting, blend_planes, planes_to_rgb};
use segs_core::region::Region;
use segs_core::view::{Frames, FramesMut, Shape};
use segs_fuzz::{Corner, Paint, Side, use_level};

#[derive(Debug, Arbitrary)]
struct Input {
    level: bool,
    wide: bool,
    bits: u8,
    shift: u8,
    full_range: bool,
    matrix: Option<(u8, u8)>,
    steps: (u8, u8),
    firsts: (i8, i8),
    size: (Side, Side),
    window: (Side, Side),
    corner: Corner,
    layouts: Option<[(u8, u8, i8, i8); 3]>,
    paint: Paint,
}

fn siting(step: u8, first: i8) -> Siting {
    Siting { step: usize::from(step % 6), first: f64::from(first) / 16.0 }
}

/// Whether the format is one that must be taken.
fn is_good(format: &PlaneFormat, bits: u32) -> bool {
    let sited = |siting: Siting| {
        [1, 2, 4].contains(&siting.step) && (siting.step == 1 || siting.first.abs() <= siting.step as f64)
    };
    let matrix = format.matrix.is_none_or(|(red, blue)| red + blue < 1.0);
    let steps = format.matrix.is_some() || (format.across.step, format.down.step) == (1, 1);
    let fits = (8..=16).contains(&format.bits) && format.shift <= 8 && format.bits + format.shift <= bits;
    fits && matrix && steps && sited(format.across) && sited(format.down)
}

fn run<T: Sample + PartialEq + Into<u32> + TryFrom<u32>>(input: &Input) {
    use_level(input.level);
    let format = PlaneFormat {
        bits: u32::from(input.bits % 18),
        shift: u32::from(input.shift % 10),
        full_range: input.full_range,
        matrix: input.matrix.map(|(red, blue)| (f64::from(red) / 200.0, f64::from(blue) / 200.0)),
        across: siting(input.steps.0, input.firsts.0),
        down: siting(input.steps.1, input.firsts.1),
    };
    let (height, width) = (input.size.0.0, input.size.1.0);
    let chroma = (height.div_ceil(format.down.step.max(1)), width.div_ceil(format.across.step.max(1)));
    let mut layouts = Vec::new();
    let mut end = 0;
    for (index, (height, width)) in [(height, width), chroma, chroma].into_iter().enumerate() {
        let packed = Layout { first: end, ..Layout::packed(height, width) };
        layouts.push(input.layouts.map_or(packed, |wild| {
            let (first, _, row, step) = wild[index];
            Layout { first: first.into(), row: row.into(), step: step.into(), ..packed }
        }));
        end += height * width;
    }
    let value = |i: usize| {
        let value = input.paint.value(i);
        let value = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.5 };
        T::try_from((value * ((1u64 << T::BITS) - 1) as f32) as u32 & (u32::MAX >> (32 - T::BITS))).ok().unwrap()
    };
    let mut data: Vec<T> = (0..end).map(value).collect();
    let before = data.clone();
    let region = input.corner.region(input.window.0.0, input.window.1.0);
    let shape = Shape { frames: 1, height: region.height(), width: region.width(), channels: 3 };
    let planes: Vec<_> = layouts.iter().filter_map(|&layout| Plane::new(&data, layout).ok()).collect();
    if planes.len() < 3 {
        return;
    }
    let mut rgb = vec![f32::NAN; shape.len()];
    let read = planes_to_rgb(&planes, &format, region, false, FramesMut::new("out", &mut rgb, shape).unwrap(), NEVER);
    assert_eq!(read.is_ok(), is_good(&format, T::BITS));
    let overlay: Vec<f32> = (0..region.height() * region.width() * 4).map(|i| input.paint.value(3 * i)).collect();
    let shape = Shape { channels: 4, ..shape };
    let cells = Cell::from_mut(data.as_mut_slice()).as_slice_of_cells();
    let planes: Vec<_> = layouts.iter().filter_map(|&layout| PlaneMut::new(cells, layout).ok()).collect();
    let blended = planes.len() == 3
        && blend_planes(&planes, &format, Frames::new("overlay", &overlay, shape).unwrap(), region, NEVER).is_ok();
    if read.is_err() {
        assert!(!blended && data == before);
        return;
    }
    let whole = Whole { format, data: &before, layouts: &layouts };
    whole.check_rgb(&rgb, region);
    if blended && !input.paint.wild {
        whole.check_blend(&data, &overlay, region);
    }
}

/// The frame as it was.
struct Whole<'a, T> {
    format: PlaneFormat,
    data: &'a [T],
    layouts: &'a [Layout],
}

impl<T: Sample + PartialEq + Into<u32>> Whole<'_, T> {
    fn place(&self, plane: usize, y: usize, x: usize) -> usize {
        let Layout { first, row, step, .. } = self.layouts[plane];
        (first as isize + y as isize * row + x as isize * step) as usize
    }

    fn value(&self, data: &[T], plane: usize, y: usize, x: usize) -> f64 {
        f64::from(data[self.place(plane, y, x)].into() >> self.format.shift)
    }

    /// The code of black, and how many there are of luma and of chroma.
    fn ranges(&self) -> (f64, f64, f64) {
        let unit = f64::from(1u32 << (self.format.bits - 8));
        let top = f64::from((1u32 << self.format.bits) - 1);
        if self.format.full_range { (0.0, top, top) } else { (16.0 * unit, 219.0 * unit, 224.0 * unit) }
    }

    fn chroma(&self, plane: usize, y: usize, x: usize) -> f64 {
        let between = |siting: Siting, at: usize, count: usize| {
            let first = if siting.step == 1 { 0.0 } else { siting.first };
            let place = ((at as f64 - first) / siting.step as f64).clamp(0.0, (count - 1) as f64);
            (place.floor() as usize, (place.floor() as usize + 1).min(count - 1), place - place.floor())
        };
        let Layout { height, width, .. } = self.layouts[plane];
        let (top, bottom, down) = between(self.format.down, y, height);
        let (left, right, along) = between(self.format.across, x, width);
        let at = |y, x| self.value(self.data, plane, y, x);
        let row = |y| (1.0 - along) * at(y, left) + along * at(y, right);
        (1.0 - down) * row(top) + down * row(bottom) - f64::from(1u32 << (self.format.bits - 1))
    }

    fn check_rgb(&self, rgb: &[f32], region: Region) {
        let (low, span, chroma_span) = self.ranges();
        let Layout { height, width, .. } = self.layouts[0];
        // Samples may have more bits than the format says, and green a small share.
        let most = f64::from(u32::MAX >> (32 - T::BITS)) / span;
        for (i, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
            let y = (region.y1() + (i / region.width()) as i64).clamp(0, height as i64 - 1) as usize;
            let x = (region.x1() + (i % region.width()) as i64).clamp(0, width as i64 - 1) as usize;
            let direct = |plane| (self.value(self.data, plane, y, x) - low) / span;
            let (expected, green) = match self.format.matrix {
                None => ([0, 1, 2].map(direct), 1.0),
                Some((kr, kb)) => {
                    let red = direct(0) + 2.0 * (1.0 - kr) * self.chroma(2, y, x) / chroma_span;
                    let blue = direct(0) + 2.0 * (1.0 - kb) * self.chroma(1, y, x) / chroma_span;
                    let green = 1.0 - kr - kb;
                    ([red, (direct(0) - kr * red - kb * blue) / green, blue], green)
                }
            };
            for (&got, expected) in pixel.iter().zip(expected) {
                assert!((f64::from(got) - expected).abs() < 2e-6 * (1.0 + most) / green, "{got} {expected}");
            }
        }
    }

    fn check_blend(&self, data: &[T], overlay: &[f32], region: Region) {
        let (low, span, chroma_span) = self.ranges();
        let (top, middle) = (((1u32 << self.format.bits) - 1) as f64, f64::from(1u32 << (self.format.bits - 1)));
        let size = (self.layouts[0].height, self.layouts[0].width);
        let layer = |plane: usize, y: usize, x: usize| {
            let (row, column) = (y as i64 - region.y1(), x as i64 - region.x1());
            if !(0..region.height() as i64).contains(&row) || !(0..region.width() as i64).contains(&column) {
                return (0.0, 0.0);
            }
            let pixel = overlay.as_chunks::<4>().0[row as usize * region.width() + column as usize].map(f64::from);
            let [red, green, blue, alpha] = pixel;
            if alpha == 0.0 {
                return (0.0, 0.0);
            }
            let value = match self.format.matrix {
                None => pixel[plane] * span + low * alpha,
                Some((kr, kb)) => {
                    let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
                    match plane {
                        0 => luma * span + low * alpha,
                        1 => (blue - luma) / (2.0 * (1.0 - kb)) * chroma_span + middle * alpha,
                        _ => (red - luma) / (2.0 * (1.0 - kr)) * chroma_span + middle * alpha,
                    }
                }
            };
            (value, alpha)
        };
        for plane in 0..3 {
            let Layout { height, width, .. } = self.layouts[plane];
            let sited = |siting| if plane == 0 { Siting::FULL } else { siting };
            let shares = |siting, count, size| -> Vec<Vec<(usize, f64)>> {
                (0..count).map(|sample| shares(sited(siting), sample, size)).collect()
            };
            let (down, across) = (shares(self.format.down, height, size.0), shares(self.format.across, width, size.1));
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let (mut value, mut alpha) = (0.0, 0.0);
                for &(py, v) in &down[y] {
                    for &(px, h) in &across[x] {
                        let (part, a) = layer(plane, py, px);
                        value += v * h * part;
                        alpha += v * h * a;
                    }
                }
                let place = self.place(plane, y, x);
                if alpha == 0.0 {
                    assert!(data[place] == self.data[place]);
                    continue;
                }
                let exact = ((1.0 - alpha) * self.value(self.data, plane, y, x) + value).clamp(0.0, top);
                let got = self.value(data, plane, y, x);
                assert!((got - exact).abs() < 0.5 + top * 4e-6 + 1e-3, "{got} {exact}");
            }
        }
    }
}

/// The pixels under the area of a sample of chroma, and their shares.
fn shares(siting: Siting, sample: usize, size: usize) -> Vec<(usize, f64)> {
    let (step, first) = (siting.step as f64, if siting.step == 1 { 0.0 } else { siting.first });
    let middle = sample as f64 * step + first;
    let reach = 3 * siting.step as isize + 1;
    let near = (sample * siting.step) as isize;
    (near - reach..=near + reach)
        .filter_map(|pixel| {
            let at = pixel as f64;
            let covered = (middle + step / 2.0).min(at + 0.5) - (middle - step / 2.0).max(at - 0.5);
            (covered > 0.0).then(|| (pixel.clamp(0, size as isize - 1) as usize, covered / step))
        })
        .collect()
}

fuzz_target!(|input: Input| if input.wide { run::<u16>(&input) } else { run::<u8>(&input) });
