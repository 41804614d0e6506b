"""SAM3 Track to SEGS, without a ComfyUI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segs_detailer.comfyui.preview import preview_segments
from segs_detailer.comfyui.sam3 import tracked_objects
from segs_detailer.comfyui.segments import mask_to_segs
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.lazy_masks import is_lazy

FRAMES, SIZE = 8, (96, 128)
WIDGETS = {
    "object_indices": "",
    "label": "",
    "min_share": 0.0,
    "max_gap": 12,
    "drop_size": 4,
    "grow": 0,
    "crop_factor": 1.5,
}


def clip_of(count=FRAMES, size=SIZE, seed=0):
    """Still noise: no cuts."""
    return torch.rand((1, *size, 3), generator=torch.Generator().manual_seed(seed)).repeat(count, 1, 1, 1)


def moving(frames=FRAMES):
    """Two squares that touch in the middle of the clip, one that is seen late, and one that is tiny."""
    masks = np.zeros((frames, 5, *SIZE), bool)
    for frame in range(frames):
        masks[frame, 0, 20:44, 10 + 4 * frame : 34 + 4 * frame] = True
        masks[frame, 1, 44:70, 20:60] = True
        masks[frame, 2, 30:60, 90:120] = frame >= 6
        masks[frame, 3, 2:5, 2:100] = True
    return masks


def data_of(masks):
    packed = torch.from_numpy(np.packbits(masks, axis=-1, bitorder="little"))
    scores = [0.9, 1.0, 0.4, 0.8, 0.7][: masks.shape[1]]
    return {"packed_masks": packed, "n_frames": len(masks), "orig_size": SIZE, "scores": scores}


def run(data=None, frames=None, **changes):
    return tracked_objects(data or data_of(moving()), clip_of() if frames is None else frames, **{**WIDGETS, **changes})


def test_a_segment_for_each_object_with_its_own_mask_and_score():
    masks = moving()
    (size, segs), report = run()
    assert size == SIZE
    assert [(seg.label, seg.confidence) for seg in segs] == [("object 0", 0.9), ("object 1", 1.0), ("object 2", 0.4)]
    for number, seg in enumerate(segs):
        assert is_lazy(seg.cropped_mask)
        x1, y1, x2, y2 = seg.crop_region
        assert np.array_equal(seg.cropped_mask.numpy(), masks[:, number, y1:y2, x1:x2])
        assert seg.cropped_mask.sum() == masks[:, number].sum()
    assert report.splitlines() == [
        "5 objects in 8 frames",
        "segment 1: object 0, score 0.90, frames 0 to 7",
        "segment 2: object 1, score 1.00, frames 0 to 7",
        "segment 3: object 2, score 0.40, frames 6 to 7",
        "left out: object 3, never more than 3 pixels wide or high (drop_size 4)",
        "left out: object 4, never shown",
    ]


def test_a_segment_is_that_of_its_masks():
    """What the mask of one object alone gives by way of MASK to SEGS."""
    masks = moving()
    (_, segs), _ = run(object_indices="0", crop_factor=1.0)
    ((_, [other]),) = mask_to_segs(torch.from_numpy(masks[:, 0]).float(), False, 1.0, False, 4, False)
    assert segs[0].bbox == other.bbox
    assert segs[0].crop_region == other.crop_region
    assert np.array_equal(segs[0].cropped_mask.numpy(), other.cropped_mask)


def test_objects_are_chosen_named_and_grown():
    (_, segs), report = run(object_indices=" 2, 0", label="hand\n cup, ball", grow=3)
    assert [seg.label for seg in segs] == ["hand", "ball"]
    assert "segment 2: object 2, ball, score 0.40" in report
    widths = [int(seg.cropped_mask[-1].any(0).sum()) for seg in segs]
    assert widths == [24 + 2 * 3, 30 + 2 * 3]
    (_, segs), _ = run(label="thing", min_share=0.5)
    assert [seg.label for seg in segs] == ["thing", "thing"]


def test_crops_follow():
    (_, [seg, *_]), _ = run(crop="follow")
    assert isinstance(seg.crop_region, CropPath)
    assert np.diff(seg.crop_region.regions[:, 0]).max() > 1
    mask = seg.cropped_mask
    assert mask.shape[2] < 60
    assert (mask.sum(dim=(1, 2)) == 24 * 24).all()
    assert preview_segments(clip_of(), (SIZE, [seg]), 2).results[0].shape == (2, *SIZE, 3)


def test_frames_of_another_size():
    frames = clip_of(size=(48, 80))
    (size, segs), report = run(frames=frames)
    assert size == (48, 80)
    assert report.splitlines()[0] == "5 objects in 8 frames, resized from 128x96 to 80x48"
    # The tiny one is no longer seen in so many pixels.
    x1, y1, x2, y2 = segs[1].bbox
    assert np.abs(np.array([x1, y1, x2, y2]) - [12.5, 22, 37.5, 35]).max() <= 0.5


def test_cuts_part_objects_where_that_is_asked_for():
    pytest.importorskip("cv2")
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    one = np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], -1)
    other = np.stack([np.cos(y / 3) > 0, np.sin(x / 2) > 0, np.sin(x * y / 99) > 0], -1)
    frames = torch.from_numpy(np.stack([0.2 + 0.1 * one] * 4 + [0.5 + 0.4 * other] * 4).astype(np.float32))
    (_, segs), _ = run(frames=frames, object_indices="0,1")
    assert len(segs) == 2
    (_, segs), report = run(frames=frames, object_indices="0,1", split_at_cuts=True)
    assert len(segs) == 4
    assert "segment 2: object 0, score 0.90, frames 4 to 7" in report
    assert [seg.label for seg in segs] == ["object 0", "object 0", "object 1", "object 1"]
    assert segs[0].crop_region[2] < segs[1].crop_region[2]
    assert [seg.cropped_mask.any(dim=1).any(dim=1).tolist() for seg in segs[:2]] == [
        [True] * 4 + [False] * 4,
        [False] * 4 + [True] * 4,
    ]


def test_nothing_found_is_no_segment_and_says_so():
    empty = {"packed_masks": None, "n_frames": FRAMES, "orig_size": SIZE, "scores": []}
    for changes in ({}, {"object_indices": "0"}):
        (size, segs), report = run(empty, **changes)
        assert (size, segs) == (SIZE, [])
        assert "0 objects in 8 frames: SAM 3 found no object" in report


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"data": torch.zeros(8, 1, 96, 128)}, InvalidTypeError, "SAM 3.1 checkpoint"),
        ({"frames": clip_of(7)}, InvalidArgumentError, "masks of the 7 frames of image_frames, got of 8"),
        ({"object_indices": "0,5"}, InvalidArgumentError, "object_indices: expected places of objects, from 0 to 4"),
        ({"object_indices": "1-3"}, InvalidArgumentError, "got '1-3'"),
        ({"crop": "moving"}, InvalidArgumentError, "crop"),
        ({"frames": "frames"}, InvalidTypeError, "image_frames"),
    ],
)
def test_what_cannot_be_used_is_named(changes, kind, message):
    with pytest.raises(kind, match=message):
        tracked_objects(**{"track_data": data_of(moving()), "image_frames": clip_of(), **WIDGETS, **rename(changes)})


def rename(changes):
    names = {"data": "track_data", "frames": "image_frames"}
    return {names.get(name, name): value for name, value in changes.items()}
