//! What is done to rows of samples.

use crate::cpu::multiversion;
use crate::planes::coding::Codes;
use crate::planes::view::Sample;

multiversion! {
    /// Values of samples less `zero`.
    fn widen[T: Sample](samples: &[T], shift: u32, zero: f32, out: &mut [f32]) = widen_body;
}

#[inline(always)]
fn widen_body<T: Sample>(samples: &[T], shift: u32, zero: f32, out: &mut [f32]) {
    for (out, sample) in out.iter_mut().zip(samples) {
        *out = sample.value(shift) - zero;
    }
}

multiversion! {
    /// `part` of the way from `line` to `other`.
    fn lean(line: &mut [f32], other: &[f32], part: f32) = lean_body;
}

#[inline(always)]
fn lean_body(line: &mut [f32], other: &[f32], part: f32) {
    for (value, &other) in line.iter_mut().zip(other) {
        *value = *value * (1.0 - part) + other * part;
    }
}

multiversion! {
    /// Chroma at every pixel: `phases` says for the pixels of one step between which samples of `line` they lie.
    fn spread(line: &[f32], phases: &[(usize, f32)], out: &mut [f32]) = spread_body;
}

#[inline(always)]
fn spread_body(line: &[f32], phases: &[(usize, f32)], out: &mut [f32]) {
    match *phases {
        [a, b] => spread_by([a, b], line, out),
        [a, b, c, d] => spread_by([a, b, c, d], line, out),
        _ => unreachable!("steps are checked to be 2 or 4 here"),
    }
}

#[inline(always)]
fn spread_by<const STEP: usize>(phases: [(usize, f32); STEP], line: &[f32], out: &mut [f32]) {
    let out = out.as_chunks_mut::<STEP>().0;
    let count = out.len();
    let sources = phases.map(|(first, part)| (&line[first..first + count], &line[first + 1..first + 1 + count], part));
    for (i, pixels) in out.iter_mut().enumerate() {
        for (pixel, (before, after, part)) in pixels.iter_mut().zip(&sources) {
            *pixel = before[i] * (1.0 - part) + after[i] * part;
        }
    }
}

multiversion! {
    /// Pixels out of luma less black and chroma less its middle.
    fn colors(luma: &[f32], cb: &[f32], cr: &[f32], codes: &Codes, clip: bool, out: &mut [f32]) = colors_body;
}

#[inline(always)]
fn colors_body(luma: &[f32], cb: &[f32], cr: &[f32], codes: &Codes, clip: bool, out: &mut [f32]) {
    let Codes { span, red_of_cr, blue_of_cb, green_of, .. } = *codes;
    weave(luma, cb, cr, clip, out, |luma, cb, cr| {
        let luma = luma / span;
        [luma + red_of_cr * cr, luma + green_of[0] * cb + green_of[1] * cr, luma + blue_of_cb * cb]
    });
}

multiversion! {
    /// Pixels out of red, green and blue less black.
    fn primaries(red: &[f32], green: &[f32], blue: &[f32], codes: &Codes, clip: bool, out: &mut [f32]) = primaries_body;
}

#[inline(always)]
fn primaries_body(red: &[f32], green: &[f32], blue: &[f32], codes: &Codes, clip: bool, out: &mut [f32]) {
    let span = codes.span;
    weave(red, green, blue, clip, out, |red, green, blue| [red / span, green / span, blue / span]);
}

/// One loop without choices in it, which compilers make vectors of, and weave these themselves.
#[inline(always)]
fn weave(a: &[f32], b: &[f32], c: &[f32], clip: bool, out: &mut [f32], color: impl Fn(f32, f32, f32) -> [f32; 3]) {
    let (low, high) = if clip { (0.0, 1.0) } else { (f32::NEG_INFINITY, f32::INFINITY) };
    let limit = |value: f32| {
        let raised = if value > low { value } else { low };
        if raised < high { raised } else { high }
    };
    for (((pixel, &a), &b), &c) in out.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
        *pixel = color(a, b, c).map(limit);
    }
}

/// A row of an overlay in components: its alpha, and what alpha times color is in codes, black and middle left out.
#[derive(Debug, Default, Clone)]
pub(super) struct Components {
    pub(super) alpha: Vec<f32>,
    /// Luma, Cb and Cr, or red, green and blue.
    pub(super) values: [Vec<f32>; 3],
}

impl Components {
    /// A row of `len` pixels of no weight.
    pub(super) fn new(len: usize) -> Self {
        Self { alpha: vec![0.0; len], values: std::array::from_fn(|_| vec![0.0; len]) }
    }

