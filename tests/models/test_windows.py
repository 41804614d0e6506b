"""Context windows, the noise for them, and what a model does when memory runs out."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

import tiny_models
from segs_detailer.detailer import detail_frames
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.interface import SampleJob
from segs_detailer.models.noise import free_noise, seeded_noise
from segs_detailer.models.sd.network import DiffusersModel
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.models.sd.vae import FrameVAE
from segs_detailer.models.windows import ContextWindows, window_weights

CONDITIONING = [[torch.randn(1, 7, tiny_models.CROSS, generator=torch.Generator().manual_seed(1)), {}]]


@pytest.fixture(scope="module")
def vae():
    return FrameVAE(tiny_models.make_vae())


@pytest.fixture(scope="module")
def motion_unet():
    return tiny_models.make_motion_unet()


def job_for(count, **changes):
    settings = {
        "pixels": torch.zeros(count, 64, 64, 3),
        "positive": CONDITIONING,
        "negative": CONDITIONING,
        "seed": 3,
        "steps": 2,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.5,
    }
    return SampleJob(**{**settings, **changes})


def latents_of(count):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("weights", ["pyramid", "linear", "flat"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("order", ["uniform", "looped", "static"])
@pytest.mark.parametrize(("length", "overlap"), [(16, 4), (5, 4), (1, 0)])
def test_windows_cover_every_frame(order, length, overlap, stride, weights):
    options = ContextWindows(length=length, overlap=overlap, order=order, stride=stride, weights=weights)
    for frames, step in itertools.product((1, 16, 17, 31, 50), range(4)):
        windows = options.windows(frames, step)
        assert {frame for window in windows for frame in window} == set(range(frames))
        assert all(len(set(window)) == len(window) == min(length, frames) for window in windows)
        total = torch.zeros(frames)
        for window, weight in zip(windows, options.weights_of(windows, frames), strict=True):
            total[window] += weight
        torch.testing.assert_close(total, torch.ones(frames))


def test_uniform_windows_move_and_static_ones_stay():
    uniform, static = ContextWindows(), ContextWindows(order="static")
    assert uniform.windows(40, 0) == static.windows(40, 0) == static.windows(40, 1)
    assert uniform.windows(40, 1) != uniform.windows(40, 0)
    assert [window[0] for window in static.windows(40, 1)] == [0, 12, 24]


def test_looped_windows_run_over_the_end():
    windows = ContextWindows(length=6, overlap=2, order="looped").windows(10, 0)
    assert windows == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [8, 9, 0, 1, 2, 3]]


def test_stride_adds_windows_of_every_second_frame():
    windows = ContextWindows(length=4, overlap=0, stride=5, order="static").windows(8, 0)
    assert windows == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 2, 4, 6], [1, 3, 5, 7]]


def test_weights_have_their_shapes():
    windows = [list(range(6)), list(range(4, 10))]
    pyramid, linear, flat = (
        window_weights(windows, 10, shape=shape, overlap=2)[0] for shape in ("pyramid", "linear", "flat")
    )
    torch.testing.assert_close(pyramid, torch.tensor([1, 1, 1, 1, 2 / 3, 1 / 3]))
    torch.testing.assert_close(linear, pyramid)
    torch.testing.assert_close(flat, torch.tensor([1, 1, 1, 1, 0.5, 0.5]))
    windows = [list(range(8)), list(range(4, 12))]
    assert window_weights(windows, 12, shape="linear", overlap=1)[0][5] == 0.5
    assert window_weights(windows, 12, shape="pyramid")[0][5] == 0.6


def test_without_windows_the_motion_module_sets_the_most_frames(motion_unet, vae):
    for windows, most in ((ContextWindows(length=None, overlap=0), 32), (ContextWindows(), None)):
        model = DiffusersModel(motion_unet, windows=windows)
        assert DiffusersSampler(model, vae).geometry.max_frames == most
    with pytest.raises(ModelError, match="min_frames of 33, without windows: the motion module takes 32"):
        DiffusersModel(motion_unet, windows=ContextWindows(length=None, overlap=0, min_frames=33))


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"length": 0}, "length"),
        ({"overlap": 16}, "overlap"),
        ({"stride": 0}, "stride"),
        ({"min_frames": 0}, "min_frames"),
        ({"order": "spiral"}, "order"),
        ({"weights": "steep"}, "weights"),
        ({"free_noise": True, "length": None}, "free_noise"),
    ],
)
def test_impossible_windows_are_refused(options, argument):
    with pytest.raises(InvalidArgumentError, match=f"{argument}: expected"):
        ContextWindows(**options)


def test_free_noise_is_on_or_off():
    with pytest.raises(InvalidTypeError, match="free_noise: expected a bool"):
        ContextWindows(free_noise=1)


def test_free_noise_repeats_the_first_window_in_new_orders():
    noise = seeded_noise(torch.empty(21, 4, 2, 2), 5)
    free = free_noise(noise, 8, 2, seed=1)
    assert torch.equal(free[:8], noise[:8])
    rows = [[int((frame == other).flatten(1).all(1).nonzero()) for other in [noise]] for frame in free]
    places = [row[0] for row in rows]
    assert sorted(places[8:14]) == list(range(6))
    assert sorted(places[14:20]) == sorted(places[6:12])
    assert places[8:14] != list(range(6))
    assert torch.equal(free, free_noise(noise, 8, 2, seed=1))
    assert not torch.equal(free, free_noise(noise, 8, 2, seed=2))
    assert free_noise(noise[:8], 8, 2, seed=1).shape[0] == 8


def test_free_noise_is_where_a_long_clip_starts(motion_unet, vae):
    def sampled(free, noise=None):
        windows = ContextWindows(length=4, overlap=1, free_noise=free)
        return DiffusersSampler(DiffusersModel(motion_unet, windows=windows), vae).sample(
            latents_of(9), job_for(9, noise=noise)
        )

    noise = free_noise(seeded_noise(latents_of(9), 3), 4, 1, 3)
    assert torch.equal(sampled(True), sampled(False, noise))
    assert not torch.equal(sampled(True), sampled(False))


@pytest.mark.parametrize("weights", ["pyramid", "linear", "flat"])
@pytest.mark.parametrize("order", ["uniform", "looped", "static"])
def test_a_window_that_covers_the_clip_is_one_pass(order, weights, motion_unet, vae):
    def sampled(windows):
        return DiffusersSampler(DiffusersModel(motion_unet, windows=windows), vae).sample(latents_of(5), job_for(5))

    whole = sampled(ContextWindows(length=None))
    for length in (5, 9):
        options = {"length": length, "overlap": 2, "order": order, "weights": weights, "stride": 2}
        assert torch.equal(sampled(ContextWindows(**options)), whole)
        assert torch.equal(sampled(ContextWindows(**options, free_noise=True)), whole)
    assert not torch.equal(sampled(ContextWindows(length=4, overlap=2, order=order, weights=weights)), whole)


@pytest.mark.parametrize("order", ["looped", "static"])
def test_windows_with_strides_average_predictions(order, motion_unet, vae):
    """Windows of one frame are the frames alone, whatever their order."""
    windows = ContextWindows(length=1, overlap=0, order=order, stride=2, weights="flat")
    sampler = DiffusersSampler(DiffusersModel(motion_unet, windows=windows), vae)
    noise = seeded_noise(latents_of(4), 3)
    whole = sampler.sample(latents_of(4), job_for(4))
    alone = sampler.sample(latents_of(4)[2:3], job_for(1, noise=noise[2:3]))
    torch.testing.assert_close(whole[2:3], alone, rtol=1e-4, atol=1e-4)


def test_short_clips_are_lengthened_and_cut_back(motion_unet, vae, monkeypatch):
    model = DiffusersModel(motion_unet, windows=ContextWindows(min_frames=6))
    shapes = []
    hook = motion_unet.register_forward_pre_hook(lambda module, args: shapes.append(args[0].shape[2]))
    frames = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    box = (0, 0, 64, 64)
    segs = ((64, 64), [SimpleSeg(box)])
    pipe = (model, None, vae, CONDITIONING, CONDITIONING)
    encode, seen = vae.encode, []
    monkeypatch.setattr(vae, "encode", lambda part: seen.append(part) or encode(part))
    result = detail_frames(frames, segs, pipe, guide_size=64, max_size=64, steps=1)
    hook.remove()
    assert shapes == [6]
    # Back and forth, without doubling the ends.
    assert torch.equal(seen[0], frames[[0, 1, 2, 1, 0, 1]])
    assert result.frames.shape == frames.shape
    assert not torch.equal(result.frames, frames)
    plain = DiffusersModel(tiny_models.make_unet(), windows=ContextWindows(min_frames=6))
    assert DiffusersSampler(plain, vae).geometry.min_frames == 1


def SimpleSeg(box):  # noqa: N802 - stands for a class of another program
    return SimpleNamespace(
        cropped_image=None,
        cropped_mask=torch.ones(box[3], box[2]).numpy(),
        confidence=1.0,
        crop_region=box,
        bbox=box,
        label="",
        control_net_wrapper=None,
    )


# Memory and speed


def test_out_of_memory_takes_the_conditionings_apart(motion_unet, vae):
    class Small(torch.nn.Module):
        config, device, dtype = motion_unet.config, motion_unet.device, motion_unet.dtype

        def forward(self, x, *args, **kwargs):
            if len(x) > 1:
                raise torch.cuda.OutOfMemoryError("no room")
            return motion_unet(x, *args, **kwargs)

    model = DiffusersModel(motion_unet)
    sampler = DiffusersSampler(model, vae)
    expected = sampler.sample(latents_of(2), job_for(2))
    model.unet = Small()
    with pytest.warns(UserWarning, match="out of memory while sampling: going on with one conditioning at a time"):
        result = sampler.sample(latents_of(2), job_for(2))
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)
    assert not model.guidance_batch


def test_out_of_memory_takes_fewer_frames_of_a_plain_unet_and_then_gives_up(vae):
    unet = tiny_models.make_unet()

    class Small(torch.nn.Module):
        config, device, dtype = unet.config, unet.device, unet.dtype
        room = 1

        def forward(self, x, *args, **kwargs):
            if len(x) > self.room:
                raise torch.cuda.OutOfMemoryError("no room")
            return unet(x, *args, **kwargs)

    model = DiffusersModel(unet, frame_batch=2)
    model.unet = Small()
    sampler = DiffusersSampler(model, vae)
    with pytest.warns(UserWarning, match=r"going on with 1 frame\(s\) at once"):
        assert sampler.sample(latents_of(4), job_for(4, cfg=1.0)).shape == (4, 4, 8, 8)
    model.unet.room = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        sampler.sample(latents_of(4), job_for(4, cfg=1.0))


def test_channels_last_and_compiled_networks_give_the_same(vae):
    expected = DiffusersSampler(DiffusersModel(tiny_models.make_unet()), vae).sample(latents_of(2), job_for(2))
    unet = tiny_models.make_unet()
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model = DiffusersModel(unet, channels_last=True, compile_unet={"backend": backend, "dynamic": False})
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    result = DiffusersSampler(model, vae).sample(latents_of(2), job_for(2))
    assert compiled
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)
