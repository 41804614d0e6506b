"""What the machine's memory gives: the yardstick of every other bench. The largest is taken as the bandwidth."""

from __future__ import annotations

import numpy as np
import torch

from contest import Contest, Way, Work, compare

AREA = "Memory"


@compare(
    Way("numpy.copyto", lambda source, out: np.copyto(out.numpy(), source.numpy()), threaded=False),
    Way("torch copy_", lambda source, out: out.copy_(source)),
)
def test_copy_to_warm_memory(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor):
    out = torch.from_numpy(np.zeros(tuple(long_clip.shape), np.float32))
    work = Work(AREA, f"Copy of {len(long_clip)} frames 1080p into memory in use", 2 * long_clip.nbytes)
    contest(work, way, threads, lambda: way.run(long_clip, out))
    assert torch.equal(out[-1], long_clip[-1])


@compare(
    Way(
        "numpy.copyto to numpy.empty",
        lambda source: np.copyto(np.empty(source.shape, np.float32), source.numpy()),
        threaded=False,
    ),
    Way(
        "torch copy_ to numpy.empty", lambda source: torch.from_numpy(np.empty(source.shape, np.float32)).copy_(source)
    ),
    Way("torch clone", lambda source: source.clone()),
)
def test_copy_to_fresh_memory(contest: Contest, way: Way, threads: str, long_clip: torch.Tensor):
    work = Work(AREA, f"Copy of {len(long_clip)} frames 1080p into fresh memory", 2 * long_clip.nbytes)
    contest(work, way, threads, lambda: way.run(long_clip))
