"""Pictures of 16 bits per sample, which Pillow would cut to 8 in color: PNG and TIFF."""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MediaError, MissingDependencyError
from segs_detailer.video.image_tags import exif_of
from segs_detailer.video.transparency import opaque_as_none

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from segs_detailer.video.image_tags import ImageTags

__all__ = ["is_deep", "load_deep", "png_bytes", "save_deep"]

_TOP = 65535
_ORIENTATION = 0x0112
_EXTRA_SAMPLES = 338
_ASSOCIATED = 1
# How to turn pixels for each EXIF orientation: rows and columns are swapped first, then rows, then columns reversed.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

_ERRORS_ALONE = 2
"""OpenCV's `LOG_LEVEL_ERROR`."""


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("opencv-python-headless", "video") from error
    return cv2


@contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """Keep OpenCV's own words about odd files off the terminal."""
    # OpenCV moved it there in 4.13.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    level = set_level(_ERRORS_ALONE)
    try:
        yield
    finally:
        set_level(level)


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that Pillow has opened has 16 bits per sample."""
    tile = getattr(image, "tile", [])
    entry = tile[0][3] if tile else ""
    raw = str(entry if isinstance(entry, str) else entry[0] if entry else "")
    return image.mode.startswith("I;16") or (image.format in ("PNG", "TIFF") and ";16" in raw)


def load_deep(path: Path, image: Image.Image) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Pixels `(H, W, 3)` and alpha `(H, W)` of 16 bits; alpha is None where all is opaque.

    Parameters
    ----------
    path : Path
        The file.
    image : Image
        What Pillow says of it.

    Raises
    ------
    MediaError
        It is damaged.
    """
    cv2 = _cv2()
    with _quiet(cv2):
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise MediaError(f"{path}: cannot be read (damaged)")
    alpha: NDArray[Any] | None = None
    if pixels.ndim == 2:
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(pixels == key, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
        color = np.repeat(pixels[..., None], 3, axis=2)
    else:
        color = np.ascontiguousarray(pixels[..., 2::-1])
        alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    if image.format == "TIFF":
        # OpenCV turns these itself.
        samples = tuple(image.tag_v2.get(_EXTRA_SAMPLES, ()))  # type: ignore[attr-defined]
        if alpha is not None and samples[:1] == (_ASSOCIATED,):
            color = _divided(color, alpha)
    else:
        orientation = int(exif_of(image).get(_ORIENTATION, 1))
        color, alpha = _turned(color, orientation), None if alpha is None else _turned(alpha, orientation)
    return color, None if alpha is None else opaque_as_none(alpha)


def _divided(color: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return colors that were multiplied by alpha as they were."""
    top = np.iinfo(alpha.dtype).max
    weights = np.maximum(alpha, 1).astype(np.uint64)[..., None]
    divided: NDArray[Any] = np.minimum((color.astype(np.uint64) * top + weights // 2) // weights, top)
    return divided.astype(color.dtype, copy=False)


def _turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    swap, rows, columns = _TURNS.get(orientation, (False, False, False))
    turned = pixels.swapaxes(0, 1) if swap else pixels
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


def _samples(pixels: NDArray[np.float32], alpha: NDArray[Any] | None) -> NDArray[np.uint16]:
    """Return pixels of 16 bits: red, green, blue, and alpha where there is some."""
    color = np.clip(pixels * np.float32(_TOP) + np.float32(0.5), 0, _TOP).astype(np.uint16)
    return color if alpha is None else np.dstack([color, alpha])


def png_bytes(pixels: NDArray[np.float32], alpha: NDArray[np.uint16] | None) -> bytes:
    """Return a PNG file of 16 bits."""
    cv2 = _cv2()
    samples = _samples(pixels, alpha)
    order = [2, 1, 0, 3][: samples.shape[2]]
    done, data = cv2.imencode(".png", np.ascontiguousarray(samples[..., order]))
    if not done:
        raise OSError("OpenCV has no encoder for it")
    return bytes(data.tobytes())


def save_deep(file: Path, pixels: NDArray[np.float32], alpha: NDArray[np.uint16] | None, tags: ImageTags) -> None:
    """Write a PNG or TIFF file of 16 bits.

    Parameters
    ----------
    file : Path
        Its name.
    pixels : ndarray
        `(H, W, 3)` float32 in [0, 1].
    alpha : ndarray or None
        `(H, W)` uint16.
    tags : ImageTags
        What it says of itself.
    """
    if file.suffix.lower() == ".png":
        file.write_bytes(tags.add_to_png(png_bytes(pixels, alpha)))
    else:
        file.write_bytes(_tiff_bytes(_samples(pixels, alpha), tags))


def _tiff_bytes(samples: NDArray[np.uint16], tags: ImageTags) -> bytes:
    """Return a TIFF file of one strip, with differences along rows deflated."""
    height, width, count = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]
    data = zlib.compress(differences.astype("<u2").tobytes())
    short, long, rational, undefined = (3, "H"), (4, "I"), (5, "II"), (7, "B")
    fields: list[tuple[int, tuple[int, str], list[int]]] = [
        (256, long, [width]),
        (257, long, [height]),
        (258, short, [16] * count),
        (259, short, [8]),
        (262, short, [2]),
        (273, long, [8]),
        (277, short, [count]),
        (278, long, [height]),
        (279, long, [len(data)]),
        (284, short, [1]),
        (317, short, [2]),
    ]
    if tags.dpi is not None:
        across, down = (round(value * 1000) for value in tags.dpi)
        fields += [(282, rational, [across, 1000]), (283, rational, [down, 1000]), (296, short, [2])]
    if count == 4:
        # Alpha that colors are not multiplied by.
        fields.append((_EXTRA_SAMPLES, short, [2]))
    if tags.rgb_profile:
        fields.append((34675, undefined, list(tags.rgb_profile)))
    place = 8 + len(data) + len(data) % 2
    body = data + b"\0" * (len(data) % 2)
    entries, after = [], b""
    first_after = place + 2 + 12 * len(fields) + 4
    for tag, (kind, code), values in sorted(fields):
        packed = struct.pack(f"<{len(values)}{code[0]}", *values)
        amount = len(values) // len(code)
        if len(packed) <= 4:
            value = packed.ljust(4, b"\0")
        else:
            value = struct.pack("<I", first_after + len(after))
            after += packed + b"\0" * (len(packed) % 2)
        entries.append(struct.pack("<HHI", tag, kind, amount) + value)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, place) + body + directory + after
