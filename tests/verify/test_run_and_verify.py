"""What `run` writes passes `verify`, and the pops that it is asked for are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.subjects import Track, Tracks, write_tracks

COUNT, ENTRY, EXIT = 22, 5, 17
SIZE = (112, 160)
FACE = 44


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A blurred subject that moves over a ground, and the file of its track, which begins and ends in the clip."""
    folder = tmp_path_factory.mktemp("clip")
    rng = np.random.default_rng(3)
    ground, face = (_texture(rng, size) for size in (SIZE, (FACE, FACE)))
    (folder / "in").mkdir()
    for index in range(COUNT):
        x, y = _place(index)
        frame = ground.copy()
        frame[y : y + FACE, x : x + FACE] = face
        Image.fromarray(frame).save(folder / "in" / f"{index:03d}.png")
    boxes = [(*_place(index), _place(index)[0] + FACE, _place(index)[1] + FACE) for index in range(ENTRY, EXIT)]
    angles = [10 * index - 90 for index in range(ENTRY, EXIT)]
    track = Track(1, "face", range(ENTRY, EXIT), boxes, angles=angles)
    write_tracks(folder / "tracks.npz", Tracks(SIZE, COUNT, (track,)))
    return folder


def _place(index):
    return 10 + 4 * index, 20 + index


def _texture(rng, size):
    noise = cv2.GaussianBlur(rng.random((*size, 1)).astype(np.float32), (0, 0), 1.6)
    gray = 0.5 + 0.2 * (noise - noise.mean()) / noise.std()
    return np.repeat((255 * gray.clip(0, 1))[..., None], 3, axis=2).astype(np.uint8)


def detail_and_verify(clip, output, *options):
    segs = ("--segs", str(clip / "tracks.npz"))
    sizes = ("--guide-size", "110", "--max-size", "200", "--crop-factor", "1.6", "--no-cache", "-q")
    assert main(["run", str(clip / "in"), "-o", f"{output}/", *segs, *sizes, *options]) == 0
    return main(["verify", str(clip / "in"), str(output), *segs])


@pytest.mark.parametrize(
    "options",
    [("--ramp", "4"), ("--ramp", "4", "--subpixel"), ("--ramp", "4", "--upright"), ("--ramp", "4", "--crop", "fixed")],
)
def test_a_run_with_ramps_passes(clip, tmp_path, capsys, options):
    assert detail_and_verify(clip, tmp_path / "out", *options) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "outside the masks: not one bit differs" in out
    assert "nothing is wrong" in out
    change = float(next(line for line in out.splitlines() if " face " in line).split()[3])
    assert change > 1


def test_a_run_without_ramps_pops_where_its_subject_comes_and_goes(clip, tmp_path, capsys):
    assert detail_and_verify(clip, tmp_path / "out", "--ramp", "0") == 1
    out = capsys.readouterr().out
    assert f"face 1: appears at frame {ENTRY}" in out
    assert f"face 1: disappears at frame {EXIT}" in out
    assert "2 faults" in out


def detailed(clip, output, *options):
    sizes = ("--guide-size", "110", "--max-size", "200", "--no-cache", "-q", "--denoise", "1", "--feather", "0")
    assert main(["run", str(clip / "in"), "-o", f"{output}/", *sizes, *options]) == 0


def outside(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "fault: outside" in line]


@pytest.mark.parametrize(
    "options",
    [
        ("--mask-dilate", "6", "--crop-factor", "2.5"),
        ("--mask-dilate", "6", "--crop", "fixed"),
        ("--mask-dilate", "4", "--mask-median", "1", "--aspect", "2:1", "--smoothing", "2"),
        ("--subpixel", "--mask-dilate", "4", "--crop-factor", "2"),
        ("--upright", "--mask-dilate", "4", "--crop-factor", "2"),
        (
            "--size-gate",
            "500",
        ),
    ],
)
def test_masks_are_those_of_the_run(clip, options):
    """What verify may find changed is what the run pastes: to the pixel."""
    from segs_detailer.cli.options import build_parser

    segs = ("--segs", str(clip / "tracks.npz"))
    plan, pasted = _pasted(build_parser().parse_args(["run", str(clip / "in"), "-o", "x/", *segs, *options]))
    found = _allowed(build_parser().parse_args(["verify", str(clip / "in"), "x/", *segs, *options]))
    assert plan.tracks
    assert pasted.any()
    assert np.array_equal(found, pasted)


