"""Tiny Wan parts with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

TEXT = 16
"""Width of the prompt's embedding."""
SIZE_MULTIPLE = 16


def make_transformer(*, seed: int = 0, in_channels: int = 4, positions: int = 32) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=4,
        text_dim=TEXT,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=positions,
    ).eval()


def make_vae(*, seed: int = 1) -> AutoencoderKLWan:
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1] * 4, latents_std=[0.5] * 4
    ).eval()
    # As it starts it decodes to one flat color, which the detailer takes for a failure.
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(3)
    return vae


def make_tokenizer() -> T5TokenizerFast:
    """A unigram tokenizer of single letters, with the special tokens and the end mark of T5."""
    letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'()&-"]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁face", -1.0), *letters]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Strip()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", extra_ids=0
    )


def make_text_encoder(*, seed: int = 2) -> UMT5EncoderModel:
    torch.manual_seed(seed)
    config = UMT5Config(vocab_size=len(make_tokenizer()), d_model=TEXT, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    return UMT5EncoderModel(config).eval()


def save_checkpoint(
    folder: Path,
    *,
    kind: str = "WanPipeline",
    second: bool = False,
    flow_shift: float = 3.0,
    in_channels: int = 4,
    positions: int = 32,
) -> Path:
    """Save a Wan checkpoint in the layout of the hub, in safetensors; `second` adds Wan 2.2's transformer_2."""
    index = {
        "_class_name": kind,
        "_diffusers_version": "0.35.0",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    if kind == "WanPipeline":
        index |= {"transformer_2": [None, None], "boundary_ratio": None, "expand_timesteps": False}
    make_transformer(in_channels=in_channels, positions=positions).save_pretrained(folder / "transformer")
    if second:
        make_transformer(seed=9).save_pretrained(folder / "transformer_2")
        index |= {"transformer_2": ["diffusers", "WanTransformer3DModel"], "boundary_ratio": 0.875}
    make_vae().save_pretrained(folder / "vae")
    make_text_encoder().save_pretrained(folder / "text_encoder")
    make_tokenizer().save_pretrained(folder / "tokenizer")
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
