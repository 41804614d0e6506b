"""The command line: what it writes, what it says, and what it leaves behind when something is wrong."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import processes
import segs_detailer
from segs_detailer.cli.main import main
from segs_detailer.video import EncoderSettings, open_clip, read_clip, write_clip

# Small and quick: what is detailed is not what these tests are about.
QUICK = ["--guide-size", "64", "--max-size", "96", "--steps", "2", "--crop-factor", "1.5"]


@pytest.fixture
def clip(tmp_path):
    """Six lossless frames with a bright square that moves, as numbered images."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(_frame(index)).save(folder / f"{index:04d}.png")
    return folder


def _frame(index):
    y, x = np.mgrid[:72, :96]
    wave = 127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)
    pixels = np.repeat(wave[..., None], 3, axis=2)
    pixels[20:50, 20 + 3 * index : 50 + 3 * index] *= 0.6
    return pixels.astype(np.uint8)


def run(*args):
    return main([str(arg) for arg in args])


def frames_of(path):
    return read_clip(path).frames


def only(folder, *names):
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)


# What is written


def test_box_changes_its_inside_and_not_one_bit_outside(tmp_path, clip, capsys):
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--bbox", "20,20,50,50", "--feather", "2", *QUICK) == 0
    before, after = frames_of(clip), frames_of(tmp_path / "out")
    inside = np.zeros(before.shape[1:3], bool)
    # The mask is the box; its feather of 2 pixels is what it may pass by.
    inside[18:52, 18:52] = True
    assert not np.array_equal(after[:, inside], before[:, inside])
    assert np.array_equal(after[:, ~inside], before[:, ~inside])
    out = capsys.readouterr().out
    assert "96x72, 6 frames" in out
    assert "20,20,50,50 (30x30)" in out
    assert "this is a preview" in out
    assert "at work: decode" in out


def test_several_boxes(tmp_path, clip, capsys):
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--bbox", "5,5,25,25", "--bbox", "60,40,90,70", *QUICK) == 0
    out = capsys.readouterr().out
    assert "5,5,25,25" in out
    assert "60,40,90,70" in out


def _mask(left, *, size=(72, 96)):
    mask = np.zeros(size, np.uint8)
    mask[20:50, left : left + 30] = 255
    return Image.fromarray(mask)


def _changed(before, after):
    return (before != after).any(axis=(-1))


def test_one_mask_for_all_frames(tmp_path, clip):
    _mask(20).save(tmp_path / "mask.png")
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--mask", tmp_path / "mask.png", "--feather", "0", *QUICK) == 0
    changed = _changed(frames_of(clip), frames_of(tmp_path / "out"))
    assert changed[:, 20:50, 20:50].any(axis=(1, 2)).all()
    changed[:, 20:50, 20:50] = False
    assert not changed.any()


def test_one_mask_per_frame_touches_only_that_frame(tmp_path, clip):
    (tmp_path / "masks").mkdir()
    for index in range(6):
        mask = _mask(20 + 3 * index) if index in (2, 3) else Image.new("L", (96, 72))
        mask.save(tmp_path / "masks" / f"{index:04d}.png")
    mask = f"{tmp_path}/masks/%04d.png"
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--mask", mask, "--feather", "0", *QUICK) == 0
    changed = _changed(frames_of(clip), frames_of(tmp_path / "out"))
    assert [bool(c.any()) for c in changed] == [False, False, True, True, False, False]
    changed[2, 20:50, 26:56] = changed[3, 20:50, 29:59] = False
    assert not changed.any()


def test_mask_of_another_size_is_scaled(tmp_path, clip, capsys):
    _mask(20).resize((192, 144), Image.Resampling.NEAREST).save(tmp_path / "mask.png")
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--mask", tmp_path / "mask.png", *QUICK) == 0
    assert "20,20,50,50" in capsys.readouterr().out