def _pasted(args):
    """Where the run's masks are at least half."""
    from segs_detailer.cli.job_options import job_of
    from segs_detailer.jobs import plan_clip
    from segs_detailer.ops import paste

    places = np.zeros((COUNT, *SIZE), bool)
    plan = plan_clip(job_of(args).changed(no_cache=True))
    assert all(track.turns == bool(args.upright) for track in plan.tracks)
    for track in plan.tracks:
        for frame in range(*track.span):
            if track.alpha(frame) == 0:
                continue
            mask = track.masks_of(frame, frame + 1)[0] >= 128
            if track.turns:
                black, white = np.zeros((1, *SIZE, 1), np.float32), np.ones((1, *mask.shape, 1), np.float32)
                places[frame] = paste(black, white, mask.astype(np.float32), track.place(frame))[0, ..., 0] > 0
                continue
            x, y = track.region(frame)[:2]
            # Between pixels it is pasted to those on both sides.
            for left in {int(np.floor(x)), int(np.ceil(x))}:
                for top in {int(np.floor(y)), int(np.ceil(y))}:
                    bottom, right = min(top + len(mask), SIZE[0]), min(left + mask.shape[1], SIZE[1])
                    places[frame, top:bottom, left:right] |= mask[: bottom - top, : right - left]
    return plan, places


def _allowed(args):
    from segs_detailer.cli.job_options import job_of
    from segs_detailer.jobs import ClipJob
    from segs_detailer.jobs.checking import named_subjects
    from segs_detailer.jobs.progress import Stages
    from segs_detailer.video import open_clip

    places = np.zeros((COUNT, *SIZE), bool)
    job = job_of(args, ClipJob(args.input, args.output))
    for subject in named_subjects(job, open_clip(args.input), Stages()):
        for frame in range(COUNT):
            area = subject.area(frame)
            if area is not None:
                x1, y1, x2, y2 = area.place
                places[frame, y1:y2, x1:x2] |= area.inside
    return places


def test_what_run_was_told_verify_must_be_told(clip, tmp_path, capsys):
    segs = ("--segs", str(clip / "tracks.npz"))
    detailed(clip, tmp_path / "out", *segs, "--mask-dilate", "8", "--crop-factor", "3", "--crop", "fixed")
    main(["verify", str(clip / "in"), str(tmp_path / "out"), *segs, "--margin", "0"])
    assert outside(capsys)
    options = ("--mask-dilate", "8", "--crop-factor", "3", "--crop", "fixed", "--feather", "0", "--margin", "0")
    main(["verify", str(clip / "in"), str(tmp_path / "out"), *segs, *options])
    assert not outside(capsys)


def test_what_is_pasted_around_the_masks_makes_the_margin(clip, monkeypatch):
    from segs_detailer.jobs import checking

    margins = []
    verify_clips = checking.verify_clips

    def watched(*clips, **given):
        margins.append(given["settings"].margin)
        return verify_clips(*clips, **given)

    monkeypatch.setattr(
        checking,
        "verify_clips",
        watched,
    )
    for more in ([], ["--grow", "30"], ["--margin", "3"]):
        main(["verify", str(clip / "in"), str(clip / "in"), "--bbox", "9,9,40,40", "-q", *more])
    assert margins == [16, 43, 3]


def test_subjects_that_the_gate_leaves_alone_may_not_change(clip, tmp_path, capsys):
    segs = ("--segs", str(clip / "tracks.npz"))
    detailed(clip, tmp_path / "out", *segs)
    assert main(["verify", str(clip / "in"), str(tmp_path / "out"), *segs, "--size-gate", "20"]) == 1
    assert outside(capsys)


def test_subjects_are_found_as_run_finds_them(clip, tmp_path, capsys, monkeypatch):
    from segs_detailer.jobs import finding

    asked = []

    def find(frames, detector, following, progress):
        asked.append(sum(1 for _ in frames))
        return [Track(7, "face", range(COUNT), [(30, 20, 90, 80)] * COUNT)]

    monkeypatch.setattr(finding, "find_tracks", find)
    assert main(["verify", str(clip / "in"), str(clip / "in"), "--detect", "face"]) == 0
    assert asked == [COUNT]
    assert "7  face   0-21" in capsys.readouterr().out
