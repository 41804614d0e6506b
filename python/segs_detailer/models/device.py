"""Where a module computes, and in what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer._lazy import LazyModule
from segs_detailer.errors import InvalidArgumentError, ModelError

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

__all__ = ["check_uniform", "execution_device", "is_of_diffusers", "named_device"]


def named_device(device: str | torch.device, *, argument: str = "device") -> torch.device:
    """Read the name of a device, whether this machine has it or not.

    Parameters
    ----------
    device : str or torch.device
        The name.
    argument : str
        Where it stands, for the error.

    Raises
    ------
    InvalidArgumentError
        PyTorch knows no such name.
    """
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise InvalidArgumentError(argument, "cpu, cuda, cuda:1, mps, ... or auto", repr(device)) from error


def is_of_diffusers(model: object, *names: str) -> bool:
    """Whether an object is of one of the named classes of diffusers, or of one derived from it.

    Does not import diffusers: where nothing has, there is no such object.
    """
    return any(base.__name__ in names and base.__module__.split(".")[0] == "diffusers" for base in type(model).__mro__)


def execution_device(module: Any) -> torch.device:
    """Device of a module's computation: that of offload hooks where there are some, else its weights'."""
    # Where layers are offloaded one by one, only they have hooks that know a device.
    parts = module.modules() if hasattr(module, "_hf_hook") else ()
    devices = (getattr(getattr(part, "_hf_hook", None), "execution_device", None) for part in parts)
    device = next((device for device in devices if device is not None), _group_device(module))
    if device is None:
        device = getattr(module, "device", None)
    return torch.device(next(module.parameters()).device if device is None else device)


def _group_device(module: Any) -> Any:
    """Device to which diffusers' group offload brings the layers of a module; None where there is none."""
    for part in module.modules() if hasattr(module, "modules") else ():
        hook = part._diffusers_hook.get_hook("group_offloading") if hasattr(part, "_diffusers_hook") else None
        if hook is not None:
            return hook.group.onload_device
    return None


def check_uniform(module: Any, what: str, *, dtypes: bool = True) -> None:
    """Refuse weights of several dtypes or devices, which fail or go wrong in the middle of a run.

    Parameters
    ----------
    module : torch.nn.Module
        The network. Offloaded and quantized ones are left alone, and so are the weights of LoRAs.
    what : str
        The network, for the error.
    dtypes : bool
        Whether it has to have one dtype; some networks keep parts of theirs in float32.

    Raises
    ------
    ModelError
        There are several.
    """
    if getattr(module, "_hf_hook", None) is not None or getattr(module, "is_quantized", False):
        return
    weights = [weight for name, weight in module.named_parameters() if "lora" not in name]
    found = {"devices": sorted({str(weight.device) for weight in weights})}
    if dtypes:
        found["dtypes"] = sorted({str(weight.dtype).removeprefix("torch.") for weight in weights})
    for kind, names in found.items():
        if len(names) > 1:
            raise ModelError(f"{what} has weights of several {kind}, {' and '.join(names)}: use its to(...) first")
