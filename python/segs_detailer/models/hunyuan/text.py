"""The text encoders of HunyuanVideo 1.5: Qwen2.5-VL for the prompt, byT5 for text that is to be seen."""

from __future__ import annotations

import re
import warnings
from typing import Any

import torch
from torch import Tensor

from segs_detailer.models.device import execution_device
from segs_detailer.models.hunyuan.info import FAMILY_NAME
from segs_detailer.models.prompt_weights import unweighted

__all__ = ["HunyuanTextEncoder"]

_SYSTEM = "        ".join(
    (
        "You are a helpful assistant. Describe the video by detailing the following aspects: ",
        "1. The main content and theme of the video. ",
        "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects. ",
        "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects. ",
        "4. background environment, light, style and atmosphere. ",
        "5. camera angles, movements, and transitions used in the video.",
    )
)
"""What the network was trained with, spaces and all, before every prompt."""

_SYSTEM_TOKENS = 108
"""Tokens of that text and its marks, whose states are left out."""

_TOKENS = 1000
_GLYPH_TOKENS = 256
_LAYER = -3
"""The states that the transformer reads are those before the last two layers."""

_QUOTED = re.compile(r'"(.*?)"|“(.*?)”')


class HunyuanTextEncoder:
    """Qwen2.5-VL's text model and byT5, with their tokenizers.

    Parameters
    ----------
    tokenizer : transformers.Qwen2Tokenizer
        With its chat template.
    encoder : transformers.Qwen2_5_VLTextModel
        The text model.
    glyph_tokenizer : transformers.ByT5Tokenizer
        Of the second one.
    glyph_encoder : transformers.T5EncoderModel
        The second one.
    """

    def __init__(self, tokenizer: Any, encoder: Any, glyph_tokenizer: Any, glyph_encoder: Any) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.glyph_tokenizer = glyph_tokenizer
        self.glyph_encoder = glyph_encoder

    @property
    def networks(self) -> tuple[Any, ...]:
        """Both text models."""
        return self.encoder, self.glyph_encoder

    @torch.no_grad()
    def encode(self, prompt: str) -> list[list[Any]]:
        """Conditioning of a prompt.

        Parameters
        ----------
        prompt : str
            The prompt; it may be empty. Text in quotes is to be seen in the picture, and is also read by byT5.

        Returns
        -------
        list
            One entry `[states (1, n, D), {"prompt": prompt, "glyphs": Tensor (1, m, E) or None}]`.

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
        return [[self._states(text), {"prompt": prompt, "glyphs": self._glyphs(text)}]]

    def _states(self, text: str) -> Tensor:
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": text or " "}]
        ids = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        ).input_ids
        most = _SYSTEM_TOKENS + _TOKENS
        if ids.shape[1] > most:
            message = f"the prompt has {ids.shape[1] - _SYSTEM_TOKENS} tokens and HunyuanVideo takes {_TOKENS}"
            warnings.warn(f"{message}: the rest is left out", stacklevel=4)
        ids = ids[:, :most].to(execution_device(self.encoder))
        output = self.encoder(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        states: Tensor = output.hidden_states[_LAYER][:, _SYSTEM_TOKENS:]
        return states

    def _glyphs(self, text: str) -> Tensor | None:
        quoted = dict.fromkeys(straight or curly for straight, curly in _QUOTED.findall(text))
        if not quoted:
            return None
        named = "".join(f'Text "{words}". ' for words in quoted)
        ids = self.glyph_tokenizer(named, truncation=True, max_length=_GLYPH_TOKENS, return_tensors="pt").input_ids
        ids = ids.to(execution_device(self.glyph_encoder))
        states: Tensor = self.glyph_encoder(input_ids=ids, attention_mask=torch.ones_like(ids).float())[0]
        return states
