"""What the numbers mean that a YOLO model gives: the layouts of the usual exports, told apart and read.

The layouts are those that Ultralytics documents for its ONNX exports:

* YOLOv5: `(B, N, 5 + C)`: center, size, objectness, a score for each class;
* YOLOv8, YOLO11 and others without objectness: `(B, 4 + C, N)`: center, size, a score for each class;
* with suppression inside (YOLOv10, YOLO26, exports with `nms=True`): `(B, N, 6)`: corners, score, class.

Models that also segment or find key points have more columns behind these.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from segs_detailer.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Candidates", "ModelNotes", "YoloLayout", "choose_layout", "read_candidates", "read_notes"]

YoloLayout: TypeAlias = Literal["objectness", "scores", "suppressed"]
"""YOLOv5; YOLOv8 and later; suppression inside the model."""

_BOX = 4
_SUPPRESSED_COLUMNS = 6
_DEFAULT_SIDE = 640
_DEFAULT_STRIDE = 32
# Cells of YOLOv5's grids in one square of the largest stride: 3 anchors at strides 8, 16, 32 (and 64).
_ANCHORS_PER_SQUARE = {32: 3 * (16 + 4 + 1), 64: 3 * (64 + 16 + 4 + 1)}
_BOX_TASKS = ("detect", "segment", "pose")
# RT-DETR's output has the shape of one with suppression inside, but holds centers and sizes in shares of the input.
_FOREIGN_HEADS = ("RTDETRDecoder",)
# Notes are a few kilobytes; longer ones are not parsed.
_LONGEST_NOTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelNotes:
    """What an export says about itself.

    Parameters
    ----------
    names : tuple of str
        Classes in order; empty where it does not say.
    side : int
        Longer side of the pictures that it was made for.
    stride : int
        Its input's sides are multiples of this.
    task : str
        What it does.
    suppressed : bool or None
        Whether suppression is inside; None where it does not say.
    head : str
        Kind of its last layers; empty where it does not say.
    """

    names: tuple[str, ...] = ()
    side: int = _DEFAULT_SIDE
    stride: int = _DEFAULT_STRIDE
    task: str = "detect"
    suppressed: bool | None = None
    head: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes that a model gives for one picture, before suppression.

    Parameters
    ----------
    boxes : ndarray
        `(n, 4)` float64: `(x1, y1, x2, y2)` in pixels of the input.
    scores : ndarray
        `(n,)` float64.
    classes : ndarray
        `(n,)` int64.
    more : ndarray
        `(n, m)` float64: what else the model says of each, such as coefficients of masks.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    more: NDArray[np.float64]


def _literal(text: str | None) -> object:
    if text is None or len(text) > _LONGEST_NOTE:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _class_names(value: object) -> tuple[str, ...]:
    if isinstance(value, dict) and sorted(value, key=str) == sorted(range(len(value)), key=str):
        return tuple(str(value[index]) for index in range(len(value)))
    if isinstance(value, (list, tuple)):
        return tuple(str(name) for name in value)
    return ()


def _positive(value: object, default: int) -> int:
    if isinstance(value, (list, tuple)) and value:
        value = max((item for item in value if isinstance(item, int)), default=default)
    return value if isinstance(value, int) and value > 0 else default


def read_notes(metadata: Mapping[str, str]) -> ModelNotes:
    """Read the metadata of an export: Python literals as text, under names such as `names`, `imgsz` and `stride`."""
    options = _literal(metadata.get("args"))
    inside = [_literal(metadata.get("end2end")), options.get("nms") if isinstance(options, dict) else None]
    return ModelNotes(
        names=_class_names(_literal(metadata.get("names"))),
        side=_positive(_literal(metadata.get("imgsz")), _DEFAULT_SIDE),
        stride=_positive(_literal(metadata.get("stride")), _DEFAULT_STRIDE),
        task=metadata.get("task", "detect"),
        suppressed=None if all(value is None for value in inside) else any(value is True for value in inside),
        head=metadata.get("head", ""),
    )


def _is_anchor_count(rows: int, size: tuple[int, int]) -> bool:
    """Whether YOLOv5 gives so many rows for an input of `size`."""
    return any(
        size[0] % stride == 0 and size[1] % stride == 0 and rows == count * (size[0] // stride) * (size[1] // stride)
        for stride, count in _ANCHORS_PER_SQUARE.items()
    )


def choose_layout(shape: tuple[int, ...], notes: ModelNotes, size: tuple[int, int]) -> YoloLayout:
    """Tell which layout an output has.

    Parameters
    ----------
    shape : tuple of int
        Of the output, with the batch.
    notes : ModelNotes
        What the model says; its number of classes decides where it is known.
    size : tuple of int
        `(height, width)` of the input.

    Raises
    ------
    ModelError
        It is none of them.
    """
    count = len(notes.names)
    is_readable = notes.task in _BOX_TASKS and notes.head not in _FOREIGN_HEADS and (count or notes.task == "detect")
    if is_readable and len(shape) == 3:
        _, a, b = shape
        exact = notes.task == "detect" and count > 0
        is_scores = a == _BOX + count if exact else _BOX + max(1, count) <= a < b
        is_objectness = b == _BOX + 1 + count if exact else _BOX + 1 + max(1, count) <= b < a
        is_suppressed = b == _SUPPRESSED_COLUMNS if notes.task == "detect" else b >= _SUPPRESSED_COLUMNS
        if is_suppressed and (notes.suppressed or not (is_scores or is_objectness)):
            return "suppressed"
        if is_suppressed and is_objectness and notes.suppressed is None and not _is_anchor_count(a, size):
            return "suppressed"
        if is_scores and not notes.suppressed:
            return "scores"
        if is_objectness and not notes.suppressed:
            return "objectness"
    classes = f"{count} classes" if count else "C classes"
    raise ModelError(
        f"its output ({notes.head or notes.task}, {classes}) has shape {shape}, which is none of the known ones: "
        "(1, 4 + C, N) as of YOLOv8 and YOLO11, (1, N, 5 + C) as of YOLOv5, (1, N, 6) with suppression inside"
    )


def _corners(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    half = rows[:, 2:] / 2
    return np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)


def read_candidates(output: NDArray[np.floating], layout: YoloLayout, classes: int, confidence: float) -> Candidates:
    """Boxes of one picture that reach a confidence, the surest first.

    Parameters
    ----------
    output : ndarray
        The model's output for one picture, without the batch.
    layout : YoloLayout
        What it means.
    classes : int
        Number of classes; 0 where it is not known, and then every column behind the box counts.
    confidence : float
        Least score: of the class, times the objectness where there is one.

    Raises
    ------
    ModelError
        Numbers are not finite.
    """
    rows = np.asarray(output.T if layout == "scores" else output, np.float64)
    if layout == "suppressed":
        boxes, scores, labels = rows[:, :_BOX], rows[:, _BOX], rows[:, _BOX + 1]
        more = rows[:, _SUPPRESSED_COLUMNS:]
    else:
        first = _BOX + (layout == "objectness")
        columns = rows[:, first : first + classes] if classes else rows[:, first:]
        labels = columns.argmax(axis=1).astype(np.float64)
        scores = columns.max(axis=1, initial=-np.inf)
        if layout == "objectness":
            scores = scores * rows[:, _BOX]
        boxes, more = rows[:, :_BOX], rows[:, first + columns.shape[1] :]
    # Not "below": what is not a number must not pass for a weak score.
    kept = np.flatnonzero(~(scores < confidence))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    boxes, scores, labels, more = boxes[kept], scores[kept], labels[kept], more[kept]
    if not all(np.isfinite(part).all() for part in (boxes, scores, labels, more)):
        raise ModelError("it gives numbers that are not finite: export it in float32")
    if layout != "suppressed":
        boxes = _corners(boxes)
    return Candidates(boxes, scores, labels.astype(np.int64), more)
