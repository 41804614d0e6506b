"""Impact Pack's own functions beside ours on the same random inputs.

They agree within 2/255, the error of Impact Pack's 8-bit resizes, wherever docs/compat.md lists no difference.
"""

from __future__ import annotations

import os

import impact_pack
import numpy as np
import pytest
import torch

from segs_detailer import nodes, ops
from segs_detailer.crop_path import CropPath
from segs_detailer.models.info import Geometry, ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.segs import SEG, scale_match
from segs_detailer.subjects.boxes import make_crop_region
from segs_detailer.subjects.masks import masks_to_segs

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(impact_pack.VARIABLE), reason=f"{impact_pack.VARIABLE} does not name an Impact Pack checkout"
    ),
    pytest.mark.filterwarnings("ignore"),
]

TOLERANCE = 2 / 255 + 1e-6


@pytest.fixture(scope="module")
def impact():
    with impact_pack.loaded() as modules:
        yield modules


@pytest.fixture(params=range(4))
def rng(request):
    return np.random.default_rng(request.param)


def frames_of(rng, frames, height, width, channels=3):
    """Smooth random frames on Impact Pack's 8-bit grid: how it truncates to that is not what is compared."""
    coarse = torch.from_numpy(rng.random((frames, channels, 5, 6), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return on_grid(smooth.permute(0, 2, 3, 1)).contiguous()


def on_grid(frames):
    """The nearest 8-bit values, a hair above: Impact Pack truncates where it converts."""
    return ((frames * 255).round() / 255 + 1e-6).clamp(max=1)


def blob(rng, height, width):
    y, x = np.mgrid[:height, :width]
    cy, cx = height * rng.uniform(0.3, 0.7), width * rng.uniform(0.3, 0.7)
    return (((y - cy) / height) ** 2 + ((x - cx) / width) ** 2 < 0.08).astype(np.float32)


def seg_of(rng, region, mask=None, image=None):
    x1, y1, x2, y2 = region
    mask = blob(rng, y2 - y1, x2 - x1) if mask is None else mask
    return SEG(image, mask, 0.9, region, (x1 + 6, y1 + 4, x2 - 6, y2 - 4), "face", None)


def to_impact(impact, segs):
    return segs[0], [impact.core.SEG(*seg) for seg in segs[1]]


@pytest.mark.parametrize("feather", [0, 1, 5, 20, 50])
def test_feather(impact, rng, feather):
    mask = rng.random((int(rng.integers(2, 150)), int(rng.integers(2, 150))), dtype=np.float32)
    theirs = impact.utils.tensor_gaussian_blur_mask(mask, feather)[0, ..., 0].numpy()
    np.testing.assert_allclose(ops.feather_mask(mask, feather), theirs, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 200), (96, 40), (17, 23), (64, 64)])
def test_resize(impact, rng, height, width):
    frames = frames_of(rng, 2, 64, 64)
    theirs = impact.utils.tensor_resize(frames, width, height)
    torch.testing.assert_close(ops.resize_frames(frames, (height, width)), theirs, atol=TOLERANCE, rtol=0)


def test_crop_region(impact, rng):
    for _ in range(200):
        width, height = (int(n) for n in rng.integers(20, 300, 2))
        x1, x2 = sorted(int(n) for n in rng.integers(0, width, 2))
        y1, y2 = sorted(int(n) for n in rng.integers(0, height, 2))
        factor = float(rng.uniform(1, 5))
        theirs = impact.utils.make_crop_region(width, height, (x1, y1, x2 + 1, y2 + 1), factor)
        assert list(make_crop_region((height, width), (x1, y1, x2 + 1, y2 + 1), factor)) == theirs


