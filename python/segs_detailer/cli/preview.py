"""`segs-detailer preview`: a contact sheet of what would be detailed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from ..segs import mask_frames
from ..video import open_clip, read_clip
from .drawing import check_picture_path, grid, label, save_picture, to_image
from .pieces import active_span, working_size
from .report import describe_segments, describe_times
from .selecting import SegmentChooser
from .stages import Stages
from .threads import limit_threads

if TYPE_CHECKING:
    import argparse

    from ..segs import SEG, SEGS
    from ..video import Clip

__all__ = ["preview"]

_TILE_WIDTH = 480
_MASK_TINT = np.array([1.0, 0.15, 0.3], np.float32)
_MASK_OPACITY = 0.4
_COLOURS = ((255, 214, 10), (48, 209, 88), (100, 210, 255), (255, 159, 10), (191, 90, 242), (255, 105, 97))


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
    stages = Stages(quiet=args.quiet)
    limit_threads(args.threads)
    output = Path(args.output) if args.output else _default_output(Path(args.clip))
    check_picture_path(output)
    source = open_clip(args.clip, rate=args.fps)
    chooser = SegmentChooser(args, source.info)
    with stages.stage("decode") as advance:
        clip = read_clip(source, progress=advance)
    segs = chooser.choose(clip, stages)
    spans = [active_span(seg, len(clip.frames)) for seg in segs[1]]
    sizes = {"guide_size": args.guide_size, "guide_size_for": args.guide_size_for, "max_size": args.max_size}
    lines = describe_segments(segs, spans, [working_size(seg, sizes) for seg in segs[1]]) if segs[1] else []
    picture = draw_sheet(clip, segs, spans, frames=args.frames, columns=args.columns)
    save_picture(picture, output)
    stages.say(f"wrote {output}: {clip.info.describe()}")
    for line in lines or [f"  nothing to detail: {chooser.nothing_found()}"]:
        stages.say(line)
    stages.say(describe_times(stages))


def _default_output(clip: Path) -> Path:
    name = clip.name.split("%")[0].rstrip("_-. ") if "%" in clip.name else clip.stem
    return Path(f"{name or 'clip'}_preview.png")


def draw_sheet(clip: Clip, segs: SEGS, spans: list[tuple[int, int]], *, frames: int, columns: int) -> Image.Image:
    """Contact sheet: frames with masks tinted, boxes and crop regions outlined, each segment in its own colour.

    Parameters
    ----------
    clip : Clip
        The clip.
    segs : SEGS
        Its segments.
    spans : list
        First frame of each segment, and the frame after its last.
    frames : int
        Frames to show; more where a segment would not be seen.
    columns : int
        Frames side by side.
    """
    shown = _choose_frames(len(clip.frames), spans, frames)
    tiles = [_tile(clip, segs[1], spans, index) for index in shown]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    footer = [f"{clip.info.path.name}: {clip.info.describe()}", "thick: box   thin: crop region   red: mask"]
    for number, (seg, (first, end)) in enumerate(zip(segs[1], spans, strict=True), start=1):
        x1, y1, x2, y2 = seg.bbox
        footer.append(f"{number} {seg.label}: {x2 - x1}x{y2 - y1} at {x1},{y1}, frames {first} to {end - 1}")
    if not segs[1]:
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


def _tile(clip: Clip, segs: list[SEG], spans: list[tuple[int, int]], index: int) -> Image.Image:
    height, width = clip.info.size
    pixels = clip.frames[index].copy()
    visible = [(n, seg) for n, (seg, span) in enumerate(zip(segs, spans, strict=True)) if span[0] <= index < span[1]]
    for _, seg in visible:
        x1, y1, x2, y2 = seg.crop_region
        mask = mask_frames(_mask_of(seg, index, len(clip.frames)), (y2 - y1, x2 - x1), 1, like=pixels)[0]
        weight = _MASK_OPACITY * mask[..., None]
        part = pixels[y1:y2, x1:x2]
        part += weight * (_MASK_TINT - part)
    scale = _TILE_WIDTH / width
    image = to_image(pixels, (_TILE_WIDTH, max(1, round(height * scale))))
    draw = ImageDraw.Draw(image)
    for number, seg in visible:
        colour = _COLOURS[number % len(_COLOURS)]
        draw.rectangle(_scaled(seg.crop_region, scale), outline=colour, width=1)
        box = _scaled(seg.bbox, scale)
        draw.rectangle(box, outline=colour, width=3)
        label(image, f"{number + 1} {seg.label}", (box[0], box[3] + 2), colour=colour)
    seconds = float((clip.info.times[index] - clip.info.times[0]) * clip.info.time_base)
    label(image, f"frame {index}   {seconds:.2f} s", (0, 0))
    return image


def _mask_of(seg: SEG, index: int, count: int) -> Any:
    mask = seg.cropped_mask
    return mask[index] if mask is not None and mask.ndim == 3 and len(mask) == count else mask


def _scaled(box: tuple[int, int, int, int], scale: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (value * scale for value in box)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)
