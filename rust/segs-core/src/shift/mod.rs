//! Places between pixels: images shifted by part of a pixel along each axis, and turned.
//!
//! Frames are interpolated by a Lanczos filter of three lobes, masks linearly. The weights are the same for all pixels
//! of a frame, calculated in `f64` and normalized to sum to 1. An axis along which a place is whole is not filtered: what
//! is whole on both axes is copied, bit for bit. Turned places have weights for each pixel: see [`crate::turn`].

mod rows;
mod weigh;

use crate::error::{Error, Result};
use crate::resize::lanczos;

pub(crate) use rows::{Rows, Source, read_row};

/// How far a place lies right of and below the whole pixel before it, in parts of a pixel, and how far it is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    x: f64,
    y: f64,
    angle: f64,
}

impl Shift {
    /// On the pixel.
    pub const WHOLE: Self = Self { x: 0.0, y: 0.0, angle: 0.0 };

    /// Checks that both parts are in `[0, 1)`.
    pub fn new(x: f64, y: f64) -> Result<Self> {
        if (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y) {
            return Ok(Self { x, y, angle: 0.0 });
        }
        Err(Error::value("shifts", "parts of a pixel, in [0, 1)", format!("({x}, {y})")))
    }

    /// The same place turned clockwise about its middle, in degrees; full turns do nothing.
    pub fn turned(self, angle: f64) -> Result<Self> {
        if !angle.is_finite() {
            return Err(Error::value("shifts", "a finite angle", angle.to_string()));
        }
        Ok(Self { angle: angle.rem_euclid(360.0) % 360.0, ..self })
    }

    /// Part of a pixel to the right.
    pub fn x(&self) -> f64 {
        self.x
    }

    /// Part of a pixel down.
    pub fn y(&self) -> f64 {
        self.y
    }

    /// How far it is turned clockwise, in degrees from 0 to below 360.
    pub fn angle(&self) -> f64 {
        self.angle
    }

    /// Whether it is turned at all.
    pub fn is_turned(&self) -> bool {
        self.angle != 0.0
    }

    /// Whether nothing is shifted or turned.
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }
}

/// One shift for all frames, or one for each.
#[derive(Debug, Clone, Copy)]
pub enum Shifts<'a> {
    /// The same shift in every frame.
    Shared(Shift),
    /// One per frame.
    PerFrame(&'a [Shift]),
}

impl Shifts<'_> {
    /// All places are whole pixels.
    pub const WHOLE: Self = Self::Shared(Shift::WHOLE);

    /// The shift of frame `index`.
    pub fn get(&self, index: usize) -> Shift {
        match self {
            Self::Shared(shift) => *shift,
            Self::PerFrame(shifts) => shifts[index],
        }
    }

    /// Whether nothing is shifted or turned in any frame.
    pub(crate) fn are_whole(&self) -> bool {
        match self {
            Self::Shared(shift) => shift.is_whole(),
            Self::PerFrame(shifts) => shifts.iter().all(Shift::is_whole),
        }
    }

    /// Checks that there is a shift for each of `frames`.
    pub(crate) fn check(&self, frames: usize) -> Result<()> {
        match self {
            Self::PerFrame(shifts) if shifts.len() != frames => {
                Err(Error::shape("shifts", format!("1 or {frames} shifts"), shifts.len().to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// Taps of the filter for frames.
pub(crate) const LANCZOS_TAPS: usize = 6;

/// Taps of the filter for masks.
pub(crate) const LINEAR_TAPS: usize = 2;

/// The weights of `N` neighbors for a place that lies `part` of a pixel after the one with index `N / 2 - 1`; `None` for
/// a whole place.
pub(crate) fn weights<const N: usize>(part: f64) -> Option<[f32; N]> {
    if part == 0.0 {
        return None;
    }
    let first = 1.0 - (N / 2) as f64;
    let filter = if N == LINEAR_TAPS { linear } else { lanczos };
    let weights: [f64; N] = std::array::from_fn(|tap| filter(first + tap as f64 - part));
    let sum: f64 = weights.iter().sum();
    Some(weights.map(|weight| (weight / sum) as f32))
}

fn linear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

#[cfg(test)]
pub(crate) mod tests;
