"""Masks and boxes become SEGS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segs_detailer._interop import Array, as_numpy, check_dtype, is_tensor, kind_of
from segs_detailer.checks import whole_number
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.mask_levels import MASK_DTYPES, MaskLevels, MaskSurvey, warn_about_masks
from segs_detailer.ops.morphology import connected_components, fill_holes, threshold
from segs_detailer.segs import SEG, SEGS, Box
from segs_detailer.subjects.boxes import (
    box_corners,
    check_crop_factor,
    make_crop_region,
    shared_parts,
    size_of_frame,
    touched_pixels,
)
from segs_detailer.subjects.mask import check_labels, label_regions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "MaskObject",
    "boxes_to_segs",
    "mask_stack",
    "masks_to_segs",
    "outlined_objects",
    "survey_masks",
]

# A pixel counts from 1/255 on, one step of an 8-bit mask; the kernel asks for values *above* its level.
_LEVEL = float(np.nextafter(np.float32(1 / 255), np.float32(0)))


def masks_to_segs(
    masks: Array,
    *,
    combined: bool = False,
    crop_factor: float = 3.0,
    bbox_fill: bool = False,
    drop_size: int = 10,
    contour_fill: bool = False,
    label: str = "A",
    labels: bool = False,
    levels: MaskLevels | None = None,
) -> SEGS:
    """Find the objects in a mask, or in a stack with one mask per frame, and make a SEG of each.

    An object is what lies within one closed outline: a region of pixels that touch by a side or a corner, with its
    holes and what lies in them. In a stack the outlines are those of the union over the frames; one SEG follows a
    moving object through the clip. The order is that of the objects' first pixels, from top to bottom.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(h, w)` or `(B, h, w)`, also `(B, 1, h, w)` and `(B, h, w, 1)`: floats in [0, 1], uint8, uint16, int64 from 0
        to 255, or bool. A pixel counts from 1/255 on; where no value in the stack is above 1 (floats: 1/255), 1 is on,
        as in a bool mask. Tensors on a GPU are brought to the CPU.
    combined : bool
        Make one SEG of everything; `drop_size` does not apply then, as in Impact Pack.
    crop_factor : float
        Size of the crop region in sizes of the box, at least 1; see `make_crop_region`.
    bbox_fill : bool
        The mask is 1 all over the box, in every frame.
    drop_size : int
        Objects with a side of no more than this many pixels are dropped.
    contour_fill : bool
        The mask is 1 within the outline, of each frame's own object, instead of having the values of `masks`.
    label : str
        Label of all the SEGs.
    labels : bool
        The values are numbers of subjects, 0 for none, as segmentation models return them: one SEG for each number, in
        rising order, whose mask is 1 where the number is. Integers only, and not with `combined`.
    levels : MaskLevels or None
        What the values mean, where that is known. None tells it from all of them, and warns of what is strange.

    Returns
    -------
    SEGS
        Masks are NumPy float32: `(h, w)` for a single mask, `(B, h, w)` for a stack, zero outside the SEG's own object.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Arguments that cannot be used; NaN in a mask.

    Warns
    -----
    UserWarning
        Once, where no mask comes near white, the background is not black, or white is all around the frame: with what
        to do. Black of 16 and white of 235, which is limited range, are taken as such.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import masks_to_segs
    >>> mask = np.zeros((90, 160), np.float32)
    >>> mask[30:50, 60:80] = 1
    >>> size, [seg] = masks_to_segs(mask, crop_factor=2.0)
    >>> seg.bbox
    (60, 30, 80, 50)
    """
    stack = mask_stack(masks)
    if labels:
        if combined:
            raise InvalidArgumentError("labels", "False, as combined makes one subject of all", "True")
        check_labels(stack, "masks")
        levels = None
    elif levels is None:
        survey = survey_masks(stack)
        levels = survey.levels
        warn_about_masks(survey, "masks")
    minimum = whole_number("drop_size", drop_size, minimum=0)
    check_crop_factor(crop_factor)
    size = (stack.shape[1], stack.shape[2])
    if len(stack) == 0:
        return size, []
    if levels is None:
        objects = _labeled(stack, minimum=minimum)
    else:
        objects = outlined_objects(_union(stack, levels), combined=combined, minimum=minimum)
    segs = []
    for found in objects:
        crop_region = make_crop_region(size, found.bbox, crop_factor)
        cropped = _cropped_masks(stack, levels, found, crop_region, bbox_fill=bbox_fill, contour_fill=contour_fill)
        segs.append(SEG(None, cropped[0] if len(stack) == 1 else cropped, 1.0, crop_region, found.bbox, label))
    return size, segs


def survey_masks(stack: Iterable[NDArray[Any]]) -> MaskSurvey:
    """Look at all masks of a stack `(B, h, w)` or a list."""
    survey = MaskSurvey()
    for mask in stack:
        survey.look(mask)
    return survey


class MaskObject(NamedTuple):
    """One object of a mask.

    Parameters
    ----------
    bbox : (int, int, int, int)
        `(x1, y1, x2, y2)` in pixels.
    inside : ndarray or None
        `(h, w)` bool of the box: which pixels belong to it; None for those of its number.
    number : int
        Its number in a mask of numbers.
    """

    bbox: Box
    inside: NDArray[np.bool_] | None
    number: int = 0

    def own(self, mask: NDArray[Any], levels: MaskLevels | None) -> NDArray[np.float32]:
        """Return the values of a mask `(h, w)` of the box that belong to it, as float32 in [0, 1]."""
        if self.inside is None or levels is None:
            numbered: NDArray[np.float32] = (mask == self.number).astype(np.float32)
            return numbered
        return np.where(self.inside, levels.unit(mask), np.float32(0))


def mask_stack(masks: Any) -> NDArray[Any]:
    """Bring masks into one stack on the CPU, in their own dtype.

    Parameters
    ----------
    masks : ndarray or Tensor
        `(h, w)`, `(B, h, w)`, `(B, 1, h, w)` or `(B, h, w, 1)`, of `MASK_DTYPES`.

    Returns
    -------
    ndarray
        `(B, h, w)`.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Another shape or dtype.
    """
    kind_of("masks", masks)
    name = check_dtype("masks", masks, MASK_DTYPES)
    shape = tuple(masks.shape)
    if len(shape) == 4 and shape[1] == 1:
        masks = masks[:, 0]
    elif len(shape) == 4 and shape[3] == 1:
        masks = masks[..., 0]
    elif len(shape) == 2:
        masks = masks[None]
    elif len(shape) != 3:
        raise InvalidArgumentError("masks", "shape (h, w), (B, h, w), (B, 1, h, w) or (B, h, w, 1)", f"shape {shape}")
    if is_tensor(masks):
        masks = masks.cpu()
        # NumPy has no bfloat16.
        masks = masks.float() if name == "bfloat16" else masks
    return as_numpy(masks)


def _union(stack: NDArray[Any], levels: MaskLevels) -> NDArray[np.uint8]:
    """Write 1 where any mask of the stack counts."""
    union = np.zeros(stack.shape[1:], np.uint8)
    for index, mask in enumerate(stack):
        if mask.size and np.isnan(mask.max()):
            raise InvalidArgumentError("masks", "numbers", f"NaN in mask {index}")
        union |= threshold(levels.unit(mask), _LEVEL)
    return union


def _labeled(stack: NDArray[Any], *, minimum: int) -> list[MaskObject]:
    """Find the extent of each number over all masks."""
    boxes: dict[int, Box] = {}
    for mask in stack:
        for number, (x1, y1, x2, y2), _ in label_regions(mask, "masks"):
            left, top, right, bottom = boxes.get(number, (x1, y1, x2, y2))
            boxes[number] = (min(x1, left), min(y1, top), max(x2, right), max(y2, bottom))
    return [
        MaskObject(box, None, number)
        for number, box in sorted(boxes.items())
        if box[2] - box[0] > minimum and box[3] - box[1] > minimum
    ]


def outlined_objects(union: NDArray[np.uint8], *, combined: bool, minimum: int) -> list[MaskObject]:
    """Find what lies within each closed outline of a mask.

    Parameters
    ----------
    union : ndarray
        `(h, w)` uint8, not 0 where anything counts.
    combined : bool
        All of it is one object, of whatever size.
    minimum : int
        Objects with a side of no more than this many pixels are dropped.

    Returns
    -------
    list of MaskObject
        In the order of their first pixels, from top to bottom.
    """
    filled = fill_holes(union)
    labels, boxes, _ = connected_components(filled)
    if combined:
        if len(boxes) == 0:
            return []
        x1, y1 = boxes[:, :2].min(0).tolist()
        x2, y2 = boxes[:, 2:].max(0).tolist()
        return [MaskObject((x1, y1, x2, y2), filled[y1:y2, x1:x2] != 0)]
    objects = []
    for number, (x1, y1, x2, y2) in enumerate(boxes.tolist(), start=1):
        if x2 - x1 > minimum and y2 - y1 > minimum:
            objects.append(MaskObject((x1, y1, x2, y2), labels[y1:y2, x1:x2] == number))
    return objects


def _cropped_masks(
    stack: NDArray[Any],
    levels: MaskLevels | None,
    found: MaskObject,
    crop_region: Box,
    *,
    bbox_fill: bool,
    contour_fill: bool,
) -> NDArray[np.float32]:
    """Make the masks `(B, h, w)` of the crop region; outside the object's box they are 0."""
    cropped = np.zeros((len(stack), crop_region[3] - crop_region[1], crop_region[2] - crop_region[0]), np.float32)
    common = shared_parts(crop_region, found.bbox)
    if common is None:
        return cropped
    (rows, columns), inside = common
    box = cropped[:, rows, columns]
    if bbox_fill:
        box[...] = 1.0
        return cropped
    x1, y1, x2, y2 = found.bbox
    # One frame at a time: a stack of whole masks as float32 would be as large as the clip.
    for target, mask in zip(box, stack[:, y1:y2, x1:x2], strict=True):
        own = found.own(mask, levels)
        values = fill_holes(threshold(own, _LEVEL)) if contour_fill else own
        target[...] = values[inside]
    return cropped


