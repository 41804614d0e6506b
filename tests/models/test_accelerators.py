"""Devices, with stand-ins in the places of those that this machine does not have."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, is_out_of_memory
from segs_detailer.models import accelerators as module
from segs_detailer.models.accelerators import accelerators, empty_caches, free_memory, memory_of, resolve_device

GB = 10**9


def backend(count, **members):
    return SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count, **members)


@pytest.fixture
def machine(monkeypatch):
    """Give PyTorch the devices of another machine: `machine("xpu", 2)`; before 2.6, without `torch.accelerator`."""

    def make(kind, count, *, old=False, **members):
        for other in ("cuda", "xpu", "mps"):
            monkeypatch.setattr(torch, other, backend(count if other == kind else 0, **members), raising=False)
        monkeypatch.setattr(torch.backends, "mps", SimpleNamespace(is_available=lambda: kind == "mps"), raising=False)
        current = SimpleNamespace(
            is_available=lambda: kind is not None, current_accelerator=lambda: SimpleNamespace(type=kind)
        )
        if old:
            monkeypatch.delattr(torch, "accelerator", raising=False)
        else:
            monkeypatch.setattr(torch, "accelerator", current, raising=False)

    return make


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_auto_is_the_accelerator_there_is(machine, kind, old):
    machine(kind, 1, old=old)
    assert resolve_device(None) == resolve_device("auto") == torch.device(kind)
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("old", [False, True])
def test_auto_is_the_cpu_where_there_is_none(machine, old):
    machine(None, 0, old=old)
    assert resolve_device("auto") == torch.device("cpu")
    assert accelerators() == []
    empty_caches()


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "xpu", "mps"])
def test_a_device_that_is_not_there(machine, name):
    machine(None, 0)
    with pytest.raises(InvalidArgumentError, match=f"device: expected cpu, as PyTorch finds no GPU here, got '?{name}"):
        resolve_device(name)


def test_a_number_that_is_not_there_names_those_that_are(machine):
    machine("cuda", 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InvalidArgumentError, match=r"device: expected cuda:0, cuda:1 or cpu, got '?cuda:2"):
        resolve_device("cuda:2")


def test_names_of_devices(machine):
    machine("xpu", 2, get_device_name=lambda device: f"Arc {device.index}")
    assert accelerators() == [(torch.device("xpu", 0), "Arc 0"), (torch.device("xpu", 1), "Arc 1")]
    machine("mps", 1)
    assert accelerators() == [(torch.device("mps", 0), "mps")]


def test_memory(machine, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * GB, total=8 * GB))
    assert memory_of(torch.device("cpu")) == (3 * GB, 8 * GB)
    machine(
        "cuda",
        1,
        mem_get_info=lambda device: (2 * GB, 10 * GB),
        memory_reserved=lambda device: 3 * GB,
        memory_allocated=lambda device: 1 * GB,
    )
    assert memory_of(torch.device("cuda")) == (4 * GB, 10 * GB)
    machine("mps", 1, recommended_max_memory=lambda: 9 * GB, current_allocated_memory=lambda: 4 * GB)
    assert free_memory(torch.device("mps")) == 5 * GB
    assert free_memory(torch.device("meta")) is None


def test_caches_are_emptied_where_there_are_any(machine):
    called = []
    machine("xpu", 1, empty_cache=lambda: called.append("xpu"))
    empty_caches()
    assert called == ["xpu"]


def test_what_says_that_memory_is_full():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("MPS backend out of memory"))


def test_free_memory_of_the_cpu_is_less_than_all_of_it():
    free, total = module.memory_of(torch.device("cpu"))
    assert 0 < free < total
