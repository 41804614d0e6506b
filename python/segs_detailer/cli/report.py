"""The summary at the end: what was detailed, at which size, and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..detailer.plan import WorkingSize
    from ..segs import SEGS
    from .stages import Stages

__all__ = ["describe_segments", "describe_times"]


def describe_segments(segs: SEGS, spans: Sequence[tuple[int, int]], sizes: Sequence[WorkingSize]) -> list[str]:
    """One line for each segment: number, label, box, frames, crop and working size."""
    rows = [["", "label", "box", "frames", "crop", "worked on at"]]
    for number, (seg, (first, end), size) in enumerate(zip(segs[1], spans, sizes, strict=True), start=1):
        x1, y1, x2, y2 = seg.bbox
        left, top, right, bottom = seg.crop_region
        working = f"{size.width}x{size.height}" + ("" if size.scaled else " (not scaled)")
        rows.append(
            [
                str(number),
                str(seg.label),
                f"{x1},{y1},{x2},{y2} ({x2 - x1}x{y2 - y1})",
                f"{first}-{end - 1}" if end > first else "none",
                f"{right - left}x{bottom - top}",
                working,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def describe_times(stages: Stages) -> str:
    """One line with the seconds of each stage."""
    parts = [f"{name} {seconds:.1f} s" for name, seconds in stages.seconds.items()]
    return f"time: {', '.join(parts)}, total {stages.total:.1f} s"
