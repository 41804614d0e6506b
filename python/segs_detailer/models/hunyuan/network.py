"""The transformer of HunyuanVideo 1.5 as a model over flow-matching noise levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from segs_detailer.errors import InvalidTypeError, ModelError
from segs_detailer.models.device import execution_device, is_of_diffusers
from segs_detailer.models.flow_model import TransformerFlow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.models.stages import SamplingOptions

__all__ = ["HunyuanModel", "HunyuanPrompt", "check_text_to_video", "is_hunyuan_transformer"]

_TRANSFORMER = "HunyuanVideo15Transformer3DModel"

_SHIFT = 5.0
"""The makers' own for pictures of 480 lines."""


def is_hunyuan_transformer(model: object) -> bool:
    """Whether `model` is the transformer of HunyuanVideo 1.5 of diffusers; does not import diffusers."""
    return is_of_diffusers(model, _TRANSFORMER)


def check_text_to_video(config: Mapping[str, Any], what: str) -> None:
    """Raise if a transformer was trained to go on from a picture.

    Parameters
    ----------
    config : mapping
        Its configuration.
    what : str
        The transformer, for the error.

    Raises
    ------
    ModelError
        It was.
    """
    if config.get("task_type") != "t2v" or config.get("use_meanflow"):
        raise ModelError(
            f"{what} wants the first frame of its clip (image to video): only text-to-video models of HunyuanVideo 1.5 "
            "can repaint a clip"
        )


class HunyuanPrompt(NamedTuple):
    """A prompt as the transformer reads it.

    Parameters
    ----------
    states : Tensor
        `(1, n, D)`: the whole prompt, from Qwen2.5-VL; at least one token.
    glyphs : Tensor or None
        `(1, m, E)`: text in quotes that is to be seen in the picture, from byT5; None where there is none.
    """

    states: Tensor
    glyphs: Tensor | None = None


class HunyuanModel(TransformerFlow):
    """HunyuanVideo 1.5, text to video: the `model` of a `BasicPipe`.

    Parameters
    ----------
    transformer : diffusers.HunyuanVideo15Transformer3DModel
        The network.
    scheduler_config : mapping or None
        Configuration of diffusers' scheduler, for its `shift`.
    guidance : float or None
        Guidance scale that the checkpoint was made for, 1 where it was distilled; None is not known.
    shift, guidance_batch, options
        See `FlowModel`; a shift of None is the scheduler's, or 5.

    Raises
    ------
    InvalidTypeError
        The network is of another class.
    ModelError
        The network wants a picture, or is spread over several devices.
    """

    def __init__(
        self,
        transformer: Any,
        *,
        scheduler_config: Mapping[str, Any] | None = None,
        guidance: float | None = None,
        shift: float | None = None,
        guidance_batch: bool = True,
        options: SamplingOptions | None = None,
    ) -> None:
        if not is_hunyuan_transformer(transformer):
            raise InvalidTypeError("transformer", f"a {_TRANSFORMER}", type(transformer).__name__)
        check_text_to_video(transformer.config, "the transformer")
        shift = (scheduler_config or {}).get("shift") or _SHIFT if shift is None else shift
        super().__init__(transformer, shift=shift, guidance_batch=guidance_batch, options=options)
        self.guidance = guidance

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.transformer.config.out_channels)

    @property
    def inner_width(self) -> int:
        """Channels inside a feed-forward layer."""
        return int(self.width * self.transformer.config.mlp_ratio)

    def velocity(self, x: Tensor, sigma: Tensor, prompts: Sequence[HunyuanPrompt]) -> Tensor:
        """Predict noise - x0 under prompts of any lengths; see `FlowModel.velocity`."""
        config = self.transformer.config
        # The weights' own dtype: layers that are cast for each call say nothing.
        dtype = self.transformer.x_embedder.proj.weight.dtype
        device = execution_device(self.transformer)
        count = len(prompts)
        local = x.to(device, dtype)
        # No frame is given: the places of given frames and of their mask are 0, and there is no picture to look at.
        given = local.new_zeros(1, config.in_channels - self.latent_channels, *local.shape[2:])
        states, mask = _padded([prompt.states for prompt in prompts], config.text_embed_dim)
        glyphs, glyph_mask = _padded([prompt.glyphs for prompt in prompts], config.text_embed_2_dim)
        output: Tensor = self.transformer(
            hidden_states=torch.cat([local, given], dim=1).expand(count, -1, -1, -1, -1),
            timestep=self.table.timestep(sigma).to(device, dtype).expand(count),
            encoder_hidden_states=states.to(device, dtype),
            encoder_attention_mask=mask.to(device, dtype),
            encoder_hidden_states_2=glyphs.to(device, dtype),
            encoder_attention_mask_2=glyph_mask.to(device, dtype),
            image_embeds=local.new_zeros(count, 1, config.image_embed_dim),
            return_dict=False,
        )[0]
        return output


def _padded(rows: Sequence[Tensor | None], width: int) -> tuple[Tensor, Tensor]:
    """Fill states up to one length, at least 1: `(n, tokens, width)`, and a mask `(n, tokens)` of those that count.

    What does not count has no influence: the network masks it.
    """
    empty = torch.zeros(1, 0, width)
    known = [empty if row is None else row for row in rows]
    length = max(1, *(row.shape[1] for row in known))
    states = [torch.nn.functional.pad(row.float(), (0, 0, 0, length - row.shape[1])) for row in known]
    counts = torch.tensor([row.shape[1] for row in known])
    return torch.cat([row.to(states[0].device) for row in states]), (torch.arange(length) < counts[:, None]).float()
