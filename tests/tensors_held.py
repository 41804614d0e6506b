"""How much memory tensors of an object take."""

from __future__ import annotations

import torch


def bytes_held(thing) -> int:
    """Bytes of all tensors that an object of the library holds, each storage once."""
    found = {}

    def walk(each):
        if torch.is_tensor(each):
            storage = each.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        elif isinstance(each, dict):
            for value in each.values():
                walk(value)
        elif isinstance(each, (list, tuple, set)):
            for value in each:
                walk(value)

    walk(vars(thing))
    return sum(found.values())
