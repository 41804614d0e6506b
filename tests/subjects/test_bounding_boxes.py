"""Boxes as nodes of ComfyUI hand them over, in every nesting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.bounding_boxes import read_bounding_boxes

SIZE = (100, 200)


def bounding(x, y, width, height, **more):
    return {"x": x, "y": y, "width": width, "height": height, **more}


def read(value, frames=3, **changes):
    """Boxes as tuples, and whether they are for all frames."""
    found = read_bounding_boxes(value, SIZE, frames, **changes)
    return [[each.box for each in boxes] for boxes in found.frames], found.is_still


A, B = bounding(10, 20, 30, 40), bounding(50, 5, 60, 70)
A_BOX, B_BOX = (10, 20, 40, 60), (50, 5, 110, 75)
A_SIDES, B_SIDES = (10, 20, 30, 40), (50, 5, 60, 70)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A, [[A_BOX]]),
        ([A, B], [[A_BOX, B_BOX]]),
        # As many as there are frames: ComfyUI's rule is that they are for all of them.
        ([A, B, A], [[A_BOX, B_BOX, A_BOX]]),
        ([[A, B]], [[A_BOX, B_BOX]]),
        (A_SIDES, [[A_BOX]]),
        ([A_SIDES, B_SIDES], [[A_BOX, B_BOX]]),
        ([[A_SIDES, list(B_SIDES)]], [[A_BOX, B_BOX]]),
        ([[[A_SIDES], [B_SIDES]]], [[A_BOX, B_BOX]]),
        (torch.tensor(A_SIDES), [[A_BOX]]),
        (np.array([A_SIDES, B_SIDES], np.float32), [[A_BOX, B_BOX]]),
        ([np.array(A_SIDES), torch.tensor(B_SIDES)], [[A_BOX, B_BOX]]),
        ([], [[]]),
        ([[]], [[]]),
    ],
    ids=str,
)
def test_boxes_of_all_frames(value, expected):
    assert read(value) == (expected, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[A], [], [A, B]], [[A_BOX], [], [A_BOX, B_BOX]]),
        ([[A_SIDES], None, [B_SIDES]], [[A_BOX], [], [B_BOX]]),
        # KJNodes: a box for each frame.
        ([A_SIDES, B_SIDES, A_SIDES], [[A_BOX], [B_BOX], [A_BOX]]),
        ([A_SIDES, [], B_SIDES], [[A_BOX], [], [B_BOX]]),
        (torch.tensor([[A_SIDES], [B_SIDES], [A_SIDES]]), [[A_BOX], [B_BOX], [A_BOX]]),
        ([[[A], [B]], [[]], []], [[A_BOX, B_BOX], [], []]),
    ],
    ids=str,
)
def test_boxes_of_each_frame(value, expected):
    assert read(value) == (expected, False)


def test_plain_numbers_are_what_is_said():
    assert read([10, 20, 40, 60], layout="xyxy") == ([[A_BOX]], True)
    assert read([A, [10, 20, 40, 60]], layout="xyxy")[0] == [[A_BOX, A_BOX]], "a dict says it itself"
    with pytest.raises(InvalidArgumentError, match="layout"):
        read(A, layout="cxcywh")


def test_scores_and_labels_count():
    value = [[bounding(1, 2, 3, 4, score=0.25, label="hand", metadata={"any": 1}), A], [], [A_SIDES]]
    found = read_bounding_boxes(value, SIZE, 3, label="thing").frames
    assert [[(each.score, each.label) for each in boxes] for boxes in found] == [
        [(0.25, "hand"), (1.0, "thing")],
        [],
        [(1.0, "thing")],
    ]


def test_boxes_are_cut_at_the_frame_and_those_outside_are_named_once():
    with pytest.warns(UserWarning, match=r"^bounding_boxes: 2 boxes are empty or outside the frame, and left out$"):
        assert read([[bounding(-5, -5, 15, 15)], [bounding(300, 0, 5, 5)], [bounding(5, 5, 0, 5)]]) == (
            [[(0, 0, 10, 10)], [], []],
            False,
        )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("boxes", "bounding_boxes: expected a BOUNDING_BOX"),
        (None, "bounding_boxes: expected a BOUNDING_BOX"),
        ([1, 2, 3], r"bounding_boxes\[0\]\[0\]: expected a BOUNDING_BOX .* got int 1"),
        ([1, 2], r"bounding_boxes\[0\]: expected a BOUNDING_BOX .* got int 1"),
        ({"x": 1, "y": 2}, r"none of width, height"),
        (bounding(1, 2, "3", 4), r"bounding_boxes\[0\]: width"),
        (bounding(1, 2, float("nan"), 4), r"bounding_boxes\[0\]: width"),
        (bounding(1, 2, 3, 4, score="high"), r"bounding_boxes\[0\]: score"),
        ([[A], [A]], "a list for each of 3 frames, got 2 lists"),
        ([[A], ["box"], []], r"bounding_boxes\[1\]\[0\]: expected a BOUNDING_BOX"),
    ],
    ids=str,
)
def test_what_is_no_box_is_named(value, message):
    with pytest.raises((InvalidArgumentError, InvalidTypeError), match=message):
        read(value)
