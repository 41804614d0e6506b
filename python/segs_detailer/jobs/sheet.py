"""A sheet of what a plan found: a strip of pictures for each track, so that choosing is looking."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.drawing import TEXT, font, grid, label, to_image
from segs_detailer.subjects.moments import sharpness, spread_moments
from segs_detailer.subjects.portraits import BACKGROUND, square_around
from segs_detailer.subjects.selection import size_of
from segs_detailer.subjects.track import TRACK_COLORS
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.reading import frames_at
from segs_detailer.video.sequences import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segs_detailer.jobs.plan import ClipPlan
    from segs_detailer.jobs.progress import Advance
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import Source

__all__ = [
    "PAGES",
    "SHEETS",
    "Strip",
    "Thumbnail",
    "draw_strips",
    "new_sheet",
    "save_sheet",
    "sheet_page",
    "sheet_picture",
    "write_sheet",
]

PAGES = (".html", ".htm")
SHEETS = (".png", ".jpg", ".jpeg", ".webp", *PAGES)
"""Endings of names of sheets."""

_PICTURES = 6
"""Pictures of a track, at most."""
_SIDE = 128
_TEXT_WIDTH = 250
_LINE = 18
_MOST_ROWS = 40
"""Tracks below each other in a picture; more stand in further columns."""
_DIMMED = 0.3
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture of a track.

    Parameters
    ----------
    frame : int
        The frame, from 0.
    seconds : float
        When it begins.
    image : Image
        Square, in colors.
    """

    frame: int
    seconds: float
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Strip:
    """A track, and what it looks like.

    Parameters
    ----------
    track : Track
        The track; its id is its number.
    is_meant : bool
        Whether the criteria leave it.
    thumbnails : list of Thumbnail
        In the order of their frames.
    """

    track: Track
    is_meant: bool
    thumbnails: list[Thumbnail] = field(default_factory=list)

    @property
    def color(self) -> tuple[int, int, int]:
        """The color that the track is drawn in everywhere."""
        return TRACK_COLORS[(self.track.id - 1) % len(TRACK_COLORS)]

    @property
    def facts(self) -> list[str]:
        """What there is to know of it, line by line."""
        track = self.track
        first, end = track.span
        width, height = np.median(track.boxes[:, 2:] - track.boxes[:, :2], axis=0) if len(track.boxes) else (0, 0)
        return [
            f"frames {first}-{end - 1}, seen in {len(track.frames)}" if end else "in no frame",
            f"{width:.0f}x{height:.0f} px (size {size_of(track):.0f})",
            f"score {track.confidence.mean():.2f}" if len(track.confidence) else "",
            "" if self.is_meant else "not selected",
        ]

    @property
    def title(self) -> str:
        """Its number, label and identity."""
        return f"{self.track.id}  {self.track.label}" + (f"  {self.track.identity}" if self.track.identity else "")