def test_mask_from_a_video(tmp_path, clip, capsys):
    (tmp_path / "masks").mkdir()
    for index in range(6):
        _mask(20).save(tmp_path / "masks" / f"{index}.png")
    write_clip(tmp_path / "mask.mkv", read_clip(tmp_path / "masks"), settings=EncoderSettings(codec="ffv1"))
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--mask", tmp_path / "mask.mkv", *QUICK) == 0
    assert "20,20,50,50" in capsys.readouterr().out


def test_images_become_a_video_and_a_gif(tmp_path, clip):
    for name in ("out.mp4", "out.gif"):
        assert run("run", clip, "-o", tmp_path / name, "--bbox", "20,20,50,50", "--fps", "10", *QUICK, "-q") == 0
        info = open_clip(tmp_path / name).info
        assert (info.frames, info.size, info.rate) == (6, (72, 96), 10)


def test_same_command_gives_the_same_pixels(tmp_path, clip):
    for name in ("a", "b"):
        assert run("run", clip, "-o", f"{tmp_path}/{name}/", "--bbox", "20,20,50,50", *QUICK, "-q") == 0
    assert np.array_equal(frames_of(tmp_path / "a"), frames_of(tmp_path / "b"))


def test_threads_do_not_change_the_pixels(tmp_path, clip, monkeypatch):
    import cv2
    import torch

    from segs_detailer.jobs.run import ClipRun

    seen = []
    begin = ClipRun.run

    def watched(self, takers, progress):
        seen.append((segs_detailer.get_num_threads(), cv2.getNumThreads()))
        begin(self, takers, progress)

    monkeypatch.setattr(ClipRun, "run", watched)
    before = segs_detailer.get_num_threads(), torch.get_num_threads(), cv2.getNumThreads()
    for threads in (1, 2):
        out = f"{tmp_path}/{threads}/"
        assert run("run", clip, "-o", out, "--bbox", "20,20,50,50", "--threads", threads, *QUICK, "-q") == 0
    assert seen == [(1, 1), (2, 2)]
    # What else runs in the process has its own again.
    assert (segs_detailer.get_num_threads(), torch.get_num_threads(), cv2.getNumThreads()) == before
    assert np.array_equal(frames_of(tmp_path / "1"), frames_of(tmp_path / "2"))


def test_settings_reach_the_detailer(tmp_path, clip, capsys):
    assert run("run", clip, "-o", f"{tmp_path}/a/", "--bbox", "20,20,50,50", *QUICK) == 0
    assert "96x96" in capsys.readouterr().out
    args = ["--guide-size", "96", "--guide-size-for", "crop_region", "--max-size", "200", "--denoise", "1"]
    assert run("run", clip, "-o", f"{tmp_path}/b/", "--bbox", "20,20,50,50", "--crop-factor", "2", *args) == 0
    assert "96x96" in capsys.readouterr().out
    assert not np.array_equal(frames_of(tmp_path / "a"), frames_of(tmp_path / "b"))


def test_quiet_says_nothing(tmp_path, clip, capfd):
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--bbox", "20,20,50,50", "-q", *QUICK) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_each_stage_is_reported(tmp_path, clip, capsys):
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--bbox", "20,20,50,50", *QUICK) == 0
    error = capsys.readouterr().err
    for line in ("decode: 6/6 frames", "detail: 2/2 steps", "encode: 6/6 frames"):
        assert line in error


# Before and after


def test_compare_picture(tmp_path, clip):
    picture = tmp_path / "compare.png"
    assert run("run", clip, "-o", f"{tmp_path}/out/", "--bbox", "20,20,50,50", "--compare", picture, *QUICK) == 0
    with Image.open(picture) as image:
        rows = np.asarray(image).astype(int)
    half = rows.shape[0] // 2
    assert rows.shape[1] > rows.shape[0]
    assert np.abs(rows[:half] - rows[-half:]).max() > 10


def test_compare_is_another_file_than_the_output(tmp_path, clip, capsys):
    output = tmp_path / "out.mp4"
    same = tmp_path / "." / "out.mp4"
    assert run("run", clip, "-o", output, "--bbox", "20,20,50,50", "--compare", same, *QUICK) == 2
    assert "--compare: expected another file than the output" in capsys.readouterr().err
    assert not output.exists()


