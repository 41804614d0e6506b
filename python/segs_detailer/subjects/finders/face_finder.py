"""The best finder of faces that there is: YuNet, fetched once, or else the cascades that OpenCV brings along."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError
from segs_detailer.hub.catalog import YUNET
from segs_detailer.subjects.finders.faces import FaceDetector
from segs_detailer.subjects.finders.finder import FollowSettings, find_tracks
from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.finders.yunet import YuNetDetector
from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.segs import SEGS
    from segs_detailer.subjects.finders.finder import Detector

__all__ = ["detect_faces", "open_face_finder"]


def open_face_finder(
    *,
    labels: Iterable[str] | None = None,
    confidence: float | None = None,
    min_size: float | None = None,
    exact_angles: bool = False,
) -> Detector:
    """Open YuNet, which is fetched from the hub when it is first needed; without it, the face cascades.

    Parameters
    ----------
    labels : iterable of str or None
        Only `face`.
    confidence : float or None
        Least score of YuNet, above 0 to 1; None is 0.7.
    min_size : float or None
        Smallest face in pixels; None is a sixteenth of the frame's shorter side.
    exact_angles : bool
        See `YuNetDetector`; the cascades know no angles.

    Raises
    ------
    MissingDependencyError
        OpenCV is not installed.
    InvalidArgumentError
        A value is out of range; or there is a confidence, and only the cascades are there, which have none.

    Warns
    -----
    UserWarning
        The cascades serve; it says why, and what to do.

    Examples
    --------
    >>> from segs_detailer.subjects.finders import open_face_finder
    >>> open_face_finder(min_size=40).names
    ('face',)
    """
    import_cv2()
    try:
        path = YUNET.fetch(quiet=True)
    except (MissingDependencyError, ModelError) as error:
        if confidence is not None:
            expected = f"none for the face cascades, which serve in place of YuNet ({error})"
            raise InvalidArgumentError("confidence", expected, repr(confidence)) from error
        finder = FaceDetector(labels=labels, min_size=min_size)
        warnings.warn(
            f"faces are found by OpenCV's cascades, which miss many: {error}. Where there is a network, "
            "segs-detailer models pull yunet fetches it for good; or give its file: `detect=FILE`",
            stacklevel=2,
        )
        return finder
    options: dict[str, float] = {} if confidence is None else {"confidence": confidence}
    return YuNetDetector(path, labels=labels, min_size=min_size, exact_angles=exact_angles, **options)


def detect_faces(
    frames: NDArray[np.float32],
    settings: FollowSettings | None = None,
    *,
    min_size: float | None = None,
    crop: CropSettings | None = None,
    dtype: Literal["uint8", "float32", "lazy"] = "uint8",
    progress: Callable[[int], None] | None = None,
) -> SEGS:
    """Find the faces of a clip, as `open_face_finder` does: one SEG for each subject of each shot.

    A subject is followed by overlap and motion from frame to frame, gaps are bridged, what is detected in too few
    frames is dropped, and a cut ends it. Its masks are empty in the frames where it is absent, so that nothing is
    pasted there, and the paste comes and goes in steps where it enters and leaves.

    Parameters
    ----------
    frames : ndarray
        `(B, H, W, 3)` float32 in [0, 1].
    settings : FollowSettings or None
        Which faces count.
    min_size : float or None
        Smallest face in pixels, at least 8; None is a sixteenth of the frame's shorter side. Smaller takes longer.
    crop : CropSettings or None
        How crops are laid. None is a fixed one, with the `max_gap` of `settings`.
    dtype : {"uint8", "float32", "lazy"}
        Of the masks, see `segs_detailer.subjects.tracks_to_segs`.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    SEGS
        `((H, W), [SEG, ...])`, maybe without any SEG; see `segs_detailer.subjects.tracks_to_segs`.

    Raises
    ------
    InvalidArgumentError
        `frames` has another shape; a value is out of range.
    MissingDependencyError
        OpenCV is not installed.

    Warns
    -----
    UserWarning
        The cascades serve, as YuNet cannot be fetched.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3:
        raise InvalidArgumentError("frames", "an array of shape (B, H, W, 3)", str(frames.shape))
    size = (int(frames.shape[1]), int(frames.shape[2]))
    colors = (frame[..., :3] for frame in frames)
    settings = settings or FollowSettings()
    tracks = find_tracks(colors, open_face_finder(min_size=min_size), settings, progress=progress)
    crop = crop or CropSettings(crop="fixed", max_gap=settings.max_gap)
    return tracks_to_segs(tracks, size, len(frames), crop, dtype=dtype)
