"""Pixels of pieces in plain files: written frame by frame, read whole or by frame, never mapped into memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.video.partial import PartialFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PixelFile", "sample_dtype", "to_floats", "to_samples"]


def sample_dtype(bits: int) -> np.dtype[Any]:
    """Return the dtype that pixels of a clip of so many bits are kept in."""
    return np.dtype(np.uint16 if bits > 8 else np.uint8)


def to_samples(pixels: NDArray[np.float32], dtype: np.dtype[Any], *, in_place: bool = False) -> NDArray[Any]:
    """Round floats in [0, 1] to whole numbers; what lies outside is clipped. In place, `pixels` are used up."""
    white = np.float32(np.iinfo(dtype).max)
    scaled = np.multiply(pixels, white, out=pixels if in_place else None)
    scaled += np.float32(0.5)
    np.clip(scaled, 0, white, out=scaled)
    return scaled.astype(dtype)


def to_floats(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return whole numbers as floats in [0, 1]."""
    floats: NDArray[np.float32] = np.divide(samples, np.float32(np.iinfo(samples.dtype).max), dtype=np.float32)
    return floats


@dataclass(frozen=True, slots=True)
class PixelFile:
    """Frames of one size in a file, one after the other.

    Parameters
    ----------
    path : Path
        The file.
    frames : int
        Number of frames that it holds when it is complete.
    size : (int, int)
        Height and width.
    dtype : dtype
        uint8 or uint16.
    channels : int
        Samples of a pixel.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    dtype: np.dtype[Any]
    channels: int = 3

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.size[0] * self.size[1] * self.channels * self.dtype.itemsize

    @property
    def is_complete(self) -> bool:
        """Whether the file is there with all its frames."""
        try:
            return self.path.stat().st_size == self.frames * self.frame_bytes
        except OSError:
            return False

    def append(self, pixels: NDArray[Any]) -> None:
        """Write frames behind those that are there.

        Parameters
        ----------
        pixels : ndarray
            `(h, w, C)` or `(n, h, w, C)` of the file's dtype.

        Raises
        ------
        MediaError
            The disk is full, or may not be written to.
        """
        data = np.ascontiguousarray(pixels).data.cast("B")
        try:
            # Opened each time: a clip may have more subjects at once than a process may have open files.
            with self.path.open("ab", buffering=0) as file:
                while data:
                    data = data[file.write(data) :]
        except OSError as error:
            raise _failed(self.path, error) from error

    def write(self, pixels: NDArray[Any]) -> None:
        """Write all frames at once: the file is there completely or not at all, also after a power cut.

        Raises
        ------
        MediaError
            As for `append`.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with PartialFile(self.path) as place:
                replace(self, path=place).append(pixels)
                with place.open("rb+") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise error if isinstance(error, MediaError) else _failed(self.path, error) from error

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read some of the frames.

        Parameters
        ----------
        start, stop : int
            Index of the first, and of the one after the last.

        Returns
        -------
        ndarray
            `(stop - start, h, w, C)`.

        Raises
        ------
        MediaError
            They are not there.
        """
        pixels = np.empty((stop - start, *self.size, self.channels), self.dtype)
        data = pixels.data.cast("B")
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(start * self.frame_bytes)
                while data:
                    count = file.readinto(data)
                    if not count:
                        raise MediaError(f"{self.path}: was cut off while it was in use: run again")
                    data = data[count:]
        except OSError as error:
            raise error if isinstance(error, MediaError) else _failed(self.path, error) from error
        return pixels

    def remove(self) -> None:
        """Remove the file, if it is there."""
        self.path.unlink(missing_ok=True)


def _failed(path: Path, error: OSError) -> MediaError:
    reason = error.strerror or error
    return MediaError(f"{path.parent}: crops cannot be kept there ({reason}): choose another folder as `cache`")
