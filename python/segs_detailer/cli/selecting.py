"""From the options to the segments of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..detect import FaceSettings, detect_faces
from ..errors import MediaError
from ..masks import boxes_to_segs, masks_to_segs
from ..segments import read_segments, to_segs
from ..segs import SEG, SEGS, scale_match
from ..video import open_clip

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from ..segments import Segments
    from ..video import Clip, ClipInfo, Source
    from .stages import Stages

__all__ = ["SegmentChooser"]


class SegmentChooser:
    """Finds what the user named. All that can be checked without the frames is checked when it is made.

    Parameters
    ----------
    args : Namespace
        The options.
    info : ClipInfo
        The clip.

    Raises
    ------
    SegsDetailerError
        A box lies outside the frame, a mask cannot be read, a setting is out of range.
    """

    def __init__(self, args: argparse.Namespace, info: ClipInfo) -> None:
        self._args = args
        self._boxes: list[SEG] = []
        if args.bbox:
            self._boxes = boxes_to_segs(info.size, args.bbox, crop_factor=args.crop_factor, label="box")[1]
        self._mask: Source | None = None
        if args.mask is not None:
            self._mask = open_clip(args.mask)
            count = self._mask.info.frames
            if count not in (1, info.frames):
                raise MediaError(
                    f"{args.mask}: holds {count} masks for {info.frames} frames: give one mask, or one for each frame"
                )
        self._segments: Segments | None = None
        if args.segs is not None:
            self._segments = read_segments(args.segs, size=info.size, frame_count=info.frames)
            self._check_count(info.frames)
        self._faces: FaceSettings | None = None
        if args.detect == "face" or (args.mask is None and args.segs is None and not args.bbox):
            self._faces = FaceSettings(
                min_size=args.min_face,
                min_share=args.min_share,
                max_gap=args.max_gap,
                crop_factor=args.crop_factor,
                drop_size=args.drop_size,
                shape=args.face_mask,
            )

    def choose(self, clip: Clip, stages: Stages) -> SEGS:
        """Segments of the clip: boxes, then masks, then those of files, then faces, in the size of its frames."""
        height, width = clip.info.size
        segs = list(self._boxes)
        if self._mask is not None:
            segs += self._from_masks(self._mask, clip, stages)
        if self._segments is not None:
            self._check_count(len(clip.frames))
            found = to_segs(self._segments, crop_factor=self._args.crop_factor)
            segs += scale_match(found, clip.frames.shape)[1]
        if self._faces is not None:
            with stages.stage("detect") as advance:
                count = len(clip.frames)
                found = detect_faces(clip.frames, self._faces, progress=lambda done: advance(done, count))
            segs += found[1]
        return (height, width), segs

    def _check_count(self, frames: int) -> None:
        count = self._segments.frame_count if self._segments is not None else frames
        if count not in (1, frames):
            raise MediaError(
                f"{self._args.segs}: holds segments of {count} frames for {frames} frames: give them for one frame, "
                "or for each"
            )

    def _from_masks(self, source: Source, clip: Clip, stages: Stages) -> list[SEG]:
        with stages.stage("masks") as advance:
            masks = _read_masks(source)
            if len(masks) not in (1, len(clip.frames)):
                raise MediaError(
                    f"{self._args.mask}: holds {len(masks)} masks for {len(clip.frames)} frames: "
                    "give one mask, or one for each frame"
                )
            advance(len(masks), len(masks))
            segs = masks_to_segs(
                masks[0] if len(masks) == 1 else masks,
                combined=self._args.combined,
                crop_factor=self._args.crop_factor,
                bbox_fill=self._args.bbox_fill,
                contour_fill=self._args.contour_fill,
                drop_size=self._args.drop_size,
                label=Path(self._args.mask).stem.split("%")[0].rstrip("_-. ") or "mask",
            )
            return scale_match(segs, clip.frames.shape)[1]

    def nothing_found(self) -> str:
        """Say why there is no segment, and what to do."""
        if self._faces is not None:
            return "no face was found: lower --min-share or --min-face, or name the place with --bbox or --mask"
        if self._args.mask is None:
            return f"{self._args.segs}: holds no track that is in the frame"
        return f"{self._args.mask}: nothing in it is white and larger than --drop-size {self._args.drop_size}"


def _read_masks(source: Source) -> NDArray[np.uint8]:
    """Masks `(N, h, w)` uint8: the mean of the colours."""
    height, width = source.info.size
    pixels = np.empty((height, width, 3), np.float32)
    masks = []
    for picture in source.pictures():
        picture.copy_to(pixels)
        masks.append((pixels.mean(axis=2) * 255 + 0.5).astype(np.uint8))
    return np.stack(masks)