def test_compare_video_shows_both_side_by_side(tmp_path, clip):
    video = tmp_path / "compare.mkv"
    args = ["--compare", video, "--codec", "ffv1", "--pix-fmt", "bgr0"]
    assert run("run", clip, "-o", tmp_path / "out.mkv", "--bbox", "20,20,50,50", *args, *QUICK) == 0
    both = frames_of(video)
    assert both.shape == (6, 72, 192, 3)
    assert np.abs(both[:, :, :96] - frames_of(clip)).mean() < 0.02
    assert np.abs(both[:, :, 96:] - frames_of(tmp_path / "out.mkv")).mean() < 0.02


# Contact sheet


def test_preview_draws_boxes_and_masks(tmp_path, clip, capsys):
    sheet = tmp_path / "sheet.png"
    args = ["--bbox", "20,20,50,50", "--frames", "3", "--columns", "3"]
    assert run("preview", clip, "-o", sheet, *args) == 0
    with Image.open(sheet) as image:
        pixels = np.asarray(image).astype(int)
    assert pixels.shape[1] > 3 * 480
    is_yellow = (pixels[..., 0] > 200) & (pixels[..., 1] > 150) & (pixels[..., 2] < 80)
    assert is_yellow.sum() > 1000
    is_red = pixels[..., 0] - pixels[..., 1] > 60
    assert is_red.sum() > 3 * 100 * 100
    assert "20,20,50,50" in capsys.readouterr().out


def test_preview_without_subjects_says_so(tmp_path, clip, capsys):
    assert run("preview", clip, "-o", tmp_path / "sheet.png") == 0
    assert "no face was found" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").exists()


def test_preview_shows_a_subject_of_few_frames(tmp_path, clip):
    (tmp_path / "masks").mkdir()
    for index in range(6):
        (_mask(20) if index == 4 else Image.new("L", (96, 72))).save(tmp_path / "masks" / f"{index}.png")
    run("preview", clip, "-o", tmp_path / "sheet.png", "--mask", tmp_path / "masks", "--frames", "1")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 2 * 480


