"""Which embedder is for which tracks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders.yunet import is_yunet
from segs_detailer.subjects.identity.sface import SFaceEmbedder, is_face
from segs_detailer.subjects.identity.vision import VisionEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segs_detailer.subjects.identity.embedder import Embedder

__all__ = ["open_embedders"]


def open_embedders(
    labels: Iterable[str],
    identity_model: str | Path | None = None,
    *,
    finder: str | Path | None = None,
    device: str = "auto",
) -> dict[str, Embedder]:
    """Open what tells tracks of some labels apart: SFace for faces, a vision model for all else.

    Parameters
    ----------
    labels : iterable of str
        Labels of the tracks.
    identity_model : str, Path or None
        A file of SFace (.onnx), for faces; or a folder or an id on the hub of a vision model of transformers, for all
        tracks. None is SFace for faces and `facebook/dinov2-small` for all else; both are fetched when they are needed.
    finder : str, Path or None
        What found the tracks. Where it is the file of a YuNet, it serves for pictures as well.
    device : str
        Where vision models run: "auto", "cpu", "cuda".

    Returns
    -------
    dict
        The embedder of each label; those that are one share it.

    Raises
    ------
    InvalidArgumentError
        A file of SFace, where none of the tracks is a face.
    MissingDependencyError, ModelError
        One cannot be opened or fetched.
    """
    model, labels = identity_model, list(labels)
    is_file = model is not None and Path(model).suffix.lower() == ".onnx"
    if is_file and not any(is_face(label) for label in labels):
        raise InvalidArgumentError("identity_model", f"a vision model, for tracks of {', '.join(labels)}", str(model))
    opened: dict[str, Embedder] = {}
    found: dict[str, Embedder] = {}
    for label in labels:
        kind = "face" if is_face(label) and (model is None or is_file) else ""
        if kind not in opened:
            if kind:
                yunet = finder if finder is not None and _is_yunet(Path(finder)) else None
                opened[kind] = SFaceEmbedder(model, yunet=yunet)
            else:
                opened[kind] = VisionEmbedder(None if is_file else model, device=device)
        found[label] = opened[kind]
    return found


def _is_yunet(path: Path) -> bool:
    return path.suffix.lower() == ".onnx" and path.is_file() and is_yunet(path)
