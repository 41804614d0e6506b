"""A video network over flow-matching noise levels, under its prompts."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, is_out_of_memory
from segs_detailer.models.accelerators import empty_caches
from segs_detailer.models.adapters import LoraShelf
from segs_detailer.models.device import check_uniform, execution_device
from segs_detailer.models.flow import FlowTable
from segs_detailer.models.stages import SamplingOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FlowModel", "GuidedFlow", "TransformerFlow"]


class FlowModel(ABC):
    """A network that predicts a flow's velocity, with its noise levels: the `model` of a `BasicPipe`.

    A family says what its network is given (`velocity`) and which latents it takes; what all flows have in common is
    here.

    Parameters
    ----------
    shift : float
        Shift of the noise levels.
    guidance_batch : bool
        Positive and negative prompt in one batch; `False` halves the memory and takes longer. When memory runs out they
        are taken apart, and a warning says so.
    options : SamplingOptions or None
        Where to follow ComfyUI to the letter.
    """

    def __init__(self, *, shift: float, guidance_batch: bool = True, options: SamplingOptions | None = None) -> None:
        self.guidance_batch = guidance_batch
        self.options = SamplingOptions() if options is None else options
        self.table = FlowTable.shifted(float(shift))
        # The diffusers pipeline that holds the networks, where there is one: the way to its loaders and offload hooks.
        self.pipeline: Any = None
        self.lora_weights: dict[str, float] = {}
        self.lora_shelf = LoraShelf()
        # Where it was loaded from, as far as that is known: names tell what it was distilled for.
        self.origin = ""

    @property
    def told(self) -> list[str]:
        """What tells the checkpoint and the LoRAs that are in effect."""
        return [self.origin, *self.lora_shelf.in_effect(self.lora_weights)]

    @property
    @abstractmethod
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """The networks that predict."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the network computes."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of the latents."""

    @property
    @abstractmethod
    def latents_per_patch(self) -> int:
        """Latents along the side of a patch: sizes in latents are multiples of it."""

    @property
    def clean_token(self) -> tuple[int, int, int] | None:
        """Latents in a token, in time and along height and width, of a model that sees clean what it knows.

        It was trained with a noise level for each token. None: one level for all.
        """
        return None

    @property
    def most_latents(self) -> tuple[int | None, int | None]:
        """Most latents in time and along a side that it has positions for; None for any."""
        return None, None

    @abstractmethod
    def velocity(self, x: Tensor, sigma: Tensor, prompts: Sequence[Any]) -> Tensor:
        """Predict noise - x0, along the line from x0 to noise, under several prompts in one batch.

        Parameters
        ----------
        x : Tensor
            Noisy latents `(1, C, T, h, w)` float32.
        sigma : Tensor
            Their noise level in (0, 1], on the CPU; for a model with `clean_token` also one in [0, 1] for each latent,
            `(1, 1, T, h, w)`, the same throughout a token.
        prompts : sequence
            n prompts, as the family's sampler takes them from conditioning.

        Returns
        -------
        Tensor
            `(n, C, T, h, w)`, of any dtype and device.
        """

    def check_latents(self, latents: Tensor) -> None:
        """Raise if this model cannot take latents of that kind and shape."""
        if not latents.is_floating_point():
            raise InvalidTypeError("latents", "a floating-point tensor", str(latents.dtype).removeprefix("torch."))
        if latents.ndim != 5 or len(latents) != 1 or latents.shape[1] != self.latent_channels:
            expected = f"(1, {self.latent_channels}, T, h, w) for this model"
            raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")
        if latents.shape[3] % self.latents_per_patch or latents.shape[4] % self.latents_per_patch:
            expected = f"h and w that are multiples of {self.latents_per_patch}"
            raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")
        frames, side = self.most_latents
        if _passes(latents.shape[2], frames) or _passes(max(latents.shape[3:]), side):
            expected = f"T of at most {frames}, h and w of at most {side}, for which the model has positions"
            raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")

    def predict(self, x: Tensor, sigma: Tensor, prompts: Sequence[Any]) -> Tensor:
        """Predict x0 under several prompts: `(n, C, T, h, w)` float32; see `velocity`."""
        return x - sigma * self._in_batches(x, sigma, prompts).to(x.device, torch.float32)

    def _in_batches(self, x: Tensor, sigma: Tensor, prompts: Sequence[Any]) -> Tensor:
        """Take all prompts at once, or one after the other where memory or the caller says so."""
        if self.guidance_batch and len(prompts) > 1:
            try:
                return self.velocity(x, sigma, prompts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.guidance_batch = False
            empty_caches()
            warnings.warn("out of memory while sampling: going on with one prompt at a time", stacklevel=3)
        return torch.cat([self.velocity(x, sigma, [prompt]) for prompt in prompts])


class TransformerFlow(FlowModel):
    """A flow of one transformer of diffusers.

    Parameters
    ----------
    transformer : torch.nn.Module
        The network; all of its weights are on one device.
    shift, guidance_batch, options
        See `FlowModel`.

    Raises
    ------
    ModelError
        The network is spread over several devices.
    """

    def __init__(
        self,
        transformer: Any,
        *,
        shift: float,
        guidance_batch: bool = True,
        options: SamplingOptions | None = None,
    ) -> None:
        check_uniform(transformer, "the transformer", dtypes=False)
        super().__init__(shift=shift, guidance_batch=guidance_batch, options=options)
        self.transformer = transformer

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """The transformer."""
        return (self.transformer,)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return execution_device(self.transformer)

    @property
    def latents_per_patch(self) -> int:
        """Latents along the side of a patch: sizes in latents are multiples of it."""
        return int(self.transformer.config.patch_size)

    @property
    def width(self) -> int:
        """Channels of a token's state."""
        config = self.transformer.config
        return int(config.num_attention_heads * config.attention_head_dim)


def _passes(value: int, most: int | None) -> bool:
    return most is not None and value > most


class GuidedFlow:
    """A flow under its prompts, with classifier-free guidance (Ho and Salimans 2022).

    Parameters
    ----------
    model : FlowModel
        The model.
    positive, negative : object
        Prompts as the family's sampler takes them from conditioning.
    cfg : float
        Guidance scale; at 1 the negative prompt is not evaluated.
    """

    def __init__(self, model: FlowModel, positive: Any, negative: Any, cfg: float) -> None:
        self._model = model
        self._positive = positive
        self._negative = negative
        self._cfg = cfg

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict x0 under guidance."""
        if math.isclose(self._cfg, 1.0):
            return self._model.predict(x, sigma, [self._positive])
        return self.with_unconditional(x, sigma)[0]

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative."""
        both = self._model.predict(x, sigma, [self._positive, self._negative])
        positive, negative = both[:1], both[1:]
        return negative + (positive - negative) * self._cfg, negative
