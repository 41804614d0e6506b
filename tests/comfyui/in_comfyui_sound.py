"""Samples models of pictures and sound inside ComfyUI's own modules, and prints what came out as JSON.

It is run by the Python that runs ComfyUI, with COMFYUI_PATH set.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [os.environ["COMFYUI_PATH"], str(HERE), str(HERE.parent)]

import comfy.cli_args  # noqa: E402

comfy.cli_args.args.cpu = True

import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from tiny_nodes import fill, standins  # noqa: E402

from segs_detailer.comfyui import backend  # noqa: E402
from segs_detailer.comfyui.audio import make_audio  # noqa: E402
from segs_detailer.comfyui.backend.sampler import ComfySampler  # noqa: E402
from segs_detailer.comfyui.backend.telling import tell_once  # noqa: E402
from segs_detailer.comfyui.detailing import detail_frames  # noqa: E402
from segs_detailer.errors import SegsDetailerError  # noqa: E402
from segs_detailer.models.frame_noise import FrameNoise  # noqa: E402
from segs_detailer.models.interface import RefinerStage, SampleJob  # noqa: E402
from segs_detailer.subjects.masks import boxes_to_segs  # noqa: E402

try:
    from comfy.nested_tensor import NestedTensor
    from tiny_nodes import sound
except ImportError:
    NestedTensor = None

comfy.utils.set_progress_bar_enabled(False)
HEIGHT, WIDTH, FRAMES = 96, 64, 9
SETTINGS = {"seed": 3, "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}


def conditioning(width, **more):
    positive, negative = torch.randn((2, 1, 7, width), generator=torch.Generator().manual_seed(4))
    return {"positive": [[positive, dict(more)]], "negative": [[negative, dict(more)]]}


def frames_of(count, height=HEIGHT, width=WIDTH):
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(5))


def box_mask(count, height=HEIGHT, width=WIDTH):
    mask = torch.zeros((count, height, width))
    mask[:, height // 3 : height * 2 // 3, : width // 2] = 1
    return mask


def outside_of(mask, latents):
    small = torch.nn.functional.interpolate(mask[:1, None], size=latents.shape[-2:], mode="bilinear")
    return small[0, 0] == 0


def refusal(call):
    try:
        call()
    except SegsDetailerError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


class Told(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []
        logging.getLogger("segs_detailer").addHandler(self)
        logging.getLogger("segs_detailer").setLevel(logging.INFO)

    def begin(self):
        self.lines.clear()
        tell_once.cache_clear()

    def emit(self, record):
        self.lines.append(record.getMessage())


TOLD = Told()


class Ltx:
    """A tiny LTX-2, nine frames and their latents."""

    def __init__(self):
        self.model = sound.tiny_sound_model(0)
        self.vae, self.audio_vae = sound.tiny_sound_clip_vae(), sound.tiny_audio_vae(1)
        self.frames, self.mask = frames_of(FRAMES), box_mask(FRAMES)
        self.latents = ComfySampler(self.model, self.vae).encode(self.frames)
        self.outside = outside_of(self.mask, self.latents)

    def audio(self, mode="hold", rate=48000, frame_rate=25.0):
        return make_audio(sound.tone(1.0, rate), self.audio_vae, frame_rate, mode)[0]

    def sample(self, latents=None, heard=None, model=None, **changes):
        job = SampleJob(
            pixels=self.frames,
            **{
                **conditioning(48),
                **SETTINGS,
                "noise_mask": self.mask,
                "sound": heard,
                "frame_rate": None if heard is None else heard.frame_rate,
                **changes,
            },
        )
        sampler = ComfySampler(self.model if model is None else model, self.vae)
        return sampler.sample(self.latents if latents is None else latents, job)

    def changes(self, result):
        """How far a result differs outside the mask, and inside."""
        differs = (result - self.latents).abs()
        return float(differs[..., self.outside].max()), float(differs[..., ~self.outside].max())


def ltx():
    own = Ltx()
    held = own.audio()
    sounds = torch.randn((1, 8, 9, 16), generator=torch.Generator().manual_seed(6))
    masks = NestedTensor((own.mask, torch.zeros(1, 1, 9, 16)))
    calls = []
    latents = NestedTensor((own.latents, sounds))
    whole = own.sample(latents, noise_mask=masks, callback=lambda *report: calls.append(report))
    plain, heard, generated = own.sample(), own.sample(heard=held), own.sample(heard=own.audio("generate"))
    predicted = []
    comfy.sample.sample(
        own.model,
        comfy.sample.prepare_noise(own.latents, 3),
        latent_image=own.latents,
        noise_mask=own.mask[:2],
        callback=lambda step, x0, x, steps: predicted.append(x0),
        disable_pbar=True,
        **conditioning(48),
        **SETTINGS,
    )
    yield {
        "grid": [ComfySampler(own.model, own.vae).geometry.frames_for(count) for count in (1, 2, 9, 10)],
        "nested": type(whole).__name__,
        "sound_held": float((whole.unbind()[1] - sounds).abs().max()),
        "pictures": [list(stream.shape) for stream in (calls[0][2], calls[0][3])],
        "repainted": own.changes(whole.unbind()[0]),
        "without_sound": own.changes(plain),
        "held": own.changes(heard),
        "generated": own.changes(generated),
        "by_sound": float((heard - plain).abs().max()),
        "by_mode": float((heard - generated).abs().max()),
        "refined": refined(own, held, heard),
        "as_comfyui": float((own.model.model.process_latent_out(predicted[-1]) - plain).abs().max()),
        "sound_again": float((own.sample(heard=held) - heard).abs().max()),
    }


def refined(own, held, once):
    """How much a refiner that is the base model changes, of the sound's run."""
    stage = RefinerStage(sampler=ComfySampler(own.model, own.vae), **conditioning(48), ratio=0.5)
    return float((own.sample(heard=held, refiner=stage) - once).abs().max())


