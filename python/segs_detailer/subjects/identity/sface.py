"""Faces by SFace, a network that OpenCV runs itself (`FaceRecognizerSF`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import ModelError
from segs_detailer.hub.catalog import SFACE, YUNET
from segs_detailer.subjects.finders.opencv import bgr_bytes, import_cv2
from segs_detailer.subjects.finders.yunet import YuNetDetector
from segs_detailer.subjects.identity.embedder import Embedder, Sighting, unit_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Detection

__all__ = ["SFaceEmbedder", "is_face"]

_LABEL = "face"
# OpenCV's own, which it publishes for pairs of Labeled Faces in the Wild.
_THRESHOLD = 0.363
# Of links, stricter: a wrong one puts the settings of one person on another.
_LINK_THRESHOLD = 0.45
# Faces are looked for in so many sizes of the subject's box around it.
_AROUND = 2.0
# Another face of a picture that has more than this share of the largest one's size may be meant as well.
_RIVAL = 0.7


def is_face(label: str) -> bool:
    """Whether a label is that of faces."""
    return _LABEL in label.lower()


class SFaceEmbedder(Embedder):
    """Tells people apart by their faces.

    Faces are aligned by their eyes, nose and mouth. Where a track does not know these, as those of the cascades, YOLO
    models and files, YuNet looks for them near the box.

    Parameters
    ----------
    path : str, Path or None
        The file of the model: `face_recognition_sface_2021dec.onnx` of the OpenCV Zoo, or another that takes aligned
        faces of 112 x 112 pixels. None fetches the former when it is first needed.
    yunet : str, Path or None
        The file of a YuNet, for pictures, and for tracks without landmarks. None fetches it when it is first needed.

    Raises
    ------
    MissingDependencyError
        OpenCV, or for fetching huggingface_hub, is not installed.
    ModelError
        OpenCV cannot load the file, or it cannot be fetched.
    """

    def __init__(self, path: str | Path | None = None, *, yunet: str | Path | None = None) -> None:
        self._cv2 = import_cv2()
        self._key: Any = ("sface", SFACE.sha256)
        if path is None:
            self._path = SFACE.fetch()
        else:
            self._path = Path(path)
            if not self._path.is_file():
                raise ModelError(f"{self._path}: no such file")
            state = self._path.stat()
            self._key = ("sface", str(self._path.resolve()), state.st_size, state.st_mtime_ns)
        self._yunet = yunet
        self._finder: YuNetDetector | None = None
        try:
            self._model: Any = self._cv2.FaceRecognizerSF.create(str(self._path), "")
        except self._cv2.error as error:
            raise ModelError(
                f"{self._path}: OpenCV cannot load it as a model of faces ({error.err or error})"
            ) from error

    @property
    def key(self) -> Any:
        """Its content, or where its file is and how old."""
        return self._key

    @property
    def threshold(self) -> float:
        """0.363: what OpenCV gives for SFace."""
        return _THRESHOLD

    @property
    def link_threshold(self) -> float:
        """0.45: stricter."""
        return _LINK_THRESHOLD

    def serves(self, label: str) -> bool:
        """Faces, by their label."""
        return is_face(label)

    def embed(self, sightings: Sequence[Sighting]) -> list[NDArray[np.float32] | None]:
        """Make a vector of each face; see `Embedder.embed`.

        Raises
        ------
        ModelError
            The network fails.
        """
        return [self._embedded(sighting) for sighting in sightings]

    def embed_picture(self, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Make a vector of the largest face of a picture; None where YuNet finds none.

        Warns
        -----
        UserWarning
            Another face is almost as large.
        """
        faces = sorted(self._faces(pixels), key=_side, reverse=True)
        if not faces:
            return None
        rivals = [face for face in faces[1:] if _side(face) > _RIVAL * _side(faces[0])]
        if rivals:
            x1, y1, x2, y2 = (round(edge) for edge in faces[0].box)
            warnings.warn(
                f"a picture shows {1 + len(rivals)} faces of about one size: the largest counts, from {x1},{y1} to "
                f"{x2},{y2}; cut the picture to the one that is meant",
                stacklevel=2,
            )
        return self._embedded(Sighting(pixels, faces[0].box, np.array(faces[0].landmarks)))

    def _embedded(self, sighting: Sighting) -> NDArray[np.float32] | None:
        x1, y1, x2, y2 = sighting.box
        left, top, part = _around(sighting)
        if not part.size:
            return None
        corner = np.array((left, top), np.float64)
        landmarks = sighting.landmarks
        if landmarks is None or np.isnan(landmarks).any():
            found = self._nearest(part, ((x1 + x2) / 2 - left, (y1 + y2) / 2 - top))
            if found is None:
                return None
            landmarks = np.array(found.landmarks) + corner
        # As YuNet gives it: place, size, five points, score.
        row = [x1 - left, y1 - top, x2 - x1, y2 - y1, *(landmarks - corner).ravel(), 1.0]
        try:
            aligned = self._model.alignCrop(bgr_bytes(part), np.array([row], np.float32))
            return unit_vector(self._model.feature(aligned))
        except self._cv2.error as error:
            raise ModelError(f"{self._path}: cannot be run by OpenCV ({error.err or error})") from error

    def _faces(self, pixels: NDArray[np.float32]) -> list[Detection]:
        if self._finder is None:
            self._finder = YuNetDetector(self._yunet or YUNET.fetch(quiet=True))
        return [face for face in self._finder.detect([pixels])[0] if face.landmarks is not None]

    def _nearest(self, part: NDArray[np.float32], middle: tuple[float, float]) -> Detection | None:
        """Find the face around a place."""
        for face in self._faces(part):
            x1, y1, x2, y2 = face.box
            if x1 <= middle[0] <= x2 and y1 <= middle[1] <= y2:
                return face
        return None


def _side(face: Detection) -> float:
    x1, y1, x2, y2 = face.box
    return max(x2 - x1, y2 - y1)


def _around(sighting: Sighting) -> tuple[int, int, NDArray[np.float32]]:
    """Cut what is around a box out of the frame: its left and top edge, and its pixels."""
    height, width = sighting.frame.shape[:2]
    x1, y1, x2, y2 = sighting.box
    reach = _AROUND * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - reach, np.ceil(x + reach)))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - reach, np.ceil(y + reach)))
    return left, top, np.ascontiguousarray(sighting.frame[top:bottom, left:right])
