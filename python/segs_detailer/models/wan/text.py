"""Wan's text encoder, UMT5: the `clip` of a Wan pipe."""

from __future__ import annotations

import html
import warnings
from typing import Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidTypeError
from segs_detailer.models.device import execution_device
from segs_detailer.models.prompt_weights import weighted_parts

__all__ = ["WanTextEncoder"]

_TOKENS = 512
"""Rows of every prompt: shorter ones were filled up with zeros in Wan's training, and its attention sees those too."""


class WanTextEncoder:
    """UMT5 with its tokenizer.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    encoder : transformers.UMT5EncoderModel
        The text model.
    """

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder

    @property
    def networks(self) -> tuple[Any, ...]:
        """The text model."""
        return (self.encoder,)

    @torch.no_grad()
    def encode(self, prompt: str) -> list[list[Any]]:
        """Conditioning of a prompt.

        Weights `(word:1.2)` are read by `weighted_parts`: a token's embedding is moved away from, or towards, that of
        the empty prompt at the same place.

        Parameters
        ----------
        prompt : str
            The prompt; it may be empty.

        Returns
        -------
        list
            One entry `[embedding (1, 512, D), {"prompt": prompt}]`; rows after the prompt's last token are 0.

        Raises
        ------
        InvalidTypeError
            The prompt is no string.

        Warns
        -----
        UserWarning
            The prompt has more than 511 tokens and is cut.
        """
        if not isinstance(prompt, str):
            raise InvalidTypeError("prompt", "a str", type(prompt).__name__)
        # As Wan's own text cleaning, but for the repair of broken encodings.
        text = " ".join(html.unescape(html.unescape(prompt)).split())
        ids, weights = self._tokenized(text)
        state = self._encoded(ids)
        if any(weight != 1.0 for weight in weights):
            empty = self._encoded([self._end])
            factor = torch.tensor([*weights, *[1.0] * (_TOKENS - len(weights))], device=state.device)[None, :, None]
            moved = (state.float() - empty.float()) * factor + empty.float()
            state = torch.where(factor == 1, state, moved.to(state.dtype))
        return [[state, {"prompt": prompt}]]

    @property
    def _end(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def _tokenized(self, text: str) -> tuple[list[int], list[float]]:
        ids: list[int] = []
        weights: list[float] = []
        for part, weight in weighted_parts(text):
            own = list(self.tokenizer(part, add_special_tokens=False, verbose=False).input_ids)
            ids += own
            weights += [weight] * len(own)
        if len(ids) >= _TOKENS:
            message = f"the prompt has {len(ids)} tokens and Wan takes {_TOKENS - 1}: the rest is left out"
            warnings.warn(message, stacklevel=3)
        return [*ids[: _TOKENS - 1], self._end], [*weights[: _TOKENS - 1], 1.0]

    def _encoded(self, ids: list[int]) -> Tensor:
        """States `(1, 512, D)` of tokens, filled up with zeros."""
        tokens = torch.tensor([ids], device=execution_device(self.encoder))
        state: Tensor = self.encoder(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        return torch.nn.functional.pad(state, (0, 0, 0, _TOKENS - len(ids)))
