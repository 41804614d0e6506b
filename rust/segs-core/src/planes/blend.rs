//! An overlay blended into planes.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::planes::coding::{Codes, PlaneFormat, Siting, Taps};
use crate::planes::lines::{Components, add, blend, gather_taps, take_apart};
use crate::planes::to_rgb::check_sizes;
use crate::planes::view::{PlaneMut, Sample, SharedPlanes};
use crate::region::{Clip, Region};
use crate::view::Frames;

/// Rows of chroma of one job.
const BAND_ROWS: usize = 32;

/// Rows of an overlay that are kept: as many as one row of chroma may take.
const KEPT_ROWS: usize = 8;

/// Blends `overlay`, one frame of RGBA whose colors are multiplied by its alpha, into planes at `window`.
///
/// Luma `Y` becomes `(1 - a) Y + y`, with the alpha of its pixel and the luma of its color; chroma the same with means of
/// alpha and color over the area of a sample. What has no weight keeps its bits. Results are rounded to the nearest code
/// of all that the samples have; alpha is limited to `[0, 1]`, and NaN in it counts as 0.
pub fn blend_planes<T: Sample>(
    planes: &[PlaneMut<'_, T>],
    format: &PlaneFormat,
    overlay: Frames<'_, f32>,
    window: Region,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    check_sizes::<T>(format, &planes.iter().map(PlaneMut::size).collect::<Vec<_>>())?;
    let from = overlay.shape();
    if (from.frames, from.height, from.width, from.channels) != (1, window.height(), window.width(), 4) {
        let expected = format!("one frame of {}x{} pixels and 4 channels", window.width(), window.height());
        return Err(Error::shape("overlay", expected, from.to_string()));
    }
    let size = planes[0].size();
    let planes = SharedPlanes::new(planes)?;
    let Some(clip) = window.clip(size.1, size.0) else { return Ok(()) };
    let job = Job {
        planes: &planes,
        overlay,
        clip,
        size,
        codes: format.codes(),
        is_rgb: format.matrix.is_none(),
        across: Axis::new(format.across, size.1, clip.x..clip.x + clip.width),
        down: Axis::new(format.down, size.0, clip.y..clip.y + clip.height),
    };
    let rows = job.down.samples.clone();
    let bands = rows.clone().step_by(BAND_ROWS).map(|start| start..rows.end.min(start + BAND_ROWS)).collect();
    let bytes = clip.width * clip.height * 8 * size_of::<f32>();
    for_each(bands, bytes, interrupted, |rows: Range<usize>| {
        // Rows of chroma, and the rows of luma under them, belong to one band only.
        let mut band = Band::new(&job);
        for row in rows {
            band.blend(row);
        }
    })
}

/// What is blended along one axis.
struct Axis {
    siting: Siting,
    taps: Taps,
    /// Samples of chroma that the overlay may change, or whose pixels it may.
    samples: Range<usize>,
    /// Pixels that these samples or their area lie on, those beyond the edge included.
    pixels: Range<isize>,
}

impl Axis {
    /// For `clip` of `size` pixels.
    fn new(siting: Siting, size: usize, clip: Range<usize>) -> Self {
        let taps = siting.taps();
        let (step, count) = (siting.step as isize, siting.samples(size) as isize);
        let (start, end) = (clip.start as isize, clip.end as isize);
        let last = taps.first + taps.weights.len() as isize - 1;
        // The first sample whose last pixel is not before the clip, and the one after the last that begins in it.
        let first = if start == 0 { 0 } else { (start - last + step - 1).div_euclid(step).min(start / step) };
        let stop = if end == size as isize {
            count
        } else {
            ((end - 1 - taps.first).div_euclid(step) + 1).max((end + step - 1) / step)
        };
        let samples = first.clamp(0, count)..stop.clamp(0, count);
        let pixels = samples.start * step + taps.first.min(0)..(samples.end - 1) * step + last.max(step - 1) + 1;
        Self { siting, taps, samples: samples.start as usize..samples.end as usize, pixels }
    }
}

/// One call.
struct Job<'a, T: Copy> {
    planes: &'a SharedPlanes<'a, T>,
    overlay: Frames<'a, f32>,
    clip: Clip,
    size: (usize, usize),
    codes: Codes,
    is_rgb: bool,
    across: Axis,
    down: Axis,
}

/// The rows of one band, one after the other.
struct Band<'a, T: Copy> {
    job: &'a Job<'a, T>,
    /// Rows of the overlay in components; row `y` of the frame is at `y % KEPT_ROWS`.
    kept: Vec<Kept>,
    /// Their mean, with the weights of a row of chroma.
    mean: Components,
    /// Alpha and values of samples of chroma.
    alpha: Vec<f32>,
    values: Vec<f32>,
    samples: Vec<T>,
}

/// A row of the overlay.
struct Kept {
    row: Option<usize>,
    /// Whether any of its pixels has weight.
    shows: bool,
    parts: Components,
}

