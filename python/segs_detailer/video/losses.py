"""What of a clip an output does not hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.video.companions import beside_the_picture
from segs_detailer.video.container_writer import can_write_container, container_losses
from segs_detailer.video.encoders import EncoderSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.video.clip import ClipInfo

__all__ = ["picture_losses", "probable_losses", "warn_of_losses"]

# Where a clip's own format is not written.
_USUAL_SUFFIX = ".mp4"


def picture_losses(info: ClipInfo, *, keep_audio: bool, keeps_times: bool) -> tuple[str, ...]:
    """Name what is lost of a clip that becomes image files or an animation: all but its pictures.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    keep_audio : bool
        Whether its sound is wanted.
    keeps_times : bool
        Whether the output says when each picture is shown.
    """
    if info.kind != "video":
        return ()
    names = [] if keeps_times or info.constant_rate else ["the times of its frames"]
    names += info.not_carried
    if info.hdr is not None:
        names.append("the mastering display and light levels of HDR10")
    return (*names, *beside_the_picture(info, keep_audio=keep_audio))


def probable_losses(
    info: ClipInfo, *, settings: EncoderSettings | None = None, keep_audio: bool = True
) -> tuple[Path, tuple[str, ...]]:
    """Name what an output in the clip's own format would not hold; nothing is written.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    settings : EncoderSettings or None
        How it would be encoded.
    keep_audio : bool
        Whether its sound is wanted.

    Returns
    -------
    (Path, tuple of str)
        The name of such an output, and what is lost.

    Raises
    ------
    MediaError, InvalidArgumentError
        There can be no such output.
    """
    if info.kind != "video":
        return info.path, ()
    suffix = info.path.suffix if can_write_container(info.path) else _USUAL_SUFFIX
    target = Path(f"output{suffix}")
    return target, container_losses(target, info, settings or EncoderSettings(), keep_audio=keep_audio)


def warn_of_losses(path: str | Path, left_out: Sequence[str]) -> None:
    """Name in one warning what an output does not hold."""
    if left_out:
        warnings.warn(f"left out of {path}, which cannot hold it: {', '.join(left_out)}", stacklevel=3)
