//! The box of an image that one tile of turned pixels reads.

use crate::pixel::Pixel;
use crate::shift::{LANCZOS_TAPS, Source, read_row};
use crate::turn::Grid;
use crate::turn::sample::{Spot, WIDE, find_spots, linear, sinc_narrow, sinc_wide};
use crate::view::Shape;

/// Columns, and at most as many rows, of a tile: what it reads of floats fits the second cache at any angle.
pub(crate) const TILE: usize = 64;

/// Pixels that a box reaches before and after the places of its tile, beyond what the longest filter needs: places within
/// the tile may be rounded to beyond those of its corners.
const BEFORE: i64 = LANCZOS_TAPS as i64 / 2;
const AFTER: i64 = LANCZOS_TAPS as i64 / 2 + 1;

/// Where a box lies in its image.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    left: i64,
    top: i64,
    width: usize,
    height: usize,
}

impl Bounds {
    /// What the pixels in `columns` and `rows` of a grid read.
    fn of(grid: &Grid, columns: (usize, usize), rows: (usize, usize)) -> Self {
        let corners = [
            grid.at(columns.0, rows.0),
            grid.at(columns.1 - 1, rows.0),
            grid.at(columns.0, rows.1 - 1),
            grid.at(columns.1 - 1, rows.1 - 1),
        ];
        let least =
            |axis: fn(&(f64, f64)) -> f64| corners.iter().map(axis).fold(f64::INFINITY, f64::min).floor() as i64;
        let most =
            |axis: fn(&(f64, f64)) -> f64| corners.iter().map(axis).fold(f64::NEG_INFINITY, f64::max).floor() as i64;
        let (left, top) = (least(|at| at.0) - BEFORE, least(|at| at.1) - BEFORE);
        let width = (most(|at| at.0) + AFTER + 1 - left) as usize;
        let height = (most(|at| at.1) + AFTER + 1 - top) as usize;
        Self { left, top, width, height }
    }

    /// Whether any pixel of an image lies in it.
    fn meets(&self, image: Shape) -> bool {
        let inside = |start: i64, length: usize, size: usize| start < size as i64 && start + length as i64 > 0;
        inside(self.left, self.width, image.width) && inside(self.top, self.height, image.height)
    }

    fn corner(&self) -> (i64, i64) {
        (self.left, self.top)
    }
}

/// A tile whose pixels are interpolated by the Lanczos filter.
#[derive(Debug)]
pub(crate) struct SincTile<'a, T> {
    source: Source<'a, T>,
    grid: Grid,
    bounds: Bounds,
    samples: Vec<f32>,
    wide: Vec<f32>,
    spots: [Spot; TILE],
    values: [[f32; WIDE]; TILE],
}

impl<'a, T: Pixel> SincTile<'a, T> {
    pub(crate) fn new(source: Source<'a, T>, grid: Grid) -> Self {
        let spots = [Spot::default(); TILE];
        let (samples, wide, values) = (Vec::new(), Vec::new(), [[0.0; WIDE]; TILE]);
        Self { source, grid, bounds: Bounds::default(), samples, wide, spots, values }
    }

    /// Samples of a pixel.
    pub(crate) fn channels(&self) -> usize {
        self.source.frames.shape().channels
    }

    /// Reads what the pixels in `columns` and `rows` need, each from the first to before the last: at least one, and at most
    /// [`TILE`] columns.
    pub(crate) fn read(&mut self, columns: (usize, usize), rows: (usize, usize)) {
        self.bounds = Bounds::of(&self.grid, columns, rows);
        let lanes = self.lanes();
        read_box(&self.source, self.bounds, lanes, &mut self.wide, &mut self.samples);
    }

