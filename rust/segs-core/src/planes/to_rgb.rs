//! A region of planes as RGB.

use crate::error::{Error, Result};
use crate::parallel::{Interrupted, for_each};
use crate::planes::coding::{Codes, PlaneFormat, Siting};
use crate::planes::lines::{colors, lean, primaries, spread, widen};
use crate::planes::view::{Plane, Sample};
use crate::region::Region;
use crate::view::FramesMut;

/// Rows of one job.
const BAND_ROWS: usize = 32;

/// Samples of chroma before the first pixel of a step, and after it, that may count.
const BEFORE: usize = 1;
const AFTER: usize = 2;

/// Checks that there are three planes, or one of luma alone, of the sizes that `format` says.
pub(super) fn check_sizes<T: Sample>(format: &PlaneFormat, sizes: &[(usize, usize)]) -> Result<()> {
    format.check(T::BITS)?;
    let chroma = match (sizes, format.matrix) {
        ([_], Some(_)) => return Ok(()),
        (&[luma, _, _], _) => format.chroma_size(luma),
        (_, Some(_)) => return Err(Error::shape("planes", "3 planes, or 1 of luma", sizes.len().to_string())),
        (_, None) => return Err(Error::shape("planes", "3 planes", sizes.len().to_string())),
    };
    match sizes[1..].iter().find(|&&size| size != chroma) {
        None => Ok(()),
        Some((height, width)) => {
            let expected = format!("planes of chroma of {}x{} samples", chroma.1, chroma.0);
            Err(Error::shape("planes", expected, format!("{width}x{height}")))
        }
    }
}

/// Converts the region `window` of a frame to RGB in `out`, one frame of three channels. Beyond the edges of the frame
/// the nearest pixel is repeated. With `clip` values are limited to `[0, 1]`; without, colors outside RGB and levels
/// beyond black and white stay what they are.
pub fn planes_to_rgb<T: Sample>(
    planes: &[Plane<'_, T>],
    format: &PlaneFormat,
    window: Region,
    clip: bool,
    out: FramesMut<'_, f32>,
    interrupted: Interrupted<'_>,
) -> Result<()> {
    check_sizes::<T>(format, &planes.iter().map(Plane::size).collect::<Vec<_>>())?;
    let to = out.shape();
    if (to.frames, to.height, to.width, to.channels) != (1, window.height(), window.width(), 3) {
        let expected = format!("one frame of {}x{} pixels and 3 channels", window.width(), window.height());
        return Err(Error::shape("out", expected, to.to_string()));
    }
    if to.is_empty() {
        return Ok(());
    }
    let (height, width) = planes[0].size();
    let inside = |place: i64, size: usize| place.clamp(0, size as i64 - 1) as usize;
    let columns = (inside(window.x1(), width), inside(window.x1() + to.width as i64 - 1, width) + 1);
    // How many pixels of a row lie left of the frame; at least one of the frame's is in every row.
    let left = (columns.0 as i64 - window.x1()).clamp(0, to.width as i64 - 1) as usize;
    let bytes = to.len() * 2 * size_of::<f32>();
    for_each(out.all_bands(BAND_ROWS), bytes, interrupted, |band| {
        let mut reader = Reader::new(planes, format, columns, clip);
        for (i, row) in band.data.chunks_exact_mut(to.row_len()).enumerate() {
            let y = inside(window.y1() + (band.y + i) as i64, height);
            let end = left + columns.1 - columns.0;
            reader.write(y, &mut row[3 * left..3 * end]);
            repeat_edges(row.as_chunks_mut().0, left, end);
        }
    })
}

/// Fills the pixels before `start` and from `end` on with those nearest to them.
fn repeat_edges(row: &mut [[f32; 3]], start: usize, end: usize) {
    let (first, last) = (row[start], row[end - 1]);
    row[..start].fill(first);
    row[end..].fill(last);
}

/// Converts rows, of the columns `columns` of a frame.
struct Reader<'a, T> {
    planes: &'a [Plane<'a, T>],
    codes: Codes,
    is_rgb: bool,
    clip: bool,
    down: Siting,
    columns: (usize, usize),
    chroma: Chroma,
    /// Rows of components at every pixel.
    lines: [Vec<f32>; 3],
    samples: Vec<T>,
}

/// How a row of chroma comes to the pixels.
struct Chroma {
    step: usize,
    /// For each pixel of a step, the sample of the line before it, and how far it is from there.
    phases: Vec<(usize, f32)>,
    /// Samples of chroma, from [`BEFORE`] ones on before the first step.
    line: Vec<f32>,
    other: Vec<f32>,
    /// All pixels of the steps that are touched.
    pixels: [Vec<f32>; 2],
    first_step: usize,
}

