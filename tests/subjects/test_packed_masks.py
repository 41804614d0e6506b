"""Tracks of SAM 3's packed masks, against masks that were packed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import CropSettings, MaskFilter, as_tracks, filter_masks, tracks_from_packed, tracks_to_segs
from segs_detailer.subjects.packed_masks import why_left_out

GRID = (48, 64)


def pack(masks):
    """As ComfyUI packs: `(n, objects, h, w)` to eight columns a byte, the first in the lowest bit."""
    shifts = torch.arange(8)
    bits = torch.from_numpy(masks).view(*masks.shape[:-1], -1, 8)
    return (bits * (1 << shifts)).sum(-1).byte()


def data_of(masks, size=GRID, **changes):
    scores = [0.5 + 0.1 * number for number in range(masks.shape[1])]
    return {"packed_masks": pack(masks), "n_frames": len(masks), "orig_size": size, "scores": scores, **changes}


def blobs(frames=6, objects=3, seed=0):
    """Ragged blobs over the edges of bytes and of the frame; the second object is gone for some frames."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    masks = np.zeros((frames, objects, *GRID), bool)
    for frame in range(frames):
        for number in range(objects):
            middle = (12 + 11 * number + frame, 8 + 19 * number + frame)
            masks[frame, number] = ((y - middle[0]) / 11) ** 2 + ((x - middle[1]) / 9) ** 2 < 1
    masks &= rng.random(masks.shape) < 0.9
    masks[2:4, 1] = False
    return masks


def painted(track, frame, size):
    out = np.zeros(size, np.uint8)
    if frame in track.frames:
        track.masks[track.frames.tolist().index(frame)].paint(out)
    return out


@pytest.mark.parametrize("kind", [torch.from_numpy, np.array], ids=["torch", "numpy"])
def test_objects_are_the_masks_that_were_packed(kind):
    masks = blobs()
    packed = kind(pack(masks).numpy())
    tracks = tracks_from_packed(data_of(masks, packed_masks=packed))
    assert (tracks.frame_size, tracks.frame_count) == (GRID, 6)
    assert [track.id for track in tracks] == [0, 1, 2]
    assert np.array_equal(np.unpackbits(pack(masks).numpy(), axis=-1, bitorder="little"), masks)
    for track in tracks:
        assert track.confidence.tolist() == [0.5 + 0.1 * track.id] * len(track.frames)
        for frame in range(6):
            assert np.array_equal(painted(track, frame, GRID), 255 * masks[frame, track.id].astype(np.uint8))
        boxes = [mask.place for mask in track.masks]
        assert track.boxes.tolist() == [list(map(float, box)) for box in boxes]
    assert tracks.tracks[1].frames.tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize("size", [(96, 128), (100, 130), (31, 50), (48, 200), (1, 1)], ids=str)
def test_other_sizes_are_interpolated_as_comfyui_does_it(size):
    masks = blobs()
    resized = functional.interpolate(
        torch.from_numpy(masks).float(), size=size, mode="bilinear", align_corners=False
    ).numpy()
    tracks = tracks_from_packed(data_of(masks, size))
    for track in tracks:
        for frame in range(6):
            soft = resized[frame, track.id]
            differs = (painted(track, frame, size) > 0) != (soft >= 0.5)
            # Torch may round a half otherwise.
            assert np.abs(soft[differs] - 0.5).max(initial=0) < 1e-5
    assert tracks == tracks_from_packed(data_of(masks), frame_size=size)


def test_objects_are_chosen_and_named():
    data = data_of(blobs())
    assert [(t.id, t.label) for t in tracks_from_packed(data, objects=[2, 0])] == [(0, "object"), (2, "object")]
    labels = [track.label for track in tracks_from_packed(data, label=["hand", "cup"])]
    assert labels == ["hand", "cup", "object 2"]
    seen = []
    tracks_from_packed(data, progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_as_tracks_knows_them():
    data = data_of(blobs())
    assert as_tracks(data) == tracks_from_packed(data)
    assert as_tracks(data, size=(96, 128), label="cup") == tracks_from_packed(data, frame_size=(96, 128), label="cup")
    with pytest.raises(InvalidArgumentError, match=r"frame_count: expected that of the tracks, 6"):
        as_tracks(data, frame_count=7)


def test_nothing_found_are_no_tracks():
    data = {"packed_masks": None, "n_frames": 5, "orig_size": (30, 40), "scores": []}
    tracks = tracks_from_packed(data)
    assert (tracks.frame_size, tracks.frame_count, len(tracks)) == ((30, 40), 5, 0)
    masks = blobs()
    masks[:, 1] = False
    assert [track.id for track in tracks_from_packed(data_of(masks))] == [0, 2]


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (torch.zeros(2, 1, 48, 64), InvalidTypeError, "SAM 3.0"),
        (np.zeros((2, 1, 48, 64)), InvalidTypeError, "SAM 3.0"),
        ([1], InvalidTypeError, "got list"),
        ({"packed_masks": None}, InvalidArgumentError, "none of n_frames, orig_size"),
        (data_of(blobs(), packed_masks="bits"), InvalidTypeError, "packed_masks: expected a torch tensor"),
        (data_of(blobs(), packed_masks=torch.zeros(6, 3, 48, 8)), InvalidArgumentError, "expected uint8 of shape"),
        (data_of(blobs(), packed_masks=pack(blobs())[0]), InvalidArgumentError, "expected uint8 of shape"),
        (data_of(blobs(), n_frames=7), InvalidArgumentError, "masks of 7 frames"),
        (data_of(blobs(), scores=[1.0]), InvalidArgumentError, "one for each of 3 objects, got 1"),
        (data_of(blobs(), orig_size=(0, 40)), InvalidArgumentError, "orig_size"),
    ],
)
def test_what_is_something_else_is_refused(data, kind, message):
    with pytest.raises(kind, match=message):
        tracks_from_packed(data)


