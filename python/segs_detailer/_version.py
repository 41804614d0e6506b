"""The version of the installed package."""

from __future__ import annotations

__all__ = ["NOT_INSTALLED", "installed_version"]

NOT_INSTALLED = "0+unknown"
"""What a source tree on the path that was never installed says of itself."""


def installed_version() -> str:
    """Return the version, from the metadata of the installation."""
    # Its import takes a while, and few ask.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("segs-detailer")
    except PackageNotFoundError:
        return NOT_INSTALLED
