"""A pipe's models, ready to sample."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.info import ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.models.registry import sampler_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from segs_detailer.models.info import Geometry
    from segs_detailer.models.interface import Conditioning, SampleJob

__all__ = ["Models", "PipeModel", "is_dummy"]


_DUMMY = "DUMMY"
"""What Impact Pack's node for a missing input gives, and its detailers know as a model that does nothing."""


def is_dummy(model: object) -> bool:
    """Whether it stands for no model at all: crops are handed on as they are."""
    return isinstance(model, str) and model == _DUMMY


class _Unpainted(Sampler):
    """Stands for no model at all; the detailer asks it for nothing but its info."""

    @property
    def info(self) -> ModelInfo:
        """A name, and no limits."""
        return ModelInfo(family=_DUMMY)

    def encode(self, frames: Tensor) -> Tensor:
        """Refuse."""
        self._has_no("VAE", frames)

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Refuse."""
        self._has_no("steps", latents, job)

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:
        """Refuse."""
        self._has_no("VAE", latents, full_precision)


@dataclass(frozen=True, slots=True)
class PipeModel:
    """What one basic_pipe brings.

    Parameters
    ----------
    model, clip, vae : object
        The pipe's own objects.
    sampler : Sampler
        The model behind the detailer's protocol.
    positive, negative : Conditioning
        Conditioning over the whole frame.
    """

    model: Any
    clip: Any
    vae: Any
    sampler: Sampler
    positive: Conditioning
    negative: Conditioning

    @classmethod
    def of(cls, argument: str, pipe: object, *, vae: Any = None) -> PipeModel:
        """Take a pipe apart and find the backend of its model.

        Parameters
        ----------
        argument : str
            Name for error messages.
        pipe : BasicPipe, tuple or Sampler
            `(model, clip, vae, positive, negative)`, or a sampler that needs no conditioning. The model may be the word
            "DUMMY": see `Models.paints_nothing`.
        vae : object
            Stands in for the pipe's VAE: a refiner works on the latents of the base model's.

        Returns
        -------
        PipeModel
            The pipe.

        Raises
        ------
        InvalidTypeError
            `pipe` is neither a pipe nor a sampler.
        InvalidArgumentError
            A tuple of another length.
        ModelError
            No backend takes the model.
        """
        if isinstance(pipe, (tuple, list)):
            if len(pipe) != 5:
                expected = "(model, clip, vae, positive, negative)"
                raise InvalidArgumentError(argument, expected, f"{len(pipe)} items")
            model, clip, own_vae, positive, negative = pipe
            vae = own_vae if vae is None else vae
            if is_dummy(model):
                return cls(model, clip, vae, _Unpainted(), positive, negative)
            return cls(model, clip, vae, sampler_for(model, clip, vae), positive, negative)
        if isinstance(pipe, Sampler):
            return cls(pipe, None, None, pipe, [], [])
        raise InvalidTypeError(argument, "a basic_pipe of five items or a Sampler", type(pipe).__name__)

    @property
    def parts(self) -> tuple[Any, Any, Any, Conditioning, Conditioning]:
        """The basic_pipe that gives this pipe."""
        return self.model, self.clip, self.vae, self.positive, self.negative

    def with_sampler(self, sampler: Sampler) -> PipeModel:
        """Return the same pipe with another sampler over the networks of its own."""
        # A pipe that holds the sampler itself may have told it what its model knows nothing of.
        model = sampler if self.model is self.sampler else sampler.in_pipe
        return replace(self, model=model, sampler=sampler)

    def sampler_of(self, model: Any) -> Sampler:
        """Find the sampler of a model that a hook or a control wrapper put in the place of this one.

        Parameters
        ----------
        model : object
            The model to sample with.

        Returns
        -------
        Sampler
            This pipe's own where the model is its own.
        """
        return self.sampler if model is self.model else sampler_for(model, self.clip, self.vae)


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a run.

    Parameters
    ----------
    base : PipeModel
        The model that paints.
    refiner : PipeModel or None
        The model that finishes.
    """

    base: PipeModel
    refiner: PipeModel | None = None

    @classmethod
    def of(cls, pipe: object, refiner_pipe: object | None, *, names: tuple[str, str]) -> Models:
        """Find the backends of both pipes.

        Parameters
        ----------
        pipe : BasicPipe, tuple or Sampler
            The base model's pipe.
        refiner_pipe : BasicPipe, tuple, Sampler or None
            The refiner's; its VAE is not used.
        names : tuple of str
            Names of the two arguments, for error messages.

        Returns
        -------
        Models
            Both.
        """
        base = PipeModel.of(names[0], pipe)
        if isinstance(base.sampler, _Unpainted):
            return cls(base)
        refiner = None if refiner_pipe is None else PipeModel.of(names[1], refiner_pipe, vae=base.vae)
        if refiner is not None and isinstance(refiner.sampler, _Unpainted):
            raise InvalidArgumentError(names[1], "a pipe with a model, or None", f"one with the model {_DUMMY!r}")
        return cls(base, refiner)

    @property
    def geometry(self) -> Geometry:
        """Sizes that all models of the run can take."""
        own = self.base.sampler.geometry
        return own if self.refiner is None else own.within(self.refiner.sampler.geometry)

    @property
    def conditionings(self) -> list[Conditioning]:
        """Positive and negative of all models."""
        pipes = [self.base] if self.refiner is None else [self.base, self.refiner]
        return [side for pipe in pipes for side in (pipe.positive, pipe.negative)]

    @property
    def paints_nothing(self) -> bool:
        """Whether a word stands in the model's place: crops are handed on as they are."""
        return isinstance(self.base.sampler, _Unpainted)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Tell the samplers when a run is over, however it ends: those that offload their parts free the memory."""
        try:
            yield
        finally:
            for pipe in (self.base, self.refiner):
                if pipe is not None:
                    pipe.sampler.release()
