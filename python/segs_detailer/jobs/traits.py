"""What a plan must know of the models of a run, taken once: sizes, reach in time, memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segs_detailer.detailer.models import Models
from segs_detailer.models.info import MemoryModel

if TYPE_CHECKING:
    from segs_detailer.models.info import Activations, Geometry

__all__ = ["ModelTraits"]


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What a plan must know of the models.

    Parameters
    ----------
    geometry : Geometry
        Sizes that all models can take, what they see together, and how far they reach.
    weights : int
        Bytes of weights that lie in the computer's own memory.
    networks : bool
        There are networks at all: without any, sampling is classical image processing.
    on_gpu : bool
        Networks work on a GPU, whose driver takes memory of its own.
    accelerator : int
        Bytes of weights that lie on a GPU at once; 0 where none does.
    needed : callable
        See `Activations`.
    """

    geometry: Geometry
    weights: int = 0
    networks: bool = False
    on_gpu: bool = False
    accelerator: int = 0
    needed: Activations = MemoryModel().activations

    @classmethod
    def of(cls, pipe: object, refiner_pipe: object = None) -> ModelTraits:
        """Ask the models of a run.

        Parameters
        ----------
        pipe : BasicPipe, tuple or Sampler
            The base model's pipe.
        refiner_pipe : BasicPipe, tuple, Sampler or None
            The refiner's.
        """
        models = Models.of(pipe, refiner_pipe, names=("pipe", "refiner_pipe"))
        memory = models.base.sampler.info.memory
        if models.refiner is not None:
            memory = memory.beside(models.refiner.sampler.info.memory)
        return cls(
            geometry=models.geometry,
            weights=memory.weights,
            networks=bool(memory.networks),
            on_gpu=memory.on_accelerator,
            accelerator=memory.accelerator,
            needed=memory.activations,
        )

    @property
    def reach(self) -> int | None:
        """Frames on each side that influence a frame; None for models that look at all of them."""
        return self.geometry.reach

    @property
    def window(self) -> int | None:
        """Frames that the model wants to see at once, where it says so."""
        return self.geometry.window

    def looking_at_all(self) -> ModelTraits:
        """Return the same for a run in which every frame of a piece influences all of its others."""
        return replace(self, geometry=replace(self.geometry, reach=None))

    @property
    def on_cpu(self) -> bool:
        """Whether sampling takes the computer's own memory."""
        return not self.on_gpu

    def activations(self, size: tuple[int, int], frames: int, together: int = 1) -> int:
        """Estimate the bytes that the networks need for themselves, beside the crops.

        Parameters
        ----------
        size : (int, int)
            Height and width of the crops in pixels while they are worked on.
        frames : int
            Frames of a piece.
        together : int
            Pieces that are sampled together.
        """
        return self.needed(size, frames, together) if self.networks and self.on_cpu else 0
