"""When Impact Pack's functions are replaced: as the nodes are loaded, or with the first prompt."""

from __future__ import annotations

import logging
import sys
from typing import Any

from segs_detailer.comfyui.acceleration.patching import Acceleration, accelerate, is_loaded
from segs_detailer.errors import InvalidArgumentError

__all__ = ["start"]

_log = logging.getLogger(__name__)


def start() -> Acceleration | None:
    """Replace Impact Pack's image functions now, or with the first prompt where it is not loaded yet.

    ComfyUI loads packs one after the other, in no order that can be relied on, and takes prompts when all are there.
    What was done, or why nothing was, is one line in the log.

    Returns
    -------
    Acceleration or None
        What was replaced now; None where nothing was.
    """
    if is_loaded():
        return _accelerate_and_say()
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    if server is None:
        _log.warning("segs-detailer: Impact Pack is not accelerated: neither it nor ComfyUI's server is loaded")
        return None
    server.add_on_prompt_handler(_FirstPrompt())
    return None


class _FirstPrompt:
    """Acts on the first prompt that is queued, and hands every one on as it is."""

    def __init__(self) -> None:
        self._is_over = False

    def __call__(self, prompt: Any) -> Any:
        if not self._is_over:
            self._is_over = True
            _accelerate_and_say()
        return prompt


def _accelerate_and_say() -> Acceleration | None:
    try:
        done = accelerate()
    except InvalidArgumentError as error:
        _log.warning("segs-detailer: Impact Pack is left as it is. %s", error)
        return None
    _log.info("segs-detailer: Impact Pack %s is accelerated: %s", done.version, ", ".join(done.names))
    return done
