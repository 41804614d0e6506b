"""Faces as meshes of points, as ComfyUI's MediaPipe nodes hand them over: regions of the face become masks.

Which points bound a region is said by the connections between points that come along. The points that `Track` names are
found by their numbers in MediaPipe's mesh (`face_model_with_iris.obj`), whose left and right are the person's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from segs_detailer.checks import number, typed
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.subjects.angles import face_angle
from segs_detailer.subjects.association import Detection
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.outlines import fill

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["FACE_REGIONS", "face_detections"]

_SETS: dict[str, tuple[str, ...]] = {
    "face": ("face_oval",),
    "eyes": ("left_eye", "right_eye"),
    "left eye": ("left_eye",),
    "right eye": ("right_eye",),
    "lips": ("lips",),
    "eyebrows": ("left_eyebrow", "right_eyebrow"),
    "irises": ("irises",),
    "nose": ("nose",),
}

FACE_REGIONS = tuple(_SETS)
"""Regions of a face; left and right are the person's."""

_ROUND = ("irises",)
"""Sets whose rings are circles: four points bound each."""

_CIRCLE = 32
_LEAST_POINTS = 468
_RIGHT_EYE, _LEFT_EYE, _NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER = (33, 133), (263, 362), 1, 61, 291
_EXPECTED = "FACE_LANDMARKS of MediaPipe Face Landmarker: a dict with frames, image_size and connection_sets"


def face_detections(
    face_landmarks: Mapping[str, Any],
    region: str = "face",
    *,
    frame_size: tuple[int, int] | None = None,
    argument: str = "face_landmarks",
) -> list[list[Detection]]:
    """Make detections of the faces of all frames: the box and the points of the face, and the mask of a region of it.

    Parameters
    ----------
    face_landmarks : mapping
        `frames`, for each the faces as dicts with `landmarks_xy`, `(n, 2)` points in pixels, and `score`; `image_size`,
        height and width; `connection_sets`, pairs of points by the name of what they bound.
    region : str
        One of `FACE_REGIONS`: what the masks show. It is the label of the detections.
    frame_size : (int, int) or None
        Height and width of the frames that they are for; None is `image_size`.
    argument : str
        Name for messages.

    Returns
    -------
    list of list of Detection
        Of each frame, those of which something is in the frame. A ring of points is filled, also the lips, with what
        lies between them; irises are circles; eyebrows lie between two lines, and a nose within the hull of its points.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something else came; a region that it does not name.
    """
    if region not in _SETS:
        raise unknown_name("region", region, FACE_REGIONS)
    if not isinstance(face_landmarks, Mapping):
        raise InvalidTypeError(argument, _EXPECTED, typed(face_landmarks))
    missing = [key for key in ("frames", "image_size", "connection_sets") if key not in face_landmarks]
    if missing:
        raise InvalidArgumentError(argument, _EXPECTED, f"none of {', '.join(missing)}")
    size = check_frame_size(f"{argument}: image_size", tuple(face_landmarks["image_size"]))
    height, width = size if frame_size is None else check_frame_size("frame_size", frame_size)
    outlines = _outlines(face_landmarks["connection_sets"], region, argument)
    reader = _Faces(region, outlines, (height, width), np.array([width / size[1], height / size[0]]))
    return [reader.read(faces, f"{argument}: frames[{frame}]") for frame, faces in enumerate(face_landmarks["frames"])]


