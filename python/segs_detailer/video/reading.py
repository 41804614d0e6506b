"""Reading any clip: a video file, image files or an animation."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.clip import Clip, ClipInfo, Picture, ReadProgress, Source
from segs_detailer.video.container_reader import ContainerSource
from segs_detailer.video.local_path import local_path
from segs_detailer.video.sequences import IMAGE_SUFFIXES, names_several
from segs_detailer.video.transparency import with_depth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

__all__ = ["frames_at", "iter_frames", "iter_pictures", "open_clip", "pictures_in", "read_clip"]

_ANIMATION_SUFFIXES = (".gif", ".apng", ".webp", ".png")
_GROWTH = 16


def open_clip(
    path: str | Path, *, rate: Fraction | None = None, fill_gaps: bool = False, hwaccel: str | None = None
) -> Source:
    """Open a clip and learn what it holds, without decoding it.

    Parameters
    ----------
    path : str or Path
        A video file, an animated or plain image, a folder of images, a numbered name (`frame_%04d.png`) or a wildcard
        (`*.png`).
    rate : Fraction or None
        Frames per second of image files, which do not say; None is 24.
    fill_gaps : bool
        Where a number is missing among numbered image files, show the frame before again; else that is an error.
    hwaccel : str or None
        Kind of device that decodes a video: cuda, vaapi, qsv, videotoolbox, d3d11va, ...; None decodes in software.

    Returns
    -------
    Source

    Raises
    ------
    InvalidArgumentError
        `hwaccel` for what is no video, a device that this PyAV or this machine does not have, or that cannot decode the
        file.
    MediaError
        It is missing, empty, damaged or not a clip.
    MissingDependencyError
        It is a video and PyAV is not installed.

    Examples
    --------
    >>> from segs_detailer import open_clip
    >>> source = open_clip("frames/")
    >>> source.info.kind, source.info.frames, source.info.size
    ('images', 3, (48, 64))
    """
    path = local_path(path)
    suffix = path.suffix.lower()
    is_several = path.is_dir() or names_several(path)
    if not (is_several or path.exists()):
        raise MediaError(f"{path}: no such file")
    # Videos are read without Pillow.
    if suffix in _ANIMATION_SUFFIXES and not is_several:
        from segs_detailer.video.animation import AnimationSource, is_animation

        if is_animation(path):
            _check_software(hwaccel, path)
            return AnimationSource(path)
    if is_several or suffix in IMAGE_SUFFIXES:
        from segs_detailer.video.image_files import ImageSource

        _check_software(hwaccel, path)
        return ImageSource(path, rate, fill_gaps=fill_gaps)
    return ContainerSource(path, hwaccel)


def _check_software(hwaccel: str | None, path: Path) -> None:
    """Refuse a device for pictures."""
    if hwaccel is not None:
        raise InvalidArgumentError("hwaccel", f"none for pictures, as {path.name} is", hwaccel)


def iter_frames(source: Source) -> Iterator[NDArray[np.float32]]:
    """Frames of a clip one by one, each a new array `(H, W, 3)` float32 in [0, 1].

    Examples
    --------
    >>> from segs_detailer import iter_frames, open_clip
    >>> [frame.shape for frame in iter_frames(open_clip("frames/"))]
    [(48, 64, 3), (48, 64, 3), (48, 64, 3)]
    """
    for picture in source.pictures():
        frame = np.empty((*source.info.size, 3), np.float32)
        picture.copy_to(frame)
        yield frame


def frames_at(source: Source, numbers: Iterable[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Read some frames of a clip, in their order, and nothing after the last.

    Of image files only these are read. A video is decoded from the key frames before them on, and only they are
    converted.

    Parameters
    ----------
    source : Source
        What `open_clip` gave.
    numbers : iterable of int
        Frames, from 0; those that there are not are passed over.

    Yields
    ------
    (int, ndarray)
        A number, and its frame `(H, W, 3)` float32 in [0, 1], a new array.

    Examples
    --------
    >>> from segs_detailer import open_clip
    >>> from segs_detailer.video import frames_at
    >>> [(number, frame.shape) for number, frame in frames_at(open_clip("frames/"), (2, 0))]
    [(0, (48, 64, 3)), (2, (48, 64, 3))]
    """
    for number, picture in pictures_in(source, ((number, number + 1) for number in set(numbers))):
        frame = np.empty((*source.info.size, 3), np.float32)
        picture.copy_to(frame)
        yield number, frame


def pictures_but(source: Source, needed: Sequence[bool]) -> Iterator[Picture]:
    """Read a clip without decoding what nobody looks at.

    Parameters
    ----------
    source : Source
        What `open_clip` gave.
    needed : sequence of bool
        Of each frame that the file promises, whether anybody looks at it. In place of the others come pictures with a
        time alone; but a clip that ends before frames that are needed ends here, too.
    """
    count, times = len(needed), source.info.times
    runs = [(is_needed, list(numbers)) for is_needed, numbers in groupby(range(count), needed.__getitem__)]
    spans = [(numbers[0], numbers[-1] + 1) for is_needed, numbers in runs if is_needed]
    done = 0
    for number, picture in pictures_in(source, spans):
        yield from (Picture(_not_read, times[place]) for place in range(done, number))
        yield picture
        done = number + 1
    if not spans or done >= spans[-1][1]:
        yield from (Picture(_not_read, times[place]) for place in range(done, count))


