"""The text encoder of LTX-2: Gemma, and the connectors between it and the transformer."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from segs_detailer.models.device import execution_device
from segs_detailer.models.ltx.info import FAMILY_NAME
from segs_detailer.models.prompt_weights import unweighted

__all__ = ["LtxTextEncoder"]

_TOKENS = 1024


class LtxTextEncoder:
    """Gemma with its tokenizer, and the connectors.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Gemma's.
    encoder : transformers.PreTrainedModel
        Gemma 3, or Gemma 4 for LTX-2.5.
    connectors : diffusers.pipelines.ltx2.LTX2TextConnectors
        From its states to what the transformer reads for the picture and for the sound.
    """

    def __init__(self, tokenizer: Any, encoder: Any, connectors: Any) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.connectors = connectors

    @property
    def networks(self) -> tuple[Any, ...]:
        """Text model and connectors."""
        return self.encoder, self.connectors

    @torch.no_grad()
    def encode(self, prompt: str) -> list[list[Any]]:
        """Conditioning of a prompt.

        Parameters
        ----------
        prompt : str
            The prompt; it may be empty.

        Returns
        -------
        list
            One entry `[states (1, 1024, D), {"prompt": prompt, "sound_states": (1, 1024, E)}]`: learned registers stand
            where the prompt has no token.

        Raises
        ------
        InvalidTypeError
            The prompt is no string.

        Warns
        -----
        UserWarning
            The prompt has weights, which the network was not made for, or is too long and is cut.
        """
        text = unweighted(prompt, FAMILY_NAME)
        ids, mask = self._tokenized(text.strip())
        # All layers' states are large: only what the connectors make of them is kept.
        output = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        states = torch.stack(output.hidden_states, dim=-1).flatten(2)
        place = execution_device(self.connectors)
        picture, sound, _ = self.connectors(
            states.to(place, next(self.connectors.parameters()).dtype), mask.to(place), padding_side="left"
        )
        return [[picture, {"prompt": prompt, "sound_states": sound}]]

    def _tokenized(self, text: str) -> tuple[Tensor, Tensor]:
        """Tokens of a prompt and which of them count, `(1, 1024)`: filled up at the left, as Gemma expects it."""
        ids = list(self.tokenizer(text, add_special_tokens=True, verbose=False).input_ids)
        if len(ids) > _TOKENS:
            message = f"the prompt has {len(ids)} tokens and LTX-2 takes {_TOKENS}: the rest is left out"
            warnings.warn(message, stacklevel=4)
        ids = ids[:_TOKENS]
        blank = self.tokenizer.pad_token_id
        blank = self.tokenizer.eos_token_id if blank is None else blank
        missing = _TOKENS - len(ids)
        place = execution_device(self.encoder)
        tokens = torch.tensor([[blank] * missing + ids], device=place)
        return tokens, torch.tensor([[0] * missing + [1] * len(ids)], device=place)
