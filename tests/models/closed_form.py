"""The model of the reference numbers, and what was run with it."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import torch

from places import TESTS

GOLDEN = TESTS / "golden"
SD_SCALE = 0.18215


class ClosedFormDenoiser:
    """A model that is a formula; counts its calls."""

    def __init__(self, cfg: float) -> None:
        self.cfg = cfg
        self.calls = 0

    def __call__(self, x, sigma):
        return self.with_unconditional(x, sigma)[0]

    def with_unconditional(self, x, sigma):
        self.calls += 1
        sigma = sigma.to(x.dtype)
        smooth = 1.3 * torch.tanh(1.7 * x / (1 + sigma**2) + 0.3) * torch.exp(-0.05 * sigma)
        positive = smooth + 0.1 * torch.sin(x / (1 + sigma))
        negative = 0.9 * positive
        return negative + self.cfg * (positive - negative), negative


def reference_cases(comfyui: Literal["0.8", "0.3"] = "0.8"):
    """What was run with a version of ComfyUI; the key of each case names its array."""
    cases, changed = (_cases(name) for name in ("comfyui_reference", "comfyui_reference_0.8"))
    if comfyui == "0.3":
        return cases
    other = [_settings(case) for case in changed]
    return [case for case in cases if _settings(case) not in other] + changed


def reference_arrays():
    """The numbers of both versions, by their keys."""
    return _arrays("comfyui_reference") | _arrays("comfyui_reference_0.8")


def _cases(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def _arrays(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def _settings(case):
    return {name: value for name, value in case.items() if name not in ("key", "calls")}
