"""Mask videos: white is where the tracks are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.subjects.formats.mask_files import MaskFile
from segs_detailer.subjects.formats.new_files import new_file
from segs_detailer.subjects.formats.pictures import shown_mask
from segs_detailer.subjects.mask import Mask
from segs_detailer.subjects.track import Track, Tracks
from segs_detailer.video.clip import DEFAULT_RATE
from segs_detailer.video.packets import import_av
from segs_detailer.video.reading import open_clip

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

__all__ = ["read_video", "write_video"]

# Encoder by suffix. FFV1 loses nothing; the others play everywhere.
_CODECS = {".mkv": "ffv1", ".avi": "ffv1", ".mp4": "libx264", ".mov": "libx264", ".webm": "libvpx-vp9"}
_OPTIONS: dict[str, dict[str, str]] = {
    "ffv1": {},
    "libx264": {"crf": "8", "preset": "fast"},
    "libvpx-vp9": {"crf": "12", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
}
# libav's number of the range in which gray uses every value.
_FULL_RANGE = 2
_NO_COLOR = 128


def read_video(path: Path) -> Tracks:
    """Read a mask video or animation: one track, by the name of the file; see `MaskFile` for what is white.

    Raises
    ------
    MediaError
        It is missing, damaged or holds no picture.
    MissingDependencyError
        PyAV is not installed.
    """
    found = MaskFile.of_source(open_clip(path))
    found.warn("write pictures of these, and read them by format davis")
    masks = [Mask.from_pixels(levels) for levels in found.levels()]
    if not masks:
        raise MediaError(f"{path}: not one frame of it could be decoded")
    seen = [frame for frame, mask in enumerate(masks) if not mask.empty]
    shown = [masks[frame] for frame in seen]
    track = Track(1, path.stem, seen, [mask.place for mask in shown], 1.0, shown)
    return Tracks(found.size, len(masks), (track,))


def write_video(path: Path, tracks: Tracks) -> None:
    """Write a mask video, of all tracks together: .mkv and .avi without loss, .mp4, .mov and .webm for any player.

    Raises
    ------
    MediaError
        It cannot be written there.
    MissingDependencyError
        PyAV is not installed.
    """
    if tracks.frame_count == 0:
        raise MediaError(f"{path}: expected tracks of at least one frame for a video, got none")
    suffix = path.suffix.lower()
    if suffix not in _CODECS:
        raise MediaError(f"{path}: expected a video file ({', '.join(_CODECS)}), got {path.suffix or 'no suffix'}")
    av = import_av()
    with new_file(path) as place:
        try:
            with av.open(str(place), "w") as container:
                _encode(container, _CODECS[suffix], tracks)
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MediaError(f"{path}: cannot be written ({reason})") from error


def _encode(container: OutputContainer, codec: str, tracks: Tracks) -> None:
    av = import_av()
    height, width = tracks.frame_size
    stream = cast("VideoStream", container.add_stream(codec, rate=DEFAULT_RATE))
    pix_fmt = "gray" if codec == "ffv1" else "yuv444p" if height % 2 or width % 2 else "yuv420p"
    context = stream.codec_context
    context.height, context.width, context.pix_fmt = height, width, pix_fmt
    context.color_range = _FULL_RANGE
    context.options = _OPTIONS[codec]
    places = [{frame: i for i, frame in enumerate(track.frames.tolist())} for track in tracks]
    for number in range(tracks.frame_count):
        frame = av.VideoFrame.from_ndarray(_planes(_union(tracks, places, number), pix_fmt), format=pix_fmt)
        frame.pts = number
        frame.time_base = 1 / DEFAULT_RATE
        frame.color_range = _FULL_RANGE
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _planes(levels: NDArray[np.uint8], pix_fmt: str) -> NDArray[np.uint8]:
    """Put planes without color below or behind the gray one, as PyAV takes them."""
    height, width = levels.shape
    if pix_fmt == "yuv420p":
        return np.concatenate([levels, np.full((height // 2, width), _NO_COLOR, np.uint8)])
    if pix_fmt == "yuv444p":
        color = np.full((height, width), _NO_COLOR, np.uint8)
        return np.stack([levels, color, color])
    return levels


def _union(tracks: Tracks, places: list[dict[int, int]], frame: int) -> NDArray[np.uint8]:
    levels = np.zeros(tracks.frame_size, np.uint8)
    for track, own in zip(tracks, places, strict=True):
        if frame in own:
            shown_mask(tracks, track, own[frame]).paint(levels)
    return levels
