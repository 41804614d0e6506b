"""Frames as decoders give them: regions of their planes as RGB, and overlays blended into the planes themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segs_detailer import _native
from segs_detailer._interop import Kind, allocate, check_dtype, kind_of
from segs_detailer.checks import flag
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.ops._backend import packed, rows_are_contiguous
from segs_detailer.ops._checks import output, region_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PlaneFormat", "blend_planes", "planes_to_rgb"]

_GRAY, _COLOR = 1, 3  # planes


@dataclass(frozen=True, slots=True)
class PlaneFormat:
    """How samples in planes stand for colors.

    Codes are those of ITU-T H.273: in limited range luma and RGB from 16 to 235 and chroma from 16 to 240 about 128, as
    in ITU-R BT.709 and BT.2100, doubled for each bit above 8.

    Parameters
    ----------
    bits : int
        Of a sample, 8 to 16.
    full_range : bool
        Whether black and white are the lowest and the highest code.
    matrix : (float, float) or None
        Kr and Kb, the shares of red and blue in luma: (0.299, 0.114) in BT.601, (0.2126, 0.0722) in BT.709,
        (0.2627, 0.0593) in BT.2020 with non-constant luminance. None: the planes are red, green and blue.
    step_x, step_y : int, optional
        Pixels for each sample of chroma, along rows and columns: 1, 2 or 4.
    chroma_x, chroma_y : float, optional
        Where the first sample of chroma lies, in pixels from the middle of the first pixel: 0 on it, 0.5 between it and
        the next. Without effect where the step is 1.
    shift : int, optional
        Samples lie so many bits higher than their values: 6 in P010.
    """

    bits: int
    full_range: bool
    matrix: tuple[float, float] | None
    step_x: int = 1
    step_y: int = 1
    chroma_x: float = 0.0
    chroma_y: float = 0.5
    shift: int = 0


def planes_to_rgb(
    planes: Sequence[NDArray[Any]],
    format: PlaneFormat,  # noqa: A002 (what it is called everywhere)
    window: Sequence[int] | None = None,
    *,
    out: NDArray[np.float32] | None = None,
    clip: bool = True,
) -> NDArray[np.float32]:
    """Convert a region of a frame from its planes to RGB.

    Only samples of the region, and of chroma one around it, are read, where they are. Chroma between two of its samples
    is interpolated linearly.

    Parameters
    ----------
    planes : sequence of ndarray
        Three planes, `(H, W)` and twice `(ceil(H / step_y), ceil(W / step_x))`, or one of luma alone; uint8 or uint16,
        in any strides.
    format : PlaneFormat
        What their samples stand for.
    window : (int, int, int, int), optional
        `(x1, y1, x2, y2)` in pixels, `x2` and `y2` exclusive; None is the whole frame. It may pass the edges:
        beyond them the nearest pixel is repeated.
    out : ndarray, optional
        Memory for the result, C-contiguous, apart from the planes.
    clip : bool, optional
        Whether to limit values to [0, 1]. Otherwise levels beyond black and white, and colors outside RGB, stay.

    Returns
    -------
    ndarray
        `(h, w, 3)` float32, black at 0 and white at 1; `out` where that was given.

    Raises
    ------
    InvalidArgumentError
        A shape, window, layout or format that cannot be used.
    InvalidTypeError
        Another dtype, or no NumPy array.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import PlaneFormat, planes_to_rgb
    >>> luma, chroma = np.full((4, 6), 235, np.uint8), np.full((2, 3), 128, np.uint8)
    >>> video = PlaneFormat(bits=8, full_range=False, matrix=(0.2126, 0.0722), step_x=2, step_y=2)
    >>> planes_to_rgb([luma, chroma, chroma], video, (1, 1, 2, 2)).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    height, width = _frame_size(planes)
    region = _window((0, 0, width, height) if window is None else window)
    x1, y1, x2, y2 = region[0].tolist()
    shape = (y2 - y1, x2 - x1, 3)
    if out is None:
        out = allocate("window", shape, "float32")
    elif kind_of("out", out) is not Kind.NUMPY:
        raise InvalidTypeError("out", "a NumPy array", "a torch tensor")
    else:
        output("out", out, shape, "float32")
    _native.planes_to_rgb(planes, format, region, flag("clip", clip), out[None])
    return out


