"""Both nodes and detail_frames on a tiny AnimateDiff checkpoint, saved and loaded as users do it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_models
from agreement import assert_agree
from fake_sampler import segment, segs_of, smooth_clip
from segs_detailer import BasicPipe, detail_frames
from segs_detailer.detailer import CombinedHook, DetailerHook
from segs_detailer.models.denoise_mask import latent_mask
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSDetailerForAnimateDiff, SEGSPaste

STEPS = 5
REGION = (8, 8, 40, 40)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "base": tiny_models.save_checkpoint(root / "base"),
        "refiner": tiny_models.save_checkpoint(root / "refiner", seed=7),
        "inpaint": tiny_models.save_checkpoint(root / "inpaint", in_channels=9),
        "adapter": tiny_models.save_motion_adapter(root / "adapter"),
    }


@pytest.fixture(scope="module")
def load(folders):
    def load(name):
        return BasicPipe.from_pretrained(
            folders[name],
            motion_adapter=folders["adapter"],
            prompt="a face",
            negative_prompt="blurry",
            dtype="float32",
            device="cpu",
        )

    return load


@pytest.fixture(scope="module")
def pipe(load):
    return load("base")


@pytest.fixture(scope="module")
def refiner(load):
    return load("refiner")


class Evaluations:
    """Counts the calls of a pipe's UNet."""

    def __init__(self, pipe):
        self.count = 0
        self._handle = pipe.model.unet.register_forward_hook(self._add)

    def _add(self, module, inputs, output):
        self.count += 1

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._handle.remove()


class KeepLatents(DetailerHook):
    """Keeps the latents as encoded and as repainted, with the mask between them."""

    def post_encode(self, samples):
        self.encoded = samples["samples"].clone()
        self.mask = samples["noise_mask"].clone()
        return samples

    def pre_decode(self, samples):
        self.repainted = samples["samples"].clone()
        return samples


def soft_mask():
    y, x = np.mgrid[:32, :32]
    return ((x - 16) ** 2 + (y - 16) ** 2 < 9**2).astype(np.float32)


def clip_and_segs(**options):
    frames = smooth_clip(frames=4)
    return frames, segs_of(frames, segment(REGION, mask=soft_mask(), **options))


def settings(**changes):
    values = {
        "guide_size": 64,
        "guide_size_for": False,
        "max_size": 256,
        "seed": 42,
        "steps": STEPS,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.5,
    }
    return {**values, **changes}


def detail(pipe, refiner=None, hook=None, **changes):
    frames, segs = clip_and_segs()
    options = {"feather": 4, "noise_mask_feather": 6, "refiner_ratio": 0.4, **changes}
    before = frames.clone()
    image, new_segs, same_pipe, _ = DetailerForEachPipeForAnimateDiff.doit(
        frames, segs, basic_pipe=pipe, refiner_basic_pipe_opt=refiner, detailer_hook=hook, **settings(**options)
    )
    assert torch.equal(frames, before)
    assert same_pipe is pipe
    return frames, image, new_segs


class TestTheWholePath:
    def test_refiner_differential_mask_and_hook_together(self, pipe, refiner):
        class Brighten(DetailerHook):
            def post_decode(self, pixels):
                return pixels * 0.5 + 0.5

        keep = KeepLatents()
        frames, image, (size, [seg]) = detail(pipe, refiner, CombinedHook(keep, Brighten()))
        assert size == (48, 64)
        assert seg.cropped_image.shape == (4, 32, 32, 3)
        plain = detail(pipe, refiner)[2][1][0].cropped_image
        assert seg.cropped_image.mean() == pytest.approx(0.5 + 0.5 * plain.mean(), abs=0.02)
        assert torch.isfinite(image).all()
        assert not torch.equal(image[:, 8:40, 8:40], frames[:, 8:40, 8:40])
        outside = torch.ones((48, 64), dtype=torch.bool)
        outside[8:40, 8:40] = False
        assert torch.equal(image[:, outside], frames[:, outside])

    def test_the_two_nodes_agree(self, pipe, refiner):
        frames, segs = clip_and_segs()
        detailed, [black] = SEGSDetailerForAnimateDiff().doit(
            frames,
            segs,
            basic_pipe=pipe,
            refiner_ratio=0.4,
            refiner_basic_pipe_opt=refiner,
            noise_mask_feather=6,
            **settings(),
        )
        (pasted,) = SEGSPaste.doit(frames, detailed, 4)
        _, image, _ = detail(pipe, refiner)
        assert torch.equal(pasted, image)
        assert black.shape == (1, 64, 64, 3)

    def test_the_same_seed_gives_the_same_pixels(self, pipe, refiner):
        images = [detail(pipe, refiner, seed=seed)[1] for seed in (1, 1, 2)]
        assert torch.equal(images[0], images[1])
        assert not torch.equal(images[0], images[2])

    def test_loading_again_gives_the_same_pixels(self, pipe, load):
        assert_agree(detail(load("base"))[1], detail(pipe)[1])

    def test_detail_frames_is_the_same_path(self, pipe, refiner):
        frames, segs = clip_and_segs()
        result = detail_frames(
            frames.numpy(),
            segs,
            pipe,
            refiner_pipe=refiner,
            refiner_ratio=0.4,
            feather=4,
            noise_mask_feather=6,
            **settings(guide_size_for="crop_region"),
        )
        np.testing.assert_array_equal(result.frames, detail(pipe, refiner)[1].numpy())

    def test_segments_sampled_together_are_as_sampled_alone(self, pipe, refiner):
        frames = smooth_clip(frames=4)
        segs = segs_of(frames, *(segment((x, 8, x + 28, 40), mask="ones") for x in (0, 30)))
        options = settings(guide_size_for="crop_region") | {"refiner_pipe": refiner, "refiner_ratio": 0.4}
        with Evaluations(pipe) as apart:
            alone = detail_frames(frames, segs, pipe, **options)
        with Evaluations(pipe) as joined:
            together = detail_frames(frames, segs, pipe, batch_segments=2, **options)
        assert (apart.count, joined.count) == (2 * joined.count, joined.count)
        torch.testing.assert_close(together.frames, alone.frames, rtol=0, atol=2e-3)
        assert (alone.frames - frames).abs().max() > 0.05

    def test_every_input_matters(self, pipe, refiner):
        plain = detail(pipe)[1]
        for change in (
            {"denoise": 0.8},
            {"cfg": 1.0},
            {"sampler_name": "dpmpp_2m"},
            {"scheduler": "karras"},
            {"noise_mask_feather": 0},
            {"feather": 0},
            {"guide_size": 96},
            {"scheduler_func_opt": lambda model, name, steps: torch.linspace(2.0, 0.0, steps + 1)},
        ):
            assert not torch.equal(plain, detail(pipe, **change)[1]), change
        assert not torch.equal(plain, detail(pipe, refiner)[1])


