"""The summary at the end: what was detailed, at which size, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.jobs.report import TrackReport
from segs_detailer.jobs.used_settings import describe_used

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.jobs.report import ClipReport

__all__ = [
    "copied_line",
    "describe_ending",
    "describe_plan_tracks",
    "describe_report",
    "describe_times",
    "own_lines",
    "table",
]


def describe_ending(report: ClipReport) -> str:
    """One line: what was written."""
    if report.status == "skipped":
        return f"wrote nothing: {report.nothing_found}"
    if report.status == "copied":
        return f"wrote {report.output}, the clip as it is: {report.nothing_found}"
    return f"wrote {report.output}: {report.clip.describe()}"


def describe_report(report: ClipReport) -> list[str]:
    """Lines about what became of a clip."""
    lines = [describe_ending(report)]
    if report.status == "skipped":
        return lines
    if report.compare:
        same = ", which are the same" if report.status == "copied" else ""
        lines.append(f"wrote {report.compare}: before and after{same}")
    if report.copied_frames:
        lines.append(copied_line(report.copied_frames, report.clip.frames))
    if report.tracks:
        lines += _describe_tracks(report.tracks)
    lines.append(describe_times(report.seconds, report.total_seconds))
    lines += describe_used(report.used)
    if report.start:
        lines.append(report.start)
    if report.note:
        lines.append(f"note: {report.note}; name one with `model`")
    return lines


def copied_line(copied: int, frames: int) -> str:
    """One line: how much of a clip is not encoded anew."""
    return f"copied as they are: {copied} of {frames} frames ({copied / frames:.0%})"


def describe_plan_tracks(plan: ClipPlan) -> list[str]:
    """One line for each track of a plan: number, label, box, frames, crop and working size."""
    return _describe_tracks([TrackReport.of(track) for track in plan.tracks])


def _describe_tracks(tracks: Sequence[TrackReport]) -> list[str]:
    rows = [["", "label", "box", "frames", "crop", "worked on at"]]
    for track in tracks:
        x1, y1, x2, y2 = track.box
        crop, working = ("x".join(map(str, size)) for size in (track.crop, track.working_size))
        rows.append(
            [
                str(track.number),
                titled(track),
                f"{x1},{y1},{x2},{y2} ({x2 - x1}x{y2 - y1})",
                f"{track.first}-{track.last}",
                crop + (" follows" if track.moves else "") + (" turned" if track.turns else ""),
                working + ("" if track.scaled else " (not scaled)"),
            ]
        )
    return [*table(rows), *(f"  {line}" for line in own_lines(tracks))]


def titled(track: TrackReport | TrackPlan) -> str:
    """Label of a track, and its identity where that is known: face A."""
    return f"{track.label} {track.identity}".rstrip()


def own_lines(tracks: Iterable[TrackReport | TrackPlan]) -> list[str]:
    """One line for each track for which something is otherwise."""
    return [
        "; ".join([f"track {track.number} ({titled(track)}): {track.own.describe()}", *describe_used(track.used)])
        for track in tracks
        if track.own.given
    ]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of each row below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def describe_times(seconds: Mapping[str, float], total: float) -> str:
    """One line with the seconds that each stage worked, and those that went by: stages of a run go on at once."""
    parts = [f"{name} {taken:.1f} s" for name, taken in seconds.items()]
    return f"time: {total:.1f} s; at work: {', '.join(parts)}" if parts else f"time: {total:.1f} s"
