"""Whether a file is whole: Matroska, QuickTime and RIFF say how long their outermost elements are."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["missing_bytes"]

# RFC 8794 and RFC 9559.
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_LONGEST_NUMBER = 8
# ISO/IEC 14496-12: kinds of boxes that a file begins with, and marks of sizes that stand elsewhere.
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")
_TO_THE_END, _IN_64_BITS = 0, 1
_RIFF_UNKNOWN = (0, 0xFFFFFFFF)


def missing_bytes(path: Path) -> int | None:
    """Bytes that a file lacks of the length that it gives itself; None where it gives none, or is of another format."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(8)
        file.seek(0)
        if head[:4] == b"RIFF":
            end = _end_of_riff(file, size)
        elif head[4:8] in _FIRST_BOXES:
            end = _end_of_boxes(file, size)
        else:
            end = _end_of_matroska(file)
        return None if end is None else max(0, end - size)


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    """End of the last RIFF chunk: long AVI files have several."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if len(head) < 8 or head[:4] != b"RIFF" or length in _RIFF_UNKNOWN:
            return place or None
        place += 8 + length + length % 2
    return place


def _end_of_boxes(file: BinaryIO, size: int) -> int | None:
    """End of the last box of a QuickTime or MP4 file."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == _IN_64_BITS:
            length = int.from_bytes(head[8:16], "big")
        if length == _TO_THE_END or len(head) < 8 or length < 8:
            return None
        place += length
    return place


def _end_of_matroska(file: BinaryIO) -> int | None:
    head = _element(file)
    if head is None or head[0] != _EBML or head[1] is None:
        return None
    file.seek(head[1], 1)
    segment = _element(file)
    if segment is None or segment[0] != _SEGMENT or segment[1] is None:
        return None
    return file.tell() + segment[1]


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
