"""Wan's transformers as a model over flow-matching noise levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.device import check_uniform, execution_device
from segs_detailer.models.flow_model import FlowModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.models.stages import SamplingOptions

__all__ = ["WanModel", "check_text_to_video", "is_wan_transformer"]

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


class WanModel(FlowModel):
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
        config = scheduler_config or {}
        check_uniform(transformer, "the transformer", dtypes=False)
        if low_noise is not None:
            check_uniform(low_noise, "the second transformer", dtypes=False)
        shift = config.get("flow_shift") or config.get("shift") or _SHIFT if shift is None else shift
        super().__init__(shift=shift, guidance_batch=guidance_batch, options=options)
        self.transformer = transformer
        self.low_noise = low_noise
        self.boundary = boundary

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """The transformer, or both of a pair."""
        return (self.transformer,) if self.low_noise is None else (self.transformer, self.low_noise)

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
        networks: list[Any] = list(self.networks)
        most = [
            [int(network.config.rope_max_seq_len) * side for side in network.config.patch_size] for network in networks
        ]
        frames, *sides = (min(axis) for axis in zip(*most, strict=True))
        return frames, min(sides)

    def velocity(self, x: Tensor, sigma: Tensor, prompts: Sequence[Tensor]) -> Tensor:
        """Predict noise - x0 under embeddings `(1, tokens, D)` of one length; see `FlowModel.velocity`."""
        network = self.transformer
        if self.boundary is not None and float(sigma) < self.boundary:
            network = self.low_noise
        # The weights' own dtype: some layers stay in float32, so that the module's says nothing.
        dtype = network.patch_embedding.weight.dtype
        device = execution_device(network)
        count = len(prompts)
        output: Tensor = network(
            hidden_states=x.to(device, dtype).expand(count, -1, -1, -1, -1),
            timestep=self.table.timestep(sigma).to(device).expand(count),
            encoder_hidden_states=torch.cat(list(prompts)).to(device, dtype),
            return_dict=False,
        )[0]
        return output
