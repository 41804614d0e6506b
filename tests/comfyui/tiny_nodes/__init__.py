"""Nodes that only tests load into ComfyUI: tiny models, a small clip, and a node that keeps what it gets."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import folder_paths
import numpy as np
import torch

from segs_detailer.comfyui.classic import class_of
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.subjects.masks import boxes_to_segs

sys.path.append(str(Path(__file__).resolve().parents[2]))

# The unet of Stable Diffusion 1.5 with few channels and two levels.
UNET = {
    "use_checkpoint": False,
    "image_size": 32,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "adm_in_channels": None,
    "in_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "transformer_depth": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth_middle": 1,
    "use_linear_in_transformer": False,
    "context_dim": 32,
    "transformer_depth_output": [1, 1, 1, 1],
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}

# The transformer of Wan 2.1 with one small block.
TRANSFORMER = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 48,
    "ffn_dim": 64,
    "num_heads": 4,
    "num_layers": 1,
    "freq_dim": 32,
    "text_dim": 32,
    "in_dim": 16,
    "out_dim": 16,
}
FRAMES_PER_LATENT = 4


def tiny_model(seed, inpaint=False):
    """A ModelPatcher over ComfyUI's own classes, with random weights that are not in the way of the picture."""
    config = comfy.supported_models.SD15({**UNET, "in_channels": 9 if inpaint else 4})
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode(False):
        model = config.get_model({}, device=torch.device("cpu"))
        fill(model.diffusion_model, seed)
    return patcher_of(model)


def patcher_of(model):
    """As ComfyUI's loaders make it."""
    management = comfy.model_management
    return comfy.model_patcher.ModelPatcher(model, management.get_torch_device(), management.unet_offload_device())


def fill(network, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(network.named_parameters()):
        fan = weight[0].numel() if weight.ndim > 1 else 1
        values = torch.randn(weight.shape, generator=generator) / fan**0.5
        if weight.ndim == 1:
            values = values * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        weight.data = values


class PatchVAE(torch.nn.Module):
    """Four numbers for each 8x8 patch: its mean color, and how much brighter its right half is."""

    def __init__(self):
        super().__init__()
        # So large that noise changes the picture and does not drive it to black and white.
        self.scale = torch.nn.Parameter(torch.tensor(100.0))

    def encode(self, pixels):
        color = torch.nn.functional.avg_pool2d(pixels, 8)
        halves = torch.nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), (8, 4))
        slope = halves[..., 1::2] - halves[..., ::2]
        return torch.cat([color, slope], 1) * self.scale

    def decode(self, latents):
        latents = torch.nn.functional.interpolate(latents / self.scale, scale_factor=8, mode="nearest")
        ramp = torch.linspace(-1, 1, 8, device=latents.device).repeat(latents.shape[-1] // 8)
        return latents[:, :3] + latents[:, 3:] * ramp


def tiny_vae():
    """ComfyUI's VAE class around a network that keeps pictures recognizable."""
    network = PatchVAE()
    vae = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD(latent_channels=4).state_dict())
    vae.first_stage_model = network.eval()
    vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, comfy.model_management.vae_offload_device())
    return vae


def tiny_video_model(seed):
    """A ModelPatcher over ComfyUI's own classes for clips."""
    config = comfy.supported_models.WAN21_T2V(TRANSFORMER)
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode(False):
        model = config.get_model({}, device=torch.device("cpu"))
        fill(model.diffusion_model, seed)
    return patcher_of(model)


