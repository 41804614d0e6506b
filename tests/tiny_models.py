"""Tiny Stable Diffusion parts with random weights, made on the spot and saved in diffusers' own layout."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

CHANNELS = (16, 32)
CROSS = 16
"""Width of the prompt's embedding."""
SECOND = 24
"""Width of SDXL's second text encoder: another one, by which files of both are told apart."""
VAE_FACTOR = 8


def make_unet(*, seed: int = 0, in_channels: int = 4, sdxl: bool = False) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    extra = {}
    if sdxl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + SECOND,
        }
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        cross_attention_dim=CROSS + SECOND if sdxl else CROSS,
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


def make_motion_unet(
    *, seed: int = 0, max_frames: int = 32, in_channels: int = 4, sdxl: bool = False
) -> UNetMotionModel:
    unet = make_unet(seed=seed, in_channels=in_channels, sdxl=sdxl)
    motion = UNetMotionModel.from_unet2d(unet, make_motion_adapter(max_frames=max_frames)).eval()
    if sdxl:
        # diffusers leaves these at random.
        motion.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    return motion


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
    with TemporaryDirectory() as folder:
        # Versions of transformers differ in what else they take.
        files = (Path(folder, "vocab.json"), Path(folder, "merges.txt"))
        files[0].write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
        files[1].write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizer(*map(str, files), model_max_length=77)


def make_text_encoder(*, seed: int = 4, projection: bool = False) -> CLIPTextModel:
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    width = SECOND if projection else CROSS
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=width,
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


def save_single_file(path: Path, *, sdxl: bool = False) -> Path:
    """Save the parts of `save_checkpoint` as one file with the names of the original Stable Diffusion, or SDXL."""
    first = {k.removeprefix("text_model."): v for k, v in make_text_encoder().state_dict().items()}
    parts = {
        "model.diffusion_model.": {_original_unet_name(k): v for k, v in make_unet(sdxl=sdxl).state_dict().items()},
        "first_stage_model.": dict(_original_vae(k, v) for k, v in make_vae().state_dict().items()),
    }
    if sdxl:
        parts["conditioner.embedders.0.transformer.text_model."] = first
        parts["conditioner.embedders.1.model."] = _original_open_clip(
            make_text_encoder(seed=5, projection=True).state_dict()
        )
    else:
        parts["cond_stage_model.transformer.text_model."] = first
    save_file({prefix + k: v.contiguous() for prefix, part in parts.items() for k, v in part.items()}, path)
    return path


def _original_open_clip(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Queries, keys and values in one matrix, and the projection transposed."""
    names = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    renamed = (
        ("layer_norm", "ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
        ("self_attn.out_proj", "attn.out_proj"),
    )
    original = {names[name]: weight for name, weight in weights.items() if name in names}
    original["text_projection"] = weights["text_projection.weight"].T
    for name, weight in weights.items():
        if not name.startswith("text_model.encoder.layers."):
            continue
        layer, rest = name.removeprefix("text_model.encoder.layers.").split(".", 1)
        block = f"transformer.resblocks.{layer}."
        if rest.startswith("self_attn.q_proj."):
            kind = rest.rpartition(".")[2]
            rows = [weights[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            original[f"{block}attn.in_proj_{kind}"] = torch.cat(rows)
        elif not rest.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
            for new, old in renamed:
                rest = rest.replace(new, old)
            original[block + rest] = weight
    return original


_UNET_NAMES = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET_NAMES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def _original_unet_name(name: str) -> str:
    """Two levels of one layer: blocks are counted through, and each level has its layers and one more."""
    module, _, parameter = name.rpartition(".")
    if module in _UNET_NAMES:
        return f"{_UNET_NAMES[module]}.{parameter}"
    if name.startswith("mid_block.attentions.0."):
        return "middle_block.1." + name.removeprefix("mid_block.attentions.0.")
    side, *rest = name.split(".", 1)[0], *name.split(".")[1:]
    if side == "mid_block":
        return f"middle_block.{2 * int(rest[1])}.{_RESNET_NAMES[rest[2]]}.{parameter}"
    level, kind, layer = int(rest[0]), rest[1], int(rest[2])
    blocks, number = ("input_blocks", 1 + 2 * level) if side == "down_blocks" else ("output_blocks", 2 * level)
    if kind == "downsamplers":
        return f"{blocks}.{number + 1}.0.op.{parameter}"
    if kind == "upsamplers":
        # The first level from below has no attention, so the upsampler is its second module.
        return f"{blocks}.{number + 1}.1.conv.{parameter}"
    if kind == "attentions":
        return f"{blocks}.{number + layer}.1.{'.'.join(rest[3:])}"
    return f"{blocks}.{number + layer}.0.{_RESNET_NAMES[rest[3]]}.{parameter}"


def _original_vae(name: str, weight: torch.Tensor) -> tuple[str, torch.Tensor]:
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    if "mid_block.attentions.0" not in name:
        return name, weight
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
    name = re.sub(r"to_([qkv])\.", r"\1.", name).replace("to_out.0", "proj_out")
    # The original computes attention with convolutions of one pixel.
    return name, weight[..., None, None] if weight.ndim == 2 else weight


def save_lora(path, unet, *, only="", seed=0, prefix="unet", layers=("to_q", "to_v")):
    """A LoRA of rank 2 for the attention of a network, as peft names it."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(layers) and only in name:
            rows, columns = module.weight.shape
            weights[f"{prefix}.{name}.lora_A.weight"] = torch.randn(2, columns, generator=generator)
            weights[f"{prefix}.{name}.lora_B.weight"] = torch.randn(rows, 2, generator=generator)
    assert weights
    save_file(weights, path)
    return path


def save_ip_adapter(folder, unet):
    """An IP-Adapter of the plain kind: a projection, and keys and values for each cross-attention."""
    generator = torch.Generator().manual_seed(2)
    width, tokens = CROSS, 4
    weights = {
        "image_proj.proj.weight": torch.randn(tokens * width, width, generator=generator),
        "image_proj.proj.bias": torch.zeros(tokens * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    key = 1
    for name in unet.attn_processors:
        if "motion_modules" in name or "attn2" not in name:
            continue
        module = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{key}.{part}.weight"] = torch.randn(
                module.to_q.weight.shape[0], width, generator=generator
            )
        key += 2
    save_file(weights, folder / "ip.safetensors")


def make_image_encoder() -> CLIPVisionModelWithProjection:
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=CROSS,
    )
    return CLIPVisionModelWithProjection(config).eval()
