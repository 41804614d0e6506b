"""LTX-2's transformer as a model over flow-matching noise levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from segs_detailer.errors import InvalidTypeError
from segs_detailer.models.device import execution_device, is_of_diffusers
from segs_detailer.models.flow import FlowTable
from segs_detailer.models.flow_model import GuidedFlow, TransformerFlow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.models.stages import SamplingOptions

__all__ = ["Hearing", "LtxFlow", "LtxModel", "LtxPrompt", "distilled_table", "is_ltx_transformer"]

_TRANSFORMER = "LTX2VideoTransformer3DModel"

_SHIFTS = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "max_image_seq_len": 4096}
"""Logarithm of the shift at two numbers of tokens, where the scheduler names no others."""

_SCHEDULE = {"use_dynamic_shifting": True, "shift_terminal": 0.1}
"""Of the full checkpoints, for a transformer that comes without its scheduler."""

_DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
"""Levels of the distilled checkpoints' eight steps, by their makers. The last three are those that they refine with."""

_RESCALE = 0.7
"""How far guidance keeps the contrast of the prompt's own prediction, by the makers."""

_FASTEST = 30.0
_SNAPPED = 60.0
"""Frame rates above the first were trained as the second alone."""


def is_ltx_transformer(model: object) -> bool:
    """Whether `model` is LTX-2's transformer of diffusers; does not import diffusers."""
    return is_of_diffusers(model, _TRANSFORMER)


def distilled_table() -> FlowTable:
    """Make the noise levels of distilled checkpoints: `simple` with 8 steps takes exactly those that they know.

    Between them levels lie on straight lines.
    """
    knots = np.linspace(1, 0, len(_DISTILLED) + 1)[:-1]
    times = np.arange(1, 1001) / 1000
    levels = torch.from_numpy(np.interp(times, [0.0, *knots[::-1]], [0.0, *_DISTILLED[::-1]]))
    return FlowTable(levels.float(), levels.log().float())


@dataclass(frozen=True, slots=True, eq=False)
class Hearing:
    """What the transformer is told of time and sound in a run.

    Parameters
    ----------
    frame_rate : float
        Frames per second.
    sound : Tensor or None
        `(1, tokens, C)`: what is heard, clean. None: nothing, and the picture is made as if there were no sound at all.
    """

    frame_rate: float = 24.0
    sound: Tensor | None = None

    @property
    def told_rate(self) -> float:
        """The frame rate that the network is told: one that it was trained on."""
        return self.frame_rate if self.frame_rate <= _FASTEST else _SNAPPED


class LtxPrompt(NamedTuple):
    """A prompt as the transformer reads it, and what it hears meanwhile.

    Parameters
    ----------
    picture, sound : Tensor
        `(1, tokens, D)` and `(1, tokens, E)`: what the connectors made of the prompt for each.
    hearing : Hearing
        The same for all prompts of a run.
    """

    picture: Tensor
    sound: Tensor
    hearing: Hearing = Hearing()


