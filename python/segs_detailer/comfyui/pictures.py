"""Pictures that the browser shows on a node."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

__all__ = ["saved_pictures"]


def saved_pictures(pictures: Sequence[Image], name: str) -> list[dict[str, Any]]:
    """Write pictures where ComfyUI's browser side reads them; nowhere without ComfyUI.

    Parameters
    ----------
    pictures : sequence of Image
        The pictures.
    name : str
        How the files' names begin.

    Returns
    -------
    list of dict
        What the browser asks for each by: `filename`, `subfolder` and `type`. Empty without ComfyUI.
    """
    folder_paths = sys.modules.get("folder_paths")
    if folder_paths is None:
        return []
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for number, picture in enumerate(pictures):
        file = f"{name}_{uuid4().hex[:12]}_{number}.png"
        picture.save(folder / file, compress_level=1)
        saved.append({"filename": file, "subfolder": "", "type": "temp"})
    return saved
