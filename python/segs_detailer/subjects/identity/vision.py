"""Things of any kind by a vision model of transformers: DINOv2, CLIP, SigLIP and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import MissingDependencyError, ModelError, first_line
from segs_detailer.hub.catalog import DINOV2
from segs_detailer.hub.weights import Repository
from segs_detailer.subjects.identity.embedder import Embedder, Sighting, unit_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["VisionEmbedder"]

_THRESHOLD = 0.6
_LINK_THRESHOLD = 0.75
_BATCH = 8
_SIDE = 224
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet, for models that do not say."""
_AROUND = 1.1
"""Size of what is looked at, in sizes of the subject's box."""


class VisionEmbedder(Embedder):
    """Tells things of any kind apart by what they look like.

    Parameters
    ----------
    source : str, Path or None
        A folder, or an id on the hub, of a model of transformers that makes a vector of a picture. None is
        `facebook/dinov2-small`.
    device : str
        Where it runs: "auto", "cpu", "cuda".

    Raises
    ------
    MissingDependencyError
        transformers is not installed.
    ModelError
        It cannot be loaded or fetched, or is no such model.
    """

    def __init__(self, source: str | Path | None = None, *, device: str = "auto") -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingDependencyError("transformers", "diffusers") from error
        from segs_detailer.models.accelerators import resolve_device

        self._name = str(source or DINOV2.repository)
        folder = _folder(self._name)
        self._device = resolve_device(device)
        try:
            model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
            about, _ = transformers.image_processing_utils.BaseImageProcessor.get_image_processor_dict(
                folder, local_files_only=True
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{self._name}: cannot be loaded by transformers: {first_line(error)}") from error
        self._model = model.to(self._device).eval()
        config = model.config
        self._side = _side(about, getattr(config, "vision_config", config))
        self._mean = np.array(about.get("image_mean") or _MEAN, np.float32)
        self._deviation = np.array(about.get("image_std") or _DEVIATION, np.float32)
        self._key = ("vision", self._name, _state(folder), self._side)
        if not (hasattr(model, "get_image_features") or _is_vision(config)):
            raise ModelError(
                f"{self._name}: expected a model that makes a vector of a picture, got {config.model_type}"
            )

    @property
    def key(self) -> Any:
        """Its name, and where its files are."""
        return self._key

    @property
    def threshold(self) -> float:
        """0.6: chosen, not measured."""
        return _THRESHOLD

    @property
    def link_threshold(self) -> float:
        """0.75: stricter, likewise."""
        return _LINK_THRESHOLD

    def serves(self, label: str) -> bool:
        """Whatever there is."""
        del label
        return True

    def embed(self, sightings: Sequence[Sighting]) -> list[NDArray[np.float32] | None]:
        """Make a vector of what is in each box; see `Embedder.embed`."""
        crops = [_cut(sighting) for sighting in sightings]
        there = [place for place, crop in enumerate(crops) if crop.size]
        found: list[NDArray[np.float32] | None] = [None] * len(crops)
        for start in range(0, len(there), _BATCH):
            places = there[start : start + _BATCH]
            for place, vector in zip(places, self._vectors([crops[each] for each in places]), strict=True):
                found[place] = unit_vector(vector)
        return found

    def embed_picture(self, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Make a vector of a whole picture."""
        return unit_vector(self._vectors([pixels])[0])

    def _vectors(self, crops: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        pixels = np.stack([(_resized(crop, self._side) - self._mean) / self._deviation for crop in crops])
        given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(self._device)
        with torch.inference_mode():
            if hasattr(self._model, "get_image_features"):
                out = self._model.get_image_features(pixel_values=given)
            else:
                out = self._model(pixel_values=given)
        if not isinstance(out, torch.Tensor):
            pooled = getattr(out, "pooler_output", None)
            out = out.last_hidden_state.mean(dim=1) if pooled is None else pooled
        vectors: NDArray[np.float32] = out.flatten(1).float().cpu().numpy()
        return vectors


def _folder(name: str) -> str:
    """Find the files of a model, fetching them where that is needed."""
    if Path(name).is_dir():
        return name
    if name == DINOV2.repository:
        return str(DINOV2.local() or DINOV2.fetch())
    if name.count("/") != 1 or Path(name).exists():
        raise ModelError(f"{name}: expected the folder of a model, or its id on the hub")
    weights = Repository(
        name=name, repository=name, license="", use="tells things apart", patterns=("*.json", "*.safetensors")
    )
    return str(weights.local() or weights.fetch())


def _state(folder: str) -> list[Any]:
    """Return what tells the files of a folder from other ones."""
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in (".json", ".safetensors"))
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _is_vision(config: Any) -> bool:
    return hasattr(config, "image_size") or hasattr(config, "num_channels")


def _side(about: dict[str, Any], config: Any) -> int:
    """Return the size of the pictures that a model sees."""
    for size in (about.get("crop_size"), about.get("size")):
        if isinstance(size, int):
            return size
        if isinstance(size, dict):
            return int(size.get("height") or size.get("shortest_edge") or _SIDE)
    size = getattr(config, "image_size", None)
    return size if isinstance(size, int) else _SIDE


def _cut(sighting: Sighting) -> NDArray[np.float32]:
    """Cut a box, made square, out of its frame; empty where it is outside."""
    height, width = sighting.frame.shape[:2]
    x1, y1, x2, y2 = sighting.box
    reach = _AROUND * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - reach, np.ceil(x + reach)))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - reach, np.ceil(y + reach)))
    return sighting.frame[top:bottom, left:right]


def _resized(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    from PIL import Image

    image = Image.fromarray((pixels * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8))
    small = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32) / np.float32(255)
