"""Picking subjects by sight: tiles of the segments on the node, and their numbers as text."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.comfyui.inputs import frames_input, segs_input
from segs_detailer.comfyui.pictures import saved_pictures
from segs_detailer.detailer.crops import check_frames, check_paths, to_dtype
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.nodes.declaration import Input, Node, Output, Shown
from segs_detailer.segs import check_segs, scale_match, warn_about_counts
from segs_detailer.subjects.portraits import segs_portraits
from segs_detailer.subjects.selection import listed_numbers
from segs_detailer.subjects.track import TRACK_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.segs import SEG, SEGS

__all__ = ["PICKING_NODES", "pick_subjects", "read_picks"]

_SIDE = 128
"""Pixels of a tile's side."""


def pick_subjects(image_frames: Tensor, segs: SEGS, picks: str = "") -> Shown:
    """Take the segments of some numbers.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)`: what the tiles show.
    segs : SEGS
        The segments.
    picks : str
        Their numbers, from 1, between commas; empty for all. They count from the first that comes, as previews draw
        them. Of no segments, all picks are none.

    Returns
    -------
    Shown
        The segments that were picked, and the others, both in their old order; in ComfyUI also a tile of each.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Frames or segments that cannot be used, or a number that no segment has.
    """
    check_frames("image_frames", image_frames)
    size, items = check_segs(segs)
    numbers = read_picks(picks, [str(seg.label) for seg in items])
    taken = [not numbers or number in numbers for number in range(1, len(items) + 1)]
    picked = [seg for seg, is_in in zip(items, taken, strict=True) if is_in]
    others = [seg for seg, is_in in zip(items, taken, strict=True) if not is_in]
    return Shown(((size, picked), (size, others)), {"tiles": _tiles(image_frames, (size, items))})


def read_picks(text: str, labels: Sequence[str]) -> set[int]:
    """Read numbers of segments.

    Parameters
    ----------
    text : str
        Numbers from 1 between commas; empty for all.
    labels : sequence of str
        The segments' labels, for messages.

    Returns
    -------
    set of int
        The numbers; empty for all.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        No text, or anything else than numbers of segments.
    """
    if not isinstance(text, str):
        raise InvalidTypeError("picks", "a text such as 1,3", type(text).__name__)
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if part and not (part.isascii() and part.isdigit())), None)
    if wrong is not None:
        raise InvalidArgumentError("picks", "numbers between commas such as 1,3, or nothing for all", repr(wrong))
    numbers = {int(part) for part in parts if part}
    beyond = sorted(number for number in numbers if not 1 <= number <= len(labels))
    if beyond and labels:
        expected = f"numbers of the segments that come, {listed_numbers(enumerate(labels, start=1))}"
        raise InvalidArgumentError("picks", expected, ", ".join(map(str, beyond)))
    return numbers


def _tiles(image_frames: Tensor, segs: SEGS) -> list[dict[str, Any]]:
    """Draw a tile of each segment; those of clips without frames have no picture."""
    matched, count = scale_match(segs, image_frames.shape), len(image_frames)
    check_paths(matched, count)
    if count == 0:
        return [_tile(number, seg) for number, seg in enumerate(matched[1], start=1)]
    warn_about_counts(matched, count)

    def frame_at(index: int) -> NDArray[np.float32]:
        frame: NDArray[np.float32] = to_dtype(image_frames[index, ..., :3], torch.float32).cpu().numpy()
        return frame

    portraits = segs_portraits(matched, count, frame_at)
    # Beside files of video, which ComfyUI need not load when it starts.
    from segs_detailer.jobs.drawing import to_image

    files = saved_pictures([to_image(each.pixels, (_SIDE, _SIDE)) for each in portraits], "segs_tile")
    # Without ComfyUI there are no files.
    return [
        {**_tile(each.number, seg), "frame": each.frame, **file}
        for each, seg, file in zip(portraits, matched[1], chain(files, repeat({})), strict=False)
    ]


def _tile(number: int, seg: SEG) -> dict[str, Any]:
    red, green, blue = TRACK_COLORS[(number - 1) % len(TRACK_COLORS)]
    return {"number": number, "label": str(seg.label), "color": f"#{red:02x}{green:02x}{blue:02x}"}


PICKING_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerPick",
        display_name="Pick Subjects",
        description="Shows a tile of each segment after a run: click those that are to be taken. Their numbers are "
        "kept in picks, and are those that SEGS Preview draws for the same segments.",
        search_aliases=("SEGSPicker", "select faces", "choose subjects", "thumbnails"),
        inputs=(
            frames_input(),
            segs_input(),
            Input(
                name="picks",
                type="STRING",
                tooltip="Numbers of the segments that are taken, between commas. Empty: all.",
                widget={"default": ""},
            ),
        ),
        outputs=(
            Output(name="segs", type="SEGS", tooltip="The segments that are picked."),
            Output(name="remained", type="SEGS", tooltip="The others."),
        ),
        function=pick_subjects,
        is_output=True,
        image_dtypes=("float32", "float16"),
    ),
)
"""The node by which subjects are picked by sight."""