impl<'a, T: Sample> Reader<'a, T> {
    fn new(planes: &'a [Plane<'a, T>], format: &PlaneFormat, columns: (usize, usize), clip: bool) -> Self {
        let step = format.across.step;
        let (first_step, last_step) = (columns.0 / step, (columns.1 - 1) / step);
        let steps = last_step + 1 - first_step;
        let phases = (0..step)
            .map(|phase| {
                let (sample, part) = format.across.between(phase);
                ((sample + BEFORE as isize) as usize, part)
            })
            .collect();
        let line = || vec![0.0; steps + BEFORE + AFTER];
        let pixels = || vec![0.0; steps * step];
        let chroma = Chroma { step, phases, line: line(), other: line(), pixels: [pixels(), pixels()], first_step };
        Self {
            planes,
            codes: format.codes(),
            is_rgb: format.matrix.is_none(),
            clip,
            down: format.down,
            columns,
            chroma,
            lines: std::array::from_fn(|_| vec![0.0; columns.1 - columns.0]),
            samples: Vec::new(),
        }
    }

    /// Writes row `y` of the frame.
    fn write(&mut self, y: usize, out: &mut [f32]) {
        let (start, end) = self.columns;
        let zeros = if self.is_rgb { [self.codes.low; 3] } else { [self.codes.low, 0.0, 0.0] };
        let direct = if self.is_rgb { 3 } else { 1 };
        for ((plane, line), zero) in self.planes.iter().zip(&mut self.lines).zip(zeros).take(direct) {
            widen(plane.row(y, start, end, &mut self.samples), self.codes.shift, zero, line);
        }
        let [a, b, c] = &self.lines;
        if self.is_rgb {
            return primaries(a, b, c, &self.codes, self.clip, out);
        }
        let [_, cb, cr] = self.planes else {
            // Luma alone: the lines of chroma are those of no color.
            return colors(a, b, c, &self.codes, self.clip, out);
        };
        let (before, part) = self.down.between(y % self.down.step);
        let row = (y / self.down.step) as isize + before;
        for (index, plane) in [cb, cr].into_iter().enumerate() {
            self.chroma.read(index, plane, (row, part), &self.codes, &mut self.samples);
        }
        let skipped = start - self.chroma.first_step * self.chroma.step;
        let [cb, cr] = self.chroma.pixels.each_ref().map(|pixels| &pixels[skipped..skipped + end - start]);
        colors(a, cb, cr, &self.codes, self.clip, out);
    }
}

impl Chroma {
    /// Brings the chroma of a row of pixels, `part` of the way from row `row` of the plane to the next, to its pixels.
    fn read<T: Sample>(
        &mut self,
        index: usize,
        plane: &Plane<'_, T>,
        (row, part): (isize, f32),
        codes: &Codes,
        samples: &mut Vec<T>,
    ) {
        let rows = plane.size().0 as isize;
        let [row, next] = [row, row + 1].map(|row| row.clamp(0, rows - 1) as usize);
        let first = self.first_step as isize - BEFORE as isize;
        if self.step == 1 {
            let start = self.first_step;
            let pixels = &mut self.pixels[index];
            let end = start + pixels.len();
            widen(plane.row(row, start, end, samples), codes.shift, codes.middle, pixels);
            if part > 0.0 && next != row {
                let other = &mut self.other[..end - start];
                widen(plane.row(next, start, end, samples), codes.shift, codes.middle, other);
                lean(pixels, other, part);
            }
            return;
        }
        read_line(plane, row, first, codes, samples, &mut self.line);
        if part > 0.0 && next != row {
            read_line(plane, next, first, codes, samples, &mut self.other);
            lean(&mut self.line, &self.other, part);
        }
        spread(&self.line, &self.phases, &mut self.pixels[index]);
    }
}

/// Reads a row of chroma from column `first` on, which may lie before the edge; beyond edges the last sample is repeated.
fn read_line<T: Sample>(
    plane: &Plane<'_, T>,
    row: usize,
    first: isize,
    codes: &Codes,
    samples: &mut Vec<T>,
    line: &mut [f32],
) {
    let width = plane.size().1 as isize;
    let (start, end) = (first.clamp(0, width - 1), (first + line.len() as isize).clamp(1, width));
    let (before, after) = ((start - first) as usize, (end - first) as usize);
    let seen = plane.row(row, start as usize, end as usize, samples);
    widen(seen, codes.shift, codes.middle, &mut line[before..after]);
    let (left, right) = (line[before], line[after - 1]);
    line[..before].fill(left);
    line[after..].fill(right);
}
