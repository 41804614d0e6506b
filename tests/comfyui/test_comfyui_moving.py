"""Crops that follow their subject, and the settings of seams and noise, through the nodes without a ComfyUI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fake_sampler import FakeSampler, constant, identity
from segs_detailer.comfyui.classic import NODE_CLASS_MAPPINGS
from segs_detailer.comfyui.seams import Seams
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.frame_noise import FrameNoise
from segs_detailer.subjects.masks import boxes_to_segs

COUNT, HEIGHT, WIDTH = 24, 64, 160
FRAMES = torch.rand((COUNT, HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(0))
SAMPLING = {
    "guide_size": 64,
    "guide_size_for": True,
    "max_size": 96,
    "seed": 1,
    "steps": 1,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.5,
    "refiner_ratio": 0.2,
}
MASKS = {"combined": False, "crop_factor": 1.5, "bbox_fill": False, "drop_size": 4, "contour_fill": False}
SEAMS = {"grow": 0, "noise_mask_grow": 0, "color_match": 0.0, "vae_correction": False, "noise": "per-frame"}


def run(node_id, **inputs):
    node_class = NODE_CLASS_MAPPINGS[node_id]
    return getattr(node_class(), node_class.FUNCTION)(**inputs)


def pipe_of(sampler):
    return (sampler, None, None, [], [])


def box_at(index):
    """A subject of 20 x 24 that crosses the frame."""
    return 6 + 5 * index, 20, 26 + 5 * index, 44


def moving_masks():
    masks = torch.zeros(COUNT, HEIGHT, WIDTH)
    for index, mask in enumerate(masks):
        x1, y1, x2, y2 = box_at(index)
        mask[y1:y2, x1:x2] = 1
        mask[y1 + 8 : y1 + 12, x1 + 8 : x1 + 12] = 0
    return masks


class Detector:
    def __init__(self):
        self.frame = -1

    def detect(self, image, threshold, dilation, crop_factor, drop_size):
        self.frame += 1
        return boxes_to_segs((HEIGHT, WIDTH), [box_at(self.frame)], label="subject", confidence=[0.5])


def holds_subject(seg):
    return [
        x1 <= box_at(index)[0] and box_at(index)[2] <= x2
        for index, (x1, _, x2, _) in enumerate(seg.crop_region.regions)
    ]


class TestCrop:
    def test_masks_are_followed(self):
        masks = moving_masks()
        (fixed,) = run("SegsDetailerMaskToSegs", masks=masks, **MASKS)
        (same,) = run("SegsDetailerMaskToSegs", masks=masks, crop="fixed", **MASKS)
        (follow,) = run("SegsDetailerMaskToSegs", masks=masks, crop="follow", label="face", **MASKS)
        assert [seg.crop_region for seg in fixed[1]] == [seg.crop_region for seg in same[1]]
        [wide], [seg] = fixed[1], follow[1]
        assert type(wide.crop_region) is tuple
        assert isinstance(seg.crop_region, CropPath)
        assert all(holds_subject(seg))
        # The subject gets several times the pixels.
        assert (wide.crop_region[2] - wide.crop_region[0]) > 3 * seg.crop_region.size[1]
        assert seg.label == "face"
        for index, (x1, y1, x2, y2) in enumerate(seg.crop_region.regions.astype(int)):
            np.testing.assert_array_equal(seg.cropped_mask[index] > 0, masks[index, y1:y2, x1:x2].numpy() > 0)

    @pytest.mark.parametrize(("widget", "holes"), [("bbox_fill", 0), ("contour_fill", 0), (None, 16)])
    def test_fills_count_for_what_is_followed(self, widget, holes):
        widgets = {**MASKS, **({widget: True} if widget else {})}
        (segs,) = run("SegsDetailerMaskToSegs", masks=moving_masks(), crop="follow", **widgets)
        mask = segs[1][0].cropped_mask[12] > 0
        assert 20 * 24 - int(mask.sum()) == holes

    def test_one_mask_stands_still(self):
        (segs,) = run("SegsDetailerMaskToSegs", masks=moving_masks()[:1], crop="follow", **MASKS)
        assert type(segs[1][0].crop_region) is tuple

    def test_another_crop_is_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"^crop: expected 'follow' or 'fixed', got 'moving'"):
            run("SegsDetailerMaskToSegs", masks=moving_masks(), crop="moving", **MASKS)

    def test_another_packs_detector_is_followed(self):
        pytest.importorskip("cv2")
        settings = {"threshold": 0.4, "dilation": 0, "min_frames": 2, "max_gap": 3, "crop_factor": 1.5, "drop_size": 4}
        frames = torch.full((COUNT, HEIGHT, WIDTH, 3), 0.5)
        found = {}
        for crop in ("fixed", "follow"):
            (segs,) = run(
                "SegsDetailerBboxDetector", bbox_detector=Detector(), image_frames=frames, crop=crop, **settings
            )
            [found[crop]] = segs[1]
        assert isinstance(found["follow"].crop_region, CropPath)
        assert all(holds_subject(found["follow"]))
        assert len(np.unique(found["follow"].crop_region.regions[:, 0])) > COUNT / 2
        x1, _, x2, _ = found["fixed"].crop_region
        assert x2 - x1 > 3 * found["follow"].crop_region.size[1]

    def test_masks_are_floats_from_0_to_1(self, monkeypatch):
        """Other packs multiply them by 255: of bytes nothing would be left."""
        asked = {}

        def detect_faces(frames, settings, *, dtype, **rest):
            asked["dtype"] = dtype
            return frames.shape[1:3], []

        monkeypatch.setattr("segs_detailer.comfyui.detecting.detect_faces", detect_faces)
        widgets = {"min_size": 0, "min_share": 0.3, "max_gap": 7, "crop_factor": 2.0, "drop_size": 4}
        run("SegsDetailerFaces", image_frames=FRAMES, mask_shape="ellipse", **widgets)
        assert asked["dtype"] == "lazy"
        (followed,) = run("SegsDetailerMaskToSegs", masks=moving_masks(), crop="follow", **MASKS)
        pytest.importorskip("cv2")
        settings = {"threshold": 0.4, "dilation": 0, "min_frames": 2, "max_gap": 3, "crop_factor": 1.5, "drop_size": 4}
        frames = torch.full((COUNT, HEIGHT, WIDTH, 3), 0.5)
        (boxes,) = run("SegsDetailerBboxDetector", bbox_detector=Detector(), image_frames=frames, **settings)
        for segs in (followed, boxes):
            mask = segs[1][0].cropped_mask
            assert mask.dtype == torch.float32
            assert float(mask.max()) == 1
            assert ((mask * 255).numpy().astype(np.uint8).max()) == 255

    def test_faces_are_followed(self, monkeypatch):
        given = {}

        def detect_faces(frames, settings, *, min_size, crop, dtype, progress):
            given["crop"] = crop
            return frames.shape[1:3], []

        monkeypatch.setattr("segs_detailer.comfyui.detecting.detect_faces", detect_faces)
        widgets = {"min_size": 0, "min_share": 0.3, "max_gap": 7, "crop_factor": 2.0, "drop_size": 4}
        run("SegsDetailerFaces", image_frames=FRAMES, mask_shape="ellipse", crop="follow", **widgets)
        assert (given["crop"].crop, given["crop"].crop_factor, given["crop"].max_gap) == ("follow", 2.0, 7)
        run("SegsDetailerFaces", image_frames=FRAMES, mask_shape="ellipse", **widgets)
        assert given["crop"].crop == "fixed"

    def test_a_graph_of_our_nodes_takes_what_moves(self):
        (segs,) = run("SegsDetailerMaskToSegs", masks=moving_masks(), crop="follow", **MASKS)
        (segs, _) = run("SegsDetailerFilter", segs=segs, labels="A", min_area=1, max_area=0, min_confidence=0.0)
        (segs, _) = run("SegsDetailerOrder", segs=segs, by="x1", descending=False, take_start=0, take_count=0)
        pipe = pipe_of(FakeSampler(constant(0.25)))
        image, *_ = run("SegsDetailerForVideo", image_frames=FRAMES, segs=segs, basic_pipe=pipe, feather=0, **SAMPLING)
        inside = moving_masks().bool()
        torch.testing.assert_close(image[inside], torch.full_like(image[inside], 0.25), atol=1e-4, rtol=0)
        assert torch.equal(image[~inside], FRAMES[~inside])
        detailed, _ = run("SegsDetailerSegsForVideo", image_frames=FRAMES, segs=segs, basic_pipe=pipe, **SAMPLING)
        (pasted,) = run("SegsDetailerPaste", image=FRAMES, segs=detailed, feather=0, alpha=255)
        assert torch.equal(pasted, image)
        larger = torch.zeros(COUNT, 2 * HEIGHT, 2 * WIDTH, 3)
        (matched,) = run("SegsDetailerScaleMatch", segs=segs, image_frames=larger)
        assert matched[1][0].crop_region.size == tuple(2 * side for side in segs[1][0].crop_region.size)
        shown = run("SegsDetailerPreview", image_frames=FRAMES, segs=segs, max_images=3)
        assert shown["result"][0].shape == (3, HEIGHT, WIDTH, 3)


class TestSeams:
    @staticmethod
    def detailed(sampler, **changes):
        (seams,) = run("SegsDetailerSeams", **{**SEAMS, **changes})
        segs = boxes_to_segs((HEIGHT, WIDTH), [(40, 20, 72, 44)], crop_factor=2.0)
        image, *_ = run(
            "SegsDetailerForVideo",
            image_frames=FRAMES,
            segs=segs,
            basic_pipe=pipe_of(sampler),
            feather=0,
            seams_opt=seams,
            **{**SAMPLING, "guide_size": 8},
        )
        return image, seams

    def test_every_setting_reaches_the_run(self):
        sampler = FakeSampler(constant(0.25))
        image, seams = self.detailed(sampler, grow=3, noise_mask_grow=5, noise="shared")
        assert seams == Seams(DetailerSettings(grow=3, noise_mask_grow=5, noise="shared"))
        painted = (image != FRAMES).any(-1)[0].nonzero()
        assert [*painted.amin(0).tolist(), *(painted.amax(0) + 1).tolist()] == [17, 37, 47, 75]
        [job] = sampler.jobs
        assert job.frame_noise == FrameNoise("shared")
        assert int(job.noise_mask[0].sum()) == (24 + 10) * (32 + 10)

    def test_colors_and_the_vaes_changes(self):
        def darker(pixels, job):
            return pixels - 0.1 * job.noise_mask[..., None]

        plain, _ = self.detailed(FakeSampler(darker))
        matched, _ = self.detailed(FakeSampler(darker), color_match=1.0)
        assert float((plain - FRAMES).abs().max()) > 0.09
        assert float((matched - FRAMES).abs().mean()) < 0.2 * float((plain - FRAMES).abs().mean())
        sampler = FakeSampler(identity)
        self.detailed(sampler, vae_correction=True)
        assert len(sampler.decodes) == 2

    def test_max_size_becomes_a_limit(self):
        for limit, size in ((False, (48, 64)), (True, (24, 32))):
            sampler = FakeSampler(identity)
            (seams,) = run("SegsDetailerSeams", **SEAMS, limit_size=limit)
            inputs = {"image_frames": FRAMES, "basic_pipe": pipe_of(sampler), **SAMPLING, "max_size": 32}
            segs = boxes_to_segs((HEIGHT, WIDTH), [(40, 20, 72, 44)], crop_factor=2.0)
            run("SegsDetailerForVideo", segs=segs, feather=0, seams_opt=seams, **inputs)
            assert sampler.encoded[0].shape[1:3] == size

    def test_nothing_connected_and_nothing_asked_are_the_same(self):
        segs = boxes_to_segs((HEIGHT, WIDTH), [(40, 20, 72, 44)], crop_factor=2.0)
        pipe = pipe_of(FakeSampler(constant(0.25)))
        inputs = {"image_frames": FRAMES, "segs": segs, "basic_pipe": pipe, "feather": 2, **SAMPLING}
        (seams,) = run("SegsDetailerSeams", **SEAMS)
        one, *_ = run("SegsDetailerForVideo", **inputs)
        other, *_ = run("SegsDetailerForVideo", seams_opt=seams, **inputs)
        assert torch.equal(one, other)

    def test_pasting_grows_masks_too(self):
        segs = boxes_to_segs((HEIGHT, WIDTH), [(40, 20, 72, 44)], crop_factor=2.0)
        (seams,) = run("SegsDetailerSeams", **{**SEAMS, "grow": -4})
        reference = torch.zeros_like(FRAMES)
        (pasted,) = run(
            "SegsDetailerPaste",
            image=FRAMES,
            segs=segs,
            feather=0,
            alpha=255,
            ref_image_opt=reference,
            seams_opt=seams,
        )
        expected = FRAMES.clone()
        expected[:, 24:40, 44:68] = 0
        assert torch.equal(pasted, expected)

    @pytest.mark.parametrize(("changes", "name"), [({"color_match": 2.0}, "color_match"), ({"noise": "pink"}, "noise")])
    def test_values_that_cannot_be_used_are_refused_where_they_are_set(self, changes, name):
        with pytest.raises(InvalidArgumentError, match=f"^{name}: expected"):
            run("SegsDetailerSeams", **{**SEAMS, **changes})

    def test_something_else_on_the_socket_is_refused(self):
        with pytest.raises(InvalidTypeError, match=r"^seams_opt: expected what Seams and Noise for Video gives"):
            run("SegsDetailerPaste", image=FRAMES, segs=((HEIGHT, WIDTH), []), feather=0, alpha=255, seams_opt={})
