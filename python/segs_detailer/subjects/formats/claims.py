"""What files claim to hold, looked at before it is unpacked."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.errors import InvalidArgumentError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable, Iterator

    from segs_detailer.subjects.sightings import Sighting

__all__ = ["MAX_UNPACKED", "Claim", "masks_within_limit", "member_claim"]

MAX_UNPACKED = 1 << 31
"""Most bytes of arrays, or of masks, that are unpacked from one file: packed they may be a thousandth of that."""

_MOST_HEADER = 10_000
"""Bytes of an array's header in a NumPy archive, as NumPy limits them; it reads longer ones before it refuses them."""

_FIXED = 8
_LENGTH = {1: 2, 2: 4}
_COMPRESSIONS = (0, 8)  # stored, deflated: what NumPy writes


@dataclass(frozen=True, slots=True)
class Claim:
    """What an array claims to be.

    Parameters
    ----------
    dtype : str
        NumPy's name of it.
    shape : tuple of int
        Its shape.
    has_objects : bool
        It holds Python objects.
    """

    dtype: str
    shape: tuple[int, ...]
    has_objects: bool = False

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def masks_within_limit(sightings: Iterable[Sighting]) -> Iterator[Sighting]:
    """Hand sightings on; what their masks take together is limited, as a few bytes may stand for a mask of any size.

    Raises
    ------
    InvalidArgumentError
        They take more than `MAX_UNPACKED`.
    """
    total = 0
    for sighting in sightings:
        if sighting.mask is not None:
            total += sighting.mask.data.nbytes
        if total > MAX_UNPACKED:
            expected = f"masks of at most {MAX_UNPACKED} bytes in all"
            raise InvalidArgumentError(sighting.place, expected, f"{total} bytes up to here")
        yield sighting


def member_claim(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Claim:
    """Read the header of an array in a NumPy archive, and no more.

    Parameters
    ----------
    archive : ZipFile
        The archive.
    member : ZipInfo
        The file of the array.

    Raises
    ------
    ValueError
        It is no array, or the archive says another size of it than its header.
    """
    if member.compress_type not in _COMPRESSIONS:
        raise ValueError(f"compression {member.compress_type}")
    with archive.open(member) as file:
        start = file.read(_FIXED)
        version = np.lib.format.read_magic(io.BytesIO(start))
        length = _LENGTH.get(version[0])
        if length is None:
            raise ValueError(f"version {version}")
        prefix = file.read(length)
        size = int.from_bytes(prefix, "little")
        if size > _MOST_HEADER:
            raise ValueError(f"a header of {size} bytes")
        text = io.BytesIO(prefix + file.read(size))
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(text)
    claim = Claim(dtype.name, tuple(shape), dtype.hasobject)
    if not claim.has_objects and member.file_size != _FIXED + length + size + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.file_size} bytes for shape {shape}")
    return claim
