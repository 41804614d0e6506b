from __future__ import annotations

import pytest
import torch
from closed_form import SD_SCALE, reference_arrays

from segs_detailer.models.sigma_table import SigmaTable


@pytest.fixture(scope="session")
def reference():
    return reference_arrays()


@pytest.fixture(scope="session")
def table():
    return SigmaTable.from_config({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012})


@pytest.fixture(scope="session")
def source(reference):
    """The reference's input, scaled as the model takes it."""
    return torch.from_numpy(reference["src"]) * SD_SCALE