def newer_callback():
    """Callbacks get nested latents since 0.30: the same result comes out."""
    own = Ltx()
    held, original = own.audio(), comfy.sample.sample_custom
    older = own.sample(heard=held)

    def newer(model, noise, *arguments, callback, **options):
        shapes = [stream.shape for stream in noise.unbind()]

        def nested(step, x0, x, steps):
            callback(step, *(NestedTensor(comfy.utils.unpack_latents(pack, shapes)) for pack in (x0, x)), steps)

        return original(model, noise, *arguments, callback=nested, **options)

    comfy.sample.sample_custom = newer
    try:
        yield {"same": torch.equal(own.sample(heard=held), older)}
    finally:
        comfy.sample.sample_custom = original


def pack_noise():
    """What noise the model sees of both streams, at the start and between steps."""
    own = Ltx()
    held = own.audio("generate")
    shapes = [own.latents.shape, (1, 8, 9, 16)]
    for kind in ("per-frame", "fixed", "shared"):
        for name in ("euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde"):
            seen = []

            def zeros(apply_model, arguments, seen=seen):
                seen.append(arguments["input"][:1].clone())
                return torch.zeros_like(arguments["input"])

            model = own.model.clone()
            model.set_model_unet_function_wrapper(zeros)
            options = {"noise_mask": None, "denoise": 1.0, "steps": 3, "sampler_name": name}
            own.sample(heard=held, model=model, frame_noise=FrameNoise(kind), **options)
            with_sound = [comfy.utils.unpack_latents(pack, shapes) for pack in seen]
            seen.clear()
            own.sample(model=model, frame_noise=FrameNoise(kind), **options)
            first, last = with_sound[0], with_sound[-1]
            yield {
                "kind": kind,
                "sampler": name,
                "as_without": float((first[0] - seen[0]).abs().max()),
                "start": float((first[0][:, :, :1] - first[0]).abs().max()),
                "steps": float((last[0][:, :, :1] - last[0]).abs().max()),
                "steps_as_without": float((last[0] - seen[-1]).abs().max()),
                "sound": float(first[1].std()),
                "sound_steps": float(last[1].std()),
                "sound_start": float(first[1].flatten()[0]),
            }


def soft_masks():
    own = Ltx()
    TOLD.begin()
    soft = own.mask * 0.6
    results = [own.sample(noise_mask=soft, differential=flag) for flag in (True, True, False)]
    same = torch.equal(results[0], results[2])
    yield {"same": same, "lines": list(TOLD.lines)}


