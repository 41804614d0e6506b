"""Prompts of single segments."""

from __future__ import annotations

import json

import pytest
import torch

from fake_sampler import FakeSampler, clip, segment, segs_of
from segs_detailer.detailer import detail_frames, load_prompts
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

FRAMES = clip()


class FakeClip:
    def encode(self, prompt):
        return [[prompt, {}]]


def three(frames=FRAMES):
    return segs_of(frames, segment(), segment(label="hand"), segment(label="hand"))


def run(prompts, sampler=None, segs=None, **settings):
    sampler = FakeSampler() if sampler is None else sampler
    pipe = (sampler, FakeClip(), None, [["all", {}]], [["bad", {}]])
    detail_frames(FRAMES, three() if segs is None else segs, pipe, prompts=prompts, guide_size=24, steps=1, **settings)
    return [(job.positive[0][0], job.negative[0][0]) for job in sampler.jobs]


def test_labels_and_numbers_choose_the_prompt():
    assert run(None) == [("all", "bad")] * 3
    assert run({}) == [("all", "bad")] * 3
    assert run({"hand": "five fingers"}) == [("all", "bad"), ("five fingers", "bad"), ("five fingers", "bad")]
    assert run({"hand": "five", 3: ("left", "right"), "face": "smile"}) == [
        ("smile", "bad"),
        ("five", "bad"),
        ("left", "right"),
    ]


def test_the_refiner_has_the_prompt_too():
    sampler = FakeSampler()
    refiner = (FakeSampler(), FakeClip(), None, [["fine", {}]], [["coarse", {}]])
    run({"hand": "five"}, sampler, refiner_pipe=refiner)
    assert [job.refiner.positive[0][0] for job in sampler.jobs] == ["fine", "five", "five"]
    assert {job.refiner.negative[0][0] for job in sampler.jobs} == {"coarse"}


def test_prompts_without_a_segment_are_refused_before_anything_is_done():
    sampler = FakeSampler()
    with pytest.raises(
        InvalidArgumentError, match=r"prompts: expected labels of segments \('face', 'hand'; numbers: 1"
    ):
        run({"foot": "five"}, sampler)
    with pytest.raises(InvalidArgumentError, match=r"numbers: 1 to 3\), got 4"):
        run({4: "five"}, sampler)
    with pytest.raises(InvalidArgumentError, match=r"numbers: 1 to 3\), got 0"):
        run({0: "five"}, sampler)
    assert not sampler.jobs


@pytest.mark.parametrize("prompts", ["face", {1.5: "a"}, {True: "a"}, {"face": 3}, {"face": ("a", "b", "c")}])
def test_prompts_of_another_form_are_refused(prompts):
    with pytest.raises(InvalidTypeError, match="prompts"):
        run(prompts)


def test_a_pipe_that_cannot_encode_is_refused():
    with pytest.raises(
        InvalidTypeError,
        match="pipe: expected a pipe whose clip encodes text",
    ):
        detail_frames(FRAMES, three(), (FakeSampler(), None, None, [], []), prompts={"face": "a"})


def test_prompts_are_read_from_json(tmp_path):
    path = tmp_path / "prompts.json"
    content = {"face": "a", "1": ["b", "c"], "hand": {"prompt": "d", "negative_prompt": "e"}, "foot": {"prompt": "f"}}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert load_prompts(path) == {"face": "a", 1: ("b", "c"), "hand": ("d", "e"), "foot": "f"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "expected a JSON object of prompts, got a list"),
        ("{", "got no JSON"),
        ('{"a": {"negative_prompt": "b"}}', 'expected the keys "prompt"'),
    ],
)
def test_files_of_another_form_are_refused(content, message, tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=message):
        load_prompts(path)


def test_samplers_are_told_that_the_run_is_over():
    class Releasing(FakeSampler):
        released = 0

        def release(self):
            self.released += 1

    sampler = Releasing()
    run(None, sampler)
    assert sampler.released == 1

    def broken(pixels, job):
        raise RuntimeError("stop")

    sampler = Releasing(broken)
    with pytest.raises(RuntimeError, match="stop"):
        run(None, sampler)
    assert sampler.released == 1
    assert torch.equal(FRAMES, clip())

    class Full:
        def encode(self, prompt):
            raise RuntimeError("no memory")

    sampler = Releasing()
    pipe = (sampler, Full(), None, [["all", {}]], [["bad", {}]])
    with pytest.raises(RuntimeError, match="no memory"):
        detail_frames(FRAMES, three(), pipe, prompts={"hand": "five fingers"}, guide_size=24, steps=1)
    assert sampler.released == 1
