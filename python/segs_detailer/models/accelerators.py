"""Devices that networks work on: CUDA, or ROCm under the same name, XPU, MPS, whatever PyTorch has."""

from __future__ import annotations

from typing import Any

import psutil
import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.device import named_device

__all__ = ["accelerators", "empty_caches", "free_memory", "memory_of", "resolve_device"]

# Where PyTorch has no `torch.accelerator`, which came with 2.6.
_BEFORE = ("cuda", "xpu", "mps")


def _accelerator_type() -> str | None:
    """Type of the devices that this PyTorch works on beside the CPU, if there are any."""
    accelerator: Any = getattr(torch, "accelerator", None)
    if accelerator is not None:
        return str(accelerator.current_accelerator().type) if accelerator.is_available() else None
    return next((kind for kind in _BEFORE if _count(kind)), None)


def _count(kind: str) -> int:
    """Return how many devices of a type there are."""
    backend: Any = getattr(torch, kind, None)
    if backend is None or not hasattr(backend, "device_count"):
        return 0
    # That of MPS, and those of builds without it, count without looking whether it works.
    works = torch.backends.mps if kind == "mps" else backend
    return int(backend.device_count()) if works.is_available() else 0


def accelerators() -> list[tuple[torch.device, str]]:
    """Return all devices beside the CPU, each with its name.

    Examples
    --------
    >>> all(device.type != "cpu" for device, name in accelerators())
    True
    """
    kind = _accelerator_type()
    if kind is None:
        return []
    backend: Any = getattr(torch, kind)
    names = getattr(backend, "get_device_name", None)
    devices = [torch.device(kind, number) for number in range(_count(kind))]
    return [(device, kind if names is None else str(names(device))) for device in devices]


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Find the device that was named.

    Parameters
    ----------
    device : str, torch.device or None
        `None` and "auto" mean the accelerator where PyTorch has one, else the CPU.

    Raises
    ------
    InvalidArgumentError
        There is no such device.
    """
    if device is None or device == "auto":
        return torch.device(_accelerator_type() or "cpu")
    found = named_device(device)
    if found.type in _BEFORE and (found.index or 0) >= _count(found.type):
        there = ", ".join(str(each) for each, _ in accelerators())
        expected = f"{there} or cpu" if there else "cpu, as PyTorch finds no GPU here"
        raise InvalidArgumentError("device", expected, str(found))
    return found


def memory_of(device: torch.device) -> tuple[int, int] | None:
    """Return the bytes of a device that are free, and all of them; None where PyTorch cannot tell.

    Of the CPU these are the computer's own. Memory that PyTorch holds and does not use counts as free.
    """
    if device.type == "cpu":
        memory = psutil.virtual_memory()
        return int(memory.available), int(memory.total)
    backend: Any = getattr(torch, device.type, None)
    if device.type == "mps":
        most = int(backend.recommended_max_memory())
        return most - int(backend.current_allocated_memory()), most
    if not hasattr(backend, "mem_get_info"):
        return None
    free, total = backend.mem_get_info(device)
    unused = backend.memory_reserved(device) - backend.memory_allocated(device)
    return int(free + unused), int(total)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where that is not known."""
    memory = memory_of(device)
    return None if memory is None else memory[0]


def empty_caches() -> None:
    """Give back to the device what PyTorch holds and does not use."""
    kind = _accelerator_type()
    backend: Any = getattr(torch, kind) if kind is not None else None
    if hasattr(backend, "empty_cache"):
        backend.empty_cache()
