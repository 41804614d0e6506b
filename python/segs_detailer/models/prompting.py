"""Who encodes the prompts of a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from segs_detailer.models.registry import sampler_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from segs_detailer.models.interface import Conditioning

__all__ = ["PromptEncoder", "encoded_anew", "encoder_of"]


@runtime_checkable
class PromptEncoder(Protocol):
    """What `basic_pipe[1]` must be for prompts to be given as text."""

    def encode(self, prompt: str) -> Conditioning:
        """Conditioning of a prompt."""
        ...


def encoder_of(model: Any, clip: Any, vae: Any) -> Callable[[str], Conditioning] | None:
    """Find what encodes a pipe's prompts: its text encoder, else its model.

    Parameters
    ----------
    model, clip, vae : object
        Of a basic_pipe.

    Returns
    -------
    callable or None
        None where neither can.

    Raises
    ------
    ModelError
        There is no text encoder, and no family takes the model.
    """
    if isinstance(clip, PromptEncoder):
        return clip.encode
    sampler = sampler_for(model, clip, vae)
    return sampler.conditioning if sampler.info.prompts else None


def encoded_anew(conditioning: Conditioning, encode: Callable[[str], Conditioning]) -> Conditioning:
    """Encode the prompts of a conditioning once more, as far as it says what they are.

    Parameters
    ----------
    conditioning : Conditioning
        Entries, those of this package with their `prompt`.
    encode : callable
        What encodes a prompt, as `encoder_of` gives it.
    """
    entries = []
    for embedding, options in conditioning:
        if "prompt" not in options:
            entries.append([embedding, options])
            continue
        ((embeds, fresh),) = encode(options["prompt"])
        entries.append([embeds, {**options, **fresh}])
    return entries