def refusals():
    own = Ltx()
    held = own.audio()
    segs = boxes_to_segs((HEIGHT, WIDTH), [(8, 8, 40, 40)], crop_factor=1.0)
    inputs = {**SETTINGS, "segs": segs, "guide_size": 64, "guide_size_for": True, "max_size": 64, "feather": 0}
    inputs["refiner_ratio"] = 0.2
    parts = conditioning(48).values()

    def detail(model, audio_opt):
        detail_frames(own.frames, basic_pipe=(model, None, own.vae, *parts), audio_opt=audio_opt, **inputs)

    rated = conditioning(48, frame_rate=24.0)
    yield {
        "deaf": refusal(lambda: detail(standins.qwen_model(fill, 0), held)),
        "no_model": refusal(lambda: detail("none", held)),
        "dummy": refusal(lambda: detail("DUMMY", held)),
        "other": refusal(lambda: detail(own.model, "sound")),
        "wrong_vae": refusal(lambda: own.sample(heard=make_audio(sound.tone(1, 16000), own.vae, 25.0, "hold")[0])),
        "rate": refusal(lambda: own.sample(heard=held, **rated)),
        "same_rate": refusal(lambda: own.sample(heard=own.audio(frame_rate=23.976), **rated)),
        "two": refusal(lambda: own.sample(NestedTensor((own.latents, torch.zeros(1, 8, 9, 16))), heard=held)),
    }


def through_the_node():
    """Frames through the detailing node: 10 of them, so that there is padding."""
    own = Ltx()
    backend.register()
    frames = frames_of(10)
    segs = boxes_to_segs((HEIGHT, WIDTH), [(16, 16, 48, 64)], crop_factor=1.5)
    inputs = {**SETTINGS, "segs": segs, "guide_size": 64, "guide_size_for": True, "max_size": 128, "feather": 0}
    pipe = (own.model, None, own.vae, *conditioning(48).values())
    inputs = {**inputs, "basic_pipe": pipe, "refiner_ratio": 0.2}
    plain = detail_frames(frames, **inputs)[0]
    heard, encode = [], own.audio_vae.encode
    own.audio_vae.encode = lambda audio: heard.append(audio) or encode(audio)
    inputs["segs"] = (segs[0], [*segs[1], *boxes_to_segs((HEIGHT, WIDTH), [(16, 32, 48, 64)], crop_factor=1.0)[1]])
    once = detail_frames(frames, **{**inputs, "segs": segs}, audio_opt=own.audio())[0]
    heard.clear()
    detail_frames(frames, audio_opt=own.audio(), **inputs)
    outside = torch.ones((HEIGHT, WIDTH), dtype=torch.bool)
    outside[16:64, 16:48] = False
    yield {
        "by_sound": float((once - plain).abs().max()),
        "kept": torch.equal(once[:, outside], frames[:, outside]),
        "frames": list(once.shape),
        "encoded": len(heard),
    }


def h3():
    """The interface of MiniMax H3: a grid of 17 n + 5 frames, nested latents always."""
    model, vae = standins.h3_model(), standins.h3_vae()
    sampler = ComfySampler(model, vae)
    frames, mask = frames_of(22, 64, 64), box_mask(22, 64, 64)
    latents = sampler.encode(frames)
    mask[5:] = 0
    audio_vae = standins.H3AudioVAE()
    network = model.model.diffusion_model

    def sample(heard=None, **changes):
        job = SampleJob(
            pixels=frames,
            **{
                **conditioning(8),
                **SETTINGS,
                "cfg": 1.0,
                "noise_mask": mask,
                "sound": heard,
                "frame_rate": None if heard is None else heard.frame_rate,
                **changes,
            },
        )
        network.seen.clear()
        return sampler.sample(latents, job)

    TOLD.begin()
    if NestedTensor is None:
        yield {"absent": refusal(sample)}
        return
    plain = sample()
    shapes = network.seen[0][:2]
    tone = sound.tone(1.0, 48000, channels=1)
    held = sample(make_audio(tone, audio_vae, 24.0, "hold")[0])
    seen = network.seen[-1][3]
    fast = sample(make_audio(tone, audio_vae, 30.0, "generate")[0])
    changed = (held - latents).abs().amax(dim=(0, 1, 3, 4)) > 0
    geometry = sampler.geometry
    yield {
        "grid": [geometry.frames_for(count) for count in (1, 5, 6, 22, 23, 124)],
        "multiple": geometry.size_multiple,
        "packing": list(geometry.packing.counts(7)),
        "latents": list(latents.shape),
        "decoded": list(sampler.decode(latents).shape),
        "shapes": shapes,
        "changed": changed.tolist(),
        "outside": torch.equal(held[..., 3, 3], latents[..., 3, 3]),
        "by_sound": float((held - plain).abs().max()),
        "sound": list(seen.shape),
        "heard": [list(each.shape) for each in audio_vae.heard],
        "fast": float((fast - held).abs().max()),
        "lines": list(TOLD.lines),
        "wrong_vae": refusal(lambda: sample(make_audio(tone, sound.tiny_audio_vae(1), 24.0, "hold")[0])),
    }


