"""From what a detector finds in single frames to tracks through a clip."""

from __future__ import annotations

import numpy as np
import pytest

from places import ROOT

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import tiny_detectors
from tiny_detectors import picture

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.subjects import Detection, Track
from segs_detailer.subjects.finders import FaceDetector, Finder, FollowSettings, find_tracks, open_finder, opening
from segs_detailer.video import read_clip

SAMPLE = ROOT / "examples" / "sample.mp4"
SURE = 0.5


def moving(places, color="red"):
    return [picture([(color, *place, 24)] if place is not None else []) for place in places]


@pytest.mark.parametrize("layout", ["v5", "v8", "end2end"])
def test_moving_subject_is_one_track(tmp_path, layout):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", layout=layout), confidence=SURE)
    done = []
    (track,) = find_tracks(moving([(8 * n, 40) for n in range(10)]), detector, progress=done.append)
    assert (track.id, track.label, track.shot, track.shape) == (1, "red", (0, 10), "box")
    assert track.frames.tolist() == list(range(10))
    assert track.boxes.tolist() == [[8 * n, 40, 8 * n + 24, 64] for n in range(10)]
    assert done == list(range(1, 11))


def test_cut_ends_a_track_and_labels_do_not_mix(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=SURE)
    frames = moving([(40, 40)] * 6) + [picture([], ground=0.9)] * 6
    frames += moving([(40, 40)] * 6, "blue")
    tracks = find_tracks(frames, detector)
    assert [(track.id, track.label, track.shot) for track in tracks] == [(1, "red", (0, 6)), (2, "blue", (12, 18))]


def test_gaps_shares_and_sizes(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=SURE)
    frames = moving([(40, 40)] * 5 + [None] * 4 + [(40, 40)] * 5)
    assert [track.frames.tolist() for track in find_tracks(frames, detector)] == [[*range(5), *range(9, 14)]]
    assert len(find_tracks(frames, detector, FollowSettings(max_gap=3))) == 2
    assert find_tracks(frames, detector, FollowSettings(min_share=0.9)) == []
    assert find_tracks(frames, detector, FollowSettings(drop_size=24)) == []
    assert find_tracks(frames, detector, FollowSettings(shape="ellipse"))[0].shape == "ellipse"


def test_what_is_seen_for_a_moment_only_is_dropped(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=SURE)
    assert find_tracks(moving([None] * 10 + [(40, 40)] * 2 + [None] * 10), detector) == []
    assert len(find_tracks(moving([(40, 40)]), detector)) == 1


def test_only_a_batch_of_frames_is_held():
    held = []

    class Counting:
        names = ()
        batch = 3

        def detect(self, frames):
            held.append(len(frames))
            return [[Detection((10.0, 10.0, 40.0, 40.0), 0.9, "thing")] for _ in frames]

    (track,) = find_tracks(iter(moving([None] * 8)), Counting())
    assert held == [3, 3, 2]
    assert (track.label, len(track.frames)) == ("thing", 8)


def test_clip_without_frames():
    assert find_tracks([], open_finder("face")) == []


def test_cascades_follow_through_a_clip():
    frames = read_clip(SAMPLE).frames[:12]
    found = find_tracks(iter(frames), open_finder("cascades"), FollowSettings(min_share=0.5))
    assert found == FaceDetector().find(iter(frames), FollowSettings(min_share=0.5))
    assert [track.shape for track in found] == ["ellipse"]


class WholeClip(Finder):
    """Looks at a clip as a whole, as models of video do."""

    names = ("clip",)

    def find(self, frames, settings=None, *, progress=None):
        clip = np.stack(list(frames))
        return [Track(1, "clip", range(len(clip)), [[0, 0, *clip.shape[2:0:-1]]] * len(clip))]


def test_a_finder_owns_how_it_looks():
    [track] = find_tracks(iter(moving([None] * 5)), WholeClip())
    assert (track.label, track.span) == ("clip", (0, 5))
    assert find_tracks([], WholeClip()) == []


def test_a_finder_is_registered_once(tmp_path, monkeypatch):
    (tmp_path / "model.clip").write_bytes(b"weights")
    opened = []

    def make(path, **options):
        opened.append((path.name, options))
        return WholeClip()

    kinds = (*opening.FINDERS, opening.FinderKind(make, suffix=".clip", takes_device=False))
    monkeypatch.setattr(opening, "FINDERS", kinds)
    [track] = find_tracks(moving([None] * 3), open_finder(tmp_path / "model.clip", labels=["clip"], confidence=0.5))
    assert track.label == "clip"
    assert opened == [("model.clip", {"labels": ["clip"], "min_size": None, "confidence": 0.5})]
    with pytest.raises(InvalidArgumentError, match=r"a model file \(.onnx, .pt, .clip\)"):
        open_finder("model.bin")


def test_how_often_a_subject_must_be_seen_can_be_said(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"), confidence=SURE)
    frames = moving([None] * 10 + [(40, 40)] * 2 + [None] * 10)
    assert len(find_tracks(frames, detector, FollowSettings(min_frames=2))) == 1
    assert find_tracks(frames, detector, FollowSettings(min_frames=3)) == []


def test_what_is_no_finder_is_refused():
    with pytest.raises(InvalidTypeError, match=r"finder: expected a Finder, or an object with names.*, got str"):
        find_tracks(moving([None]), "face")


def test_cancelling_while_following(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx"))

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_tracks(moving([None] * 4), detector, progress=stop)


@pytest.mark.parametrize(("name", "value"), [("min_share", 2), ("max_gap", -1), ("min_frames", 0), ("shape", "star")])
def test_settings_are_checked(name, value):
    with pytest.raises(InvalidArgumentError, match=name):
        FollowSettings(**{name: value})


def test_masks_come_along_with_a_track(tmp_path):
    detector = open_finder(tiny_detectors.yolo(tmp_path / "a.onnx", segments=True), confidence=0.5)
    (track,) = find_tracks(moving([(8 * n, 40) for n in range(6)]), detector)
    assert track.has_masks
    assert [mask.place for mask in track.masks] == [(8 * n, 40, 8 * n + 24, 64) for n in range(6)]


def test_frames_are_checked():
    with pytest.raises(InvalidTypeError, match="frames"):
        find_tracks([np.zeros((9, 9), np.float32)], open_finder("face"))
