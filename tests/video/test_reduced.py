"""Clips decoded to pictures of reduced size: means of areas, in the colors of the whole frames."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from segs_detailer import iter_frames, open_clip
from segs_detailer.video import ColorTags
from segs_detailer.video.color import FrameToRgb, RgbToFrame
from segs_detailer.video.reading import iter_pictures

HEIGHT, WIDTH = 96, 128
STEP = 1 / 255
CASES = [
    *(
        (name, ColorTags(matrix, 1, matrix, 1))
        for name in ("yuv420p", "yuv422p10le", "yuv444p12le", "nv12")
        for matrix in (1, 5, 9)
    ),
    *((name, ColorTags(1, 2, 1, 1)) for name in ("yuv420p", "yuvj420p", "yuv420p10le")),
    *((name, ColorTags()) for name in ("rgb24", "gbrp", "gbrp10le", "gray", "bgr0")),
]


def smooth(seed=0):
    """A picture without sharp edges."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(HEIGHT)[:, None] / HEIGHT, np.arange(WIDTH) / WIDTH
    waves = [0.5 + 0.4 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0, 6, (3, 3))]
    return np.stack(waves, axis=-1).astype(np.float32)


def means(frame, size):
    return frame.reshape(size[0], HEIGHT // size[0], size[1], WIDTH // size[1], 3).mean(axis=(1, 3))


@pytest.mark.parametrize(
    ("name", "tags"), CASES, ids=lambda case: case if isinstance(case, str) else f"{case.matrix}-{case.range}"
)
def test_colors_are_those_of_the_whole_frame(name, tags):
    picture = smooth()
    if name == "gray":
        picture = np.repeat(picture[..., :1], 3, axis=2)
    frame = RgbToFrame(tags, name)(picture)
    whole = np.empty_like(picture)
    convert = FrameToRgb(tags)
    convert(frame, whole)
    reduced = convert.reduced(frame, (24, 32))
    assert reduced.dtype == np.uint8
    assert reduced.shape == (24, 32, 3)
    # Chroma is a mean of coarser samples, and libswscale rounds on the way.
    assert np.abs(reduced / 255 - means(whole, (24, 32))).max() < 4 * STEP


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for seed in range(3):
            frame = av.VideoFrame.from_ndarray(np.round(smooth(seed) * 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_videos_are_reduced_while_they_are_decoded(video):
    source = open_clip(video)
    assert all(picture.reduced_to is not None for picture in source.pictures())
    pairs = list(zip(iter_frames(source), iter_pictures(source, (48, 64)), strict=True))
    assert len(pairs) == 3
    for frame, picture in pairs:
        assert np.abs(picture / 255 - means(frame, (48, 64))).max() < 4 * STEP
    # The passes share nothing.
    again = list(iter_frames(source))
    assert all(np.array_equal(frame, other) for (frame, _), other in zip(pairs, again, strict=True))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_videos_are_turned(video, turn, monkeypatch):
    from segs_detailer.video import container_reader
    from segs_detailer.video.orientation import Orientation

    turned = {
        90: Orientation(transposed=True, flipped_x=True),
        180: Orientation(flipped_x=True, flipped_y=True),
        270: Orientation(transposed=True, flipped_y=True),
    }[turn]
    monkeypatch.setattr(container_reader, "orientation_of", lambda _: turned)
    source = open_clip(video)
    size = (source.info.size[0] // 2, source.info.size[1] // 2)
    for frame, picture in zip(iter_frames(source), iter_pictures(source, size), strict=True):
        whole = frame.reshape(size[0], 2, size[1], 2, 3).mean(axis=(1, 3))
        assert np.abs(picture / 255 - whole).max() < 4 * STEP


def test_images_and_animations_are_reduced_too(tmp_path):
    pictures = [Image.fromarray(np.round(smooth(seed) * 255).astype(np.uint8)) for seed in range(3)]
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / "in" / f"{number}.png")
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    for name in ("in", "a.webp"):
        source = open_clip(tmp_path / name)
        pairs = list(zip(iter_frames(source), iter_pictures(source, (24, 32)), strict=True))
        assert len(pairs) == 3
        for frame, picture in pairs:
            assert np.abs(picture / 255 - means(frame, (24, 32))).max() < 1.5 * STEP