    /// Writes the pixels of a row from column `first` on, as many as `out` holds; they lie in what was read.
    pub(crate) fn write(&mut self, first: usize, row: usize, out: &mut [T]) {
        let (channels, stride) = (self.channels(), self.bounds.width * self.lanes());
        let spots = &mut self.spots[..out.len() / channels];
        find_spots(&self.grid, first, row, self.bounds.corner(), spots);
        if channels == 1 {
            let values = &mut self.values.as_flattened_mut()[..out.len()];
            sinc_narrow(&self.samples, stride, spots, T::MAX, values);
            return T::narrow(values, out);
        }
        let values = &mut self.values[..spots.len()];
        sinc_wide(&self.samples, stride, spots, T::MAX, values);
        match channels {
            2 => gather::<T, 2>(values, out),
            3 => gather::<T, 3>(values, out),
            _ => T::narrow(values.as_flattened(), out),
        }
    }

    fn lanes(&self) -> usize {
        if self.channels() == 1 { 1 } else { WIDE }
    }
}

/// A tile of a mask, whose pixels are interpolated linearly.
#[derive(Debug)]
pub(crate) struct LinearTile<'a> {
    source: Source<'a, f32>,
    grid: Grid,
    bounds: Bounds,
    samples: Vec<f32>,
    wide: Vec<f32>,
    spots: [Spot; TILE],
}

impl<'a> LinearTile<'a> {
    pub(crate) fn new(source: Source<'a, f32>, grid: Grid) -> Self {
        let (bounds, spots) = (Bounds::default(), [Spot::default(); TILE]);
        Self { source, grid, bounds, samples: Vec::new(), wide: Vec::new(), spots }
    }

    /// As [`SincTile::read`]; false where nothing of the mask shows in the tile.
    pub(crate) fn read(&mut self, columns: (usize, usize), rows: (usize, usize)) -> bool {
        self.bounds = Bounds::of(&self.grid, columns, rows);
        if !self.bounds.meets(self.source.frames.shape()) {
            return false;
        }
        read_box(&self.source, self.bounds, 1, &mut self.wide, &mut self.samples);
        self.samples.iter().any(|&value| value != 0.0)
    }

    /// As [`SincTile::write`].
    pub(crate) fn write(&mut self, first: usize, row: usize, out: &mut [f32]) {
        let spots = &mut self.spots[..out.len()];
        find_spots(&self.grid, first, row, self.bounds.corner(), spots);
        linear(&self.samples, self.bounds.width, spots, out);
    }
}

/// Brings a box of an image, continued beyond it, to floats, `lanes` for each pixel.
fn read_box<T: Pixel>(
    source: &Source<'_, T>,
    bounds: Bounds,
    lanes: usize,
    wide: &mut Vec<f32>,
    samples: &mut Vec<f32>,
) {
    let channels = source.frames.shape().channels;
    wide.resize(bounds.width * channels, 0.0);
    samples.resize(bounds.width * bounds.height * lanes, 0.0);
    for (index, out) in samples.chunks_exact_mut(bounds.width * lanes).enumerate() {
        let row = read_row(source, bounds.left, bounds.top + index as i64, wide);
        if channels == lanes {
            out.copy_from_slice(row);
            continue;
        }
        match channels {
            2 => spread::<2>(row, out),
            _ => spread::<3>(row, out),
        }
    }
}

/// Lays pixels of `C` samples into fours.
fn spread<const C: usize>(row: &[f32], out: &mut [f32]) {
    for (pixel, out) in row.as_chunks::<C>().0.iter().zip(out.as_chunks_mut::<WIDE>().0) {
        out[..C].copy_from_slice(pixel);
    }
}

/// Takes pixels of `C` samples out of fours.
fn gather<T: Pixel, const C: usize>(values: &[[f32; WIDE]], out: &mut [T]) {
    let mut packed = [0.0; TILE * WIDE];
    for (pixel, value) in packed.as_chunks_mut::<C>().0.iter_mut().zip(values) {
        pixel.copy_from_slice(&value[..C]);
    }
    T::narrow(&packed[..out.len()], out);
}