def test_scale_match(impact, rng):
    # One ratio for both axes: Impact Pack mixes them otherwise.
    segs = ((60, 80), [seg_of(rng, (10, 8, 60, 50), image=frames_of(rng, 3, 42, 50).numpy())])
    (size, [theirs]) = impact.core.segs_scale_match(to_impact(impact, segs), (3, 120, 160, 3))
    (our_size, [ours]) = scale_match(segs, (3, 120, 160, 3))
    assert our_size == tuple(size)
    assert tuple(ours.crop_region) == theirs.crop_region
    assert tuple(ours.bbox) == theirs.bbox
    np.testing.assert_allclose(ours.cropped_mask, theirs.cropped_mask, atol=1e-5)
    np.testing.assert_allclose(ours.cropped_image, theirs.cropped_image, atol=TOLERANCE)


@pytest.mark.parametrize("bbox_fill", [False, True])
@pytest.mark.parametrize("contour_fill", [False, True])
def test_masks_to_segs(impact, rng, bbox_fill, contour_fill):
    mask = np.zeros((120, 160), dtype=np.float32)
    for _ in range(4):
        y, x = int(rng.integers(0, 90)), int(rng.integers(0, 120))
        mask[y : y + int(rng.integers(4, 30)), x : x + int(rng.integers(4, 40))] = 1
    mask[40:44, 50:54] = 0
    (size, theirs) = impact.core.mask_to_segs(mask, False, 3.0, bbox_fill, drop_size=10, is_contour=contour_fill)
    (our_size, ours) = masks_to_segs(
        mask, crop_factor=3.0, bbox_fill=bbox_fill, drop_size=10, contour_fill=contour_fill
    )
    assert our_size == tuple(size)
    by_box = {tuple(int(v) for v in seg.bbox): seg for seg in theirs}
    assert {tuple(seg.bbox) for seg in ours} == set(by_box)
    for seg in ours:
        other = by_box[tuple(seg.bbox)]
        assert list(seg.crop_region) == list(other.crop_region)
        np.testing.assert_allclose(seg.cropped_mask, other.cropped_mask, atol=1e-6)


@pytest.mark.parametrize("masks", ["one", "per frame", "combined"])
@pytest.mark.parametrize(("feather", "alpha"), [(0, 255), (5, 255), (20, 100)])
def test_paste(impact, rng, masks, feather, alpha):
    frames = frames_of(rng, 3, 90, 110)
    count = {"one": 0, "per frame": 3, "combined": 2}[masks]
    segs = []
    # The second region passes the right and lower edges of the frame.
    for region in [(5, 10, 65, 70), (70, 50, 130, 100)]:
        x1, y1, x2, y2 = region
        size = (y2 - y1, x2 - x1)
        mask = np.stack([blob(rng, *size) for _ in range(count)]) if count else blob(rng, *size)
        mask = torch.from_numpy(mask) if count else mask
        segs.append(seg_of(rng, region, mask, frames_of(rng, 3, *size).numpy()))
    segs = ((90, 110), segs)
    [theirs] = impact.segs_nodes.SEGSPaste.doit(frames, to_impact(impact, segs), feather, alpha)
    [ours] = nodes.SEGSPaste.doit(frames, segs, feather, alpha)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_paste_of_a_reference(impact, rng):
    frames, reference = frames_of(rng, 3, 90, 110), frames_of(rng, 3, 90, 110)
    segs = ((90, 110), [seg_of(rng, (5, 10, 65, 70))])
    [theirs] = impact.segs_nodes.SEGSPaste.doit(frames, to_impact(impact, segs), 5, 255, reference)
    [ours] = nodes.SEGSPaste.doit(frames, segs, 5, 255, reference)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def repaint(latents, mask):
    """A model that darkens what the mask allows; soft, so that the noise mask's values show."""
    return on_grid(latents * (1 - 0.6 * mask[..., None]))


class PixelVAE:
    """Latents are the pixels themselves."""

    def encode(self, pixels):
        return pixels

    def decode(self, latents):
        return latents


class PixelSampler(Sampler):
    info = ModelInfo(family="pixels", geometry=Geometry(size_multiple=8))

    def encode(self, frames):
        return frames

    def sample(self, latents, job):
        return repaint(latents, job.noise_mask)

    def decode(self, latents, *, full_precision=False):
        return latents


class ImpactModel:
    model_options = {"denoise_mask_function": None}