def _not_read(_: NDArray[np.float32]) -> None:
    raise ValueError("a frame that nobody was to look at was not read")


def pictures_in(source: Source, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Picture]]:
    """Read the frames in some spans of a clip, in their order.

    Of image files only these are read. A video is decoded from the key frames before them on.

    Parameters
    ----------
    source : Source
        What `open_clip` gave.
    spans : iterable of (int, int)
        First frame, from 0, and the frame after the last, of each; frames that there are not are passed over.

    Yields
    ------
    (int, Picture)
        A number, and its picture.

    Examples
    --------
    >>> from segs_detailer import open_clip
    >>> from segs_detailer.video.reading import pictures_in
    >>> [number for number, _ in pictures_in(open_clip("frames/"), [(0, 1), (2, 9)])]
    [0, 2]
    """
    wanted = [(max(first, 0), stop) for first, stop in spans if stop > max(first, 0)]
    if not wanted:
        return
    if isinstance(source, ContainerSource):
        yield from source.pictures_in(wanted)
        return
    if source.info.kind == "images":
        from segs_detailer.video.image_files import ImageSource

        if isinstance(source, ImageSource):
            numbers = {number for first, stop in wanted for number in range(first, min(stop, source.info.frames))}
            yield from ((number, source.picture(number)) for number in sorted(numbers))
            return
    end = max(stop for _, stop in wanted)
    for number, picture in enumerate(source.pictures()):
        if any(first <= number < stop for first, stop in wanted):
            yield number, picture
        if number + 1 >= end:
            return


def iter_pictures(source: Source, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Frames of a clip one by one, each reduced to a size `(h, w)` no larger than theirs: `(h, w, 3)` uint8.

    Of a video that takes a fraction of the time of whole frames.

    Examples
    --------
    >>> from segs_detailer import open_clip
    >>> from segs_detailer.video.reading import iter_pictures
    >>> [picture.shape for picture in iter_pictures(open_clip("frames/"), (24, 32))]
    [(24, 32, 3), (24, 32, 3), (24, 32, 3)]
    """
    from PIL import Image

    for picture in source.pictures():
        if picture.reduced_to is not None:
            yield picture.reduced_to(size)
            continue
        whole = np.empty((*source.info.size, 3), np.float32)
        picture.copy_to(whole)
        pixels = (whole * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
        yield np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BOX))


def read_clip(source: Source | str | Path, *, progress: ReadProgress | None = None) -> Clip:
    """Read a whole clip to memory, held once as float32.

    Parameters
    ----------
    source : Source or str or Path
        What `open_clip` gave, or what it takes.
    progress : callable or None
        Called after each frame with `(frames done, frames expected)`.

    Returns
    -------
    Clip

    Raises
    ------
    MediaError
        It cannot be read, or does not fit into memory.

    Examples
    --------
    >>> from segs_detailer import read_clip
    >>> clip = read_clip("frames/")
    >>> clip.frames.shape, clip.info.rate
    ((3, 48, 64, 3), Fraction(24, 1))
    """
    if isinstance(source, (str, Path)):
        source = open_clip(source)
    info = source.info
    try:
        frames = np.empty((info.frames, *info.size, 3), np.float32)
    except MemoryError as error:
        gigabytes = info.frames * info.size[0] * info.size[1] * 12 / 1e9
        raise MediaError(f"{info.path}: needs {gigabytes:.0f} GB of memory: cut the clip into parts") from error
    alphas: dict[int, NDArray[Any]] = {}
    starts: list[int] = []
    for index, picture in enumerate(source.pictures()):
        if index == len(frames):
            # numpy reallocates in place, so that the frames are not held twice.
            frames.resize((index + _GROWTH, *frames.shape[1:]), refcheck=False)
        picture.copy_to(frames[index])
        starts.append(picture.start)
        if picture.alpha is not None:
            alphas[index] = picture.alpha
        if progress is not None:
            progress(index + 1, info.frames)
    if not starts:
        raise MediaError(f"{info.path}: not one frame of it could be decoded")
    if len(starts) != len(frames):
        frames.resize((len(starts), *frames.shape[1:]), refcheck=False)
    return Clip(info=_with_times(info, starts), frames=frames, alpha=_alpha_stack(alphas, frames.shape[:3]))


def _with_times(info: ClipInfo, starts: list[int]) -> ClipInfo:
    """Return the description with the times of the frames that were really decoded."""
    if len(starts) == info.frames and tuple(starts) == info.times[:-1]:
        return info
    step = round(1 / (info.rate * info.time_base)) or 1
    return replace(info, times=(*starts, max(info.times[-1], starts[-1] + step)))


def _alpha_stack(alphas: dict[int, NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any] | None:
    if not alphas:
        return None
    dtype = max((alpha.dtype for alpha in alphas.values()), key=lambda each: each.itemsize)
    stack = np.full(shape, np.iinfo(dtype).max, dtype)
    for index, alpha in alphas.items():
        stack[index] = with_depth(alpha, dtype)
    return stack
