"""The sound of a clip as samples, for models that hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

from segs_detailer.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_samples"]

_BEFORE = 1.0
"""Seconds that decoding begins earlier: the first packets after a seek may need those before them."""


def read_samples(path: Path, rate: int, start: float, seconds: float) -> NDArray[np.float32]:
    """Read a stretch of a file's first sound, resampled by libswresample.

    Parameters
    ----------
    path : Path
        The file.
    rate : int
        Samples per second that are wanted.
    start : float
        Where the stretch begins, in seconds of the file's clock.
    seconds : float
        Its length.

    Returns
    -------
    ndarray
        `(2, round(seconds * rate))` float32 in [-1, 1]; silence where the file has no sound.

    Raises
    ------
    MediaError
        The file has no sound, or it cannot be decoded.
    """
    out = np.zeros((2, round(seconds * rate)), np.float32)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: there is no sound to follow")
            stream = container.streams.audio[0]
            container.seek(max(round((start - _BEFORE) * 1_000_000), 0), backward=True)
            # libswresample would make one channel quieter on its way to two.
            layout = "mono" if stream.channels == 1 else "stereo"
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            place: int | None = None
            for frame in container.decode(stream):
                if frame.time is not None and place is None:
                    place = round((frame.time - start) * rate)
                for part in resampler.resample(frame):
                    place = _put(out, part.to_ndarray(), place or 0)
                if place is not None and place >= out.shape[1]:
                    return _limited(out)
            for part in resampler.resample(None):
                place = _put(out, part.to_ndarray(), place or 0)
    except av.error.FFmpegError as error:
        raise MediaError(f"{path}: the sound cannot be read ({error.strerror})") from error
    return _limited(out)


def _put(out: NDArray[np.float32], samples: NDArray[Any], place: int) -> int:
    """Copy samples to where they belong, as far as that is wanted, and return where the next ones belong."""
    end = place + int(samples.shape[1])
    low, high = max(place, 0), min(end, out.shape[1])
    if low < high:
        out[:, low:high] = samples[:, low - place : high - place]
    return end


def _limited(out: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep peaks that resampling adds within the range."""
    return np.clip(out, -1, 1, out=out)
