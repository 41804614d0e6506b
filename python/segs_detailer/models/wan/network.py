"""Wan's transformers as a model over flow-matching noise levels."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.device import execution_device, is_of_diffusers
from segs_detailer.models.flow_model import FlowModel
from segs_detailer.models.wan.experts import Expert, Unread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.models.stages import SamplingOptions

__all__ = ["VaceControl", "WanModel", "WanPrompt", "check_text_to_video", "is_wan_transformer", "transformer_class"]

_TRANSFORMER = "WanTransformer3DModel"
_VACE = "WanVACETransformer3DModel"

_SHIFT = 5.0
"""Wan's own default for pictures of 720 lines."""

_TI2V_CHANNELS = 48
"""Channels of the latents of Wan 2.2 5B, which no other has: it was trained with a noise level for each token."""


def is_wan_transformer(model: object) -> bool:
    """Whether `model` is a transformer of Wan or VACE of diffusers; does not import diffusers."""
    return is_of_diffusers(model, _TRANSFORMER, _VACE)


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


def transformer_class(config: Mapping[str, Any], what: str) -> str:
    """Name of diffusers' class for a transformer.

    Parameters
    ----------
    config : mapping
        Its configuration.
    what : str
        The transformer, for the error.

    Raises
    ------
    ModelError
        It is of another class.
    """
    name = str(config.get("_class_name", _TRANSFORMER))
    if name not in (_TRANSFORMER, _VACE):
        raise ModelError(f"cannot load {what}: it is a {name}, not a {_TRANSFORMER} or {_VACE}")
    return name


