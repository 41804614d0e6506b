"""Faces by YuNet, a small network that OpenCV runs itself (`FaceDetectorYN`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import ModelError
from segs_detailer.ops.turns import cos_sin
from segs_detailer.subjects.angles import face_angle
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.finders.filtering import DetectionFilter, check_labels
from segs_detailer.subjects.finders.finder import FollowSettings, ReducedDetector
from segs_detailer.subjects.finders.opencv import import_cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Chain
    from segs_detailer.subjects.track import Track

__all__ = ["YuNetDetector", "is_yunet"]

_LABEL = "face"
_DEFAULT_CONFIDENCE = 0.7
# What is no face may look like one for some frames, by scores of up to 0.76; real faces are surer at least once.
_SURE = 0.8
_LASTING = 12
_MOST_OVERLAP = 0.3
_MOST_CANDIDATES = 5000
# Names of some of its outputs, at the finest and the coarsest of its three grids; no YOLO export has them.
_OUTPUT_NAMES = (b"cls_8", b"obj_8", b"bbox_32", b"kps_32")
# The largest of its files has less than half of this.
_MOST_BYTES = 1 << 20
# It finds faces of about 10 to 300 pixels. Frames are reduced until the smallest face that is looked for has this size.
_FACE_PIXELS = 20.0
_SMALLEST_SHARE = 16
# Columns of what it gives: the box as corner and size, five points, the score.
_POINTS = slice(4, 14)
_SCORE_COLUMN = 14
# Where the angle of a face counts, it is looked at again: upright within half a step, it has the highest score of all
# turns, and large and nearly upright, its points are right.
_TURN_STEP = 45.0
_TURNED_SIDES = (160, 320)
_TURNED_SHARE = 0.47
_TURNED_LOOKS = 2


def is_yunet(path: Path) -> bool:
    """Whether an ONNX file holds YuNet, in the form that OpenCV takes since version 4.8."""
    if path.stat().st_size > _MOST_BYTES:
        return False
    data = path.read_bytes()
    return all(name in data for name in _OUTPUT_NAMES)


class YuNetDetector(ReducedDetector):
    """Faces, by a YuNet model in an ONNX file.

    Parameters
    ----------
    path : str or Path
        The file, such as `face_detection_yunet_2023mar.onnx` of the OpenCV Zoo.
    labels : iterable of str or None
        Only `face`.
    confidence : float or None
        Least score. None is 0.7, and what lasts less than 12 frames must reach 0.8 in one of them.
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side. It decides how far frames are reduced.
    exact_angles : bool
        Look at each face ten times more, turned and enlarged, for its angle: the points alone say little of faces that
        are small, and nothing of those on their side or upside down.

    Raises
    ------
    MissingDependencyError
        OpenCV is not installed.
    ModelError
        OpenCV cannot load the file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Iterable[str] | None = None,
        confidence: float | None = None,
        min_size: float | None = None,
        exact_angles: bool = False,
    ) -> None:
        self._cv2 = import_cv2()
        self._exact_angles = exact_angles
        self._path = Path(path)
        check_labels(labels, self.names)
        self._sure = _SURE if confidence is None else confidence
        self._filter = DetectionFilter(_DEFAULT_CONFIDENCE if confidence is None else confidence, None, min_size)
        try:
            self._model: Any = self._cv2.FaceDetectorYN.create(
                str(self._path), "", (320, 320), self._filter.confidence, _MOST_OVERLAP, _MOST_CANDIDATES
            )
        except self._cv2.error as error:
            raise ModelError(f"{self._path}: OpenCV cannot load it as a YuNet model ({error.err or error})") from error

    @property
    def names(self) -> tuple[str, ...]:
        """Only `face`."""
        return (_LABEL,)

    @property
    def batch(self) -> int:
        """OpenCV takes one frame at a time."""
        return 1

    def picture_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Size in which the smallest face that is looked for is as small as the network finds one."""
        height, width = frame_size
        scale = min(1.0, _FACE_PIXELS / (self._filter.min_size or min(height, width) / _SMALLEST_SHARE))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def look(self, pictures: Sequence[NDArray[np.uint8]], frame_size: tuple[int, int]) -> list[list[Detection]]:
        """Find faces in reduced frames; see `ReducedDetector.look`.

        Raises
        ------
        ModelError
            The network fails.
        """
        return [self._read(np.ascontiguousarray(picture[..., ::-1]), frame_size) for picture in pictures]

    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the faces of a clip; see `find_tracks`. Masks are ellipses where `settings` names no shape."""
        settings = settings or FollowSettings()
        return super().find(frames, replace(settings, shape=settings.shape or "ellipse"), progress=progress)

    def is_subject(self, chain: Chain, settings: FollowSettings) -> bool:
        """Whether what was followed is a face: it lasts, or was sure at least once."""
        is_sure = max(detection.score for detection in chain.detections) >= self._sure
        return (is_sure or len(chain.frames) >= _LASTING) and settings.counts(chain)

    def _read(self, small: NDArray[np.uint8], frame_size: tuple[int, int]) -> list[Detection]:
        """Find faces in a reduced frame, blue, green and red in 8 bits."""
        height, width = frame_size
        back = np.array([width / small.shape[1], height / small.shape[0]])
        rows = self._rows(small)
        found = [_detection(row, back) for row in rows]
        if self._exact_angles:
            angles = [self._exact_angle(small, row) for row in rows]
            found = [
                each if angle is None else replace(each, angle=angle) for each, angle in zip(found, angles, strict=True)
            ]
        return self._filter.inside(found, (height, width))

    def _rows(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return what it gives of a picture, a row for each face."""
        try:
            self._model.setInputSize((picture.shape[1], picture.shape[0]))
            _, faces = self._model.detect(picture)
        except self._cv2.error as error:
            raise ModelError(f"{self._path}: cannot be run by OpenCV ({error.err or error})") from error
        return np.empty((0, _SCORE_COLUMN + 1)) if faces is None else np.asarray(faces, np.float64)

    def _exact_angle(self, picture: NDArray[np.uint8], row: NDArray[np.float64]) -> float | None:
        """Look at a face turned by all steps, then the surest time again by its points; None where it is not seen."""
        coarse, fine = _TURNED_SIDES
        looks = [(turn, self._turned_face(picture, row, turn, coarse)) for turn in np.arange(-180, 180, _TURN_STEP)]
        seen = [(turn, face) for turn, face in looks if face is not None]
        if not seen:
            return None
        angle = float(max(seen, key=lambda look: look[1][_SCORE_COLUMN])[0])
        for _ in range(_TURNED_LOOKS):
            face = self._turned_face(picture, row, angle, fine)
            rest = None if face is None else face_angle(face[_POINTS].reshape(-1, 2))
            if rest is None:
                break
            angle += rest
        return (angle + 180) % 360 - 180

    def _turned_face(
        self, picture: NDArray[np.uint8], row: NDArray[np.float64], turn: float, side: int
    ) -> NDArray[np.float64] | None:
        """Find the face of a row again in a square that is turned clockwise around it; None where it is not seen."""
        middle = row[:2] + 0.5 * row[2:4] - 0.5
        scale = max(float(row[2:4].max()), 1.0) / (_TURNED_SHARE * side)
        cos, sin = (scale * float(part) for part in cos_sin(turn))
        onto = np.array([[cos, -sin], [sin, cos]])
        matrix = np.concatenate([onto, (middle - onto.sum(axis=1) * (0.5 * side - 0.5))[:, None]], axis=1)
        flags = self._cv2.INTER_LINEAR | self._cv2.WARP_INVERSE_MAP
        square = self._cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=self._cv2.BORDER_REPLICATE)
        rows = self._rows(square)
        away = np.abs(rows[:, :2] + 0.5 * rows[:, 2:4] - 0.5 * side).max(axis=1)
        near = rows[away < 0.5 * _TURNED_SHARE * side]
        return near[near[:, _SCORE_COLUMN].argmax()] if len(near) else None


def _detection(row: NDArray[np.float64], back: NDArray[np.float64]) -> Detection:
    """Read a row of its output, in pixels of the frame: `back` times those of the reduced one."""
    (x1, y1), (x2, y2) = row[:2] * back, (row[:2] + row[2:4]) * back
    points = row[_POINTS].reshape(-1, 2) * back
    return Detection(
        (float(x1), float(y1), float(x2), float(y2)),
        float(row[_SCORE_COLUMN]),
        _LABEL,
        landmarks=tuple((float(x), float(y)) for x, y in points),
        angle=face_angle(points),
    )