class PatchClipVAE(torch.nn.Module):
    """The mean color of each patch: of the first frame alone, then of four frames together."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def encode(self, pixels):
        color = (
            torch.nn.functional.avg_pool3d(pixels[:, :, 1:], (FRAMES_PER_LATENT, 8, 8)) if pixels.shape[2] > 1 else None
        )
        first = torch.nn.functional.avg_pool3d(pixels[:, :, :1], (1, 8, 8))
        color = first if color is None else torch.cat([first, color], 2)
        return torch.cat([color, *[torch.zeros_like(color[:, :1])] * 13], 1) * self.scale

    def decode(self, latents):
        frames = torch.cat([latents[:, :3, :1], latents[:, :3, 1:].repeat_interleave(FRAMES_PER_LATENT, 2)], 2)
        return torch.nn.functional.interpolate(frames / self.scale, scale_factor=(1, 8, 8), mode="nearest")


def tiny_clip_vae():
    """ComfyUI's VAE class with the rules of Wan's."""
    vae = tiny_vae()
    network = PatchClipVAE()
    vae.first_stage_model = network.eval()
    vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, comfy.model_management.vae_offload_device())
    vae.latent_dim, vae.latent_channels = 3, 16
    vae.upscale_ratio = (lambda latents: max(0, latents * FRAMES_PER_LATENT - 3), 8, 8)
    vae.downscale_ratio = (lambda frames: max(0, (frames + 3) // FRAMES_PER_LATENT), 8, 8)
    vae.upscale_index_formula = vae.downscale_index_formula = (FRAMES_PER_LATENT, 8, 8)
    return vae


def clip_frames(frames, height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    # Far from black and white: Impact Pack's resizes clip to them between rows and columns.
    stack = [
        0.5 + 0.15 * np.stack([np.sin((x + 3 * i) / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1) for i in range(frames)
    ]
    # Pictures of 8 bits, a hair above: other packs truncate where they convert.
    return torch.from_numpy((np.round(np.stack(stack) * 255) / 255 + 1e-6).astype(np.float32))


class TinyModel:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONDITIONING")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "seed": ("INT", {"default": 0}),
                "seconds_per_step": ("FLOAT", {"default": 0.0}),
                "inpaint": ("BOOLEAN", {"default": False}),
            }
        }

    def run(self, seed, seconds_per_step, inpaint):
        model = tiny_model(seed, inpaint)
        if seconds_per_step:

            def slow(arguments):
                time.sleep(seconds_per_step)
                return arguments["denoised"]

            model.set_model_sampler_post_cfg_function(slow)
        generator = torch.Generator().manual_seed(seed)
        positive, negative = torch.randn((2, 1, 7, 32), generator=generator)
        return model, "no text encoder", tiny_vae(), [[positive, {}]], [[negative, {}]]


class TinyVideoModel:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONDITIONING")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 0})}}

    def run(self, seed):
        generator = torch.Generator().manual_seed(seed)
        positive, negative = torch.randn((2, 1, 7, 32), generator=generator)
        model = tiny_video_model(seed)
        return model, "no text encoder", tiny_clip_vae(), [[positive, {}]], [[negative, {}]]


class TinySoundModel:
    """A tiny LTX-2 with its VAE of sound, and a tone to hear."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONDITIONING", "VAE", "AUDIO")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 0})}}

    def run(self, seed):
        # Older programs have no such classes.
        from . import sound

        generator = torch.Generator().manual_seed(seed)
        positive, negative = torch.randn((2, 1, 7, 48), generator=generator)
        parts = sound.tiny_sound_model(seed), "no text encoder", sound.tiny_sound_clip_vae()
        return *parts, [[positive, {}]], [[negative, {}]], sound.tiny_audio_vae(seed), sound.tone(1.0, 44100)


class TinySchedule:
    """Gives noise levels that fall steeply."""

    RETURN_TYPES = ("SCHEDULER_FUNC",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}}

    def run(self):
        def schedule(model, sampler_name, steps):
            levels = model.get_model_object("model_sampling")
            falling = torch.linspace(float(levels.sigma_max) ** 0.2, float(levels.sigma_min) ** 0.2, steps) ** 5
            return torch.cat([falling, torch.zeros(1)])

        return (schedule,)


class TinyControlNet:
    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 0})}}

    def run(self, seed):
        settings = {name: value for name, value in UNET.items() if name not in ("out_channels",)}
        settings.pop("transformer_depth_output")
        with torch.inference_mode(False):
            network = comfy.cldm.cldm.ControlNet(
                **settings, hint_channels=3, num_heads=8, operations=comfy.ops.manual_cast
            )
            fill(network, seed)
        return (comfy.controlnet.ControlNet(network, load_device=comfy.model_management.get_torch_device()),)


class TinyDetector:
    """Finds the bright square that TinyClip's masks move with, and nothing in one frame."""

    RETURN_TYPES = ("BBOX_DETECTOR",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}}

    def __init__(self):
        self.calls = 0

    def run(self):
        return (TinyDetector(),)

    def detect(self, image, threshold, dilation, crop_factor, drop_size):
        x, self.calls = 16 + 2 * self.calls, self.calls + 1
        if self.calls == 2:
            return image.shape[1:3], []
        return boxes_to_segs(image.shape[1:3], [(x, 20, x + 32, 52)], label="square", confidence=0.8)


class DrawnFaces:
    """A drawn face, the same shrunk and made noisy, and its mask: what the trained checkpoint knows."""

    RETURN_TYPES = ("IMAGE", "IMAGE", "MASK")
    RETURN_NAMES = ("degraded", "truth", "mask")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 1_000_006})}}

    def run(self, seed):
        from fixture.moving_faces import degrade, draw_clip

        rng = np.random.default_rng(seed)
        truth = draw_clip(rng, 8, (80, 96))
        y, x = np.mgrid[:80, :96].astype(np.float32)
        mask = (((x - 47.5) / 28) ** 2 + ((y - 39.5) / 31) ** 2 < 1).astype(np.float32)
        degraded = degrade(rng, truth, factor=2, noise=0.06)
        return torch.from_numpy(degraded), torch.from_numpy(truth), torch.from_numpy(mask)[None].repeat(8, 1, 1)


