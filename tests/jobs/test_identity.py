"""Who is who in a clip: tracks linked across cuts, and those like a picture, through the command line.

The network is a stand-in that sees colors: how well faces are told apart is not tested here.
"""

from __future__ import annotations

import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from places import ROOT
from segs_detailer import open_clip, plan_clip
from segs_detailer.cli.main import main
from segs_detailer.cli.report import describe_plan_tracks
from segs_detailer.subjects import Detection, Track, Tracks, read_tracks, write_tracks
from segs_detailer.subjects.identity import PictureLikeness, SFaceEmbedder, look_at
from segs_detailer.video import image_files
from tiny_embedders import write_tiny_sface, write_tiny_vision

SIZE = (96, 160)
SHOT = 6
# Of each shot the people from left to right.
SHOTS = ("ab", "ba", "c")
# Where the eyes, the nose and the mouth of an aligned face are, in parts of its side.
POINTS = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)]) / 112
QUICK = ["--guide-size", "48", "--max-size", "64", "--steps", "1", "-q"]


def face(who):
    fields = np.random.default_rng(ord(who)).integers(0, 255, (4, 4, 3), np.uint8)
    return fields.repeat(12, axis=0).repeat(12, axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of three shots, its tracks with landmarks, and models."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "in").mkdir()
    tracks = []
    for shot, people in enumerate(SHOTS):
        frames = range(SHOT * shot, SHOT * (shot + 1))
        for frame in frames:
            pixels = np.full((*SIZE, 3), 60 * shot + 20 + frame, np.uint8)
            for place, who in enumerate(people):
                pixels[20:68, 10 + 80 * place : 58 + 80 * place] = face(who)
            Image.fromarray(pixels).save(folder / "in" / f"{frame:02d}.png")
        for place in range(len(people)):
            box = (10 + 80 * place, 20, 58 + 80 * place, 68)
            points = [POINTS * 48 + box[:2]] * SHOT
            tracks.append(Track(len(tracks) + 1, "face", frames, [box] * SHOT, 0.9, shot=(frames[0], frames[-1] + 1),
                                landmarks=points))  # fmt: skip
    write_tracks(folder / "t.npz", Tracks(SIZE, 3 * SHOT, tracks))
    write_tiny_sface(folder / "sface.onnx")
    for who in "abcd":
        Image.fromarray(np.pad(face(who), ((30, 30), (40, 40), (0, 0)))).save(folder / f"{who}.png")
    Image.new("RGB", (90, 90)).save(folder / "empty.png")
    return folder


@pytest.fixture(autouse=True)
def _faces_of_pictures(monkeypatch):
    """Faces of pictures are where they were put; in a black one there is none."""

    def faces(self, pixels):
        if not pixels.any():
            return []
        points = tuple((float(x), float(y)) for x, y in POINTS * 48 + (40, 30))
        return [Detection((40, 30, 88, 78), 0.9, landmarks=points), Detection((0, 0, 9, 9), 0.99, landmarks=points)]

    monkeypatch.setattr(SFaceEmbedder, "_faces", faces)


def planned(folder, tmp_path, *args):
    options = ("--segs", folder / "t.npz", "--identity-model", folder / "sface.onnx", *args)
    words = ["plan", folder / "in", *QUICK, "--cache", tmp_path / "cache", *options, "--json", tmp_path / "p.json"]
    assert main([str(word) for word in words]) == 0
    return json.loads((tmp_path / "p.json").read_text())


def failed(folder, capsys, *args):
    options = ("--segs", folder / "t.npz", "--identity-model", folder / "sface.onnx", *args)
    assert main([str(word) for word in ("plan", folder / "in", *QUICK, "--no-cache", *options)]) == 2
    return capsys.readouterr().err


def test_tracks_of_one_person_are_linked_across_cuts(folder, tmp_path):
    content = planned(folder, tmp_path, "--link-shots")
    assert [track["identity"] for track in content["tracks"]] == ["A", "B", "B", "A", "C"]
    assert [track["identity"] for track in content["found"]] == ["A", "B", "B", "A", "C"]
    find = {"segs": str(folder / "t.npz"), "identity_model": str(folder / "sface.onnx"), "link_shots": True}
    own = {"A": {"seed": 5}, "B": {"seed": 7}}
    plan = plan_clip(folder / "in", tracks="A", subjects=own, no_cache=True, **find)
    assert [(track.number, track.detail.seed) for track in plan.tracks] == [(1, 5), (4, 5)]
    assert "1  face A" in "\n".join(describe_plan_tracks(plan))
    chosen = planned(folder, tmp_path, "--link-shots", "--tracks", "A,5", "--save", tmp_path / "s.npz")
    assert [track["number"] for track in chosen["tracks"]] == [1, 4, 5]
    # They are in the file, and can be asked for without looking again.
    assert [track.identity for track in read_tracks(tmp_path / "s.npz")] == ["A", "A", "C"]
    plan = plan_clip(
        folder / "in", segs=str(tmp_path / "s.npz"), tracks="A", no_cache=True, subjects={"A": {"seed": 3}}
    )
    assert [track.number for track in plan.tracks] == [1, 4]


def test_a_picture_says_who_is_meant(folder, tmp_path, capsys):
    assert [t["number"] for t in planned(folder, tmp_path, "--like", folder / "b.png")["tracks"]] == [2, 3]
    several = planned(folder, tmp_path, "--like", folder / "b.png", "--like", folder / "c.png", "--largest", "2")
    assert [t["number"] for t in several["tracks"]] == [2, 3]
    assert several["selection"][0]["leaves"] == [2, 3, 5]
    others = planned(folder, tmp_path, "--exclude", f"like={folder / 'b.png'}")
    assert [t["number"] for t in others["tracks"]] == [1, 4, 5]
    error = failed(folder, capsys, "--like", folder / "d.png")
    assert "--like: expected a picture of one of these, by their similarity: 1 (face) " in error
    assert " of 0.36, 2 (face) " in error
    assert len(planned(folder, tmp_path, "--like", folder / "d.png", "--identity-threshold", "-1")["tracks"]) == 5
    assert "--like: expected a picture in which a face is found" in failed(
        folder, capsys, "--like", folder / "empty.png"
    )
    error = failed(folder, capsys, "--exclude", f"like={folder / 'empty.png'}")
    assert "--exclude: expected a picture in which a face is found" in error
    assert "no.png: no such file" in failed(folder, capsys, "--like", folder / "no.png")
    assert "expected one picture, got a clip of 18 frames" in failed(folder, capsys, "--like", folder / "in")


def test_what_was_seen_is_kept(folder, tmp_path, monkeypatch):
    asked = []
    embed = SFaceEmbedder.embed
    monkeypatch.setattr(SFaceEmbedder, "embed", lambda self, seen: asked.extend(seen) or embed(self, seen))
    first = planned(folder, tmp_path, "--link-shots")
    # Five frames of five tracks, some of them in the same frame.
    assert len(asked) == 25
    asked.clear()
    assert planned(folder, tmp_path, "--link-shots")["tracks"] == first["tracks"]
    assert planned(folder, tmp_path, "--like", folder / "a.png")["selection"][0]["leaves"] == [1, 4]
    assert asked == []


def test_only_what_is_needed_is_read(folder, monkeypatch):
    read = []
    load = image_files.load_image
    monkeypatch.setattr(image_files, "load_image", lambda path: read.append(path.name) or load(path))
    source = open_clip(folder / "in")
    tracks = read_tracks(folder / "t.npz").select(tracks=(1, 5)).tracks
    read.clear()
    looks = look_at(source, tracks, SFaceEmbedder(folder / "sface.onnx"))
    assert read == sorted(read)
    assert len(read) == 10
    assert sorted(looks.vectors) == [1, 5]
    assert all(np.linalg.norm(each) == pytest.approx(1, abs=1e-5) for each in looks.vectors.values())
    found = Tracks(SIZE, 3 * SHOT, tracks).select(like=str(folder / "c.png"), likeness=PictureLikeness([looks]))
    assert found.numbers == (5,)


def test_tracks_that_an_embedder_does_not_serve_are_left_out(folder):
    first, second = read_tracks(folder / "t.npz").select(tracks=(1, 5)).tracks
    looks = look_at(
        open_clip(folder / "in"), [first, replace(second, label="hand")], SFaceEmbedder(folder / "sface.onnx")
    )
    assert sorted(looks.vectors) == [1]


def test_other_things_by_a_model_of_transformers(folder, tmp_path):
    model = tmp_path / "vision"
    model.mkdir()
    write_tiny_vision(model, "dinov2")
    options = ("--identity-model", model, "--device", "cpu")
    # Random weights tell nothing apart, but all tracks are looked at, and those at the same time are never the same.
    identities = [track["identity"] for track in planned(folder, tmp_path, "--link-shots", *options)["tracks"]]
    assert all(identities)
    assert identities[0] != identities[1]
    assert identities[2] != identities[3]
    options += ("--identity-threshold", "-1", "--like", folder / "a.png")
    assert len(planned(folder, tmp_path, *options)["tracks"]) == 5


def test_what_is_missing_is_said(folder, tmp_path, capsys):
    command = ["plan", str(folder / "in"), *QUICK, "--no-cache", "--link-shots"]
    assert main([*command, "--segs", str(folder / "t.npz")]) == 2
    error = capsys.readouterr().err
    assert "face_recognition_sface_2021dec.onnx cannot be fetched" in error
    assert "name another with --identity-model" in error
    assert main([*command, "--bbox", "1,2,30,40", "--identity-model", str(folder / "sface.onnx")]) == 2
    assert "--identity-model: expected a vision model, for tracks of box, got" in capsys.readouterr().err


def test_options_that_need_another(folder, capsys):
    assert "--identity-model: expected tracks to tell apart: add --link-shots or --like" in failed(folder, capsys)


def test_the_errors_of_thresholds_are_counted(folder, tmp_path, capsys):
    bench = runpy.run_path(str(ROOT / "benches" / "identity_errors.py"))
    vectors = np.array([(1, 0), (0.8, 0.6), (0, 1), (0.6, 0.8)], np.float32)
    errors = bench["errors_at"](vectors, ["x", "x", "y", "y"], 0.7)
    # Both pairs are alike, and one of the four of two people as well: 0.96, the most of all, is linked first.
    assert (errors.missed, errors.wrong, errors.linked, errors.wrong_links) == (0, 0.25, 0, 1)
    for who in "ab":
        (tmp_path / who).mkdir()
        for copy in range(2):
            (tmp_path / who / f"{copy}.png").write_bytes((folder / f"{who}.png").read_bytes())
    bench["main"]([str(tmp_path), "--model", str(folder / "sface.onnx")])
    out = capsys.readouterr().out
    assert "4 pictures of 2" in out
    assert "    0.363    0.0%   0.000%  100.0%            0" in out
