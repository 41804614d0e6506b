"""What a clip is: its description, its frames, and what reads and writes it frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from segs_detailer.video.color import ColorTags

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.video.frame_metadata import HdrMetadata, Interlacing
    from segs_detailer.video.packets import Joins
    from segs_detailer.video.planes import CodedFrame

__all__ = ["DEFAULT_RATE", "Clip", "ClipInfo", "ClipKind", "Picture", "ReadProgress", "Sink", "Source"]

ClipKind: TypeAlias = Literal["video", "images", "animation"]
"""A container with a video stream, one or more image files, or one file that holds an animation (GIF, APNG, WebP)."""

ReadProgress: TypeAlias = Callable[[int, int], None]
"""Called after each frame with `(frames done, frames expected)`. It may raise to cancel."""

DEFAULT_RATE = Fraction(24)
"""Frames per second of image files, which do not say."""


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """Everything about a clip but its pixels: enough to write another clip like it.

    Parameters
    ----------
    path : Path
        Where it was read from: a file, a folder, or a pattern.
    kind : ClipKind
        What is there.
    size : tuple of int
        `(height, width)` as shown, after rotation.
    times : tuple of int
        Start of each frame, then the end of the last one, in units of `time_base`: one more than there are frames.
    time_base : Fraction
        Seconds.
    rate : Fraction
        Frames per second; the mean where `constant_rate` is false.
    constant_rate : bool
        Each frame starts where `rate` puts it, within the precision of the file's time stamps.
    codec, pix_fmt : str or None
        Names as libav knows them; None for images.
    color : ColorTags
        Matrix, range, primaries and transfer.
    bits : int
        Bits per sample.
    sample_aspect_ratio : Fraction
        Width of a pixel divided by its height.
    audio_streams, subtitle_streams : int
        Number of such streams in the file.
    names : tuple of str
        File name of each image, for `kind` "images"; also of those that are missing and filled.
    files : tuple of Path
        File that each image is read from. Where a missing one is filled, it is that of the image before.
    first_number : int
        Number of the first file of a numbered sequence.
    plays : int
        How often an animation is shown; 0 is for ever.
    origin : Fraction
        Second of the file's clock that becomes 0 in an output. Recordings and transport streams begin anywhere; what
        begins within the first second of its file keeps its place in it.
    sound_start : Fraction or None
        When the first packet of sound begins, in seconds of the file's clock; None without sound.
    interlacing : Interlacing or None
        How fields follow each other; None for progressive video.
    hdr : HdrMetadata or None
        Mastering display and light levels.
    not_carried : tuple of str
        What belongs to the picture and is in no output.
    joins : Joins
        Where clocks start anew within the file.
    """

    path: Path
    kind: ClipKind
    size: tuple[int, int]
    times: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    constant_rate: bool = True
    codec: str | None = None
    pix_fmt: str | None = None
    color: ColorTags = field(default_factory=ColorTags)
    bits: int = 8
    sample_aspect_ratio: Fraction = Fraction(1)
    audio_streams: int = 0
    subtitle_streams: int = 0
    names: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    first_number: int = 1
    plays: int = 0
    origin: Fraction = Fraction(0)
    sound_start: Fraction | None = None
    interlacing: Interlacing | None = None
    hdr: HdrMetadata | None = None
    not_carried: tuple[str, ...] = ()
    joins: Joins = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times) - 1

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return float((self.times[-1] - self.times[0]) * self.time_base)

    @property
    def starts(self) -> tuple[float, ...]:
        """When each frame begins, in seconds from the first."""
        return tuple(float((time - self.times[0]) * self.time_base) for time in self.times[:-1])

    @property
    def interlaced(self) -> bool:
        """Whether each frame holds two fields of different moments."""
        return self.interlacing is not None

    def describe(self) -> str:
        """One line, such as `1920x1080, 270 frames at 29.97 fps, h264 yuv420p, 1 audio stream`."""
        height, width = self.size
        count = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        rate = f" at {float(self.rate):.5g} fps" + ("" if self.constant_rate else " (variable)")
        parts = [f"{width}x{height}", count + (rate if self.frames > 1 else "")]
        if self.codec:
            parts.append(f"{self.codec} {self.pix_fmt}" + (", interlaced" if self.interlaced else ""))
        for kind, number in (("audio", self.audio_streams), ("subtitle", self.subtitle_streams)):
            if number:
                parts.append(f"1 {kind} stream" if number == 1 else f"{number} {kind} streams")
        return ", ".join(parts)


@dataclass(slots=True)
class Clip:
    """A whole clip in memory.

    Parameters
    ----------
    info : ClipInfo
        Its description.
    frames : ndarray
        `(B, H, W, 3)` float32 in [0, 1].
    alpha : ndarray or None
        `(B, H, W)` uint8, or uint16 from more than 8 bits, where the images are partly transparent: carried along,
        never changed.
    """

    info: ClipInfo
    frames: NDArray[np.float32]
    alpha: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame that is decoded but not yet converted.

    Parameters
    ----------
    copy_to : callable
        Writes the pixels to an array `(H, W, 3)` float32 in [0, 1].
    start : int
        Time stamp in units of the clip's time base.
    alpha : ndarray or None
        `(H, W)` uint8, or uint16 from more than 8 bits, where the picture is partly transparent.
    reduced_to : callable or None
        Gives the picture reduced to a size `(h, w)` as `(h, w, 3)` uint8, in a fraction of the time that all of it
        takes; None where nothing is saved.
    coded : CodedFrame or None
        The frame as its decoder gave it, of which single regions can be converted and which an encoder may take as it
        is; None for images, and where it is turned in a way that moves its chroma off their grid.
    """

    copy_to: Callable[[NDArray[np.float32]], None]
    start: int
    alpha: NDArray[Any] | None = None
    reduced_to: Callable[[tuple[int, int]], NDArray[np.uint8]] | None = None
    coded: CodedFrame | None = None


class Source(Protocol):
    """Reads a clip frame by frame, any number of times."""

    @property
    def info(self) -> ClipInfo:
        """Description; the number of frames is what the file promises."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """Decode from the start."""
        ...


class Sink(Protocol):
    """Writes a clip frame by frame.

    Left with an exception it removes what was written; left without one it finishes the file.
    """

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of a video the output cannot hold; that pictures have no sound is not among it."""
        ...

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[Any] | None = None) -> None:
        """Append one frame `(H, W, 3)` float32, shown from `start` to `end` in units of the clip's time base."""
        ...

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
