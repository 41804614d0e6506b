"""Exceptions of this package. Each also derives from the built-in one that a caller would catch."""

from __future__ import annotations

__all__ = [
    "CancelledError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "MediaError",
    "MissingDependencyError",
    "ModelError",
    "SegsDetailerError",
]


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
    """The caller asked to stop; nothing was changed."""