def test_an_object_that_is_not_there_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"objects: expected objects from 0 to 2, got 3"):
        tracks_from_packed(data_of(blobs()), objects=[0, 3])


def test_objects_are_left_out_for_a_reason():
    tracks = tracks_from_packed(data_of(blobs()))
    reasons = [why_left_out(track, 6, min_share=0.8, drop_size=0) for track in tracks]
    assert reasons == ["", "in 4 of 6 frames (min_share 0.8)", ""]
    assert "pixels wide or high (drop_size 40)" in why_left_out(tracks.tracks[0], 6, min_share=0, drop_size=40)
    assert why_left_out(None, 6, min_share=0, drop_size=0) == "never shown"
    with pytest.raises(InvalidArgumentError, match="min_share"):
        why_left_out(None, 6, min_share=2, drop_size=0)


def test_memory_is_that_of_what_is_shown():
    """Far below that of the packed masks, and of one mask of a frame for each object."""
    frames, objects, side = 24, 32, 1008
    base = np.zeros((objects, side + frames, side // 8), np.uint8)
    base[:, 400:500, 20:32] = 255
    strides = (side // 8, (side + frames) * side // 8, side // 8, 1)
    packed = torch.from_numpy(base).as_strided((frames, objects, side, side // 8), strides)
    data = {"packed_masks": packed, "n_frames": frames, "orig_size": (720, 1280)}
    tracks_from_packed({**data, "packed_masks": packed[:1], "n_frames": 1})
    tracemalloc.start()
    try:
        _, segs = tracks_to_segs(tracks_from_packed(data), settings=CropSettings(crop="fixed"), dtype="lazy")
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert segs[5].cropped_mask[7].sum() > 0
        one = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    assert len(segs) == objects
    shown = frames * objects * (100 * 720 // side) * (96 * 1280 // side) // 8
    assert held < 4 * shown
    assert peak < held + 4 * objects * side * side // 8
    assert one < 16 * segs[5].cropped_mask[0].numel()
    assert peak < packed.numel() // 10


# Their SEGS


@pytest.mark.parametrize("crop", ["fixed", "follow"])
def test_lazy_segs_are_the_others_drawn_later(crop):
    tracks = tracks_from_packed(data_of(blobs()))
    settings = CropSettings(crop=crop, crop_factor=1.5)
    _, dense = tracks_to_segs(tracks, settings=settings, dtype="float32")
    size, lazy = tracks_to_segs(tracks, settings=settings, dtype="lazy")
    assert size == GRID
    for one, other in zip(dense, lazy, strict=True):
        assert one._replace(cropped_mask=None) == other._replace(cropped_mask=None)
        assert np.array_equal(one.cropped_mask, other.cropped_mask.numpy())


def test_masks_of_a_still_crop_are_those_that_were_packed():
    masks = blobs()
    settings = CropSettings(crop="fixed", max_gap=0, crop_factor=1.2)
    _, segs = tracks_to_segs(tracks_from_packed(data_of(masks)), settings=settings, dtype="lazy")
    for number, seg in enumerate(segs):
        x1, y1, x2, y2 = seg.crop_region
        assert np.array_equal(seg.cropped_mask.numpy(), masks[:, number, y1:y2, x1:x2].astype(np.float32))
        assert seg.cropped_mask.sum() == masks[:, number].sum()
        assert seg.confidence == 0.5 + 0.1 * number


@pytest.mark.parametrize("dtype", ["uint8", "lazy"])
def test_masks_are_cleaned(dtype):
    tracks = tracks_from_packed(data_of(blobs()))
    settings = CropSettings(crop="fixed", crop_factor=2.0)
    edges = MaskFilter(median=1, grow=2)
    _, [plain, *_] = tracks_to_segs(tracks, settings=settings)
    _, [cleaned, *_] = tracks_to_segs(tracks, settings=settings, dtype=dtype, masks=edges)
    expected = filter_masks(plain.cropped_mask, edges)
    got = cleaned.cropped_mask if dtype == "uint8" else (255 * cleaned.cropped_mask).round().to(torch.uint8).numpy()
    assert np.array_equal(got, expected)
