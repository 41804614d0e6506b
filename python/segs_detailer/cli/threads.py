"""One number of threads for all libraries that bring their own."""

from __future__ import annotations

__all__ = ["limit_threads"]


def limit_threads(threads: int | None) -> None:
    """Use at most this many threads; None leaves every library as it is."""
    if threads is None:
        return
    import torch

    from ..detect.opencv import import_cv2
    from ..ops import set_num_threads

    set_num_threads(threads)
    torch.set_num_threads(threads)
    import_cv2().setNumThreads(threads)
