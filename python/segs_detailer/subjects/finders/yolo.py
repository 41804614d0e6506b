"""YOLO models in ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError, first_line
from segs_detailer.ops.threads import get_num_threads
from segs_detailer.subjects.association import Detection, suppress
from segs_detailer.subjects.finders.filtering import DetectionFilter, check_labels
from segs_detailer.subjects.finders.finder import Detector, check_frame
from segs_detailer.subjects.finders.letterbox import Letterbox, mask_of
from segs_detailer.subjects.finders.yolo_layout import Candidates, choose_layout, read_candidates, read_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["YoloDetector"]

_DEFAULT_CONFIDENCE = 0.25
# Boxes of one label that share more than this are one subject.
_MOST_OVERLAP = 0.45
# Candidates that suppression looks at; a frame has far fewer subjects.
_MOST_CANDIDATES = 1000
# Frames at once where the model takes any number.
_BATCH = 4
_DTYPES: dict[str, type[np.float32 | np.float16]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_PROVIDERS = {"cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider")}
_ONLY_ERRORS = 3


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "onnx") from error
    return onnxruntime


def _providers(runtime: Any, device: str) -> list[str | tuple[str, dict[str, int]]]:
    kind, mark, number = device.partition(":")
    if kind not in ("auto", *_PROVIDERS) or (mark and (kind != "cuda" or not number.isdigit())):
        raise InvalidArgumentError("device", "auto, cpu, cuda or cuda:1", repr(device))
    offered = runtime.get_available_providers()
    wanted = _PROVIDERS["cuda" if kind == "auto" else kind]
    if kind == "cuda" and wanted[0] not in offered:
        raise InvalidArgumentError("device", "cpu: this onnxruntime runs nowhere else", repr(device))
    there = [name for name in wanted if name in offered]
    return [(name, {"device_id": int(number)}) if mark and name == wanted[0] else name for name in there]


@dataclass(frozen=True, slots=True)
class _Input:
    """Input of a model: a side that is None may have any length."""

    name: str
    dtype: type[np.float32 | np.float16]
    batch: int | None
    height: int | None
    width: int | None

    @classmethod
    def of(cls, session: Any) -> _Input:
        inputs = session.get_inputs()
        first = inputs[0]
        shape = [size if isinstance(size, int) else None for size in first.shape]
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or first.type not in _DTYPES:
            described = ", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs)
            raise ModelError(f"its inputs are {described}: expected pictures (1, 3, height, width) in float")
        return cls(first.name, _DTYPES[first.type], shape[0], shape[2], shape[3])


class YoloDetector(Detector):
    """A YOLO model that was exported to ONNX: YOLOv5, YOLOv8, YOLO11, YOLO26 and those of the same layouts.

    Parameters
    ----------
    path : str or Path
        The file.
    labels : iterable of str or None
        Labels to report; None is all.
    confidence : float
        Least score.
    min_size : float or None
        Least length of a box's longer side, in pixels of the frame.
    device : str
        Where it runs: "auto", "cpu", "cuda" or "cuda:1"; "auto" is a GPU where ONNX Runtime has one.

    Raises
    ------
    MissingDependencyError
        ONNX Runtime or OpenCV is not installed.
    ModelError
        The file is no such model.
    InvalidArgumentError
        A label that the model does not know, or a value out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Iterable[str] | None = None,
        confidence: float = _DEFAULT_CONFIDENCE,
        min_size: float | None = None,
        device: str = "auto",
    ) -> None:
        runtime = _import_onnxruntime()
        self._path = Path(path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = get_num_threads()
        options.log_severity_level = _ONLY_ERRORS
        providers = _providers(runtime, device)
        try:
            self._session = runtime.InferenceSession(str(self._path), options, providers=providers)
        # ONNX Runtime's exceptions have no base of their own.
        except Exception as error:
            raise self._failed(f"cannot be loaded as an ONNX model ({first_line(error)})") from error
        self._notes = read_notes(self._session.get_modelmeta().custom_metadata_map)
        try:
            self._input = _Input.of(self._session)
        except ModelError as error:
            raise self._failed(str(error)) from None
        self._filter = DetectionFilter(confidence, check_labels(labels, self._notes.names), min_size)

    def _failed(self, reason: str) -> ModelError:
        return ModelError(f"{self._path}: {reason}")

    @property
    def names(self) -> tuple[str, ...]:
        """Classes of the model; empty where the file does not name them."""
        return self._notes.names

    @property
    def batch(self) -> int:
        """Frames at once: the model's own number, or a few where it takes any."""
        return self._input.batch or _BATCH

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find subjects; see `Detector.detect`.

        Raises
        ------
        InvalidArgumentError, InvalidTypeError
            A frame has another shape, size or dtype.
        ModelError
            The model fails, or gives what is none of the known layouts.
        """
        found: list[list[Detection]] = []
        for start in range(0, len(frames), self.batch):
            found += self._look(frames[start : start + self.batch])
        return found

    def _box(self, size: tuple[int, int]) -> Letterbox:
        source = self._input
        if source.height is None or source.width is None:
            notes = self._notes
            flexible = Letterbox.smallest(size, notes.side, notes.stride)
            outer = (source.height or flexible.outer[0], source.width or flexible.outer[1])
            return flexible if outer == flexible.outer else Letterbox.fixed(size, outer)
        return Letterbox.fixed(size, (source.height, source.width))

    def _look(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        sizes = {check_frame(frame) for frame in frames}
        if len(sizes) > 1:
            raise InvalidArgumentError("frames", "frames of one size", f"sizes {sorted(sizes)}")
        box = self._box(sizes.pop())
        pictures = box.stack(frames).astype(self._input.dtype, copy=False)
        missing = (self._input.batch or len(frames)) - len(frames)
        if missing:
            pictures = np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])
        output, prototypes = self._run(pictures)
        try:
            layout = choose_layout(output.shape, self._notes, box.outer)
            classes = len(self._notes.names)
            read = [read_candidates(each, layout, classes, self._filter.confidence) for each in output[: len(frames)]]
        except ModelError as error:
            raise self._failed(str(error)) from None
        is_single = layout == "suppressed"
        return [
            self._chosen(candidates, box, None if prototypes is None else prototypes[index], is_single=is_single)
            for index, candidates in enumerate(read)
        ]

    def _run(self, pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Output for boxes, and the prototypes of masks of a model that segments."""
        try:
            outputs = self._session.run(None, {self._input.name: pictures})
        except Exception as error:
            raise self._failed(f"cannot be run ({first_line(error)})") from error
        for output in outputs[:2]:
            if not isinstance(output, np.ndarray) or output.shape[:1] != pictures.shape[:1]:
                shape = getattr(output, "shape", type(output).__name__)
                raise self._failed(f"gives {shape} for {len(pictures)} pictures")
        has_masks = self._notes.task == "segment" and len(outputs) > 1 and outputs[1].ndim == 4
        return outputs[0], outputs[1].astype(np.float32, copy=False) if has_masks else None

    def _label(self, index: int) -> str:
        names = self._notes.names
        return names[index] if 0 <= index < len(names) else f"class{index}"

    def _chosen(
        self, candidates: Candidates, box: Letterbox, prototypes: NDArray[np.float32] | None, *, is_single: bool
    ) -> list[Detection]:
        """Subjects among the candidates, one box each."""
        by_label: dict[str, list[Detection]] = {}
        more: dict[int, NDArray[np.float64]] = {}
        boxes = box.to_frame(candidates.boxes[:_MOST_CANDIDATES])
        rows = zip(boxes, candidates.scores, candidates.classes, candidates.more, strict=False)
        for place, score, index, rest in rows:
            label = self._label(int(index))
            if self._filter.has(label):
                x1, y1, x2, y2 = place.tolist()
                detection = Detection((x1, y1, x2, y2), float(score), label)
                by_label.setdefault(label, []).append(detection)
                more[id(detection)] = rest
        kept = [
            detection
            for group in by_label.values()
            for detection in (group if is_single else suppress(group, most=_MOST_OVERLAP))
        ]
        if prototypes is not None and candidates.more.shape[1] == len(prototypes):
            kept = [replace(each, mask=mask_of(more[id(each)], prototypes, each.box, box)) for each in kept]
        return self._filter.inside(kept, box.frame)