class TrainedPipe:
    """The tests' trained AnimateDiff checkpoint, in diffusers' layout."""

    RETURN_TYPES = ("BASIC_PIPE",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}}

    def run(self):
        from segs_detailer import BasicPipe

        folder = Path(__file__).resolve().parents[2] / "fixture" / "model"
        with torch.inference_mode(False):
            pipe = BasicPipe.from_pretrained(
                folder,
                motion_adapter=folder / "motion_adapter",
                prompt="a face",
                negative_prompt="blurry",
                device="cpu",
                dtype="float32",
            )
        return (pipe,)


class TinyClip:
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"frames": ("INT", {"default": 4})}, "optional": {"speed": ("INT", {"default": 2})}}

    def run(self, frames, speed=2):
        masks = torch.zeros((frames, 96, 128))
        for index in range(frames):
            masks[index, 20:52, 16 + speed * index : 48 + speed * index] = 1
            masks[index, 50:82, 80:112] = 1
        return clip_frames(frames, 96, 128), masks


class TinyTrack:
    """SAM3_TRACK_DATA of the two squares of TinyClip's masks, packed as ComfyUI packs them; or of none."""

    RETURN_TYPES = ("SAM3_TRACK_DATA",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"frames": ("INT", {"default": 4}), "found": ("BOOLEAN", {"default": True})}}

    def run(self, frames, found):
        masks = torch.zeros((frames, 2, 96, 128), dtype=torch.bool)
        for index in range(frames):
            masks[index, 0, 20:52, 16 + 2 * index : 48 + 2 * index] = True
            masks[index, 1, 50:82, 80:112] = True
        packed = (masks.view(frames, 2, 96, 16, 8) * (1 << torch.arange(8))).sum(-1).byte()
        data = {"packed_masks": packed if found else None, "n_frames": frames, "orig_size": (96, 128)}
        return ({**data, "scores": [0.9, 0.8] if found else []},)


class TinyBoxes:
    """The boxes of TinyClip's masks for each frame, as ComfyUI and as KJNodes hand them over."""

    RETURN_TYPES = ("BOUNDING_BOX", "BBOX")
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"frames": ("INT", {"default": 4})}}

    def run(self, frames):
        boxes = [
            [
                {"x": 16 + 2 * index, "y": 20, "width": 32, "height": 32, "score": 0.8, "label": "square"},
                {"x": 80.0, "y": 50.0, "width": 32.0, "height": 32.0},
            ]
            for index in range(frames)
        ]
        return boxes, [(16 + 2 * index, 20, 32, 32) for index in range(frames)]


class TinyFaces:
    """FACE_LANDMARKS of two faces about the squares of TinyClip's masks."""

    RETURN_TYPES = ("FACE_LANDMARKS",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"frames": ("INT", {"default": 4})}}

    def run(self, frames):
        from face_meshes import landmarks_of, mesh_of

        meshes = [[mesh_of((32 + 2 * i, 36), (16, 16)), mesh_of((96, 66), (16, 16))] for i in range(frames)]
        return (landmarks_of(meshes, (96, 128)),)


class StandInTrack:
    """ComfyUI's SAM3 Video Track, which came after 0.8: same inputs and outputs. It finds one square that moves."""

    RETURN_TYPES = ("SAM3_TRACK_DATA",)
    RETURN_NAMES = ("track_data",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "images": ("IMAGE",),
                "model": ("MODEL",),
                "detection_threshold": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
                "max_objects": ("INT", {"default": 4, "min": 0, "max": 64}),
                "detect_interval": ("INT", {"default": 1, "min": 1}),
            },
            "optional": {"initial_mask": ("MASK",), "conditioning": ("CONDITIONING",)},
        }

    def run(
        self, images, model, detection_threshold, max_objects, detect_interval, initial_mask=None, conditioning=None
    ):
        assert conditioning is not None or initial_mask is not None
        masks = np.zeros((len(images), 1, 1008, 1008), bool)
        for index in range(len(images)):
            masks[index, 0, 240:640, 300 + 8 * index : 600 + 8 * index] = True
        packed = torch.from_numpy(np.packbits(masks, axis=-1, bitorder="little"))
        return (
            {"packed_masks": packed, "n_frames": len(images), "orig_size": tuple(images.shape[1:3]), "scores": [0.9]},
        )


