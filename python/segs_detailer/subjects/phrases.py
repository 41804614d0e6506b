"""Phrases that say what to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_phrases"]


def check_phrases(argument: str, words: Iterable[str]) -> tuple[str, ...]:
    """Return phrases without spaces around them.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        There is none, one is empty or there twice.
    """
    given = words if isinstance(words, str) else tuple(words)
    if isinstance(given, str) or not all(isinstance(word, str) for word in given):
        raise InvalidTypeError(argument, "phrases", repr(given))
    phrases = tuple(" ".join(word.split()) for word in given)
    if not phrases or not all(phrases):
        raise InvalidArgumentError(argument, "at least one phrase, and none that is empty", repr(given))
    if len({phrase.lower() for phrase in phrases}) < len(phrases):
        raise InvalidArgumentError(argument, "phrases of which no two are the same", repr(given))
    return phrases
