"""Tiny parts of HunyuanVideo 1.5 with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    ByT5Tokenizer,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
)

try:
    from diffusers import (
        AutoencoderKLHunyuanVideo15,
        ClassifierFreeGuidance,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideo15Pipeline,
        HunyuanVideo15Transformer3DModel,
    )
except ImportError as error:
    pytest.skip(f"this diffusers is too old: {error}", allow_module_level=True)

TEXT, GLYPHS = 16, 12
"""Widths of the two embeddings of a prompt."""

_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_transformer(*, seed: int = 0, task: str = "t2v") -> HunyuanVideo15Transformer3DModel:
    torch.manual_seed(seed)
    return HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        patch_size=1,
        patch_size_t=1,
        text_embed_dim=TEXT,
        text_embed_2_dim=GLYPHS,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type=task,
    ).eval()


def make_vae(*, seed: int = 1) -> AutoencoderKLHunyuanVideo15:
    torch.manual_seed(seed)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(16,) * 5,
        layers_per_block=1,
        spatial_compression_ratio=16,
        temporal_compression_ratio=4,
        downsample_match_channel=False,
        upsample_match_channel=False,
        scaling_factor=1.25,
    ).eval()


def make_tokenizer() -> Qwen2Tokenizer:
    """Single bytes, with Qwen's marks and its way of writing a chat."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=letters, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Qwen2Tokenizer(tokenizer_object=inner, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def make_text_encoder(*, seed: int = 2) -> Qwen2_5_VLTextModel:
    torch.manual_seed(seed)
    config = Qwen2_5_VLTextConfig(
        vocab_size=len(make_tokenizer()),
        hidden_size=TEXT,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=None,
        eos_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    )
    return Qwen2_5_VLTextModel(config).eval()


def make_glyph_encoder(*, seed: int = 3) -> T5EncoderModel:
    torch.manual_seed(seed)
    config = T5Config(vocab_size=len(ByT5Tokenizer()), d_model=GLYPHS, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def make_pipeline(*, shift: float = 5.0, scale: float = 6.0, task: str = "t2v") -> HunyuanVideo15Pipeline:
    return HunyuanVideo15Pipeline(
        text_encoder=make_text_encoder(),
        tokenizer=make_tokenizer(),
        transformer=make_transformer(task=task),
        vae=make_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        text_encoder_2=make_glyph_encoder(),
        tokenizer_2=ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=scale),
    )


def save_checkpoint(folder: Path, **options) -> Path:
    make_pipeline(**options).save_pretrained(folder)
    return folder
