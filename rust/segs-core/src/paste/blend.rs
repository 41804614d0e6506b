//! One row of a crop blended into one row of a frame.

use crate::cpu::multiversion;
use crate::error::{Error, Result};
use crate::pixel::{LANES, Pixel};

/// How the channels of a crop meet those of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The same 1 to 3 channels, blended alike.
    Same(usize),
    /// RGBA onto RGB.
    RgbaOnRgb,
    /// RGB onto RGBA: the frames keep their alpha.
    RgbOnRgba,
    /// RGBA onto RGBA.
    RgbaOnRgba,
}

impl Layout {
    pub(super) fn new(frame_channels: usize, crop_channels: usize) -> Result<Self> {
        match (frame_channels, crop_channels) {
            (3, 4) => Ok(Self::RgbaOnRgb),
            (4, 3) => Ok(Self::RgbOnRgba),
            (4, 4) => Ok(Self::RgbaOnRgba),
            (frame, crop) if frame == crop => Ok(Self::Same(frame)),
            (frame, crop) => {
                let expected = match frame {
                    3 | 4 => "3 or 4 channels".to_owned(),
                    _ => format!("{frame} channels, as the frames have"),
                };
                Err(Error::shape("crops", expected, crop.to_string()))
            }
        }
    }

    pub(super) fn frame_channels(self) -> usize {
        match self {
            Self::Same(channels) => channels,
            Self::RgbaOnRgb => 3,
            Self::RgbOnRgba | Self::RgbaOnRgba => 4,
        }
    }
}

multiversion! {
    /// Blends `crop` into `row` by `mask * alpha`. The slices hold the same number of pixels.
    fn blend_row[T: Pixel](layout: Layout, row: &mut [T], crop: &[T], mask: &[f32], alpha: f32) =
        blend_row_body::<T, true>, blend_row_body::<T, false>;
}

/// Pixels that are worked on together: few enough that their weights stay in the first cache.
const TILE: usize = 64;

#[inline(always)]
fn blend_row_body<T: Pixel, const FAST: bool>(layout: Layout, row: &mut [T], crop: &[T], mask: &[f32], alpha: f32) {
    match layout {
        Layout::Same(1) => blend_alike::<T, 1, FAST>(row, crop, mask, alpha),
        Layout::Same(2) => blend_alike::<T, 2, FAST>(row, crop, mask, alpha),
        Layout::Same(_) => blend_alike::<T, 3, FAST>(row, crop, mask, alpha),
        Layout::RgbaOnRgb => blend_any::<T, 3, 4, RgbaOnRgb>(row, crop, mask, alpha),
        Layout::RgbOnRgba => blend_any::<T, 4, 3, RgbOnRgba>(row, crop, mask, alpha),
        Layout::RgbaOnRgba => blend_any::<T, 4, 4, RgbaOnRgba>(row, crop, mask, alpha),
    }
}

/// Blends pixels whose `C` samples all have their pixel's weight.
#[inline(always)]
fn blend_alike<T: Pixel, const C: usize, const FAST: bool>(row: &mut [T], crop: &[T], mask: &[f32], alpha: f32) {
    let mut weights = [[0.0; LANES]; TILE / LANES];
    for ((row, crop), mask) in row.chunks_mut(TILE * C).zip(crop.chunks(TILE * C)).zip(mask.chunks(TILE)) {
        // Most of a mask is flat: there is nothing to do where it is 0.
        if !weigh(mask, alpha, &mut weights.as_flattened_mut()[..mask.len()]) {
            continue;
        }
        if let (Some(row), Some(crop)) = (T::as_f32_mut(row), T::as_f32(crop)) {
            blend_floats::<C>(row.as_chunks_mut().0, crop.as_chunks().0, weights.as_flattened());
            continue;
        }
        let (groups, rest) = row.as_chunks_mut::<C>().0.as_chunks_mut::<LANES>();
        let (crops, crop_rest) = crop.as_chunks::<C>().0.as_chunks::<LANES>();
        for ((row, crop), weights) in groups.iter_mut().zip(crops).zip(&weights) {
            blend_group::<T, C, FAST>(row, crop, weights);
        }
        if !rest.is_empty() {
            // The last pixels in a group of their own, filled up with any.
            let mut group = ([[T::default(); C]; LANES], [[T::default(); C]; LANES]);
            group.0[..rest.len()].copy_from_slice(rest);
            group.1[..rest.len()].copy_from_slice(crop_rest);
            blend_group::<T, C, FAST>(&mut group.0, &group.1, &weights[crops.len()]);
            rest.copy_from_slice(&group.0[..rest.len()]);
        }
    }
}

#[inline(always)]
fn blend_floats<const C: usize>(row: &mut [[f32; C]], crop: &[[f32; C]], weights: &[f32]) {
    let mut each = [[0.0; C]; TILE];
    for (each, &weight) in each.iter_mut().zip(weights) {
        *each = [weight; C];
    }
    let samples = row.as_flattened_mut().iter_mut().zip(crop.as_flattened());
    for ((d, &s), &weight) in samples.zip(each.as_flattened()) {
        *d = mix(*d, s, weight);
    }
}