@pytest.fixture
def impact_pipe(impact, monkeypatch):
    def ksampler(model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent, *args, **kwargs):
        mask = latent["noise_mask"]
        return {**latent, "samples": repaint(latent["samples"], mask)}

    monkeypatch.setattr(impact.core.impact_sampling, "ksampler_wrapper", ksampler)
    return (ImpactModel(), None, PixelVAE(), [], [])


# Sizes that need no rounding to the VAE's grid, where ours differs on purpose.
CASES = [
    pytest.param((16, 16, 80, 80), 104, True, 4096, id="bbox"),
    pytest.param((16, 16, 80, 80), 128, False, 4096, id="crop region"),
    pytest.param((0, 8, 128, 72), 600, False, 256, id="max size"),
    pytest.param((16, 16, 80, 80), 16, False, 4096, id="no scaling up"),
]


@pytest.mark.parametrize(("region", "guide_size", "for_bbox", "max_size"), CASES)
@pytest.mark.parametrize("noise_mask_feather", [0, 20])
def test_segs_detailer(impact, impact_pipe, rng, region, guide_size, for_bbox, max_size, noise_mask_feather):
    frames = frames_of(rng, 3, 90, 140)
    seg = seg_of(rng, region)
    seg = seg._replace(bbox=(region[0] + 6, region[1] + 6, region[2] - 6, region[3] - 6)) if for_bbox else seg
    segs = ((90, 140), [seg])
    args = (guide_size, for_bbox, max_size, 1, 4, 8.0, "euler", "normal", 0.5)
    (_, [theirs]), _ = impact.animatediff_nodes.SEGSDetailerForAnimateDiff.do_detail(
        frames, to_impact(impact, segs), *args, impact_pipe, 0.2, noise_mask_feather=noise_mask_feather
    )
    (_, [ours]), _ = nodes.SEGSDetailerForAnimateDiff.do_detail(
        frames, segs, *args, (PixelSampler(), None, None, [], []), 0.2, noise_mask_feather=noise_mask_feather
    )
    assert ours.cropped_image.shape == theirs.cropped_image.shape
    np.testing.assert_allclose(ours.cropped_image, theirs.cropped_image, atol=TOLERANCE)


def test_detailer_for_each(impact, impact_pipe, rng):
    frames = frames_of(rng, 3, 90, 140)
    # They overlap: the second is detailed on the frames as the first left them.
    segs = ((90, 140), [seg_of(rng, (16, 16, 80, 80)), seg_of(rng, (56, 16, 120, 80))])
    args = (128, False, 4096, 1, 4, 8.0, "euler", "normal", 0.5, 5)
    theirs = impact.animatediff_nodes.DetailerForEachPipeForAnimateDiff.doit(
        frames, to_impact(impact, segs), *args, impact_pipe, 0.2
    )
    ours = nodes.DetailerForEachPipeForAnimateDiff.doit(frames, segs, *args, (PixelSampler(), None, None, [], []), 0.2)
    # Two resizes there, two back, each with its own rounding to 8 bits in Impact Pack.
    torch.testing.assert_close(ours[0], theirs[0], atol=2 * TOLERANCE, rtol=0)
    assert len(ours[1][1]) == len(theirs[1][1]) == 2


def test_impact_pack_takes_a_crop_that_moves_for_a_fixed_one(impact, rng):
    """Its paste reads the tuple: the region of the first frame in which anything is pasted."""
    frames = frames_of(rng, 3, 48, 64)
    path = CropPath([(4 + 5 * i, 6, 28 + 5 * i, 30) for i in range(3)], [0.0, 1.0, 1.0])
    crops = frames_of(rng, 3, 24, 24).numpy()
    moving = SEG(crops, np.ones((24, 24), np.float32), 1.0, path, (10, 8, 20, 20), "a", None)
    fixed = moving._replace(crop_region=(9, 6, 33, 30))
    theirs = [impact.segs_nodes.SEGSPaste.doit(frames, ((48, 64), [seg]), 0, 255)[0] for seg in (moving, fixed)]
    assert torch.equal(*theirs)
    assert not torch.equal(theirs[0], frames)
