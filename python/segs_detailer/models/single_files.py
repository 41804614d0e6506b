"""Networks of one file: what is in it, told without reading the weights, and loading it under a configuration."""

from __future__ import annotations

import importlib.util
import json
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MissingDependencyError, ModelError, first_line
from segs_detailer.models.files import packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

__all__ = ["FILE_SUFFIXES", "Shapes", "is_model_file", "load_network_file", "tensor_shapes"]

FILE_SUFFIXES = (".safetensors", ".gguf")
"""Suffixes of files that hold networks."""

Shapes = dict[str, tuple[int, ...]]
"""Shapes of a file's tensors, by name."""

_HEADER_LENGTH = 8
_LONGEST_HEADER = 100_000_000
"""Bytes of a header that safetensors itself still reads."""

_PREFIX = "model.diffusion_model."
"""What ComfyUI's files may have before every name; diffusers takes it away as well."""


def is_model_file(name: str) -> bool:
    """Whether a name is that of a file which holds a network."""
    return name.lower().endswith(FILE_SUFFIXES)


def tensor_shapes(path: str) -> Shapes:
    """Read names and shapes of a file's tensors, and none of its weights.

    Parameters
    ----------
    path : str
        A .safetensors or .gguf file.

    Returns
    -------
    dict
        Shapes by name, without the prefix that ComfyUI's files may have.

    Raises
    ------
    ModelError
        There is no such file, or it is of another kind.
    MissingDependencyError
        gguf is not installed.
    """
    if not is_model_file(path):
        raise ModelError(f"cannot load {path}: weights are read from safetensors and GGUF only")
    if not Path(path).is_file():
        raise ModelError(f"cannot load {path}: there is no such file")
    shapes = _gguf_shapes(path) if path.lower().endswith(".gguf") else _safetensors_shapes(path)
    return {name.removeprefix(_PREFIX): shape for name, shape in shapes.items()}


def load_network_file(
    loader: Any, path: str, config: str, subfolder: str, dtype: torch.dtype, hub: Mapping[str, Any]
) -> Any:
    """Load a network of one file under the configuration of a checkpoint's part.

    Parameters
    ----------
    loader : type
        Class of diffusers with `from_single_file`.
    path : str
        A .safetensors or .gguf file.
    config : str
        Folder or hub id of the checkpoint.
    subfolder : str
        The part.
    dtype : torch.dtype
        Dtype of the weights; quantized ones keep theirs and are computed with in this one.
    hub : mapping
        Arguments that find files of the configuration.

    Raises
    ------
    MissingDependencyError
        gguf or accelerate is not installed.
    ModelError
        The file does not fit the configuration.
    """
    diffusers, _ = packages()
    more: dict[str, Any] = {}
    if path.lower().endswith(".gguf"):
        _check_gguf()
        more["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    elif not path.lower().endswith(".safetensors"):
        raise ModelError(f"cannot load {path}: weights are read from safetensors and GGUF only")
    found = {"config_revision": hub.get("revision"), "local_files_only": hub.get("local_files_only")}
    try:
        with _quiet_about_float32():
            # Always with a configuration: else diffusers guesses one, and fetches it.
            network = loader.from_single_file(
                path, config=config, subfolder=subfolder, torch_dtype=dtype, **found, **more
            )
    except Exception as error:  # diffusers lets through what its converters meet in a file of another layout
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"cannot load {path} as the {subfolder} of {config}: {reason}") from error
    return network if more else _keep_float32(network)


@contextmanager
def _quiet_about_float32() -> Iterator[None]:
    """Keep from the user what diffusers says of its own doing, and `_keep_float32` undoes."""

    def other(record: logging.LogRecord) -> bool:
        return "should be kept in float32" not in str(record.msg)

    logger = logging.getLogger("diffusers.models.modeling_utils")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _keep_float32(network: Any) -> Any:
    """Let those parts compute in float32 that are to, as `from_pretrained` does: `from_single_file` casts them all."""
    kept = set(getattr(network, "_keep_in_fp32_modules", None) or ())
    for name, weight in (*network.named_parameters(), *network.named_buffers()):
        if kept & set(name.split(".")) and weight.is_floating_point():
            weight.data = weight.data.float()
    return network


def _safetensors_shapes(path: str) -> Shapes:
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
        start = file.read(1)
        if start != b"{" or not 0 < length < _LONGEST_HEADER:
            raise ModelError(f"cannot load {path}: it is no safetensors file, whatever its name says")
        try:
            header = json.loads(start + file.read(length - 1))
            return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot load {path}: its header cannot be read: {first_line(error)}") from error


def _gguf_shapes(path: str) -> Shapes:
    _check_gguf()
    import gguf

    try:
        reader = gguf.GGUFReader(path)
    except Exception as error:  # the reader checks little by itself
        raise ModelError(f"cannot load {path}: it is no GGUF file that can be read: {first_line(error)}") from error
    # The last axis stands first there.
    return {tensor.name: tuple(int(side) for side in reversed(tensor.shape)) for tensor in reader.tensors}


def _check_gguf() -> None:
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, "gguf")
