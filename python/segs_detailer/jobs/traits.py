"""What a plan must know of the models: sizes, reach in time, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.detailer.models import Models, PipeModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segs_detailer.models.protocol import Geometry

__all__ = ["ModelTraits"]

_DEPTH = 3
"""Steps from a pipe's object to the networks in it."""

_FLOAT = 4
_LIVE_MAPS = 12
"""Feature maps of a diffusion network that are alive at its peak: those kept for the way up, and the work on one."""

_VAE_MAPS = 8
"""Feature maps at full resolution that are alive in a decoder, as the VAE of the diffusers backend counts them."""

_VAE_WIDTH = 256
_UNET_WIDTH = 320
_LATENT_FACTOR = 8
_WINDOW = 16
_CONDITIONINGS = 2
"""Prompt and negative prompt go through the network together."""


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What a plan must know of the models.

    Parameters
    ----------
    geometry : Geometry
        Sizes that the model can take.
    reach : int or None
        Frames on each side that influence a frame; None for a model that looks at all of them.
    window : int or None
        Frames that the model wants to see at once, where it says so.
    frame_batch : int or None
        Frames that go through the network at once, of all pieces that are sampled together, where frames are taken one
        by one; None for a model that sees a window of each piece.
    weights : int
        Bytes of weights that lie in the computer's own memory.
    networks : bool
        There are networks at all: without any, sampling is classical image processing.
    on_cpu : bool
        Sampling takes the computer's own memory.
    on_gpu : bool
        A GPU's driver is in use, which takes memory of its own.
    """

    geometry: Geometry
    reach: int | None
    window: int | None = None
    frame_batch: int | None = None
    weights: int = 0
    networks: bool = False
    on_cpu: bool = True
    on_gpu: bool = False

    @classmethod
    def of(cls, pipe: object, refiner_pipe: object = None) -> ModelTraits:
        """Look at the models of a run.

        Parameters
        ----------
        pipe : BasicPipe, tuple or Sampler
            The base model's pipe.
        refiner_pipe : BasicPipe, tuple, Sampler or None
            The refiner's.
        """
        models = Models.of(pipe, refiner_pipe, names=("pipe", "refiner_pipe"))
        used = [models.base] if models.refiner is None else [models.base, models.refiner]
        networks = list(_networks(used))
        weights = {id(part): part for network in networks for part in _tensors(network)}.values()
        on_gpu = any(part.device.type not in ("cpu", "meta") for part in weights)
        by_frame = getattr(models.base.model, "is_motion", True) is False
        reaches = [getattr(model.sampler, "temporal_reach", None) for model in used]
        return cls(
            geometry=models.geometry,
            reach=None if None in reaches else sum(reach for reach in reaches if reach is not None),
            window=None if by_frame else getattr(getattr(models.base.model, "windows", None), "length", None),
            frame_batch=models.base.model.frame_batch if by_frame else None,
            # Weights on "meta" are those that are brought to the GPU layer by layer: they lie in memory as well.
            weights=sum(part.nbytes for part in weights if part.device.type in ("cpu", "meta")),
            networks=bool(networks),
            on_cpu=not on_gpu,
            on_gpu=on_gpu,
        )

    def activations(self, size: tuple[int, int], frames: int, together: int = 1) -> int:
        """Estimate the bytes that the networks need for themselves, beside the crops.

        Parameters
        ----------
        size : (int, int)
            Height and width of the crops in pixels while they are worked on.
        frames : int
            Frames of a piece.
        together : int
            Pieces that are sampled together. A motion model has a window of each in the network; encoder and decoder
            take one after the other.
        """
        if not (self.networks and self.on_cpu):
            return 0
        pixels = size[0] * size[1]
        decoder = pixels * _VAE_WIDTH * _VAE_MAPS * _FLOAT
        if self.frame_batch is None:
            seen = together * min(frames, self.window or _WINDOW)
        else:
            seen = min(together * frames, self.frame_batch)
        return max(decoder, _CONDITIONINGS * seen * pixels // _LATENT_FACTOR**2 * _UNET_WIDTH * _LIVE_MAPS * _FLOAT)


def _networks(models: list[PipeModel]) -> Iterator[torch.nn.Module]:
    """Find the networks that the objects of some pipes hold."""
    seen: set[int] = set()
    near: list[Any] = [part for model in models for part in (model.model, model.clip, model.vae, model.sampler)]
    for _ in range(_DEPTH):
        held: list[Any] = []
        for item in near:
            if item is None or id(item) in seen:
                continue
            seen.add(id(item))
            if isinstance(item, torch.nn.Module):
                yield item
            elif isinstance(item, (list, tuple)):
                held += item
            else:
                held += list(getattr(item, "__dict__", {}).values())
        near = held


def _tensors(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()