def new_sheet(path: str | Path) -> PartialFile:
    """Open a sheet before what it shows is made, while there is time to choose another name.

    Parameters
    ----------
    path : str or path
        A picture, or a page (.html).

    Raises
    ------
    InvalidArgumentError
        Its name is that of neither.
    MediaError
        The place cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in SHEETS:
        raise InvalidArgumentError("sheet", f"a picture or a page ({', '.join(SHEETS)})", str(path))
    return PartialFile(path)


def write_sheet(path: str | Path, source: Source, plan: ClipPlan, advance: Advance | None = None) -> None:
    """Write a sheet of the tracks of a plan.

    Parameters
    ----------
    path : str or path
        A picture, or a page that holds everything in itself (.html).
    source : Source
        The clip, as `open_clip` opens it. Frames stream through, and only those are converted that are looked at.
    plan : ClipPlan
        What `plan_clip` gave.
    advance : callable or None
        Is told how many of the frames are done, and how many there are.

    Raises
    ------
    InvalidArgumentError, MediaError
        No sheet can have the name; the clip cannot be read, the place not written to.

    Examples
    --------
    >>> from segs_detailer import open_clip, plan_clip
    >>> from segs_detailer.jobs import write_sheet
    >>> plan = plan_clip("in.mp4", find="face")  # doctest: +SKIP
    >>> write_sheet("tracks.html", open_clip("in.mp4"), plan)  # doctest: +SKIP
    """
    with new_sheet(path) as place:
        save_sheet(place, Path(path).suffix, draw_strips(source, plan, advance), plan)


def save_sheet(place: Path, suffix: str, strips: Sequence[Strip], plan: ClipPlan) -> None:
    """Write strips to a file whose name is made later.

    Parameters
    ----------
    place : Path
        Where to write.
    suffix : str
        The ending of the sheet's name.
    strips : sequence of Strip
        The strips.
    plan : ClipPlan
        The plan.
    """
    if suffix.lower() in PAGES:
        place.write_text(sheet_page(strips, plan), encoding="utf-8")
        return
    picture = sheet_picture(strips, plan)
    kinds = {".png": "PNG", ".webp": "WEBP"}
    picture.save(place, kinds.get(suffix.lower(), "JPEG"))


def draw_strips(source: Source, plan: ClipPlan, advance: Advance | None = None) -> list[Strip]:
    """Draw the pictures of all tracks that were found, over all of their lives.

    Of the moments in which a track is seen best, each is the sharpest. The clip is read once, up to the last frame that
    is wanted, and nothing is kept of it but the pictures.

    Parameters
    ----------
    source, plan, advance
        As of `write_sheet`.
    """
    meant = {track.id for track in plan.selected}
    strips = [Strip(track, track.id in meant) for track in plan.found]
    wanted: dict[int, list[tuple[int, int, int]]] = {}
    for number, strip in enumerate(strips):
        for slot, places in enumerate(spread_moments(strip.track, plan.info.size, _PICTURES)):
            for place in places:
                wanted.setdefault(int(strip.track.frames[place]), []).append((number, slot, place))
    best: dict[tuple[int, int], tuple[float, Thumbnail]] = {}
    starts = plan.info.starts
    for done, (frame, pixels) in enumerate(frames_at(source, wanted), start=1):
        for number, slot, place in wanted[frame]:
            crop = square_around(pixels, strips[number].track.boxes[place])
            sharp = sharpness(crop)
            if (number, slot) not in best or sharp > best[number, slot][0]:
                seconds = starts[frame] if frame < len(starts) else starts[-1]
                best[number, slot] = sharp, Thumbnail(frame, seconds, to_image(crop, (_SIDE, _SIDE)))
        if advance is not None:
            advance(done, len(wanted))
    for (number, _), (_, thumbnail) in sorted(best.items(), key=lambda item: item[0]):
        strips[number].thumbnails.append(thumbnail)
    return strips


def sheet_picture(strips: Sequence[Strip], plan: ClipPlan) -> Image.Image:
    """Lay strips out as one picture.

    Parameters
    ----------
    strips : sequence of Strip
        The strips.
    plan : ClipPlan
        The plan.
    """
    columns = [strips[start : start + _MOST_ROWS] for start in range(0, len(strips), _MOST_ROWS)]
    rows = []
    for place in range(min(len(strips), _MOST_ROWS)):
        beside = [column[place] for column in columns if place < len(column)]
        rows.append([image for strip in beside for image in _row(strip)])
    return grid(rows, footer=_footer(plan))


def _row(strip: Strip) -> list[Image.Image]:
    text = Image.new("RGB", (_TEXT_WIDTH, _SIDE), BACKGROUND)
    draw = ImageDraw.Draw(text)
    draw.rectangle((0, 0, 5, _SIDE), fill=strip.color)
    draw.text((14, 6), _fitted(draw, strip.title, 20), fill=strip.color, font=font(20))
    for line, fact in enumerate(strip.facts):
        draw.text((14, 38 + line * _LINE), fact, fill=TEXT, font=font(14))
    images = [_labeled(thumbnail, strip) for thumbnail in strip.thumbnails]
    images += [Image.new("RGB", (_SIDE, _SIDE), BACKGROUND)] * (_PICTURES - len(images))
    return [text, *images]


def _fitted(draw: ImageDraw.ImageDraw, text: str, size: int) -> str:
    """Cut a text so that it fits beside the pictures."""
    while len(text) > 4 and draw.textlength(text, font=font(size)) > _TEXT_WIDTH - 20:
        text = text[:-4] + "..."
    return text


def _labeled(thumbnail: Thumbnail, strip: Strip) -> Image.Image:
    image = thumbnail.image.copy()
    if not strip.is_meant:
        image = Image.blend(Image.new("RGB", image.size, BACKGROUND), image, _DIMMED)
    label(image, f"{thumbnail.frame}", (0, image.height), color=strip.color)
    return image


def _footer(plan: ClipPlan) -> list[str]:
    found = f"{len(plan.found)} found" if plan.found else plan.nothing_found or "nothing was found"
    meant = f", {len(plan.selected)} selected" if plan.steps else ""
    return [f"{plan.info.path.name}: {plan.info.describe()}", f"{found}{meant}"]


_STYLE = """
:root { color-scheme: dark }
body { margin: 1.5em; background: #18181b; color: #ebebeb; font: 15px/1.4 system-ui, sans-serif }
table { border-collapse: collapse }
td { padding: 4px 10px 4px 0; vertical-align: top; border-bottom: 1px solid #333 }
td.n { border-left: 6px solid; padding-left: 10px; font-size: 1.3em; white-space: nowrap }
tr.out { opacity: .45 }
figure { display: inline-block; margin: 0 6px 0 0; text-align: center }
figcaption { font-size: .75em; color: #aaa }
img { display: block }
code { background: #2b2b30; padding: 1px 5px; border-radius: 3px }
"""


def sheet_page(strips: Sequence[Strip], plan: ClipPlan) -> str:
    """Lay strips out as a page that holds everything in itself, and no script.

    Parameters
    ----------
    strips : sequence of Strip
        The strips.
    plan : ClipPlan
        The plan.
    """
    name = html.escape(label_of(plan.info.path) or plan.info.path.name)
    lines = [html.escape(line) for line in _footer(plan)]
    rows = "\n".join(_html_row(strip) for strip in strips)
    numbers = ",".join(str(strip.track.id) for strip in strips if strip.is_meant)
    hint = f"<p>Selected: <code>{numbers}</code></p>\n" if numbers else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}: tracks</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n<p>{'<br>'.join(lines)}</p>\n{hint}"
        f"<table>\n{rows}\n</table>\n</body>\n</html>\n"
    )


def _html_row(strip: Strip) -> str:
    red, green, blue = strip.color
    track = strip.track
    about = "<br>".join(html.escape(text) for text in (track.label, track.identity, *strip.facts) if text)
    figures = "".join(
        f'<figure><img alt="frame {each.frame}" width="{_SIDE}" height="{_SIDE}" src="{_data(each.image)}">'
        f"<figcaption>{each.frame} &middot; {each.seconds:.2f} s</figcaption></figure>"
        for each in strip.thumbnails
    )
    kind = "" if strip.is_meant else ' class="out"'
    return (
        f'<tr{kind}><td class="n" style="border-color: rgb({red}, {green}, {blue})">{track.id}</td>'
        f"<td>{about}</td><td>{figures}</td></tr>"
    )


def _data(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
