"""Hypothesis strategies for segments: what any format must bring back."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from segs_detailer.subjects import Mask, Track, Tracks

LABELS = ["face", "hand", "a b", 'with "quotes", commas', "größe"]


@st.composite
def arrays(draw, size, *, soft):
    """Pixels of a frame: a rectangle, noise, all, or nothing; with soft levels if asked."""
    kind = draw(st.sampled_from(["rectangle", "noise", "all", "nothing"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = np.zeros(size, np.uint8)
    if kind == "rectangle":
        y1, x1 = (draw(st.integers(0, side - 1)) for side in size)
        y2, x2 = (draw(st.integers(low + 1, side)) for low, side in zip((y1, x1), size, strict=True))
        pixels[y1:y2, x1:x2] = 255
    elif kind == "noise":
        pixels = (rng.random(size) < 0.6).astype(np.uint8) * 255
    elif kind == "all":
        pixels[...] = 255
    return np.where(rng.random(size) < 0.5, pixels, rng.integers(0, 256, size)).astype(np.uint8) if soft else pixels


@st.composite
def clips(draw, *, soft=True, masks="some", boxes="any", gaps=True, tracks=3, known=False):
    """Segments of a small clip. `masks`: "some", "all" (each shows something) or "none"; `boxes`: "any" or "extent";
    `known`: with landmarks, angles and identities."""
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 11)))
    count = draw(st.integers(1, 4))
    ids = draw(st.lists(st.integers(1, 255), unique=True, max_size=tracks, min_size=masks == "all"))
    made = []
    for number in sorted(ids):
        frames = draw(st.lists(st.integers(0, count - 1), unique=True, min_size=1)) if gaps else range(count)
        frames = sorted(frames)
        shapes = [draw(_mask(size, soft=soft, masks=masks)) for _ in frames]
        corners = [shape.place if boxes == "extent" else draw(_box(size)) for shape in shapes]
        confidence = [draw(st.integers(0, 8)) / 8 for _ in frames]
        more = draw(_known(len(frames))) if known else {}
        made.append(Track(number, draw(st.sampled_from(LABELS)), frames, corners, confidence, shapes, **more))
    return Tracks(size, count, tuple(made))


@st.composite
def _known(draw, count):
    """Landmarks, angles and an identity, some of them not known."""
    number = st.sampled_from([float("nan"), -7.25, 0.0, 3.5, 120.0])
    points = draw(st.none() | st.lists(number, min_size=10 * count, max_size=10 * count))
    return {
        "landmarks": None if points is None else np.reshape(points, (count, 5, 2)),
        "angles": draw(st.none() | st.lists(number, min_size=count, max_size=count)),
        "identity": draw(st.sampled_from(["", "A", "größe"])),
    }


@st.composite
def _mask(draw, size, *, soft, masks):
    if masks == "none" or (masks == "some" and draw(st.booleans())):
        return None
    pixels = draw(arrays(size, soft=soft and draw(st.booleans())))
    if masks == "all" and not pixels.any():
        pixels = np.full(size, 255, np.uint8)
    return Mask.from_pixels(pixels)


@st.composite
def _box(draw, size):
    """A box in eighths of pixels, of which floats take sums without rounding; it may pass the frame."""
    y1, x1 = (draw(st.integers(-16, 8 * side)) / 8 for side in size)
    return x1, y1, x1 + draw(st.integers(0, 80)) / 8, y1 + draw(st.integers(0, 80)) / 8
