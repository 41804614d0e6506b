"""One table: what a clip is must be the same after reading and writing it, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import pytest
from video_files import audio_bytes, make_video

from segs_detailer.video import ColorTags, EncoderSettings, iter_frames, open_clip, open_output

UNTAGGED = ColorTags()
BT709 = ColorTags(1, 1, 1, 1)
BT709_FULL = ColorTags(1, 2, 1, 1)
BT601 = ColorTags(6, 1, 6, 6)
BT601_FULL = ColorTags(5, 2, 5, 6)
HDR10 = ColorTags(9, 1, 9, 16)
HLG = ColorTags(9, 1, 9, 18)
UNEVEN = (0, 40, 80, 200, 240, 500, 540, 580)
"""Milliseconds: variable frame rate."""


@dataclass(frozen=True)
class Row:
    """One clip: the container's suffix, and how it is made."""

    suffix: str
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    tags: ColorTags = UNTAGGED
    rate: Fraction = Fraction(24)
    times: tuple[int, ...] | None = None
    rotation: int | None = None
    aspect: Fraction | None = None
    size: tuple[int, int] = (48, 64)
    frames: int = 8
    audio: str | None = None
    error: float = 0.003
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        given = [self.suffix[1:], self.codec, self.pix_fmt]
        given += [f"{self.tags.matrix}-{self.tags.range}-{self.tags.transfer}"] if self.tags != UNTAGGED else []
        given += ["vfr"] if self.times else [f"{float(self.rate):.4g}"]
        given += [f"turned{self.rotation}"] if self.rotation else []
        given += ["{1}x{0}".format(*self.size)] if self.size != (48, 64) else []
        return "-".join(given)


ROWS = [
    # 8 bits: containers and codecs.
    Row(".mp4", audio="aac"),
    Row(".mov", audio="aac", rate=Fraction(24000, 1001)),
    Row(".mkv", audio="libopus", rate=Fraction(30000, 1001)),
    Row(".webm", "libvpx-vp9", audio="libopus", rate=Fraction(50)),
    Row(".avi", "mpeg4", rate=Fraction(25), error=0.012),
    Row(".mp4", "libx265", options={"x265-params": "log-level=none"}),
    Row(".mkv", "ffv1", "yuv420p", error=0.001),
    Row(".mkv", "ffv1", "yuv444p", BT709, error=0.0005),
    # 10 bits and more, and chroma of every kind.
    Row(".mp4", "libx264", "yuv420p10le"),
    Row(".mp4", "libx265", "yuv420p10le", HDR10, options={"x265-params": "log-level=none"}),
    Row(".mkv", "libx265", "yuv420p10le", HLG, options={"x265-params": "log-level=none"}),
    Row(".mkv", "libvpx-vp9", "yuv444p", BT709),
    Row(".mkv", "libx264", "yuv422p10le", BT709),
    Row(".mkv", "ffv1", "yuv444p10le", HDR10, error=0.001),
    Row(".mkv", "ffv1", "yuv444p16le", BT709, error=0.001),
    Row(".mov", "prores_ks", "yuv422p10le", BT709, error=0.001),
    Row(".mp4", "libx264", "yuv422p"),
    Row(".mkv", "ffv1", "bgr0", error=0.0005),
    Row(".mkv", "libx264", "gray", error=0.002),
    # Matrices and ranges.
    Row(".mp4", tags=BT709),
    Row(".mp4", tags=BT709_FULL),
    Row(".mp4", tags=BT601),
    Row(".mkv", "libx264", "yuvj420p", BT601_FULL),
    Row(".mkv", "libx264", "yuv420p10le", BT709_FULL),
    # Times, turns, shapes and sizes.
    Row(".mkv", times=UNEVEN, audio="aac"),
    Row(".mp4", times=UNEVEN, pix_fmt="yuv420p10le", tags=HDR10),
    Row(".mp4", rotation=90),
    Row(".mov", rotation=-90, tags=BT709, audio="aac"),
    Row(".mp4", rotation=180, times=UNEVEN),
    Row(".mp4", aspect=Fraction(4, 3)),
    Row(".mkv", aspect=Fraction(8, 9), rate=Fraction(30000, 1001)),
    Row(".mp4", frames=1),
    Row(".mkv", frames=1, audio="aac"),
    Row(".mkv", "ffv1", "yuv444p", size=(37, 51), error=0.0005),
    Row(".mkv", "libx264", "yuv444p", size=(47, 33)),
    Row(".mkv", "ffv1", "bgr0", size=(1, 1), frames=3, error=0.0005),
]


def colors(frame):
    """Mean color of each block of 8 x 8 pixels: what codecs lose of fine chroma is not looked at."""
    height, width = (max(1, length // 8) for length in frame.shape[:2])
    rows = np.array_split(frame, height, axis=0)
    return np.array([[part.mean(axis=(0, 1)) for part in np.array_split(row, width, axis=1)] for row in rows])


def milliseconds(info):
    return [round(float(time * info.time_base) * 1000) for time in info.times[:-1]]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_clip_stays_what_it_is(tmp_path, row):
    if row.rotation is not None and not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a rotation")
    source = open_clip(
        make_video(
            tmp_path / f"a{row.suffix}",
            frames=row.frames,
            size=row.size,
            rate=row.rate,
            codec=row.codec,
            pix_fmt=row.pix_fmt,
            color=row.tags,
            audio=row.audio,
            times=row.times,
            aspect=row.aspect,
            rotation=row.rotation,
            options=row.options,
        )
    )
    before = source.info
    frames = list(iter_frames(source))
    target = tmp_path / f"b{row.suffix}"
    # Fine enough that a wrong matrix or range would stand out.
    settings = EncoderSettings(crf=4 if row.codec.startswith("lib") else None)
    with open_output(target, before, settings=settings) as sink:
        for index, frame in enumerate(frames):
            sink.write(frame, before.times[index], before.times[index + 1])
    written = open_clip(target)
    after = written.info

    assert after.frames == before.frames == len(frames) == row.frames
    assert after.size == before.size == (row.size if row.rotation in (None, 180) else row.size[::-1])
    assert (after.codec, after.pix_fmt, after.bits) == (before.codec, before.pix_fmt, before.bits)
    assert after.color == before.color
    assert after.sample_aspect_ratio == before.sample_aspect_ratio == (row.aspect or 1)
    assert after.constant_rate == before.constant_rate == (row.times is None)
    if row.times is None:
        assert after.rate.limit_denominator(1001) == before.rate.limit_denominator(1001)
        assert row.frames == 1 or before.rate.limit_denominator(1001) == row.rate
    else:
        assert milliseconds(after) == milliseconds(before) == list(row.times)
    assert after.audio_streams == before.audio_streams
    if row.audio:
        assert audio_bytes(target) == audio_bytes(before.path)
    errors = [np.abs(colors(a) - colors(b)).mean() for a, b in zip(iter_frames(written), frames, strict=True)]
    assert max(errors) < row.error
