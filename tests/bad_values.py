"""Values that no argument takes, and how to see that they are refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

NAN, INF = math.nan, math.inf
BEYOND_FLOATS = 2**2000
BEYOND_PRINTING = 10**5000
# The largest size and coordinate.
MAX = 2**30

# Rows of value, error and message: for whole numbers, and for numbers.
COUNTS = [
    (-1, InvalidArgumentError, f"a whole number from [01] to {MAX}, got -1"),
    (MAX + 1, InvalidArgumentError, f"to {MAX}, got {MAX + 1}"),
    (2**63, InvalidArgumentError, "a whole number"),
    (-(2**63), InvalidArgumentError, "a whole number"),
    (BEYOND_FLOATS, InvalidArgumentError, "a whole number .*, got 11481306952742545"),
    (BEYOND_PRINTING, InvalidArgumentError, "a whole number .*, got int of too many digits"),
    (1.5, InvalidTypeError, "a whole number, got float 1.5"),
    (2.0, InvalidTypeError, "a whole number, got float 2.0"),
    (NAN, InvalidTypeError, "a whole number, got float nan"),
    (INF, InvalidTypeError, "a whole number, got float inf"),
    ("3", InvalidTypeError, "a whole number, got str '3'"),
    (True, InvalidTypeError, "a whole number, got bool True"),
    (None, InvalidTypeError, "a whole number, got NoneType None"),
    (np.ones(2), InvalidTypeError, "a whole number, got ndarray"),
    (torch.ones((), dtype=torch.int64, device="meta"), InvalidTypeError, "a whole number, got Tensor"),
]
FINITE = [
    (NAN, InvalidArgumentError, "got nan"),
    (INF, InvalidArgumentError, "got inf"),
    (-INF, InvalidArgumentError, "got -inf"),
    (np.float32(NAN), InvalidArgumentError, "nan"),
    (BEYOND_FLOATS, InvalidArgumentError, "got 11481306952742545"),
    (-BEYOND_FLOATS, InvalidArgumentError, "got -11481306952742545"),
    (BEYOND_PRINTING, InvalidArgumentError, "got int of too many digits"),
    (1e300, InvalidArgumentError, r"got 1e\+300"),
    ("0.5", InvalidTypeError, "number.*, got str '0.5'"),
    (b"1", InvalidTypeError, "number.*, got bytes"),
    (True, InvalidTypeError, "number.*, got bool True"),
    (1j, InvalidTypeError, "number.*, got complex 1j"),
    ([0.5], InvalidTypeError, r"number.*, got list \[0.5\]"),
    (np.ones(2), InvalidTypeError, "number.*, got ndarray"),
    (torch.ones(2), InvalidTypeError, "number.*, got Tensor"),
    (torch.ones((), device="meta"), InvalidTypeError, "number.*, got Tensor"),
]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    moved = raw[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def state(arguments):
    """The bits of all arrays, to see whether a call changed one."""
    found = {}
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor):
            if value.layout is torch.strided and value.device.type != "meta" and not value.is_nested:
                bits = value.detach().resolve_neg().flatten().clone()
                found[name] = bits.view(torch.uint8).numpy().tobytes() if bits.numel() else b""
        elif isinstance(value, np.ndarray) and value.dtype != object:
            found[name] = value.tobytes()
    return found


def refused(call, arguments, error, argument, message):
    before = state(arguments)
    with pytest.raises(error, match=message) as caught:
        call(**arguments)
    assert state(arguments) == before
    assert caught.value.argument == argument
    assert re.match(rf"^{re.escape(argument)}: expected .+, got .+", str(caught.value), re.DOTALL)
    assert len(str(caught.value)) < 1000
    # The class that a caller would catch who knows nothing of ours.
    assert isinstance(caught.value, ValueError if error is InvalidArgumentError else TypeError)
