"""Files that change a pipeline's networks: LoRAs, and which files are read at all."""

from __future__ import annotations

import importlib.util
import warnings
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError, MissingDependencyError, ModelError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LoraShelf", "checked_lora", "load_lora", "safetensors_source"]


class LoraShelf:
    """The LoRAs that were loaded into networks, which several models over them share.

    Each of these models has weights of its own. The networks have those of the one that works.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """Names of the LoRAs that are loaded, by where they came from."""
        self.told: dict[str, str] = {}
        """What tells each of them from others, by their names."""
        self.switches = False
        """Whether models over the networks have different weights."""
        self._foreign: dict[str, float] = {}
        self._active: dict[str, float] | None = None

    def in_effect(self, weights: Mapping[str, float]) -> list[str]:
        """Return what tells the LoRAs that a model of such weights uses."""
        return [text for name, text in self.told.items() if weights.get(name)]

    def begin_switching(self, pipeline: Any, weights: Mapping[str, float]) -> None:
        """Note that there are models of different weights from now on.

        Parameters
        ----------
        pipeline : diffusers.DiffusionPipeline
            Holds the networks.
        weights : mapping
            Those of the first model. What somebody else has loaded into the networks stays in effect for all models.
        """
        if not self.switches:
            self.switches = True
            self._foreign = {name: weight for name, weight in _active(pipeline).items() if name not in weights}
        self._active = None

    def switch(self, pipeline: Any, weights: Mapping[str, float]) -> None:
        """Let the networks have a model's weights, where they have others."""
        wanted = {**self._foreign, **weights}
        if self.switches and wanted != self._active:
            _Holder(pipeline).use(wanted)
            self._active = wanted


def _active(pipeline: Any) -> dict[str, float]:
    """Return the LoRAs that are in effect, and their weights."""
    found: dict[str, float] = {}
    for part in pipeline.components.values():
        for module in part.modules() if hasattr(part, "modules") else ():
            for name in getattr(module, "active_adapters", ()) if hasattr(module, "scaling") else ():
                if name in module.scaling and not module.disable_adapters:
                    found[name] = module.scaling[name] / _full_effect(module, name)
    return found


def _full_effect(module: Any, name: str) -> float:
    """Return the factor of a LoRA in a layer of peft at weight 1."""
    rank = module.r[name]
    return float(module.lora_alpha[name] / (rank**0.5 if module.use_rslora.get(name) else rank))


def load_lora(
    pipeline: Any,
    weights: dict[str, float],
    source: str | PathLike[str],
    weight: float,
    name: str,
    file: str | None,
    *,
    load: Callable[..., None] | None = None,
) -> None:
    """Load a LoRA beside those that are loaded.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Where to.
    weights : dict
        Weights of all LoRAs by name; gets the new one.
    source : str or path
        A safetensors file, a folder, or a hub id.
    weight : float
        Factor of its effect.
    name : str
        Its name, not used yet.
    file : str or None
        The file in the folder or repository.
    load : callable or None
        Stands for the pipeline's `load_lora_weights`, where that does not load it into all networks.

    Raises
    ------
    MissingDependencyError
        peft is not installed.
    ModelError
        It is not in safetensors, cannot be read, or does not fit.
    """
    where, arguments = checked_lora(weights, source, name, file)
    holder = _Holder(pipeline)
    try:
        with warnings.catch_warnings():
            # peft takes several LoRAs for an oversight; here they are meant.
            warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
            loads = holder.load if load is None else load
            loads(where, adapter_name=name, use_safetensors=True, **arguments)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"cannot load the LoRA {where}: {first_line(error)}") from error
    if name not in holder.names():
        raise ModelError(f"the LoRA {where} has nothing for these networks")
    weights[name] = weight
    holder.set_weights(weights)


class _Holder:
    """What holds a pipeline's LoRAs: itself, or where its class knows none, its transformer."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._knows = hasattr(pipeline, "load_lora_weights")

    def load(self, where: str, **arguments: Any) -> None:
        if self._knows:
            self._pipeline.load_lora_weights(where, **arguments)
        else:
            self._pipeline.transformer.load_lora_adapter(where, prefix="transformer", **arguments)

    def names(self) -> set[str]:
        if self._knows:
            return {adapter for part in self._pipeline.get_list_adapters().values() for adapter in part}
        return set(getattr(self._pipeline.transformer, "peft_config", {}))

    def set_weights(self, weights: Mapping[str, float]) -> None:
        self._target.set_adapters(list(weights), list(weights.values()))

    def use(self, weights: Mapping[str, float]) -> None:
        """Put LoRAs into effect, and no others; one of weight 0 takes no time either."""
        used = {name: weight for name, weight in weights.items() if weight}
        if used:
            self._target.enable_lora()
            self.set_weights(used)
        elif self.names():
            self._target.disable_lora()

    @property
    def _target(self) -> Any:
        return self._pipeline if self._knows else self._pipeline.transformer


def checked_lora(
    weights: Mapping[str, float], source: str | PathLike[str], name: str, file: str | None
) -> tuple[str, dict[str, Any]]:
    """Refuse a LoRA whose name or file cannot be used; see `load_lora` and `safetensors_source`."""
    if importlib.util.find_spec("peft") is None:
        raise MissingDependencyError("peft", "diffusers")
    if name in weights:
        raise InvalidArgumentError("name", f"another than {', '.join(weights)}, which are loaded", repr(name))
    return safetensors_source(source, file)


def safetensors_source(source: str | PathLike[str], file: str | None) -> tuple[str, dict[str, Any]]:
    """Refuse files of another kind; what is left for diffusers to find is asked for as safetensors."""
    where = fspath(source)
    chosen = Path(where).name if Path(where).is_file() else file
    if chosen is not None and not chosen.endswith(".safetensors"):
        raise ModelError(f"cannot load {chosen}: weights are read from safetensors only")
    return where, {} if file is None else {"weight_name": file}
