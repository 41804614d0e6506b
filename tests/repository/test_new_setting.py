"""A new setting of the detailer is one declaration: everything else follows from it."""

from __future__ import annotations

import inspect
import pickle
import re
import runpy
from dataclasses import dataclass, replace

import pytest

from fake_sampler import FakeSampler, clip, pipe_of, segment, segs_of
from places import ROOT
from segs_detailer.cli import run_options
from segs_detailer.cli.options import build_parser
from segs_detailer.cli.setting_options import settings_from
from segs_detailer.comfyui.help_pages import help_page
from segs_detailer.detailer import api
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs import job, job_files
from segs_detailer.jobs.job import ClipJob
from segs_detailer.nodes import detailers
from segs_detailer.settings import declared, setting

SIZES = {"guide_size": 64, "guide_size_for": False, "max_size": 256, "seed": 3, "steps": 2, "cfg": 4.0}
INPUTS = {**SIZES, "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grained(DetailerSettings):
    """As the detailer's, with one setting more."""

    grain: float = setting(
        0.25, help="film grain of repainted crops", minimum=0, maximum=1, step=0.01, group="repainting", node=True
    )


@dataclass(frozen=True, slots=True)
class GrainedJob(ClipJob):
    """A job of such settings."""

    detail: DetailerSettings = Grained(limit_size=True)


def test_it_is_checked():
    with pytest.raises(InvalidArgumentError, match=r"^grain: expected a number from 0 to 1, got 2$"):
        Grained(grain=2)


def test_it_is_an_option(monkeypatch, capsys):
    monkeypatch.setattr(run_options, "CLIP_DETAIL", Grained(limit_size=True))
    parser = build_parser()
    with pytest.raises(SystemExit):
        parser.parse_args(["run", "--help"])
    assert "--grain S film grain of repainted crops (default: 0.25)" in " ".join(capsys.readouterr().out.split())
    args = parser.parse_args(["run", "clip.mp4", "-o", "out.mp4", "--grain", "0.5"])
    assert settings_from(args, Grained(limit_size=True)) == Grained(limit_size=True, grain=0.5)


@pytest.mark.parametrize("node", [detailers.SEGS_DETAILER, detailers.DETAILER_FOR_EACH], ids=lambda node: node.id)
def test_it_is_an_optional_input_of_both_nodes(node, monkeypatch):
    pastes = node is detailers.DETAILER_FOR_EACH
    grained = replace(node, inputs=detailers.detailer_inputs(Grained(), pastes=pastes))
    *others, last = grained.inputs
    assert [item.name for item in others] == [item.name for item in node.inputs]
    widget = {"default": 0.25, "min": 0, "max": 1, "step": 0.01, "tooltip": "Film grain of repainted crops."}
    assert (last.name, last.optional, last.classic) == ("grain", True, ("FLOAT", widget))
    assert list(inspect.signature(grained.called()).parameters.values())[-1].default == 0.25
    assert "| `grain` | FLOAT, optional | 0.25 (0 to 1) | Film grain of repainted crops. |" in help_page(grained)

    runs = []
    monkeypatch.setattr(detailers, "DetailerSettings", Grained)
    original = detailers.Run
    monkeypatch.setattr(detailers, "Run", lambda *given, **more: runs.append(given[1]) or original(*given, **more))
    frames = clip()
    feather = {"feather": 0} if pastes else {}
    for given, grain in (({"grain": 0.75}, 0.75), ({}, 0.25)):
        inputs = {"image_frames": frames, "segs": segs_of(frames, segment()), "basic_pipe": pipe_of(FakeSampler())}
        grained.called()(**inputs, **INPUTS, **feather, **given)
        assert runs.pop().grain == grain


def test_it_is_taken_by_name_from_scripts(monkeypatch):
    seen = []
    original = api.Run
    monkeypatch.setattr(api, "Run", lambda *given: seen.append(given[1]) or original(*given))
    frames = clip()
    segs = segs_of(frames, segment())
    api.detail_frames(frames, segs, FakeSampler(), Grained(steps=2, guide_size=16), grain=0.5)
    assert seen == [Grained(steps=2, guide_size=16, grain=0.5)]
    with pytest.raises(InvalidArgumentError, match=r"^settings: expected one of .*, got 'grain'"):
        api.detail_frames(frames, segs, FakeSampler(), grain=0.5)


@pytest.mark.parametrize("name", ["job.toml", "job.json"])
def test_jobs_and_their_files_hold_it(name, tmp_path, monkeypatch):
    monkeypatch.setitem(job.PARTS, "detail", Grained)
    monkeypatch.setattr(job_files, "ClipJob", GrainedJob)
    made = GrainedJob.of("in.mp4", "out.mp4", grain=0.5)
    assert made.detail == Grained(limit_size=True, grain=0.5)
    assert pickle.loads(pickle.dumps(made)) == made
    assert made != made.changed(grain=0.75)
    job_files.write_job(tmp_path / name, made)
    assert re.search(r"grain\W+ 0.5", (tmp_path / name).read_text(encoding="utf-8"))
    assert job_files.read_job(tmp_path / name) == made


def test_it_has_its_row_in_the_docs():
    table = runpy.run_path(str(ROOT / "scripts" / "settings_reference.py"))["table"]
    row = "| `grain` | float | `0.25` | 0 to 1 | film grain of repainted crops |"
    assert row in table(Grained).splitlines()
    assert row not in table(DetailerSettings)


def test_its_declaration_comes_after_the_others():
    assert [each.name for each in declared(Grained)] == [*(each.name for each in declared(DetailerSettings)), "grain"]
