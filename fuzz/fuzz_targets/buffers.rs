//! Views of any shape over any buffer, and kernels with views that do not fit each other: errors, never panics.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use segs_core::gather::{Fill, crop_frames};
use segs_core::parallel::NEVER;
use segs_core::paste::{Patch, copy_paste, paste};
use segs_core::region::{Region, Regions};
use segs_core::shift::{Shift, Shifts};
use segs_core::view::{Frames, FramesMut, Shape};
use segs_core::{feather, morphology, resize};

/// Samples of the largest buffer.
const SAMPLES: usize = 600;

/// Nominal samples of a view that kernels are run with: expanded views may be longer than any time.
const MAX_WORK: usize = 1 << 16;

/// A size that is small, or as large as numbers get.
#[derive(Debug, Clone, Copy)]
struct Size(usize);

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        const ENDS: [usize; 6] = [0, usize::MAX, usize::MAX / 2, usize::MAX / 4 + 1, 1 << 32, 1 << 62];
        Ok(Self(match u.int_in_range(0..=15)? {
            0 => u.choose(&ENDS)?.wrapping_sub(u.int_in_range(0..=1)?),
            _ => u.int_in_range(0..=6)?,
        }))
    }
}

#[derive(Debug, Arbitrary)]
struct View {
    sizes: [Size; 4],
    /// The same as that of the view before, so that the two fit.
    same: bool,
    strides: Option<[Size; 2]>,
    len: u16,
}

impl View {
    fn shape(&self) -> Shape {
        let [frames, height, width, channels] = self.sizes.map(|size| size.0);
        Shape { frames, height, width, channels }
    }

    fn read<'a, T>(&self, data: &'a [T], shape: Shape) -> Option<Frames<'a, T>> {
        let data = &data[..usize::from(self.len).min(data.len())];
        let view = match self.strides {
            None => Frames::new("view", data, shape),
            Some([frame, row]) => Frames::with_strides("view", data, shape, frame.0, row.0),
        };
        let view = view.ok()?;
        if !shape.is_empty() {
            for frame in [0, shape.frames - 1] {
                for row in [0, shape.height - 1] {
                    assert_eq!(view.row(frame, row).len(), shape.row_len());
                }
            }
            assert!(view.span() <= data.len());
        }
        Some(view)
    }
}

#[derive(Debug, Arbitrary)]
struct Input {
    frames: View,
    crops: View,
    masks: View,
    out: View,
    regions: Vec<(i32, i32, u8, u8)>,
    shared: bool,
    parts: Vec<(f32, f32)>,
    number: f32,
    count: Size,
}

fn work(shape: Shape) -> bool {
    shape.is_empty() || shape.len() <= MAX_WORK
}

/// A view to write, of a shape that was seen to fit.
fn write<T>(data: &mut [T], shape: Shape) -> FramesMut<'_, T> {
    FramesMut::new("out", data, shape).unwrap()
}

fuzz_target!(|input: Input| {
    let (floats, bytes) = (vec![0.5f32; SAMPLES], vec![1u8; SAMPLES]);
    let shape = input.frames.shape();
    let follow = |view: &View, shape: Shape| if view.same { shape } else { view.shape() };
    let (out_shape, crop_shape) = (follow(&input.out, shape), follow(&input.crops, shape));
    let mask_shape = follow(&input.masks, Shape { channels: 1, ..crop_shape });
    let Some(frames) = input.frames.read(&floats, shape) else { return };
    let len = if out_shape.is_empty() { 0 } else { out_shape.frames.saturating_mul(out_shape.height) };
    let len = len.saturating_mul(out_shape.width).saturating_mul(out_shape.channels).min(SAMPLES);
    let (mut floats_out, mut bytes_out, mut labels) = (vec![0f32; len], vec![0u8; len], vec![0i32; len]);
    if FramesMut::new("out", &mut floats_out, out_shape).is_err() || !work(shape) {
        return;
    }
    let list: Vec<Region> = input
        .regions
        .iter()
        .filter_map(|&(x, y, w, h)| Region::at(x.into(), y.into(), w.into(), h.into()).ok())
        .collect();
    let regions = match list.first() {
        Some(&region) if input.shared => Regions::Shared(region),
        _ => Regions::PerFrame(&list),
    };
    let parts: Vec<Shift> = input.parts.iter().filter_map(|&(x, y)| Shift::new(x.into(), y.into()).ok()).collect();
    let shifts = parts.first().map_or(Shifts::WHOLE, |&part| Shifts::Shared(part));
    for shifts in [Shifts::WHOLE, shifts, Shifts::PerFrame(&parts)] {
        for fill in [Fill::Edge, Fill::Constant(input.number)] {
            let _ = crop_frames(frames, regions, shifts, fill, write(&mut floats_out, out_shape), NEVER);
        }
    }
    let _ = resize::resize_frames(frames, write(&mut floats_out, out_shape), NEVER);
    let _ = resize::resize_masks(frames, write(&mut floats_out, out_shape), NEVER);
    let _ = feather::feather_mask(frames, input.count.0, write(&mut floats_out, out_shape), NEVER);
    let _ = morphology::dilate(frames, input.count.0, write(&mut floats_out, out_shape), NEVER);
    let _ = morphology::erode(frames, input.count.0, write(&mut floats_out, out_shape), NEVER);
    if let (Some(crops), Some(masks)) = (input.crops.read(&floats, crop_shape), input.masks.read(&floats, mask_shape)) {
        // The regions fit the crops, so that the rest of the checks is reached.
        let fitting = Region::at(-1, 1, crop_shape.width, crop_shape.height).map_or(regions, Regions::Shared);
        let whole = [(regions, Shifts::WHOLE), (fitting, Shifts::WHOLE)];
        for (regions, shifts) in whole.into_iter().chain([(fitting, shifts), (fitting, Shifts::PerFrame(&parts))]) {
            let patch = Patch { crops, masks, regions, shifts, alpha: input.number };
            let _ = copy_paste(frames, patch, write(&mut floats_out, out_shape), NEVER);
            let _ = paste(write(&mut floats_out, out_shape), patch, NEVER);
        }
    }
    let _ = morphology::threshold(frames, input.number, write(&mut bytes_out, out_shape), NEVER);
    if let Some(mask) = input.frames.read(&bytes, shape) {
        let _ = morphology::fill_holes(mask, write(&mut bytes_out, out_shape), NEVER);
        let _ = morphology::components(mask, write(&mut labels, out_shape), NEVER);
    }
});
