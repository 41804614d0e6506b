"""Settings for all tests."""

import itertools
import os
import tempfile
from pathlib import Path

# Before anything imports huggingface_hub, which reads them then: no test asks the hub, and none finds what the machine
# has of it.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_CACHE"] = str(Path(tempfile.gettempdir()) / f"segs-detailer-no-hub-{os.getpid()}")

import pytest
import torch
from hypothesis.configuration import set_hypothesis_home_dir

# The models are so small that sharing their work costs more than it saves, most of all on a busy machine.
torch.set_num_threads(1)

# What Hypothesis remembers between runs is not for the checkout.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "segs-detailer-hypothesis")

_caches = itertools.count()


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_session(tmp_path_factory):
    """Results that runs keep are not for the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGS_DETAILER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(autouse=True)
def _cache_of_the_test(tmp_path_factory, monkeypatch):
    """No test finds what another one has done."""
    monkeypatch.setenv("SEGS_DETAILER_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{next(_caches)}"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on the loopback address, which this process asks instead of the real one, and an empty cache for it."""
    from fake_hub import FakeHub

    with FakeHub() as server:
        server.serve(monkeypatch, tmp_path / "hub")
        yield server
