"""Writing a clip in the format that the path names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.errors import MediaError
from segs_detailer.video.container_writer import ContainerSink, can_write_container
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.local_path import output_path
from segs_detailer.video.losses import picture_losses, warn_of_losses
from segs_detailer.video.sequences import IMAGE_SUFFIXES, is_pattern

if TYPE_CHECKING:
    from pathlib import Path

    from segs_detailer.video.clip import Clip, ClipInfo, ClipKind, ReadProgress, Sink

__all__ = ["losses_as_pictures", "open_output", "write_clip", "write_frames"]

_KNOWN = ".mp4, .mov, .mkv, .webm, .avi, .gif, .apng, .webp, a folder/, or images such as frame_%04d.png"


def open_output(
    path: str | Path,
    info: ClipInfo,
    *,
    settings: EncoderSettings | None = None,
    keep_audio: bool = True,
    overwrite: bool = False,
    warn: bool = True,
) -> Sink:
    """Open an output for frames of one clip.

    Parameters
    ----------
    path : str or Path
        A video file or an animation (.gif, .apng, .webp) by its suffix, a folder, a numbered name (`frame_%04d.png`),
        or an image for one frame.
    info : ClipInfo
        The clip that the frames come from; size, times, codec, pixel format, color and sound follow it.
    settings : EncoderSettings or None
        How videos are encoded.
    keep_audio : bool
        Copy the sound of `info.path` to videos.
    overwrite : bool
        Where a folder holds the frames of an earlier run, remove them, and nothing else. A single file is replaced
        either way.
    warn : bool
        Name in one warning what of the clip a video file cannot hold; that pictures have no sound is not said here.

    Returns
    -------
    Sink
        A context manager: left without an exception it finishes the output, else it removes what was written.

    Raises
    ------
    MediaError
        The output cannot be made, or is a folder with other frames.
    InvalidArgumentError
        `path` is empty or `-`.

    Examples
    --------
    >>> from segs_detailer import iter_frames, open_clip, open_output
    >>> source = open_clip("frames/")
    >>> with open_output("darker.gif", source.info) as sink:
    ...     for index, frame in enumerate(iter_frames(source)):
    ...         sink.write(frame * 0.5, *source.info.times[index : index + 2])
    """
    path, kind = _output_kind(path, info)
    if info.path.exists() and path.exists() and path.samefile(info.path):
        raise MediaError(f"{path}: is the input itself: choose another output")
    # From video to video nothing needs Pillow.
    if kind == "images":
        from segs_detailer.video.image_files import ImageSink

        return ImageSink(path, info, overwrite=overwrite)
    if warn and info.files:
        _warn_of_profile(path, info.files[0])
    if kind == "animation":
        return _open_animation(path, info)
    sink = ContainerSink(path, info, settings or EncoderSettings(), keep_audio=keep_audio)
    if warn:
        warn_of_losses(path, sink.left_out)
    return sink


def _warn_of_profile(path: Path, image: Path) -> None:
    from segs_detailer.video.image_tags import tags_of

    if name := tags_of(image).profile_name:
        warn_of_losses(path, [f"the color profile {name}"])


def _open_animation(path: Path, info: ClipInfo) -> Sink:
    from segs_detailer.video.animated_images import AnimatedImageSink
    from segs_detailer.video.animation import AnimationSink

    return AnimationSink(path, info) if path.suffix.lower() == ".gif" else AnimatedImageSink(path, info)


def _output_kind(path: str | Path, info: ClipInfo) -> tuple[Path, ClipKind]:
    """Tell from an output's name what is written there: several frames in one .webp are an animation."""
    is_folder = str(path).endswith(("/", "\\"))
    path = output_path(path)
    suffix = path.suffix.lower()
    if is_folder or path.is_dir() or not suffix or is_pattern(path):
        return path, "images"
    if suffix in (".gif", ".apng") or (suffix == ".webp" and info.frames > 1):
        return path, "animation"
    if suffix in IMAGE_SUFFIXES:
        return path, "images"
    if not can_write_container(path):
        raise MediaError(f"{path}: files of type {suffix} cannot be written: use {_KNOWN}")
    return path, "video"


def losses_as_pictures(path: str | Path, info: ClipInfo, *, keep_audio: bool = True) -> tuple[str, ...]:
    """Name what is lost of a video in an output that holds pictures alone; nothing for other outputs.

    Parameters
    ----------
    path : str or Path
        The output.
    info : ClipInfo
        The clip.
    keep_audio : bool
        Whether its sound is wanted.
    """
    path, kind = _output_kind(path, info)
    return () if kind == "video" else picture_losses(info, keep_audio=keep_audio, keeps_times=kind == "animation")


def write_clip(
    path: str | Path,
    clip: Clip,
    *,
    settings: EncoderSettings | None = None,
    keep_audio: bool = True,
    overwrite: bool = False,
    progress: ReadProgress | None = None,
) -> None:
    """Write a whole clip; see `open_output`.

    Parameters
    ----------
    path : str or Path
        Where to.
    clip : Clip
        What to write.
    settings : EncoderSettings or None
        How videos are encoded.
    keep_audio : bool
        Copy the sound of the clip's file.
    overwrite : bool
        Replace the frames of an earlier run in a folder.
    progress : callable or None
        Called after each frame with `(frames done, frames)`.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from segs_detailer import read_clip, write_clip
    >>> clip = read_clip("frames/")
    >>> write_clip("darker.gif", replace(clip, frames=clip.frames * 0.5))
    """
    with open_output(path, clip.info, settings=settings, keep_audio=keep_audio, overwrite=overwrite) as sink:
        write_frames(sink, clip, progress=progress)


def write_frames(sink: Sink, clip: Clip, *, progress: ReadProgress | None = None) -> None:
    """Write all frames of a clip to an output that is open."""
    times = clip.info.times
    for index, frame in enumerate(clip.frames):
        alpha = None if clip.alpha is None else clip.alpha[index]
        sink.write(frame, times[index], times[index + 1], alpha)
        if progress is not None:
            progress(index + 1, len(clip.frames))
