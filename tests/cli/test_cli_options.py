"""Options of `run` for crops that follow, masks over time, seams, memory and the cache."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.cli.options import build_parser
from segs_detailer.detailer import detail_frames
from segs_detailer.jobs import ClipRun
from segs_detailer.subjects import CropSettings, Detection, MaskFilter, Track, Tracks, write_tracks
from segs_detailer.video import read_clip

SIZE = (48, 96)
COUNT = 12
QUICK = ["--guide-size", "24", "--max-size", "48", "--steps", "1", "--quiet"]


@pytest.fixture
def clip(tmp_path):
    """Waves, with a bright square that moves to the right."""
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for index in range(COUNT):
        pixels = np.repeat((120 + 60 * np.sin(x / 5) * np.cos(y / 6))[..., None], 3, axis=2)
        pixels[16:32, 6 * index : 6 * index + 16] += 70
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "in" / f"{index:02d}.png")
    return tmp_path / "in"


def box(index):
    return 6 * index, 16, 6 * index + 16, 32


@pytest.fixture
def moving(tmp_path):
    """The square's boxes."""
    track = Track(1, "square", range(COUNT), [box(index) for index in range(COUNT)])
    write_tracks(tmp_path / "square.npz", Tracks(SIZE, COUNT, (track,)))
    return tmp_path / "square.npz"


@pytest.fixture
def runs(monkeypatch):
    """Every run that is begun."""
    begun = []

    class Watched(ClipRun):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            begun.append((self, arguments[2]))

    monkeypatch.setattr("segs_detailer.jobs.run.ClipRun", Watched)
    return begun


def run(clip, *more):
    return main(["run", str(clip), "-o", f"{clip.parent}/out/", "--overwrite", *QUICK, *(str(arg) for arg in more)])


def test_a_crop_that_follows_is_small_and_one_that_is_fixed_holds_the_way(clip, moving, runs):
    for options in ([], ["--crop", "follow"], ["--crop", "fixed"]):
        assert run(clip, "--segs", moving, "--crop-factor", "1.5", *options) == 0
    follow, same, fixed = (each.plan.tracks[0] for each, _ in runs)
    assert follow.path == same.path
    assert follow.path.size[1] < 32
    assert fixed.path.size[1] > 80
    assert follow.region(9)[0] > follow.region(2)[0] + 20
    before, after = read_clip(clip).frames, read_clip(clip.parent / "out").frames
    assert (before != after).any(axis=(1, 2, 3)).all()


def test_a_box_stays_fixed_unless_it_is_to_follow(clip, runs):
    for options in ([], ["--crop", "follow"]):
        assert run(clip, "--bbox", "30,16,46,32", *options) == 0
    assert [each.plan.tracks[0].crop.crop for each, _ in runs] == ["fixed", "follow"]


def test_crop_options_reach_the_tracks(clip, moving, runs):
    options = ["--crop-factor", "1.5", "--aspect", "2:1", "--smoothing", "3", "--subpixel", "--ramp", "2"]
    options += ["--max-gap", "5", "--size-gate", "100", "--mask-median", "1", "--mask-dilate", "2"]
    assert run(clip, "--segs", moving, *options) == 0
    [(begun, settings)] = runs
    [track] = begun.plan.tracks
    assert track.crop == CropSettings("follow", 1.5, 2.0, 3.0, subpixel=True, ramp=2, max_gap=5, size_gate=100.0)
    assert settings.masks == track.masks == MaskFilter(median=1, dilate=2)
    height, width = track.path.size
    assert abs(width / height - 2) < 0.1


def test_what_files_say_is_taken_by_the_letter(clip, tmp_path, runs):
    frames = [1, 2, 3, 7, 8]
    track = Track(1, "square", frames, [box(index) for index in frames])
    write_tracks(tmp_path / "gap.npz", Tracks(SIZE, COUNT, (track,)))
    assert run(clip, "--segs", tmp_path / "gap.npz") == 0
    assert [runs[0][0].plan.tracks[0].alpha(frame) for frame in range(COUNT)] == [
        index in frames for index in range(12)
    ]
    assert run(clip, "--segs", tmp_path / "gap.npz", "--max-gap", "4", "--ramp", "1") == 0
    alpha = [runs[1][0].plan.tracks[0].alpha(frame) for frame in range(COUNT)]
    # In a longer gap something may stand in front of the subject: nothing is pasted in its middle.
    assert alpha == [0, 0.5, 1, 0.5, 0, 0, 0, 0.5, 0.5, 0, 0, 0]
    assert run(clip, "--segs", tmp_path / "gap.npz", "--max-gap", "4", "--ramp", "1", "--paste-gap", "4") == 0
    alpha = [runs[2][0].plan.tracks[0].alpha(frame) for frame in range(COUNT)]
    assert alpha == [0, 0.5, 1, 1, 1, 1, 1, 1, 0.5, 0, 0, 0]


