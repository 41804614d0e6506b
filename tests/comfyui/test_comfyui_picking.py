"""Pick Subjects without a browser: numbers as text."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.segs import SEG
from segs_detailer.subjects import boxes_to_segs

FRAMES = torch.rand((3, 40, 60, 4), generator=torch.Generator().manual_seed(0))
BOXES = [(0, 0, 10, 10), (10, 10, 30, 30), (30, 0, 60, 40)]
SEGS = boxes_to_segs((40, 60), BOXES, label=["face", "hand", "face"])


def run(picks="", segs=SEGS, frames=FRAMES):
    node = NODE_CLASS_MAPPINGS["SegsDetailerPick"]
    done = getattr(node(), node.FUNCTION)(image_frames=frames, segs=segs, picks=picks)
    return [
        [next(i for i, own in enumerate(segs[1], 1) if own is seg) for seg in out[1]] for out in done["result"]
    ], done


@pytest.mark.parametrize(
    ("picks", "picked"),
    [
        ("", [1, 2, 3]),
        ("  ", [1, 2, 3]),
        ("2", [2]),
        (" 3 , 1,", [1, 3]),
        ("1,2,3", [1, 2, 3]),
        ("2,2", [2]),
        ("03", [3]),
    ],
)
def test_numbers_between_commas(picks, picked):
    numbers, done = run(picks)
    assert numbers == [picked, [number for number in (1, 2, 3) if number not in picked]]
    assert [out[0] for out in done["result"]] == [(40, 60)] * 2


@pytest.mark.parametrize("picks", ["one", "1;2", "1-3", "-1", "1.5", "²"])
def test_anything_else_is_refused(picks):
    with pytest.raises(InvalidArgumentError, match=r"picks: expected numbers between commas such as 1,3"):
        run(picks)


def test_numbers_that_no_segment_has_are_named_with_those_that_there_are():
    with pytest.raises(InvalidArgumentError, match=r"picks: .*, face: 1, 3; hand: 2, got 0, 4, 9"):
        run("9,1,4,0")
    with pytest.raises(InvalidTypeError, match="picks"):
        run(None)


def test_of_no_segments_all_picks_are_none():
    _, done = run("1,3", ((40, 60), []))
    assert done["result"] == (((40, 60), []), ((40, 60), []))
    assert done["ui"] == {"tiles": []}


def test_tiles_have_numbers_labels_and_colors_of_the_previews():
    _, done = run("2")
    # Whatever is picked, there is a tile for each; without ComfyUI there is no place for pictures.
    assert done["ui"]["tiles"] == [
        {"number": 1, "label": "face", "color": "#ffd60a", "frame": 1},
        {"number": 2, "label": "hand", "color": "#30d158", "frame": 1},
        {"number": 3, "label": "face", "color": "#64d2ff", "frame": 1},
    ]


def test_tiles_are_pictures_in_comfyuis_folder(tmp_path, monkeypatch):
    module = type(sys)("folder_paths")
    module.get_temp_directory = lambda: str(tmp_path / "temp")
    monkeypatch.setitem(sys.modules, "folder_paths", module)
    _, done = run()
    for tile in done["ui"]["tiles"]:
        assert (tile["type"], tile["subfolder"]) == ("temp", "")
        with Image.open(tmp_path / "temp" / tile["filename"]) as picture:
            assert picture.size == (128, 128)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
def test_frames_of_other_types_and_sizes(dtype):
    frames = (FRAMES * 255 if dtype == torch.uint8 else FRAMES).to(dtype)
    larger = torch.nn.functional.interpolate(frames.float().movedim(-1, 1), scale_factor=2).movedim(1, -1).to(dtype)
    numbers, done = run("1", frames=larger)
    assert numbers == [[1], [2, 3]]
    assert len(done["ui"]["tiles"]) == 3


def test_clips_without_frames_have_tiles_without_pictures():
    numbers, done = run("1", frames=FRAMES[:0])
    assert numbers == [[1], [2, 3]]
    assert [sorted(tile) for tile in done["ui"]["tiles"]] == [["color", "label", "number"]] * 3


def test_masks_for_another_number_of_frames_are_said_once():
    segs = (40, 60), [SEG(None, np.ones((2, 40, 60), np.float32), 1.0, (0, 0, 60, 40), (0, 0, 60, 40), "face")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(segs=segs)
    assert ["2 masks for 3 frames" in str(each.message) for each in said] == [True]
