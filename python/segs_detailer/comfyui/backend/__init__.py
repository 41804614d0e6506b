"""Sampling with a running ComfyUI's own models; its modules are imported only where one of its models came in."""

from __future__ import annotations

from segs_detailer.comfyui.backend.registration import check_sound, node_progress, paste_progress, register

__all__ = ["check_sound", "node_progress", "paste_progress", "register"]
