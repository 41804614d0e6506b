"""Small pictures of frames: scaled, labeled, laid out in a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segs_detailer.errors import MediaError
from segs_detailer.subjects.portraits import BACKGROUND
from segs_detailer.video.image_files import to_bytes
from segs_detailer.video.partial import PartialFile
from segs_detailer.video.sequences import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TEXT", "font", "grid", "label", "new_picture", "to_image"]

TEXT = (235, 235, 235)
_GAP = 6


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font; of a fixed size where Pillow was built without FreeType."""
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        return ImageFont.load_default()


def to_image(pixels: NDArray[np.float32], size: tuple[int, int]) -> Image.Image:
    """Picture of `(h, w, 3)` float32, scaled to `(width, height)`."""
    return Image.fromarray(to_bytes(np.ascontiguousarray(pixels))).resize(size, Image.Resampling.LANCZOS)


def label(image: Image.Image, text: str, place: tuple[float, float], *, color: tuple[int, int, int] = TEXT) -> None:
    """Write on a dark ground, moved into the picture where it would leave it."""
    draw = ImageDraw.Draw(image)
    face = font(max(11, image.height // 24))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=face)
    width, height = right - left + 6, bottom - top + 6
    x = min(max(0, place[0]), max(0, image.width - width))
    y = min(max(0, place[1]), max(0, image.height - height))
    draw.rectangle((x, y, x + width, y + height), fill=BACKGROUND)
    draw.text((x + 3 - left, y + 3 - top), text, fill=color, font=face)


def grid(rows: Sequence[Sequence[Image.Image]], *, footer: Sequence[str] = ()) -> Image.Image:
    """Pictures in rows, with lines of text below."""
    widths = [sum(image.width + _GAP for image in row) + _GAP for row in rows]
    heights = [max(image.height for image in row) + _GAP for row in rows]
    face = font(15)
    line_height = 22
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    text_width = max((int(probe.textlength(line, font=face)) + 4 * _GAP for line in footer), default=0)
    text_height = line_height * len(footer) + (2 * _GAP if footer else 0)
    sheet = Image.new("RGB", (max([*widths, text_width]), sum(heights) + _GAP + text_height), BACKGROUND)
    y = _GAP
    for row, height in zip(rows, heights, strict=True):
        x = _GAP
        for image in row:
            sheet.paste(image, (x, y))
            x += image.width + _GAP
        y += height
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(footer):
        draw.text((2 * _GAP, y + _GAP + index * line_height), line, fill=TEXT, font=face)
    return sheet


def new_picture(path: Path) -> PartialFile:
    """Open a picture before what it shows is made, while there is time to choose another name.

    Raises
    ------
    MediaError
        No picture can have the name, or the place cannot be written to.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise MediaError(f"{path}: name a picture, such as {path.with_suffix('.png').name}")
    return PartialFile(path)
