"""Checking files: both clips are decoded side by side, and never held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.errors import MediaError
from segs_detailer.subjects.track import Tracks
from segs_detailer.verify.frames import FrameChecker
from segs_detailer.verify.report import Finding, Report
from segs_detailer.verify.settings import VerifySettings
from segs_detailer.verify.subjects import Subject, subjects_of
from segs_detailer.video.reading import iter_frames, open_clip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from segs_detailer.video.clip import ClipInfo, ReadProgress, Source

__all__ = ["verify_clips"]

# Animations know hundredths of a second, and round the duration of each frame.
_ANIMATION_ROUNDING = 0.011
# The decoder's delay, which formats of sound count differently.
_SOUND_ROUNDING = 0.011


def verify_clips(
    before: str | Path | Source,
    after: str | Path | Source,
    *,
    tracks: Tracks | Sequence[Subject] | None = None,
    settings: VerifySettings | None = None,
    rate: Fraction | None = None,
    expect_audio: bool = True,
    progress: ReadProgress | None = None,
) -> Report:
    """Compare a detailed clip with its input.

    Parameters
    ----------
    before, after : str, Path or Source
        The input and the output.
    tracks : Tracks or sequence of Subject or None
        What was to be changed: of as many frames as the clip, or of one that serves for all; of another size they are
        scaled. None reports the area that changed.
    settings : VerifySettings or None
        What counts as a fault.
    rate : Fraction or None
        Frames per second of image files, which do not say; None is 24.
    expect_audio : bool
        Whether the output should have the input's sound.
    progress : callable or None
        Called after each frame with `(frames done, frames expected)`.

    Returns
    -------
    Report

    Raises
    ------
    MediaError
        A clip cannot be read; tracks of another number of frames.
    MissingDependencyError
        PyAV or OpenCV is not installed.
    """
    settings = settings or VerifySettings()
    source, result = _opened(before, rate), _opened(after, rate)
    old, new = source.info, result.info
    names = (str(old.path), str(new.path))
    findings = _header_findings(old, new, expect_audio=expect_audio)
    if old.size != new.size:
        return Report(*names, 0, tuple(findings))
    checker = FrameChecker(old.size, _subjects(tracks, old, settings), settings)
    counts = _compare(source, result, checker, progress)
    if counts[0] != counts[1]:
        findings.append(Finding("count", f"holds {counts[1]} frames for the input's {counts[0]}"))
    return checker.report(*names, findings)


def _subjects(
    tracks: Tracks | Sequence[Subject] | None, info: ClipInfo, settings: VerifySettings
) -> Sequence[Subject] | None:
    if not isinstance(tracks, Tracks):
        return tracks
    if tracks.frame_count not in (1, info.frames):
        raise MediaError(
            f"tracks: hold {tracks.frame_count} frames for {info.frames} frames: give them for one frame, or for each"
        )
    return subjects_of(tracks, info.size, info.frames, max_gap=settings.max_gap)


def _opened(clip: str | Path | Source, rate: Fraction | None) -> Source:
    return open_clip(clip, rate=rate) if isinstance(clip, (str, Path)) else clip


def _compare(before: Source, after: Source, checker: FrameChecker, progress: ReadProgress | None) -> tuple[int, int]:
    """Compare what both have, and return how many frames each has."""
    count = before.info.frames
    old, new = iter_frames(before), iter_frames(after)
    done = [0, 0]
    for first in old:
        done[0] += 1
        second = next(new, None)
        if second is None:
            break
        done[1] += 1
        checker.add(np.ascontiguousarray(first), np.ascontiguousarray(second))
        if progress is not None:
            progress(done[1], max(count, done[1]))
    return done[0] + _rest(old), done[1] + _rest(new)


def _rest(frames: Iterator[object]) -> int:
    return sum(1 for _ in frames)


def _header_findings(before: ClipInfo, after: ClipInfo, *, expect_audio: bool) -> list[Finding]:
    findings = []
    if before.size != after.size:
        sizes = [f"{width}x{height}" for height, width in (before.size, after.size)]
        findings.append(Finding("size", f"is of {sizes[1]} pixels, the input of {sizes[0]}"))
    if before.kind != "images" and after.kind != "images" and before.frames == after.frames:
        findings += _time_findings(before, after)
    if expect_audio and after.kind == "video" and after.audio_streams < before.audio_streams:
        findings.append(Finding("sound", f"has {after.audio_streams} audio streams, the input {before.audio_streams}"))
    return findings


def _time_findings(before: ClipInfo, after: ClipInfo) -> list[Finding]:
    starts = [_seconds(info) for info in (before, after)]
    off = np.abs(starts[1] - starts[0])
    rounding = _time_rounding(before, after)
    allowed = np.full(len(off), rounding)
    # Few formats keep how long the last frame is shown.
    allowed[-1] = max(rounding, _ANIMATION_ROUNDING, 0.5 * float(np.diff(starts[0]).min()))
    found = []
    if (off > allowed).any():
        frame = int((off - allowed).argmax())
        text = f"shows frame {frame} at {starts[1][frame]:.3f} s, the input at {starts[0][frame]:.3f} s"
        found.append(Finding("times", text, frames=(frame,)))
    return found + _sound_findings(before, after, rounding)


def _time_rounding(before: ClipInfo, after: ClipInfo) -> float:
    """Seconds by which a time may be off: a tick of the coarser clock."""
    tick = float(max(before.time_base, after.time_base))
    return max(tick, _ANIMATION_ROUNDING) if "animation" in (before.kind, after.kind) else tick


def _sound_findings(before: ClipInfo, after: ClipInfo, allowed: float) -> list[Finding]:
    lags = [_sound_lag(info) for info in (before, after)]
    if lags[0] is None or lags[1] is None or abs(lags[1] - lags[0]) <= allowed + _SOUND_ROUNDING:
        return []
    return [Finding("times", f"begins its sound {lags[1]:+.3f} s after its picture, the input {lags[0]:+.3f} s")]


def _sound_lag(info: ClipInfo) -> float | None:
    """Seconds from the first frame to the first sound."""
    return None if info.sound_start is None else float(info.sound_start - info.times[0] * info.time_base)


def _seconds(info: ClipInfo) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return when each frame starts and the last one ends, in seconds from the first."""
    times = np.array([time - info.times[0] for time in info.times], np.float64)
    return times * float(info.time_base)
