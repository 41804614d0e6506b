"""Conditioning: from prompts to entries, and from entries to what one run needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import InvalidArgumentError, ModelError
from ..denoise_mask import latent_mask
from .control import PreparedControl, control_hints
from .device import execution_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..protocol import Conditioning
    from ..sigma_table import SigmaTable

__all__ = ["PreparedEntry", "TextEncoder", "prepare_conditioning"]


class TextEncoder:
    """CLIP text encoders with their tokenizers: one for SD 1.5, two for SDXL.

    Parameters
    ----------
    tokenizers : sequence
        CLIP tokenizers of transformers.
    encoders : sequence
        The text models, in the same order. With two, the penultimate hidden states are joined and the second one's
        projection is the pooled output, as SDXL wants.
    """

    def __init__(self, tokenizers: Sequence[Any], encoders: Sequence[Any]) -> None:
        if len(tokenizers) != len(encoders) or not 1 <= len(encoders) <= 2:
            expected = "one or two tokenizers and as many encoders"
            raise InvalidArgumentError("encoders", expected, f"{len(tokenizers)} and {len(encoders)}")
        self.tokenizers = list(tokenizers)
        self.encoders = list(encoders)

    @torch.no_grad()
    def encode(self, prompt: str) -> list[list[Any]]:
        """Conditioning of a prompt.

        Prompts of more than 75 tokens are encoded in parts of 75, joined along the tokens.

        Parameters
        ----------
        prompt : str
            The prompt; it may be empty.

        Returns
        -------
        list
            One entry `[embedding (1, 77 n, D), {"pooled_output": (1, P)}]`.
        """
        ids = [tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids for tokenizer in self.tokenizers]
        width = min(int(encoder.config.max_position_embeddings) for encoder in self.encoders) - 2
        parts = max(1, *(-(-len(tokens) // width) for tokens in ids))
        states: list[list[Tensor]] = []
        pooled: Tensor | None = None
        for tokenizer, encoder, tokens in zip(self.tokenizers, self.encoders, ids, strict=True):
            rows = [self._row(tokenizer, tokens[part * width : (part + 1) * width], width) for part in range(parts)]
            output = encoder(torch.tensor(rows, device=execution_device(encoder)), output_hidden_states=True)
            # SD 1.5 takes the last state after the final norm, SDXL the one before the last layer.
            state = output.hidden_states[-2] if len(self.encoders) == 2 else output.last_hidden_state
            states.append([state.flatten(0, 1)[None]])
            whole = getattr(output, "text_embeds", None)
            pooled = (output.pooler_output if whole is None else whole)[:1]
        embedding = torch.cat([state[0].to(states[0][0].device) for state in states], dim=-1)
        return [[embedding, {"pooled_output": pooled}]]

    @staticmethod
    def _row(tokenizer: Any, tokens: list[int], width: int) -> list[int]:
        padding = tokenizer.pad_token_id
        fill = tokenizer.eos_token_id if padding is None else padding
        return [tokenizer.bos_token_id, *tokens, tokenizer.eos_token_id, *([fill] * (width - len(tokens)))]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedEntry:
    """One conditioning entry, ready for a run.

    Parameters
    ----------
    embedding : Tensor
        `(1, T, D)` in the model's dtype, on its device.
    added : dict or None
        SDXL's `text_embeds` `(1, P)` and `time_ids` `(1, 6)`.
    weight : Tensor or float
        Share in the average: `strength`, times the mask `(1 or F, 1, h, w)` where there is one.
    start_sigma, end_sigma : float
        It acts from the first level down to the second.
    controls : tuple
        `(control, start_sigma, end_sigma)` of its ControlNets.
    """

    embedding: Tensor
    added: dict[str, Tensor] | None
    weight: Tensor | float
    start_sigma: float
    end_sigma: float
    controls: tuple[tuple[PreparedControl, float, float], ...]

    def active(self, sigma: float) -> bool:
        """Whether it acts at a noise level."""
        return self.end_sigma <= sigma <= self.start_sigma

    def active_controls(self, sigma: float) -> tuple[PreparedControl, ...]:
        """Its ControlNets that act at a noise level."""
        return tuple(control for control, start, end in self.controls if end <= sigma <= start)


def prepare_conditioning(
    conditioning: Conditioning,
    argument: str,
    latents: Tensor,
    table: SigmaTable,
    *,
    dtype: torch.dtype,
    needs_pooled: bool,
    pixels_per_latent: int,
) -> list[PreparedEntry]:
    """Check conditioning entries and bring them to a run's size, dtype and device.

    Parameters
    ----------
    conditioning : sequence
        Entries `[embedding, options]`. Of the options these count: `pooled_output`, `mask` with `mask_strength`,
        `strength`, `start_percent` and `end_percent`, `control`, and SDXL's `width`, `height`, `crop_w`, `crop_h`,
        `target_width`, `target_height`.
    argument : str
        The argument's name, for errors.
    latents : Tensor
        `(F, C, h, w)` of the run, on the model's device.
    table : SigmaTable
        Turns percents into noise levels.
    dtype : torch.dtype
        The model's dtype.
    needs_pooled : bool
        The model takes SDXL's added conditioning.
    pixels_per_latent : int
        The VAE's spatial factor.
    """
    if not conditioning:
        raise InvalidArgumentError(argument, "at least one conditioning entry", "none")
    height, width = (int(side) * pixels_per_latent for side in latents.shape[-2:])
    entries = []
    for entry in conditioning:
        embedding, options = _checked(entry, argument)
        added = _added(options, height, width, latents.device, dtype) if needs_pooled else None
        controls = tuple(
            (
                hint.prepare(len(latents), height, width),
                table.percent_to_sigma(hint.start),
                table.percent_to_sigma(hint.end),
            )
            for hint in control_hints(options.get("control"))
        )
        weight: Tensor | float = float(options.get("strength", 1.0))
        if options.get("mask") is not None:
            mask = latent_mask(torch.as_tensor(options["mask"]), latents, f"{argument} mask")
            weight = mask * (weight * float(options.get("mask_strength", 1.0)))
        entries.append(
            PreparedEntry(
                embedding.to(latents.device, dtype),
                added,
                weight,
                table.percent_to_sigma(float(options.get("start_percent", 0.0))),
                table.percent_to_sigma(float(options.get("end_percent", 1.0))),
                controls,
            )
        )
    return entries


def _checked(entry: Any, argument: str) -> tuple[Tensor, Mapping[str, Any]]:
    try:
        embedding, options = entry
    except (TypeError, ValueError):
        expected = "entries [embedding, {...}]"
        raise InvalidArgumentError(argument, expected, f"an entry of type {type(entry).__name__}") from None
    if not isinstance(embedding, Tensor) or embedding.ndim != 3 or len(embedding) != 1:
        got = f"shape {tuple(embedding.shape)}" if isinstance(embedding, Tensor) else type(embedding).__name__
        raise InvalidArgumentError(argument, "embeddings of shape (1, tokens, channels)", got)
    return embedding, options or {}


def _added(
    options: Mapping[str, Any], height: int, width: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    pooled = options.get("pooled_output")
    if pooled is None:
        raise ModelError("this UNet needs a pooled_output in every conditioning entry (SDXL), and one has none")
    sizes = [
        options.get("height", height),
        options.get("width", width),
        options.get("crop_h", 0),
        options.get("crop_w", 0),
        options.get("target_height", height),
        options.get("target_width", width),
    ]
    return {
        "text_embeds": pooled.to(device, dtype),
        "time_ids": torch.tensor([sizes], device=device, dtype=dtype),
    }
