"""What a cached result depends on."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer._version import installed_version
from segs_detailer.jobs.cache import FORMAT, digest

if TYPE_CHECKING:
    import numpy as np

    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import TrackPlan
    from segs_detailer.subjects.track import Track

__all__ = ["content_key", "file_state", "settings_key", "track_digest"]

_OF_THE_PASTE = ("feather", "grow")
"""Settings that count when a result is pasted, and not before."""


def content_key(piece: Piece, plan: TrackPlan, track: str, source: str, dtype: np.dtype[Any]) -> str:
    """Return a digest of what a piece shows: the clip, the track as `track_digest` gives it, the places, the sizes."""
    first = plan.span[0]
    path = plan.path.part(piece.low - first, piece.high - first)
    masks = (track, asdict(plan.crop), asdict(plan.masks), plan.path.size, plan.bbox)
    place = (piece.low, piece.high, piece.low - first, len(plan.pieces) > 1)
    return digest(
        FORMAT,
        source,
        plan.frame_size,
        plan.frame_count,
        dtype.str,
        path.regions,
        path.angles,
        *masks,
        plan.size,
        place,
    )


def settings_key(piece: Piece, plan: TrackPlan, models: Any) -> str:
    """Return a digest of how a piece is sampled: the version of the package, the models, its subject's settings."""
    left_out = () if plan.detail.color_match else _OF_THE_PASTE
    values = {each.name: getattr(plan.detail, each.name) for each in fields(plan.detail)}
    options = {name: value for name, value in values.items() if name not in left_out}
    own = plan.own.of_model
    own["lora"] = [(file_state(source), weight) for source, weight in plan.own.lora]
    own["reference"] = [file_state(name) for name in plan.own.reference]
    return digest(FORMAT, installed_version(), models, options, own, piece.fades)


def track_digest(track: Track) -> str:
    """Return a digest of all that is known of a track."""
    masks = [None if mask is None else (mask.place, mask.soft, digest(mask.data)) for mask in track.masks]
    return digest(track.label, track.frames, track.boxes, masks, track.shot, track.shape)


def file_state(source: str | None) -> Any:
    """Return files on disk with their sizes and times, for the cache; the name of a model on a hub as it is."""
    path = Path(source) if source else None
    if path is None or not path.exists():
        return source
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
