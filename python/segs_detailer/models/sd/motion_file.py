"""Motion modules of one file, as ComfyUI users have them: AnimateDiff's own names of weights, in safetensors."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.errors import ModelError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

__all__ = ["ANIMATE_LCM", "is_motion_file", "load_motion_file"]

ANIMATE_LCM = "AnimateLCM"
"""Kind of the modules that AnimateLCM (Wang et al. 2024) brought: their noise levels are others."""

_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")

_ZIP, _PICKLE, _HEADER = b"PK\x03\x04", b"\x80", 8
"""First bytes of what `torch.save` writes, now and formerly; bytes before the header of safetensors."""

_HOW_TO_CONVERT = "weights are read from safetensors only; docs/models/animatediff.md has the command that converts it"

_PREFIX = "module."
"""What training on several GPUs puts before each name."""

_NAMES = (
    (".temporal_transformer", ""),
    (".attention_blocks.0", ".attn1"),
    (".attention_blocks.1", ".attn2"),
    (".norms.0", ".norm1"),
    (".norms.1", ".norm2"),
    (".ff_norm", ".norm3"),
)
"""Parts of AnimateDiff's names, and what diffusers calls them."""

_POSITIONS = re.compile(r"\.(?:attention_blocks\.\d+\.pos_encoder|pos_embed)\.pe$")

_PLACE = re.compile(r"(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.motion_modules\.(\d+)\.")

_OTHERS = (
    ("lora", "a motion LoRA: load it beside a motion module, as any LoRA"),
    ("controlnet_cond_embedding", "a SparseCtrl ControlNet, which this package does not use"),
    ("temporal_attentions.", "a HotshotXL module, which this package does not use: take AnimateDiff-SDXL's"),
    ("img_encoder", "an image-to-video module of AnimateLCM, which needs its picture"),
    ("conv_in.weight", "a PIA module, which also wants a picture and its likeness to each frame"),
)
"""Parts of names that show files of another kind, and what these are."""

_HEADS, _GROUPS = 8, 32
"""Attention heads and groups of the normalization: the same in all published modules, and not told by the weights."""

_FRAMES = 32
"""Positions of a module that brings none: AnimateLCM's."""

_ENCODING_TOLERANCE = 1e-2
"""Of the position encodings, which are sines and cosines that half precision has rounded."""


def is_motion_file(source: str) -> bool:
    """Tell a file, there or not, from a folder or a hub id."""
    path = Path(source)
    return path.is_file() or (path.suffix.lower() in _SUFFIXES and not path.is_dir())


def load_motion_file(diffusers: Any, source: str, dtype: torch.dtype) -> tuple[Any, str]:
    """Load a motion module of one file; no hub is asked.

    Parameters
    ----------
    diffusers : module
        The package.
    source : str
        The file, in safetensors whatever its name ends in: under the names of AnimateDiff's own files or of diffusers.
        A `config.json` of a `MotionAdapter` beside it counts; else the sizes are those of the weights, with the 8 heads
        and 32 groups of all published modules.
    dtype : torch.dtype
        Dtype of the weights.

    Returns
    -------
    adapter : diffusers.MotionAdapter
        The module.
    kind : str
        "v1", "v2", "v3", "SDXL" or `ANIMATE_LCM`.

    Raises
    ------
    ModelError
        There is no such file, it is a pickle, or it holds something else.

    Warns
    -----
    UserWarning
        It holds more than a motion module.
    """
    weights = _read(source)
    kind = _kind(weights)
    config = _config_beside(source) or _config_of(weights)
    with torch.device("meta"):
        adapter = diffusers.MotionAdapter(**config)
    wanted: dict[str, Tensor] = adapter.state_dict()
    encodings = {name: _encoding(wanted[name]) for name in wanted if name.endswith("pos_embed.pe")}
    _check_encodings(source, weights, encodings)
    state = {_in_diffusers(name): value for name, value in weights.items() if not _POSITIONS.search(name)} | encodings
    _check_names(source, state, wanted)
    adapter.load_state_dict(state, strict=True, assign=True)
    adapter.register_to_config(_name_or_path=source)
    # Not adapter.to: diffusers warns there of models that keep parts in float32; this one keeps none.
    return torch.nn.Module.to(adapter, dtype).eval(), kind


