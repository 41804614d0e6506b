"""Settings for all tests."""

import torch

# The models are so small that sharing their work costs more than it saves, most of all on a busy machine.
torch.set_num_threads(1)
