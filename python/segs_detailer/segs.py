"""SEG and SEGS: the segments of a clip, their validation, and their fit to frames of another size."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from segs_detailer import _native
from segs_detailer._interop import FRAME_DTYPES, Array, check_dtype, convert, dtype_name, is_tensor, kind_of
from segs_detailer.checks import MAX_COORDINATE, shown, typed, whole_number
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.lazy_masks import is_lazy, lazy_resized
from segs_detailer.mask_levels import MASK_DTYPES, unit_masks
from segs_detailer.ops.frames import resize_frames
from segs_detailer.ops.masks import resize_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "SEG",
    "SEGS",
    "Box",
    "check_segs",
    "combined_masks",
    "image_frames",
    "mask_frames",
    "scale_match",
    "warn_about_counts",
]

Box: TypeAlias = tuple[int, int, int, int]
"""`(x1, y1, x2, y2)` in pixels of the full frame, `x2` and `y2` exclusive."""


class SEG(NamedTuple):
    """One segment, as Impact Pack's SEG: it unpacks and indexes alike.

    Parameters
    ----------
    cropped_image : ndarray or Tensor or None
        Pixels of the crop region, `(B, h, w, C)` or `(1, h, w, C)` for all frames: floats in [0, 1], or uint8. None
        stands for the frames' own.
    cropped_mask : ndarray or Tensor or None
        What is repainted of the crop region: `(h, w)` or `(B, h, w)`, floats in [0, 1], bool, or integers from 0 to 255
        (uint16: to 65535), of which 0 and 1 alone are off and on. None stands for all of it.
    confidence : Any
        The detector's; handed on.
    crop_region : (int, int, int, int) or CropPath
        `(x1, y1, x2, y2)` in pixels of the full frame: what is worked on. It may pass the edges. A `CropPath` has one
        for each frame; crops and masks lie in it.
    bbox : (int, int, int, int)
        `(x1, y1, x2, y2)` of the subject itself; it may be empty. With a `CropPath` it belongs to the frame whose
        region the path is as a tuple.
    label : str
        What it is.
    control_net_wrapper : Any
        See the nodes' documentation.
    """

    cropped_image: Any
    cropped_mask: Any
    confidence: Any
    crop_region: Box
    bbox: Box
    label: str
    control_net_wrapper: Any = None


SEGS: TypeAlias = tuple[tuple[int, int], list[SEG]]
"""`((H, W), [SEG, ...])`: segments with the height and width of the frames that they are for."""

COMBINE_LEVEL = 0.1
"""Where masks of several frames become one, a pixel counts that passes this in any of them: Impact Pack's value."""

_IMAGE_DTYPES = ("float32", "float16", "float64", "bfloat16", "uint8")


def check_segs(segs: Any, argument: str = "segs") -> SEGS:
    """Validate SEGS from anywhere and bring them into this package's form.

    SEG tuples made elsewhere are read by attribute. Coordinates are truncated to whole pixels, an image `(h, w, C)`
    becomes `(1, h, w, C)`, a mask of four dimensions becomes `(B, h, w)`; pixels are neither copied nor converted.

    Parameters
    ----------
    segs : SEGS
        `((H, W), [SEG, ...])`.
    argument : str
        Name for messages.

    Returns
    -------
    SEGS
        `segs` itself where nothing had to change.

    Raises
    ------
    InvalidTypeError
        No SEGS, or something in it of a type that cannot be used.
    InvalidArgumentError
        A region that is empty, inverted, not finite or huge; an image or mask whose size is not its crop region's.

    Examples
    --------
    >>> from segs_detailer import SEG, check_segs
    >>> size, [seg] = check_segs(((90, 160), [SEG(None, None, 1.0, (10.7, 20, 50, 60), (20, 30, 40, 50), "face")]))
    >>> seg.crop_region
    (10, 20, 50, 60)
    """
    size, items = _parts(segs, argument)
    checked = [_check_seg(item, f"{argument}[1][{index}]") for index, item in enumerate(items)]
    same = type(segs) is tuple and type(items) is list and segs[0] == size and type(segs[0]) is tuple
    if same and all(new is old for new, old in zip(checked, items, strict=True)):
        return segs  # type: ignore[no-any-return]
    return size, checked


