"""Boxes as nodes of ComfyUI hand them over: BOUNDING_BOX, and the BBOX of other packs.

A BOUNDING_BOX is a dict with `x`, `y`, `width` and `height`, and perhaps `score` and `label`. A BBOX is four numbers:
left, top, width and height, as KJNodes has them, or left, top, right and bottom, which nothing in them tells.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import number, shown, typed
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.subjects.association import Detection

if TYPE_CHECKING:
    from segs_detailer.subjects.association import Box

__all__ = ["BOX_LAYOUTS", "BoxLayout", "ClipBoxes", "read_bounding_boxes"]

BoxLayout: TypeAlias = Literal["xywh", "xyxy"]
"""What four plain numbers are."""

BOX_LAYOUTS: tuple[BoxLayout, ...] = ("xywh", "xyxy")

_SIDES = ("x", "y", "width", "height")
_ACCEPTED = "a BOUNDING_BOX {x, y, width, height}, four numbers, or lists of such"


class ClipBoxes(NamedTuple):
    """Boxes of a clip.

    Parameters
    ----------
    frames : list of list of Detection
        Those of each frame, or one list that is the same for all.
    is_still : bool
        Whether they are the same for all frames.
    """

    frames: list[list[Detection]]
    is_still: bool


def read_bounding_boxes(
    value: Any,
    frame_size: tuple[int, int],
    frame_count: int,
    *,
    label: str = "object",
    layout: BoxLayout = "xywh",
    argument: str = "bounding_boxes",
) -> ClipBoxes:
    """Read boxes in whichever way they are nested.

    Parameters
    ----------
    value : object
        One box, which is for all frames. A list of boxes, for all frames; but where they are plain numbers and as many
        as the clip has frames, one for each. A list of lists of boxes: those of each frame; a single one is for all.
        Tensors and arrays count as lists; what is nested deeper within a frame is taken as one list.
    frame_size : (int, int)
        Height and width of the frames.
    frame_count : int
        Frames of the clip.
    label : str
        Of boxes that bring none.
    layout : {"xywh", "xyxy"}
        What plain numbers are: left, top, width and height; or left, top, right and bottom.
    argument : str
        Name for messages.

    Returns
    -------
    ClipBoxes
        As far as they are inside the frame.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something in it is no box; lists of another number of frames.

    Warns
    -----
    UserWarning
        Once, where boxes are empty or outside the frame: they are left out.
    """
    if layout not in BOX_LAYOUTS:
        raise unknown_name("layout", layout, BOX_LAYOUTS)
    reader = _Reader(frame_size, label, layout)
    frames = reader.read(_plain(value), frame_count, argument)
    if reader.outside:
        boxes = "box is empty or" if reader.outside == 1 else "boxes are empty or"
        warnings.warn(f"{argument}: {reader.outside} {boxes} outside the frame, and left out", stacklevel=2)
    return frames


def _plain(value: Any) -> Any:
    """Return arrays and tensors as lists, and all else as it is."""
    if is_tensor(value):
        return value.detach().cpu().tolist()
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_number(value: Any) -> bool:
    return isinstance(_plain(value), (int, float)) and not isinstance(value, bool)


def _is_box(value: Any) -> bool:
    return isinstance(value, Mapping) or (_is_list(value) and len(value) == 4 and all(map(_is_number, value)))


class _Reader:
    """Reads boxes, and counts those that nothing is seen of."""

    def __init__(self, frame_size: tuple[int, int], label: str, layout: BoxLayout) -> None:
        self._size = frame_size
        self._label = label
        self._layout = layout
        self.outside = 0

    def read(self, value: Any, frame_count: int, argument: str) -> ClipBoxes:
        """Tell how boxes are nested, and read them."""
        if _is_box(value):
            return ClipBoxes([self._boxes([value], argument)], is_still=True)
        if not _is_list(value):
            raise InvalidTypeError(argument, _ACCEPTED, typed(value))
        items = [_plain(item) for item in value]
        are_boxes = all(map(_is_box, items)) or not any(map(_is_list, items))
        if are_boxes and (len(items) != frame_count or any(isinstance(item, Mapping) for item in items)):
            return ClipBoxes([self._boxes(items, argument)], is_still=True)
        if len(items) not in (1, frame_count):
            raise InvalidArgumentError(argument, f"a list for each of {frame_count} frames", f"{len(items)} lists")
        frames = [self._boxes(_flat(item), f"{argument}[{frame}]") for frame, item in enumerate(items)]
        return ClipBoxes(frames, is_still=len(frames) == 1)

    def _boxes(self, items: list[Any], argument: str) -> list[Detection]:
        found = [self._box(item, f"{argument}[{place}]") for place, item in enumerate(items)]
        inside = [detection for detection in found if detection is not None]
        self.outside += len(found) - len(inside)
        return inside

    def _box(self, item: Any, argument: str) -> Detection | None:
        if not _is_box(item):
            raise InvalidTypeError(argument, _ACCEPTED, typed(item))
        score, label = 1.0, self._label
        if isinstance(item, Mapping):
            missing = [side for side in _SIDES if side not in item]
            if missing:
                raise InvalidArgumentError(argument, ", ".join(_SIDES), f"none of {', '.join(missing)}: {shown(item)}")
            sides = [number(f"{argument}: {side}", _plain(item[side])) for side in _SIDES]
            score = number(f"{argument}: score", _plain(item.get("score", 1.0)))
            label = str(item.get("label", label))
        else:
            sides = [number(argument, _plain(side)) for side in item]
        x1, y1, x2, y2 = sides
        if isinstance(item, Mapping) or self._layout == "xywh":
            x2, y2 = x1 + x2, y1 + y2
        height, width = self._size
        box: Box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        return Detection(box, score, label) if box[0] < box[2] and box[1] < box[3] else None


def _flat(item: Any) -> list[Any]:
    """Return the boxes of a frame, however they are nested."""
    item = _plain(item)
    if item is None:
        return []
    if _is_box(item) or not _is_list(item):
        return [item]
    return [box for each in item for box in _flat(each)]
