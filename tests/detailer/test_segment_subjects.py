"""What single subjects have otherwise."""

from __future__ import annotations

import json

import pytest
import torch

from fake_sampler import FakeSampler, clip, segment, segs_of
from segs_detailer import read_subjects
from segs_detailer.detailer import SubjectSettings, detail_frames
from segs_detailer.detailer.subject_settings import SubjectName, check_subjects, checked_subjects, settings_of
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError, ModelError
from segs_detailer.models.info import Geometry

FRAMES = clip()


class FakeClip:
    def encode(self, prompt):
        return [[prompt, {}]]


def three(frames=FRAMES):
    return segs_of(frames, segment(), segment(label="hand"), segment(label="hand"))


def run(prompts, sampler=None, segs=None, **settings):
    sampler = FakeSampler() if sampler is None else sampler
    pipe = (sampler, FakeClip(), None, [["all", {}]], [["bad", {}]])
    detail_frames(FRAMES, three() if segs is None else segs, pipe, subjects=prompts, guide_size=24, steps=1, **settings)
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


def test_settings_without_a_subject_are_refused_before_anything_is_done():
    sampler = FakeSampler()
    there = r"subjects: expected subjects that there are \(numbers 1, 2, 3; labels face, hand\), got "
    for key, got in (("fase", r"'fase' \(did you mean face\?\)"), (4, "4"), (0, "0"), ("7", "7")):
        with pytest.raises(InvalidArgumentError, match=f"{there}{got}$"):
            run({key: "five"}, sampler)
    assert not sampler.jobs


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        ("face", "subjects: expected a mapping"),
        ([], "subjects: expected a mapping"),
        ({1.5: "a"}, "subjects: expected numbers"),
        ({True: "a"}, "subjects: expected numbers"),
        ({"1": "a", 1: "b"}, "subjects: expected each subject once, got 1 twice"),
        ({"face": 3}, r"subjects\['face'\]: expected settings, a prompt"),
        ({"face": ("a", "b", "c")}, r"subjects\['face'\]: expected settings, a prompt"),
        ({"face": {"denoize": 0.3}}, r"subjects\['face'\]: expected .*got 'denoize' \(did you mean denoise"),
        ({2: {"denoise": 2}}, r"subjects\[2\] denoise: expected a number above 0 and at most 1, got 2"),
        ({2: {"seed": "x"}}, r"subjects\[2\] seed: expected an int"),
        ({2: {"lora": ["x"]}}, r"subjects\[2\] lora: expected pairs"),
        ({2: {"reference": 3}}, r"subjects\[2\] reference: expected names of pictures"),
    ],
)
def test_settings_of_another_form_are_refused(subjects, message):
    with pytest.raises((InvalidTypeError, InvalidArgumentError), match=message):
        run(subjects)


def test_each_setting_is_that_of_the_number_else_of_the_identity_else_of_the_label():
    subjects = checked_subjects(
        {"face": {"seed": 1, "denoise": 0.1, "prompt": "a"}, "Ann": {"seed": 2, "denoise": 0.2}, "3": {"seed": 3}}
    )
    names = [SubjectName(1, "hand"), SubjectName(2, "face", "Ann"), SubjectName(3, "face", "Ann"), SubjectName(4, "")]
    assert [settings_of(subjects, name).given for name in names] == [
        {},
        {"seed": 2, "denoise": 0.2, "prompt": "a"},
        {"seed": 3, "denoise": 0.2, "prompt": "a"},
        {},
    ]
    check_subjects(subjects, names)
    with pytest.raises(InvalidArgumentError, match="numbers 1, 2; identities Ann; labels hand, face"):
        check_subjects(subjects, names[:2])


def test_seed_denoise_and_size_are_a_subjects_own():
    sampler = FakeSampler()
    own = {"hand": {"denoise": 0.3, "guide_size": 48}, 3: SubjectSettings(seed=9)}
    run(own, sampler, denoise=0.7, max_size=64, seed=5, noise_mask_feather=0)
    assert [(job.seed, job.denoise) for job in sampler.jobs] == [(5, 0.7), (5, 0.3), (9, 0.3)]
    assert [job.pixels.shape[1:3] for job in sampler.jobs] == [(24, 32), (48, 64), (48, 64)]


def test_subjects_of_different_settings_are_not_sampled_together():
    def clips(subjects):
        sampler = FakeSampler(geometry=Geometry(size_multiple=8, takes_clips=True))
        regions = [(0, 0, 16, 16), (20, 0, 36, 16), (40, 0, 56, 16)]
        segs = segs_of(FRAMES, *(segment(region, label=str("ab"[i > 0])) for i, region in enumerate(regions)))
        run(subjects, sampler, segs, batch_segments=3)
        return [job.clips for job in sampler.jobs]

    assert clips(None) == [3]
    assert clips({"b": {"denoise": 0.3, "prompt": "b"}}) == [1, 2]
    assert clips({3: {"seed": 4}}) == [2, 1]
    assert clips({2: {"guide_size": 40}}) == [1, 1, 1]


def test_a_family_without_loras_or_pictures_says_so(tmp_path):
    with pytest.raises(ModelError, match="a model of the family 'fake' has no LoRAs"):
        run({"hand": {"lora": [("x.safetensors", 1.0)]}})
    with pytest.raises(InvalidArgumentError, match=r"reference: expected a picture, got nobody\.png"):
        run({"hand": {"reference": "nobody.png"}})


def test_a_pipe_that_cannot_encode_is_refused():
    with pytest.raises(
        InvalidTypeError,
        match="pipe: expected a pipe whose clip encodes text",
    ):
        detail_frames(FRAMES, three(), (FakeSampler(), None, None, [], []), subjects={"face": "a"})


def test_files_hold_settings_of_subjects(tmp_path):
    content = {"face": "a", "1": ["b", "c"], "hand": {"prompt": "d", "denoise": 0.25, "lora": [["x", 0.5]]}}
    (tmp_path / "subjects.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "subjects.toml").write_text(
        'face = "a"\n1 = ["b", "c"]\n[hand]\nprompt = "d"\ndenoise = 0.25\nlora = [["x", 0.5]]\n', encoding="utf-8"
    )
    expected = {
        "face": SubjectSettings(prompt="a"),
        1: SubjectSettings(prompt="b", negative_prompt="c"),
        "hand": SubjectSettings(prompt="d", denoise=0.25, lora=(("x", 0.5),)),
    }
    assert read_subjects(tmp_path / "subjects.json") == read_subjects(tmp_path / "subjects.toml") == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[1]", "subjects: expected a mapping"),
        ("a.json", "{", "is no JSON"),
        ("a.toml", "[face]\npromt = 'x'", r"subjects\['face'\]: expected .*got 'promt' \(did you mean prompt"),
        ("a.txt", "", "expected a file of subjects, .toml or .json"),
    ],
)
def test_files_of_another_form_are_refused(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MediaError, match=message):
        read_subjects(path)


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
        detail_frames(FRAMES, three(), pipe, subjects={"hand": "five fingers"}, guide_size=24, steps=1)
    assert sampler.released == 1
