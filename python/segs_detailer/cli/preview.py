"""`segs-detailer preview`: a contact sheet of what would be detailed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from segs_detailer.cli.arguments import in_options
from segs_detailer.cli.job_options import job_of
from segs_detailer.cli.report import describe_plan_tracks, describe_times, titled
from segs_detailer.cli.stages import ShownStages
from segs_detailer.crop_path import mask_on_frame
from segs_detailer.errors import MediaError
from segs_detailer.jobs.clips import open_job_clip, plan_clip
from segs_detailer.jobs.drawing import grid, label, new_picture, to_image
from segs_detailer.subjects.track import TRACK_COLORS
from segs_detailer.video.sequences import label_of

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from segs_detailer.jobs.plan import ClipPlan, TrackPlan
    from segs_detailer.video.clip import Source

__all__ = ["preview"]

_TILE_WIDTH = 480
_MASK_TINT = np.array([1.0, 0.15, 0.3], np.float32)
_MASK_OPACITY = 0.4


def preview(args: argparse.Namespace) -> None:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = ShownStages(quiet=args.quiet)
    output = Path(args.output) if args.output else _default_output(Path(args.clip))
    # Nothing is sampled: there is no limit to keep, and nothing to go on with later.
    job = job_of(args).changed(output=None, no_cache=True, max_ram=1 << 62)
    with new_picture(output) as place:
        plan = plan_clip(job, progress=stages)
        picture = draw_sheet(open_job_clip(job), plan, stages, frames=args.shown, columns=args.columns)
        picture.save(place)
    stages.say(f"wrote {output}: {plan.info.describe()}")
    nothing = in_options(f"  nothing to detail: {plan.nothing_found}", vars(args))
    for line in describe_plan_tracks(plan) if plan.tracks else [nothing]:
        stages.say(line)
    stages.say(describe_times(stages.seconds, stages.total))


def _default_output(clip: Path) -> Path:
    return Path(f"{label_of(clip) or 'clip'}_preview.png")


def draw_sheet(source: Source, plan: ClipPlan, stages: ShownStages, *, frames: int, columns: int) -> Image.Image:
    """Contact sheet: frames with masks tinted, boxes and crop regions outlined, each track in its own color.

    Parameters
    ----------
    source : Source
        The clip; only the frames that are shown are kept.
    plan : ClipPlan
        Its tracks.
    stages : Stages
        Is told how far this is.
    frames : int
        Frames to show; more where a track would not be seen.
    columns : int
        Frames side by side.
    """
    shown = _choose_frames(plan.info.frames, [track.span for track in plan.tracks], frames)
    tiles = []
    with stages.stage("decode") as advance:
        for number, picture in enumerate(source.pictures()):
            if number in shown:
                pixels = np.empty((*plan.info.size, 3), np.float32)
                picture.copy_to(pixels)
                tiles.append(_tile(pixels, plan, number))
            advance(number + 1, max(number + 1, plan.info.frames))
    if not tiles:
        raise MediaError(f"{plan.info.path}: not one frame of it could be decoded")
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    footer = [f"{plan.info.path.name}: {plan.info.describe()}", "thick: box   thin: crop region   red: mask"]
    for track in plan.tracks:
        x1, y1, x2, y2 = track.bbox
        (first, end), number = track.span, track.number
        footer.append(f"{number} {titled(track)}: {x2 - x1}x{y2 - y1} at {x1},{y1}, frames {first} to {end - 1}")
    if not plan.tracks:
        footer.append("nothing to detail was found")
    return grid(rows, footer=footer)


def _choose_frames(count: int, spans: list[tuple[int, int]], wanted: int) -> list[int]:
    """Frames spread over the clip, and the middle one of each segment that none of them shows."""
    wanted = min(wanted, count)
    chosen = {round((i + 0.5) * count / wanted - 0.5) for i in range(wanted)}
    for first, end in spans:
        if end > first and not any(first <= frame < end for frame in chosen):
            chosen.add((first + end) // 2)
    return sorted(chosen)


def _tile(pixels: NDArray[np.float32], plan: ClipPlan, index: int) -> Image.Image:
    height, width = plan.info.size
    visible = [track for track in plan.tracks if track.span[0] <= index < track.span[1]]
    for track in visible:
        mask = track.masks_of(index, index + 1)[0].astype(np.float32) / np.float32(255)
        left, top, shown = mask_on_frame(mask, track.place(index)[0].tolist(), plan.info.size)
        part = pixels[top : top + shown.shape[0], left : left + shown.shape[1]]
        part += _MASK_OPACITY * shown[..., None] * (_MASK_TINT - part)
    scale = _TILE_WIDTH / width
    image = to_image(pixels, (_TILE_WIDTH, max(1, round(height * scale))))
    draw = ImageDraw.Draw(image)
    for track in visible:
        color = TRACK_COLORS[(track.number - 1) % len(TRACK_COLORS)]
        if track.path.is_turned:
            draw.polygon([(x * scale, y * scale) for x, y in track.quad(index)], outline=color, width=1)
        else:
            draw.rectangle(_scaled(_whole(track.region(index)), scale), outline=color, width=1)
        box = _scaled(_box(track, index), scale)
        draw.rectangle(box, outline=color, width=3)
        label(image, f"{track.number} {titled(track)}", (box[0], box[3] + 2), color=color)
    times = plan.info.times
    seconds = float((times[index] - times[0]) * plan.info.time_base)
    label(image, f"frame {index}   {seconds:.2f} s", (0, 0))
    return image


def _whole(region: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(np.floor(value + 0.5)) for value in region)
    return x1, y1, x2, y2


def _box(plan: TrackPlan, frame: int) -> tuple[int, int, int, int]:
    """Box of the subject: where it is in the frame, or all of its way for a fixed crop."""
    track = plan.track
    if plan.crop.crop == "fixed" or not len(track.frames):
        return plan.bbox
    x1, y1, x2, y2 = (float(np.interp(frame, track.frames, column)) for column in track.boxes.T)
    return _whole((x1, y1, x2, y2))


def _scaled(box: tuple[int, int, int, int], scale: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (value * scale for value in box)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)
