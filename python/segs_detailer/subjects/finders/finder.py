"""What finds subjects in a clip, and how detections of single frames become tracks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from itertools import chain as joined
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects.finders.pictures import ClipFrames, View, reduced
from segs_detailer.subjects.finders.search import Search, TrackBuilder
from segs_detailer.subjects.track import SHAPES, Shape, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Chain, Detection

__all__ = ["Detector", "Finder", "FollowSettings", "ReducedDetector", "check_frame", "find_tracks", "gather_tracks"]

# What is seen in fewer frames of a shot of some length is a mistake of the detector.
_LEAST_DETECTIONS = 3


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """Which subjects count.

    Parameters
    ----------
    min_share : float
        A subject counts where it is detected in at least this share of the frames from its first to its last.
    max_gap : int
        Frames without a detection that are bridged.
    min_frames : int or None
        A subject counts where it is detected in at least this many frames. None is the finder's own number, and fewer
        in a short shot.
    detect_every : int or None
        A detector looks at one of so many frames, and follows what is in those between; it looks there, too, where that
        fails. 1 is every frame. None is 6 for detectors that look at frames of reduced size, 1 for others. The face
        cascades search one of so many frames as a whole, 5 where it is None, and look around faces in the others.
    drop_size : int
        Subjects whose shorter side never has more pixels are dropped.
    shape : {"ellipse", "box"} or None
        Shape of the masks of frames in which the detector gives none. None is an ellipse for finders of faces, and the
        box for others.

    Raises
    ------
    InvalidArgumentError
        A value is out of range.
    """

    min_share: float = 0.3
    max_gap: int = 12
    drop_size: int = 10
    shape: Shape | None = None
    min_frames: int | None = None
    detect_every: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise InvalidArgumentError("min_share", "0 to 1", repr(self.min_share))
        if self.max_gap < 0:
            raise InvalidArgumentError("max_gap", "0 or more frames", repr(self.max_gap))
        if self.min_frames is not None and self.min_frames < 1:
            raise InvalidArgumentError("min_frames", "1 or more frames, or None", repr(self.min_frames))
        if self.detect_every is not None and self.detect_every < 1:
            raise InvalidArgumentError("detect_every", "1 or more frames, or None", repr(self.detect_every))
        if self.shape not in (None, *SHAPES):
            raise InvalidArgumentError("shape", "'ellipse', 'box' or None", repr(self.shape))

    def counts(self, chain: Chain) -> bool:
        """Whether a chain of detections is a subject."""
        return len(chain.frames) >= self.least_frames(chain, _LEAST_DETECTIONS) and chain.share >= self.min_share

    def least_frames(self, chain: Chain, usual: int) -> int:
        """Return how many detections a chain must have: `min_frames`, else the usual number, or half a short shot."""
        start, stop = chain.shot
        return self.min_frames or min(usual, math.ceil((stop - start) / 2))


class Finder(ABC):
    """Finds subjects in a clip, in whatever way it looks for them: frame by frame, or in the clip as a whole.

    Attributes
    ----------
    gives_masks : bool
        Its tracks have a mask in each of their frames.
    every : int
        Frames from one look to the next.
    """

    gives_masks = False
    every = 1

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells the results of its model from those of another, for caches; empty where it does not say."""
        return ()

    def release(self) -> None:  # noqa: B027 - what holds nothing has nothing to let go
        """Let go of weights; they are loaded again when they are needed."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Labels that it can give; empty where it does not say."""

    @abstractmethod
    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the subjects of a clip; what it takes, gives and raises is that of `find_tracks`."""


class Detector(Finder):
    """Finds subjects in single frames; through a clip, they are followed by overlap, motion and what they look like.

    Objects of other makers that have `names`, `batch` and `detect` serve as well where a `Finder` is asked for.
    """

    usual_every: ClassVar[int] = 1
    """Of so many frames one is looked at, where nobody says otherwise."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Frames that it likes to see at once; it takes any number."""

    @abstractmethod
    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find what is in each frame.

        Parameters
        ----------
        frames : sequence of ndarray
            `(H, W, 3)` float32 in [0, 1], all of one size; or one array `(B, H, W, 3)`.

        Returns
        -------
        list of list of Detection
            One list for each frame, the surest first; boxes in pixels of the frame and inside it.
        """

    def find(
        self,
        frames: Iterable[NDArray[np.float32]],
        settings: FollowSettings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Track]:
        """Find the subjects of a clip; see `find_tracks`.

        No more frames are held than its `batch`, or than `detect_every`, if that is above 1.
        """
        settings = settings or FollowSettings()
        if not isinstance(frames, ClipFrames):
            frames = _in_memory(frames)
        builder = TrackBuilder(settings.max_gap)
        every = settings.detect_every or self.usual_every
        search = Search(self.see, builder, every=every, batch=self.batch, progress=progress)
        search.run(View(picture, frames.size) for picture in self.pictures(frames))
        keep = partial(self.is_subject, settings=settings)
        return gather_tracks(builder.finish(), keep, settings, settings.shape or "box")

    def pictures(self, frames: ClipFrames) -> Iterable[NDArray[Any]]:
        """Return the frames of a clip as it looks at them: here, as they are."""
        return frames

    def see(self, views: Sequence[View]) -> list[list[Detection]]:
        """Find what is in frames as `pictures` gives them; boxes in pixels of the whole frames."""
        return self.detect([view.picture for view in views])

    def is_subject(self, chain: Chain, settings: FollowSettings) -> bool:
        """Whether what was followed is a subject, and no mistake."""
        return settings.counts(chain)


class ReducedDetector(Detector):
    """A detector that sees no less in frames of reduced size: clips are decoded to that, which saves most of the time.

    One of some frames is looked at; between them subjects are followed, and where that fails more frames are looked at.
    """

    usual_every: ClassVar[int] = 6

    @abstractmethod
    def picture_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Size `(h, w)` of the pictures that it looks at, of frames of a size."""

    @abstractmethod
    def look(self, pictures: Sequence[NDArray[np.uint8]], frame_size: tuple[int, int]) -> list[list[Detection]]:
        """Find what is in frames that were reduced to `picture_size`.

        Parameters
        ----------
        pictures : sequence of ndarray
            `(h, w, 3)` uint8.
        frame_size : (int, int)
            Height and width of the frames.

        Returns
        -------
        list of list of Detection
            As of `detect`: boxes in pixels of the whole frames.
        """

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find what is in each frame; see `Detector.detect`.

        Raises
        ------
        InvalidTypeError
            A frame has another shape or dtype.
        """
        found = []
        for frame in frames:
            size = check_frame(frame)
            found += self.look([reduced(frame, self.picture_size(size))], size)
        return found

    def pictures(self, frames: ClipFrames) -> Iterable[NDArray[Any]]:
        """Return the frames of a clip, reduced."""
        return frames.pictures(self.picture_size(frames.size))

    def see(self, views: Sequence[View]) -> list[list[Detection]]:
        """Find what is in reduced frames."""
        return self.look([view.picture for view in views], views[0].size)


def _in_memory(frames: Iterable[NDArray[np.float32]]) -> ClipFrames:
    """Return frames that are there already, which are gone through once."""
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return ClipFrames((1, 1), lambda: (), lambda _: ())
    whole = joined([first], rest)
    return ClipFrames(check_frame(first), lambda: whole, lambda size: (reduced(frame, size) for frame in whole))


class _Adapted(Detector):
    """An object of another maker with the members of a detector."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    @property
    def names(self) -> tuple[str, ...]:
        names: tuple[str, ...] = self._detector.names
        return names

    @property
    def batch(self) -> int:
        batch: int = self._detector.batch
        return batch

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        found: list[list[Detection]] = self._detector.detect(frames)
        return found


