"""Animations keep their frames, the time of each, transparency, and how often they are shown."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from video_files import make_video, picture

from segs_detailer.cli.main import main
from segs_detailer.video import open_clip, read_clip, write_clip

SIZE = (24, 32)


def images(count, *, alpha=True):
    for number in range(count):
        pixels = (picture(number, *SIZE) * 255).round().astype(np.uint8)
        if alpha:
            pixels = np.dstack([pixels, np.full(SIZE, 255, np.uint8)])
            pixels[: 5 + number, :, 3] = 0
        yield Image.fromarray(pixels)


def animation(path, durations, *, loop=0, alpha=False, **options):
    first, *rest = images(len(durations), alpha=alpha)
    kind = {".gif": "GIF", ".webp": "WEBP"}.get(path.suffix, "PNG")
    if kind == "WEBP":
        options["lossless"] = True
    if loop is not None:
        options["loop"] = loop
    first.save(path, kind, save_all=True, append_images=rest, duration=list(durations), **options)
    return path


def facts(path):
    """Delays in milliseconds, and what the file says of its loop, as Pillow reads them."""
    with Image.open(path) as image:
        delays = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            delays.append(float(image.info["duration"]))
        return delays, image.info.get("loop")


@pytest.mark.parametrize("loop", [0, 1, 3])
@pytest.mark.parametrize("target", [".gif", ".apng", ".webp"])
@pytest.mark.parametrize("source", [".gif", ".apng", ".webp"])
def test_delays_and_loop_are_kept_from_each_to_each(tmp_path, source, target, loop):
    clip = read_clip(animation(tmp_path / f"a{source}", [100, 40, 250, 900], loop=loop))
    # A GIF says how often it is repeated.
    assert clip.info.plays == (loop + 1 if source == ".gif" and loop else loop)
    assert clip.info.times == (0, 100, 140, 390, 1290)
    write_clip(tmp_path / f"b{target}", clip)
    delays, said = facts(tmp_path / f"b{target}")
    assert delays == [100, 40, 250, 900]
    if target != ".gif":
        assert said == clip.info.plays
    assert open_clip(tmp_path / f"b{target}").info.plays == clip.info.plays
    assert open_clip(tmp_path / f"b{target}").info.times == clip.info.times


def test_gif_that_says_nothing_is_shown_once(tmp_path):
    clip = read_clip(animation(tmp_path / "a.gif", [100, 100], loop=None))
    assert clip.info.plays == 1
    for name in ("b.gif", "b.apng", "b.webp"):
        write_clip(tmp_path / name, clip)
        assert open_clip(tmp_path / name).info.plays == 1
    assert facts(tmp_path / "b.gif")[1] is None


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_frames_that_name_next_to_no_time_are_shown_as_browsers_do(tmp_path, suffix):
    info = open_clip(animation(tmp_path / f"a{suffix}", [0, 10, 20, 30])).info
    seconds = [float(time * info.time_base) for time in info.times]
    assert np.allclose(np.diff(seconds), [0.1, 0.1, 0.02, 0.03])


def test_times_of_apng_are_exact(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", frames=7, rate=Fraction(30000, 1001)))
    write_clip(tmp_path / "a.apng", clip)
    info = open_clip(tmp_path / "a.apng").info
    assert info.constant_rate
    assert info.rate == Fraction(30000, 1001)
    assert [time * info.time_base for time in info.times] == [Fraction(1001 * n, 30000) for n in range(8)]
    write_clip(tmp_path / "b.mp4", read_clip(tmp_path / "a.apng"))
    assert open_clip(tmp_path / "b.mp4").info.rate == Fraction(30000, 1001)


def test_picture_beside_an_apng_is_no_frame(tmp_path):
    first, *rest = images(3)
    first.save(tmp_path / "a.apng", "PNG", save_all=True, append_images=rest, default_image=True, duration=[50, 70])
    clip = read_clip(tmp_path / "a.apng")
    assert clip.info.times == (0, 50, 120)
    assert np.array_equal(np.rint(clip.frames[0] * 255), np.asarray(rest[0])[..., :3])


@pytest.mark.parametrize("suffix", [".apng", ".webp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_pixels_and_alpha_are_exact(tmp_path, suffix, alpha):
    clip = read_clip(animation(tmp_path / "a.apng", [50, 60, 70], alpha=alpha))
    assert (clip.alpha is not None) == alpha
    write_clip(tmp_path / f"b{suffix}", clip)
    again = read_clip(tmp_path / f"b{suffix}")
    assert np.array_equal(again.frames, clip.frames)
    assert (again.alpha is None and clip.alpha is None) or np.array_equal(again.alpha, clip.alpha)


def test_deep_frames_make_a_deep_apng(tmp_path):
    import cv2

    (tmp_path / "in").mkdir()
    for number in (1, 2):
        deep = np.full((*SIZE, 3), 257 * number + 1, np.uint16)
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), deep)
    write_clip(tmp_path / "a.apng", read_clip(tmp_path / "in"))
    data = (tmp_path / "a.apng").read_bytes()
    assert data[24] == 16
    assert open_clip(tmp_path / "a.apng").info.frames == 2


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_gif_is_read_as_it_is_shown(tmp_path, disposal):
    canvas = Image.new("RGBA", (20, 10), (255, 0, 0, 255))
    patch = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    patch.paste((0, 0, 255, 255), (5, 0, 10, 10))
    canvas.save(
        tmp_path / "a.gif", save_all=True, append_images=[patch, patch], duration=100, disposal=disposal, loop=0
    )
    clip = read_clip(tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        for index in range(image.n_frames):
            image.seek(index)
            shown = np.asarray(image.convert("RGBA"))
            assert np.array_equal(np.rint(clip.frames[index] * 255), shown[..., :3])
            alpha = np.full(shown.shape[:2], 255) if clip.alpha is None else clip.alpha[index]
            assert np.array_equal(alpha, shown[..., 3])


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_animations_on_the_command_line(tmp_path, suffix):
    source = animation(tmp_path / f"a{suffix}", [50, 250], loop=2)
    box = ["--bbox", "4,4,14,14", "--guide-size", "64", "--max-size", "64", "-q", "--no-cache"]
    assert main(["run", str(source), "-o", str(tmp_path / f"b{suffix}"), *box]) == 0
    before, after = open_clip(source).info, open_clip(tmp_path / f"b{suffix}").info
    assert (after.times, after.plays) == (before.times, before.plays)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("suffix", [".apng", ".webp"])
def test_animation_that_stops_leaves_nothing(tmp_path, suffix):
    clip = read_clip(animation(tmp_path / "a.gif", [50, 250]))

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(tmp_path / f"b{suffix}", clip, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
