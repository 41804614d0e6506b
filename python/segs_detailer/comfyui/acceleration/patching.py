"""Finds a loaded Impact Pack, checks that its functions are those that are known, and replaces them."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from segs_detailer.comfyui.acceleration import functions
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["Acceleration", "accelerate", "is_loaded"]

_NAME = "Impact Pack"
_PACKAGE = "impact"
_MODULES = ("utils", "core", "segs_nodes")
# The releases whose functions these were compared with.
_FIRST_VERSION, _LAST_VERSION, _END_VERSION = (5, 11, 3), (7, 10, 6), (8,)


class _Target(NamedTuple):
    """A function of Impact Pack's and what it must be: its signature, and the SHA-256 of its source text."""

    module: str
    holder: str | None
    name: str
    ours: Callable[..., Any]
    signature: str
    digest: str


_TARGETS = (
    _Target(
        "utils",
        None,
        "tensor_paste",
        functions.paste_image,
        "(image1, image2, left_top, mask)",
        "80d0f9dfb141d04f338b932f7fa7f566c3b4cf1af5855bf15b61a44a41574fc8",
    ),
    _Target(
        "utils",
        None,
        "tensor_gaussian_blur_mask",
        functions.blur_mask,
        "(mask, kernel_size, sigma=10.0)",
        "9055ed5f8c92b0050ff329795125cda7562deb2deb14ef861d3a35f5ff23ab4d",
    ),
    _Target(
        "utils",
        None,
        "tensor_resize",
        functions.resize_image,
        "(image, w: int, h: int)",
        "b6ecd70d6b95ab1e432ade91876afe99dec699746f8e479007b962a761f62581",
    ),
    _Target(
        "core",
        None,
        "segs_scale_match",
        functions.match_scale,
        "(segs, target_shape)",
        "e9050d082df28b5f7f3c32081a84cc9e3f790f24c502451ee03affc2c12c5a64",
    ),
    _Target(
        "segs_nodes",
        "SEGSPaste",
        "doit",
        functions.paste_segs,
        "(image, segs, feather, alpha=255, ref_image_opt=None)",
        "bff1910e019ee55ccdd0d31ea611fa96b52ff41d4f92a4370a6f263129a3e02e",
    ),
)


class Acceleration:
    """What was replaced in the running process.

    Parameters
    ----------
    version : str
        Impact Pack's.
    replaced : list of (object, str, object)
        Modules and classes, the attribute, and what it was.
    """

    def __init__(self, version: str, replaced: list[tuple[Any, str, Any]]) -> None:
        self.version = version
        self._replaced = replaced

    @property
    def names(self) -> list[str]:
        """The functions that are replaced, each once."""
        return sorted(
            {name if inspect.ismodule(owner) else f"{owner.__name__}.{name}" for owner, name, _ in self._replaced}
        )

    def restore(self) -> None:
        """Put everything back."""
        for owner, name, value in self._replaced:
            setattr(owner, name, value)
        self._replaced = []


def is_loaded() -> bool:
    """Whether this process has loaded Impact Pack.

    Returns
    -------
    bool
        True where all the modules that are looked at are there.
    """
    return next(_packages(), None) is not None


def accelerate() -> Acceleration:
    """Replace the image functions of a loaded Impact Pack, all of them or none.

    Returns
    -------
    Acceleration
        What was replaced; it can put everything back.

    Raises
    ------
    InvalidArgumentError
        Impact Pack is not loaded, of another version, or one of its functions is not the one that is known; nothing is
        changed.
    """
    packages = list(_packages())
    if not packages:
        raise InvalidArgumentError(_NAME, "to be loaded", "no module of it")
    version = ""
    # ComfyUI's import of the pack and the pack's own imports name its modules differently: there are two of each.
    found: dict[Callable[..., Any], Callable[..., Any]] = {}
    changes: list[tuple[Any, str, Any, Any]] = []
    for package in packages:
        version = _checked_version(package)
        for target in _TARGETS:
            owner, attribute, original = _checked(package, target)
            found[original] = _with_fallback(target.ours, original)
            if target.holder is not None:
                changes.append((owner, target.name, attribute, staticmethod(found[original])))
    # The modules take each other's names by `import *`, so that a function stands in several.
    for module in _modules_of(packages):
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in found:
                changes.append((module, name, value, found[value]))
    for owner, name, _, replacement in changes:
        setattr(owner, name, replacement)
    return Acceleration(version, [(owner, name, value) for owner, name, value, _ in changes])


def _packages() -> Iterator[str]:
    """Give the names under which Impact Pack's own package is loaded."""
    for name in list(sys.modules):
        package, _, module = name.rpartition(".")
        if module != _MODULES[0] or not (package == _PACKAGE or package.endswith(f".{_PACKAGE}")):
            continue
        if all(f"{package}.{needed}" in sys.modules for needed in _MODULES):
            yield package


def _modules_of(packages: list[str]) -> list[ModuleType]:
    prefixes = tuple(f"{package}." for package in packages)
    found = [module for name, module in list(sys.modules.items()) if name.startswith(prefixes)]
    return [module for module in found if inspect.ismodule(module)]


def _checked_version(package: str) -> str:
    config = sys.modules.get(f"{package}.config")
    version = getattr(config, "version_code", None)
    expected = f"version {_shown(_FIRST_VERSION)} or later, before {_shown(_END_VERSION)}"
    if not isinstance(version, (list, tuple)) or not all(isinstance(part, int) for part in version):
        raise InvalidArgumentError(_NAME, expected, f"{version!r}")
    if not _FIRST_VERSION <= tuple(version) < _END_VERSION:
        raise InvalidArgumentError(_NAME, expected, _shown(version))
    return _shown(version)


def _checked(package: str, target: _Target) -> tuple[Any, Any, Callable[..., Any]]:
    """Return what has the function, its attribute as it stands there, and the function, if it is the known one."""
    module = sys.modules[f"{package}.{target.module}"]
    owner = module if target.holder is None else getattr(module, target.holder, None)
    attribute = inspect.getattr_static(owner, target.name, None)
    place = ".".join(part for part in (target.module, target.holder, target.name) if part is not None)
    expected = f"{place}{target.signature} as in its releases until {_shown(_LAST_VERSION)}"
    original = attribute.__func__ if isinstance(attribute, staticmethod) else attribute
    if not inspect.isfunction(original) or isinstance(attribute, staticmethod) != (target.holder is not None):
        raise InvalidArgumentError(_NAME, expected, "no such function")
    if hasattr(original, "__wrapped__"):
        raise InvalidArgumentError(_NAME, expected, "one that is replaced already")
    signature = str(inspect.signature(original))
    if signature != target.signature:
        raise InvalidArgumentError(_NAME, expected, f"the signature {signature}")
    try:
        source = inspect.getsource(original)
    except OSError:
        raise InvalidArgumentError(_NAME, expected, "a function without source text") from None
    if hashlib.sha256(source.encode()).hexdigest() != target.digest:
        raise InvalidArgumentError(_NAME, expected, "other source text")
    return owner, attribute, original


def _with_fallback(ours: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Call the original where ours refuses; it has changed nothing by then."""

    @functools.wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return ours(*args, **kwargs)
        except (functions.RefusedError, InvalidArgumentError, InvalidTypeError):
            pass
        return original(*args, **kwargs)

    return run


def _shown(version: Any) -> str:
    return ".".join(str(part) for part in version)
