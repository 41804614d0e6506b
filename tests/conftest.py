"""Settings for all tests."""

import itertools
import tempfile
from pathlib import Path

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
