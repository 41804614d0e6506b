"""Control wrappers of single segments, through the nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_models
from fake_sampler import FakeSampler, clip, pipe_of, segment, segs_of
from segs_detailer.detailer import ControlNetWrapper, ImagePromptWrapper, detail_frames, with_control_net
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.info import Geometry
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSDetailerForAnimateDiff
from segs_detailer.ops import crop_frames, resize_frames

FRAMES = clip(frames=3)
REGION = (8, 8, 40, 40)
POSITIVE, NEGATIVE = [["p", {}]], [["n", {}]]
CONTROLNET = object()


def jobs_of(wrapper, *, frames=FRAMES, geometry=None):
    """What the sampler gets, and the images that come back."""
    sampler = FakeSampler(geometry=geometry)
    segs = with_control_net(segs_of(frames, segment(REGION)), wrapper)
    result = detail_frames(
        frames, segs, pipe_of(sampler, POSITIVE, NEGATIVE), guide_size=64, steps=1, noise_mask_feather=0
    )
    return sampler.jobs[0], result.cnet_images


def test_the_crops_themselves_are_the_picture():
    job, images = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, strength=0.7, start_percent=0.1, end_percent=0.9))
    for entries in (job.positive, job.negative):
        (hint,) = entries[0][1]["control"]
        assert (hint.controlnet, hint.strength, hint.start, hint.end) == (CONTROLNET, 0.7, 0.1, 0.9)
        assert torch.equal(hint.image, job.pixels)
    (image,) = images
    assert image.shape == (3, 64, 64, 3)
    assert POSITIVE == [["p", {}]]


@pytest.mark.parametrize("count", [1, 3])
def test_the_whole_frames_picture_is_cut_and_scaled_as_the_crop_is(count):
    picture = clip(frames=count, seed=4)
    job, (image,) = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, control_image=picture))
    torch.testing.assert_close(image, resize_frames(crop_frames(picture, REGION), (64, 64)))
    # Of the frames themselves it is what is encoded, whatever its kind.
    for same in (FRAMES, FRAMES.numpy()):
        job, (image,) = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, control_image=same))
        torch.testing.assert_close(image, job.pixels)
    larger = resize_frames(picture, (96, 128))
    _, (image,) = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, control_image=larger))
    expected = resize_frames(crop_frames(resize_frames(larger, (48, 64)), REGION), (64, 64))
    torch.testing.assert_close(image, expected)
    coarse = (picture[0] * 255).round().to(torch.uint8)
    _, (image,) = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, control_image=coarse))
    assert float((image - resize_frames(crop_frames(picture[:1], REGION), (64, 64))).abs().max()) < 0.01


def test_pictures_are_lengthened_with_the_clip():
    picture = clip(frames=3, seed=4)
    wrapper = ControlNetWrapper(controlnet=CONTROLNET, control_image=picture)
    job, (image,) = jobs_of(wrapper, geometry=Geometry(size_multiple=8, frame_step=4, frame_offset=1))
    (hint,) = job.positive[0][1]["control"]
    assert len(job.pixels) == len(hint.image) == 5
    assert torch.equal(hint.image[3], hint.image[1])
    assert len(image) == 3


def test_preprocessors_see_the_crops():
    class WithMask:
        def apply(self, image, mask):
            assert mask.shape[-2:] == image.shape[1:3]
            return image * 0.5

    for preprocessor in (lambda image: image * 0.5, lambda image: (image * 0.5).numpy(), WithMask()):
        job, (image,) = jobs_of(ControlNetWrapper(controlnet=CONTROLNET, preprocessor=preprocessor))
        torch.testing.assert_close(image, job.pixels * 0.5)
    with pytest.raises(InvalidArgumentError, match=r"preprocessor: expected a preprocessor that returns \(1 or 3"):
        jobs_of(ControlNetWrapper(controlnet=CONTROLNET, preprocessor=lambda image: image[:2]))


def test_wrappers_are_chained():
    first = ControlNetWrapper(controlnet="first", control_image=FRAMES[0] * 0)
    second = ControlNetWrapper(controlnet="second", prev_control_net=first)
    job, images = jobs_of(second)
    assert [hint.controlnet for hint in job.positive[0][1]["control"]] == ["first", "second"]
    assert float(images[0].max()) == 0
    assert float(images[1].max()) > 0
    # A segment that has one already keeps it.
    segs = with_control_net(segs_of(FRAMES, segment(REGION)), first)
    ((_, (seg,))) = with_control_net(segs, ControlNetWrapper(controlnet="second"))
    assert seg.control_net_wrapper.prev_control_net is first
    with pytest.raises(InvalidArgumentError, match="wrapper: expected no prev_control_net"):
        with_control_net(segs, second)

    class Foreign:
        def apply(self, positive, negative, image, mask=None, use_acn=False):
            assert use_acn
            return [["foreign", {}]], negative, None

    job, images = jobs_of(replace(first, prev_control_net=Foreign()))
    assert job.positive[0][0] == "foreign"
    assert len(images) == 1


def test_labels_choose_the_segments():
    segs = segs_of(FRAMES, segment(), segment(label="hand"))
    wrapper = ControlNetWrapper(controlnet=CONTROLNET)
    _, (face, hand) = with_control_net(segs, wrapper, labels=["hand"])
    assert face.control_net_wrapper is None
    assert hand.control_net_wrapper is wrapper
    with pytest.raises(InvalidArgumentError, match=r"labels: expected some of \['face', 'hand'\], got \['foot'\]"):
        with_control_net(segs, wrapper, labels=["foot"])
    with pytest.raises(InvalidTypeError, match="wrapper: expected a ControlNetWrapper"):
        with_control_net(segs, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_percent": 0.5, "end_percent": 0.2}, "0 <= start <= end <= 1"),
        ({"control_image": FRAMES, "preprocessor": abs}, "expected one of them, got both"),
        ({"control_image": np.zeros((4, 4))}, "control_image: expected"),
    ],
)
def test_wrappers_that_cannot_work_are_refused(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        ControlNetWrapper(controlnet=CONTROLNET, **options)


def test_pictures_of_another_length_and_unbound_ones_are_refused():
    with pytest.raises(InvalidArgumentError, match="control_image: expected 1 or 3 frames, got 2 frames"):
        jobs_of(ControlNetWrapper(controlnet=CONTROLNET, control_image=FRAMES[:2]))
    with pytest.raises(InvalidArgumentError, match="bound by for_segment"):
        ControlNetWrapper(controlnet=CONTROLNET, control_image=FRAMES).apply(POSITIVE, NEGATIVE, FRAMES)


def test_image_prompts_need_a_model_that_takes_them():
    with pytest.raises(ModelError, match="a model of the family 'fake' has no image prompts"):
        jobs_of(ImagePromptWrapper(image_prompt=None))


@pytest.fixture(scope="module")
def pipe():
    generator = torch.Generator().manual_seed(1)
    positive, negative = (torch.randn(1, 7, tiny_models.CROSS, generator=generator) for _ in range(2))
    model, vae = DiffusersModel(tiny_models.make_motion_unet()), FrameVAE(tiny_models.make_vae())
    return BasicPipe(model, None, vae, [[positive, {}]], [[negative, {}]])


SETTINGS = (64, False, 64, 3, 2, 4.0, "euler", "normal", 0.6)


def test_a_real_controlnet_steers_through_both_nodes(pipe):
    controlnet = tiny_models.make_controlnet(tiny_models.make_unet())
    free = segs_of(FRAMES, segment(REGION))
    steered = with_control_net(free, ControlNetWrapper(controlnet=controlnet, control_image=FRAMES))
    silent = with_control_net(free, ControlNetWrapper(controlnet=controlnet, strength=0.0))

    def detailed(segs):
        new_segs, images = SEGSDetailerForAnimateDiff.do_detail(FRAMES, segs, *SETTINGS, pipe)
        return new_segs[1][0].cropped_image, images

    (plain, none), (changed, images), (same, _) = detailed(free), detailed(steered), detailed(silent)
    assert none == []
    assert [tuple(image.shape) for image in images] == [(3, 64, 64, 3)]
    assert np.abs(changed - plain).max() > 1e-3
    np.testing.assert_allclose(same, plain, atol=1e-5)
    *_, images = DetailerForEachPipeForAnimateDiff.doit(FRAMES, steered, *SETTINGS, 3, pipe)
    assert len(images) == 1


def test_a_controlnet_of_another_family_is_refused(pipe):
    controlnet = tiny_models.make_controlnet(tiny_models.make_unet(sdxl=True))
    segs = with_control_net(segs_of(FRAMES, segment(REGION)), ControlNetWrapper(controlnet=controlnet))
    with pytest.raises(ModelError, match="the ControlNet does not fit the UNet: its cross_attention_dim is 40"):
        SEGSDetailerForAnimateDiff.do_detail(FRAMES, segs, *SETTINGS, pipe)
