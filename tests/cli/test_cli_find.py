"""Words and masks on the command line and in jobs: what is found, what is kept, and what is said when it cannot be."""

from __future__ import annotations

import json

import huggingface_hub.constants as constants
import numpy as np
import pytest
from PIL import Image

from find_models import moving_squares, save_grounding_dino, save_sam3, save_segmenter
from segs_detailer import ClipJob, FindSettings, plan_clip
from segs_detailer.cli.main import main
from segs_detailer.jobs.job_files import read_job, write_job
from segs_detailer.subjects.segmenters import sam2

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for number, frame in enumerate(moving_squares(6)):
        Image.fromarray((frame * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    return save_grounding_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return save_segmenter(tmp_path_factory.mktemp("segmenter"))


def planned(capsys, *options):
    """The plan as JSON, or the line of the error."""
    code = main(["plan", *map(str, options), "--quiet", "--json", "-"])
    printed = capsys.readouterr()
    return json.loads(printed.out) if code == 0 else printed.err.strip()


def found_by_words(dino, *, every=1):
    words = ("--find", "person", "--find", "left hand", "--find-model", dino, "--find-confidence", "0.01")
    return (*words, "--min-share", "0", "--find-every", every)


def test_words_are_found_and_followed(clip, dino, segmenter, capsys):
    plan = planned(capsys, clip, *found_by_words(dino), "--refine-masks", segmenter, "--device", "cpu")
    assert plan["tracks"]
    assert {track["label"] for track in plan["tracks"]} <= {"person", "left hand"}


def test_what_was_found_is_kept(clip, dino, segmenter, capsys, monkeypatch):
    options = (clip, *found_by_words(dino), "--refine-masks", segmenter, "--device", "cpu")
    first = planned(capsys, *options)

    def fail(*_):
        raise AssertionError("it was looked for again")

    with monkeypatch.context() as patch:
        patch.setattr(sam2.Sam2Segmenter, "begin", fail)
        assert planned(capsys, *options)["tracks"] == first["tracks"]
        with pytest.raises(AssertionError, match="looked for again"):
            planned(capsys, *options, "--dtype", "bfloat16")


def test_boxes_stay_boxes_where_that_is_wanted(clip, dino, capsys, monkeypatch):
    """And no segmenter is asked for."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    plan = planned(capsys, clip, *found_by_words(dino), "--refine-masks", "none", "--device", "cpu")
    assert plan["tracks"]


def test_what_is_in_a_box_is_followed(clip, segmenter):
    find = FindSettings(bbox=[(10, 20, 34, 44)], refine_masks=str(segmenter))
    plan = plan_clip(str(clip), find=find, device="cpu", no_cache=True)
    [track] = plan.tracks
    assert track.track.has_masks
    assert track.track.crop_region is None
    assert track.track.frames.tolist() == list(range(6))


def test_boxes_of_a_file_get_masks(clip, segmenter, tmp_path):
    boxes = tmp_path / "boxes.csv"
    rows = [f"{frame},1,face,{10 + frame},20,{34 + frame},44,0.9" for frame in range(6)]
    boxes.write_text("\n".join(["frame,id,label,x1,y1,x2,y2,confidence", *rows]))
    plan = plan_clip(str(clip), segs=str(boxes), refine_masks=str(segmenter), device="cpu", no_cache=True)
    assert all(track.track.has_masks for track in plan.tracks)
    plan = plan_clip(str(clip), segs=str(boxes), device="cpu", no_cache=True)
    assert not any(track.track.has_masks for track in plan.tracks)


def test_a_model_of_masks_needs_no_segmenter(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sam3 = save_sam3(tmp_path / "sam3", hotstart_delay=15)
    options = (clip, "--find", "person", "--find-model", sam3, "--device", "cpu", "--no-cache")
    assert planned(capsys, *options)["tracks"]
    line = planned(capsys, *options, "--refine-masks", "sam2.1-tiny")
    assert "--refine-masks: expected subjects that are found as boxes" in line


def test_nothing_found_says_what_to_do(clip, dino, capsys):
    options = ("--find", "cup", "--find-model", dino, "--find-confidence", "1", "--refine-masks", "none", "--no-cache")
    assert main(["plan", str(clip), *map(str, options), "--device", "cpu"]) == 0
    assert "cup: nothing was found: lower --find-confidence or --min-share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--find-model", "x"], "--find-model: expected words for it: add --find, got none"),
        (["--find-every", "2"], "--find-every: expected words for it: add --find, got none"),
        (["--mask", "m.png", "--refine-masks", "x"], "--refine-masks: expected subjects that are found as boxes"),
        (
            ["--detect", "face", "--refine-masks", "none"],
            "--refine-masks: expected what words name, for none: add --find",
        ),
        (["--dtype", "bfloat16"], "--dtype: expected a model for it: add --model, --find or --refine-masks, got none"),
        (["--find", " "], "--find: expected at least one phrase, and none that is empty, got (' ',)"),
        (["--find", "a", "--find-model", "gronding-dino"], "or a name of `models list`, got 'gronding-dino'"),
        (["--find", "a", "--find-model", "./none"], "--find-model: expected a folder"),
    ],
)
def test_options_that_cannot_be_used(clip, capsys, options, line):
    assert line in planned(capsys, clip, *options)


def test_without_a_network_one_line_says_what_to_do(clip, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    line = planned(capsys, clip, "--find", "person")
    assert line == (
        "segs-detailer: error: IDEA-Research/grounding-dino-tiny cannot be fetched: HF_HUB_OFFLINE is set; fetch it "
        "where there is a network (`segs-detailer models pull grounding-dino`), or name a folder that holds it "
        "(--find-model)"
    )
    line = planned(capsys, clip, "--bbox", "1,1,20,20", "--refine-masks", "some/segmenter")
    assert "(`hf download some/segmenter`), or name a folder that holds it (--refine-masks)" in line


def test_a_model_that_is_given_on_request(clip, capsys, hub):
    hub.gated.add("facebook/sam3")
    line = planned(capsys, clip, "--find", "person", "--find-model", "sam3")
    assert line.startswith("segs-detailer: error: facebook/sam3 cannot be fetched: its repository is gated: accept")
    assert "\n" not in line
    assert hub.kept == []


def test_a_model_is_fetched_once(clip, dino, hub, capsys, monkeypatch):
    for path in dino.iterdir():
        if path.is_file():
            hub.files[f"IDEA-Research/grounding-dino-tiny/{path.name}"] = path.read_bytes()
    hub.files["IDEA-Research/grounding-dino-tiny/pytorch_model.bin"] = b"a pickle"
    options = (*found_by_words("grounding-dino"), "--refine-masks", "none", "--device", "cpu", "--no-cache")
    assert planned(capsys, clip, *options)["tracks"]
    assert "pytorch_model.bin" not in hub.kept
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert planned(capsys, clip, *options)["tracks"]


def test_jobs_have_words(tmp_path):
    job = ClipJob.of("in.mp4", words=["left hand", "cup"], refine_masks="edgetam", find_every=3)
    write_job(tmp_path / "job.toml", job)
    assert read_job(tmp_path / "job.toml") == job
    assert 'words = ["left hand", "cup"]' in (tmp_path / "job.toml").read_text()
    assert job.find.detector is None
