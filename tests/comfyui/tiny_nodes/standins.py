"""What this ComfyUI may lack, stood in for: MiniMax H3's interface; and a tiny Qwen-Image with the VAE of Wan."""

from __future__ import annotations

import comfy.conds
import comfy.latent_formats
import comfy.ldm.wan.vae
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.taesd.taesd
import torch

H3_GROUPS, H3_SIDE = (1, 4, 4, 4, 4), 16

QWEN = {
    "image_model": "qwen_image",
    "num_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 16,
    "axes_dims_rope": (4, 6, 6),
}


class MixingNetwork(torch.nn.Module):
    """Takes what MiniMax H3 takes, and lets each stream depend on the other."""

    patch_size = (1, 2, 2)
    dtype = torch.float32

    def __init__(self, **options):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.3))
        self.seen = []

    def forward(self, x, timestep, context=None, **options):
        pictures, sound = x[0], x[1]
        self.seen.append((tuple(pictures.shape), tuple(sound.shape), pictures.clone(), sound.clone()))
        if len(pictures) != 1:
            raise ValueError("MiniMax H3 supports batch size 1")
        return [self.weight * pictures + sound.mean(), self.weight * sound + pictures.mean()]


class MiniMaxH3(comfy.model_base.BaseModel):
    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=MixingNetwork)

    def extra_conds(self, **options):
        out = super().extra_conds(**options)
        if options.get("latent_shapes") is not None:
            out["latent_shapes"] = comfy.conds.CONDConstant(options["latent_shapes"])
        return out


class H3Latents(comfy.latent_formats.LatentFormat):
    latent_channels, latent_dimensions = 24, 3


class H3Config(comfy.supported_models_base.BASE):
    unet_extra_config = {}
    latent_format = H3Latents
    sampling_settings = {"shift": 12.0}


class GroupVAE(torch.nn.Module):
    """The mean color of each patch over frames in groups of 1, 4, 4, 4, 4."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def encode(self, pixels):
        parts, place, latents = [], 0, 5 * ((pixels.shape[2] - 5) // 17) + 2
        for index in range(latents):
            count = H3_GROUPS[index % 5]
            parts.append(pixels[:, :, place : place + count].mean(2))
            place += count
        color = torch.nn.functional.avg_pool3d(torch.stack(parts, 2), (1, H3_SIDE, H3_SIDE))
        return torch.cat([color, torch.zeros_like(color[:, :1]).expand(-1, 21, -1, -1, -1)], 1) * self.scale

    def decode(self, latents):
        counts = torch.tensor([H3_GROUPS[index % 5] for index in range(latents.shape[2])])
        frames = latents[:, :3].repeat_interleave(counts, 2) / self.scale
        return torch.nn.functional.interpolate(frames, scale_factor=(1, H3_SIDE, H3_SIDE), mode="nearest")


def h3_model(base=MiniMaxH3):
    config = H3Config({})
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode(False):
        model = base(config, device=torch.device("cpu"))
    return patcher_of(model)


def patcher_of(model):
    management = comfy.model_management
    return comfy.model_patcher.ModelPatcher(model, management.get_torch_device(), management.unet_offload_device())


def h3_vae():
    vae = _vae_around(GroupVAE(), 24)
    vae.upscale_ratio = (lambda latents: max(1, (latents - 2) // 5 * 17 + 5), H3_SIDE, H3_SIDE)
    vae.downscale_ratio = (
        lambda frames: max(1, (frames - 5) // 17 * 5 + 2) if frames > 1 else 1,
        H3_SIDE,
        H3_SIDE,
    )
    return vae


class H3AudioVAE:
    """Takes `(1, n, 2)` at 32 kHz, and gives the loudness of each 800 samples."""

    first_stage_model = None
    audio_sample_rate = 32000

    def __init__(self):
        self.heard = []

    def encode(self, waveform):
        assert waveform.ndim == 3
        assert waveform.shape[2] == 2
        self.heard.append(waveform)
        count = waveform.shape[1] // 800
        loud = waveform[:, : count * 800].reshape(1, count, 800, 2).square().mean(2).sqrt()
        return loud.permute(0, 2, 1)[:, None].expand(1, 32, 2, count)


def _vae_around(network, channels):
    vae = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD(latent_channels=4).state_dict())
    vae.first_stage_model = network.eval()
    vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, comfy.model_management.vae_offload_device())
    vae.latent_dim, vae.latent_channels = 3, channels
    return vae


def qwen_model(fill, seed):
    config = comfy.supported_models.QwenImage(QWEN)
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode(False):
        model = config.get_model({}, device=torch.device("cpu"))
        fill(model.diffusion_model, seed)
    return patcher_of(model)


def wan_vae(fill, seed):
    """ComfyUI's own VAE of Wan 2.1 with few channels, which Qwen-Image has too."""
    with torch.inference_mode(False):
        network = comfy.ldm.wan.vae.WanVAE(
            dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True]
        )
        fill(network, seed)
    vae = _vae_around(network, 16)
    vae.upscale_ratio = (lambda latents: max(0, latents * 4 - 3), 8, 8)
    vae.downscale_ratio = (lambda frames: max(0, (frames + 3) // 4), 8, 8)
    return vae
