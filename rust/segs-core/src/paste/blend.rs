//! One row of a crop blended into one row of a frame.

use crate::cpu::multiversion;
use crate::error::{Error, Result};
use crate::pixel::Pixel;

/// How the channels of a crop meet those of the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The same 1 to 3 channels, blended alike.
    Same(usize),
    /// RGBA onto RGB.
    RgbaOnRgb,
    /// RGB onto RGBA: an opaque crop.
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
    fn blend_row[T: Pixel](layout: Layout, row: &mut [T], crop: &[T], mask: &[f32], alpha: f32) = blend_row_body;
}

#[inline(always)]
fn blend_row_body<T: Pixel>(layout: Layout, row: &mut [T], crop: &[T], mask: &[f32], alpha: f32) {
    match layout {
        Layout::Same(1) => blend_pixels::<T, 1, 1>(row, crop, mask, alpha, same::<T, 1>),
        Layout::Same(2) => blend_pixels::<T, 2, 2>(row, crop, mask, alpha, same::<T, 2>),
        Layout::Same(_) => blend_pixels::<T, 3, 3>(row, crop, mask, alpha, same::<T, 3>),
        Layout::RgbaOnRgb => blend_pixels::<T, 3, 4>(row, crop, mask, alpha, rgba_on_rgb),
        Layout::RgbOnRgba => blend_pixels::<T, 4, 3>(row, crop, mask, alpha, rgb_on_rgba),
        Layout::RgbaOnRgba => blend_pixels::<T, 4, 4>(row, crop, mask, alpha, rgba_on_rgba),
    }
}

#[inline(always)]
fn blend_pixels<T: Pixel, const D: usize, const S: usize>(
    row: &mut [T],
    crop: &[T],
    mask: &[f32],
    alpha: f32,
    pixel: impl Fn(&mut [T; D], &[T; S], f32),
) {
    let (row, _) = row.as_chunks_mut::<D>();
    let (crop, _) = crop.as_chunks::<S>();
    for ((d, s), &m) in row.iter_mut().zip(crop).zip(mask) {
        let weight = unit(m) * alpha;
        if weight != 0.0 {
            pixel(d, s, weight);
        }
    }
}

/// `value` clamped to `[0, 1]`; NaN counts as 0.
#[inline(always)]
fn unit(value: f32) -> f32 {
    // Comparisons with NaN are false: this order, not `clamp`, maps it to 0.
    let positive = if value > 0.0 { value } else { 0.0 };
    if positive < 1.0 { positive } else { 1.0 }
}

/// The blend of one sample. The products are not fused with the sum.
#[inline(always)]
fn mix<T: Pixel>(d: T, s: T, weight: f32) -> T {
    let value = (1.0 - weight) * d.to_f32() + weight * s.to_f32();
    if weight == 1.0 { s } else { T::from_f32(value) }
}

#[inline(always)]
fn same<T: Pixel, const C: usize>(d: &mut [T; C], s: &[T; C], weight: f32) {
    for c in 0..C {
        d[c] = mix(d[c], s[c], weight);
    }
}

#[inline(always)]
fn rgba_on_rgb<T: Pixel>(d: &mut [T; 3], s: &[T; 4], weight: f32) {
    let weight = weight * unit(s[3].to_f32() / T::MAX);
    if weight != 0.0 {
        same(d, &[s[0], s[1], s[2]], weight);
    }
}

#[inline(always)]
fn rgb_on_rgba<T: Pixel>(d: &mut [T; 4], s: &[T; 3], weight: f32) {
    over(d, *s, weight);
}

#[inline(always)]
fn rgba_on_rgba<T: Pixel>(d: &mut [T; 4], s: &[T; 4], weight: f32) {
    let weight = weight * unit(s[3].to_f32() / T::MAX);
    if weight != 0.0 {
        over(d, [s[0], s[1], s[2]], weight);
    }
}

/// Porter and Duff's `over` for colours that are not premultiplied; `weight` is the source's alpha and not 0.
#[inline(always)]
fn over<T: Pixel>(d: &mut [T; 4], s: [T; 3], weight: f32) {
    let under = unit(d[3].to_f32() / T::MAX) * (1.0 - weight);
    let alpha = weight + under;
    for c in 0..3 {
        let value = (s[c].to_f32() * weight + d[c].to_f32() * under) / alpha;
        d[c] = if weight == 1.0 { s[c] } else { T::from_f32(value) };
    }
    d[3] = T::from_f32(alpha * T::MAX);
}
