"""Models of transformers that find or follow subjects: read from a folder or by their name on the hub."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import (
    InvalidArgumentError,
    MissingDependencyError,
    ModelError,
    first_line,
    unknown_name,
)
from segs_detailer.hub.catalog import NEEDED_FILES, WEIGHTS
from segs_detailer.hub.weights import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

__all__ = ["DTYPES", "HubModel", "import_transformers", "quiet_libraries", "read_model"]

DTYPES = ("auto", "float32", "float16", "bfloat16")
"""Number formats of models."""

_EXTRA = "words"


def import_transformers() -> Any:
    """Import transformers.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError("transformers", _EXTRA) from error
    return transformers


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model whose configuration was read; its weights are loaded when they are asked for.

    Parameters
    ----------
    folder : Path
        Where it is: the user's, or one of the hub's cache.
    kind : str
        The `model_type` of its configuration.
    config : object
        The configuration.
    device : torch.device
        Where it works.
    dtype : str
        Number format that was asked for; "auto" leaves it to the kind.
    """

    folder: Path
    kind: str
    config: Any
    device: torch.device
    dtype: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells its results from those of others: its files by their sizes and times of change."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        states = (f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)
        return (self.kind, self.device.type, self.dtype, *states)

    def torch_dtype(self, on_gpu: str) -> torch.dtype:
        """Return the number format of the weights: as asked for, else float32 on the CPU, `on_gpu` elsewhere."""
        import torch

        name = self.dtype
        if name == "auto":
            name = "float32" if self.device.type == "cpu" else on_gpu
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    def weights(self, model_class: str, dtype: torch.dtype) -> Any:
        """Load the weights, as a model that is ready to work.

        Parameters
        ----------
        model_class : str
            Name of the class in transformers.
        dtype : torch.dtype
            Number format.

        Raises
        ------
        ModelError
            They are not there, or not in safetensors.
        MissingDependencyError
            The model needs a package that is not installed.
        """
        loader = self._class(model_class)
        with _clear_errors(self.folder):
            model = loader.from_pretrained(
                self.folder, config=self.config, dtype=dtype, use_safetensors=True, local_files_only=True
            )
            return model.to(self.device).eval()

    def part(self, part_class: str) -> Any:
        """Read a processor or a tokenizer by the name of its class in transformers; see `weights`."""
        loader = self._class(part_class)
        with _clear_errors(self.folder):
            return loader.from_pretrained(self.folder, local_files_only=True)

    def _class(self, name: str) -> Any:
        found = getattr(import_transformers(), name, None)
        if found is None:
            raise ModelError(f"{self.folder}: needs a newer version of transformers, which has {name}")
        return found


def read_model(
    source: str | Path,
    kinds: Iterable[str],
    *,
    argument: str,
    device: str = "auto",
    dtype: str = "auto",
) -> HubModel:
    """Read the configuration of a model; one of the hub is fetched where it is not in the cache.

    Parameters
    ----------
    source : str or Path
        Folder, id on the hub, or a name of the catalog of weights.
    kinds : iterable of str
        The `model_type`s that can be used.
    argument : str
        What names the model, for errors.
    device : str
        "auto", "cpu", "cuda", ...
    dtype : str
        One of `DTYPES`.

    Raises
    ------
    InvalidArgumentError
        No such device or dtype.
    ModelError
        It is not there, or of another kind.
    MissingDependencyError
        transformers is not installed.
    """
    transformers = import_transformers()
    from segs_detailer.models.accelerators import resolve_device

    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    place = resolve_device(device)
    folder = _folder_of(str(source), argument)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{source}: has no config.json, as models of transformers have")
    with _clear_errors(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    kind = config.model_type
    if kind not in kinds:
        raise ModelError(f"{source}: is a model of type {kind}, and `{argument}` takes {', '.join(kinds)}")
    return HubModel(folder, kind, config, place, dtype)


def _folder_of(source: str, argument: str) -> Path:
    """Find a model on this machine, or fetch it."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise InvalidArgumentError(argument, "a folder or a hub id", f"the file {source}")
    weights = next((each for each in WEIGHTS if source.lower() in (each.name, each.repository.lower())), None)
    if weights is None:
        if path.is_absolute() or source.startswith((".", "~")) or len(path.parts) != 2:
            expected = "a folder, the id of a repository on the hub (owner/name), or a name of `models list`"
            raise InvalidArgumentError(argument, expected, repr(source))
        weights = Repository(name=source, repository=source, license="", use="", patterns=NEEDED_FILES)
    found = weights.local()
    if found is not None and (found / "config.json").is_file():
        return found
    try:
        return weights.fetch()
    except ModelError as error:
        how = (
            f"hf download {source}"
            if weights.name == source == weights.repository
            else f"segs-detailer models pull {weights.name}"
        )
        raise ModelError(
            f"{error}; fetch it where there is a network (`{how}`), or name a folder that holds it (`{argument}`)"
        ) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what transformers advises its developers, and its bars, from users."""
    logger = logging.getLogger("transformers")
    level = logger.level
    bars = import_transformers().utils.logging
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        if had_bars:
            bars.enable_progress_bar()


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """Say in one line why a model cannot be read."""
    try:
        with quiet_libraries():
            yield
    except ImportError as error:
        raise MissingDependencyError(error.name or first_line(error), _EXTRA) from error
    except Exception as error:  # what a broken file leads to has no common base
        raise ModelError(
            f"{folder}: cannot be loaded ({first_line(error)}); weights are read from safetensors only"
        ) from error
