"""A finder of what words name, by its folder or its name on the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.hub.catalog import GROUNDING_DINO
from segs_detailer.subjects.finders.sam3 import SAM3_KIND, Sam3Finder
from segs_detailer.subjects.finders.word_finder import WordFinder
from segs_detailer.subjects.finders.words import WORD_DETECTORS
from segs_detailer.subjects.hub_models import read_model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from segs_detailer.subjects.finders.finder import Finder

__all__ = ["DEFAULT_WORD_MODEL", "open_word_finder"]

DEFAULT_WORD_MODEL = GROUNDING_DINO.repository
"""Apache-2.0, 172 million parameters."""


def open_word_finder(
    words: Iterable[str],
    source: str | Path = DEFAULT_WORD_MODEL,
    *,
    every: int | None = None,
    usual_every: int = 1,
    confidence: float | None = None,
    min_size: float | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Finder:
    """Open a finder of what words name.

    Parameters
    ----------
    words : iterable of str
        Phrases, such as `"left hand"`: the labels of the tracks.
    source : str or Path
        Folder or hub id of a model in transformers' layout: Grounding DINO, MM Grounding DINO or OWLv2, which find
        boxes in single frames, or SAM 3 video, which follows masks through the clip.
    every : int or None
        Frames from one look to the next, of models that look at single frames; SAM 3 looks at all of them. None is
        `usual_every`.
    usual_every : int
        The same, where the model leaves a choice.
    confidence : float or None
        Least score, above 0 to 1; None is the model's usual one: 0.25 for Grounding DINO, 0.2 for OWLv2, what its
        configuration says for SAM 3.
    min_size : float or None
        Smallest subject in pixels of the frame, by the longer side of its box.
    device, dtype : str
        As of `open_segmenter`; on a GPU, "auto" is bfloat16 for SAM 3 and float32 for the others.

    Returns
    -------
    Finder
        Its weights are loaded with the first frame.

    Raises
    ------
    ModelError
        It is not there, or no such model.
    InvalidArgumentError, InvalidTypeError
        A phrase or a value that cannot be used.
    MissingDependencyError
        transformers is not installed.

    Examples
    --------
    >>> from segs_detailer import find_tracks
    >>> from segs_detailer.subjects import open_word_finder
    >>> finder = open_word_finder(["left hand", "cup"], every=5)  # doctest: +SKIP
    >>> tracks = find_tracks(frames, finder)  # doctest: +SKIP
    """
    kinds = (*WORD_DETECTORS, SAM3_KIND)
    model = read_model(source, kinds, argument="find_model", device=device, dtype=dtype)
    if model.kind != SAM3_KIND:
        detector = WORD_DETECTORS[model.kind](model, words, confidence=confidence, min_size=min_size)
        return WordFinder(detector, every=usual_every if every is None else every)
    if every not in (None, 1):
        raise InvalidArgumentError("find_every", "1 for SAM 3, which looks at every frame", f"{every}")
    return Sam3Finder(model, words, confidence=confidence, min_size=min_size)