def _read(source: str) -> dict[str, Tensor]:
    """Read the weights of the motion module, without what training put before their names."""
    path = Path(source)
    if not path.is_file():
        raise ModelError(f"cannot load the motion module {source}: there is no such file")
    with path.open("rb") as file:
        start = file.read(_HEADER + 1)
    if start.startswith((_ZIP, _PICKLE)) and start[_HEADER:] != b"{":
        raise ModelError(
            f"cannot load the motion module {source}: it is a pickle, whatever its name says, and reading one can run "
            f"any program; {_HOW_TO_CONVERT}"
        )
    if start[_HEADER:] != b"{":
        raise ModelError(f"cannot load the motion module {source}: it is no safetensors file; {_HOW_TO_CONVERT}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"cannot load the motion module {source}: {first_line(error)}") from error
    names = {name: name.removeprefix(_PREFIX) for name in weights}
    for part, what in _OTHERS:
        if any(part in name for name in names.values()):
            raise ModelError(f"cannot load the motion module {source}: it is {what}")
    motion = {known: weights[name] for name, known in names.items() if _PLACE.match(known)}
    if not motion:
        raise ModelError(f"cannot load the motion module {source}: it holds none, but {_some(names)}")
    left = [name for name, known in names.items() if known not in motion]
    if left:
        warnings.warn(f"of {source} only the motion module is used, not {_some(left)}", stacklevel=6)
    return motion


def _kind(weights: Mapping[str, Tensor]) -> str:
    lengths = {value.shape[1] for name, value in weights.items() if _POSITIONS.search(name)}
    if not lengths:
        return ANIMATE_LCM
    if len(_channels(weights)) == 3:
        return "SDXL"
    if any(name.startswith("mid_block.") for name in weights):
        return "v2"
    return "v1" if min(lengths) == 24 else "v3"


def _config_beside(source: str) -> dict[str, Any] | None:
    path = Path(source).with_name("config.json")
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    is_ours = isinstance(config, dict) and config.get("_class_name") == "MotionAdapter"
    return {name: value for name, value in config.items() if not name.startswith("_")} if is_ours else None


def _config_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tell the module's sizes from its weights."""
    layers: dict[tuple[str, int], int] = {}
    for name in weights:
        side, block, layer = _placed(name)
        layers[side, block] = max(layers.get((side, block), 0), layer + 1)
    channels = _channels(weights)
    depths = [layers.get(("down_blocks", block), 0) for block in range(len(channels))]
    lengths = [value.shape[1] for name, value in weights.items() if _POSITIONS.search(name)]
    return {
        "block_out_channels": channels,
        "motion_layers_per_block": depths[0] if len(set(depths)) == 1 else tuple(depths),
        "motion_mid_block_layers_per_block": layers.get(("mid_block", 0), 1),
        "motion_num_attention_heads": _HEADS,
        "motion_norm_num_groups": _GROUPS,
        "motion_max_seq_length": min(lengths, default=_FRAMES),
        "use_motion_mid_block": ("mid_block", 0) in layers,
    }


def _placed(name: str) -> tuple[str, int, int]:
    found = _PLACE.match(name)
    if found is None:
        raise ModelError(f"cannot load the motion module: {name} is no weight of one")
    return found[1], int(found[2] or 0), int(found[3])


def _channels(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Channels of the blocks, from the first normalization of each."""
    found: dict[int, int] = {}
    for name, value in weights.items():
        side, block, _ = _placed(name)
        if side == "down_blocks" and re.search(r"\.motion_modules\.0\.(temporal_transformer\.)?norm\.weight$", name):
            found[block] = len(value)
    return tuple(found[block] for block in sorted(found))


def _encoding(like: Tensor) -> Tensor:
    """Position encodings as both AnimateDiff and diffusers make them: sines and cosines (Vaswani et al. 2017)."""
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    _, length, width = like.shape
    return torch.as_tensor(SinusoidalPositionalEmbedding(width, max_seq_length=length).pe)


def _check_encodings(source: str, weights: Mapping[str, Tensor], encodings: Mapping[str, Tensor]) -> None:
    by_width = {value.shape: value for value in encodings.values()}
    for name, value in weights.items():
        if not _POSITIONS.search(name):
            continue
        usual = by_width.get(value.shape)
        if usual is None or not torch.allclose(value.float(), usual, atol=_ENCODING_TOLERANCE, rtol=0):
            raise ModelError(f"cannot load the motion module {source}: it has position encodings of its own, {name}")


def _in_diffusers(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return name


def _check_names(source: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing, unknown = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unknown:
        what = f"it lacks {_some(missing)}" if missing else f"it also has {_some(unknown)}"
        raise ModelError(f"cannot load the motion module {source}: {what}")
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            got, expected = tuple(state[name].shape), tuple(value.shape)
            raise ModelError(f"cannot load the motion module {source}: {name} has shape {got}, expected {expected}")


def _some(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more" if others else first
