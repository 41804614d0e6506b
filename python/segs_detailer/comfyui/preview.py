"""The preview node: frames with the segments' boxes, regions and masks drawn in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from segs_detailer.comfyui.inputs import frames_input, int_input, segs_input
from segs_detailer.comfyui.pictures import saved_pictures
from segs_detailer.crop_path import CropPath, mask_on_frame, place_of, quad_at, region_at
from segs_detailer.detailer.crops import check_frames, check_paths
from segs_detailer.nodes.declaration import Node, Output, Shown
from segs_detailer.segs import mask_frames, scale_match, warn_about_counts
from segs_detailer.subjects.track import TRACK_COLORS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS, Box

__all__ = ["PREVIEW_NODES", "draw_segments", "preview_segments"]

_MASK_TINT = np.array([1.0, 0.15, 0.3], np.float32)
_MASK_OPACITY = 0.4
# Lines and letters grow with the picture: shares of its shorter side.
_LINE = 1 / 250
_LETTERS = 1 / 30
_LEAST_LETTERS = 10


def preview_segments(image_frames: Tensor, segs: SEGS, max_images: int = 4) -> Shown:
    """Draw segments into frames spread over the clip.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1].
    segs : SEGS
        The segments; rescaled where they were made for another frame size.
    max_images : int
        Frames to show, from 1.

    Returns
    -------
    Shown
        The pictures, `(N, H, W, 3)`; in ComfyUI also as images on the node.
    """
    check_frames("image_frames", image_frames)
    matched = scale_match(segs, image_frames.shape)
    count = image_frames.shape[0]
    check_paths(matched, count)
    warn_about_counts(matched, count)
    shown = min(max_images, count)
    places = [round((place + 0.5) * count / shown - 0.5) for place in range(shown)]
    pictures = [draw_segments(image_frames[place].cpu().numpy(), matched[1], place, count) for place in places]
    if not pictures:
        return Shown((image_frames[..., :3],), {"images": []})
    stack = torch.from_numpy(np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures]))
    return Shown((stack.to(image_frames.device),), {"images": saved_pictures(pictures, "segs_preview")})


def draw_segments(frame: NDArray[np.float32], segs: list[SEG], index: int, count: int) -> Image.Image:
    """Draw masks as a red tint, bounding boxes thick, crop regions thin, each segment in its own color.

    Crop regions that move and turn are drawn where they are in the frame, with their box; nothing is drawn of a segment
    that is not shown there.

    Parameters
    ----------
    frame : ndarray
        `(H, W, 3 or 4)` float32 in [0, 1].
    segs : list of SEG
        Segments in the frame's size.
    index, count : int
        Which frame of how many: chooses the mask where there is one for each.

    Returns
    -------
    Image
        RGB.
    """
    pixels = frame[..., :3].copy()
    shown = [(number, _in_frame(seg, index)) for number, seg in enumerate(segs) if _is_shown(seg, index)]
    for number, _ in shown:
        _tint(pixels, segs[number], index, count)
    image = Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    line = max(1, round(min(image.size) * _LINE))
    letters = _font(max(_LEAST_LETTERS, round(min(image.size) * _LETTERS)))
    for number, seg in shown:
        color = TRACK_COLORS[number % len(TRACK_COLORS)]
        region = segs[number].crop_region
        if isinstance(region, CropPath) and region.is_turned:
            draw.polygon(quad_at(region, index), outline=color, width=line)
        else:
            _outline(draw, seg.crop_region, color, line)
        _outline(draw, seg.bbox, color, 3 * line)
        place = (max(seg.bbox[0], 0) + 4 * line, max(seg.bbox[1], 0) + 4 * line)
        draw.text(place, f"{number + 1} {seg.label}", fill=color, font=letters, stroke_width=line, stroke_fill=0)
    return image


def _is_shown(seg: SEG, index: int) -> bool:
    region = seg.crop_region
    return not isinstance(region, CropPath) or bool(region.alpha[index] > 0)


def _in_frame(seg: SEG, index: int) -> SEG:
    """Return a segment that moves as it is in one frame: its box goes along with its crop region."""
    region = region_at(seg.crop_region, index)
    across, down = region[0] - seg.crop_region[0], region[1] - seg.crop_region[1]
    x1, y1, x2, y2 = seg.bbox
    return seg._replace(crop_region=region, bbox=(x1 + across, y1 + down, x2 + across, y2 + down))


def _tint(pixels: NDArray[np.float32], seg: SEG, index: int, count: int) -> None:
    x1, y1, x2, y2 = seg.crop_region
    masks = mask_frames(seg.cropped_mask, (y2 - y1, x2 - x1), count, like=np.empty(0, np.float32))
    mask = masks[index if len(masks) == count else 0]
    region = seg.crop_region
    place = place_of(region.part(index, index + 1))[0] if isinstance(region, CropPath) else region
    # What passes the frame is not drawn.
    left, top, shown = mask_on_frame(mask, place, (pixels.shape[0], pixels.shape[1]))
    part = pixels[top : top + shown.shape[0], left : left + shown.shape[1]]
    part += _MASK_OPACITY * shown[..., None] * (_MASK_TINT - part)


def _outline(draw: ImageDraw.ImageDraw, box: Box, color: tuple[int, int, int], width: int) -> None:
    x1, y1, x2, y2 = box
    if x2 > x1 and y2 > y1:
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=color, width=width)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        # Pillow was built without FreeType.
        return ImageFont.load_default()


PREVIEW_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerPreview",
        display_name="SEGS Preview (boxes, regions, masks)",
        description="Shows frames with the segments drawn in: masks red, bounding boxes thick, crop regions thin.",
        search_aliases=("SEGSPreview", "show segments", "debug masks", "bounding boxes"),
        inputs=(
            frames_input(),
            segs_input(),
            int_input("max_images", "How many frames are shown, spread over the clip.", 4, 1, 64),
        ),
        outputs=(Output(name="images", type="IMAGE", tooltip="The pictures."),),
        function=preview_segments,
        is_output=True,
    ),
)
"""The node that shows segments."""
