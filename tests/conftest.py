"""Settings for all tests."""

import tempfile
from pathlib import Path

import torch
from hypothesis.configuration import set_hypothesis_home_dir

# The models are so small that sharing their work costs more than it saves, most of all on a busy machine.
torch.set_num_threads(1)

# What Hypothesis remembers between runs is not for the checkout.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "segs-detailer-hypothesis")
