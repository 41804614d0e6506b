"""Masks of each frame in files: objects that are followed, and those with one outline for all frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from segs_detailer.errors import MediaError
from segs_detailer.subjects.formats.mask_tracks import mask_tracks
from segs_detailer.subjects.from_masks import MaskSettings
from segs_detailer.video import ClipInfo, EncoderSettings, open_clip, open_output

SIZE = (48, 96)
COUNT = 20
OPTIONS = {
    "crop_factor": 2.0,
    "combined": False,
    "bbox_fill": False,
    "contour_fill": False,
    "drop_size": 4,
    "label": "mask",
    "follow": True,
    "max_gap": 5,
}


def info(size=SIZE, count=COUNT):
    return ClipInfo(Path("clip"), "images", size, tuple(range(count + 1)), Fraction(1, 24), Fraction(24))


def place(index):
    """A square that moves to the right, one below it that moves to the left: their ways cross in the union."""
    return [(4 * index, 8, 4 * index + 12, 20), (80 - 4 * index, 22, 92 - 4 * index, 34)]


def write(path, places, *, level=1.0, size=SIZE, **settings):
    with open_output(path, info(size, len(places)), settings=EncoderSettings(**settings)) as sink:
        for index, boxes in enumerate(places):
            pixels = np.zeros((*size, 3), np.float32)
            for x1, y1, x2, y2 in boxes:
                pixels[y1:y2, x1:x2] = level
            sink.write(pixels, index, index + 1)
    return open_clip(path)


def tracks(source, *, clip=None, **changes):
    return mask_tracks(source, clip or info(), MaskSettings(**{**OPTIONS, **changes}))


def test_objects_are_followed(tmp_path):
    source = write(f"{tmp_path}/m/", [place(index) for index in range(COUNT)])
    one, two = sorted(tracks(source), key=lambda track: track.boxes[0, 0])
    assert one.boxes.tolist() == [list(place(index)[0]) for index in range(COUNT)]
    assert two.boxes.tolist() == [list(place(index)[1]) for index in range(COUNT)]
    assert all(track.crop_region is None and track.shot is None for track in (one, two))
    # With one outline for all frames, each has the band that its square went along.
    fixed = tracks(source, follow=False)
    assert [track.boxes.tolist() for track in fixed] == [one.boxes.tolist(), two.boxes.tolist()]
    touching = write(
        f"{tmp_path}/t/", [[(4 * i, 8, 4 * i + 12, 20), (80 - 4 * i, 20, 92 - 4 * i, 34)] for i in range(COUNT)]
    )
    assert len(tracks(touching, follow=False)) == 1
    assert len(tracks(touching)) == 2
    assert len(tracks(touching, combined=True)) == 1


def test_what_is_filled(tmp_path):
    ring = [[(10, 10, 30, 14), (10, 26, 30, 30), (10, 10, 14, 30), (26, 10, 30, 30)]] * 3
    source = write(f"{tmp_path}/m/", ring)
    for follow in (True, False):
        [plain] = tracks(source, clip=info(count=3), follow=follow)
        assert not plain.masks[1].bits().all()
        [filled] = tracks(source, clip=info(count=3), follow=follow, contour_fill=True)
        assert filled.masks[1].bits().all()
        [box] = tracks(source, clip=info(count=3), follow=follow, bbox_fill=True)
        assert box.masks[1].bits().all()
        assert tracks(source, clip=info(count=3), follow=follow, drop_size=25) == []


def test_other_sizes_are_scaled_and_noise_of_compression_is_black(tmp_path):
    source = write(
        tmp_path / "m.mp4", [[(16, 16, 48, 48)]] * 4, codec="h264", pix_fmt="yuv420p", crf=30, size=(96, 192)
    )
    for follow in (True, False):
        [track] = tracks(source, clip=info(count=4), follow=follow)
        assert np.abs(track.boxes - (8, 8, 24, 24)).max() <= 1.5


def test_the_number_of_masks_is_held_against_the_clip(tmp_path):
    source = write(f"{tmp_path}/m/", [[(10, 10, 30, 30)]] * 3)
    with pytest.raises(MediaError, match="holds 3 masks for 20 frames: give one mask, or one for each frame"):
        tracks(source)
    single = write(f"{tmp_path}/s/", [[(10, 10, 30, 30)]])
    [track] = tracks(single)
    assert track.frames.tolist() == list(range(COUNT))
    assert track.bbox == (10, 10, 30, 30)
    assert track.crop_region == (0, 0, 40, 40)
