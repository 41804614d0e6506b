"""A run that only sharpens names the command that would repaint, where there is a GPU and a network."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from segs_detailer.cli.main import main


@pytest.fixture
def command(tmp_path, monkeypatch):
    folder = tmp_path / "the clip"
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)).save(folder / "0.png")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24 * 10**9))
    sizes = ["--bbox", "4,4,24,24", "--guide-size", "32", "--max-size", "32", "--no-cache"]
    return ["run", str(folder), "-o", f"{tmp_path}/out/", *sizes]


def said(command, capsys):
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("note: no model was named: this is a preview") for line in lines)
    found = [line.removeprefix("to repaint: ") for line in lines if line.startswith("to repaint: ")]
    assert len(found) <= 1
    return "".join(found)


def test_it_is_the_same_command_with_a_model(command, capsys, monkeypatch, tmp_path):
    more = "--model Wan-AI/Wan2.1-T2V-1.3B-Diffusers --prompt 'a sharp picture of a box'"
    sizes = "--bbox 4,4,24,24 --guide-size 32 --max-size 32 --no-cache"
    typed = f"segs-detailer run '{tmp_path}/the clip' -o {tmp_path}/out/ {sizes} {more}"
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: name if name == "diffusers" else find_spec(name))
    assert said(command, capsys) == typed
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * 10**9))
    assert (
        said([*command, "--overwrite"], capsys) == typed.replace("--model", "--overwrite --model") + " --offload model"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "diffusers" else find_spec(name))
    assert said([*command, "--overwrite"], capsys).startswith(
        "pip install 'segs-detailer[diffusers]' && segs-detailer run"
    )


@pytest.mark.parametrize("missing", ["gpu", "network"])
def test_nothing_is_said_where_it_could_not_run(command, capsys, monkeypatch, missing):
    if missing == "gpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    else:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert said(command, capsys) == ""
