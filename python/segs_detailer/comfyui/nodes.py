"""All nodes. Each is declared once, beside its function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.comfyui.audio import AUDIO_NODES
from segs_detailer.comfyui.boxes import BOX_NODES
from segs_detailer.comfyui.control import CONTROL_NODES
from segs_detailer.comfyui.detailing import DETAILING_NODES
from segs_detailer.comfyui.detecting import DETECTING_NODES
from segs_detailer.comfyui.gating import GATING_NODES
from segs_detailer.comfyui.hooks import HOOK_NODES
from segs_detailer.comfyui.landmarks import LANDMARK_NODES
from segs_detailer.comfyui.picking import PICKING_NODES
from segs_detailer.comfyui.pipes import PIPE_NODES
from segs_detailer.comfyui.preview import PREVIEW_NODES
from segs_detailer.comfyui.sam3 import SAM3_NODES
from segs_detailer.comfyui.seams import SEAMS_NODES
from segs_detailer.comfyui.segments import SEGMENT_NODES

if TYPE_CHECKING:
    from segs_detailer.nodes.declaration import Node

__all__ = ["NODES"]

NODES: tuple[Node, ...] = (
    *DETAILING_NODES,
    *SEAMS_NODES,
    *AUDIO_NODES,
    *DETECTING_NODES,
    *BOX_NODES,
    *LANDMARK_NODES,
    *SAM3_NODES,
    *SEGMENT_NODES,
    *GATING_NODES,
    *PICKING_NODES,
    *PREVIEW_NODES,
    *CONTROL_NODES,
    *HOOK_NODES,
    *PIPE_NODES,
)
"""All nodes, in the order of the menus and the documentation."""
