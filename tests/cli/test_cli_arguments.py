"""How arguments are read: what is accepted, and the line that says what is wrong with the rest."""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.arguments import EXIT_CODES, names_of_options
from segs_detailer.cli.effects import RULES, check_effects
from segs_detailer.cli.main import main
from segs_detailer.cli.options import build_parser
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError
from segs_detailer.video import open_clip, open_output, read_clip, write_clip

RUN = ("run", "a.mp4", "-o", "b.mp4")


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[:48, :64]
    for index in range(4):
        wave = (127 + 60 * np.sin((x + index) / 5) * np.cos(y / 6)).astype(np.uint8)
        Image.fromarray(np.repeat(wave[..., None], 3, axis=2)).save(tmp_path / "in" / f"{index}.png")
    return tmp_path / "in"


def refused(capsys, *args):
    """Give the one line of a command that cannot be understood."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    return line


def error_of(capsys, *args):
    assert main([str(arg) for arg in args]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("segs-detailer: error: ")
    assert "\n" not in line
    return line.removeprefix("segs-detailer: error: ")


# Values


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--bbox", "-5,10,80,80"], "bbox", [(-5, 10, 80, 80)]),
        (["--bbox", "-.5,10,80,80"], "bbox", [(-0.5, 10, 80, 80)]),
        (["--bbox=-5,10,80,80"], "bbox", [(-5, 10, 80, 80)]),
        (["--grow", "-3"], "grow", -3),
        (["--noise-mask-grow", "-3"], "noise_mask_grow", -3),
        (["--seed", "-1"], "seed", -1),
        (["--cfg", "-1.5"], "cfg", -1.5),
        (["--prompt", "-1 is not an option"], "prompt", "-1 is not an option"),
    ],
)
def test_numbers_below_0_are_values(words, name, value):
    assert getattr(build_parser().parse_args([*RUN, *words]), name) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size-gate", "-5"], "--size-gate: expected a number from 1"),
        (["--size-gate", "nan"], "--size-gate: expected a number from 1"),
        (["--crop-factor", "0"], "--crop-factor: expected"),
        (["--bbox", "-50,-50,-10,-10"], "--bbox"),
        (["--max-gap", "20000"], "--max-gap: expected"),
        (["--detect", "face", "--detect-confidence", "0.5"], "--detect-confidence: expected none for the face"),
        (["--detect", "face", "--min-face", "1"], "--min-face: expected"),
        (["--detect", "face", "--detect-labels", "hand"], "--detect-labels: expected"),
    ],
)
def test_errors_name_the_option(clip, tmp_path, capsys, words, said):
    boxes = [] if "--detect" in words or "--bbox" in words or "--max-gap" in words else ["--bbox", "10,10,30,30"]
    assert said in error_of(capsys, "run", clip, "-o", f"{tmp_path}/out/", "--no-cache", *boxes, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("guide_size", "--guide-size"),
        ("subjects['left']", "--subjects['left']"),
        ("length", "--context-length"),
        ("boxes[1]", "--bbox[1]"),
        ("dtype", "--dtype"),
        ("pixels[2]", "pixels[2]"),
        ("clip", "clip"),
    ],
)
@pytest.mark.parametrize("kind", [InvalidArgumentError, InvalidTypeError])
def test_arguments_of_python_become_options(kind, argument, shown):
    args = build_parser().parse_args(RUN)
    with pytest.raises(kind) as caught, names_of_options(args):
        raise kind(argument, "this", "that")
    assert str(caught.value) == f"{shown}: expected this, got that"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.png: or overwrite=True", "a.png: or --overwrite"),
        ("drop it with keep_audio=False", "drop it with --no-audio"),
        ("a folder (or format='davis')", "a folder (or --format davis)"),
    ],
)
def test_advice_for_python_becomes_options(said, shown):
    with pytest.raises(MediaError) as caught, names_of_options(build_parser().parse_args(RUN)):
        raise MediaError(said)
    assert str(caught.value) == shown


def test_all_python_names_that_are_translated_are_options():
    from segs_detailer.cli.arguments import _OTHER_NAMES

    known = set(vars(build_parser().parse_args(RUN))) | set(vars(build_parser().parse_args(["convert", "a", "b"])))
    assert set(_OTHER_NAMES.values()) <= known


@pytest.mark.parametrize("more", [[], ["--model", "none"]])
def test_a_device_that_has_no_such_name_is_refused(clip, tmp_path, capsys, more, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    line = error_of(capsys, "run", clip, "-o", f"{tmp_path}/out/", "--bbox", "9,9,30,30", "--device", "foo", *more)
    assert line.startswith("--device: expected cpu, cuda, cuda:1")
    line = error_of(capsys, "batch", clip.parent / "none", "-o", tmp_path / "out", "--devices", "cpu,foo")
    assert line.startswith("--devices: expected cpu, cuda, cuda:1")


# Options that there are not


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["--denois", "0.5"], "--denoise"),
        (["--mask-d", "3"], "--mask-dilate"),
        (["--guide-sise=3"], "--guide-size"),
        (["--modle", "x"], "--model"),
    ],
)
def test_no_abbreviation_passes_and_what_was_meant_is_named(capsys, words, near):
    line = refused(capsys, *RUN, *words)
    assert line.startswith("segs-detailer run: error: unrecognized arguments: --")
    assert f"did you mean {near}" in line


@pytest.mark.parametrize("command", [["plan", "a"], ["preview", "a"], ["convert", "a", "b"], ["verify", "a", "b"]])
def test_every_command_names_what_was_meant(capsys, command):
    line = refused(capsys, *command, "--quite")
    assert line.startswith(f"segs-detailer {command[0]}: error: ")
    assert "did you mean --quiet?" in line


def test_what_resembles_no_option_is_named_alone(capsys):
    assert "unrecognized arguments: --zzz (see" in refused(capsys, *RUN, "--zzz")
    assert "unrecognized arguments: c.mp4 (see" in refused(capsys, *RUN, "c.mp4")


def test_lines_of_a_list_name_what_was_meant(clip, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(f"{clip}\n{clip} -o {tmp_path}/b/ --denois 0.5\n")
    line = error_of(capsys, "batch", tmp_path / "list.txt", "-o", tmp_path / "out")
    assert "line 2: unrecognized arguments: --denois 0.5: did you mean --denoise?" in line


@pytest.mark.parametrize(
    "command", [[], ["run"], ["preview"], ["plan"], ["batch"], ["convert"], ["verify"], ["comfyui"]]
)
def test_every_help_tells_the_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "exit codes: 0 " in text
    assert "128 and the number of a signal" in text
    if command in ([], ["run"]):
        assert EXIT_CODES in text


# Options without effect

# What lets each rule refuse, and what lets it pass.
_CASES = {
    "motion_adapter": ("--motion-adapter x", "--model m"),
    "shift": ("--shift 3", "--model m"),
    "model_config": ("--model-config x", "--model m.safetensors"),
    "transformer_2": ("--transformer-2 x", "--model m.gguf"),
    "vae": ("--vae x", "--model m.safetensors"),
    "conditioning_scale": ("--conditioning-scale 0.5", "--model m"),
    "no_reference": ("--no-reference", "--model m"),
    "offload_type": ("--offload-type leaf_level", "--model m --offload group"),
    "num_blocks_per_group": ("--num-blocks-per-group 2", "--model m --offload group"),
    "use_stream": ("--use-stream", "--model m --offload group"),
    "storage_dtype": ("--storage-dtype float8_e4m3fn", "--model m"),
    "quantization": ("--quantization torchao", "--model m"),
    "lora": ("--lora x", "--model m"),
    "as_comfyui": ("--as-comfyui", "--model m"),
    "comfyui_version": ("--comfyui-version 0.3", "--model m"),
    "prompt": ("--prompt x", "--model m"),
    "negative_prompt": ("--negative-prompt x", "--model m"),
    "follow_sound": ("--follow-sound", "--model m"),
    "ip_adapter": ("--ip-adapter x --model m", "--reference x.png"),
    "ip_adapter_scale": ("--ip-adapter-scale 0.5 --model m", "--ip-adapter x --reference x.png"),
    "image_encoder": ("--image-encoder x --model m", "--ip-adapter x --reference x.png"),
    "reference": ("--reference x.png", "--model m"),
    "refiner_model": ("--refiner-model x", "--model m"),
    "inpaint_model": ("--inpaint-model", "--model m"),
    "dtype": ("--dtype float16", "--model m"),
    "context_length": ("--context-length 8", "--model m"),
    "context_overlap": ("--context-overlap 0", "--model m"),
    "context_stride": ("--context-stride 2", "--model m"),
    "context_order": ("--context-order static", "--model m"),
    "context_weights": ("--context-weights flat", "--model m"),
    "free_noise": ("--free-noise", "--model m"),
    "min_frames": ("--min-frames 8", "--model m"),
    "vae_chunk": ("--vae-chunk 2", "--model m"),
    "vae_tile": ("--vae-tile 64", "--model m"),
    "attention_slicing": ("--attention-slicing max", "--model m"),
    "offload": ("--offload model", "--model m"),
    "no_guidance_batch": ("--no-guidance-batch", "--model m"),
    "frame_batch": ("--frame-batch 2", "--model m"),
    "channels_last": ("--channels-last", "--model m"),
    "compile": ("--compile", "--model m"),
    "refiner_motion_adapter": ("--refiner-motion-adapter x", "--model m --refiner-model r"),
    "refiner_prompt": ("--refiner-prompt x", "--model m --refiner-model r"),
    "refiner_negative_prompt": ("--refiner-negative-prompt x", "--model m --refiner-model r"),
    "refiner_ratio": ("--refiner-ratio 0.5", "--model m --refiner-model r"),
    "combined": ("--combined", "--mask x"),
    "bbox_fill": ("--bbox-fill", "--mask x"),
    "contour_fill": ("--contour-fill", "--mask x"),
    "mask_labels": ("--mask-labels", "--mask x"),
    "find_model": ("--detect face --find-model x", "--find hand"),
    "find_confidence": ("--find-confidence 0.5", "--find hand"),
    "find_every": ("--find-every 2", "--find hand"),
    "refine_masks": ("--mask x --refine-masks y", "--bbox 1,2,3,4"),
    "detect_labels": ("--bbox 1,2,3,4 --detect-labels a", "--detect face"),
    "detect_confidence": ("--bbox 1,2,3,4 --detect-confidence 0.5", "--detect face"),
    "detect_every": ("--bbox 1,2,3,4 --detect-every 4", "--detect face"),
    "min_face": ("--bbox 1,2,3,4 --min-face 9", "--detect face"),
    "min_share": ("--segs x --min-share 0.5", "--detect face"),
    "face_mask": ("--mask x --face-mask box", "--detect face"),
    "drop_size": ("--bbox 1,2,3,4 --drop-size 5", "--mask x"),
    "max_gap": ("--bbox 1,2,3,4 --max-gap 5", "--segs x"),
    "paste_gap": ("--bbox 1,2,3,4 --paste-gap 5", "--segs x"),
    "subpixel": ("--subpixel --crop fixed", "--crop follow"),
    "identity_model": ("--identity-model x", "--like a.png"),
    "identity_threshold": ("--identity-threshold 0.5", "--link-shots"),
    "upright": ("--upright --bbox 1,2,3,4", "--segs x"),
    "fps": ("--fps 10", "frames/"),
    "fill_gaps": ("--fill-gaps", "frames/"),
    "codec": ("--codec vp9 -o out/", "-o b.mkv"),
    "crf": ("--crf 9 -o f_%04d.png", "-o b.mkv"),
    "pix_fmt": ("--pix-fmt rgb24 -o b.gif", "-o b.mkv"),
    "no_audio": ("--no-audio -o b.png", "-o b.mkv"),
    "copy_untouched": ("--copy-untouched -o x.gif", "-o x.mp4"),
}
_OF_VERIFY = {
    "crop": "--crop fixed",
    "crop_factor": "--crop-factor 2",
    "aspect": "--aspect 1:1",
    "smoothing": "--smoothing 2",
    "ramp": "--ramp 3",
    "size_gate": "--size-gate 90",
    "mask_median": "--mask-median 1",
    "mask_dilate": "--mask-dilate 1",
    "feather": "--feather 9",
    "grow": "--grow -3",
    "margin": "--margin 3",
    "tracks": "--tracks 2",
    "labels": "--labels a",
    "min_subject": "--min-subject 9",
    "max_subject": "--max-subject 9",
    "frames": "--frames 2-5",
    "at": "--at 2:3,4",
    "like": "--like a.png",
    "largest": "--largest 1",
    "exclude": "--exclude tracks=2",
    "link_shots": "--link-shots",
}
_OF_BATCH = {
    "devices": ("--devices cpu --engine ray", "--engine local"),
    "address": ("--address auto", "--engine ray"),
    "cpus_per_task": ("--cpus-per-task 0", "--engine ray"),
    "gpus_per_task": ("--gpus-per-task 1", "--engine ray"),
    "whole_clips": ("--whole-clips", "--engine ray"),
}


def _parsed(name, words):
    if name in _OF_BATCH:
        options = build_parser().parse_args(["batch", "clips", "-o", "out", *words.split()])
        options.clip, options.compare = "a.mp4", None
        return options
    clip = "frames/%04d.png" if "frames/" in words else "a.mp4"
    return build_parser().parse_args(["run", clip, "-o", "b.mp4", *words.replace("frames/", "").split()])


def test_each_option_of_the_table_has_a_case():
    assert {name for rule in RULES for name in rule.options} == {*_CASES, *_OF_BATCH, *_OF_VERIFY}


@pytest.mark.parametrize("name", _OF_VERIFY)
def test_verify_refuses_options_of_masks_where_it_has_none(name):
    words = ["verify", "a.mp4", "b.mp4", *_OF_VERIFY[name].split()]
    with pytest.raises(InvalidArgumentError, match="subjects that were detailed") as caught:
        check_effects(build_parser().parse_args(words))
    assert caught.value.argument == "--" + name.replace("_", "-")
    check_effects(build_parser().parse_args([*words, "--mask", "x"]))


@pytest.mark.parametrize("name", [*_CASES, *_OF_BATCH])
def test_options_without_effect_are_refused_by_name(name):
    words, remedy = {**_CASES, **_OF_BATCH}[name]
    with pytest.raises(InvalidArgumentError) as caught:
        check_effects(_parsed(name, words))
    assert caught.value.argument == "--" + name.replace("_", "-")
    check_effects(_parsed(name, f"{words} {remedy}"))


def test_defaults_are_never_refused(tmp_path):
    for words in (RUN, ("plan", "a.mp4"), ("preview", "a.mp4"), ("verify", "a.mp4", "b.png")):
        check_effects(build_parser().parse_args(words))
    check_effects(build_parser().parse_args([*RUN, "--bbox", "1,2,3,4", "--min-share", "0.3", "--prompt", ""]))


def test_verify_looks_for_nothing_that_is_not_named(capsys):
    line = error_of(capsys, "verify", "a.mp4", "b.mp4", "--min-face", "40")
    assert line.startswith("--min-face: expected what has to be found: add --detect or --find")


def test_lines_of_a_list_say_which_is_wrong(clip, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(f"{clip} --codec vp9\n")
    line = error_of(capsys, "batch", tmp_path / "list.txt", "-o", tmp_path / "out", "--bbox", "9,9,30,30")
    assert "list.txt, line 1: --codec: expected a video file as output" in line


# URLs


@pytest.mark.parametrize(
    "words",
    [
        ("run", "https://host/x.mp4", "-o", "o.mp4"),
        ("run", "in", "-o", "https://host/x.mp4"),
        ("run", "in", "-o", "o.mp4", "--mask", "https://host/x.mp4"),
        ("run", "in", "-o", "o.mp4", "--segs", "https://host/x.mp4"),
        ("run", "in", "-o", "o.mp4", "--compare", "https://host/x.mp4"),
        ("verify", "in", "https://host/x.mp4"),
        ("convert", "https://host/x.mp4", "a.npz"),
        ("batch", "https://host/x.mp4", "-o", "out"),
        ("plan", "in", "--json", "https://host/x.mp4"),
    ],
)
def test_a_url_is_told_from_a_file(clip, monkeypatch, capsys, words):
    monkeypatch.chdir(clip.parent)
    assert error_of(capsys, *words).startswith("https://host/x.mp4: is a URL, and only local files")


def test_a_url_is_told_from_a_file_in_python_and_in_lists(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"^https://host/x\.mp4: is a URL"):
        open_clip("https://host/x.mp4")
    with pytest.raises(OSError, match=r"^s3://bucket/x\.mp4: is a URL"):
        open_output("s3://bucket/x.mp4", open_clip(clip).info)
    with pytest.raises(OSError, match=r"^file:///in/x\.mp4: is a URL: name the file itself, /in/x\.mp4"):
        open_clip("file:///in/x.mp4")
    (tmp_path / "list.txt").write_text("https://host/x.mp4 --seed 3\n")
    assert "line 1: https://host/x.mp4: is a URL" in error_of(capsys, "batch", "list.txt", "-o", "out")
    # A folder may have such a name.
    clip.rename(tmp_path / "in:")
    assert open_clip("in:").info.frames == 4


# What libraries say of themselves


@pytest.mark.parametrize("codec", ["av1", "hevc", "vp9", "h264"])
def test_encoders_say_nothing_on_the_terminal(clip, tmp_path, capfd, codec):
    pytest.importorskip("av")
    output = tmp_path / "out.mp4"
    words = ("--bbox", "10,10,30,30", "--guide-size", "32", "--max-size", "48", "--no-cache", "-q")
    assert main(["run", str(clip), "-o", str(output), "--codec", codec, *words]) == 0
    assert capfd.readouterr() == ("", "")
    assert open_clip(output).info.frames == 4


def test_what_is_wrong_with_a_clip_is_said_once(clip, tmp_path, capsys):
    pytest.importorskip("av")
    write_clip(tmp_path / "clip.avi", read_clip(clip))

    def twice(args: argparse.Namespace) -> None:
        for _ in range(2):
            warnings.warn("clip.avi: 1 frame is damaged", stacklevel=2)
            warnings.warn("another", stacklevel=2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[main.__module__], "_command", twice)
        patch.setattr(warnings, "filters", [("always", None, Warning, None, 0)])
        assert main(["plan", str(clip)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["segs-detailer: warning: clip.avi: 1 frame is damaged", "segs-detailer: warning: another"]
