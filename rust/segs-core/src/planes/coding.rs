//! What the numbers in planes stand for.

use crate::error::{Error, Result};

/// Where the samples of chroma lie along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Siting {
    /// Pixels of luma for each sample of chroma: 1, 2 or 4.
    pub step: usize,
    /// Where the first sample lies, in pixels from the middle of the first pixel. Of no meaning where the step is 1.
    pub first: f64,
}

impl Siting {
    /// Chroma in as many samples as luma.
    pub const FULL: Self = Self { step: 1, first: 0.0 };

    fn check(&self, step: &'static str, first: &'static str) -> Result<()> {
        if ![1, 2, 4].contains(&self.step) {
            return Err(Error::value(step, "1, 2 or 4 pixels", self.step.to_string()));
        }
        let farthest = self.step as f64;
        if self.step > 1 && !(-farthest..=farthest).contains(&self.first) {
            let expected = format!("a number from {} to {farthest}", -farthest);
            return Err(Error::value(first, expected, self.first.to_string()));
        }
        Ok(())
    }

    fn place(&self) -> f64 {
        if self.step == 1 { 0.0 } else { self.first }
    }

    /// Samples of chroma for `luma` pixels.
    pub(super) fn samples(&self, luma: usize) -> usize {
        luma.div_ceil(self.step)
    }

    /// Between which samples of chroma pixel `step * i + phase` lies: the first one, counted from `i`, and how far from
    /// it the pixel is on the way to the next.
    pub(super) fn between(&self, phase: usize) -> (isize, f32) {
        let at = (phase as f64 - self.place()) / self.step as f64;
        (at.floor() as isize, (at - at.floor()) as f32)
    }

    /// The weights, of sum 1, of the pixels around a sample of chroma.
    pub(super) fn taps(&self) -> Taps {
        let step = self.step as f64;
        let (start, end) = (self.place() - step / 2.0, self.place() + step / 2.0);
        let first = (start + 0.5).floor();
        let share = |tap: usize| {
            let middle = first + tap as f64;
            ((end.min(middle + 0.5) - start.max(middle - 0.5)).max(0.0) / step) as f32
        };
        let weights = (0..=self.step).map(share).filter(|&weight| weight > 0.0).collect();
        Taps { first: first as isize, weights }
    }
}

/// Which pixels make a sample of chroma.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taps {
    /// The first of them for sample `i`, counted from pixel `step * i`.
    pub(super) first: isize,
    /// Of this and the pixels after it.
    pub(super) weights: Vec<f32>,
}

/// How samples in planes stand for colors.
///
/// Codes are those of ITU-T H.273: luma and RGB from 16 to 235 and chroma from 16 to 240 about 128, times 2 for each bit
/// above 8, or all codes where the range is full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneFormat {
    /// Bits of a sample, 8 to 16.
    pub bits: u32,
    /// Samples lie so many bits higher than their values.
    pub shift: u32,
    /// Whether all codes are used.
    pub full_range: bool,
    /// Kr and Kb, the shares of red and blue in luma; `None` where the planes are red, green and blue.
    pub matrix: Option<(f64, f64)>,
    /// Where chroma lies along rows.
    pub across: Siting,
    /// Where chroma lies along columns.
    pub down: Siting,
}

impl PlaneFormat {
    /// Checks the format itself, for samples that have `bits` bits in memory.
    pub(super) fn check(&self, bits: u32) -> Result<()> {
        if !(8..=16).contains(&self.bits) {
            return Err(Error::value("format.bits", "8 to 16 bits", self.bits.to_string()));
        }
        if self.shift > 8 || self.bits + self.shift > bits {
            let expected = format!("samples of {} bits, shifted by {}, in memory", self.bits, self.shift);
            return Err(Error::shape("planes", expected, format!("samples of {bits} bits")));
        }
        if let Some((red, blue)) = self.matrix
            && !(red >= 0.0 && blue >= 0.0 && red + blue < 1.0)
        {
            let expected = "(Kr, Kb), neither negative, of a sum below 1";
            return Err(Error::value("format.matrix", expected, format!("({red}, {blue})")));
        }
        self.across.check("format.step_x", "format.chroma_x")?;
        self.down.check("format.step_y", "format.chroma_y")?;
        if self.matrix.is_none() && (self.across.step, self.down.step) != (1, 1) {
            let got = format!("{} and {}", self.across.step, self.down.step);
            return Err(Error::value("format.step_x", "steps of 1 for red, green and blue", got));
        }
        Ok(())
    }

    /// Width and height of each plane of a frame.
    pub(super) fn chroma_size(&self, luma: (usize, usize)) -> (usize, usize) {
        (self.down.samples(luma.0), self.across.samples(luma.1))
    }

    /// The numbers to calculate with.
    pub(super) fn codes(&self) -> Codes {
        let unit = f64::from(1u32 << (self.bits - 8));
        let top = f64::from((1u32 << self.bits) - 1);
        let (low, span, chroma_span) =
            if self.full_range { (0.0, top, top) } else { (16.0 * unit, 219.0 * unit, 224.0 * unit) };
        let (red, blue) = self.matrix.unwrap_or((0.0, 0.0));
        let green = 1.0 - red - blue;
        let (from_red, from_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
        Codes {
            low: low as f32,
            span: span as f32,
            middle: (128.0 * unit) as f32,
            top: top as f32,
            shift: self.shift,
            shares: [red as f32, green as f32, blue as f32],
            to_chroma: [(chroma_span / from_blue) as f32, (chroma_span / from_red) as f32],
            red_of_cr: (from_red / chroma_span) as f32,
            blue_of_cb: (from_blue / chroma_span) as f32,
            green_of: [
                (-blue * from_blue / green / chroma_span) as f32,
                (-red * from_red / green / chroma_span) as f32,
            ],
        }
    }
}

/// The numbers by which samples and colors become each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes {
    /// The code of black.
    pub(super) low: f32,
    /// Codes from black to white.
    pub(super) span: f32,
    /// The code of no color.
    pub(super) middle: f32,
    /// The highest code.
    pub(super) top: f32,
    /// Bits that samples lie higher.
    pub(super) shift: u32,
    /// Shares of red, green and blue in luma.
    pub(super) shares: [f32; 3],
    /// Codes of Cb and Cr for blue and red less luma.
    pub(super) to_chroma: [f32; 2],
    /// Red for a code of Cr.
    pub(super) red_of_cr: f32,
    /// Blue for a code of Cb.
    pub(super) blue_of_cb: f32,
    /// Green for codes of Cb and Cr.
    pub(super) green_of: [f32; 2],
}
