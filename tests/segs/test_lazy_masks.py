"""Masks that are drawn when they are read: a tensor to everyone, and no more drawn than is read."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from segs_detailer.detailer.crops import prepare_segs
from segs_detailer.errors import InvalidTypeError
from segs_detailer.lazy_masks import is_lazy, lazy_masks, lazy_without
from segs_detailer.segs import SEG, mask_frames, scale_match

LEVELS = (np.random.default_rng(0).random((20, 12, 16)) * 255).astype(np.uint8)
DENSE = torch.from_numpy(LEVELS / np.float32(255))


class Drawing:
    """Masks, and which of them were drawn."""

    def __init__(self):
        self.drawn = []
        self.masks = lazy_masks(self.draw, LEVELS.shape)

    def draw(self, start, stop):
        self.drawn.append((start, stop))
        return LEVELS[start:stop]


@pytest.fixture
def drawing():
    return Drawing()


def test_what_is_asked_of_the_outside_draws_nothing(drawing):
    masks = drawing.masks
    assert isinstance(masks, torch.Tensor)
    assert is_lazy(masks)
    assert not is_lazy(DENSE)
    assert not is_lazy(LEVELS)
    assert tuple(masks.shape) == tuple(masks.size()) == LEVELS.shape
    assert (masks.ndim, len(masks), masks.dtype, masks.device.type) == (3, 20, torch.float32, "cpu")
    assert masks.numel() == LEVELS.size
    assert not masks.requires_grad
    assert masks.is_contiguous()
    assert not drawing.drawn


@pytest.mark.parametrize(
    "index",
    [3, -1, slice(2, 5), slice(None, None, 3), slice(9, 4), (4, slice(2, 8)), (slice(1, 3), ..., 5), np.s_[-2:, None]],
    ids=str,
)
def test_an_index_draws_what_it_names(drawing, index):
    assert torch.equal(drawing.masks[index], DENSE[index])
    ((start, stop),) = drawing.drawn or [(0, 0)]
    assert stop - start < 20 or index == slice(None, None, 3)


@pytest.mark.parametrize("index", [None, [1, 2], ..., torch.tensor([0, 3])], ids=str)
def test_other_indices_draw_all(drawing, index):
    assert torch.equal(drawing.masks[index], DENSE[index])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_every_operation_gives_a_plain_tensor(drawing, mode):
    masks = drawing.masks
    with mode():
        for got, expected in (
            (masks.unsqueeze(0), DENSE.unsqueeze(0)),
            (masks * 255, DENSE * 255),
            (1 - masks, 1 - DENSE),
            ((masks > 0.1).any(0), (DENSE > 0.1).any(0)),
            (functional.interpolate(masks[None], size=(6, 8)), functional.interpolate(DENSE[None], size=(6, 8))),
            (torch.cat([masks, masks]), torch.cat([DENSE, DENSE])),
            (torch.stack(list(masks)), DENSE),
            (masks.cpu(), DENSE),
            (masks.to("cpu", torch.uint8), DENSE.to(torch.uint8)),
            (torch.from_numpy(masks.numpy()), DENSE),
            (torch.from_numpy(np.asarray(masks)), DENSE),
            (copy.deepcopy(masks), DENSE),
            (pickle.loads(pickle.dumps(masks)), DENSE),
        ):
            assert type(got) is torch.Tensor
            assert torch.equal(got, expected)
        assert not (masks == 0).all().item()
        assert masks.tolist() == DENSE.tolist()


def test_masks_that_are_compared_with_themselves_are_drawn_once(drawing):
    assert not (drawing.masks != drawing.masks).any()
    assert drawing.drawn == [(0, 20)]


def test_many_are_drawn_in_parts(drawing, monkeypatch):
    monkeypatch.setattr("segs_detailer.lazy_masks._BYTES_AT_ONCE", 3 * 12 * 16)
    assert torch.equal(drawing.masks.clone(), DENSE)
    assert drawing.drawn == [(first, min(first + 3, 20)) for first in range(0, 20, 3)]


@pytest.mark.parametrize(
    "write",
    [
        lambda masks: masks.mul_(2),
        lambda masks: masks.__setitem__(0, 1.0),
        lambda masks: torch.add(DENSE, 1, out=masks),
    ],
    ids=["in place", "an element", "out"],
)
def test_nothing_is_written_that_nobody_would_see(drawing, write):
    with pytest.raises(InvalidTypeError, match=r"call \.clone\(\)"):
        write(drawing.masks)
    assert not drawing.drawn


def test_the_detailer_reads_them_as_any_others(drawing):
    frames = torch.rand((20, 30, 40, 3))
    segs = (30, 40), [SEG(None, drawing.masks, 1.0, (4, 6, 20, 18), (6, 8, 12, 12), "a")]
    size, [seg] = prepare_segs(segs, frames)
    assert seg.cropped_mask is drawing.masks
    assert not drawing.drawn, "they cannot hold NaN"
    assert torch.equal(mask_frames(seg.cropped_mask, (12, 16), 20), DENSE)
    _, [scaled] = scale_match((size, [seg]), (20, 60, 80, 3))
    _, [expected] = scale_match((size, [seg._replace(cropped_mask=DENSE)]), (20, 60, 80, 3))
    assert is_lazy(scaled.cropped_mask)
    assert scaled.crop_region == expected.crop_region
    assert (scaled.cropped_mask - expected.cropped_mask).abs().max() <= 0.501 / 255
    assert (scaled.cropped_mask[3:5] - expected.cropped_mask[3:5]).abs().max() <= 0.501 / 255
    assert drawing.drawn[-1] == (3, 5)


def test_some_are_switched_off(drawing):
    off = np.arange(20) % 3 == 0
    masks = lazy_without(drawing.masks, off)
    assert is_lazy(masks)
    assert torch.equal(masks, DENSE * torch.from_numpy(~off)[:, None, None])
    assert torch.equal(masks[2:5], DENSE[2:5] * torch.from_numpy(~off[2:5])[:, None, None])
