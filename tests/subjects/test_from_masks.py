"""Tracks of masks that come frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.mask_levels import MaskLevels
from segs_detailer.subjects import MaskSettings, MaskStream, MaskTracker, masks_to_segs, tracks_from_masks

SIZE = (120, 300)
Y, X = np.arange(120)[:, None], np.arange(300)


def disc(x, y, radius=20):
    return (X - x) ** 2 + (Y - y) ** 2 < radius**2


def levels(*discs):
    mask = np.zeros(SIZE, np.uint8)
    for place, level in discs:
        mask[disc(*place)] = level
    return mask


def test_what_hangs_together_is_a_track_with_its_own_levels():
    masks = [levels(((40 + 3 * t, 60), 255), ((220, 50 + t), 100)) for t in range(20)]
    first, second = sorted(tracks_from_masks(masks, label="hand"), key=lambda track: track.boxes[0, 0])
    assert (first.label, first.span, first.gaps, first.shot) == ("hand", (0, 20), 0, (0, 20))
    assert {track.id for track in (first, second)} == {1, 2}
    for frame, mask in enumerate(masks):
        drawn = np.zeros(SIZE, np.uint8)
        first.masks[frame].paint(drawn)
        assert drawn.max() == 255
        second.masks[frame].paint(drawn)
        assert np.array_equal(drawn, mask)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
def test_masks_may_be_of_any_kind(dtype):
    whole = {bool: 1, np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    (track,) = tracks_from_masks([disc(50, 50).astype(dtype) * dtype(whole)] * 3)
    assert np.array_equal(track.masks[0].bits(), disc(50, 50)[31:70, 31:70])


@pytest.mark.parametrize("apart", [40, 15])
def test_subjects_that_touch_or_cross_stay_two(apart):
    masks = [levels(((40 + 4 * t, 50, 25), 255), ((260 - 4 * t, 50 + apart), 255)) for t in range(60)]
    left, right = sorted(tracks_from_masks(masks), key=lambda track: track.boxes[0, 0])
    assert (left.span, right.span) == ((0, 60), (0, 60))
    assert left.boxes[-1].tolist() == [252, 26, 300, 75]
    assert right.boxes[-1].tolist() == [5, 31 + apart, 44, 70 + apart]
    for frame in range(60):
        drawn = np.zeros((2, *SIZE), np.uint8)
        for track, picture in zip((left, right), drawn, strict=True):
            if frame in track.frames:
                track.masks[int(np.searchsorted(track.frames, frame))].paint(picture)
        assert not (drawn[0] & drawn[1]).any()


def test_combined_is_one_track_of_each_shot():
    masks = [levels(((40, 60), 255), ((220, 50), 100)) if t not in (4, 5) else levels() for t in range(30)]
    (track,) = tracks_from_masks(masks, combined=True, max_gap=0)
    assert track.frames.tolist() == [*range(4), *range(6, 30)]
    assert track.boxes[0].tolist() == [21, 31, 240, 80]
    first, second = tracks_from_masks(masks, combined=True, shots=(0, 10))
    assert (first.shot, first.span, second.shot, second.span) == ((0, 10), (0, 10), (10, 30), (10, 30))


def test_cuts_end_tracks():
    tracks = tracks_from_masks([levels(((40, 60), 255))] * 9, shots=(0, 5))
    assert [(track.shot, track.span) for track in tracks] == [((0, 5), (0, 5)), ((5, 9), (5, 9))]


def test_gaps_within_the_limit_are_gaps_of_one_track():
    masks = [levels(((40, 60), 255)) if not 5 <= t < 9 else levels() for t in range(15)]
    assert [track.gaps for track in tracks_from_masks(masks, max_gap=4)] == [4]
    assert len(tracks_from_masks(masks, max_gap=3)) == 2


def test_specks_are_dropped_and_what_shrinks_is_not():
    masks = [levels(((40, 60, 3), 255), ((200, 60, 20 - t), 255)) for t in range(12)]
    (track,) = tracks_from_masks(masks, drop_size=20)
    assert track.span == (0, 12)
    assert tracks_from_masks(masks, drop_size=60) == []
    assert len(tracks_from_masks(masks, drop_size=0)) == 2


def test_nothing_gives_nothing():
    assert tracks_from_masks([]) == []
    assert tracks_from_masks([levels()] * 3) == []
    assert tracks_from_masks([levels()] * 3, combined=True) == []


def test_bad_masks_are_refused():
    tracker = MaskTracker()
    tracker.add(levels())
    with pytest.raises(InvalidArgumentError, match=r"mask: expected shape \(120, 300\), as before, got shape \(3, 3\)"):
        tracker.add(np.zeros((3, 3), bool))
    with pytest.raises(InvalidTypeError, match="mask"):
        MaskTracker().add(np.zeros((3, 3), np.int32))
    with pytest.raises(InvalidTypeError, match="label"):
        MaskTracker(label=3)
    with pytest.raises(InvalidArgumentError, match="drop_size"):
        MaskTracker(drop_size=-1)


def crossing(count=12):
    """A disc that moves to the right above one that moves to the left."""
    return np.stack([levels(((40 + 6 * t, 30, 12), 255), ((200 - 6 * t, 85, 15), 255)) for t in range(count)])


class TestOneOutlineForAllFrames:
    def test_each_has_its_own_mask_in_each_frame(self):
        masks = crossing()
        upper, lower = tracks_from_masks(masks, follow=False)
        followed = sorted(tracks_from_masks(masks), key=lambda track: track.boxes[0, 1])
        assert [upper.masks, lower.masks] == [track.masks for track in followed]
        assert (upper.id, lower.id, upper.shot) == (1, 2, None)

    def test_they_are_those_of_segs(self):
        masks = crossing()
        masks[:, 25:35, 40:45] = 0  # the hole of the first frames
        for fill in ({}, {"bbox_fill": True}, {"contour_fill": True}):
            _, segs = masks_to_segs(masks, crop_factor=1.0, **fill)
            for track, seg in zip(tracks_from_masks(masks, follow=False, **fill), segs, strict=True):
                x1, y1, x2, y2 = seg.crop_region
                for frame, mask in zip(track.frames.tolist(), track.masks, strict=True):
                    drawn = np.zeros(SIZE, np.uint8)
                    mask.paint(drawn)
                    assert np.array_equal(drawn[y1:y2, x1:x2] / np.float32(255), seg.cropped_mask[frame])

    def test_what_is_read_once_is_refused(self):
        with pytest.raises(InvalidTypeError, match="masks: expected a stack or a list, which can be read again"):
            tracks_from_masks(iter(crossing()), follow=False)

    def test_cuts_are_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"shots: expected none, .*, got \(0, 5\)"):
            tracks_from_masks(crossing(), follow=False, shots=(0, 5))


class TestFramesOfTheClip:
    def test_one_mask_serves_for_all(self):
        [mask] = crossing(1)
        tracks = tracks_from_masks([mask], frame_count=5, crop_factor=2.0)
        _, segs = masks_to_segs(mask, crop_factor=2.0)
        for track, seg in zip(tracks, segs, strict=True):
            assert (track.span, track.crop_region, track.bbox) == ((0, 5), seg.crop_region, seg.bbox)

    def test_another_number_is_refused(self):
        with pytest.raises(InvalidArgumentError, match="masks: expected one mask, or one for each of 5 frames, got 3"):
            tracks_from_masks(crossing(3), frame_count=5)

    @pytest.mark.parametrize("follow", [True, False])
    def test_tracks_are_scaled_to_the_frames(self, follow):
        first, second = tracks_from_masks(crossing(), follow=follow, frame_size=(240, 600))
        np.testing.assert_allclose(first.boxes[0], [58, 38, 104, 84], atol=1)
        assert second.frames.tolist() == list(range(12))

    def test_a_stream_is_never_held(self):
        masks, reads = crossing(), []

        def read():
            reads.append(len(reads))
            return iter(masks)

        stream = MaskStream(read, len(masks), SIZE, MaskLevels())
        assert tracks_from_masks(stream) == tracks_from_masks(masks)
        assert len(reads) == 1
        assert tracks_from_masks(stream, follow=False) == tracks_from_masks(masks, follow=False)
        assert len(reads) == 3


def test_what_is_combined_is_of_any_size():
    masks = np.zeros((3, *SIZE), bool)
    masks[:, 5:8, 5:8] = True
    assert tracks_from_masks(masks) == []
    [track] = tracks_from_masks(masks, combined=True)
    assert track.boxes[0].tolist() == [5, 5, 8, 8]


def test_settings_are_named_or_given():
    settings = MaskSettings(label="hand", follow=False)
    assert [track.label for track in tracks_from_masks(crossing(), settings)] == ["hand", "hand"]
    assert tracks_from_masks(crossing(), settings) == tracks_from_masks(crossing(), label="hand", follow=False)
