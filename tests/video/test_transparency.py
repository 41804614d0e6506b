"""Transparency goes through video files whose formats have it, and is not lost without a word elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from video_files import picture

from segs_detailer.video import EncoderSettings, open_clip, read_clip, write_clip
from segs_detailer.video.transparency import with_depth

SIZE = (48, 64)


def alpha_mask(number):
    """Half transparent above, soft in the middle, opaque below: another one in each frame."""
    rows = np.linspace(0, 255, SIZE[0]).round().astype(np.uint8)
    return np.roll(np.repeat(rows[:, None], SIZE[1], axis=1), 3 * number, axis=1)


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        rgb = (picture(number, *SIZE) * 255).round().astype(np.uint8)
        Image.fromarray(np.dstack([rgb, alpha_mask(number)])).save(folder / f"{number}.png")
    return read_clip(folder)


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "bits"),
    [
        (".mkv", "ffv1", "yuva420p", 8),
        (".mkv", "ffv1", "yuva444p10le", 10),
        (".mkv", "ffv1", "bgra", 8),
        (".mkv", "ffv1", "gbrap10le", 10),
        (".mov", "prores_ks", "yuva444p10le", 10),
        (".mov", "qtrle", "argb", 8),
        (".mov", "png", "rgba", 8),
        (".mov", "png", "rgba64be", 16),
        (".avi", "utvideo", "gbrap", 8),
    ],
)
def test_alpha_is_written_and_read_again(tmp_path, clip, suffix, codec, pix_fmt, bits):
    path = tmp_path / f"a{suffix}"
    write_clip(path, clip, settings=EncoderSettings(codec=codec, pix_fmt=pix_fmt))
    first = read_clip(path)
    assert first.info.bits in (bits, 12 if codec == "prores_ks" else bits)
    tolerance = 2 if codec == "prores_ks" else 0
    assert first.alpha is not None
    assert first.alpha.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(with_depth(first.alpha, np.uint8).astype(int) - clip.alpha).max() <= tolerance
    assert np.abs(first.frames - clip.frames).mean() < 0.01
    # And again from a video, in its own format.
    write_clip(tmp_path / f"b{suffix}", first)
    again = read_clip(tmp_path / f"b{suffix}")
    assert again.info.pix_fmt == first.info.pix_fmt
    assert np.abs(with_depth(again.alpha, np.uint8).astype(int) - with_depth(first.alpha, np.uint8)).max() <= tolerance


def test_opaque_video_has_no_alpha(tmp_path, clip):
    clip.alpha = None
    write_clip(tmp_path / "a.mkv", clip, settings=EncoderSettings(codec="ffv1", pix_fmt="yuva444p"))
    assert open_clip(tmp_path / "a.mkv").info.pix_fmt == "yuva444p"
    assert read_clip(tmp_path / "a.mkv").alpha is None


def test_transparency_that_is_lost_is_said_once(tmp_path, clip):
    with pytest.warns(UserWarning, match=r"b\.mp4: transparency is left out, which yuv420p video") as said:
        write_clip(tmp_path / "b.mp4", clip)
    assert len(said) == 1
    assert open_clip(tmp_path / "b.mp4").info.frames == 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "target", "expected"),
    [
        # As ProRes 4444 is decoded; its encoder takes 10 bits.
        ("ffv1", "yuva444p12le", "prores", "yuva444p10le"),
        ("ffv1", "yuv444p12le", "prores", "yuv444p10le"),
        ("ffv1", "yuv422p12le", "prores", "yuv422p10le"),
        ("ffv1", "yuv420p12le", "h264", "yuv420p10le"),
        ("ffv1", "yuva420p", "h264", "yuv420p"),
        ("mjpeg", "yuvj444p", "vp9", "yuv444p"),
    ],
)
def test_another_codec_gets_the_nearest_format_that_it_has(tmp_path, clip, codec, pix_fmt, target, expected):
    clip.alpha = None
    write_clip(tmp_path / "a.mkv", clip, settings=EncoderSettings(codec=codec, pix_fmt=pix_fmt))
    write_clip(tmp_path / "b.mkv", read_clip(tmp_path / "a.mkv"), settings=EncoderSettings(codec=target))
    # ProRes is decoded to 12 bits.
    assert open_clip(tmp_path / "b.mkv").info.pix_fmt in (expected, expected.replace("10", "12"))
