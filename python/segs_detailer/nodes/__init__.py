"""The node classes that scripts written for Impact Pack call, and how a node is declared.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.nodes.detailers import (
        NODE_CLASS_MAPPINGS,
        NODE_DISPLAY_NAME_MAPPINGS,
        DetailerForEachPipeForAnimateDiff,
        SEGSDetailerForAnimateDiff,
        SEGSPaste,
    )

__all__ = [
    "NODE_CLASS_MAPPINGS",
    "NODE_DISPLAY_NAME_MAPPINGS",
    "DetailerForEachPipeForAnimateDiff",
    "SEGSDetailerForAnimateDiff",
    "SEGSPaste",
]

__getattr__, __dir__ = lazy_names(__name__, {"segs_detailer.nodes.detailers": tuple(__all__)})
