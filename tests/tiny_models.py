"""Tiny Stable Diffusion parts with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

CHANNELS = (16, 32)
CROSS = 16
"""Width of the prompt's embedding."""
VAE_FACTOR = 8


def make_unet(*, seed: int = 0, in_channels: int = 4, sdxl: bool = False) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    extra = {}
    if sdxl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + CROSS,
        }
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        cross_attention_dim=2 * CROSS if sdxl else CROSS,
        attention_head_dim=2,
        norm_num_groups=4,
        **extra,
    ).eval()


def make_motion_adapter(*, seed: int = 1, max_frames: int = 32, channels: tuple[int, ...] = CHANNELS) -> MotionAdapter:
    torch.manual_seed(seed)
    adapter = MotionAdapter(
        block_out_channels=channels,
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_max_seq_length=max_frames,
        use_motion_mid_block=False,
    ).eval()
    # A fresh motion module ends in zeros and would do nothing.
    for name, weight in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return adapter


def make_motion_unet(*, seed: int = 0, max_frames: int = 32, in_channels: int = 4) -> UNetMotionModel:
    unet = make_unet(seed=seed, in_channels=in_channels)
    return UNetMotionModel.from_unet2d(unet, make_motion_adapter(max_frames=max_frames)).eval()


def make_controlnet(unet: UNet2DConditionModel, *, seed: int = 3) -> ControlNetModel:
    torch.manual_seed(seed)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8)).eval()
    # A fresh ControlNet ends in zeros and would do nothing.
    for name, weight in controlnet.named_parameters():
        if "controlnet_down_blocks" in name or "controlnet_mid_block" in name or "conv_out" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return controlnet


def make_vae(*, seed: int = 2) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=64,
        scaling_factor=0.18215,
    ).eval()


def make_tokenizer() -> CLIPTokenizer:
    """A byte-level tokenizer without merges: one token per character."""
    alphabet = [chr(code) for code in range(33, 127)]
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=77)


def make_text_encoder(*, seed: int = 4, projection: bool = False) -> CLIPTextModel:
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CROSS,
        intermediate_size=2 * CROSS,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=CROSS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def save_checkpoint(
    folder: Path, *, seed: int = 0, in_channels: int = 4, sdxl: bool = False, prediction_type: str = "epsilon"
) -> Path:
    """Save a Stable Diffusion checkpoint in the layout of the hub, in safetensors."""
    make_unet(seed=seed, in_channels=in_channels, sdxl=sdxl).save_pretrained(folder / "unet")
    make_vae().save_pretrained(folder / "vae")
    make_text_encoder().save_pretrained(folder / "text_encoder")
    make_tokenizer().save_pretrained(folder / "tokenizer")
    index = {
        "_class_name": "StableDiffusionXLPipeline" if sdxl else "StableDiffusionPipeline",
        "_diffusers_version": "0.35.0",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if sdxl:
        make_text_encoder(seed=5, projection=True).save_pretrained(folder / "text_encoder_2")
        make_tokenizer().save_pretrained(folder / "tokenizer_2")
        index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        index["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def save_motion_adapter(folder: Path, *, max_frames: int = 32, channels: tuple[int, ...] = CHANNELS) -> Path:
    """Save a motion adapter in the layout of the hub, in safetensors."""
    make_motion_adapter(max_frames=max_frames, channels=channels).save_pretrained(folder)
    return folder