def test_seam_options_reach_the_detailer(clip, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "segs_detailer.detailer.api.detail_frames",
        lambda *arguments, **options: seen.append(arguments[3]) or detail_frames(*arguments, **options),
    )
    options = [
        "--grow",
        "2",
        "--noise-mask-grow",
        "-1",
        "--color-match",
        "0.5",
        "--vae-correction",
        "--noise",
        "fixed",
    ]
    assert run(clip, "--bbox", "30,16,46,32", *options) == 0
    expected = {"grow": 2, "noise_mask_grow": -1, "color_match": 0.5, "vae_correction": True, "noise": "fixed"}
    assert {name: getattr(seen[0], name) for name in expected} == expected


def test_grow_widens_what_is_pasted(clip):
    changed = []
    for grow in ("0", "3"):
        assert run(clip, "--bbox", "30,16,46,32", "--feather", "0", "--grow", grow, "--denoise", "1") == 0
        before, after = read_clip(clip).frames, read_clip(clip.parent / "out").frames
        columns = np.flatnonzero((before != after).any(axis=(0, 1, 3)))
        changed.append((columns[0], columns[-1]))
    assert changed[0][0] >= 30 > changed[1][0] >= 27
    assert changed[0][1] < 46 <= changed[1][1] < 49


class Spots:
    """A detector that knows where the square is."""

    names = ("square", "circle")
    batch = 4

    def __init__(self):
        self.seen = 0

    def detect(self, frames):
        first, self.seen = self.seen, self.seen + len(frames)
        return [[Detection(tuple(map(float, box(first + index))), 0.9, "square")] for index in range(len(frames))]


def test_a_detector_finds_what_is_detailed_and_is_not_asked_again(clip, runs, monkeypatch, capsys):
    opened = []

    def open_finder(source, **options):
        opened.append((source, options, Spots()))
        return opened[-1][2]

    monkeypatch.setattr("segs_detailer.jobs.finding.open_finder", open_finder)
    options = ["--detect", "spots.onnx", "--detect-labels", "square,circle", "--detect-confidence", "0.4"]
    for _ in range(2):
        assert run(clip, *options, "--min-face", "9") == 0
    assert [spots.seen for _, _, spots in opened] == [COUNT, 0]
    source, given, _ = opened[0]
    assert source == "spots.onnx"
    expected = {"labels": ("square", "circle"), "confidence": 0.4, "min_size": 9.0, "device": "auto"}
    assert given == {**expected, "exact_angles": False}
    assert runs[0][0].plan.tracks[0].label == "square"
    assert runs[0][0].plan.tracks[0].path == runs[1][0].plan.tracks[0].path
    assert runs[0][0].plan.tracks[0].track.shot == (0, COUNT)
    assert run(clip, *options, "--no-cache") == 0
    assert opened[-1][2].seen == COUNT


def test_a_detector_that_cannot_be_is_one_line(clip, capsys):
    assert run(clip, "--detect", "hands") == 2
    assert "--detect: expected face, cascades or a model file" in capsys.readouterr().err
    assert run(clip, "--detect", "none.onnx") == 2
    assert "none.onnx: no such file" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:nothing is kept")
def test_without_a_place_for_the_cache_a_run_keeps_nothing_and_says_so(clip, monkeypatch, capsys):
    monkeypatch.setenv("SEGS_DETAILER_CACHE", str(clip / "00.png"))
    assert run(clip, "--bbox", "30,16,46,32") == 0
    assert "warning: nothing is kept: " in capsys.readouterr().err
    assert run(clip, "--bbox", "30,16,46,32", "--redo", "1") == 2
    assert "cannot be used as a cache" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("4", 4 * 10**9), ("0.5", 5 * 10**8), ("900M", 9 * 10**8), ("2GB", 2 * 10**9), ("1GiB", 1 << 30)]
)
def test_max_ram(text, size):
    assert build_parser().parse_args(["run", "a.mp4", "-o", "b.mp4", "--max-ram", text]).max_ram == size


def test_redo():
    args = build_parser().parse_args(["run", "a.mp4", "-o", "b.mp4", "--redo", "3", "--redo", "120-180"])
    assert args.redo == [(3, None), (120, 180)]


@pytest.mark.parametrize(
    "options",
    [
        ["--max-ram", "much"],
        ["--max-ram", "0"],
        ["--max-ram", "4X"],
        ["--redo", "0"],
        ["--redo", "9-3"],
        ["--redo", "all"],
        ["--aspect", "0:1"],
        ["--aspect", "wide"],
        ["--ramp", "-1"],
        ["--mask-median", "1.5"],
        ["--noise", "pink"],
        ["--detect-labels", ","],
    ],
    ids=" ".join,
)
def test_other_values_are_refused(clip, options, capsys):
    with pytest.raises(SystemExit):
        run(clip, *options)
    assert "see segs-detailer run --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crop-factor", "0.5"], "--crop-factor: expected a number from 1"),
        (["--smoothing", "-1"], "--smoothing: expected a number from 0"),
        (["--size-gate", "0"], "--size-gate: expected a number from 1"),
        (["--color-match", "2"], "--color-match: expected"),
        (["--mask-dilate", "5000"], "--mask-dilate: expected an int from 0 to 1000"),
        (["--cache", "in/00.png"], "cannot be used as a cache"),
    ],
)
def test_values_out_of_range_are_one_line(clip, options, message, capsys, monkeypatch):
    monkeypatch.chdir(clip.parent)
    assert run(clip, "--bbox", "30,16,46,32", *options) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (clip.parent / "out").exists()