def _parts(segs: Any, argument: str) -> tuple[tuple[int, int], Sequence[Any]]:
    if not (isinstance(segs, (tuple, list)) and len(segs) == 2 and isinstance(segs[1], (tuple, list))):
        raise InvalidTypeError(argument, "SEGS, ((H, W), [SEG, ...])", typed(segs))
    height, width = _whole(segs[0], 2, f"{argument}[0]", "(H, W)")
    if not (0 <= height <= MAX_COORDINATE and 0 <= width <= MAX_COORDINATE):
        raise InvalidArgumentError(f"{argument}[0]", f"(H, W), each from 0 to {MAX_COORDINATE}", shown((height, width)))
    return (height, width), segs[1]


def _check_seg(item: Any, name: str) -> SEG:
    try:
        image, mask, region, bbox = item.cropped_image, item.cropped_mask, item.crop_region, item.bbox
        confidence, label = item.confidence, item.label
    except AttributeError as error:
        raise InvalidTypeError(name, f"a SEG with the fields {', '.join(SEG._fields)}", typed(item)) from error
    crop_region = _box(region, f"{name}.crop_region")
    if crop_region[0] == crop_region[2] or crop_region[1] == crop_region[3]:
        raise InvalidArgumentError(f"{name}.crop_region", "a region of at least one pixel", f"{crop_region}")
    seg = SEG(
        cropped_image=_check_image(image, crop_region, f"{name}.cropped_image"),
        cropped_mask=_check_mask(mask, crop_region, f"{name}.cropped_mask"),
        confidence=confidence,
        crop_region=crop_region,
        bbox=_box(bbox, f"{name}.bbox"),
        label=label,
        # Earlier forms of the tuple end with the label.
        control_net_wrapper=getattr(item, "control_net_wrapper", None),
    )
    return item if type(item) is SEG and all(a is b for a, b in zip(seg, item, strict=True)) else seg


def _box(value: Any, name: str) -> Box:
    if isinstance(value, CropPath):
        return value  # checked when it was made
    x1, y1, x2, y2 = _whole(value, 4, name, "(x1, y1, x2, y2)")
    if x2 < x1 or y2 < y1 or max(abs(x1), abs(y1), abs(x2), abs(y2)) > MAX_COORDINATE:
        expected = f"(x1, y1, x2, y2) with x1 <= x2, y1 <= y2 and |coordinate| <= {MAX_COORDINATE}"
        raise InvalidArgumentError(name, expected, shown((x1, y1, x2, y2)))
    box = (x1, y1, x2, y2)
    # The caller's own tuple where it is one already: that is how an unchanged SEG is told.
    return value if type(value) is tuple and all(type(v) is int for v in value) else box


def _whole(value: Any, count: int, name: str, expected: str) -> list[int]:
    """Return `count` finite numbers, truncated to integers."""
    try:
        values = list(value.tolist() if hasattr(value, "tolist") else value)
        numbers = [v if type(v) is int else float(v) for v in values]
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: torch's, for a tensor without data
        raise InvalidTypeError(name, expected, typed(value)) from None
    if len(numbers) != count:
        raise InvalidArgumentError(name, expected, f"{len(numbers)} values")
    # No int is asked: one beyond all floats cannot be.
    if not all(isinstance(number, int) or math.isfinite(number) for number in numbers):
        raise InvalidArgumentError(name, f"finite {expected}", f"{tuple(numbers)}")
    return [int(number) for number in numbers]


def _check_image(image: Any, region: Box, name: str) -> Any:
    if image is None:
        return None
    kind_of(name, image)
    check_dtype(name, image, _IMAGE_DTYPES)
    height, width = region[3] - region[1], region[2] - region[0]
    stack = image[None] if image.ndim == 3 else image
    if stack.ndim != 4 or tuple(stack.shape[1:3]) != (height, width) or not 1 <= stack.shape[3] <= 4:
        expected = f"shape (B, {height}, {width}, C), as crop_region has it, C from 1 to 4"
        raise InvalidArgumentError(name, expected, f"shape {tuple(image.shape)}")
    return stack


def _check_mask(mask: Any, region: Box, name: str) -> Any:
    if mask is None:
        return None
    kind_of(name, mask)
    check_dtype(name, mask, MASK_DTYPES)
    size = (region[3] - region[1], region[2] - region[0])
    shape = tuple(mask.shape)
    if len(shape) in (2, 3) and shape[-2:] == size and shape[0] > 0:
        return mask
    if len(shape) == 4 and shape[0] > 0:
        if shape[1:] == (1, *size):
            return mask[:, 0]
        if shape[1:] == (*size, 1):
            return mask[..., 0]
    expected = f"shape {size} or (B, {size[0]}, {size[1]}), as crop_region has it"
    raise InvalidArgumentError(name, expected, f"shape {shape}")