def test_preview_names_its_picture_after_the_clip(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("preview", "in/%04d.png", "--bbox", "20,20,50,50", "-q") == 0
    assert (tmp_path / "clip_preview.png").exists()


# Errors


def fails(capsys, *args):
    """Run what must fail, and give the one line that says why; before it, there may be one for each finished stage."""
    code = run(*args)
    captured = capsys.readouterr()
    *stages, line = captured.err.strip().splitlines()
    assert code == 2
    assert all(re.fullmatch(r"(decode|detect|masks): .* s", stage) for stage in stages)
    assert line.startswith("segs-detailer: error: ")
    assert captured.out == ""
    return line


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.mp4", "-o", "out.mp4"], "none.mp4: no such file"),
        (["CLIP", "-o", "out.xyz"], "files of type .xyz cannot be written: use"),
        (["CLIP", "-o", "nowhere/out.mp4"], "no such folder"),
        (["CLIP", "-o", "out.mp4", "--bbox", "500,500,600,600"], "touches the frame"),
        (["CLIP", "-o", "out.mp4", "--bbox", "50,50,20,20"], "x1 < x2"),
        (["CLIP", "-o", "out.mp4", "--mask", "none.png"], "none.png: no such file"),
        (["CLIP", "-o", "out.mp4", "--steps", "0"], "--steps: expected"),
        (["CLIP", "-o", "out.mp4", "--denoise", "2"], "--denoise: expected"),
        (["CLIP", "-o", "out.mp4", "--guide-size", "-5"], "--guide-size: expected"),
        (["CLIP", "-o", "out.mp4", "--crop-factor", "0"], "--crop-factor: expected"),
        (["CLIP", "-o", "out.mp4", "--min-share", "7"], "--min-share: expected"),
        (["CLIP", "-o", "out.mp4", "--codec", "nonesuch"], "--codec: expected"),
        (["CLIP", "-o", "out.mp4", "--crf", "99"], "--crf: expected"),
        (["CLIP", "-o", "out.mp4", "--prompt", "a face"], "--model"),
        (["CLIP", "-o", "out.mp4", "--model", "no/such/model"], "no/such/model"),
        (["CLIP", "-o", "out.mp4", "--compare", "nowhere/a.png"], "no such folder"),
        (["CLIP", "-o", "out.mp4", "--when-empty", "fail"], "no face was found"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, clip, capsys, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    args = [str(clip) if arg == "CLIP" else arg for arg in args]
    assert message in fails(capsys, "run", *args, *(["--bbox", "20,20,50,50"] if "--codec" in args else []))
    only(tmp_path, "in")


def test_mask_count_that_does_not_match(tmp_path, clip, capsys):
    (tmp_path / "masks").mkdir()
    for index in range(4):
        _mask(20).save(tmp_path / "masks" / f"{index}.png")
    line = fails(capsys, "run", clip, "-o", tmp_path / "out.mp4", "--mask", tmp_path / "masks")
    assert "holds 4 masks for 6 frames" in line


def test_black_mask(tmp_path, clip, capsys):
    Image.new("L", (96, 72)).save(tmp_path / "mask.png")
    line_args = ["run", clip, "-o", tmp_path / "out.mp4", "--mask", tmp_path / "mask.png", "-q"]
    assert "nothing in it is white" in fails(capsys, *line_args, "--when-empty", "fail")
    only(tmp_path, "in", "mask.png")


@pytest.mark.parametrize(
    "args", [[], ["run"], ["run", "a.mp4"], ["walk"], ["run", "a.mp4", "-o", "b.mp4", "--bbox", "1,2,3"]]
)
def test_wrong_usage_is_one_line(args, capsys):
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert "--help" in error


def test_bugs_are_not_hidden(clip, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("segs_detailer.jobs.run.crop_clip", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("run", clip, "-o", tmp_path / "out.mp4", "--bbox", "20,20,50,50")
    only(tmp_path, "in")


def test_full_memory_is_an_error_that_says_what_to_do(clip, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("segs_detailer.jobs.run.crop_clip", full)
    assert "lower --max-size" in fails(capsys, "run", clip, "-o", tmp_path / "out.mp4", "--bbox", "20,20,50,50")
    only(tmp_path, "in")


@pytest.mark.parametrize("place", ["jobs.run.crop_clip", "jobs.run.write_clip_frames", "detailer.api.detail_frames"])
def test_interrupt_leaves_nothing(clip, tmp_path, monkeypatch, capsys, place):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"segs_detailer.{place}", interrupted)
    args = ["--bbox", "20,20,50,50", "--compare", tmp_path / "both.mp4", "-q"]
    assert run("run", clip, "-o", tmp_path / "out.mp4", *args) == 130
    assert capsys.readouterr().err.strip() == "segs-detailer: stopped; nothing was written"
    only(tmp_path, "in")


# Help


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"segs-detailer {segs_detailer.__version__}"


@pytest.mark.parametrize("command", [[], ["run"], ["preview"]])
def test_help_fits_and_explains(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "usage: segs-detailer" in text
    if command == ["run"]:
        options = (
            "guide-size guide-size-for max-size seed steps cfg sampler-name scheduler denoise feather refiner-ratio"
        )
        options += " noise-mask-feather inpaint-model model motion-adapter prompt negative-prompt device dtype threads"
        for name in options.split():
            assert f"--{name}" in text


def test_help_needs_neither_torch_nor_video_libraries():
    code = (
        "import sys; from segs_detailer.cli.options import build_parser; build_parser(); "
        "print(sorted({'torch', 'av', 'cv2', 'diffusers'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=processes.environment()
    )
    assert result.stdout.strip() == "[]"
