"""Conditioning masks are cut to the segment, relative to the full frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segs_detailer.detailer.canvas import Placed
from segs_detailer.detailer.conditioning import crop_conditioning
from segs_detailer.errors import InvalidArgumentError


def test_masks_are_cut_and_everything_else_is_kept():
    mask = torch.rand((1, 48, 64))
    embedding, pooled = torch.rand((1, 4, 8)), torch.rand((1, 8))
    plain = [embedding, {"pooled_output": pooled}]
    details = {"mask": mask, "mask_strength": 0.5, "pooled_output": pooled}
    conditioning = [[embedding, details], plain]

    [[same, cut], untouched] = crop_conditioning(conditioning, Placed((8, 4, 40, 30), (48, 64)))

    assert same is embedding
    assert torch.equal(cut["mask"], mask[:, 4:30, 8:40])
    assert cut["pooled_output"] is pooled
    assert cut["mask_strength"] == 0.5
    assert untouched is plain
    assert details["mask"] is mask


def test_a_mask_of_another_size_is_resized_to_the_frames_first():
    mask = torch.rand((2, 24, 32))
    [[_, cut]] = crop_conditioning([[None, {"mask": mask}]], Placed((8, 4, 40, 30), (48, 64)))
    whole = torch.nn.functional.interpolate(mask[None], (48, 64), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(cut["mask"], whole[:, 4:30, 8:40], atol=1e-6, rtol=0)


def test_masks_of_two_dimensions_and_of_numpy_are_taken():
    mask = np.random.default_rng(0).random((48, 64), dtype=np.float32)
    [[_, cut]] = crop_conditioning([(None, {"mask": mask})], Placed((8, 4, 40, 30), (48, 64)))
    np.testing.assert_array_equal(cut["mask"][0].numpy(), mask[4:30, 8:40])


def test_outside_the_frame_the_edge_is_repeated():
    mask = torch.rand((1, 48, 64))
    [[_, cut]] = crop_conditioning([[None, {"mask": mask}]], Placed((60, 40, 70, 50), (48, 64)))
    assert cut["mask"].shape == (1, 10, 10)
    assert torch.equal(cut["mask"][0, 8:, 4:], mask[0, 47, 63].expand(2, 6))


@pytest.mark.parametrize("conditioning", ["NegativePlaceholder", None])
def test_placeholders_are_handed_through(conditioning):
    assert crop_conditioning(conditioning, Placed((0, 0, 8, 8), (48, 64))) is conditioning


def test_entries_of_another_form_are_handed_through():
    entry = object()
    assert crop_conditioning([entry, [None, {"mask": None}]], Placed((0, 0, 8, 8), (48, 64))) == [
        entry,
        [None, {"mask": None}],
    ]


@pytest.mark.parametrize("shape", [(4,), (1, 1, 48, 64), (0, 48, 64)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(InvalidArgumentError, match=r"^conditioning\['mask'\]: expected a mask of shape"):
        crop_conditioning([[None, {"mask": torch.zeros(shape)}]], Placed((0, 0, 8, 8), (48, 64)))
