//! Rectangles in pixels of the full frame.

use crate::error::{Error, Result};

/// Largest absolute coordinate: far beyond any frame, small enough that sums and products of two fit an `i64`.
pub const MAX_COORDINATE: i64 = 1 << 30;

/// A half-open rectangle `x1 <= x < x2`, `y1 <= y < y2`. It may be empty, and may pass the frame's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    x1: i64,
    y1: i64,
    x2: i64,
    y2: i64,
}

/// The part of a region inside a frame: frame columns `x..x + width`, which are the region's columns `left..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// First column inside the frame.
    pub x: usize,
    /// First row inside the frame.
    pub y: usize,
    /// Columns inside the frame.
    pub width: usize,
    /// Rows inside the frame.
    pub height: usize,
    /// Columns of the region left of the frame.
    pub left: usize,
    /// Rows of the region above the frame.
    pub top: usize,
}

impl Region {
    /// Checks that the corners are ordered and small enough to calculate with.
    pub fn new(x1: i64, y1: i64, x2: i64, y2: i64) -> Result<Self> {
        let region = Self { x1, y1, x2, y2 };
        let huge = [x1, y1, x2, y2].iter().any(|v| v.unsigned_abs() > MAX_COORDINATE as u64);
        if huge || x2 < x1 || y2 < y1 {
            return Err(Error::value(
                "region",
                format!("(x1, y1, x2, y2) with x1 <= x2, y1 <= y2 and |coordinate| <= {MAX_COORDINATE}"),
                format!("({x1}, {y1}, {x2}, {y2})"),
            ));
        }
        Ok(region)
    }

    /// The region of `width` x `height` pixels whose top left corner is `(x, y)`.
    pub fn at(x: i64, y: i64, width: usize, height: usize) -> Result<Self> {
        let too_large = |n: usize| i64::try_from(n).map_or(true, |n| n > MAX_COORDINATE);
        if too_large(width)
            || too_large(height)
            || x.abs_diff(0) > MAX_COORDINATE as u64
            || y.abs_diff(0) > MAX_COORDINATE as u64
        {
            return Err(Error::value(
                "region",
                format!("coordinates and sizes up to {MAX_COORDINATE}"),
                format!("{width}x{height} at ({x}, {y})"),
            ));
        }
        Self::new(x, y, x + width as i64, y + height as i64)
    }

    /// Left edge.
    pub fn x1(&self) -> i64 {
        self.x1
    }

    /// Top edge.
    pub fn y1(&self) -> i64 {
        self.y1
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        (self.x2 - self.x1) as usize
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        (self.y2 - self.y1) as usize
    }

    /// The region with one more column and row, where there is any pixel at all.
    pub(crate) fn grown(self, right: bool, down: bool) -> Self {
        if self.width() == 0 || self.height() == 0 {
            return self;
        }
        Self { x2: self.x2 + i64::from(right), y2: self.y2 + i64::from(down), ..self }
    }

    /// The least region that holds what lies no farther from a point than so much across and down; far beyond any frame it
    /// is cut.
    pub(crate) fn around(middle: (f64, f64), reach: (f64, f64)) -> Self {
        let limit = MAX_COORDINATE as f64;
        let bound = |value: f64| value.clamp(-limit, limit) as i64;
        let (x1, y1) = (bound((middle.0 - reach.0).floor()), bound((middle.1 - reach.1).floor()));
        let (x2, y2) = (bound((middle.0 + reach.0).ceil()), bound((middle.1 + reach.1).ceil()));
        Self { x1, y1, x2, y2 }
    }

    /// The part inside a frame of `width` x `height`, or `None` when there is none.
    pub fn clip(&self, width: usize, height: usize) -> Option<Clip> {
        let x1 = self.x1.clamp(0, width as i64);
        let x2 = self.x2.clamp(0, width as i64);
        let y1 = self.y1.clamp(0, height as i64);
        let y2 = self.y2.clamp(0, height as i64);
        (x2 > x1 && y2 > y1).then(|| Clip {
            x: x1 as usize,
            y: y1 as usize,
            width: (x2 - x1) as usize,
            height: (y2 - y1) as usize,
            left: (x1 - self.x1) as usize,
            top: (y1 - self.y1) as usize,
        })
    }

