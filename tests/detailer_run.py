"""Runs for tests, with small sizes."""

from __future__ import annotations

from fake_sampler import pipe_of
from segs_detailer.detailer import DetailerSettings, HookCalls, Models, Run


def run_of(sampler, *, hook=None, refiner=None, positive=(), negative=(), observer=None, **settings):
    settings = {"guide_size": 64, "steps": 2, "refiner_ratio": None, "noise_mask_feather": 0, "feather": 0, **settings}
    models = Models.of(pipe_of(sampler, positive, negative), refiner, names=("pipe", "refiner_pipe"))
    return Run(models, DetailerSettings(**settings), HookCalls(hook), observer)
