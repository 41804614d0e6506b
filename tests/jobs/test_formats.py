"""What a clip is stays what it is, frame by frame, although no run ever holds all of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.jobs import Cache, ChosenTrack, ClipRun, Detailing, RunSettings
from segs_detailer.models.info import ModelInfo
from segs_detailer.models.interface import Sampler
from segs_detailer.subjects import CropSettings, Track
from segs_detailer.video import ClipInfo, EncoderSettings, open_clip, open_output, read_clip

QUICK = [
    "--bbox",
    "10,10,26,26",
    "--guide-size",
    "24",
    "--max-size",
    "32",
    "--steps",
    "2",
    "--crop-factor",
    "1.2",
    "-q",
]


def picture(index, size=(48, 64)):
    y, x = np.mgrid[: size[0], : size[1]]
    wave = 0.5 + 0.2 * np.sin((x + index) / 5) * np.cos(y / 6)
    wave[14:22, 14 + index % 4 : 22 + index % 4] *= 0.4
    return np.ascontiguousarray(np.repeat(wave[..., None], 3, axis=2), np.float32)


def write(path, times, *, size=(48, 64), base=Fraction(1, 1000), **settings):
    steps = np.diff(times)
    constant = bool((steps == steps[0]).all())
    count = len(times) - 1
    rate = Fraction(count) / ((times[-1] - times[0]) * base)
    info = ClipInfo(Path("none"), "images", size, tuple(times), base, rate, constant_rate=constant)
    with open_output(path, info, settings=EncoderSettings(**settings)) as sink:
        for index in range(count):
            sink.write(picture(index, size), times[index], times[index + 1])


def run(clip, out, *more):
    assert main(["run", str(clip), "-o", str(out), *QUICK, *more]) == 0


def changed(clip, out):
    before, after = read_clip(clip).frames, read_clip(out).frames
    return np.abs(before - after).max(axis=-1)


def test_variable_frame_rate(tmp_path):
    times = [0, 40, 70, 200, 210, 290, 400]
    write(tmp_path / "in.mkv", times, codec="ffv1", pix_fmt="bgr0")
    run(tmp_path / "in.mkv", tmp_path / "out.mkv")
    before, after = (open_clip(tmp_path / name).info for name in ("in.mkv", "out.mkv"))
    assert before.times[:-1] == tuple(times[:-1])
    assert after.times[:-1] == before.times[:-1]
    assert not after.constant_rate
    different = changed(tmp_path / "in.mkv", tmp_path / "out.mkv")
    assert (different[:, 12:24, 12:24] > 0.01).any(axis=(1, 2)).all()
    assert different[:, 40:, 50:].max() == 0


@pytest.mark.parametrize(("pix_fmt", "bytes_of_sample"), [("yuv420p", 1), ("yuv420p10le", 2), ("yuv444p", 1)])
def test_depth_is_kept_on_the_way(tmp_path, monkeypatch, pix_fmt, bytes_of_sample):
    write(tmp_path / "in.mkv", range(0, 320, 40), codec="ffv1", pix_fmt=pix_fmt)
    run(tmp_path / "in.mkv", tmp_path / "out.mkv", "--cache", str(tmp_path / "cache"))
    assert open_clip(tmp_path / "out.mkv").info.pix_fmt == pix_fmt
    [kept] = (tmp_path / "cache" / "crops").glob("*/*.pixels")
    assert kept.stat().st_size % (7 * 4 * bytes_of_sample) == 0
    assert kept.stat().st_size == 7 * 19 * 19 * 4 * bytes_of_sample
    different = changed(tmp_path / "in.mkv", tmp_path / "out.mkv")
    assert different[:, 12:24, 12:24].max() > 0.01
    # Frames go through RGB and back: what lies outside comes back but for a step of the last place.
    assert different[:, 40:, 50:].max() <= 2 / 255


def test_odd_sizes_and_single_frames(tmp_path):
    Image.fromarray((picture(0, (33, 35)) * 255).astype(np.uint8)).save(tmp_path / "in.png")
    run(tmp_path / "in.png", tmp_path / "out.png")
    assert changed(tmp_path / "in.png", tmp_path / "out.png").shape == (1, 33, 35)
    assert changed(tmp_path / "in.png", tmp_path / "out.png").max() > 0.01


def test_transparency_of_images_is_carried_along(tmp_path):
    (tmp_path / "in").mkdir()
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    for index in range(3):
        rgb = (picture(index) * 255).astype(np.uint8)
        Image.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "in" / f"{index}.png")
    run(tmp_path / "in", tmp_path / "out")
    for index in range(3):
        with Image.open(tmp_path / "out" / f"{index}.png") as image:
            assert np.array_equal(np.asarray(image)[..., 3], alpha)
    assert changed(tmp_path / "in", tmp_path / "out").max() > 0.01


def test_animations(tmp_path):
    write(tmp_path / "in.gif", [0, 100, 300, 400])
    run(tmp_path / "in.gif", tmp_path / "out.gif")
    assert open_clip(tmp_path / "out.gif").info.times == open_clip(tmp_path / "in.gif").info.times
    assert changed(tmp_path / "in.gif", tmp_path / "out.gif").max() > 0.01


class Mirror(Sampler):
    """A sampler that gives back what it gets."""

    info = ModelInfo(family="mirror")

    def encode(self, frames):
        return frames

    def sample(self, latents, job):
        return latents.clone()

    def decode(self, latents, *, full_precision=False):
        return latents


@pytest.mark.parametrize("options", [{}, {"subpixel": True}, {"upright": True}])
def test_what_comes_back_unchanged_leaves_every_frame_as_it_was(tmp_path, options):
    write(tmp_path / "in.mkv", range(0, 800, 40), codec="ffv1", pix_fmt="yuv420p10le")
    boxes = [(1.3 * index, 10.0, 1.3 * index + 16, 26.0) for index in range(19)]
    seen = []

    class Taker:
        def take(self, frame):
            seen.append(float(np.abs(frame.after - frame.before).max()))

    settings = RunSettings(
        detailing=Detailing(Mirror(), DetailerSettings(guide_size=8, steps=1)),
        models="mirror",
        source="in.mkv",
    )
    crop = CropSettings(crop_factor=1.5, **options)
    track = Track(1, "a", range(19), boxes, angles=[20.0 * index for index in range(19)])
    with Cache(tmp_path / "cache") as cache:
        run_ = ClipRun(open_clip(tmp_path / "in.mkv"), [ChosenTrack(track, crop)], settings, cache)
        assert run_.plan.tracks[0].turns == crop.upright
        assert (run_.plan.tracks[0].path.regions[0] != run_.plan.tracks[0].path.regions[-1]).any()
        run_.run([Taker()])
    assert max(seen) == 0