class TestSteps:
    @pytest.mark.parametrize("denoise", [0.3, 0.5, 1.0])
    def test_euler_evaluates_the_model_once_a_step(self, pipe, denoise):
        with Evaluations(pipe) as evaluations:
            detail(pipe, denoise=denoise)
        assert evaluations.count == STEPS

    @pytest.mark.parametrize(("ratio", "base_steps"), [(0.0, 5), (0.2, 4), (0.5, 2), (1.0, 0)])
    def test_the_refiner_takes_its_share(self, pipe, refiner, ratio, base_steps):
        with Evaluations(pipe) as first, Evaluations(refiner) as second:
            detail(pipe, refiner, refiner_ratio=ratio)
        assert (first.count, second.count) == (base_steps, STEPS - base_steps)

    def test_without_a_ratio_there_is_no_refiner(self, pipe, refiner):
        with Evaluations(refiner) as evaluations:
            detail(pipe, refiner, refiner_ratio=None)
        assert evaluations.count == 0


class TestLatents:
    @pytest.mark.parametrize("noise_mask_feather", [0, 6])
    @pytest.mark.parametrize("with_refiner", [False, True])
    def test_outside_the_noise_mask_they_are_as_encoded(self, pipe, refiner, noise_mask_feather, with_refiner):
        keep = KeepLatents()
        detail(pipe, refiner if with_refiner else None, keep, noise_mask_feather=noise_mask_feather)
        outside = (latent_mask(keep.mask, keep.encoded) == 0).expand_as(keep.encoded)
        assert outside.any()
        assert torch.equal(keep.repainted[outside], keep.encoded[outside])
        assert not torch.equal(keep.repainted[~outside], keep.encoded[~outside])

    def test_custom_noise_takes_the_place_of_the_seeds(self, pipe):
        class Noise(DetailerHook):
            def get_custom_noise(self, seed, noise, is_touched):
                return torch.randn(noise.shape, generator=torch.Generator().manual_seed(42)), True

        # The seed's own noise is drawn from a generator of the CPU with that seed.
        assert torch.equal(detail(pipe, seed=42)[1], detail(pipe, hook=Noise(), seed=7)[1])


def test_an_inpainting_checkpoint(load):
    pipe = load("inpaint")
    inpainted, plain = detail(pipe, inpaint_model=True), detail(pipe)
    assert not torch.equal(inpainted[1], plain[1])
    assert torch.isfinite(inpainted[1]).all()


def test_a_conditioning_mask_of_the_whole_frame(pipe):
    half = torch.zeros((1, 48, 64))
    half[:, :, 24:] = 1
    entry, details = pipe.positive[0]
    masked = pipe._replace(positive=[[entry, {**details, "mask": half}]])
    assert not torch.equal(detail(masked)[1], detail(pipe)[1])
    # A mask that is 1 all over the segment changes nothing.
    half[:, :, 8:] = 1
    everywhere = pipe._replace(positive=[[entry, {**details, "mask": half}]])
    torch.testing.assert_close(detail(everywhere)[1], detail(pipe)[1], atol=1e-5, rtol=0)


def test_half_precision_weights(folders):
    pipe = BasicPipe.from_pretrained(folders["base"], motion_adapter=folders["adapter"], dtype="bfloat16", device="cpu")
    frames, image, _ = detail(pipe)
    assert image.dtype == torch.float32
    assert torch.isfinite(image).all()
    assert not torch.equal(image, frames)
