"""`segs-detailer doctor`, with stand-ins for what a machine has or lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch

from segs_detailer.cli import doctor
from segs_detailer.cli.main import main
from segs_detailer.errors import MissingDependencyError

REQUIRED = [
    "numpy>=1.24",
    'av>=14.2 ; extra == "video"',
    'tqdm>=4.66 ; extra == "video"',
    "diffusers>=0.35; extra == 'diffusers'",
    'ray>=2.10 ; extra == "ray"',
]
INSTALLED = {"torch": "2.9.0+cu130", "av": "16.0.1", "tqdm": "4.70", "diffusers": "0.34.2"}


@pytest.fixture
def machine(monkeypatch, hub, tmp_path):
    def version(name):
        if name not in INSTALLED:
            raise metadata.PackageNotFoundError(name)
        return INSTALLED[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRED)
    for name in [name for name in os.environ if doctor._VARIABLES.fullmatch(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SEGS_DETAILER_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(doctor, "accelerators", list)
    return tmp_path


def report(capsys):
    """Lines by what they are about, each with the advice behind it."""
    assert main(["doctor"]) == 0
    found, about = {}, ""
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(" "):
            found[about] += line.split("->", 1)[1].join([" ->", ""])
        else:
            about, text = line.split("  ", 1)
            found[about] = text.strip()
    return found


def test_packages_that_are_missing_or_too_old(machine, capsys):
    found = report(capsys)
    assert found["torch"] == "2.9.0+cu130"
    assert found["[video]"] == "av 16.0.1, tqdm 4.70"
    assert found["[diffusers]"] == "diffusers 0.34.2 -> pip install 'segs-detailer[diffusers]'"
    assert found["[ray]"] == "ray missing -> pip install 'segs-detailer[ray]'"
    assert "[onnx]" not in found


def test_devices(machine, capsys, monkeypatch):
    assert "install the build of PyTorch for it" in report(capsys)["GPU"]
    devices = [(torch.device("cuda", 0), "RTX 5070"), (torch.device("xpu", 1), "Arc")]
    monkeypatch.setattr(doctor, "accelerators", lambda: devices)
    memory = {"cuda": (7_500_000_000, 12_000_000_000), "xpu": None}
    monkeypatch.setattr(doctor, "memory_of", lambda device: memory[device.type])
    found = report(capsys)
    assert found["cuda:0"] == "RTX 5070, 7.5 of 12.0 GB free"
    assert found["xpu:1"] == "Arc"
    assert "GPU" not in found


def test_encoders(machine, capsys, monkeypatch):
    packets = pytest.importorskip("segs_detailer.video.packets")
    fake = SimpleNamespace(codecs_available={"libx264", "ffv1"}, library_versions={"libavcodec": (62, 28, 102)})
    monkeypatch.setattr(packets, "import_av", lambda: fake)
    found = report(capsys)["encoders"]
    assert found.startswith("libx264, ffv1 (libavcodec 62.28.102) -> libsvtav1, libvpx-vp9, libx265, prores_ks cannot")

    def missing():
        raise MissingDependencyError("av", "video")

    monkeypatch.setattr(packets, "import_av", missing)
    assert report(capsys)["codecs"] == "none -> av is not installed: pip install 'segs-detailer[video]'"


def test_weights_cache_and_variables(machine, capsys, monkeypatch):
    monkeypatch.setenv("SEGS_DETAILER_NUM_THREADS", "2")
    found = report(capsys)
    assert found["weights yunet"].startswith("finds faces: not fetched yet -> segs-detailer models pull yunet")
    assert found["cache"].startswith(str(machine / "not" / "yet"))
    assert found["variables"] == f"SEGS_DETAILER_CACHE={machine / 'not' / 'yet'}, SEGS_DETAILER_NUM_THREADS=2"


def test_a_cache_that_may_not_be_written_to(machine, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    found = report(capsys)["cache"]
    assert "may not be written to -> set SEGS_DETAILER_CACHE to another folder, or use --cache" in found


def test_a_cache_with_little_room(machine, capsys, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=3e9))
    assert "3 GB free -> set SEGS_DETAILER_CACHE" in report(capsys)["cache"]


def test_the_package_is_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "segs_detailer", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("segs-detailer ")
