"""One number of threads for all libraries that bring their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["limited_threads", "one_torch_thread"]


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Use at most this many threads; None leaves every library as it is."""
    if threads is None:
        yield
        return
    import torch

    from segs_detailer.ops.threads import get_num_threads, set_num_threads
    from segs_detailer.subjects.finders.opencv import import_cv2

    cv2 = import_cv2()
    before = get_num_threads(), torch.get_num_threads(), cv2.getNumThreads()
    try:
        set_num_threads(threads)
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        yield
    finally:
        set_num_threads(before[0])
        torch.set_num_threads(before[1])
        cv2.setNumThreads(before[2])


@contextmanager
def one_torch_thread(*, only_if: bool) -> Iterator[None]:
    """Run torch on one thread, if asked; the Rust kernels keep theirs.

    The preview is made of thousands of short operations. On a machine that is busy with other work, torch's threads
    wait for each other at the end of each, and four times the processor time goes by for the same result.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        if only_if:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