/// Samples that are converted to floats and back in registers, a vector at a time.
#[inline(always)]
fn blend_group<T: Pixel, const C: usize, const FAST: bool>(
    row: &mut [[T; C]; LANES],
    crop: &[[T; C]; LANES],
    weights: &[f32; LANES],
) {
    let rows = row.as_flattened_mut().as_chunks_mut::<LANES>().0;
    for (vector, (row, crop)) in rows.iter_mut().zip(crop.as_flattened().as_chunks().0).enumerate() {
        let weights: [f32; LANES] = std::array::from_fn(|lane| weights[(vector * LANES + lane) / C]);
        // SAFETY: `multiversion` takes the fast body only at the level `Avx2`.
        let (d, s) = unsafe { (T::widen_lanes::<FAST>(*row), T::widen_lanes::<FAST>(*crop)) };
        // Without NaN and infinities, weights of 0 and 1 need no choice: the sum is exact.
        let one = if T::INTEGER { blend } else { mix };
        let mixed = std::array::from_fn(|lane| one(d[lane], s[lane], weights[lane]));
        // SAFETY: as above.
        *row = unsafe { T::narrow_lanes::<FAST>(mixed) };
    }
}

/// How pixels of `S` samples are blended into pixels of `D` samples.
trait Blend<const D: usize, const S: usize> {
    /// At most [`TILE`] pixels with their weights, in samples from 0 to `full`. A weight of 0 leaves its pixel as it is.
    fn blend(d: &mut [[f32; D]], s: &[[f32; S]], weights: &[f32], full: f32);
}

#[inline(always)]
fn blend_any<T: Pixel, const D: usize, const S: usize, B: Blend<D, S>>(
    row: &mut [T],
    crop: &[T],
    mask: &[f32],
    alpha: f32,
) {
    let mut weights = [0.0; TILE];
    let (mut d, mut s) = ([[0.0; D]; TILE], [[0.0; S]; TILE]);
    for ((row, crop), mask) in row.chunks_mut(TILE * D).zip(crop.chunks(TILE * S)).zip(mask.chunks(TILE)) {
        let weights = &mut weights[..mask.len()];
        // Most of a mask is flat: there is nothing to do where it is 0.
        if !weigh(mask, alpha, weights) {
            continue;
        }
        if let (Some(row), Some(crop)) = (T::as_f32_mut(row), T::as_f32(crop)) {
            B::blend(row.as_chunks_mut().0, crop.as_chunks().0, weights, T::MAX);
            continue;
        }
        let (d, s) = (&mut d[..mask.len()], &mut s[..mask.len()]);
        T::widen(row, d.as_flattened_mut());
        T::widen(crop, s.as_flattened_mut());
        B::blend(d, s, weights, T::MAX);
        T::narrow(d.as_flattened(), row);
    }
}

/// Writes `mask * alpha` to `weights`; false if they are all 0.
#[inline(always)]
fn weigh(mask: &[f32], alpha: f32, weights: &mut [f32]) -> bool {
    let mut bits = 0;
    for (weight, &m) in weights.iter_mut().zip(mask) {
        *weight = unit(m) * alpha;
        bits |= weight.to_bits();
    }
    bits != 0
}

/// `value` clamped to `[0, 1]`; NaN counts as 0.
#[inline(always)]
pub(super) fn unit(value: f32) -> f32 {
    // Comparisons with NaN are false: this order, not `clamp`, maps it to 0.
    let positive = if value > 0.0 { value } else { 0.0 };
    if positive < 1.0 { positive } else { 1.0 }
}

/// `under` where the weight is 0, `over` where it is 1, else `mixed`: neither NaN nor infinity may come through from
/// the side that does not show.
#[inline(always)]
fn choose(weight: f32, under: f32, mixed: f32, over: f32) -> f32 {
    let value = if weight >= 1.0 { over } else { mixed };
    if weight <= 0.0 { under } else { value }
}

/// The products are not fused with the sum.
#[inline(always)]
fn blend(d: f32, s: f32, weight: f32) -> f32 {
    (1.0 - weight) * d + weight * s
}

/// The blend of one sample.
#[inline(always)]
fn mix(d: f32, s: f32, weight: f32) -> f32 {
    choose(weight, d, blend(d, s, weight), s)
}

/// The crop's alpha multiplies the weights.
struct RgbaOnRgb;

impl Blend<3, 4> for RgbaOnRgb {
    #[inline(always)]
    fn blend(d: &mut [[f32; 3]], s: &[[f32; 4]], weights: &[f32], full: f32) {
        for ((d, s), &weight) in d.iter_mut().zip(s).zip(weights) {
            let weight = weight * unit(s[3] / full);
            for c in 0..3 {
                d[c] = mix(d[c], s[c], weight);
            }
        }
    }
}

/// A crop without alpha changes the colors of the frames and leaves their alpha.
struct RgbOnRgba;

impl Blend<4, 3> for RgbOnRgba {
    #[inline(always)]
    fn blend(d: &mut [[f32; 4]], s: &[[f32; 3]], weights: &[f32], _full: f32) {
        for ((d, s), &weight) in d.iter_mut().zip(s).zip(weights) {
            for c in 0..3 {
                d[c] = mix(d[c], s[c], weight);
            }
        }
    }
}

/// Alpha over alpha.
struct RgbaOnRgba;

impl Blend<4, 4> for RgbaOnRgba {
    #[inline(always)]
    fn blend(d: &mut [[f32; 4]], s: &[[f32; 4]], weights: &[f32], full: f32) {
        for ((d, s), &weight) in d.iter_mut().zip(s).zip(weights) {
            over(d, s, weight * unit(s[3] / full), full);
        }
    }
}

/// Porter and Duff's `over` for colors that are not premultiplied; `weight` is the source's whole alpha.
#[inline(always)]
fn over(d: &mut [f32; 4], s: &[f32; 4], weight: f32, full: f32) {
    let under = unit(d[3] / full) * (1.0 - weight);
    let alpha = weight + under;
    for c in 0..3 {
        d[c] = choose(weight, d[c], (s[c] * weight + d[c] * under) / alpha, s[c]);
    }
    d[3] = choose(weight, d[3], alpha * full, full);
}
