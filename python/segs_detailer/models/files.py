"""Reading configurations and weights of checkpoints in diffusers' layout, safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "check_class",
    "check_has",
    "check_source",
    "check_weights",
    "is_local",
    "load_part",
    "packages",
    "read_config",
]


def check_class(loader: Any, config: Mapping[str, Any], what: str) -> None:
    """Raise if a configuration is that of another class.

    Parameters
    ----------
    loader : type
        The class.
    config : mapping
        The configuration.
    what : str
        The part, for the error.

    Raises
    ------
    ModelError
        It is of another one.
    """
    kind = config.get("_class_name", loader.__name__)
    if kind != loader.__name__:
        raise ModelError(f"cannot load {what}: it is a {kind}, not a {loader.__name__}")


def is_local(base: str | None) -> bool:
    """Whether a checkpoint is a folder, or a path to where there is none: nothing that a hub could have."""
    if base is None:
        return False
    path = Path(base)
    # Hub ids are a name, or an owner and a name.
    return path.exists() or path.is_absolute() or base.startswith(".") or len(path.parts) != 2


def check_source(base: str) -> None:
    """Raise if a checkpoint is not a folder, nor the id of one on the hub.

    Parameters
    ----------
    base : str
        What is to be loaded.

    Raises
    ------
    InvalidArgumentError
        It is a file.
    ModelError
        It is a path where there is nothing.
    """
    path = Path(base)
    if path.is_file():
        expected = "a folder or a hub id (checkpoints of one file are for BasicPipe.from_single_file)"
        raise InvalidArgumentError("base", expected, f"the file {base}")
    # Hub ids are a name, or an owner and a name.
    is_path = path.is_absolute() or base.startswith(".") or len(path.parts) > 2
    if is_path and not path.is_dir():
        raise ModelError(f"cannot load {base}: there is no such folder")


def check_weights(base: str, part: str) -> None:
    """Raise if a part of a checkpoint on disk, which is going to be read later, has no weights in safetensors.

    Parameters
    ----------
    base : str
        Folder or hub id; what is on a hub is not looked at.
    part : str
        The part.

    Raises
    ------
    ModelError
        There are none.
    """
    folder = Path(base)
    if folder.is_dir() and not any((folder / part).glob("*.safetensors")):
        raise ModelError(f"cannot load the {part} of {base}: it has no weights (they are read from safetensors only)")


def packages() -> tuple[Any, Any]:
    """Import diffusers and transformers.

    Raises
    ------
    MissingDependencyError
        One of them is not installed.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        package = "transformers" if error.name == "transformers" else "diffusers"
        raise MissingDependencyError(package, "diffusers") from error
    return diffusers, transformers


def check_has(package: Any, *names: str) -> None:
    """Raise if an installed package is too old to have some classes.

    Parameters
    ----------
    package : module
        diffusers or transformers.
    *names : str
        The classes.

    Raises
    ------
    ModelError
        It has not all of them.
    """
    missing = [name for name in names if not hasattr(package, name)]
    if missing:
        version = getattr(package, "__version__", "of an unknown version")
        raise ModelError(f"{package.__name__} {version} has no {missing[0]}: install a newer one")


def read_config(loader: Any, base: str, subfolder: str | None, hub: Mapping[str, Any]) -> dict[str, Any]:
    """Read the configuration of a checkpoint's part.

    Parameters
    ----------
    loader : type
        Class of diffusers with `load_config`.
    base : str
        Folder or hub id.
    subfolder : str or None
        The part; `None`: the checkpoint's own index.
    hub : mapping
        Arguments that find files.

    Raises
    ------
    ModelError
        It is not there.
    """
    where = f"{subfolder} of {base}" if subfolder else base
    extra = {} if subfolder is None else {"subfolder": subfolder}
    try:
        return dict(loader.load_config(base, **extra, **hub))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the configuration of {where}: {first_line(error)}") from error


def load_part(loader: Any, base: str, arguments: Mapping[str, Any], what: str, **extra: Any) -> Any:
    """Load a part of a checkpoint by its class's `from_pretrained`.

    Parameters
    ----------
    loader : type
        Class of diffusers or transformers.
    base : str
        Folder or hub id.
    arguments : mapping
        Arguments of `from_pretrained`.
    what : str
        The part, for errors.
    **extra
        Further arguments.

    Raises
    ------
    ModelError
        It is not there, not in safetensors, or needs a package that is not installed.
    """
    try:
        return loader.from_pretrained(base, **arguments, **extra)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        hint = " (weights are read from safetensors only)" if arguments.get("use_safetensors") else ""
        raise ModelError(f"cannot load {what}: {first_line(error)}{hint}") from error
