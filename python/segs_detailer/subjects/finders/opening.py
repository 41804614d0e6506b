"""A finder by its name or by the file of its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, ModelError, unknown_name
from segs_detailer.subjects.finders.face_finder import open_face_finder
from segs_detailer.subjects.finders.faces import FaceDetector
from segs_detailer.subjects.finders.ultralytics_models import UltralyticsDetector
from segs_detailer.subjects.finders.yolo import YoloDetector
from segs_detailer.subjects.finders.yunet import YuNetDetector, is_yunet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from segs_detailer.subjects.finders.finder import Finder

__all__ = ["FINDERS", "FINDER_NAMES", "FinderKind", "open_finder"]


@dataclass(frozen=True, slots=True)
class FinderKind:
    """One kind of finder: registered here, it is opened by its name or by the file of its model.

    Parameters
    ----------
    make : callable
        Makes one, of the path where it has a file, and of the options that it takes.
    name : str
        Of a kind that needs no file.
    suffix : str
        Of the files that may hold a model of this kind.
    is_in : callable
        Says whether a file holds one; of kinds with one suffix the first counts.
    takes_confidence, takes_device, takes_angles : bool
        Which options it takes besides `labels` and `min_size`.
    """

    make: Callable[..., Finder]
    name: str = ""
    suffix: str = ""
    is_in: Callable[[Path], bool] = lambda path: True  # noqa: ARG005 - the last of its suffix takes what is left
    takes_confidence: bool = True
    takes_device: bool = True
    takes_angles: bool = False

    def opened(
        self, *path: Path, confidence: float | None, device: str, exact_angles: bool = False, **options: Any
    ) -> Finder:
        """Open one; a confidence that it takes none of is refused, and a device has no effect."""
        if confidence is not None and not self.takes_confidence:
            raise InvalidArgumentError("confidence", "none for the face cascades", repr(confidence))
        if confidence is not None:
            options["confidence"] = confidence
        if self.takes_device:
            options["device"] = device
        if self.takes_angles:
            options["exact_angles"] = exact_angles
        return self.make(*path, **options)


FINDERS = (
    FinderKind(open_face_finder, name="face", takes_device=False, takes_angles=True),
    FinderKind(FaceDetector, name="cascades", takes_confidence=False, takes_device=False),
    FinderKind(YuNetDetector, suffix=".onnx", is_in=is_yunet, takes_device=False, takes_angles=True),
    FinderKind(YoloDetector, suffix=".onnx"),
    FinderKind(UltralyticsDetector, suffix=".pt"),
)
"""All kinds of finders."""

FINDER_NAMES = tuple(kind.name for kind in FINDERS if kind.name)
"""Finders that need no file."""


def open_finder(
    source: str | Path,
    *,
    labels: Iterable[str] | None = None,
    confidence: float | None = None,
    min_size: float | None = None,
    device: str = "auto",
    exact_angles: bool = False,
) -> Finder:
    """Open a finder.

    Parameters
    ----------
    source : str or Path
        `"face"`: YuNet, which is fetched from the hub when it is first needed, or the face cascades where it cannot be
        fetched, with a warning. `"cascades"`: OpenCV's face cascades, which need no model. Else the file of a model:
        `.onnx`, which holds YuNet (run by OpenCV) or a YOLO export (run by ONNX Runtime), or `.pt` (run by Ultralytics,
        where that is installed).
    labels : iterable of str or None
        Labels to report; None is all that it knows.
    confidence : float or None
        Least score, above 0 to 1; None is the finder's usual one: 0.7 for YuNet, 0.25 for YOLO models. The cascades
        take none.
    min_size : float or None
        Smallest subject in pixels of the frame, by its longer side. None is a sixteenth of the frame's shorter side for
        the cascades and YuNet, and any for others.
    device : str
        Where a model runs: "auto", "cpu", "cuda".
    exact_angles : bool
        Find out how each face is turned, for crops that turn with it: YuNet looks at each ten times more. Others say no
        angles.

    Returns
    -------
    Finder

    Raises
    ------
    InvalidArgumentError
        No such name, label or device, or a value out of range.
    MissingDependencyError
        What runs it is not installed.
    ModelError
        There is no such file, or it is no model that can be run.

    Examples
    --------
    >>> from segs_detailer.subjects.finders import open_finder
    >>> open_finder("face").names
    ('face',)
    """
    options: dict[str, Any] = {"labels": labels, "min_size": min_size, "exact_angles": exact_angles}
    for kind in FINDERS:
        if kind.name and str(source) == kind.name:
            return kind.opened(confidence=confidence, device=device, **options)
    path = Path(source)
    kinds = [kind for kind in FINDERS if kind.suffix and kind.suffix == path.suffix.lower()]
    if not kinds:
        suffixes = ", ".join(dict.fromkeys(kind.suffix for kind in FINDERS if kind.suffix))
        raise unknown_name("detector", str(source), FINDER_NAMES, expected=f"{{}} or a model file ({suffixes})")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: the file is empty")
    kind = next(kind for kind in kinds if kind.is_in(path))
    return kind.opened(path, confidence=confidence, device=device, **options)