def scale_match(segs: SEGS, frames_shape: Sequence[int]) -> SEGS:
    """Fit SEGS to frames of another size.

    x is scaled by the ratio of the widths and y by that of the heights, truncated to whole pixels; a side that was not
    empty keeps at least one. Masks are resized bilinearly and images by Lanczos, to the size of the new crop region;
    masks that are drawn when they are read, then.

    Parameters
    ----------
    segs : SEGS
        Checked by `check_segs`.
    frames_shape : sequence of int
        `frames.shape`, that is `(B, H, W, C)`.

    Returns
    -------
    SEGS
        For frames of `H` x `W`. What `check_segs` returns where the size is the same already, or where `segs` has none
        (a height or width of 0).

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used, see `check_segs`.

    Examples
    --------
    >>> from segs_detailer import boxes_to_segs, scale_match
    >>> segs = boxes_to_segs((90, 160), [(40, 20, 80, 60)], crop_factor=1.5)
    >>> size, [seg] = scale_match(segs, (8, 180, 320, 3))
    >>> size, seg.bbox
    ((180, 320), (80, 40, 160, 120))
    """
    checked = check_segs(segs)
    try:
        shape = tuple(frames_shape)
    except TypeError:
        raise InvalidTypeError("frames_shape", "(B, H, W, C)", shown(frames_shape)) from None
    if len(shape) != 4:
        raise InvalidArgumentError("frames_shape", "(B, H, W, C)", shown(shape))
    (height, width), items = checked
    new_size = (
        whole_number("frames_shape", shape[1], minimum=0),
        whole_number("frames_shape", shape[2], minimum=0),
    )
    if new_size == (height, width) or 0 in (height, width):
        return checked
    if 0 in new_size and items:
        raise InvalidArgumentError("frames_shape", "frames of at least one pixel", shown(shape))
    crop_regions = _rescaled_crops([seg.crop_region for seg in items], (height, width), new_size)
    boxes = _rescaled([seg.bbox for seg in items], (height, width), new_size)
    return new_size, [_matched(*parts) for parts in zip(items, crop_regions, boxes, strict=True)]


def _rescaled(boxes: list[Box], size: tuple[int, int], new_size: tuple[int, int]) -> list[Box]:
    if not boxes:
        return []
    regions = np.array(boxes, np.int64)
    out = np.empty_like(regions)
    _native.rescale_regions(regions, size, new_size, out)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in out.tolist()]


def _rescaled_crops(regions: list[Box], size: tuple[int, int], new_size: tuple[int, int]) -> list[Box]:
    fixed = _rescaled(regions, size, new_size)
    return [
        region.scaled(size, new_size) if isinstance(region, CropPath) else other
        for region, other in zip(regions, fixed, strict=True)
    ]


def _matched(seg: SEG, crop_region: Box, bbox: Box) -> SEG:
    size = (crop_region[3] - crop_region[1], crop_region[2] - crop_region[0])
    image, mask = seg.cropped_image, seg.cropped_mask
    if image is not None and tuple(image.shape[1:3]) != size:
        image = resize_frames(image if dtype_name(image) in FRAME_DTYPES else _unit_floats(image), size)
    if mask is not None and tuple(mask.shape[-2:]) != size:
        mask = lazy_resized(mask, size) if is_lazy(mask) else resize_masks(unit_masks(mask), size)
    return seg._replace(cropped_image=image, cropped_mask=mask, crop_region=crop_region, bbox=bbox)


def _unit_floats(array: Array) -> Any:
    """Return pixels as float32 in [0, 1]: uint8 is divided by 255, the rest is cast. Float32 is returned as it is."""
    name = dtype_name(array)
    if isinstance(array, np.ndarray):
        floats = array.astype(np.float32, copy=False)
        return np.divide(floats, 255.0, out=floats) if name == "uint8" else floats
    tensor = array.float()
    return tensor.div_(255.0) if name == "uint8" else tensor


