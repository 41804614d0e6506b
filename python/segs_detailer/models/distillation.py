"""Models that were distilled to a few steps, told by the names of their files and repositories."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segs_detailer.models.info import Recommended

__all__ = ["Distillation", "suited", "told_by"]

_TITLES = ("modelspec.title", "ss_output_name", "title", "name")
"""Where the metadata of a safetensors file may say what it is."""

_LONGEST_HEADER = 1 << 26
"""Bytes from which on what stands at a file's beginning is no header."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """A kind of distilled weights.

    Parameters
    ----------
    name : str
        What it is, for messages: "LightX2V".
    pattern : str
        Regular expression that finds it in the names of files and repositories, whatever their case.
    recommended : Recommended
        What it changes.
    """

    name: str
    pattern: str
    recommended: Recommended


def suited(base: Recommended, kinds: Sequence[Distillation], names: Iterable[str]) -> Recommended:
    """Return what suits a model of a family, by what is loaded into it.

    Parameters
    ----------
    base : Recommended
        What suits the family.
    kinds : sequence of Distillation
        Those that there are in the family; the first that is found counts.
    names : iterable of str
        What tells the checkpoint and its LoRAs, see `told_by`.

    Examples
    --------
    >>> from segs_detailer.models.info import Recommended
    >>> kind = Distillation("Quick", "quick", Recommended(steps=4, cfg=1.0))
    >>> suited(Recommended(steps=20, denoise=0.4), [kind], ["loras/Model_QUICK_v2.safetensors"]).settings()
    {'steps': 4, 'cfg': 1.0, 'denoise': 0.4}
    """
    told = [name.lower() for name in names]
    for kind in kinds:
        if any(re.search(kind.pattern, name) for name in told):
            return base.changed_by(kind.recommended, kind.name)
    return base


def told_by(source: str, file: str | None = None) -> str:
    """Return what tells weights from others: where they came from, and the title that a file has in its metadata.

    Parameters
    ----------
    source : str
        A file, a folder or a hub id.
    file : str or None
        The file in the folder or repository.
    """
    path = Path(source) if file is None else Path(source) / file
    # Folders on a disk say nothing about what lies in them; repositories do.
    place = path.name if path.exists() else f"{source}/{file}" if file else source
    return f"{place} {_title(path)}".strip()


def _title(path: Path) -> str:
    if path.suffix != ".safetensors" or not path.is_file():
        return ""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _LONGEST_HEADER:
            return ""
        try:
            about = json.loads(file.read(length)).get("__metadata__") or {}
        except ValueError:
            return ""
    return " ".join(str(about[key]) for key in _TITLES if key in about)