def find_tracks(
    frames: Iterable[NDArray[np.float32]],
    finder: Finder,
    settings: FollowSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Track]:
    """Find the subjects of a clip: one track for each subject of each shot, as cuts end tracks.

    Parameters
    ----------
    frames : iterable of ndarray
        `(H, W, 3)` float32 in [0, 1], all of one size, each an array of its own; looked at once, in order. Of a file, a
        `ClipFrames` saves most of the time: detectors that look at reduced frames have them decoded to that size.
    finder : Finder
        What `open_finder` gave, or any object with the members of `Detector`.
    settings : FollowSettings or None
        Which subjects count.
    progress : callable or None
        Called with the number of frames done. It may raise to cancel.

    Returns
    -------
    list of Track
        In the order of their first frames; ids count from 1. Boxes are the finder's own.

    Raises
    ------
    InvalidTypeError
        A frame is of another shape or dtype; `finder` is none.
    ModelError
        The finder fails.
    MissingDependencyError
        OpenCV, which finds the cuts, is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer.subjects import Detection
    >>> from segs_detailer.subjects.finders import Detector, find_tracks
    >>> class Bright(Detector):
    ...     names, batch = ("lamp",), 1
    ...     def detect(self, frames):
    ...         places = [np.argwhere(frame[..., 0] > 0.5) for frame in frames]
    ...         return [[Detection((*p.min(0)[::-1], *p.max(0)[::-1] + 1), 1.0, "lamp")] for p in places]
    >>> frames = np.zeros((8, 60, 100, 3), np.float32)
    >>> for number, frame in enumerate(frames):
    ...     frame[20:40, 10 + 5 * number : 30 + 5 * number] = 1
    >>> [track] = find_tracks(frames, Bright())
    >>> track.id, track.label, track.span, track.boxes[0].tolist()
    (1, 'lamp', (0, 8), [10.0, 20.0, 30.0, 40.0])
    """
    given: Any = finder
    if not isinstance(given, Finder):
        if not callable(getattr(given, "detect", None)):
            raise InvalidTypeError(
                "finder", "a Finder, or an object with names, batch and detect", type(given).__name__
            )
        finder = _Adapted(given)
    if isinstance(frames, ClipFrames):
        return finder.find(frames, settings, progress=progress)
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return []
    check_frame(first)
    return finder.find(joined([first], rest), settings, progress=progress)


def check_frame(frame: NDArray[np.float32]) -> tuple[int, int]:
    """Size `(H, W)` of a frame.

    Raises
    ------
    InvalidTypeError
        It is not `(H, W, 3)` float32.
    """
    if frame.dtype != np.float32 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise InvalidTypeError("frames", "(H, W, 3) float32", f"{frame.shape} {frame.dtype}")
    return int(frame.shape[0]), int(frame.shape[1])


def gather_tracks(
    chains: Iterable[Chain], keep: Callable[[Chain], bool], settings: FollowSettings, shape: Shape
) -> list[Track]:
    """Make tracks of chains of detections; mistakes and what is too small are dropped.

    Parameters
    ----------
    chains : iterable of Chain
        In the order of their first frames.
    keep : callable
        Says of a chain whether it is a subject.
    settings : FollowSettings
        `drop_size`.
    shape : {"box", "ellipse"}
        See `Track`.

    Returns
    -------
    list of Track
        In the order of their first frames; ids count from 1.
    """
    large = [chain for chain in chains if keep(chain) and _side(chain) > settings.drop_size]
    return [chain.track(number, shape=shape) for number, chain in enumerate(large, start=1)]


def _side(chain: Chain) -> float:
    """Shorter side of a subject's largest box."""
    boxes = (detection.box for detection in chain.detections)
    return max(min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes)
