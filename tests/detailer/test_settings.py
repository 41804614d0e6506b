"""Settings: ranges, types and names, each with the argument in the message."""

from __future__ import annotations

import numpy as np
import pytest

from fake_sampler import FakeSampler
from segs_detailer.detailer.settings import DetailerSettings, check_names
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

BAD_VALUES = [
    ("guide_size", 0),
    ("guide_size", -1.0),
    ("guide_size", float("nan")),
    ("guide_size", 16385),
    ("max_size", 0),
    ("max_size", float("inf")),
    ("seed", -1),
    ("seed", 2**64),
    ("steps", 0),
    ("cfg", -0.1),
    ("cfg", 10**400),
    ("denoise", 0),
    ("denoise", 1.01),
    ("feather", -1),
    ("refiner_ratio", -0.1),
    ("refiner_ratio", 1.1),
    ("noise_mask_feather", -1),
]
BAD_TYPES = [
    ("guide_size", "512"),
    ("guide_size_for", True),
    ("max_size", None),
    ("seed", 1.0),
    ("seed", True),
    ("steps", 20.0),
    ("cfg", object()),
    ("cfg", True),
    ("sampler_name", None),
    ("scheduler", 3),
    ("feather", 1.5),
    ("inpaint_model", 1),
    ("limit_size", 1),
    ("scheduler_func", "karras"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_values_out_of_range(name, value):
    with pytest.raises(InvalidArgumentError, match=f"^{name}: expected ") as caught:
        DetailerSettings(**{name: value})
    assert caught.value.argument == name


@pytest.mark.parametrize(("name", "value"), BAD_TYPES)
def test_values_of_another_type(name, value):
    with pytest.raises(InvalidTypeError, match=f"^{name}: expected "):
        DetailerSettings(**{name: value})


def test_limits_are_taken():
    settings = DetailerSettings(
        guide_size=16384, max_size=1, seed=2**64 - 1, steps=1, cfg=0, denoise=1, feather=0, refiner_ratio=None
    )
    assert settings.seed == 2**64 - 1
    assert settings.refiner_ratio is None


def test_numpy_scalars_become_python_numbers():
    settings = DetailerSettings(
        guide_size=np.float32(256),
        limit_size=np.bool_(True),
        seed=np.uint64(2**64 - 1),
        steps=np.int64(7),
        denoise=np.float64(0.25),
    )
    assert (settings.guide_size, settings.seed, settings.steps, settings.denoise) == (256.0, 2**64 - 1, 7, 0.25)
    assert settings.limit_size is True
    assert type(settings.steps) is int


@pytest.mark.parametrize(("name", "known"), [("sampler_name", "euler"), ("scheduler", "karras")])
def test_unknown_names_list_the_known_ones(name, known):
    with pytest.raises(InvalidArgumentError, match=rf"^{name}: expected one of .*\b{known}\b.*, got 'nonsense'$"):
        check_names(DetailerSettings(**{name: "nonsense"}), FakeSampler())


def test_a_sampler_may_bring_its_own_names():
    sampler = FakeSampler(sampler_names=("of_the_host",), scheduler_names=("its_schedule",))
    check_names(DetailerSettings(sampler_name="of_the_host", scheduler="its_schedule"), sampler)
    with pytest.raises(InvalidArgumentError, match="sampler_name: expected one of of_the_host, got 'euler'"):
        check_names(DetailerSettings(), sampler)


def test_the_schedule_is_not_asked_for_where_a_function_replaces_it():
    check_names(DetailerSettings(scheduler="nonsense", scheduler_func=lambda *_: None), FakeSampler())
