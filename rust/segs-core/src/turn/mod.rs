//! Turned places: images sampled on a grid that lies askew on theirs.
//!
//! A region is turned clockwise about its middle. Frames are interpolated by the product of two Lanczos filters of three
//! lobes, one along each axis of the image that is sampled; masks linearly. The weights of a filter are calculated in `f64`,
//! normalized to sum to 1, for 2048 places within a pixel, and taken linearly between these: that is less than a millionth
//! off. Places themselves are calculated in `f64`, each by itself, so that a pixel has the same bits in whatever band or
//! tile it is.
//!
//! Work is done in tiles: the box of the image that a tile reads is brought to floats once, continued beyond the image as
//! [`Fill`](crate::gather::Fill) says, so that nothing else has to know about types or edges.

mod sample;
mod table;
mod tile;

use crate::region::Region;
use crate::shift::Shift;

pub(crate) use tile::{LinearTile, SincTile, TILE};

/// Where the pixels of one image lie on the pixels of another: `place = origin + column * across + row * down`, in indices of
/// samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    origin: (f64, f64),
    cos: f64,
    sin: f64,
}

impl Grid {
    /// Where the pixels of a crop lie in the frame.
    pub(crate) fn of_crop(region: Region, shift: Shift) -> Self {
        let (cos, sin) = cos_sin(shift.angle());
        Self::about(to_pixel(middle(region, shift)), to_pixel(own_middle(region)), cos, sin)
    }

    /// Where the pixels of the frame lie in the crop.
    pub(crate) fn of_frame(region: Region, shift: Shift) -> Self {
        let (cos, sin) = cos_sin(shift.angle());
        Self::about(to_pixel(own_middle(region)), to_pixel(middle(region, shift)), cos, -sin)
    }

    /// The grid of which `from` lies at `to`.
    fn about(to: (f64, f64), from: (f64, f64), cos: f64, sin: f64) -> Self {
        let origin = (to.0 - (cos * from.0 - sin * from.1), to.1 - (sin * from.0 + cos * from.1));
        Self { origin, cos, sin }
    }

    /// The place of a pixel.
    #[inline(always)]
    pub(crate) fn at(&self, column: usize, row: usize) -> (f64, f64) {
        let (column, row) = (column as f64, row as f64);
        (self.origin.0 + (self.cos * column - self.sin * row), self.origin.1 + (self.sin * column + self.cos * row))
    }
}

/// The part of the frame that a turned crop may change: pixels less than one away from those of the crop.
pub(crate) fn reach(region: Region, shift: Shift) -> Region {
    let (cos, sin) = cos_sin(shift.angle());
    let (across, down) = (0.5 * region.width() as f64 + 1.0, 0.5 * region.height() as f64 + 1.0);
    let reach = (cos.abs() * across + sin.abs() * down, sin.abs() * across + cos.abs() * down);
    Region::around(middle(region, shift), reach)
}

/// The middle of a region in the frame.
fn middle(region: Region, shift: Shift) -> (f64, f64) {
    let (x, y) = own_middle(region);
    (region.x1() as f64 + shift.x() + x, region.y1() as f64 + shift.y() + y)
}

/// The middle of a region, counted from its own corner.
fn own_middle(region: Region) -> (f64, f64) {
    (0.5 * region.width() as f64, 0.5 * region.height() as f64)
}

/// From a point of the plane to indices of samples, which lie in the middle of their pixels.
fn to_pixel((x, y): (f64, f64)) -> (f64, f64) {
    (x - 0.5, y - 0.5)
}

/// Cosine and sine of an angle in degrees, exact for quarter turns.
fn cos_sin(angle: f64) -> (f64, f64) {
    let quarters = (angle / 90.0).round();
    let (sin, cos) = (angle - 90.0 * quarters).to_radians().sin_cos();
    match quarters.rem_euclid(4.0) as u8 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

#[cfg(test)]
mod tests;
