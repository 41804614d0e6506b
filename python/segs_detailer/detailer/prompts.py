"""Prompts of one's own for single segments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer.checks import number_ranges
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from segs_detailer.detailer.models import Models, PipeModel
    from segs_detailer.segs import SEG

__all__ = ["Prompts", "SegmentPrompts", "check_prompts", "checked_prompts", "load_prompts", "prompt_of"]

Prompts: TypeAlias = "Mapping[str | int, str | tuple[str, str]]"
"""A segment's label, or its number from 1, to its prompt or `(prompt, negative prompt)`."""

_VALUES = "a prompt or (prompt, negative prompt)"


def load_prompts(path: str | PathLike[str]) -> dict[str | int, str | tuple[str, str]]:
    """Read prompts from a JSON file.

    Parameters
    ----------
    path : str or path
        An object whose keys are labels, or numbers as digits (`"1"`), and whose values are a prompt, a list
        `[prompt, negative prompt]`, or an object with `"prompt"` and, where wanted, `"negative_prompt"`.

    Returns
    -------
    dict
        The `prompts` of `detail_frames`.

    Raises
    ------
    InvalidArgumentError
        The file holds something else.
    OSError
        It cannot be read.

    Examples
    --------
    >>> from segs_detailer import load_prompts
    >>> load_prompts("prompts.json")  # {"face": "a smiling woman", "2": ["an old man", "beard"]}
    {'face': 'a smiling woman', 2: ('an old man', 'beard')}
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgumentError(f"{path}", "a JSON object of prompts", f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidArgumentError(f"{path}", "a JSON object of prompts", f"a {type(content).__name__}")
    prompts: dict[str | int, str | tuple[str, str]] = {}
    for key, value in content.items():
        name: str | int = int(key) if key.isascii() and key.isdigit() else key
        prompts[name] = _pair_of_json(value) if isinstance(value, dict) else value
    return checked_prompts(prompts)


def checked_prompts(prompts: object) -> dict[str | int, str | tuple[str, str]]:
    """Return prompts with their pairs as tuples.

    Raises
    ------
    InvalidTypeError
        No mapping of labels or numbers to prompts.
    """
    if not isinstance(prompts, Mapping):
        raise InvalidTypeError("prompts", "a mapping of labels or numbers to prompts", type(prompts).__name__)
    return {key: _checked(key, value) for key, value in prompts.items()}


def _pair_of_json(value: dict[str, Any]) -> Any:
    unknown = set(value) - {"prompt", "negative_prompt"}
    if unknown or "prompt" not in value:
        got = ", ".join(sorted(value)) or "nothing"
        raise InvalidArgumentError("prompts", 'the keys "prompt" and "negative_prompt"', got)
    return (value["prompt"], value["negative_prompt"]) if "negative_prompt" in value else value["prompt"]


def prompt_of(prompts: Prompts, number: int, label: str) -> str | tuple[str, str] | None:
    """Find a segment's prompt: that of its number, else that of its label, else None.

    Parameters
    ----------
    prompts : mapping
        The prompts.
    number : int
        The segment's number, from 1.
    label : str
        Its label.
    """
    return prompts.get(number, prompts.get(label))


def check_prompts(prompts: Prompts, labels: Mapping[int, str]) -> None:
    """Refuse prompts that no segment gets.

    Parameters
    ----------
    prompts : mapping
        The prompts.
    labels : mapping
        Those of the run's segments, by their numbers.

    Raises
    ------
    InvalidArgumentError
        A label or number that no segment has; the message lists those that exist.
    """
    names = tuple(dict.fromkeys(labels.values()))
    unknown = [key for key in prompts if key not in (names if isinstance(key, str) else labels)]
    if unknown:
        known = ", ".join(map(repr, names)) or "none"
        numbers = f"; numbers: {number_ranges(labels)}" if labels else ""
        got = ", ".join(map(repr, unknown)) + did_you_mean(unknown[0], names)
        raise InvalidArgumentError("prompts", f"labels of segments ({known}{numbers})", got)


@dataclass(frozen=True, slots=True)
class SegmentPrompts:
    """Models under each segment's own prompts.

    Parameters
    ----------
    prompts : mapping
        As given; every value is a pair or a string.
    encoded : mapping
        Models under each key's prompt.
    """

    prompts: Prompts
    encoded: Mapping[str | int, Models]

    @classmethod
    def of(cls, prompts: object, models: Models) -> SegmentPrompts:
        """Check prompts and encode them, each once.

        Parameters
        ----------
        prompts : mapping
            See `Prompts`.
        models : Models
            The models; prompts count for the refiner as well. Where only a prompt is given, the negative conditioning
            stays the pipe's.

        Raises
        ------
        InvalidTypeError
            No such mapping, or a pipe whose `clip` cannot encode text.
        """
        checked = checked_prompts(prompts)
        return cls(checked, {key: _models_under(models, value) for key, value in checked.items()})

    def check(self, segs: Sequence[SEG]) -> None:
        """Refuse prompts that no segment gets: see `check_prompts`."""
        check_prompts(self.prompts, {number: str(seg.label) for number, seg in enumerate(segs, start=1)})

    def models(self, index: int, seg: SEG) -> Models | None:
        """Find the models for the segment at a place from 0; None where it has no prompt of its own."""
        return self.encoded.get(index + 1, self.encoded.get(str(seg.label)))


def _checked(key: object, value: object) -> str | tuple[str, str]:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise InvalidTypeError("prompts", "labels or whole numbers as keys", type(key).__name__)
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(part, str) for part in value):
        return (value[0], value[1])
    raise InvalidTypeError(f"prompts[{key!r}]", _VALUES, f"{type(value).__name__} {value!r}"[:80])


def _models_under(models: Models, prompt: str | tuple[str, str]) -> Models:
    refiner = None if models.refiner is None else _under(models.refiner, prompt, "refiner_pipe")
    return replace(models, base=_under(models.base, prompt, "pipe"), refiner=refiner)


def _under(pipe: PipeModel, prompt: str | tuple[str, str], argument: str) -> PipeModel:
    # Jobs hold prompts, and the command line knows jobs before it knows that anything is to be computed.
    from segs_detailer.models.prompting import encoder_of

    encoded = encoder_of(pipe.sampler, pipe.clip, pipe.vae)
    if encoded is None:
        expected = "a pipe whose clip encodes text, for prompts"
        raise InvalidTypeError(argument, expected, f"a clip of type {type(pipe.clip).__name__}")
    if isinstance(prompt, str):
        return replace(pipe, positive=encoded(prompt))
    return replace(pipe, positive=encoded(prompt[0]), negative=encoded(prompt[1]))
