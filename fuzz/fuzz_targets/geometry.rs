//! Regions of any coordinates in frames of any size, against arithmetic in 128 bits.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use segs_core::region::{MAX_COORDINATE, Region};

/// An integer that is often close to where something ends.
#[derive(Debug, Clone, Copy)]
struct Number(i64);

impl<'a> Arbitrary<'a> for Number {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        const ENDS: [i64; 6] = [0, MAX_COORDINATE, -MAX_COORDINATE, i64::MAX, i64::MIN, 1 << 32];
        Ok(Self(match u.int_in_range(0..=5)? {
            0 => u.choose(&ENDS)?.wrapping_add(u.int_in_range(-2..=2)?),
            1 => u.arbitrary()?,
            2 => u.int_in_range(-MAX_COORDINATE..=MAX_COORDINATE)?,
            _ => u.int_in_range(-100..=100)?,
        }))
    }
}

impl Number {
    /// As a size: no slice, and so no frame, is longer than `isize::MAX`.
    fn size(self) -> usize {
        (self.0 & i64::MAX) as usize
    }
}

#[derive(Debug, Arbitrary)]
struct Input {
    corners: [Number; 4],
    from: [Number; 2],
    to: [Number; 2],
}

fuzz_target!(|input: Input| {
    let corners @ [x1, y1, x2, y2] = input.corners.map(|number| number.0);
    let valid = corners.iter().all(|v| v.unsigned_abs() <= MAX_COORDINATE as u64) && x1 <= x2 && y1 <= y2;
    let region = Region::new(x1, y1, x2, y2);
    assert_eq!(region.is_ok(), valid);
    let Ok(region) = region else {
        let _ = Region::at(x1, y1, x2 as usize, y2 as usize);
        return;
    };
    assert_eq!(Region::at(x1, y1, region.width(), region.height()).ok().map(|r| r.corners()), {
        let small = region.width().max(region.height()) as i64 <= MAX_COORDINATE;
        small.then_some(corners)
    });
    let [height, width] = input.from.map(Number::size);
    let inside = |a: i64, b: i64, side: usize| (a.max(0), b.min(side.min(i64::MAX as usize) as i64));
    let ((left, right), (top, bottom)) = (inside(x1, x2, width), inside(y1, y2, height));
    match region.clip(width, height) {
        None => assert!(left >= right || top >= bottom),
        Some(clip) => {
            assert_eq!((clip.x as i64, clip.y as i64), (left, top));
            assert_eq!((clip.width as i64, clip.height as i64), (right - left, bottom - top));
            assert_eq!((clip.left as i64, clip.top as i64), (left - x1, top - y1));
        }
    }
    let [to_height, to_width] = input.to.map(Number::size);
    let scaled = region.rescale((height, width), (to_height, to_width));
    if height == 0 || width == 0 {
        assert!(scaled.is_err());
        return;
    }
    let scale = |a: i64, b: i64, from: usize, to: usize| {
        let scale = |v: i64| i128::from(v) * to as i128 / from as i128;
        let (start, end) = (scale(a), scale(b));
        (start, if b > a && to > 0 { end.max(start + 1) } else { end })
    };
    let ((a, c), (b, d)) = (scale(x1, x2, width, to_width), scale(y1, y2, height, to_height));
    let fits = [a, b, c, d].iter().all(|v| v.unsigned_abs() <= MAX_COORDINATE as u128);
    assert_eq!(scaled.ok().map(|r| r.corners().map(i128::from)), fits.then_some([a, b, c, d]));
});
