"""CLIP text encoders: the `clip` of a `BasicPipe`."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.device import execution_device
from segs_detailer.models.prompt_weights import weighted_parts
from segs_detailer.models.sd.tokens import SpecialTokens, TokenRow, token_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TextEncoder"]

_EMBEDDING = re.compile(r"(?:^|(?<=[\s,]))embedding:([^\s,]+)")
"""ComfyUI's name of a learned word."""


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

    @property
    def networks(self) -> tuple[Any, ...]:
        """The text models."""
        return tuple(self.encoders)

    @torch.no_grad()
    def encode(self, prompt: str) -> list[list[Any]]:
        """Conditioning of a prompt.

        Weights are read by `weighted_parts`: a token's embedding is moved away from, or towards, that of the empty
        prompt at the same place. Prompts of more than 75 tokens are encoded in rows of 75, joined along the tokens.
        Words that textual inversion added to the tokenizer are written as they are, or as `embedding:name`.

        Parameters
        ----------
        prompt : str
            The prompt; it may be empty.

        Returns
        -------
        list
            One entry `[embedding (1, 77 n, D), {"pooled_output": (1, P), "prompt": prompt}]`.

        Raises
        ------
        InvalidTypeError
            The prompt is no string.

        Warns
        -----
        UserWarning
            `embedding:name` names a word that no tokenizer knows; it is left out.
        """
        if not isinstance(prompt, str):
            raise InvalidTypeError("prompt", "a str", type(prompt).__name__)
        parts = weighted_parts(prompt)
        self._warn_of_unknown_words(prompt)
        width = min(int(encoder.config.max_position_embeddings) for encoder in self.encoders) - 2
        rows = [_tokenized(tokenizer, parts, width) for tokenizer in self.tokenizers]
        count = max(len(own) for own in rows)
        states: list[Tensor] = []
        pooled: Tensor | None = None
        for tokenizer, encoder, own in zip(self.tokenizers, self.encoders, rows, strict=True):
            padded = [*own, *token_rows([], width, _special(tokenizer)) * (count - len(own))]
            state, pooled = self._encoded(tokenizer, encoder, padded, width)
            states.append(state.to(states[0].device) if states else state)
        return [[torch.cat(states, dim=-1), {"pooled_output": pooled, "prompt": prompt}]]

    def _encoded(self, tokenizer: Any, encoder: Any, rows: list[TokenRow], width: int) -> tuple[Tensor, Tensor]:
        """Weighted states `(1, 77 n, D)` and the pooled output of the first row."""
        ids = [row.ids for row in rows]
        weighted = any(weight != 1.0 for row in rows for weight in row.weights)
        if weighted:
            ids.append(token_rows([], width, _special(tokenizer))[0].ids)
        output = encoder(torch.tensor(ids, device=execution_device(encoder)), output_hidden_states=True)
        # SD 1.5 takes the last state after the final norm, SDXL the one before the last layer.
        state: Tensor = output.hidden_states[-2] if len(self.encoders) == 2 else output.last_hidden_state
        if weighted:
            empty, state = state[-1:], state[:-1]
            weights = torch.tensor([row.weights for row in rows], device=state.device)[..., None]
            moved = (state.float() - empty.float()) * weights + empty.float()
            state = torch.where(weights == 1, state, moved.to(state.dtype))
        projected: Tensor | None = getattr(output, "text_embeds", None)
        pooled: Tensor = output.pooler_output if projected is None else projected
        return state.flatten(0, 1)[None], pooled[:1]

    def _warn_of_unknown_words(self, prompt: str) -> None:
        for name in _EMBEDDING.findall(prompt):
            if not any(_learned_word(tokenizer, name) for tokenizer in self.tokenizers):
                message = f"embedding:{name} is left out: no textual inversion of that name is loaded"
                warnings.warn(message, stacklevel=3)


def _special(tokenizer: Any) -> SpecialTokens:
    padding = tokenizer.pad_token_id
    end = int(tokenizer.eos_token_id)
    return SpecialTokens(int(tokenizer.bos_token_id), end, end if padding is None else int(padding))


def _tokenized(tokenizer: Any, parts: list[tuple[str, float]], width: int) -> list[TokenRow]:
    stretches = [
        (
            list(tokenizer(_with_learned_words(tokenizer, text), add_special_tokens=False, verbose=False).input_ids),
            weight,
        )
        for text, weight in parts
    ]
    return token_rows(stretches, width, _special(tokenizer))


def _learned_word(tokenizer: Any, name: str) -> str | None:
    """Spelling under which the tokenizer knows a word that was added to it, with or without angle brackets."""
    added = tokenizer.get_added_vocab()
    return next((word for word in (name, f"<{name}>", name.strip("<>")) if word in added), None)


def _with_learned_words(tokenizer: Any, text: str) -> str:
    """Write every learned word as its tokens: one of several vectors is `word word_1 word_2 ...` to the tokenizer."""
    text = _EMBEDDING.sub(lambda match: _learned_word(tokenizer, match[1]) or "", text)
    added = tokenizer.get_added_vocab()
    for word in added:
        if f"{word}_1" in added and word in text:
            count = 1
            while f"{word}_{count}" in added:
                count += 1
            spelled = " ".join([word, *(f"{word}_{index}" for index in range(1, count))])
            # Not where it is spelled out already, nor inside the name of one of its own later vectors.
            text = re.sub(rf"{re.escape(word)}(?!_\d)(?! {re.escape(word)}_1)", spelled.replace("\\", r"\\"), text)
    return text
