"""Runs from file to file: bounded pieces, going on after a kill, doing parts anew, owners of pixels."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys

import numpy as np
import pytest
from PIL import Image

from processes import ended, start
from segs_detailer.cli.main import main
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs import (
    Cache,
    ChosenTrack,
    ClipRun,
    Detailing,
    ModelTraits,
    Redo,
    RunSettings,
    StreamSizes,
    plan_tracks,
)
from segs_detailer.jobs.memory import program_bytes, sampling_bytes
from segs_detailer.models.info import Geometry, ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.models.windows import ContextWindows
from segs_detailer.subjects import CropSettings, Track
from segs_detailer.video import open_clip, read_clip

SIZE = (48, 64)
COUNT = 90
OPTIONS = {"guide_size": 32, "max_size": 48, "steps": 2, "feather": 2}
QUICK = ["--guide-size", "32", "--max-size", "48", "--steps", "2", "--feather", "2", "--crop-factor", "1.5", "-q"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Noisy waves, each frame another."""
    folder = tmp_path_factory.mktemp("clip")
    random = np.random.default_rng(5)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for index in range(COUNT):
        wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
        pixels = np.repeat(wave[..., None], 3, axis=2) + random.normal(0, 3, (*SIZE, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index:04d}.png")
    return folder


def traits():
    return ModelTraits.of(BasicPipe.preview())


def cap(frames, crop=(22, 22), size=(48, 48), together=1):
    """A limit that has room for pieces of so many frames."""
    base = program_bytes(traits()) + StreamSizes(SIZE[0] * SIZE[1]).bytes
    return base + together * sampling_bytes(frames, crop, size, traits())


def track(box, number=1, frames=range(COUNT)):
    return Track(number, f"box {number}", list(frames), [box] * len(list(frames)))


def settings(**changes):
    detail = {**OPTIONS, **changes.pop("options", {})}
    detailing = changes.pop("detailing", None) or Detailing(BasicPipe.preview(), DetailerSettings(**detail))
    return RunSettings(detailing=detailing, **{"source": "clip", "models": "tiny", **changes})


def begin(clip, cache, *tracks, **changes):
    crop = CropSettings(crop="fixed", crop_factor=1.5, ramp=0)
    return ClipRun(open_clip(clip), [ChosenTrack(each, crop) for each in tracks], settings(**changes), cache)


class Frames:
    """Takes the frames of a run."""

    def __init__(self):
        self.numbers, self.before, self.after = [], [], []

    def take(self, frame):
        self.numbers.append(frame.number)
        self.before.append(frame.before.copy())
        self.after.append(frame.after.copy())

    def changed(self):
        return np.stack(self.after) != np.stack(self.before)


@pytest.fixture
def sampled(monkeypatch):
    """Pieces that are sampled, in their order."""
    pieces = []
    sample = Detailing.sample

    def watched(self, group, *more):
        pieces.extend(group)
        return sample(self, group, *more)

    monkeypatch.setattr(Detailing, "sample", watched)
    return pieces


def frames_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


# Going on after a kill

DYING = """
import os, signal, sys
from segs_detailer.jobs.store import PixelFile
write = PixelFile.write
def last(self, pixels):
    write(self, pixels)
    os.kill(os.getpid(), int(sys.argv[1]))
PixelFile.write = last
from segs_detailer.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def run_until_a_piece_is_done(number, arguments):
    """Run the command line in a process that sends itself a signal after each piece; return its code and errors."""
    code, _, error = ended(start([sys.executable, "-c", DYING, str(int(number)), *arguments]))
    return code, error


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_that_is_killed_twice_ends_as_if_it_had_not_been(clip, tmp_path, monkeypatch, sampled):
    limit = f"{cap(32) / 10**6}M"
    command = ["run", str(clip), "--bbox", "20,14,35,29", "--max-ram", limit, *QUICK]
    whole = [*command, "-o", f"{tmp_path}/whole/", "--cache", str(tmp_path / "other")]
    assert main(whole) == 0
    pieces = len(sampled)
    assert pieces == 3
    sampled.clear()
    parts = [*command, "-o", f"{tmp_path}/parts/", "--cache", str(tmp_path / "cache")]
    for done in (1, 2):
        assert run_until_a_piece_is_done(signal.SIGKILL, parts) == (-signal.SIGKILL, "")
        assert len(list((tmp_path / "cache" / "crops").glob("*/*.pixels"))) == done
        assert not (tmp_path / "parts").exists()
    assert main(parts) == 0
    assert len(sampled) == pieces - 2
    assert frames_of(tmp_path / "parts") == frames_of(tmp_path / "whole")
    # What the killed runs had left is gone.
    assert not list((tmp_path / "cache").glob("segs-detailer-*"))
    assert not list((tmp_path / "cache").rglob("*.partial-*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "other", "parts", "whole"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_ends_its_threads_and_leaves_what_it_has_done(clip, tmp_path, number):
    command = ["run", str(clip), "--bbox", "20,14,35,29", "--max-ram", f"{cap(32) / 10**6}M", *QUICK]
    command += ["-o", f"{tmp_path}/out/", "--cache", str(tmp_path / "cache")]
    code, error = run_until_a_piece_is_done(number, command)
    assert code == 128 + number
    assert error == "segs-detailer: stopped; nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert len(list((tmp_path / "cache").glob("crops/*/*.pixels"))) == 1
    assert not list((tmp_path / "cache").glob("segs-detailer-crops-*"))


def test_what_is_done_is_not_done_again(clip, tmp_path, sampled):
    command = ["run", str(clip), "-o", f"{tmp_path}/out/", "--overwrite", "--bbox", "20,14,35,29", *QUICK]
    for options, count in (([], 1), ([], 0), (["--feather", "4"], 0), (["--denoise", "0.7"], 1), (["--no-cache"], 1)):
        sampled.clear()
        assert main([*command, *options]) == 0
        assert len(sampled) == count, options
    sampled.clear()
    other = tmp_path / "other"
    other.mkdir()
    for index, path in enumerate(sorted(clip.iterdir())):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[0, 0] = index
        Image.fromarray(pixels).save(other / path.name)
    assert main(["run", str(other), *command[2:]]) == 0
    assert len(sampled) == 1


# Doing parts anew


def test_one_track_or_a_range_of_frames_is_done_anew_and_the_rest_stays(clip, tmp_path, sampled):
    with Cache(tmp_path) as cache:
        both = [track((4, 4, 14, 14)), track((40, 20, 50, 30), 2)]
        limit = cap(34, (15, 15))
        begin(clip, cache, *both, max_ram=limit).sample()
        assert len(sampled) == 6
        for redo, expected in (
            (Redo(tracks=(2,)), {(1, 0), (1, 31), (1, 61)}),
            (Redo(frames=((30, 31),)), {(0, 0), (0, 31), (1, 0), (1, 31)}),
            (Redo(tracks=(1,), frames=((89, 89),)), {(0, 0), (0, 31), (0, 61), (1, 61)}),
        ):
            sampled.clear()
            run = begin(clip, cache, *both, max_ram=limit, redo=redo, options={"denoise": 0.9})
            run.sample()
            assert {(piece.track, piece.start) for piece in sampled} == expected
            assert run.missing == ()
        sampled.clear()
        # With the options of the beginning everything is there as it was.
        begin(clip, cache, *both, max_ram=limit).sample()
        assert sampled == []


def test_a_plan_is_not_what_the_last_run_has_shown(clip, tmp_path, sampled):
    with Cache(tmp_path) as cache:
        one = track((4, 4, 14, 14))
        begin(clip, cache, one, options={"denoise": 0.3}).sample()
        begin(clip, cache, one, options={"denoise": 0.9}).sample()
        stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pixels")}
        begin(clip, cache, one, options={"denoise": 0.3})
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pixels")} == stamps


@pytest.mark.parametrize("missing", [{"source": ""}, {"models": None}])
def test_a_cache_that_is_kept_must_know_the_clip_and_the_models(clip, tmp_path, missing):
    with Cache(tmp_path) as cache, pytest.raises(InvalidArgumentError, match="settings: expected source and models"):
        begin(clip, cache, track((4, 4, 14, 14)), **missing)
    with Cache(None) as cache:
        assert begin(clip, cache, track((4, 4, 14, 14)), **missing).plan.tracks


def test_redo_on_the_command_line(clip, tmp_path, sampled, capsys):
    command = ["run", str(clip), "-o", f"{tmp_path}/out/", "--bbox", "4,4,14,14", "--bbox", "40,20,50,30", *QUICK]
    assert main(command) == 0
    first = frames_of(tmp_path / "out")
    sampled.clear()
    assert main([*command, "--redo", "2", "--denoise", "1"]) == 0
    assert [piece.track for piece in sampled] == [1]
    changed = read_clip(tmp_path / "out").frames
    assert frames_of(tmp_path / "out") != first
    assert main([*command, "--redo", "3"]) == 2
    assert "--redo: expected the number of a track, 1 to 2, got 3" in capsys.readouterr().err
    assert main([*command, "--redo", "5000-6000"]) == 2
    assert "--redo: expected frames in which something is repainted, got 5000-6000" in capsys.readouterr().err
    assert main([*command, "--redo", "1", "--no-cache"]) == 2
    assert "--redo: expected a cache: leave out --no-cache" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    original = read_clip(tmp_path / "out").frames
    different = (changed != original).any(axis=(0, 3))
    assert different[20:30, 40:50].any()
    assert not different[:, :35].any()


# Pieces, groups, threads


def test_sampling_and_writing_apart_give_what_a_run_gives(clip, tmp_path):
    at_once, apart = Frames(), Frames()
    with Cache(tmp_path / "a") as cache:
        begin(clip, cache, track((20, 14, 35, 29))).run([at_once])
    with Cache(tmp_path / "b") as cache:
        run = begin(clip, cache, track((20, 14, 35, 29)), max_ram=cap(32))
        assert len(run.missing) == 3
        with pytest.raises(OSError, match="lacks 3 pieces"):
            run.write([apart])
        for group in reversed(run.missing):
            run.sample([group])
        assert run.missing == ()
        run.write([apart])
    assert at_once.numbers == apart.numbers == list(range(COUNT))
    # The strength of the noise is measured on each piece, the rest is the same.
    assert np.abs(np.stack(at_once.after) - np.stack(apart.after)).max() < 4 / 255
    assert apart.changed().any(axis=(1, 2, 3)).all()


def test_groups_in_any_order_when_few_crops_may_wait(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("segs_detailer.jobs.cropping.CROPS_AHEAD", 1)
    with Cache(tmp_path) as cache:
        run = begin(clip, cache, track((20, 14, 35, 29)), track((4, 4, 14, 14), 2), max_ram=cap(32))
        assert len(run.missing) == 6
        run.sample(reversed(run.missing))
        assert run.missing == ()


class Clips(Sampler):
    """A sampler of clips, which paints each crop in one color, and sees how they come."""

    info = ModelInfo(family="clips", geometry=Geometry(takes_clips=True))

    def __init__(self, values):
        self.values = list(values)
        self.clips = []

    def encode(self, frames):
        return frames

    def sample(self, latents, job):
        self.clips.append((job.clips, len(latents)))
        parts = latents.clone().chunk(job.clips)
        for part in parts:
            # Not one flat color, which would be taken for a fault.
            part.mul_(0.02).add_(self.values.pop(0))
        return latents.new_tensor(np.concatenate([part.numpy() for part in parts]))

    def decode(self, latents, *, full_precision=False):
        return latents


def painted(clip, tmp_path, values, *tracks, **changes):
    sampler, frames = Clips(values), Frames()
    options = {**OPTIONS, "feather": 0, "noise_mask_feather": 0, **changes.pop("options", {})}
    detailing = Detailing(sampler, DetailerSettings(**options))
    with Cache(tmp_path) as cache:
        run = begin(clip, cache, *tracks, detailing=detailing, **changes)
        run.run([frames])
    return sampler, frames, run.plan


def test_each_pixel_has_one_owner_and_crops_are_of_the_original_frames(clip, tmp_path):
    small, large = track((20, 14, 30, 24)), track((26, 10, 46, 40), 2)
    _, frames, plan = painted(clip, tmp_path, [0.2, 0.7], small, large)
    assert plan.owners == (1, 0)
    after = np.stack(frames.after)
    assert np.abs(after[:, 10:40, 26:46] - 0.7).max() < 0.03
    assert np.abs(after[:, 14:24, 20:26] - 0.2).max() < 0.03
    outside = np.ones(SIZE, bool)
    outside[10:40, 26:46] = outside[14:24, 20:30] = False
    assert np.array_equal(after[:, outside], np.stack(frames.before)[:, outside])


def test_tracks_of_one_size_and_span_are_sampled_together(clip, tmp_path):
    tracks = [track((4, 4, 14, 14)), track((40, 20, 50, 30), 2), track((20, 30, 30, 40), 3)]
    together = {"options": {"batch_segments": 2}}
    sampler, frames, _ = painted(clip, tmp_path / "a", [0.2, 0.4, 0.6], *tracks, **together)
    assert sampler.clips == [(2, 2 * COUNT), (1, COUNT)]
    alone, others, _ = painted(clip, tmp_path / "b", [0.2, 0.4, 0.6], *tracks)
    assert alone.clips == [(1, COUNT)] * 3
    assert np.array_equal(np.stack(frames.after), np.stack(others.after))


def test_one_piece_passes_over_to_the_next(clip, tmp_path):
    values = [0.2, 0.6, 0.2, 0.6]
    sampler, frames, plan = painted(clip, tmp_path, values, track((20, 14, 35, 29)), max_ram=cap(60))
    assert len(plan.pieces) == len(sampler.clips) == 2
    level = np.stack(frames.after)[:, 16:27, 22:33].mean(axis=(1, 2, 3))
    one, two = plan.pieces
    assert np.abs(level[: two.low] - 0.2).max() < 0.03
    assert np.abs(level[one.high :] - 0.6).max() < 0.03
    steps = np.diff(level[two.low - 1 : one.high + 1])
    assert (steps > 0).all()
    assert steps.max() < 0.06


def test_noise_of_pieces_is_that_of_their_frames(clip, tmp_path, monkeypatch):
    starts = []
    monkeypatch.setattr(
        "segs_detailer.detailer.api.detail_frames",
        lambda *given, **_: starts.append(given[3].noise_start) or pytest.fail("far enough"),
    )
    frames = range(10, COUNT)
    for limit, expected in ((cap(60), 0), (cap(200), None)):
        with Cache(None) as cache:
            detailing = Detailing(Clips([]), DetailerSettings(**OPTIONS))
            subject = track((20, 14, 35, 29), frames=frames)
            run = begin(clip, cache, subject, detailing=detailing, max_ram=limit)
            with pytest.raises(pytest.fail.Exception):
                run.sample(run.missing[-1:])
        expected = expected if expected is None else run.plan.pieces[-1].low - 10
        assert starts.pop() == expected


def test_a_failure_in_any_thread_ends_all_of_them(clip, tmp_path, monkeypatch):
    class Full(Frames):
        def take(self, frame):
            raise OSError(28, "No space left on device")

    with Cache(tmp_path) as cache:
        with pytest.raises(OSError, match="No space left"):
            begin(clip, cache, track((20, 14, 35, 29)), max_ram=cap(32)).run([Full()])
        with monkeypatch.context() as patch:
            patch.setattr("segs_detailer.jobs.store.PixelFile.append", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                begin(clip, cache, track((20, 14, 35, 29)), options={"denoise": 1}).run([Frames()])
        frames = Frames()
        begin(clip, cache, track((20, 14, 35, 29))).run([frames])
    assert len(frames.after) == COUNT


class Cut:
    """A clip that has another number of frames than it promises."""

    def __init__(self, source, frames, promised):
        self._source, self._frames = source, frames
        times = tuple(range(promised + 1))
        self.info = dataclasses.replace(source.info, times=times)

    def pictures(self):
        for index, picture in enumerate(self._source.pictures()):
            if index == self._frames:
                return
            yield picture


@pytest.mark.parametrize(("there", "promised"), [(30, 40), (40, 30), (1, 2)])
def test_clips_that_are_shorter_or_longer_than_they_promise(clip, tmp_path, there, promised):
    frames = Frames()
    source = Cut(open_clip(clip), there, promised)
    with Cache(tmp_path) as cache:
        chosen = [ChosenTrack(track((20, 14, 35, 29), frames=range(promised)), CropSettings(crop="fixed", ramp=0))]
        ClipRun(source, chosen, settings(), cache).run([frames])
    assert frames.numbers == list(range(there))
    assert list(frames.changed().any(axis=(1, 2, 3))) == [index < promised for index in range(there)]
    with Cache(tmp_path) as cache, pytest.raises(OSError, match="not one frame"):
        ClipRun(Cut(open_clip(clip), 0, 9), chosen, settings(), cache).run([frames])


# Limits


def test_a_limit_that_cannot_be_kept_is_refused_before_anything_is_done(clip, tmp_path, capsys):
    command = ["run", str(clip), "-o", f"{tmp_path}/out/", "--bbox", "20,14,35,29", *QUICK]
    assert main([*command, "--max-ram", "0.1"]) == 2
    error = capsys.readouterr().err
    assert "--max-ram: expected at least 0.8 GB for frames of 64x48, without any crop, got 0.1 GB" in error
    assert main([*command, "--max-ram", f"{cap(5) / 10**6}M"]) == 2
    assert "--max-ram: expected at least 0.8 GB for frames of 64x48 and crops of 46x46" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_before_anything_is_done(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6})())
    with Cache(tmp_path) as cache, pytest.raises(OSError, match=r"0.0 GB are free, and crops take 0.3 GB"):
        begin(clip, cache, track((20, 14, 35, 29))).sample()


def test_the_plan_keeps_its_limit_and_says_what_to_know(clip):
    info = open_clip(clip).info
    moving = Track(1, "face", range(COUNT), [(index / 2, 4, index / 2 + 8, 12) for index in range(COUNT)])
    crops = [CropSettings(crop=crop, crop_factor=1.5) for crop in ("follow", "fixed")]
    chosen = [ChosenTrack(dataclasses.replace(moving, id=place), crop) for place, crop in enumerate(crops, start=1)]
    limit = cap(40)
    plan = plan_tracks(info, chosen, DetailerSettings(guide_size=32, max_size=48), traits(), max_ram=limit)
    follow, fixed = plan.tracks
    assert plan.memory.total <= limit
    assert follow.path.size[1] < 20 < fixed.path.size[1]
    assert follow.scale > 2 * fixed.scale
    [warning] = plan.warnings
    assert warning.startswith("track 2 (face): its crop holds all of its way through the clip")
    assert [piece.high for piece in plan.pieces] == sorted(piece.high for piece in plan.pieces)
    short = ModelTraits(Geometry(windows=ContextWindows(length=16)))
    few = [ChosenTrack(track((4, 4, 14, 14), frames=range(5)), crops[0])]
    [warning] = plan_tracks(info, few, DetailerSettings(), short).warnings
    assert warning == "track 1 (box 1): is there for 5 frames, where the model wants 16"
    together = sampling_bytes(20, (60, 60), (60, 60), short)
    tight = program_bytes(short) + StreamSizes(SIZE[0] * SIZE[1]).bytes + together
    whole = [ChosenTrack(track((0, 0, 64, 48)), crops[1])]
    [warning] = plan_tracks(info, whole, DetailerSettings(max_size=60), short, max_ram=tight).warnings
    assert "short pieces overlap" in warning
    nowhere = [ChosenTrack(track((100, 100, 120, 120)), crops[0])]
    assert plan_tracks(info, nowhere, DetailerSettings(), short).tracks == ()


def test_tracks_keep_their_numbers_whichever_are_detailed(clip, tmp_path, sampled):
    two = [track((4, 4, 14, 14), number=2), track((20, 14, 35, 29), number=5)]
    gone = track((100, 100, 120, 120), number=1)
    with Cache(tmp_path) as cache:
        plan = begin(clip, cache, gone, *two).plan
        assert [(each.index, each.number) for each in plan.tracks] == [(0, 2), (1, 5)]
        begin(clip, cache, *two).sample()
        sampled.clear()
        begin(clip, cache, *two, redo=Redo(tracks=(5,))).sample()
    assert {piece.track for piece in sampled} == {1}
    with pytest.raises(InvalidArgumentError, match=r"chosen: expected tracks whose ids are numbers from 1, each once"):
        plan_tracks(open_clip(clip).info, [ChosenTrack(two[0], CropSettings())] * 2, DetailerSettings(), traits())
