"""Codecs in hardware: encoders with their own names for quality, devices that decode, what is there of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError, unknown_name
from segs_detailer.video.packets import ONLY_FILES, import_av

if TYPE_CHECKING:
    from pathlib import Path

    from av.codec import Codec
    from av.container import InputContainer

__all__ = [
    "HardwareKind",
    "hardware_encoders",
    "hardware_kind",
    "open_on_device",
    "software_formats",
]


@dataclass(frozen=True, slots=True)
class HardwareKind:
    """Encoders of one maker, of any codec.

    Parameters
    ----------
    options : dict
        Options that are theirs.
    quality : tuple of str
        Options that take the constant quality; empty where there is none, and a bit rate has to do.
    least, worst : int
        Smallest and largest value of it; 0 would leave it to most of them.
    usual : int
        What is hard to tell from the input.
    """

    options: dict[str, str]
    quality: tuple[str, ...] = ()
    least: int = 1
    worst: int = 51
    usual: int = 19


_BY_RATE = HardwareKind({})

_KINDS = {
    # Of NVENC, constant quality is a variable rate without a limit.
    "_nvenc": HardwareKind({"preset": "p5", "tune": "hq", "rc": "vbr", "b": "0"}, ("cq",)),
    "_qsv": HardwareKind({"preset": "slow"}, ("global_quality",), usual=18),
    "_amf": HardwareKind({"quality": "quality", "rc": "cqp"}, ("qp_i", "qp_p"), least=0, usual=18),
    "_videotoolbox": _BY_RATE,
    "_mf": _BY_RATE,
    "_v4l2m2m": _BY_RATE,
}


def hardware_kind(encoder: str) -> HardwareKind | None:
    """Tell what an encoder is of by its name; None for one that works on the processor."""
    return next((kind for suffix, kind in _KINDS.items() if encoder.endswith(suffix)), None)


def open_on_device(path: Path, name: str) -> InputContainer:
    """Open a file whose picture is decoded on a device; frames come back into the computer's own memory.

    Parameters
    ----------
    path : Path
        The file, which `open_input` can open.
    name : str
        Kind of device, as FFmpeg calls it: cuda, vaapi, qsv, videotoolbox, d3d11va, ...

    Raises
    ------
    InvalidArgumentError
        PyAV was not built with such devices, this machine has none, or it cannot decode the file: nothing is decoded in
        software in its place.
    """
    av = import_av()
    from av.codec.hwaccel import HWAccel, hwdevices_available

    known = list(hwdevices_available())
    if name not in known:
        raise unknown_name("hwaccel", name, known, expected="{}, with which PyAV is built here")
    device = HWAccel(device_type=name, allow_software_fallback=False)
    try:
        container: InputContainer = av.open(f"file:{path}", "r", options=ONLY_FILES, hwaccel=device)
    except (av.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        expected = f"a device of this machine that decodes {path.name}, or none for decoding in software"
        raise InvalidArgumentError("hwaccel", expected, f"{name} ({reason})") from error
    return container


def hardware_encoders(codec: str) -> list[str]:
    """Names of the encoders in hardware that PyAV was built with for a codec, whether this machine has them or not."""
    av = import_av()
    names = (f"{codec}{suffix}" for suffix in _KINDS)
    return [name for name in names if name in av.codecs_available]


def software_formats(encoder: Codec) -> list[str]:
    """Pixel formats of frames in the computer's own memory that an encoder takes; empty where it does not say."""
    return [found.name for found in encoder.video_formats or [] if found.components]