class StandInMotion:
    """AnimateDiff-Evolved's loader: same inputs and outputs; the model goes through as it is."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        schedules = ["autoselect", "use existing", "sqrt_linear (AnimateDiff)", "linear (AnimateDiff-SDXL)"]
        sockets = {
            "context_options": "CONTEXT_OPTIONS",
            "motion_lora": "MOTION_LORA",
            "ad_settings": "AD_SETTINGS",
            "ad_keyframes": "AD_KEYFRAMES",
            "sample_settings": "SAMPLE_SETTINGS",
            "scale_multival": "MULTIVAL",
            "effect_multival": "MULTIVAL",
            "per_block": "PER_BLOCK",
        }
        return {
            "required": {
                "model": ("MODEL",),
                "model_name": (["v3_sd15_mm.ckpt"],),
                "beta_schedule": (schedules, {"default": "autoselect"}),
            },
            "optional": {name: (kind,) for name, kind in sockets.items()},
        }

    def run(self, model, model_name, beta_schedule, context_options=None, **others):
        assert context_options == (16, 1, 4)
        return (model,)


class StandInContext:
    """AnimateDiff-Evolved's context options: same inputs and outputs."""

    RETURN_TYPES = ("CONTEXT_OPTIONS",)
    RETURN_NAMES = ("CONTEXT_OPTS",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "context_length": ("INT", {"default": 16, "min": 1, "max": 128}),
                "context_stride": ("INT", {"default": 1, "min": 1, "max": 32}),
                "context_overlap": ("INT", {"default": 4, "min": 0, "max": 128}),
            },
            "optional": {
                "fuse_method": (["pyramid", "relative", "flat", "overlap-linear"],),
                "use_on_equal_length": ("BOOLEAN", {"default": False}),
                "start_percent": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.001}),
                "guarantee_steps": ("INT", {"default": 1, "min": 0}),
                "prev_context": ("CONTEXT_OPTIONS",),
                "view_opts": ("VIEW_OPTS",),
            },
        }

    def run(self, context_length, context_stride, context_overlap, **others):
        return ((context_length, context_stride, context_overlap),)


class GrowingMask:
    """A square that grows from frame to frame."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"frames": ("INT", {"default": 4})}}

    def run(self, frames):
        masks = torch.zeros((frames, 96, 128))
        for index in range(frames):
            masks[index, 20 : 40 + 14 * index, 16 : 36 + 14 * index] = 1
        return (masks,)


class LazySwitch:
    """A switch of the classic form, as other packs have it: what is not chosen is not asked for."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        lazy = ("IMAGE", {"lazy": True})
        return {"required": {"switch": ("BOOLEAN", {"default": False}), "on_false": lazy, "on_true": lazy}}

    def check_lazy_status(self, switch, on_false=None, on_true=None):
        name = "on_true" if switch else "on_false"
        return [name] if {"on_true": on_true, "on_false": on_false}[name] is None else []

    def run(self, switch, on_false=None, on_true=None):
        return (on_true if switch else on_false,)


class Keep:
    """Writes what it gets to ComfyUI's output folder."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"name": ("STRING", {})}, "optional": {"image": ("IMAGE",), "segs": ("SEGS",)}}

    def run(self, name, image=None, segs=None):
        arrays = {}
        if image is not None:
            arrays["image"] = image.cpu().numpy()
        if segs is not None:
            arrays["size"] = np.array(segs[0])
            for index, seg in enumerate(segs[1]):
                arrays[f"region_{index}"] = np.array([*seg.crop_region, *seg.bbox])
                if seg.cropped_image is not None:
                    arrays[f"crop_{index}"] = np.asarray(seg.cropped_image)
        np.savez(Path(folder_paths.get_output_directory()) / f"{name}.npz", **arrays)
        return {}


NODE_CLASS_MAPPINGS = {
    "TinyModel": TinyModel,
    "TinyVideoModel": TinyVideoModel,
    "TinySoundModel": TinySoundModel,
    "TinyControlNet": TinyControlNet,
    "TinySchedule": TinySchedule,
    "TinyDetector": TinyDetector,
    "TinyClip": TinyClip,
    "TinyTrack": TinyTrack,
    "TinyBoxes": TinyBoxes,
    "TinyFaces": TinyFaces,
    "GrowingMask": GrowingMask,
    # Under the ids of nodes that are not here.
    "SAM3_VideoTrack": StandInTrack,
    "ADE_AnimateDiffLoaderGen1": StandInMotion,
    "ADE_StandardUniformContextOptions": StandInContext,
    "LazySwitch": LazySwitch,
    "DrawnFaces": DrawnFaces,
    "TrainedPipe": TrainedPipe,
    "Keep": Keep,
    # The classic form of the same nodes, beside the one that this ComfyUI chose.
    **{f"Classic{node.id}": class_of(node) for node in NODES},
}