    /// Applies `change` to alpha and values.
    pub(super) fn for_each(&mut self, mut change: impl FnMut(&mut Vec<f32>)) {
        change(&mut self.alpha);
        self.values.iter_mut().for_each(change);
    }
}

multiversion! {
    /// Takes RGBA pixels apart; false if none has any weight. `luma` says whether to luma and chroma.
    fn take_apart(
        pixels: &[[f32; 4]], codes: &Codes, luma: bool, alpha: &mut [f32], a: &mut [f32], b: &mut [f32], c: &mut [f32],
    ) -> bool = take_apart_body;
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn take_apart_body(
    pixels: &[[f32; 4]],
    codes: &Codes,
    luma: bool,
    alpha: &mut [f32],
    a: &mut [f32],
    b: &mut [f32],
    c: &mut [f32],
) -> bool {
    let Codes { span, shares, to_chroma, .. } = *codes;
    if luma {
        separate(pixels, alpha, a, b, c, |[red, green, blue]| {
            let luma = shares[0] * red + shares[1] * green + shares[2] * blue;
            [luma * span, (blue - luma) * to_chroma[0], (red - luma) * to_chroma[1]]
        })
    } else {
        separate(pixels, alpha, a, b, c, |color| color.map(|value| value * span))
    }
}

#[inline(always)]
fn separate(
    pixels: &[[f32; 4]],
    alpha: &mut [f32],
    a: &mut [f32],
    b: &mut [f32],
    c: &mut [f32],
    code: impl Fn([f32; 3]) -> [f32; 3],
) -> bool {
    let mut bits = 0;
    for ((((pixel, alpha), a), b), c) in pixels.iter().zip(alpha).zip(a).zip(b).zip(c) {
        let &[red, green, blue, weight] = pixel;
        // Comparisons with NaN are false, which makes it a weight of 0.
        let positive = if weight > 0.0 { weight } else { 0.0 };
        let weight = if positive < 1.0 { positive } else { 1.0 };
        bits |= weight.to_bits();
        *alpha = weight;
        let values = code([red, green, blue]);
        // What has no weight adds nothing, whatever its color.
        [*a, *b, *c] = values.map(|value| if weight > 0.0 { value } else { 0.0 });
    }
    bits != 0
}

multiversion! {
    /// Adds `weight` times `line` to `sum`.
    fn add(sum: &mut [f32], line: &[f32], weight: f32) = add_body;
}

#[inline(always)]
fn add_body(sum: &mut [f32], line: &[f32], weight: f32) {
    for (sum, &value) in sum.iter_mut().zip(line) {
        *sum += weight * value;
    }
}

multiversion! {
    /// Sums of `weights` times the pixels from `step * i` on.
    fn gather_taps(line: &[f32], step: usize, weights: &[f32], out: &mut [f32]) = gather_taps_body;
}

#[inline(always)]
fn gather_taps_body(line: &[f32], step: usize, weights: &[f32], out: &mut [f32]) {
    match step {
        1 => gather_by::<1>(line, weights, out),
        2 => gather_by::<2>(line, weights, out),
        _ => gather_by::<4>(line, weights, out),
    }
}

#[inline(always)]
fn gather_by<const STEP: usize>(line: &[f32], weights: &[f32], out: &mut [f32]) {
    let Some(last) = out.len().checked_sub(1) else { return };
    out.fill(0.0);
    for (tap, &weight) in weights.iter().enumerate() {
        let line = &line[tap..=tap + STEP * last];
        for (i, out) in out.iter_mut().enumerate() {
            *out += weight * line[STEP * i];
        }
    }
}

multiversion! {
    /// Blends codes, less `zero`, into samples; those of weight 0 stay as they are.
    fn blend[T: Sample](samples: &mut [T], alpha: &[f32], values: &[f32], zero: f32, codes: &Codes) = blend_body;
}

#[inline(always)]
fn blend_body<T: Sample>(samples: &mut [T], alpha: &[f32], values: &[f32], zero: f32, codes: &Codes) {
    let Codes { top, shift, .. } = *codes;
    for ((sample, &alpha), &value) in samples.iter_mut().zip(alpha).zip(values) {
        let mixed = (1.0 - alpha) * sample.value(shift) + (value + zero * alpha);
        let mixed = T::nearest(mixed, top, shift);
        *sample = if alpha > 0.0 { mixed } else { *sample };
    }
}
