"""What detectors and trackers return, told by its shape."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import Mask, Tracks, as_tracks
from segs_detailer.subjects.masks import boxes_to_segs

SIZE = (30, 40)
XYXY = [[4.0, 3.0, 12.0, 9.0], [30.0, 20.0, 38.0, 28.5]]


def results(ids=None, masks=None, xyxy=XYXY, **more):
    """As ultralytics' `Results`: boxes with tensors, masks in the network's size with outlines in the frame's."""
    count = len(xyxy)
    boxes = SimpleNamespace(
        xyxy=torch.tensor(xyxy).reshape(-1, 4),
        conf=torch.full((count,), 0.75),
        cls=torch.arange(count, dtype=torch.float32),
        id=None if ids is None else torch.tensor(ids, dtype=torch.float32),
    )
    return SimpleNamespace(**{"orig_shape": SIZE, "names": {0: "cat", 1: "dog"}, "boxes": boxes, "masks": masks} | more)


def test_ultralytics_results():
    segments = as_tracks([results(ids=[5, 2]), results(xyxy=[]), results(ids=[5, 2])])
    assert (segments.frame_size, segments.frame_count) == (SIZE, 3)
    dog, cat = segments.tracks
    assert (dog.id, dog.label, dog.frames.tolist(), dog.boxes[1].tolist()) == (2, "dog", [0, 2], XYXY[1])
    assert (cat.id, cat.label, cat.confidence.tolist(), cat.masks) == (5, "cat", [0.75, 0.75], (None, None))


def test_ultralytics_results_without_tracker_are_linked():
    segments = as_tracks([results(), results(boxes=None), results()])
    assert [(s.id, s.label, s.frames.tolist()) for s in segments.tracks] == [(1, "cat", [0, 2]), (2, "dog", [0, 2])]


def test_ultralytics_masks_of_the_networks_size_are_taken_by_their_outlines():
    corners = [np.float32([[4, 3], [12, 3], [12, 9], [4, 9]]), np.zeros((0, 2), np.float32)]
    masks = SimpleNamespace(data=torch.ones(2, 8, 8), xy=corners)
    first, second = as_tracks(results(masks=masks)).tracks
    assert first.masks == (Mask.filled((4, 3, 12, 9)),)
    assert second.masks[0].empty


def test_ultralytics_masks_of_the_frames_size_are_taken_as_they_are():
    data = torch.zeros(2, *SIZE)
    data[0, 3:9, 4:12] = data[1, 0, 0] = 1
    first, second = as_tracks(results(masks=SimpleNamespace(data=data, xy=None))).tracks
    assert first.masks == (Mask.filled((4, 3, 12, 9)),)
    assert second.masks == (Mask.filled((0, 0, 1, 1)),)


def detections(mask=None, tracker_id=None, **more):
    """As supervision's `Detections`."""
    fields = {"xyxy": np.float32(XYXY), "confidence": np.array([0.5, 1.0]), "class_id": np.array([0, 1]), "data": {}}
    return SimpleNamespace(**fields | {"mask": mask, "tracker_id": tracker_id} | more)


class OneAtATime:
    """Masks that are unrolled one by one, as supervision's `CompactMask`."""

    def __init__(self, masks):
        self.masks = masks
        self.shape = masks.shape

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        assert isinstance(index, int)
        return self.masks[index]

    def __array__(self, *_, **__):
        raise AssertionError("all masks at once")


@pytest.mark.parametrize("kind", [np.asarray, OneAtATime])
def test_supervision_detections(kind):
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 3:9, 4:12] = masks[1, 20:28, 30:38] = True
    names = {"class_name": np.array(["a", "b"])}
    frame = detections(kind(masks), np.array([7, 3]), data=names)
    empty = SimpleNamespace(xyxy=np.empty((0, 4)), mask=None, confidence=None, class_id=None, tracker_id=None, data={})
    segments = as_tracks([frame, empty, frame])
    assert (segments.frame_size, segments.frame_count) == (SIZE, 3)
    second, first = segments.tracks
    assert (first.id, first.label, first.frames.tolist()) == (7, "a", [0, 2])
    assert first.masks == (Mask.filled((4, 3, 12, 9)),) * 2
    assert (second.id, second.label, second.boxes[0].tolist()) == (3, "b", XYXY[1])


