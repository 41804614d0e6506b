"""Whether a Matroska file is whole: its outermost element says how long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["missing_bytes"]

# RFC 8794 and RFC 9559.
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_LONGEST_NUMBER = 8


def missing_bytes(path: Path) -> int | None:
    """Bytes that a file lacks of the length that it gives itself; None where it gives none, or is no Matroska file."""
    with path.open("rb") as file:
        head = _element(file)
        if head is None or head[0] != _EBML or head[1] is None:
            return None
        file.seek(head[1], 1)
        segment = _element(file)
        if segment is None or segment[0] != _SEGMENT or segment[1] is None:
            return None
        end = file.tell() + segment[1]
        return max(0, end - file.seek(0, 2))


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """Read the ID of an element and its size; the size is None where it is not known, as in a live stream."""
    found = _number(file, keep_marker=True)
    size = _number(file, keep_marker=False)
    return None if found is None or size is None else (found[0], None if size[1] else size[0])


def _number(file: BinaryIO, *, keep_marker: bool) -> tuple[int, bool] | None:
    """Read a number whose leading zeros say its length, and whether all its bits are 1."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = _LONGEST_NUMBER + 1 - first[0].bit_length()
    data = first + file.read(length - 1)
    if len(data) < length:
        return None
    value = int.from_bytes(data, "big")
    bits = 7 * length
    bare = value & ((1 << bits) - 1)
    return (value if keep_marker else bare), bare == (1 << bits) - 1