impl<'a, T: Sample> Band<'a, T> {
    fn new(job: &'a Job<'a, T>) -> Self {
        let (pixels, samples) = (job.across.pixels.len(), job.across.samples.len());
        let kept = || Kept { row: None, shows: false, parts: Components::new(pixels) };
        Self {
            job,
            kept: (0..KEPT_ROWS).map(|_| kept()).collect(),
            mean: Components::new(pixels),
            alpha: vec![0.0; samples],
            values: vec![0.0; samples],
            samples: Vec::new(),
        }
    }

    /// Blends row `row` of chroma, and the rows of luma under it.
    fn blend(&mut self, row: usize) {
        let Siting { step, .. } = self.job.down.siting;
        let planes = if self.job.is_rgb { 3 } else { 1 };
        for y in row * step..((row + 1) * step).min(self.job.size.0) {
            if self.read(y) {
                (0..planes).for_each(|plane| self.blend_pixels(plane, y));
            }
        }
        if self.job.planes.len() > planes && self.read_mean(row) {
            self.blend_chroma(row);
        }
    }

    /// Reads row `y` of the overlay, which may have no such row; false where it has no weight.
    fn read(&mut self, y: usize) -> bool {
        let Job { overlay, clip, codes, is_rgb, across, .. } = self.job;
        let kept = &mut self.kept[y % KEPT_ROWS];
        if kept.row == Some(y) {
            return kept.shows;
        }
        kept.row = Some(y);
        kept.shows = false;
        let Some(from) = y.checked_sub(clip.y).filter(|&from| from < clip.height) else { return false };
        let pixels = &overlay.row(0, from + clip.top).as_chunks::<4>().0[clip.left..clip.left + clip.width];
        let start = (clip.x as isize - across.pixels.start) as usize;
        let end = start + clip.width;
        let Components { alpha, values: [a, b, c] } = &mut kept.parts;
        kept.shows = take_apart(
            pixels,
            codes,
            !is_rgb,
            &mut alpha[start..end],
            &mut a[start..end],
            &mut b[start..end],
            &mut c[start..end],
        );
        let (at_left, at_right) = (clip.x == 0, clip.x + clip.width == self.job.size.1);
        if kept.shows && (at_left || at_right) {
            // Pixels beyond the edge are those at it. Before and after the clip all others stay 0.
            kept.parts.for_each(|line| {
                let (first, last) = (line[start], line[end - 1]);
                if at_left {
                    line[..start].fill(first);
                }
                if at_right {
                    line[end..].fill(last);
                }
            });
        }
        kept.shows
    }

    /// Blends into a row of a plane that has a sample for each pixel.
    fn blend_pixels(&mut self, plane: usize, y: usize) {
        let Job { clip, across, codes, .. } = self.job;
        let start = (clip.x as isize - across.pixels.start) as usize;
        let pixels = start..start + clip.width;
        let parts = &self.kept[y % KEPT_ROWS].parts;
        let (alpha, values) = (&parts.alpha[pixels.clone()], &parts.values[plane][pixels]);
        self.samples.resize(clip.width, T::default());
        // SAFETY: this row belongs to this band, and this is its only line.
        let mut line = unsafe { self.job.planes.line(plane, y, clip.x, clip.x + clip.width) };
        line.gather(&mut self.samples);
        blend(&mut self.samples, alpha, values, codes.low, codes);
        line.scatter(&self.samples);
    }

    /// Makes the mean of the rows that row `row` of chroma lies over; false where they have no weight.
    fn read_mean(&mut self, row: usize) -> bool {
        let Job { down, size, .. } = self.job;
        let mut shows = false;
        for (tap, &weight) in down.taps.weights.iter().enumerate() {
            let y = (row * down.siting.step) as isize + down.taps.first + tap as isize;
            let y = y.clamp(0, size.0 as isize - 1) as usize;
            if !self.read(y) {
                continue;
            }
            if !shows {
                self.mean.for_each(|line| line.fill(0.0));
                shows = true;
            }
            let (parts, mean) = (&self.kept[y % KEPT_ROWS].parts, &mut self.mean);
            add(&mut mean.alpha, &parts.alpha, weight);
            for (sum, line) in mean.values[1..].iter_mut().zip(&parts.values[1..]) {
                add(sum, line, weight);
            }
        }
        shows
    }

    /// Blends the mean into row `row` of both planes of chroma.
    fn blend_chroma(&mut self, row: usize) {
        let Job { across, codes, planes, .. } = self.job;
        let Range { start, end } = across.samples;
        let first = (start * across.siting.step) as isize + across.taps.first - across.pixels.start;
        let of_mean = |line: &[f32], out: &mut [f32]| {
            gather_taps(&line[first as usize..], across.siting.step, &across.taps.weights, out);
        };
        of_mean(&self.mean.alpha, &mut self.alpha);
        self.samples.resize(end - start, T::default());
        for plane in 1..3 {
            of_mean(&self.mean.values[plane], &mut self.values);
            // SAFETY: this row belongs to this band, and this is its only line.
            let mut line = unsafe { planes.line(plane, row, start, end) };
            line.gather(&mut self.samples);
            blend(&mut self.samples, &self.alpha, &self.values, codes.middle, codes);
            line.scatter(&self.samples);
        }
    }
}
