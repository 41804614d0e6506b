"""From the objects of a basic_pipe, and from checkpoints, to the family that knows them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.files import packages, read_config
from segs_detailer.models.interface import Sampler
from segs_detailer.models.single_files import tensor_shapes

if TYPE_CHECKING:
    from segs_detailer.models.family import Family
    from segs_detailer.models.loading import LoadOptions

__all__ = ["checkpoint_family", "pipeline_family", "register", "sampler_for", "single_file_family", "with_image_prompt"]

_MODULES = (
    "segs_detailer.models.wan.family",
    "segs_detailer.models.hunyuan.family",
    "segs_detailer.models.ltx.family",
    "segs_detailer.models.sd.family",
)
"""Modules of the families, each with its `FAMILY`. They are asked in this order; the last reads what no other does."""

_registered: list[Family] = []


def register(family: Family) -> None:
    """Let a family be asked before those of this package.

    Parameters
    ----------
    family : Family
        The family. One that is registered already is not asked twice.
    """
    if family not in _registered:
        _registered.append(family)


def sampler_for(model: Any, clip: Any, vae: Any) -> Sampler:
    """Find the sampler of a model.

    Parameters
    ----------
    model : object
        A `Sampler`, which is returned as it is, or a model of one of the families: a model of a host program that has
        registered one; a `DiffusersModel` or `WanModel`; a UNet of diffusers, which gets the noise levels of SD 1.5, or
        of AnimateDiff if it has motion modules; or Wan's transformer, which gets Wan's.
    clip : object
        The text encoder. Samplers of other text encoders than the family's own, or of none, encode no prompts.
    vae : object
        For UNets: a `FrameVAE`, or an AutoencoderKL of diffusers. For Wan: a `WanVAE`, or an AutoencoderKLWan.

    Raises
    ------
    ModelError
        The model, or its VAE, is none of these, or the VAE's weights have several dtypes or devices.
    """
    return model if isinstance(model, Sampler) else _owner(model).sampler(model, clip, vae)


def with_image_prompt(model: Any, image_prompt: Any) -> Any:
    """Show a model pictures: another one over the same networks.

    Parameters
    ----------
    model : object
        A `Sampler`, or a model of one of the families.
    image_prompt : object
        From `BasicPipe.encode_image_prompt`.

    Raises
    ------
    ModelError
        The model is none of these, or its family has no image prompts.
    """
    if isinstance(model, Sampler):
        return model.with_image_prompt(image_prompt)
    return _owner(model).with_image_prompt(model, image_prompt)


def checkpoint_family(base: str, load: LoadOptions) -> Family:
    """Find who reads a checkpoint in diffusers' layout, by its `model_index.json`.

    Parameters
    ----------
    base : str
        Folder or hub id.
    load : LoadOptions
        Where to look for it.

    Raises
    ------
    MissingDependencyError
        diffusers or transformers is not installed.
    """
    return _reader(_pipeline_class(base, load))


def single_file_family(path: str, config: str | None, load: LoadOptions) -> tuple[Family, str]:
    """Find who reads a checkpoint of one file, and under which configuration.

    Parameters
    ----------
    path : str
        The file.
    config : str or None
        Folder or hub id with the configuration; None: told from the file, where a family knows its kind.
    load : LoadOptions
        What was asked for.

    Raises
    ------
    InvalidArgumentError
        There is no configuration, and none is known for the file.
    """
    if config is not None:
        return _reader(_pipeline_class(config, load), of_files=True), config
    expected = "a folder with the configuration of the checkpoint's family, or its hub id"
    if not Path(path).is_file():
        raise InvalidArgumentError("config", expected, "none")
    shapes = tensor_shapes(path)
    for family in _families():
        found = family.file_config(path, shapes, load)
        if found is not None:
            return family, found
    raise InvalidArgumentError("config", f"{expected}, as {path} does not tell it", "none")


def pipeline_family(pipeline: object) -> Family:
    """Find who takes a pipeline of diffusers; does not import diffusers."""
    kind = type(pipeline)
    return _reader(kind.__name__ if kind.__module__.split(".")[0] == "diffusers" else "")


def _pipeline_class(base: str, load: LoadOptions) -> str:
    diffusers, _ = packages()
    try:
        return str(read_config(diffusers.DiffusionPipeline, base, None, load.hub()).get("_class_name"))
    except ModelError:
        # No index: what is missing is said by the loader of the last family.
        return ""


def _owner(model: object) -> Family:
    for family in _families():
        if family.owns(model):
            return family
    known = ", ".join(family.takes for family in reversed(_families()))
    raise ModelError(
        f"cannot sample with a {type(model).__name__}: expected {known}, or a Sampler of your own "
        "(a subclass of segs_detailer.models.Sampler)"
    )


def _reader(pipeline: str, *, of_files: bool = False) -> Family:
    return next(family for family in _families() if family.reads(pipeline) and (family.reads_files or not of_files))


def _families() -> list[Family]:
    return [*_registered, *_own_families()]


@cache
def _own_families() -> tuple[Family, ...]:
    return tuple(import_module(name).FAMILY for name in _MODULES)