def h3_masks():
    """Releases that repaint masked latents rightly, and one that does not."""
    if NestedTensor is None:
        return
    pixels = frames_of(5, 32, 32)

    class PerToken(standins.MiniMaxH3):
        def _denoise_mask_conds(self, denoise_mask, latent_shapes):
            return {}

    def run(scales):
        model = standins.h3_model(PerToken)

        class Network(standins.MixingNetwork):
            def forward(self, x, timestep, context=None, denoise_mask=None, audio_denoise_mask=None, **options):
                out = self._forward(x, timestep, context, **options)
                if scales and denoise_mask is not None:
                    out = [out[0] * denoise_mask, out[1] * audio_denoise_mask]
                return out

            _forward = standins.MixingNetwork.forward

        model.model.diffusion_model = Network()
        sampler = ComfySampler(model, standins.h3_vae())
        settings = {**SETTINGS, "cfg": 1.0}
        job = SampleJob(pixels=pixels, **conditioning(8), **settings, noise_mask=box_mask(5, 32, 32))
        return refusal(lambda: sampler.sample(sampler.encode(pixels), job))

    TOLD.begin()
    yield {"scales": run(scales=True), "does_not": run(scales=False), "lines": list(TOLD.lines)}


def qwen():
    """Each frame a picture: Qwen-Image, whose VAE is Wan's."""
    model, vae = standins.qwen_model(fill, 0), standins.wan_vae(fill, 1)
    sampler = ComfySampler(model, vae)
    frames, mask = frames_of(3, 32, 32), box_mask(3, 32, 32)
    mask[1] = 0
    latents = sampler.encode(frames)
    calls = []

    def sample(**changes):
        job = SampleJob(
            pixels=frames, **{**conditioning(24), **SETTINGS, "noise_mask": mask, "differential": True, **changes}
        )
        return sampler.sample(latents, job)

    result = sample(callback=lambda *report: calls.append(report))
    one = SampleJob(pixels=frames[:1], **conditioning(24), **SETTINGS, noise_mask=mask[:1], differential=True)
    same = latents[:1].expand_as(latents)
    job = SampleJob(pixels=frames, **conditioning(24), **SETTINGS, frame_noise=FrameNoise("fixed"))
    fixed = sampler.sample(same, job)
    alone = sampler.sample(latents[:1], one)
    preview = sampler.preview(latents, frames)
    yield {
        "grid": [sampler.geometry.frames_for(count) for count in (1, 2, 3)],
        "latents": list(latents.shape),
        "alone": float((sampler.encode(frames[1:2]) - latents[1:2]).abs().max()),
        "decoded": list(sampler.decode(result).shape),
        "shape": list(result.shape),
        "kept_frame": float((result[1] - latents[1]).abs().max()),
        "outside": float((result[0] - latents[0])[..., outside_of(mask, latents)].abs().max()),
        "changed": float((result[2] - latents[2]).abs().max()),
        "as_alone": float((alone - result[:1]).abs().max()),
        "fixed": float((fixed - fixed[:1]).abs().max()),
        "preview": list(preview(calls[-1][2]).shape),
        "clip": ComfySampler(standins.h3_model(), vae).geometry.frames_for(3),
    }


WITH_SOUND = (ltx, newer_callback, pack_noise, soft_masks, refusals, through_the_node)
CHECKS = (h3, h3_masks, qwen)


if __name__ == "__main__":
    with torch.inference_mode():
        checks = CHECKS if NestedTensor is None else (*WITH_SOUND, *CHECKS)
        print(json.dumps({check.__name__: list(check()) for check in checks}))
