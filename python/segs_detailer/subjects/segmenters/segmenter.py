"""What is asked of a video segmenter: it is shown a subject in one frame, and draws its mask in those that follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.subjects.association import Box
    from segs_detailer.subjects.mask import Mask

__all__ = ["FollowedSubject", "SegmenterSession", "VideoSegmenter"]


class VideoSegmenter(ABC):
    """Draws masks of subjects through shots of clips."""

    @property
    @abstractmethod
    def identity(self) -> tuple[str, ...]:
        """What tells its masks from those of another, for caches."""

    @abstractmethod
    def begin(self, frame_size: tuple[int, int]) -> SegmenterSession:
        """Begin a shot, whose frames are `(height, width)`; nothing of another shot is remembered in it."""

    def release(self) -> None:  # noqa: B027 - what holds nothing has nothing to let go
        """Let go of weights; they are loaded again when they are needed."""


class SegmenterSession(ABC):
    """One shot: its frames are counted by whoever shows them, and may be shown in any order."""

    @abstractmethod
    def picture(self, frame: NDArray[np.float32]) -> Any:
        """Reduce a frame `(H, W, 3)` float32 in [0, 1] to what the model sees of it: small enough to be kept."""

    @abstractmethod
    def prompt(self, index: int, picture: Any, box: Box) -> tuple[FollowedSubject, Mask]:
        """Show a subject.

        Parameters
        ----------
        index : int
            Number of the frame.
        picture : object
            What `picture` made of it.
        box : Box
            `(x1, y1, x2, y2)` in pixels of the frame, around the subject.

        Returns
        -------
        (FollowedSubject, Mask)
            What follows it in later frames, and its mask in this one; an empty mask shows nothing.
        """


class FollowedSubject(ABC):
    """One subject of a session. What it remembers of frames does not grow with their number."""

    @abstractmethod
    def follow(self, index: int, picture: Any) -> Mask:
        """Draw its mask in the next frame: each follows the last one that was shown; see `SegmenterSession.prompt`."""

    @abstractmethod
    def turned(self) -> FollowedSubject:
        """Return the same subject, as it was shown, to be followed in the frames before."""
