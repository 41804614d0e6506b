"""ComfyUI's bar over the frames of a clip."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["frame_progress"]


def frame_progress(total: int) -> Callable[[int], None] | None:
    """Give who moves ComfyUI's bar and stops where the user cancelled; None where no ComfyUI runs.

    Parameters
    ----------
    total : int
        Number of frames.
    """
    utils, management = sys.modules.get("comfy.utils"), sys.modules.get("comfy.model_management")
    if utils is None or management is None:
        return None
    bar = utils.ProgressBar(total)

    def report(done: int) -> None:
        management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return report