def boxes_to_segs(
    frame_size: Sequence[int],
    boxes: Any,
    *,
    crop_factor: float = 3.0,
    label: str | Sequence[str] = "A",
    confidence: float | Sequence[float] = 1.0,
) -> SEGS:
    """Make a SEG of each box; its mask is 1 in the box.

    Parameters
    ----------
    frame_size : (int, int)
        Height and width of the frames.
    boxes : array_like
        `(N, 4)`, `(x1, y1, x2, y2)` in pixels. Fractions are widened to whole pixels; what passes the frame is cut off.
    crop_factor : float
        Size of the crop region in sizes of the box, at least 1; see `make_crop_region`.
    label, confidence : str, float, or a sequence with one for each box
        As the SEGs get them.

    Returns
    -------
    SEGS
        Masks are NumPy float32 `(h, w)`.

    Raises
    ------
    InvalidArgumentError
        A box that is empty, inverted, not finite or outside the frame; another number of labels than of boxes.
    InvalidTypeError
        Arguments of another type.

    Examples
    --------
    >>> from segs_detailer import boxes_to_segs
    >>> size, [seg] = boxes_to_segs((90, 160), [(60, 30, 80, 50)], crop_factor=2.0, label="face")
    >>> seg.crop_region, seg.bbox, seg.label
    ((50, 20, 90, 60), (60, 30, 80, 50), 'face')
    """
    size = size_of_frame("frame_size", frame_size)
    check_crop_factor(crop_factor)
    items = list(boxes.tolist() if hasattr(boxes, "tolist") else boxes)
    labels = [label] * len(items) if isinstance(label, str) else list(label)
    scores = list(confidence) if isinstance(confidence, (Sequence, np.ndarray)) else [confidence] * len(items)
    for name, values in (("label", labels), ("confidence", scores)):
        if len(values) != len(items):
            raise InvalidArgumentError(name, f"one for each of {len(items)} boxes", f"{len(values)}")
    segs = []
    for index, (box, text, score) in enumerate(zip(items, labels, scores, strict=True)):
        name = f"boxes[{index}]"
        bbox = touched_pixels(box_corners(name, box), size, name)
        crop_region = make_crop_region(size, bbox, crop_factor)
        mask = np.zeros((crop_region[3] - crop_region[1], crop_region[2] - crop_region[0]), np.float32)
        common = shared_parts(crop_region, bbox)
        if common is not None:
            mask[common[0]] = 1.0
        segs.append(SEG(None, mask, score, crop_region, bbox, text))
    return size, segs
