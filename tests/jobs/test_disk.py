"""What a run takes on disk, against one that is gone through frame by frame, and against one that is done."""

from __future__ import annotations

import json
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.jobs import disk
from segs_detailer.jobs.disk import plan_disk

Piece = namedtuple("Piece", "track low high")
Track = namedtuple("Track", "path")
Path = namedtuple("Path", "size")

pieces_of_clips = st.lists(
    st.builds(lambda track, low, frames: Piece(track, low, low + frames), st.integers(0, 2), *[st.integers(1, 40)] * 2),
    max_size=12,
)
TRACKS = [Track(Path(size)) for size in ((3, 5), (8, 8), (1, 40))]


def gone_through(pieces, limit):
    """Most bytes at once, where nothing is sampled before it must be."""
    waiting = most = 0
    for frame in range(max((piece.high for piece in pieces), default=0)):
        waiting = min(waiting, limit)
        begun = 0
        for piece in pieces:
            size = 3 * TRACKS[piece.track].path.size[0] * TRACKS[piece.track].path.size[1]
            if piece.low <= frame < piece.high:
                begun += (frame + 1 - piece.low) * size
        most = max(most, waiting + begun)
        for piece in pieces:
            if piece.high == frame + 1:
                size = TRACKS[piece.track].path.size
                waiting += (piece.high - piece.low) * 3 * size[0] * size[1]
    return most


@settings(deadline=None)
@given(pieces_of_clips, st.sampled_from([0, 1000, 1 << 40]))
def test_crops_are_those_that_wait_and_those_of_pieces_that_have_begun(pieces, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "CROPS_AHEAD", limit)
        found = plan_disk(pieces, TRACKS, 1)
        twice = plan_disk(pieces, TRACKS, 2)
    assert found.crops == gone_through(pieces, limit)
    pixels = [int(np.prod(TRACKS[piece.track].path.size)) for piece in pieces]
    assert found.results == sum(4 * (piece.high - piece.low) * n for piece, n in zip(pieces, pixels, strict=True))
    assert twice.results == 2 * found.results
    assert found.total == found.crops + found.results


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    y, x = np.mgrid[:48, :64]
    for index in range(6):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def test_the_plan_counts_what_is_not_in_the_cache_yet(tmp_path, clip, capsys, monkeypatch):
    options = ["--cache", str(tmp_path / "cache"), "--guide-size", "32", "--max-size", "48", "--crop-factor", "1.5"]
    one, two = ["--bbox", "4,4,20,20"], ["--bbox", "40,20,52,32"]

    def planned(*boxes):
        assert main(["plan", str(clip), *boxes, *options, "--json", "-"]) == 0
        numbers = json.loads(capsys.readouterr().out)
        assert main(["plan", str(clip), *boxes, *options]) == 0
        return numbers["disk"], capsys.readouterr().out

    # Crops of 24x24 and 18x18 pixels over 6 frames.
    first, second = ({"crops": 6 * 3 * size, "results": 6 * 4 * size} for size in (24 * 24, 18 * 18))
    found, out = planned(*one)
    assert found == first
    assert "disk, beside the output: 0 MB for crops, 0 MB for results" in out
    assert planned(*one, *two)[0] == {key: first[key] + second[key] for key in first}
    assert main(["run", str(clip), "-o", str(tmp_path / "out.mkv"), *one, *options, "-q"]) == 0
    found, out = planned(*one)
    assert found == {"crops": 0, "results": 0}
    assert "disk, beside the output: nothing, as all results are in the cache" in out
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6})())
    assert "are free" not in planned(*one)[1]
    found, out = planned(*one, *two)
    assert found == second
    assert "0.0 GB are free, and crops take 0.3 GB" in out
