"""LTX-2's transformer in single files: what diffusers can read of them, told from the names of their tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.single_files import Shapes

__all__ = ["CONFIG", "check_file", "is_ltx_file"]

CONFIG = "Lightricks/LTX-2"
"""The checkpoint on the hub that has the configuration and all other parts of LTX-2.0."""

_MAKERS, _OURS = "patchify_proj.weight", "proj_in.weight"
"""The first layer, by its name in the makers' layout and in diffusers'."""

_SOUND = "audio_"
_LATER = "prompt_adaln_single."
"""What the makers' layout has from 2.3 on, and diffusers does not convert."""


def is_ltx_file(shapes: Shapes, path: str) -> bool:
    """Whether a file in the makers' layout holds a transformer of LTX-2.0.

    Parameters
    ----------
    shapes : dict
        Of the file's tensors.
    path : str
        The file, for errors.

    Raises
    ------
    ModelError
        It holds one of a later version.
    """
    if _MAKERS not in shapes or _SOUND + _MAKERS not in shapes:
        return False
    if any(name.startswith(_LATER) for name in shapes):
        raise ModelError(
            f"{path} holds a transformer of LTX-2.3 or later in its makers' layout, which diffusers does not read: "
            "take the checkpoint in diffusers' layout"
        )
    return True


def check_file(path: str, shapes: Shapes, config: Mapping[str, Any], where: str) -> None:
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
        It is of another kind, or no transformer of LTX-2 at all.
    """
    name = _MAKERS if is_ltx_file(shapes, path) else _OURS
    if name not in shapes or _SOUND + name not in shapes:
        raise ModelError(f"{path} is no transformer of LTX-2")
    wanted = (int(config["num_attention_heads"]) * int(config["attention_head_dim"]), int(config["in_channels"]))
    if tuple(shapes[name]) != wanted:
        found = "x".join(map(str, shapes[name]))
        raise ModelError(
            f"{path} has a first layer of {found}, and the configuration {where} one of {wanted[0]}x{wanted[1]}"
        )