    /// The same region in a frame of another size: x by the width ratio, y by the height ratio, truncated to whole
    /// pixels. A side that was not empty keeps at least one pixel.
    pub fn rescale(&self, from: (usize, usize), to: (usize, usize)) -> Result<Self> {
        let (from_height, from_width) = from;
        let (to_height, to_width) = to;
        if from_height == 0 || from_width == 0 {
            return Err(Error::value("from", "a frame of at least 1x1", format!("{from_width}x{from_height}")));
        }
        let (x1, x2) = rescale_span(self.x1, self.x2, from_width, to_width);
        let (y1, y2) = rescale_span(self.y1, self.y2, from_height, to_height);
        Self::new(x1, y1, x2, y2)
    }

    /// The corners `[x1, y1, x2, y2]`.
    pub fn corners(&self) -> [i64; 4] {
        [self.x1, self.y1, self.x2, self.y2]
    }
}

fn rescale_span(a: i64, b: i64, from: usize, to: usize) -> (i64, i64) {
    // i128: a coordinate times a frame size must not wrap, whatever the caller passes. Integer division truncates.
    let scale = |v: i64| (i128::from(v) * to as i128 / from as i128).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let (start, end) = (scale(a), scale(b));
    if b > a && end <= start && to > 0 { (start, start.saturating_add(1)) } else { (start, end) }
}

/// One region for all frames, or one for each.
#[derive(Debug, Clone, Copy)]
pub enum Regions<'a> {
    /// The same region in every frame.
    Shared(Region),
    /// A moving region: one per frame, all of one size.
    PerFrame(&'a [Region]),
}

impl Regions<'_> {
    /// The region of frame `index`.
    pub fn get(&self, index: usize) -> Region {
        match self {
            Self::Shared(region) => *region,
            Self::PerFrame(regions) => regions[index],
        }
    }

    /// Checks that there is a region for each of `frames`, all of `height` x `width`.
    pub(crate) fn check(&self, frames: usize, height: usize, width: usize) -> Result<()> {
        if let Self::PerFrame(regions) = self
            && regions.len() != frames
        {
            return Err(Error::shape("regions", format!("1 or {frames} regions"), regions.len().to_string()));
        }
        for index in 0..match self {
            Self::Shared(_) => 1,
            Self::PerFrame(regions) => regions.len(),
        } {
            let region = self.get(index);
            if (region.height(), region.width()) != (height, width) {
                return Err(Error::shape(
                    "regions",
                    format!("regions of {width}x{height} pixels, as the crops are"),
                    format!("{}x{} in region {index}", region.width(), region.height()),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inverted_and_huge_regions_are_refused() {
        assert!(Region::new(5, 0, 4, 1).is_err());
        assert!(Region::new(0, 0, i64::MAX, 1).is_err());
        assert!(Region::new(i64::MIN, 0, 0, 1).is_err());
        assert!(Region::at(0, 0, usize::MAX, 1).is_err());
    }

    #[test]
    fn rescaling_uses_each_axis_ratio_and_keeps_a_pixel() {
        let region = Region::new(10, 10, 20, 30).unwrap();
        assert_eq!(region.rescale((100, 200), (50, 400)).unwrap().corners(), [20, 5, 40, 15]);
        assert_eq!(region.rescale((100, 200), (1, 1)).unwrap().corners(), [0, 0, 1, 1]);
        assert!(region.rescale((1, 1), (usize::MAX, usize::MAX)).is_err());
    }

    proptest! {
        #[test]
        fn a_clip_is_the_intersection(x in -50i64..50, y in -50i64..50, w in 0usize..60, h in 0usize..60,
                                      width in 0usize..40, height in 0usize..40) {
            let region = Region::at(x, y, w, h).unwrap();
            let inside = |px: i64, py: i64| {
                px >= x && px < x + w as i64 && py >= y && py < y + h as i64
            };
            let count = (0..width as i64).flat_map(|px| (0..height as i64).map(move |py| (px, py)))
                .filter(|&(px, py)| inside(px, py)).count();
            match region.clip(width, height) {
                None => prop_assert_eq!(count, 0),
                Some(clip) => {
                    prop_assert_eq!(clip.width * clip.height, count);
                    prop_assert_eq!(clip.x as i64, x + clip.left as i64);
                    prop_assert_eq!(clip.y as i64, y + clip.top as i64);
                    prop_assert!(clip.left + clip.width <= w && clip.top + clip.height <= h);
                }
            }
        }
    }
}
