"""Tiny Wan parts with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

TEXT = 16
"""Width of the prompt's embedding."""
SIZE_MULTIPLE = 16
_SIZES = {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": TEXT, "freq_dim": 16, "ffn_dim": 32}


def make_transformer(
    *, seed: int = 0, in_channels: int = 4, out_channels: int = 4, positions: int = 32
) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        **_SIZES, in_channels=in_channels, out_channels=out_channels, num_layers=1, rope_max_seq_len=positions
    ).eval()


def make_vace(*, seed: int = 0, positions: int = 32) -> WanVACETransformer3DModel:
    """VACE for four channels of latents: two of them, and 64 of the mask, for its control branch."""
    torch.manual_seed(seed)
    network = WanVACETransformer3DModel(
        **_SIZES,
        in_channels=4,
        out_channels=4,
        num_layers=4,
        rope_max_seq_len=positions,
        vace_layers=[0, 2],
        vace_in_channels=2 * 4 + 64,
    ).eval()
    # As it starts its branch has hardly an effect.
    with torch.no_grad():
        for block in network.vace_blocks:
            block.proj_out.weight.normal_(0, 0.1)
    return network


def make_vae(*, seed: int = 1) -> AutoencoderKLWan:
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1] * 4, latents_std=[0.5] * 4
    ).eval()
    # As it starts it decodes to one flat color, which the detailer takes for a failure.
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(3)
    return vae


def make_large_vae(*, seed: int = 1) -> AutoencoderKLWan:
    """The VAE of Wan 2.2 5B: 16 pixels to a latent of 48 channels."""
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1] * 48,
        latents_std=[0.5] * 48,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    ).eval()
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


_ORIGINAL = (
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"),
    ("attn2", "cross_attn"),
    ("attn1", "self_attn"),
    (".to_out.0.", ".o."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    ("ffn.net.0.proj", "ffn.0"),
    ("ffn.net.2", "ffn.2"),
    ("norm2", "norm_of_three"),
    ("norm3", "norm2"),
    ("norm_of_three", "norm3"),
)
"""Parts of names in diffusers' layout, and what they are called in the makers'."""


def original_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights of a transformer, by the names that its makers gave them."""
    found = {}
    for name, value in network.state_dict().items():
        in_branch = name.startswith("vace_blocks.")
        for theirs, original in _ORIGINAL:
            name = name.replace(theirs, original)
        if in_branch:
            name = name.replace("proj_in", "before_proj").replace("proj_out", "after_proj")
        if name == "scale_shift_table":
            name = "head.modulation"
        name = name.replace("scale_shift_table", "modulation")
        if name.startswith("proj_out."):
            name = name.replace("proj_out", "head.head")
        found[name] = value.contiguous()
    return found


def save_gguf(weights: dict[str, torch.Tensor], path: Path) -> Path:
    """Write weights as ComfyUI's users have them: matrices in 8 bits where their rows are whole blocks."""
    import gguf

    writer = gguf.GGUFWriter(path, "wan")
    for name, value in weights.items():
        array = value.float().numpy()
        if value.ndim == 2 and value.shape[1] % 32 == 0 and name.startswith("blocks"):
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def save_checkpoint(
    folder: Path,
    *,
    kind: str = "WanPipeline",
    second: bool = False,
    flow_shift: float = 3.0,
    in_channels: int = 4,
    positions: int = 32,
    large: bool = False,
) -> Path:
    """Save a Wan checkpoint in the layout of the hub, in safetensors.

    `second` adds Wan 2.2's transformer_2; `large` makes it that of the 5B, with 48 channels; the kind "WanVACEPipeline"
    holds VACE.
    """
    is_vace = kind == "WanVACEPipeline"
    network = "WanVACETransformer3DModel" if is_vace else "WanTransformer3DModel"
    index = {
        "_class_name": kind,
        "_diffusers_version": "0.35.0",
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", network],
        "vae": ["diffusers", "AutoencoderKLWan"],
    }
    if kind in ("WanPipeline", "WanVACEPipeline"):
        index |= {"transformer_2": [None, None], "boundary_ratio": None}
    if kind == "WanPipeline":
        index["expand_timesteps"] = large

    def transformer(seed: int) -> torch.nn.Module:
        if is_vace:
            return make_vace(seed=seed, positions=positions)
        channels = (48, 48) if large else (in_channels, 4)
        return make_transformer(seed=seed, in_channels=channels[0], out_channels=channels[1], positions=positions)

    transformer(0).save_pretrained(folder / "transformer")
    if second:
        transformer(9).save_pretrained(folder / "transformer_2")
        index |= {"transformer_2": ["diffusers", network], "boundary_ratio": 0.875}
    (make_large_vae() if large else make_vae()).save_pretrained(folder / "vae")
    make_text_encoder().save_pretrained(folder / "text_encoder")
    make_tokenizer().save_pretrained(folder / "tokenizer")
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