def blend_planes(
    planes: Sequence[NDArray[Any]],
    format: PlaneFormat,  # noqa: A002 (what it is called everywhere)
    overlay: NDArray[np.float32],
    window: Sequence[int],
) -> None:
    """Blend an overlay into a frame, in its planes.

    With alpha `a`, luma `Y` becomes `(1 - a) Y + y`, where `y` is the luma of the overlay. Chroma becomes the same with
    alpha and color of the overlay averaged over the area of its sample, which is one step wide and lies about its
    place. So a soft edge has the same share of the overlay in luma and chroma, and of old chroma nothing shows under
    what is opaque. Samples that the overlay has no share in keep their bits; others are rounded to the nearest code, of
    all codes that the samples have.

    Parameters
    ----------
    planes : sequence of ndarray
        As for `planes_to_rgb`, writable: changed in place. They may be woven into each other, as Cb and Cr in NV12.
    format : PlaneFormat
        What their samples stand for.
    overlay : ndarray
        `(h, w, 4)` float32: red, green and blue times alpha, and alpha, which counts as limited to [0, 1].
    window : (int, int, int, int)
        `(x1, y1, x2, y2)`: where it lies, in pixels of the frame; it may pass the edges.

    Raises
    ------
    InvalidArgumentError
        A shape, window, layout or format that cannot be used.
    InvalidTypeError
        Another dtype, or no NumPy array.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.ops import PlaneFormat, blend_planes
    >>> luma, chroma = np.full((4, 6), 16, np.uint8), np.full((2, 3), 128, np.uint8)
    >>> video = PlaneFormat(bits=8, full_range=False, matrix=(0.2126, 0.0722), step_x=2, step_y=2)
    >>> blend_planes([luma, chroma, chroma.copy()], video, np.ones((1, 2, 4), np.float32), (3, 1, 5, 2))
    >>> luma[1].tolist()
    [16, 16, 16, 235, 235, 16]
    """
    _frame_size(planes)
    region = _window(window)
    if kind_of("overlay", overlay) is not Kind.NUMPY:
        raise InvalidTypeError("overlay", "a NumPy array", "a torch tensor")
    check_dtype("overlay", overlay, ("float32",))
    if overlay.ndim != 3:
        raise InvalidArgumentError("overlay", "shape (h, w, 4)", f"shape {overlay.shape}")
    pixels = overlay[None]
    if not rows_are_contiguous(pixels):
        pixels = packed(pixels)
    _native.blend_planes(planes, format, pixels, region)


def _frame_size(planes: Sequence[NDArray[Any]]) -> tuple[int, int]:
    """Return height and width of a frame; the kernels check all else of the planes."""
    if not isinstance(planes, (list, tuple)):
        raise InvalidTypeError("planes", "a list or tuple of NumPy arrays", type(planes).__name__)
    if len(planes) not in (_GRAY, _COLOR):
        raise InvalidArgumentError("planes", "3 planes, or 1 of luma", f"{len(planes)}")
    first = planes[0]
    if kind_of("planes", first) is not Kind.NUMPY:
        raise InvalidTypeError("planes", "NumPy arrays", "a torch tensor")
    if first.ndim != 2:
        raise InvalidArgumentError("planes", "planes of shape (H, W)", f"shape {first.shape}")
    height, width = first.shape
    return height, width


def _window(window: Sequence[int]) -> NDArray[np.int64]:
    places = region_places("window", window, 1)
    if places.shifts is not None:
        raise InvalidArgumentError("window", "whole pixels", f"{window}")
    return places.regions