def test_supervision_boxes_alone_need_a_size():
    with pytest.raises(InvalidArgumentError, match=r"size: expected \(height, width\)"):
        as_tracks(detections())
    segments = as_tracks(detections(confidence=None, class_id=None), size=SIZE, frame_count=4)
    assert segments.frame_count == 4
    assert [(s.label, s.confidence.tolist()) for s in segments.tracks] == [("object", [1.0])] * 2
    assert [s.label for s in as_tracks(detections(), size=SIZE).tracks] == ["0", "1"]


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_sam_2_masks(kind):
    shown = np.zeros((1, *SIZE), bool)
    shown[0, 3:9, 4:12] = True
    video = {0: {1: kind(shown), 2: kind(~shown)}, 1: {1: kind(shown[0]), 2: kind(shown & False)}, 4: {}}
    segments = as_tracks(video, label="cat")
    assert (segments.frame_size, segments.frame_count) == (SIZE, 5)
    first, second = segments.tracks
    assert (first.id, first.label, first.frames.tolist()) == (1, "cat", [0, 1])
    assert first.masks == (Mask.filled((4, 3, 12, 9)),) * 2
    assert first.boxes.tolist() == [[4, 3, 12, 9]] * 2
    assert second.frames.tolist() == [0]
    assert as_tracks(video, frame_count=9).frame_count == 9


def test_segs_and_segments():
    segs = boxes_to_segs(SIZE, XYXY)
    segments = as_tracks(segs, frame_count=2)
    assert [s.frames.tolist() for s in segments.tracks] == [[0, 1]] * 2
    assert as_tracks(segments, size=SIZE, frame_count=2) is segments
    with pytest.raises(InvalidArgumentError, match=r"size: expected the size that the tracks have, \(30, 40\)"):
        as_tracks(segs, size=(40, 30))
    with pytest.raises(InvalidArgumentError, match="frame_count: expected that of the tracks, 2, got 3"):
        as_tracks(segments, frame_count=3)


MASK = np.ones(SIZE, bool)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3, InvalidTypeError, "value: expected Tracks, SEGS .*got int"),
        (None, InvalidTypeError, "got NoneType"),
        ([detections(), "x"], InvalidTypeError, r"\[1\]: expected Tracks.*got str"),
        ([], InvalidArgumentError, "size"),
        ({}, InvalidArgumentError, "size.*no mask"),
        ({0: [MASK]}, InvalidTypeError, r"\[0\]: expected \{object: mask\}, got list"),
        ({"a": {}}, InvalidTypeError, "frame 'a': expected a whole number"),
        ({-1: {}}, InvalidArgumentError, "frame -1: expected a whole number"),
        ({0: {"a": MASK}}, InvalidTypeError, "object 'a': expected a whole number"),
        ({0: {1: MASK.tolist()}}, InvalidTypeError, r"\[0\]\[1\]: expected a NumPy array or a torch tensor, got list"),
        ({0: {1: MASK[None].repeat(2, 0)}}, InvalidArgumentError, r"shape \(h, w\) or \(1, h, w\)"),
        ({0: {1: MASK, 2: MASK[:5]}}, InvalidArgumentError, r"\[0\]\[2\]: expected shape \(30, 40\)"),
        ({0: {1: MASK * 7.0}}, InvalidArgumentError, r"\[0\]\[1\]: expected floats in \[0, 1\] .*logits > 0"),
        ([results(), results(orig_shape=(9, 9))], InvalidArgumentError, r"\[1\]: expected frames of 40x30"),
        (results(boxes=SimpleNamespace(xyxy=np.ones((2, 3)))), InvalidArgumentError, r"xyxy: expected .*\(N, 4\)"),
        (results(ids=[1]), InvalidArgumentError, r"boxes.id: expected 2 values, got 1"),
        (results(ids=[1, 1]), InvalidArgumentError, "each id once in a frame"),
        (results(masks=SimpleNamespace(data=torch.ones(1, 8, 8))), InvalidArgumentError, "masks: expected 2 masks"),
        (detections(MASK[None]), InvalidArgumentError, "masks of 2 boxes, got 1 masks"),
        (((4, 4), ["seg"]), InvalidTypeError, "a SEG with the fields"),
    ],
)
def test_objects_that_cannot_be_taken(value, error, text):
    with pytest.raises(error, match=text):
        as_tracks(value)


def test_a_list_that_is_longer_than_the_clip():
    with pytest.raises(InvalidArgumentError, match="frame_count: expected a whole number from 2"):
        as_tracks([results(), results()], frame_count=1)
    assert as_tracks(Tracks(SIZE, 1)) == Tracks(SIZE, 1)
