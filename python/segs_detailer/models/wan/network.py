"""Wan's transformers as a model over flow-matching noise levels."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.device import check_uniform, execution_device
from segs_detailer.models.flow import FlowTable
from segs_detailer.models.stages import SamplingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GuidedFlow", "WanModel", "check_text_to_video", "is_wan_transformer"]

_TRANSFORMER = "WanTransformer3DModel"

_SHIFT = 5.0
"""Wan's own default for pictures of 720 lines."""


def is_wan_transformer(model: object) -> bool:
    """Whether `model` is Wan's transformer of diffusers; does not import diffusers."""
    return any(
        base.__name__ == _TRANSFORMER and base.__module__.split(".")[0] == "diffusers" for base in type(model).__mro__
    )


def check_text_to_video(config: Mapping[str, Any], what: str) -> None:
    """Raise if a transformer wants more than noisy latents and a prompt.

    Parameters
    ----------
    config : mapping
        Its configuration.
    what : str
        The transformer, for the error.

    Raises
    ------
    ModelError
        It also wants a picture.
    """
    if config.get("in_channels", 16) != config.get("out_channels", 16) or config.get("image_dim") is not None:
        raise ModelError(f"{what} also wants an image: only text-to-video models of Wan can repaint a clip")


class WanModel:
    """Wan 2.1 or 2.2, text to video: the `model` of a `BasicPipe`.

    Parameters
    ----------
    transformer : diffusers.WanTransformer3DModel
        The network; of Wan 2.2's pair, the one for high noise.
    low_noise : diffusers.WanTransformer3DModel or None
        The second one of Wan 2.2's pair.
    boundary : float or None
        Noise level in (0, 1) below which `low_noise` works.
    scheduler_config : mapping or None
        Configuration of diffusers' scheduler, for its `flow_shift` or `shift`.
    shift : float or None
        Shift of the noise levels; `None`: the scheduler's, or 5.
    guidance_batch : bool
        Positive and negative prompt in one batch; `False` halves the memory and takes longer. When memory runs out they
        are taken apart, and a warning says so.
    options : SamplingOptions
        Where to follow ComfyUI to the letter.

    Raises
    ------
    InvalidTypeError
        The network is of another class.
    ModelError
        The network wants further inputs (image to video), is spread over several devices, or a pair of networks is not
        complete.
    """

    def __init__(
        self,
        transformer: Any,
        *,
        low_noise: Any = None,
        boundary: float | None = None,
        scheduler_config: Mapping[str, Any] | None = None,
        shift: float | None = None,
        guidance_batch: bool = True,
        options: SamplingOptions | None = None,
    ) -> None:
        for name, network in (("transformer", transformer), ("low_noise", low_noise)):
            if network is None and name == "low_noise":
                continue
            if not is_wan_transformer(network):
                raise InvalidTypeError(name, f"a {_TRANSFORMER}", type(network).__name__)
            check_text_to_video(network.config, f"the {name}")
        if (low_noise is None) != (boundary is None):
            raise ModelError("Wan 2.2's two transformers come with a boundary between them: give both or neither")
        if boundary is not None and not 0 < boundary < 1:
            raise InvalidArgumentError("boundary", "a number in (0, 1)", str(boundary))
        config = {} if scheduler_config is None else scheduler_config
        check_uniform(transformer, "the transformer", dtypes=False)
        if low_noise is not None:
            check_uniform(low_noise, "the second transformer", dtypes=False)
        self.transformer = transformer
        self.low_noise = low_noise
        self.boundary = boundary
        self.guidance_batch = guidance_batch
        self.options = SamplingOptions() if options is None else options
        chosen = config.get("flow_shift") or config.get("shift") or _SHIFT if shift is None else shift
        self.table = FlowTable.shifted(float(chosen))
        # The diffusers pipeline that holds the networks, where there is one: the way to its loaders and offload hooks.
        self.pipeline: Any = None
        self.lora_weights: dict[str, float] = {}

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return execution_device(self.transformer)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.transformer.config.in_channels)

    @property
    def latents_per_patch(self) -> int:
        """Latents along the side of a patch: sizes in latents are multiples of it."""
        return int(max(self.transformer.config.patch_size[1:]))

    @property
    def width(self) -> int:
        """Channels of a token's state."""
        config = self.transformer.config
        return int(config.num_attention_heads * config.attention_head_dim)

    @property
    def inner_width(self) -> int:
        """Channels inside a feed-forward layer."""
        return int(self.transformer.config.ffn_dim)

    @property
    def most_latents(self) -> tuple[int, int]:
        """Most latents in time and along a side: each axis has so many positions, of patches."""
        networks = [self.transformer] if self.low_noise is None else [self.transformer, self.low_noise]
        most = [
            [int(network.config.rope_max_seq_len) * side for side in network.config.patch_size] for network in networks
        ]
        frames, *sides = (min(axis) for axis in zip(*most, strict=True))
        return frames, min(sides)

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
        if latents.shape[2] > frames or max(latents.shape[3:]) > side:
            expected = f"T of at most {frames}, h and w of at most {side}, for which the model has positions"
            raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")

    def predict(self, x: Tensor, sigma: Tensor, prompts: Tensor) -> Tensor:
        """Predict x0 under several prompts.

        Parameters
        ----------
        x : Tensor
            Noisy latents `(1, C, T, h, w)` float32.
        sigma : Tensor
            Their noise level in (0, 1], on the CPU.
        prompts : Tensor
            `(n, tokens, D)`.

        Returns
        -------
        Tensor
            `(n, C, T, h, w)` float32.
        """
        network = self.transformer
        if self.boundary is not None and float(sigma) < self.boundary:
            network = self.low_noise
        # The weights' own dtype: some layers stay in float32, so that the module's says nothing.
        dtype = network.patch_embedding.weight.dtype
        device = execution_device(network)
        local, timestep = x.to(device, dtype), self.table.timestep(sigma).to(device)

        def velocity(part: Tensor) -> Tensor:
            output: Tensor = network(
                hidden_states=local.expand(len(part), -1, -1, -1, -1),
                timestep=timestep.expand(len(part)),
                encoder_hidden_states=part.to(device, dtype),
                return_dict=False,
            )[0]
            return output

        velocities = self._in_batches(velocity, prompts)
        # The network predicts noise - x0, along the line from x0 to noise.
        return x - sigma * velocities.to(x.device, torch.float32)

    def _in_batches(self, work: Callable[[Tensor], Tensor], prompts: Tensor) -> Tensor:
        """`work` on all prompts at once, or on one after the other where memory or the caller says so."""
        if self.guidance_batch and len(prompts) > 1:
            try:
                return work(prompts)
            except torch.cuda.OutOfMemoryError:
                self.guidance_batch = False
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn("out of memory while sampling: going on with one prompt at a time", stacklevel=3)
        return torch.cat([work(prompt) for prompt in torch.split(prompts, 1)])


class GuidedFlow:
    """A Wan model under its prompts, with classifier-free guidance (Ho and Salimans 2022).

    Parameters
    ----------
    model : WanModel
        The model.
    positive, negative : Tensor
        `(1, tokens, D)`, of the same number of tokens.
    cfg : float
        Guidance scale; at 1 the negative prompt is not evaluated.
    """

    def __init__(self, model: WanModel, positive: Tensor, negative: Tensor, cfg: float) -> None:
        self._model = model
        self._positive = positive
        self._negative = negative
        self._cfg = cfg

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict x0 under guidance."""
        if math.isclose(self._cfg, 1.0):
            return self._model.predict(x, sigma, self._positive)
        return self.with_unconditional(x, sigma)[0]

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative."""
        both = self._model.predict(x, sigma, torch.cat([self._positive, self._negative]))
        positive, negative = both[:1], both[1:]
        return negative + (positive - negative) * self._cfg, negative