class _Outline(NamedTuple):
    """Points that bound a part of a region, in their order; or a second line of them, on its other side."""

    points: list[int]
    other_side: list[int]
    kind: Literal["ring", "circle", "lines", "hull"] = "ring"

    def polygon(self, mesh: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return its corners `(n, 2)`."""
        corners = mesh[self.points]
        if self.kind == "circle":
            middle = corners.mean(axis=0)
            radius = np.linalg.norm(corners - middle, axis=1).mean()
            turns = np.linspace(0, 2 * np.pi, _CIRCLE, endpoint=False)
            circle: NDArray[np.float64] = middle + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            return circle
        if self.kind == "lines":
            back = mesh[self.other_side]
            near, far = (np.linalg.norm(corners[-1] - back[end]) for end in (0, -1))
            return np.concatenate([corners, back if near <= far else back[::-1]])
        return _hull(corners) if self.kind == "hull" else corners


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull (Andrew's monotone chain)."""
    ordered = sorted(set(map(tuple, points.tolist())))
    halves = []
    for way in (ordered, ordered[::-1]):
        half: list[tuple[float, ...]] = []
        for point in way:
            while len(half) > 1 and _turn(half[-2], half[-1], point) <= 0:
                half.pop()
            half.append(point)
        halves += half[:-1]
    return np.array(halves, np.float64).reshape(-1, 2)


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


class _Faces:
    """Makes detections of faces."""

    def __init__(
        self, region: str, outlines: Sequence[_Outline], size: tuple[int, int], scale: NDArray[np.float64]
    ) -> None:
        self._region = region
        self._outlines = outlines
        self._size = size
        self._scale = scale
        self._most = max(max(*outline.points, *outline.other_side) for outline in outlines)

    def read(self, faces: Any, argument: str) -> list[Detection]:
        """Read the faces of a frame."""
        if not isinstance(faces, Sequence):
            raise InvalidTypeError(argument, "a list of faces", typed(faces))
        found = (self._face(face, f"{argument}[{place}]") for place, face in enumerate(faces))
        return [detection for detection in found if detection is not None]

    def _face(self, face: Any, argument: str) -> Detection | None:
        if not isinstance(face, Mapping) or "landmarks_xy" not in face:
            raise InvalidTypeError(argument, "a face with landmarks_xy", typed(face))
        mesh = np.asarray(face["landmarks_xy"], np.float64)
        least = max(_LEAST_POINTS, self._most + 1)
        if mesh.ndim != 2 or mesh.shape[1] != 2 or len(mesh) < least or not np.isfinite(mesh).all():
            expected = f"finite points (n, 2), at least {least} of them"
            raise InvalidArgumentError(f"{argument}: landmarks_xy", expected, f"shape {mesh.shape}")
        mesh = mesh * self._scale
        mask = fill([outline.polygon(mesh) for outline in self._outlines], self._size)
        height, width = self._size
        (x1, y1), (x2, y2) = np.maximum(mesh.min(axis=0), 0), np.minimum(mesh.max(axis=0), (width, height))
        if mask.empty or x1 >= x2 or y1 >= y2:
            return None
        points = _named_points(mesh)
        return Detection(
            (float(x1), float(y1), float(x2), float(y2)),
            number(f"{argument}: score", float(face.get("score", 1.0))),
            self._region,
            mask=mask,
            landmarks=tuple((x, y) for x, y in points.tolist()),
            angle=face_angle(points),
        )


def _named_points(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the five points `(5, 2)` that `Track` names; of an eye the middle between its corners."""
    eyes = [mesh[list(corners)].mean(axis=0) for corners in (_RIGHT_EYE, _LEFT_EYE)]
    return np.stack([*eyes, mesh[_NOSE_TIP], mesh[_RIGHT_CORNER], mesh[_LEFT_CORNER]])


def _outlines(connection_sets: Any, region: str, argument: str) -> list[_Outline]:
    """Say which points bound a region."""
    name = f"{argument}: connection_sets"
    if not isinstance(connection_sets, Mapping):
        raise InvalidTypeError(name, "a dict of pairs of points", typed(connection_sets))
    missing = [own for own in _SETS[region] if own not in connection_sets]
    if missing:
        raise InvalidArgumentError(
            name, f"{' and '.join(missing)}, for the region {region}", ", ".join(connection_sets)
        )
    found = []
    for own in _SETS[region]:
        edges = sorted({(int(a), int(b)) for a, b in connection_sets[own]})
        outlines = _bounded(edges, is_round=own in _ROUND)
        if not outlines:
            raise InvalidArgumentError(f"{name}: {own}", "pairs of points", "none")
        found += outlines
    return found


def _bounded(edges: Iterable[tuple[int, int]], *, is_round: bool) -> list[_Outline]:
    """Put connections together: to rings, or two lines between which the region lies; else the hull of all."""
    neighbors: dict[int, list[int]] = {}
    for a, b in edges:
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    seen: set[int] = set()
    if any(len(near) > 2 for near in neighbors.values()):
        return [_Outline(list(neighbors), [], "hull")]
    # Lines first, each from one of its ends; what is left are rings.
    ends = [point for point, near in neighbors.items() if len(near) == 1]
    lines = [_walk(end, neighbors, seen) for end in ends if end not in seen]
    rings = [_walk(point, neighbors, seen) for point in neighbors if point not in seen]
    outlines = [_Outline(ring, [], "circle" if is_round else "ring") for ring in rings]
    if len(lines) == 2:
        return [*outlines, _Outline(lines[0], lines[1], "lines")]
    return [*outlines, *(_Outline(line, [], "hull") for line in lines)]


def _walk(start: int, neighbors: Mapping[int, Sequence[int]], seen: set[int]) -> list[int]:
    """Go from point to point until there is none that was not seen."""
    path = [start]
    seen.add(start)
    while True:
        following = next((point for point in neighbors[path[-1]] if point not in seen), None)
        if following is None:
            return path
        path.append(following)
        seen.add(following)
