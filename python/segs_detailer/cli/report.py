"""The summary at the end: what was detailed, at which size, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.cli.stages import Stages
    from segs_detailer.jobs.plan import TrackPlan

__all__ = ["INTERLACED", "describe_times", "describe_tracks", "table"]


INTERLACED = (
    "the clip is interlaced: subjects are sampled across its fields, which show two moments: deinterlace it first "
    "where they move fast"
)
"""What a user should know of a clip whose frames hold two moments each."""


def describe_tracks(tracks: Sequence[TrackPlan]) -> list[str]:
    """One line for each track: number, label, box, frames, crop and working size."""
    rows = [["", "label", "box", "frames", "crop", "worked on at"]]
    for plan in tracks:
        x1, y1, x2, y2 = plan.bbox
        first, end = plan.span
        height, width = plan.path.size
        moves = bool((plan.path.regions != plan.path.regions[0]).any())
        working = f"{plan.size[1]}x{plan.size[0]}" + ("" if plan.scaled else " (not scaled)")
        rows.append(
            [
                str(plan.number),
                plan.label,
                f"{x1},{y1},{x2},{y2} ({x2 - x1}x{y2 - y1})",
                f"{first}-{end - 1}",
                f"{width}x{height}" + (" follows" if moves else ""),
                working,
            ]
        )
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the cells of each row below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def describe_times(stages: Stages) -> str:
    """One line with the seconds of each stage. Stages of a run overlap: together they take less than their sum."""
    parts = [f"{name} {seconds:.1f} s" for name, seconds in stages.seconds.items()]
    return f"time: {', '.join(parts)}, total {stages.total:.1f} s"
