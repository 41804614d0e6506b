"""How many threads the kernels use."""

from __future__ import annotations

from segs_detailer import _native
from segs_detailer.checks import whole_number

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(threads: int) -> None:
    """Set the number of threads for all kernels of this process.

    Results have the same bits for every number.

    Parameters
    ----------
    threads : int
        The calling thread included; 0 goes back to the environment's (`SEGS_DETAILER_NUM_THREADS`, `RAYON_NUM_THREADS`,
        `OMP_NUM_THREADS`) or, without one, to the number of cores, at most 8.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Not a whole number, or negative.

    Examples
    --------
    >>> from segs_detailer import get_num_threads, set_num_threads
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(0)
    """
    _native.set_num_threads(whole_number("threads", threads, minimum=0))


def get_num_threads() -> int:
    """Return the number of threads that kernels may use, the calling one included.

    Examples
    --------
    >>> from segs_detailer import get_num_threads
    >>> get_num_threads() >= 1
    True
    """
    return _native.get_num_threads()
