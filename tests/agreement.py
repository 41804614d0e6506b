"""When two computations of networks are one and the same."""

import torch

ROUNDING = 1e-4
"""Of the standard deviation. Networks that are loaded twice lie elsewhere in memory, and batches of other sizes take
other ways through the same sums: processors may round each of them otherwise, and steps of sampling enlarge that."""


def assert_agree(result, expected):
    """Check that they differ by rounding alone."""
    torch.testing.assert_close(result, expected, rtol=ROUNDING, atol=ROUNDING * max(float(expected.std()), 0.1))
