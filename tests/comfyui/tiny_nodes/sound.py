"""A tiny LTX-2 with sound out of ComfyUI's own classes: model, VAE of its clips, VAE of its sound."""

from __future__ import annotations

import json

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import torch

# The transformer of LTX-2 with one small block, and latents of the real one's channels.
TRANSFORMER = {
    "image_model": "ltxav",
    "cross_attention_dim": 32,
    "audio_cross_attention_dim": 16,
    "attention_head_dim": 16,
    "audio_attention_head_dim": 8,
    "num_attention_heads": 2,
    "audio_num_attention_heads": 2,
    "caption_channels": 24,
    "num_layers": 1,
}
FRAMES_PER_LATENT, SIDE, CHANNELS = 8, 32, 128

# The autoencoder of its sound with few channels.
_ENCODER = {
    "ch": 8,
    "out_ch": 2,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "in_channels": 2,
    "resolution": 64,
    "z_channels": 8,
    "double_z": True,
    "mid_block_add_attention": False,
    "norm_type": "pixel",
    "causality_axis": "height",
    "mel_bins": 64,
}
_VOCODER = {
    "upsample_rates": [2],
    "upsample_kernel_sizes": [4],
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
}


def fill(network, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(network.named_parameters()):
        fan = weight[0].numel() if weight.ndim > 1 else 1
        values = torch.randn(weight.shape, generator=generator) / fan**0.5
        if weight.ndim == 1:
            values = values * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        weight.data = values


def tiny_sound_model(seed):
    """A ModelPatcher that makes pictures and sound."""
    config = comfy.supported_models.LTXAV(TRANSFORMER)
    config.set_inference_dtype(torch.float32, None)
    management = comfy.model_management
    with torch.inference_mode(False):
        model = config.get_model({}, device=torch.device("cpu"))
        fill(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, management.get_torch_device(), management.unet_offload_device())


class PatchClipVAE(torch.nn.Module):
    """The mean color of each patch: of the first frame alone, then of eight frames together."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def encode(self, pixels):
        pool = torch.nn.functional.avg_pool3d
        parts = [pool(pixels[:, :, :1], (1, SIDE, SIDE))]
        if pixels.shape[2] > 1:
            parts.append(pool(pixels[:, :, 1:], (FRAMES_PER_LATENT, SIDE, SIDE)))
        color = torch.cat(parts, 2)
        return torch.cat([color, torch.zeros_like(color[:, :1]).expand(-1, CHANNELS - 3, -1, -1, -1)], 1) * self.scale

    def decode(self, latents):
        frames = torch.cat([latents[:, :3, :1], latents[:, :3, 1:].repeat_interleave(FRAMES_PER_LATENT, 2)], 2)
        return torch.nn.functional.interpolate(frames / self.scale, scale_factor=(1, SIDE, SIDE), mode="nearest")


def tiny_sound_clip_vae():
    """ComfyUI's VAE class with the rules of LTX's."""
    network = PatchClipVAE().eval()
    vae = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD(latent_channels=4).state_dict())
    vae.first_stage_model = network
    vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, comfy.model_management.vae_offload_device())
    vae.latent_dim, vae.latent_channels = 3, CHANNELS
    vae.upscale_ratio = (lambda latents: max(0, latents * FRAMES_PER_LATENT - 7), SIDE, SIDE)
    vae.downscale_ratio = (lambda frames: max(0, (frames + 7) // FRAMES_PER_LATENT), SIDE, SIDE)
    vae.upscale_index_formula = vae.downscale_index_formula = (FRAMES_PER_LATENT, SIDE, SIDE)
    return vae


def tiny_audio_vae(seed):
    """ComfyUI's VAE of LTX-2's sound."""
    from comfy.ldm.lightricks.vae.audio_vae import AudioVAE

    config = {
        "audio_vae": {
            "model": {"params": {"sampling_rate": 16000, "encoder": _ENCODER, "decoder": _ENCODER}},
        },
        "vocoder": _VOCODER,
    }
    with torch.inference_mode(False):
        vae = AudioVAE({}, {"config": json.dumps(config)})
        fill(vae.autoencoder, seed)
        statistics = vae.autoencoder.per_channel_statistics
        for name, value in statistics.named_buffers():
            value.copy_(torch.zeros_like(value) if "mean" in name and "std" not in name else torch.ones_like(value))
    return vae.eval()


def tone(seconds, rate, channels=2):
    """ComfyUI's AUDIO: a tone that rises."""
    time = torch.arange(round(seconds * rate)) / rate
    wave = torch.sin(2 * torch.pi * (220 + 200 * time) * time) * 0.5
    return {"waveform": wave.expand(1, channels, -1).clone(), "sample_rate": rate}