class LtxModel(TransformerFlow):
    """LTX-2, 2.3 or 2.5: the `model` of a `BasicPipe`.

    Parameters
    ----------
    transformer : diffusers.LTX2VideoTransformer3DModel
        The network.
    scheduler_config : mapping or None
        Configuration of diffusers' scheduler: a full checkpoint's says how the shift grows with the picture
        (`use_dynamic_shifting`), a distilled one's does not shift; a `flow_shift` or another `shift` than 1 is taken as
        it is.
    rescale : float
        Share in [0, 1] by which guidance keeps the contrast of the prompt's own prediction.
    guidance_batch, options
        See `FlowModel`.

    Raises
    ------
    InvalidTypeError
        The network is of another class.
    ModelError
        It is spread over several devices.
    """

    def __init__(
        self,
        transformer: Any,
        *,
        scheduler_config: Mapping[str, Any] | None = None,
        rescale: float = _RESCALE,
        guidance_batch: bool = True,
        options: SamplingOptions | None = None,
    ) -> None:
        if not is_ltx_transformer(transformer):
            raise InvalidTypeError("transformer", f"a {_TRANSFORMER}", type(transformer).__name__)
        self.scheduler_config = dict(_SCHEDULE if scheduler_config is None else scheduler_config)
        shift = float(self.scheduler_config.get("flow_shift") or self.scheduler_config.get("shift") or 1.0)
        super().__init__(transformer, shift=shift, guidance_batch=guidance_batch, options=options)
        self.rescale = rescale
        self._has_own_shift = shift != 1.0
        if self.is_distilled:
            self.table = distilled_table()

    @property
    def is_distilled(self) -> bool:
        """Whether it was made for few steps without guidance."""
        return not self._has_own_shift and not self.scheduler_config.get("use_dynamic_shifting")

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.transformer.config.in_channels)

    def table_for(self, tokens: int) -> FlowTable:
        """Noise levels for pictures of so many tokens: of a full checkpoint the shift grows with them.

        Parameters
        ----------
        tokens : int
            Of all frames.
        """
        if self._has_own_shift or self.is_distilled:
            return self.table
        low, high, few, many = (float(self.scheduler_config.get(name, value)) for name, value in _SHIFTS.items())
        return FlowTable.shifted(math.exp(low + (high - low) * (tokens - few) / (many - few)))

    def stretched(self, sigmas: Tensor) -> Tensor:
        """Stretch a schedule so that its last level before 0 is the one that a full checkpoint ends with."""
        terminal = float(self.scheduler_config.get("shift_terminal") or 0.0)
        if self.is_distilled or not terminal or len(sigmas) < 3:
            return sigmas
        noisy = 1 - sigmas[:-1]
        return torch.cat([1 - noisy * (1 - terminal) / noisy[-1], sigmas[-1:]])

    @property
    def clean_token(self) -> tuple[int, int, int]:
        """Each latent is a token with a noise level of its own; what is known was seen clean in training."""
        return 1, 1, 1

    def velocity(self, x: Tensor, sigma: Tensor, prompts: Sequence[LtxPrompt]) -> Tensor:
        """Predict noise - x0; see `FlowModel.velocity`."""
        config, count = self.transformer.config, len(prompts)
        # The weights' own dtype: layers that are cast for each call say nothing.
        dtype = self.transformer.proj_in.weight.dtype
        device = execution_device(self.transformer)
        _, _, frames, height, width = x.shape
        times = self.table.timestep(sigma).to(device)
        level = times.max().expand(count)
        hearing = prompts[0].hearing
        is_deaf = hearing.sound is None
        # The network wants at least one token of sound; isolated, it does not reach the picture.
        sound = torch.zeros(1, 1, config.audio_in_channels) if hearing.sound is None else hearing.sound
        silence = torch.zeros(count, device=device)
        output: Tensor = self.transformer(
            hidden_states=x[0].flatten(1).T[None].to(device, dtype).expand(count, -1, -1),
            audio_hidden_states=sound.to(device, dtype).expand(count, -1, -1),
            encoder_hidden_states=torch.cat([prompt.picture for prompt in prompts]).to(device, dtype),
            audio_encoder_hidden_states=torch.cat([prompt.sound for prompt in prompts]).to(device, dtype),
            timestep=times.flatten().expand(count, -1) if times.ndim else level,
            audio_timestep=silence,
            sigma=level,
            audio_sigma=silence,
            num_frames=frames,
            height=height,
            width=width,
            fps=hearing.told_rate,
            audio_num_frames=sound.shape[1],
            isolate_modalities=is_deaf,
            use_cross_timestep=bool(config.cross_attn_mod),
            return_dict=False,
        )[0]
        return output.transpose(1, 2).reshape(count, -1, frames, height, width)


class LtxFlow(GuidedFlow):
    """LTX-2 under its prompts: guidance keeps a share of the prompt's own contrast (Lin et al. 2023, equation 16)."""

    _model: LtxModel

    def with_unconditional(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Predict x0, guided and negative."""
        both = self._model.predict(x, sigma, [self._positive, self._negative])
        positive, negative = both[:1], both[1:]
        guided = negative + (positive - negative) * self._cfg
        share = self._model.rescale
        kept = guided * (positive.std() / guided.std().clamp_min(1e-12))
        return share * kept + (1 - share) * guided, negative
