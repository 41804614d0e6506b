"""A video of what a plan says: boxes, crops and masks, drawn into the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.cli.report import titled
from segs_detailer.crop_path import mask_on_frame
from segs_detailer.subjects.finders.opencv import import_cv2
from segs_detailer.subjects.track import TRACK_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.progress import Advance
    from segs_detailer.video.clip import Sink, Source

__all__ = ["write_overlay"]

_MASK_OPACITY = 0.4
# Masks of a track are made for so many frames at once.
_WINDOW = 16
# Height of letters, and width of lines, in shares of the frame's height.
_LETTERS = 1 / 40
_LINE = 1 / 360
# Height in pixels of OpenCV's plain letters at scale 1.
_LETTER_PIXELS = 22


def write_overlay(source: Source, plan: ClipPlan, sink: Sink, advance: Advance) -> int:
    """Write the clip with the plan drawn in, frame by frame.

    Thick lines are the subject's boxes, thin ones the crops; masks are tinted as strongly as they are pasted. The label
    says the track's number, its label, how much of it is pasted, and which of its pieces the frame is in.

    Parameters
    ----------
    source : Source
        The clip.
    plan : ClipPlan
        What is to be done.
    sink : Sink
        Where the frames go.
    advance : callable
        Is told how far this is.

    Returns
    -------
    int
        Number of frames that were decoded.
    """
    masks = [_Masks(track) for track in plan.tracks]
    times = plan.info.times
    step = round(1 / (plan.info.rate * plan.info.time_base)) or 1
    number = 0
    for number, picture in enumerate(source.pictures(), start=1):
        frame = number - 1
        pixels = np.empty((*plan.info.size, 3), np.float32)
        picture.copy_to(pixels)
        for track, own in zip(plan.tracks, masks, strict=True):
            if track.span[0] <= frame < track.span[1]:
                _tint(pixels, track, own, frame)
        for track in plan.tracks:
            if track.span[0] <= frame < track.span[1]:
                _outline(pixels, track, frame)
        _write(pixels, f"frame {frame}", (0, 0), (235, 235, 235))
        end = times[number] if number < len(times) else picture.start + step
        sink.write(pixels, picture.start, end, picture.alpha)
        advance(number, max(number, plan.info.frames))
    return number


class _Masks:
    """Masks of a track, asked for frame after frame."""

    def __init__(self, track: TrackPlan) -> None:
        self._track = track
        self._start = 0
        self._masks: NDArray[np.uint8] = np.empty((0, *track.path.size), np.uint8)

    def at(self, frame: int) -> NDArray[np.uint8]:
        """Return the mask of a frame within the track's span."""
        if not self._start <= frame < self._start + len(self._masks):
            self._start = frame
            self._masks = self._track.masks_of(frame, min(frame + _WINDOW, self._track.span[1]))
        mask: NDArray[np.uint8] = self._masks[frame - self._start]
        return mask


def _color(track: TrackPlan) -> tuple[float, float, float]:
    red, green, blue = TRACK_COLORS[(track.number - 1) % len(TRACK_COLORS)]
    return red / 255, green / 255, blue / 255


def _tint(pixels: NDArray[np.float32], track: TrackPlan, masks: _Masks, frame: int) -> None:
    alpha = track.alpha(frame)
    if alpha == 0:
        return
    mask = masks.at(frame).astype(np.float32) / np.float32(255)
    height, width = pixels.shape[:2]
    left, top, shown = mask_on_frame(mask, track.place(frame)[0].tolist(), (height, width))
    part = pixels[top : top + shown.shape[0], left : left + shown.shape[1]]
    weight = shown[..., None] * np.float32(_MASK_OPACITY * alpha)
    part += weight * (np.array(_color(track), np.float32) - part)


def _outline(pixels: NDArray[np.float32], track: TrackPlan, frame: int) -> None:
    cv2 = import_cv2()
    thin = max(1, round(pixels.shape[0] * _LINE))
    color = _color(track)
    x1, _, _, y2 = _whole(track.region(frame))
    # Lines run along the pixels at the edge of the crop.
    middle = np.mean(track.quad(frame), axis=0)
    inner = np.floor(track.quad(frame) - np.sign(track.quad(frame) - middle) * 0.5).astype(np.int32)
    cv2.polylines(pixels, [inner], True, color, thin)
    seen = track.track.frames
    place = (x1, y2)
    if len(seen) and seen[0] <= frame <= seen[-1]:
        left, top, right, bottom = _whole([np.interp(frame, seen, column) for column in track.track.boxes.T])
        cv2.rectangle(pixels, (left, top), (right - 1, bottom - 1), color, 3 * thin)
        place = (left, bottom + 2 * thin)
    _write(pixels, _label(track, frame), place, tuple(round(255 * value) for value in color))


def _label(track: TrackPlan, frame: int) -> str:
    text = f"{track.number} {titled(track)} x{track.scale:.2g}"
    alpha = track.alpha(frame)
    if track.path.is_turned:
        text += f" {track.angle(frame):+.0f} deg"
    if alpha < 1:
        text += f" {alpha:.0%}"
    if len(track.pieces) > 1:
        numbers = [track.pieces.index(piece) + 1 for piece in track.pieces_at(frame)]
        if numbers:
            text += f" piece {'+'.join(str(number) for number in numbers)}/{len(track.pieces)}"
    return text


def _whole(values: Sequence[Any]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(np.floor(float(value) + 0.5)) for value in values)
    return x1, y1, x2, y2


def _write(pixels: NDArray[np.float32], text: str, place: tuple[int, int], color: tuple[int, ...]) -> None:
    """Write on a dark ground, moved into the picture where it would leave it."""
    cv2 = import_cv2()
    height, width = pixels.shape[:2]
    # OpenCV's letters are ASCII.
    text = text.encode("ascii", "replace").decode()
    scale = max(0.35, height * _LETTERS / _LETTER_PIXELS)
    (across, up), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = min(max(place[0], 0), max(width - across - 4, 0))
    y = min(max(place[1], 0), max(height - up - below - 4, 0))
    cv2.rectangle(pixels, (x, y), (x + across + 4, y + up + below + 4), (0.09, 0.09, 0.1), -1)
    shade = tuple(value / 255 for value in color)
    cv2.putText(pixels, text, (x + 2, y + up + 2), cv2.FONT_HERSHEY_SIMPLEX, scale, shade, 1, cv2.LINE_AA)
