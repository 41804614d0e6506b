"""Exceptions of this package. Each also derives from the built-in one that a caller would catch."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CancelledError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "MediaError",
    "MissingDependencyError",
    "ModelError",
    "SegsDetailerError",
    "did_you_mean",
    "first_line",
    "is_out_of_memory",
    "unknown_name",
]

_NEAR_NAMES = 3
"""Most names that an error suggests."""

_SHORTEST_PART = 3
"""Letters from which on a name counts as part of another."""


class SegsDetailerError(Exception):
    """Base of all exceptions that this package raises on purpose."""


class InvalidArgumentError(SegsDetailerError, ValueError):
    """An argument has the right type but a value, shape or layout that cannot be used.

    Parameters
    ----------
    argument : str
        Name of the argument.
    expected : str
        What is accepted.
    got : str
        What came.
    """

    def __init__(self, argument: str, expected: str, got: str) -> None:
        super().__init__(argument, expected, got)
        self.argument = argument
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.argument}: expected {self.expected}, got {self.got}"


def unknown_name(
    argument: str, name: object, known: Iterable[str], *, expected: str = "one of {}"
) -> InvalidArgumentError:
    """Error about a name that is not among the known ones; it lists them, and asks about those that look like it.

    Parameters
    ----------
    argument : str
        Name of the argument.
    name : object
        What came.
    known : iterable of str
        The names that are accepted.
    expected : str
        What is accepted; the names stand for the braces.
    """
    names = list(known)
    return InvalidArgumentError(argument, expected.format(", ".join(names)), f"{name!r}{did_you_mean(name, names)}")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Ask about known names that look like an unknown one: " (did you mean face?)", or nothing where none does.

    Parameters
    ----------
    name : object
        What came.
    known : iterable of str
        The names that are accepted.
    """
    names = {each.lower(): each for each in known}
    wanted = str(name).lower()
    near = difflib.get_close_matches(wanted, names, n=_NEAR_NAMES)
    if len(wanted) >= _SHORTEST_PART:
        near += [each for each in names if wanted in each or each in wanted]
    chosen = [names[each] for each in dict.fromkeys(near)][:_NEAR_NAMES]
    return f" (did you mean {' or '.join(chosen)}?)" if chosen else ""


def first_line(error: Exception) -> str:
    """First line of an error's message, with the next one where it ends in a colon; its type where it has none."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if isinstance(error, KeyError):
        return f"there is no {lines[0]} in it"
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, of the computer or of an accelerator.

    Parameters
    ----------
    error : BaseException
        `MemoryError`, `torch.OutOfMemoryError` or what PyTorch raises in its place on MPS, where it has no class
        of its own.

    Examples
    --------
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("MPS backend out of memory"))
    (True, True)
    """
    names = {base.__name__ for base in type(error).__mro__}
    is_of_mps = isinstance(error, RuntimeError) and "MPS backend out of memory" in str(error)
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or is_of_mps


class InvalidTypeError(SegsDetailerError, TypeError):
    """An argument has a type or dtype that is not supported.

    Parameters
    ----------
    argument : str
        Name of the argument.
    expected : str
        What is accepted.
    got : str
        What came.
    """

    def __init__(self, argument: str, expected: str, got: str) -> None:
        super().__init__(argument, expected, got)
        self.argument = argument
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.argument}: expected {self.expected}, got {self.got}"


class MissingDependencyError(SegsDetailerError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of segs-detailer that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'segs-detailer[{extra}]'")
        self.package = package
        self.extra = extra


class ModelError(SegsDetailerError, RuntimeError):
    """A model cannot be loaded, does not fit its companions, or gave a result that cannot be used."""


class MediaError(SegsDetailerError, OSError):
    """A picture or video file cannot be read or written."""


class CancelledError(SegsDetailerError):
    """Raise it from a progress callback to stop a run: it passes through, and nothing of the run is kept half-done.

    Nothing in this package raises it. Any other exception stops a run in the same way; this one tells the caller's own
    wish from a failure.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import BasicPipe, CancelledError, boxes_to_segs, detail_frames
    >>> def stop(progress):
    ...     raise CancelledError("stopped by the user")
    >>> frames, segs = np.zeros((4, 64, 64, 3), np.uint8), boxes_to_segs((64, 64), [(16, 16, 48, 48)])
    >>> detail_frames(frames, segs, BasicPipe.preview(), progress=stop)
    Traceback (most recent call last):
    segs_detailer.errors.CancelledError: stopped by the user
    """
