"""Options and fixtures of the benches: `pytest benches` runs them, `pytest benches --quick` a small version."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from contest import Contest, default_threads, use_threads
from segs_detailer._native import cpu_level
from workloads import FULL, QUICK, SIZES_BY_CLIP, Sizes, random_frames

PACKAGES = ("numpy", "torch", "torchvision", "pillow", "opencv-python-headless", "scipy")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("segs-detailer")
    group.addoption("--quick", action="store_true", help="short clips and few rounds: under 2 minutes, under 6 GB")
    group.addoption("--threads", type=int, default=None, help="threads of the 'all threads' rows (default: all cores)")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """What the report says about the run; pytest-benchmark adds the processor and the commit."""
    machine_info["segs_detailer"] = {
        "versions": {package: version(package) for package in PACKAGES},
        "cpu_level": cpu_level(),
        "threads": config.getoption("--threads") or default_threads(),
        "quick": config.getoption("--quick"),
    }


@pytest.fixture(scope="session")
def sizes(pytestconfig: pytest.Config) -> Sizes:
    return QUICK if pytestconfig.getoption("--quick") else FULL


@pytest.fixture
def contest(benchmark, sizes: Sizes, pytestconfig: pytest.Config) -> Iterator[Contest]:
    threads = pytestconfig.getoption("--threads") or default_threads()
    yield Contest(benchmark, seconds=sizes.seconds, slow_rounds=sizes.slow_rounds, all_threads=threads)
    use_threads(default_threads())


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benches")


@pytest.fixture(scope="session")
def long_clip(sizes: Sizes) -> torch.Tensor:
    """Frames (B, 1080, 1920, 3) float32, B as many as the longest bench takes. Never changed by a bench for good."""
    height, width = SIZES_BY_CLIP["1080p"]
    return random_frames(sizes.frames, height, width)
