"""Kinds of Wan's files, told from the names and shapes of their tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.single_files import Shapes

__all__ = ["FileKind", "check_network", "check_vae", "config_of", "file_kind"]

_PATCHES = "patch_embedding.weight"
_BLOCK = re.compile(r"^blocks\.(\d+)\.")
_VACE_BLOCK = re.compile(r"^vace_blocks\.(\d+)\.")
_WAN = ("blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.weight")
"""Names that only transformers of this design have, in the makers' layout and in diffusers'."""

_PICTURES = ("img_emb.", "condition_embedder.image_embedder.")
_OTHERS = ("motion_encoder.", "face_adapter.", "audio_encoder.", "casual_audio_encoder.", "control_adapter.")
"""Parts of Wan's kin that take pictures, faces, sound or cameras."""

_VAE_LATENTS = ("conv2.weight", "post_quant_conv.weight")
_NESTED = re.compile(r"^decoder\.upsamples\.\d+\.upsamples\.")
"""Names of the makers' layout of the 2.2 VAE, which diffusers does not convert."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file's transformer is.

    Parameters
    ----------
    width : int
        Channels of a token's state.
    layers : int
        Its blocks.
    channels : int
        Channels of its latents.
    control_layers : int
        Blocks of VACE's control branch; 0 for none.
    """

    width: int
    layers: int
    channels: int
    control_layers: int = 0

    def __str__(self) -> str:
        branch = f" and {self.control_layers} blocks of VACE" if self.control_layers else ""
        return f"{self.layers} blocks of width {self.width} for {self.channels} channels{branch}"

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> FileKind:
        """Kind of a transformer's configuration."""
        return cls(
            int(config["num_attention_heads"]) * int(config["attention_head_dim"]),
            int(config["num_layers"]),
            int(config["in_channels"]),
            len(config.get("vace_layers") or ()),
        )


_CONFIGS = {
    FileKind(1536, 30, 16): ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", None),
    FileKind(5120, 40, 16): ("Wan-AI/Wan2.1-T2V-14B-Diffusers", "Wan-AI/Wan2.2-T2V-A14B-Diffusers"),
    FileKind(3072, 30, 48): ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", None),
    FileKind(1536, 30, 16, 15): ("Wan-AI/Wan2.1-VACE-1.3B-diffusers", None),
    FileKind(5120, 40, 16, 8): ("Wan-AI/Wan2.1-VACE-14B-diffusers", "linoyts/Wan2.2-VACE-Fun-14B-diffusers"),
}
"""Where the configuration of each kind is, alone and as one of a pair."""


def file_kind(shapes: Shapes, path: str) -> FileKind | None:
    """Tell what a file's transformer is.

    Parameters
    ----------
    shapes : dict
        Of the file's tensors.
    path : str
        The file, for errors.

    Returns
    -------
    FileKind or None
        None for a file that holds no transformer of Wan.

    Raises
    ------
    ModelError
        It is one that takes more than noise and a prompt, or in a layout that diffusers does not read.
    """
    if _PATCHES not in shapes or not any(name in shapes for name in _WAN):
        return None
    width, channels = shapes[_PATCHES][:2]
    taken = next((name for name in shapes if name.startswith((*_PICTURES, *_OTHERS))), None)
    if taken is not None or (channels not in (16, 48) and channels > 16):
        what = taken or f"{channels} channels"
        raise ModelError(
            f"{path} also takes an image, a face or sound ({what}): of Wan only text to video and VACE repaint"
        )
    if any(name.endswith((".scale_weight", "scaled_fp8")) for name in shapes):
        raise ModelError(
            f"{path} holds fp8 weights with scales, which diffusers does not read: take bf16, fp16 or GGUF"
        )
    return FileKind(width, _count(_BLOCK, shapes), channels, _count(_VACE_BLOCK, shapes))


def config_of(kind: FileKind, path: str, *, is_pair: bool) -> str:
    """Name the checkpoint on the hub that has the configuration, text encoder and VAE for a kind.

    Raises
    ------
    ModelError
        None is known.
    """
    alone, pair = _CONFIGS.get(kind, (None, None))
    found = pair if is_pair else alone
    if found is None:
        known = ", ".join(name for names in _CONFIGS.values() for name in names if name)
        two = " as one of a pair" if is_pair else ""
        raise ModelError(f"no configuration is known for {path}{two} ({kind}): give config; known are {known}")
    return found


def check_network(path: str, shapes: Shapes, config: Mapping[str, Any], where: str) -> None:
    """Refuse a transformer's file that is not of its configuration's kind.

    Parameters
    ----------
    path : str
        The file.
    shapes : dict
        Of its tensors.
    config : mapping
        The configuration.
    where : str
        Where that is from, for the error.

    Raises
    ------
    ModelError
        It is of another kind, or no transformer of Wan at all.
    """
    kind, wanted = file_kind(shapes, path), FileKind.of_config(config)
    if kind is None:
        raise ModelError(f"{path} is no transformer of Wan")
    if kind != wanted:
        raise ModelError(
            f"{path} has {kind}, and the configuration {where} is for {wanted}: give that of the file's kind"
        )


def check_vae(path: str, shapes: Shapes, config: Mapping[str, Any], where: str) -> None:
    """Refuse a VAE's file that is not of its configuration's kind; see `check_network`."""
    latents = next((shapes[name][0] for name in _VAE_LATENTS if name in shapes), None)
    if latents is None or ("decoder.conv1.weight" not in shapes and "decoder.conv_in.weight" not in shapes):
        raise ModelError(f"{path} is no VAE of Wan")
    if latents != int(config.get("z_dim", 16)):
        raise ModelError(f"{path} has latents of {latents} channels, and the configuration {where} {config['z_dim']}")
    if any(_NESTED.match(name) for name in shapes):
        raise ModelError(
            f"{path} is the VAE of Wan 2.2 in its makers' layout, which diffusers does not read: leave out vae"
        )


def _count(pattern: re.Pattern[str], shapes: Shapes) -> int:
    return len({match[1] for match in map(pattern.match, shapes) if match})
