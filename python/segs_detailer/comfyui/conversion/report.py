"""What a conversion did, node by node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segs_detailer.comfyui.conversion.ids import why_kept
from segs_detailer.comfyui.conversion.twins import TITLES

if TYPE_CHECKING:
    from segs_detailer.comfyui.conversion.swap import Swap

__all__ = ["Kept", "Report", "Swapped"]


@dataclass(frozen=True, slots=True)
class Swapped:
    """A node that has another in its place.

    Parameters
    ----------
    where : str
        Its number, and the subgraph that it is in.
    theirs, ours : str
        Ids.
    notes : tuple of str
        What is other than it was.
    """

    where: str
    theirs: str
    ours: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A node of Impact Pack's that stayed.

    Parameters
    ----------
    where : str
        Its number, and the subgraph that it is in.
    theirs : str
        Its id.
    reason : str
        Why.
    """

    where: str
    theirs: str
    reason: str


@dataclass(slots=True)
class Report:
    """What a conversion did.

    Parameters
    ----------
    swapped : list of Swapped
        The nodes that have another in their place.
    kept : list of Kept
        The nodes of Impact Pack's that stayed.
    """

    swapped: list[Swapped] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    def swap(self, where: str, done: Swap) -> None:
        """Note a node that has another in its place."""
        self.swapped.append(Swapped(where, done.twin.theirs, done.node.id, done.notes))

    def keep(self, where: str, kind: str, reason: str = "") -> None:
        """Note a node that stays; without a reason of its own, because there is nothing for it."""
        self.kept.append(Kept(where, kind, reason or why_kept(kind, TITLES)))

    def lines(self) -> list[str]:
        """Say it, one node a line, with what is other below it."""
        lines = []
        for item in self.swapped:
            lines.append(f"swapped {item.where}: {item.theirs} -> {TITLES[item.ours]}")
            lines += [f"  {note}" for note in item.notes]
        return [*lines, *(f"kept {item.where}: {item.theirs}: {item.reason}" for item in self.kept)]
