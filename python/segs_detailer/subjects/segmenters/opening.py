"""A video segmenter by its folder or its name on the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.hub.catalog import SAM2
from segs_detailer.subjects.hub_models import read_model
from segs_detailer.subjects.segmenters.sam2 import SAM2_CLASSES, Sam2Segmenter

if TYPE_CHECKING:
    from pathlib import Path

    from segs_detailer.subjects.segmenters.segmenter import VideoSegmenter

__all__ = ["DEFAULT_SEGMENTER", "open_segmenter"]

DEFAULT_SEGMENTER = SAM2.repository
"""Apache-2.0, 39 million parameters."""


def open_segmenter(
    source: str | Path = DEFAULT_SEGMENTER, *, device: str = "auto", dtype: str = "auto"
) -> VideoSegmenter:
    """Open a video segmenter.

    Parameters
    ----------
    source : str or Path
        Folder or hub id of SAM 2.1 or EdgeTAM in transformers' layout.
    device : str
        Where it works: "auto", "cpu", "cuda", ...
    dtype : str
        "float32", "float16", "bfloat16"; "auto" is bfloat16 on a GPU, else float32.

    Returns
    -------
    VideoSegmenter
        Its weights are loaded with the first frame.

    Raises
    ------
    ModelError
        It is not there, or no such model.
    InvalidArgumentError
        No such device or dtype.
    MissingDependencyError
        transformers is not installed.

    Examples
    --------
    >>> from segs_detailer.subjects import open_segmenter, refine_tracks
    >>> segmenter = open_segmenter("facebook/sam2.1-hiera-small")  # doctest: +SKIP
    >>> tracks = refine_tracks(frames, tracks, segmenter)  # doctest: +SKIP
    """
    return Sam2Segmenter(read_model(source, SAM2_CLASSES, argument="refine_masks", device=device, dtype=dtype))
