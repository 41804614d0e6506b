"""Wan 2.2's pair of transformers: each is read when a step needs it for the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer.models.device import check_uniform, execution_device

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = ["Expert", "Unread"]


class Unread:
    """A network that is not read yet.

    Parameters
    ----------
    skeleton : torch.nn.Module
        The network without weights, on the device "meta", in their dtype: it knows their sizes and configuration.
    read : callable
        Reads it and brings it to where it belongs.
    device : torch.device
        Where it is going to compute.
    place : torch.device
        Where its weights are going to lie.
    """

    def __init__(
        self, skeleton: torch.nn.Module, read: Callable[[], Any], device: torch.device, place: torch.device
    ) -> None:
        self.skeleton = skeleton
        self.read = read
        self.device = device
        self.place = place


class Expert:
    """One transformer of a Wan model.

    Parameters
    ----------
    name : str
        What it is called in a pipeline: "transformer" or "transformer_2".
    network : diffusers.WanTransformer3DModel or Unread
        The network.
    """

    def __init__(self, name: str, network: Any) -> None:
        self.name = name
        self._network = network
        self._when_read: list[Callable[[Any], None]] = []
        if self.is_read:
            check_uniform(network, f"the {name}", dtypes=False)

    @property
    def is_read(self) -> bool:
        """Whether the weights are there."""
        return not isinstance(self._network, Unread)

    @property
    def outline(self) -> Any:
        """The network, or what stands for it: for its configuration, and the sizes of its weights."""
        return self._network.skeleton if isinstance(self._network, Unread) else self._network

    @property
    def comes_to_accelerator(self) -> bool:
        """Whether it is not read yet, and its weights will lie on a GPU, or the like."""
        return isinstance(self._network, Unread) and self._network.place.type != "cpu"

    @property
    def config(self) -> Any:
        """Its configuration."""
        return self.outline.config

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._network.device if isinstance(self._network, Unread) else execution_device(self._network)

    @property
    def network(self) -> Any:
        """The network, which is read now if it has not been."""
        if isinstance(self._network, Unread):
            self._network = self._network.read()
            check_uniform(self._network, f"the {self.name}", dtypes=False)
            for work in self._when_read:
                work(self._network)
            self._when_read.clear()
        return self._network

    def do(self, work: Callable[[Any], None]) -> None:
        """Do something with the network: now, or as soon as it is read."""
        if self.is_read:
            work(self._network)
        else:
            self._when_read.append(work)
