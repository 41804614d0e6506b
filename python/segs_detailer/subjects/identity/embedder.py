"""What an embedder is: it makes vectors of what is seen, and those of one person or thing are near each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Embedder", "Sighting", "unit_vector"]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A subject in one frame.

    Parameters
    ----------
    frame : ndarray
        `(H, W, 3)` float32 in [0, 1]: the frame.
    box : (float, float, float, float)
        `(x1, y1, x2, y2)` in its pixels.
    landmarks : ndarray or None
        `(5, 2)`: `(x, y)` of a face's right eye, left eye, nose, right and left corner of the mouth.
    """

    frame: NDArray[np.float32]
    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64] | None = None


class Embedder(ABC):
    """Makes a vector of length 1 of what is seen."""

    @property
    @abstractmethod
    def key(self) -> Any:
        """What tells it from others, for a cache: whatever JSON can hold."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Cosine of the angle between two vectors from which on they are taken for the same, -1 to 1."""

    @property
    def link_threshold(self) -> float:
        """Likewise for links between tracks, of which a wrong one is worse than none."""
        return self.threshold

    @abstractmethod
    def serves(self, label: str) -> bool:
        """Whether it can tell what has a label from others of this label."""

    @abstractmethod
    def embed(self, sightings: Sequence[Sighting]) -> list[NDArray[np.float32] | None]:
        """Make a vector of each sighting.

        Parameters
        ----------
        sightings : sequence of Sighting
            What is seen.

        Returns
        -------
        list of ndarray or None
            `(d,)` float32 of length 1; None where there is nothing to tell by, such as a face from behind.
        """

    @abstractmethod
    def embed_picture(self, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Make a vector of what a whole picture `(H, W, 3)` float32 in [0, 1] shows; None where it is nothing."""


def unit_vector(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """Scale a vector to length 1; None for one that has none."""
    flat = np.asarray(values, np.float64).ravel()
    length = float(np.linalg.norm(flat))
    if not (np.isfinite(length) and length > 0):
        return None
    unit: NDArray[np.float32] = (flat / length).astype(np.float32)
    return unit
