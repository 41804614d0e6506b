"""How much memory a run takes, from the sizes of everything in it.

The numbers are measured as the peak of the whole process (`VmHWM` of Linux) and rounded up, but for those of a GPU,
which are estimates; `scripts/long_clip.py` measures the whole again. They depend on nothing that differs from run to
run: a run that goes on where another was killed must cut the same pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.traits import ModelTraits

__all__ = [
    "LEAST_FRAMES",
    "StreamSizes",
    "check_cap",
    "encoder_threads",
    "most_frames",
    "program_bytes",
    "sampling_bytes",
]

LEAST_FRAMES = 8
"""Frames that can be sampled at once at least."""

MOST_FRAMES = 256
"""Frames that are sampled at once at most: what a killed run has to do again."""

_MIB = 1 << 20
_PROGRAM = 700 * _MIB
_NETWORK_LIBRARIES = 400 * _MIB
_GPU_DRIVER = 768 * _MIB
_DECODED_FRAMES = 24
"""Frames that a decoder holds: one for each of its threads, and those that others refer to."""

_ENCODED_FRAMES = 120
_ENCODED_PER_THREAD = 6
"""Frames that an encoder holds: it looks ahead, and its threads work on several. Measured with x264 and x265."""

_LARGE_FRAME = 1920 * 1088
_THREADS, _THREADS_LARGE = 8, 4

_FLOAT_RGB = 12
_CROP_STACKS = 4
_WORKING_STACKS = 5
_WORKING_STACKS_BESIDE_GPU = 4


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """What flows through the decoders and encoders of a run.

    Parameters
    ----------
    pixels : int
        Pixels of a frame.
    sample_bytes : int
        Bytes of a sample: 1, or 2 for more than 8 bits.
    outputs : int
        Frames of this size in all outputs together: 1, or 3 with a video of before and after side by side.
    threads : int or None
        Threads of each encoder; None is `encoder_threads`.
    decoders : int
        Decoders at once: 2, or 1 where what it gives serves for crops and output.
    """

    pixels: int
    sample_bytes: int = 1
    outputs: int = 1
    threads: int | None = None
    decoders: int = 2

    @property
    def bytes(self) -> int:
        """Memory that all of them take."""
        threads = encoder_threads(self.pixels) if self.threads is None else self.threads
        encoded = (_ENCODED_FRAMES + _ENCODED_PER_THREAD * threads) * self.outputs
        coded = 3 * self.pixels * self.sample_bytes * (self.decoders * _DECODED_FRAMES + encoded) // 2
        # Decoders, each with the frame as it is converted and as numbers; the frame that is pasted into; and what each
        # output makes of it.
        floats = (2 * self.decoders + 1 + 2 * self.outputs) * _FLOAT_RGB * self.pixels
        return coded + floats


def encoder_threads(pixels: int) -> int:
    """Most threads that an encoder gets by itself for frames of so many pixels: each holds several frames."""
    return _THREADS if pixels <= _LARGE_FRAME else _THREADS_LARGE


def program_bytes(traits: ModelTraits) -> int:
    """Bytes of the interpreter and the libraries, before anything is done."""
    return _PROGRAM + (_NETWORK_LIBRARIES if traits.networks else 0) + (_GPU_DRIVER if traits.on_gpu else 0)


def sampling_bytes(
    frames: int,
    crop: tuple[int, int],
    size: tuple[int, int],
    traits: ModelTraits,
    beside: Sequence[tuple[int, int]] = (),
) -> int:
    """Bytes that a piece takes while it is sampled, alone or together with others.

    Parameters
    ----------
    frames : int
        Its frames.
    crop, size : (int, int)
        Height and width of its crops, and of these while they are worked on.
    traits : ModelTraits
        The models.
    beside : sequence of (int, int)
        Crops of other pieces, of as many frames and worked on at the same size, that are sampled with it.
    """
    crops = (crop, *beside)
    pixels = sum(frames * _frame_bytes(own, size, traits) for own in crops)
    return pixels + traits.activations(size, frames, len(crops))


def _frame_bytes(crop: tuple[int, int], size: tuple[int, int], traits: ModelTraits) -> int:
    stacks = _WORKING_STACKS if traits.on_cpu else _WORKING_STACKS_BESIDE_GPU
    return (_CROP_STACKS * crop[0] * crop[1] + stacks * size[0] * size[1]) * _FLOAT_RGB


def most_frames(room: int, crop: tuple[int, int], size: tuple[int, int], traits: ModelTraits, together: int) -> int:
    """Most frames of a piece that fit a number of bytes, where so many pieces are sampled together."""
    per_frame = max(together * _frame_bytes(crop, size, traits), 1)
    return min((room - traits.activations(size, MOST_FRAMES, together)) // per_frame, MOST_FRAMES)


def check_cap(max_ram: int, needed: int, reason: str) -> None:
    """Refuse a limit that cannot be kept.

    Raises
    ------
    InvalidArgumentError
        It is too low; the message says from where on it would do.
    """
    if needed > max_ram:
        # Rounded up: the number is to be typed as it stands.
        least = -(-needed * 10 // 10**9) / 10
        got = f"{max_ram / 10**9:.1f} GB"
        raise InvalidArgumentError("max_ram", f"at least {least:.1f} GB for {reason}", got)
