"""Colors become the codes that ITU-T H.273 gives for them, and codes those colors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter

from segs_detailer.video import ColorTags
from segs_detailer.video.color import FrameToRgb, RgbToFrame, sample_bits

LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Weights of red and blue, by libav's number of the matrix."""

FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "yuva420p",
    "nv12",
    "p010le",
    "yuv411p",
]
TAGS = [ColorTags(1, 1, 1, 1), ColorTags(1, 2, 1, 1), ColorTags(5, 2, 1, 1), ColorTags(9, 2, 1, 1)]
CASES = [
    *((name, tags) for name in FORMATS for tags in TAGS),
    *((name, ColorTags(matrix, 2, matrix, 6)) for name in ("yuvj420p", "yuvj422p", "yuvj444p") for matrix in (1, 5)),
]


def case_id(case):
    return case if isinstance(case, str) else f"matrix{case.matrix}-range{case.range}"


def codes_of(frame):
    """Code of each component in the middle of a frame of one color."""
    bits, codes = sample_bits(frame.format), []
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for index, component in enumerate(frame.format.components[:3]):
        plane = frame.planes[component.plane]
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        pair = index - 1 if frame.format.name in ("nv12", "p010le") and index else 0
        codes.append(int(rows[plane.height // 2, plane.width // 2 // 2 * 2 + pair]))
    # Samples of p010 lie in the upper bits.
    return np.array(codes) >> (6 if frame.format.name == "p010le" else 0)


def exact_codes(color, tags, bits):
    red_weight, blue_weight = LUMA[tags.matrix]
    red, green, blue = (float(value) for value in color)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = np.array([(blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)])
    step = 1 << (bits - 8)
    if tags.range == 2:
        top = (1 << bits) - 1
        return np.array([top * luma, *(top * chroma + 128 * step)])
    return np.array([(219 * luma + 16) * step, *((224 * chroma + 128) * step)])


def colors(low=0.0, high=1.0):
    rng = np.random.default_rng(5)
    grays = np.repeat(np.linspace(0, 1, 8)[:, None], 3, axis=1)
    mixed = np.concatenate([grays, np.eye(3), 1 - np.eye(3), rng.uniform(0, 1, (40, 3))])
    return (low + (high - low) * mixed).astype(np.float32)


@pytest.mark.parametrize(("name", "tags"), CASES, ids=case_id)
def test_every_color_gets_the_nearest_code(name, tags):
    to_frame, bits = RgbToFrame(tags, name), sample_bits(VideoFormat(name))
    top = (1 << bits) - 1
    for color in colors():
        frame = to_frame(np.tile(color, (32, 32, 1)))

        assert frame.format.name == name
        assert frame.color_range == tags.range
        # Half a step, and what coefficients of 15 bits leave at this depth.
        atol = 0.5 + 0.08 * 2 ** (bits - 8)
        np.testing.assert_allclose(codes_of(frame), np.minimum(exact_codes(color, tags, bits), top), atol=atol)


def test_threads_that_convert_at_once_share_nothing(monkeypatch):
    users = []

    class Recorded:
        def __init__(self):
            self.own, self.threads = VideoReformatter(), set()
            users.append(self.threads)

        def reformat(self, *args, **options):
            self.threads.add(threading.get_ident())
            return self.own.reformat(*args, **options)

    monkeypatch.setattr("av.video.reformatter.VideoReformatter", Recorded)
    convert, frame, together = FrameToRgb(ColorTags()), av.VideoFrame(16, 16, "gray10le"), threading.Barrier(2)

    def work():
        together.wait(timeout=60)
        convert(frame, np.empty((16, 16, 3), np.float32))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: work(), range(2)))
    assert [len(each) for each in users] == [1, 1]


@pytest.mark.parametrize("name", ["gray", "gray10le", "gray16le"])
def test_every_gray_gets_the_nearest_code(name):
    top = (1 << sample_bits(VideoFormat(name))) - 1
    to_frame = RgbToFrame(ColorTags(), name)
    for level in np.linspace(0, 1, 23, dtype=np.float32):
        frame = to_frame(np.full((16, 16, 3), level))
        plane = np.frombuffer(frame.planes[0], np.uint8 if top == 255 else np.uint16)

        assert abs(int(plane[0]) - top * float(level)) <= max(0.6, top / 65535 * 3)


def test_grays_of_another_byte_order_are_repacked():
    name = "gray12be"
    pixels = np.full((16, 16, 3), np.linspace(0.1, 0.9, 16, dtype=np.float32)[:, None, None])
    frame, back = RgbToFrame(ColorTags(), name)(pixels), np.zeros_like(pixels)
    FrameToRgb(ColorTags())(frame, back)

    assert frame.format.name == name
    np.testing.assert_allclose(back, pixels, atol=0.002)


@pytest.mark.parametrize(("name", "tags"), CASES, ids=case_id)
def test_a_frame_keeps_its_codes(name, tags):
    to_frame, to_rgb, bits = RgbToFrame(tags, name), FrameToRgb(tags), sample_bits(VideoFormat(name))
    generations = 3
    pixels = np.empty((32, 32, 3), np.float32)
    # Codes at the ends of full range stand for colors that are a little outside of RGB.
    for color in colors(0.02, 0.98):
        first = to_frame(np.tile(color, (32, 32, 1)))
        again = first
        for _ in range(generations):
            to_rgb(again, pixels)
            again = to_frame(pixels)

        # Coefficients of 15 bits are one step of 12 bits off, at most, each time.
        np.testing.assert_allclose(codes_of(again), codes_of(first), atol=generations if bits > 10 else 0)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (31, 47)])
@pytest.mark.parametrize("name", ["yuvj420p", "yuvj422p", "yuv420p10le", "nv12"])
def test_full_range_frames_of_odd_sizes_are_whole(name, size):
    tags = ColorTags(1, 2, 1, 1)
    pixels = np.full((*size, 3), (0.25, 0.5, 0.75), np.float32)
    frame = RgbToFrame(tags, name)(pixels)
    back = np.zeros_like(pixels)
    FrameToRgb(tags)(frame, back)

    assert isinstance(frame, av.VideoFrame)
    assert (frame.height, frame.width) == size
    np.testing.assert_allclose(back, pixels, atol=0.006)