def mask_frames(cropped_mask: Array | None, size: tuple[int, int], count: int, *, like: Array | None = None) -> Any:
    """Bring the masks of a segment into the form that the detailer uses.

    Parameters
    ----------
    cropped_mask : ndarray or Tensor or None
        `(h, w)` or `(N, h, w)`: floats, clamped to [0, 1]; integers, divided by what is white (see `unit_masks`); bool.
        None stands for ones.
    size : (int, int)
        Height and width that the mask must have: the crop region's.
    count : int
        Number of frames.
    like : ndarray or Tensor, optional
        The result is of its kind and on its device. By default it is as `cropped_mask`; NumPy for None.

    Returns
    -------
    ndarray or Tensor
        float32, `(count, h, w)` where there is a mask for each frame, else `(1, h, w)`. Several masks whose number is
        another one are combined: 1 where any of them passes 0.1, else 0. It may share memory with `cropped_mask`.

    Raises
    ------
    InvalidArgumentError
        Another size, or NaN in the mask.
    InvalidTypeError
        Another type or dtype.
    """
    height, width = size
    if cropped_mask is None:
        masks: Any = np.ones((1, height, width), np.float32)
    else:
        masks = _check_mask(cropped_mask, (0, 0, width, height), "cropped_mask")
        masks = _clamped(unit_masks(masks[None] if masks.ndim == 2 else masks, "cropped_mask"), "cropped_mask")
        masks = combined_masks(masks, count)
    return masks if like is None else convert(masks, like)


def combined_masks(masks: Any, count: int) -> Any:
    """Bring masks to a number that serves so many frames.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(N, h, w)` float32 in [0, 1].
    count : int
        Number of frames.

    Returns
    -------
    ndarray or Tensor
        `masks` itself where N is 1 or `count`. Else one mask for all frames: 1 where any passes 0.1, which is Impact
        Pack's rule; `warn_about_counts` is there to name it.
    """
    if len(masks) in (1, count):
        return masks
    passed = (masks > COMBINE_LEVEL).any(0)[None]
    return passed.float() if is_tensor(passed) else passed.astype(np.float32)


def warn_about_counts(segs: SEGS, count: int) -> None:
    """Warn once where segments have masks of another number than the frames, which are combined.

    Parameters
    ----------
    segs : SEGS
        Checked by `check_segs`.
    count : int
        Number of frames.
    """
    numbers = [len(seg.cropped_mask) for seg in segs[1] if getattr(seg.cropped_mask, "ndim", 2) == 3]
    others = [number for number in numbers if number not in (1, count)]
    if others and count:
        which = "a segment has" if len(others) == 1 else f"{len(others)} segments have"
        held = " and ".join(map(str, sorted(set(others))))
        warnings.warn(
            f"{which} {held} masks for {count} frame{'' if count == 1 else 's'}: they become one for all of them, "
            "which shows what any of them shows; give one mask, or one for each frame",
            stacklevel=3,
        )


def _clamped(masks: Any, name: str) -> Any:
    """Clamp floats to [0, 1]; the array itself comes back where they are already."""
    low, high = float(masks.min()), float(masks.max())
    if math.isnan(low) or math.isnan(high):
        raise InvalidArgumentError(name, "numbers", "NaN")
    if low >= 0.0 and high <= 1.0:
        return masks
    return masks.clamp(0.0, 1.0) if is_tensor(masks) else masks.clip(0.0, 1.0)


def image_frames(cropped_image: Array, size: tuple[int, int], count: int, *, like: Array | None = None) -> Any:
    """Bring the pixels of a segment into the form that the detailer uses.

    Parameters
    ----------
    cropped_image : ndarray or Tensor
        `(count, h, w, C)`, or `(1, h, w, C)` or `(h, w, C)` for all frames: floats in [0, 1], or uint8.
    size : (int, int)
        Height and width that the image must have: the crop region's.
    count : int
        Number of frames.
    like : ndarray or Tensor, optional
        The result is of its kind and on its device. By default it is as `cropped_image`.

    Returns
    -------
    ndarray or Tensor
        float32 in [0, 1], `(count or 1, h, w, C)`. It may share memory with `cropped_image`.

    Raises
    ------
    InvalidArgumentError
        Another size, or a number of images that is neither 1 nor `count`.
    InvalidTypeError
        Another type or dtype.
    """
    height, width = size
    images = _check_image(cropped_image, (0, 0, width, height), "cropped_image")
    if images is None:
        raise InvalidTypeError("cropped_image", "a NumPy array or a torch tensor", "None")
    if len(images) not in (1, count):
        raise InvalidArgumentError("cropped_image", f"1 or {count} images", f"{len(images)}")
    images = _unit_floats(images)
    return images if like is None else convert(images, like)