@dataclass(frozen=True, slots=True, eq=False)
class VaceControl:
    """What VACE's control branch sees in a run.

    Parameters
    ----------
    latents : Tensor
        `(1, 96, T, h, w)`.
    scale : float
        Factor of its effect, in every layer.
    """

    latents: Tensor
    scale: float

    def inputs(self, count: int, layers: int, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """Arguments of the network for so many prompts and layers."""
        return {
            "control_hidden_states": self.latents.to(device, dtype).expand(count, -1, -1, -1, -1),
            "control_hidden_states_scale": torch.full((layers,), self.scale, device=device, dtype=dtype),
        }


class WanPrompt(NamedTuple):
    """What a transformer is given for one prompt.

    Parameters
    ----------
    embedding : Tensor
        `(1, tokens, D)`.
    control : VaceControl or None
        What VACE's control branch sees, the same for all prompts of a run.
    """

    embedding: Tensor
    control: VaceControl | None = None


class WanModel(FlowModel):
    """Wan 2.1 or 2.2, text to video, or VACE: the `model` of a `BasicPipe`.

    Parameters
    ----------
    transformer : diffusers.WanTransformer3DModel or diffusers.WanVACETransformer3DModel
        The network; of Wan 2.2's pair, the one for high noise.
    low_noise : diffusers.WanTransformer3DModel, diffusers.WanVACETransformer3DModel or None
        The second one of Wan 2.2's pair.
    boundary : float or None
        Noise level in (0, 1) below which `low_noise` works.
    expand_timesteps : bool or None
        Whether the model was trained to see clean what it knows, with a noise level for each token, as the 5B of Wan
        2.2 was. None: told from its channels.
    conditioning_scale : float
        Factor of the effect of VACE's control branch.
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
    InvalidArgumentError
        A boundary or a scale out of range, or a scale for a model without a control branch.
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
        expand_timesteps: bool | None = None,
        conditioning_scale: float | None = None,
        scheduler_config: Mapping[str, Any] | None = None,
        shift: float | None = None,
        guidance_batch: bool = True,
        options: SamplingOptions | None = None,
    ) -> None:
        self._experts = [Expert("transformer", _checked(transformer, "transformer"))]
        if low_noise is not None:
            self._experts.append(Expert("transformer_2", _checked(low_noise, "low_noise")))
        if (low_noise is None) != (boundary is None):
            raise ModelError("Wan 2.2's two transformers come with a boundary between them: give both or neither")
        if boundary is not None and not 0 < boundary < 1:
            raise InvalidArgumentError("boundary", "a number in (0, 1)", str(boundary))
        if len({_is_vace(expert) for expert in self._experts}) > 1:
            raise ModelError("one of the two transformers is VACE's and the other is not: they must be of one kind")
        config = {} if scheduler_config is None else scheduler_config
        chosen = config.get("flow_shift") or config.get("shift") or _SHIFT if shift is None else shift
        super().__init__(shift=float(chosen), guidance_batch=guidance_batch, options=options)
        self.boundary = boundary
        self.conditioning_scale = self._checked_scale(conditioning_scale)
        trained = self.latent_channels == _TI2V_CHANNELS if expand_timesteps is None else expand_timesteps
        self.expand_timesteps = trained and not self.is_vace
        self.references: tuple[Tensor, ...] = ()

    @property
    def experts(self) -> Sequence[Expert]:
        """The transformers, read or not."""
        return self._experts

    @property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """The transformers; of those that are not read yet and will lie in the computer's memory, their outlines."""
        return tuple(expert.outline for expert in self._experts if not expert.comes_to_accelerator)

    @property
    def coming(self) -> tuple[torch.nn.Module, ...]:
        """Outlines of the transformers that are not read yet and will lie on the accelerator."""
        return tuple(expert.outline for expert in self._experts if expert.comes_to_accelerator)

    @property
    def transformer(self) -> Any:
        """The transformer; of a pair, the one for high noise."""
        return self._experts[0].network

    @property
    def low_noise(self) -> Any:
        """The transformer for low noise; None where one does it all."""
        return self._experts[1].network if len(self._experts) > 1 else None

    @property
    def is_vace(self) -> bool:
        """Whether the model has VACE's control branch."""
        return _is_vace(self._experts[0])

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next((expert for expert in self._experts if expert.is_read), self._experts[0]).device

    @property
    def config(self) -> Any:
        """Configuration of the first transformer."""
        return self._experts[0].config

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.config.in_channels)

    @property
    def patch(self) -> tuple[int, int, int]:
        """Latents in a token, in time and along height and width."""
        frames, height, width = self.config.patch_size
        return int(frames), int(height), int(width)

    @property
    def latents_per_patch(self) -> int:
        """Latents along the side of a patch: sizes in latents are multiples of it."""
        return max(self.patch[1:])

    @property
    def clean_token(self) -> tuple[int, int, int] | None:
        """Latents in a token, where the model was trained with a noise level for each."""
        return self.patch if self.expand_timesteps else None

    @property
    def width(self) -> int:
        """Channels of a token's state."""
        return int(self.config.num_attention_heads * self.config.attention_head_dim)

    @property
    def inner_width(self) -> int:
        """Channels inside a feed-forward layer."""
        return int(self.config.ffn_dim)

    @property
    def control_layers(self) -> int:
        """Layers that the control branch acts on."""
        return len(self.config.vace_layers) if self.is_vace else 0

    @property
    def lead(self) -> int:
        """Latents before the clip's that pictures of the subject take; for VACE there is always room for one."""
        return max(len(self.references), int(self.is_vace))

    @property
    def most_latents(self) -> tuple[int, int]:
        """Most latents of a clip in time and along a side: each axis has so many positions, of patches."""
        most = [
            [int(expert.config.rope_max_seq_len) * side for side in expert.config.patch_size]
            for expert in self._experts
        ]
        frames, *sides = (min(axis) for axis in zip(*most, strict=True))
        return frames - self.lead, min(sides)

    def with_references(self, pictures: Sequence[Tensor]) -> WanModel:
        """Show the model pictures of the subject: another model over the same networks.

        Parameters
        ----------
        pictures : sequence of Tensor
            `(H, W, 3)` in [0, 1], of any size.
        """
        other = copy(self)
        other.references = tuple(pictures)
        return other

    def velocity(self, x: Tensor, sigma: Tensor, prompts: Sequence[WanPrompt]) -> Tensor:
        """See `FlowModel.velocity`."""
        network = self._expert_at(sigma).network
        # The weights' own dtype: some layers stay in float32, so that the module's says nothing.
        dtype = network.patch_embedding.weight.dtype
        device, count = execution_device(network), len(prompts)
        control = prompts[0].control
        timestep = self._timestep(sigma).to(device)
        output: Tensor = network(
            hidden_states=x.to(device, dtype).expand(count, -1, -1, -1, -1),
            timestep=timestep.expand(count, *timestep.shape[1:]),
            encoder_hidden_states=torch.cat([prompt.embedding for prompt in prompts]).to(device, dtype),
            return_dict=False,
            **({} if control is None else control.inputs(count, self.control_layers, device, dtype)),
        )[0]
        return output

    def _expert_at(self, sigma: Tensor) -> Expert:
        low = self.boundary is not None and float(sigma.max()) < self.boundary
        return self._experts[-1] if low else self._experts[0]

    def _timestep(self, sigma: Tensor) -> Tensor:
        """Timestep of all tokens `(1,)`, or of each `(1, tokens)`."""
        timestep = self.table.timestep(sigma)
        if timestep.ndim == 0:
            return timestep[None]
        frames, height, width = self.patch
        return timestep[0, 0, ::frames, ::height, ::width].reshape(1, -1)

    def _checked_scale(self, scale: float | None) -> float:
        if scale is None:
            return 1.0
        if not self.is_vace:
            raise InvalidArgumentError(
                "conditioning_scale", "None for a model without VACE's control branch", str(scale)
            )
        if not 0 <= scale < float("inf"):
            raise InvalidArgumentError("conditioning_scale", "a number of at least 0", str(scale))
        return float(scale)


def _checked(network: Any, argument: str) -> Any:
    outline: Any = network.skeleton if isinstance(network, Unread) else network
    if not is_wan_transformer(outline):
        raise InvalidTypeError(argument, f"a {_TRANSFORMER} or {_VACE}", type(network).__name__)
    check_text_to_video(outline.config, f"the {argument}")
    return network


def _is_vace(expert: Expert) -> bool:
    return any(base.__name__ == _VACE for base in type(expert.outline).__mro__)
