"""Tiny parts of LTX-2 with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GemmaTokenizerFast

try:
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2Pipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
except ImportError as error:
    pytest.skip(f"this diffusers is too old: {error}", allow_module_level=True)

TEXT = 16
"""Width of the text model's states."""

KINDS: dict[str, dict[str, Any]] = {
    "2.0": {},
    "2.3": {
        "gated_attn": True,
        "cross_attn_mod": True,
        "audio_gated_attn": True,
        "audio_cross_attn_mod": True,
        "perturbed_attn": True,
        "use_prompt_embeddings": False,
    },
}
KINDS["2.5"] = {**KINDS["2.3"], "ff_bias": False, "use_keyframes_abs_pos_embedding": True}

FULL = {
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def make_transformer(kind: str = "2.0", *, seed: int = 0) -> LTX2VideoTransformer3DModel:
    torch.manual_seed(seed)
    model = LTX2VideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=8,
        audio_out_channels=8,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        caption_channels=TEXT,
        rope_double_precision=False,
        rope_type="split",
        **KINDS[kind],
    ).eval()
    # As they start, tables of modulation are near 0 and nothing goes from one modality to the other.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "scale_shift_table" in name:
                weight.normal_()
    return model


def original_weights(model: LTX2VideoTransformer3DModel) -> dict[str, torch.Tensor]:
    """Weights of LTX-2.0 under their makers' names."""
    names = {
        "av_cross_attn_video_scale_shift": "av_ca_video_scale_shift_adaln_single",
        "av_cross_attn_video_a2v_gate": "av_ca_a2v_gate_adaln_single",
        "av_cross_attn_audio_scale_shift": "av_ca_audio_scale_shift_adaln_single",
        "av_cross_attn_audio_v2a_gate": "av_ca_v2a_gate_adaln_single",
        "video_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_video",
        "audio_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_audio",
        "norm_q": "q_norm",
        "norm_k": "k_norm",
        "time_embed.": "adaln_single.",
        "proj_in.": "patchify_proj.",
    }
    weights = {}
    for name, value in model.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        weights[name] = value.clone()
    return weights


def make_vae(*, seed: int = 1) -> AutoencoderKLLTX2Video:
    torch.manual_seed(seed)
    vae = AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(16, 32, 64),
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 4,
        spatio_temporal_scaling=(True,) * 4,
        decoder_spatio_temporal_scaling=(True,) * 3,
        decoder_inject_noise=(False,) * 4,
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        upsample_residual=(True,) * 3,
        upsample_factor=(2, 2, 2),
        patch_size=4,
        encoder_causal=True,
        decoder_causal=False,
        decoder_spatial_padding_mode="zeros",
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
        scaling_factor=1.25,
    ).eval()
    vae.latents_mean.fill_(0.1)
    vae.latents_std.fill_(0.5)
    return vae


def make_audio_vae(*, seed: int = 2) -> AutoencoderKLLTX2Audio:
    torch.manual_seed(seed)
    vae = AutoencoderKLLTX2Audio(
        base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2, mel_bins=16, resolution=16
    ).eval()
    vae.latents_mean.fill_(0.1)
    vae.latents_std.fill_(0.5)
    return vae


def make_tokenizer() -> GemmaTokenizerFast:
    """Single bytes, with Gemma's marks."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    marks = {name: len(letters) + place for place, name in enumerate(("<pad>", "<eos>", "<bos>", "<unk>"))}
    inner = Tokenizer(models.BPE(vocab={**letters, **marks}, merges=[], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", marks["<bos>"])])
    return GemmaTokenizerFast(tokenizer_object=inner, model_max_length=1024)


def make_text_encoder(*, seed: int = 3) -> Gemma3ForConditionalGeneration:
    torch.manual_seed(seed)
    text = {
        "vocab_size": 262,
        "hidden_size": TEXT,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }
    vision = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 14,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1)
    return Gemma3ForConditionalGeneration(config).eval()


def make_connectors(kind: str = "2.0", *, seed: int = 4) -> LTX2TextConnectors:
    torch.manual_seed(seed)
    later = kind != "2.0"
    return LTX2TextConnectors(
        caption_channels=TEXT,
        text_proj_in_factor=3,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=128,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=4 if later else 8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=128,
        rope_double_precision=False,
        rope_type="split",
        per_modality_projections=later,
        video_hidden_dim=16,
        audio_hidden_dim=8,
    ).eval()


def make_pipeline(kind: str = "2.0", *, schedule: dict[str, Any] = FULL) -> LTX2Pipeline:
    return LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**schedule),
        vae=make_vae(),
        audio_vae=make_audio_vae(),
        text_encoder=make_text_encoder(),
        tokenizer=make_tokenizer(),
        connectors=make_connectors(kind),
        transformer=make_transformer(kind),
        vocoder=None,
    )


def save_checkpoint(folder: Path, kind: str = "2.0", **options: Any) -> Path:
    make_pipeline(kind, **options).save_pretrained(folder)
    return folder
