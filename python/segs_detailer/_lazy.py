"""What is loaded when it is first used: public names of a package, and whole modules."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["LazyModule", "lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`.

    Parameters
    ----------
    package : str
        Its `__name__`.
    modules : mapping
        The names that each module defines.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module_of[name]), name)
        # The next look-up finds it at once.
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(module_of)


class LazyModule:
    """Stands for a module that takes long to import, and imports it when something of it is used.

    For modules of which the functions need another one, where their names and types are wanted without it: type
    checkers are shown the import itself.

    Parameters
    ----------
    name : str
        The module's whole name.

    Examples
    --------
    >>> import sys
    >>> from segs_detailer._lazy import LazyModule
    >>> colorsys = LazyModule("colorsys")
    >>> colorsys.rgb_to_hls(1.0, 1.0, 1.0)[1]
    1.0
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._name), name)
        # The next look-up finds it at once.
        setattr(self, name, value)
        return value
