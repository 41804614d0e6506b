"""Settings: ranges, types and names, each with the argument in the message."""

from __future__ import annotations

import numpy as np
import pytest

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, segment, segs_of
from segs_detailer.detailer.api import detail_frames
from segs_detailer.detailer.settings import DetailerSettings, Sampling, check_names
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.info import Recommended
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff

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
    ("grow", None),
    ("seed", 1.0),
    ("seed", True),
    ("steps", 20.0),
    ("cfg", object()),
    ("cfg", True),
    ("sampler_name", 1),
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


def test_what_is_left_open_is_what_the_model_recommends():
    info = {"recommended": Recommended(steps=30, cfg=5.0, scheduler="simple")}
    run = run_of(FakeSampler(**info), denoise=0.3, cfg=2.0, steps=None)
    assert run.settings.sampling == Sampling(30, 2.0, "euler", "simple", 0.3)
    assert run_of(FakeSampler(), steps=None).settings.sampling == Sampling(20, 8.0, "euler", "normal", 0.5)
    # Names that a model recommends are held against its own list, like any other.
    with pytest.raises(InvalidArgumentError, match="scheduler: expected one of karras, got 'simple'"):
        run_of(FakeSampler(scheduler_names=("karras",), **info))


def test_scripts_get_recommendations_and_nodes_have_their_own_defaults():
    frames = clip()
    segs = segs_of(frames, segment())
    info = {"recommended": Recommended(steps=3, cfg=5.0, sampler_name="ddim", denoise=0.4)}
    sampler = FakeSampler(**info)
    detail_frames(frames, segs, sampler)
    detail_frames(frames, segs, sampler, DetailerSettings(steps=2, denoise=1.0), cfg=1.0)
    jobs = [(job.steps, job.cfg, job.sampler_name, job.scheduler, job.denoise) for job in sampler.jobs]
    assert jobs == [(3, 5.0, "ddim", "normal", 0.4), (2, 1.0, "ddim", "normal", 1.0)]
    required = DetailerForEachPipeForAnimateDiff.INPUT_TYPES()["required"]
    assert [required[name][1]["default"] for name in ("steps", "cfg", "denoise")] == [20, 8.0, 0.5]
