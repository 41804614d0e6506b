"""What the installed folder loads while ComfyUI starts: nothing that takes long, whatever it is for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import comfy_server
import pytest
from comfy_server import base_folder

from places import ROOT
from segs_detailer.comfyui.install import install

# Packages that take long to load, and that ComfyUI may not have loaded.
HEAVY = {"av", "cv2", "diffusers", "onnxruntime", "scipy", "tqdm", "transformers", "ultralytics"}
# What only a run or a command needs.
LATER = (
    "segs_detailer.cli",
    "segs_detailer.comfyui.backend.sampler",
    "segs_detailer.comfyui.folder",
    "segs_detailer.comfyui.help_pages",
    "segs_detailer.comfyui.install",
    "segs_detailer.jobs",
    "segs_detailer.subjects.formats",
    "segs_detailer.verify",
    "segs_detailer.video",
)
LOAD = """
import importlib.util, json, sys
import numpy, PIL.Image, torch
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pack", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "custom_nodes").mkdir()
    return install(tmp_path)


def loaded_by(folder):
    """Modules that an import of the folder adds to what ComfyUI has."""
    command = [sys.executable, "-c", LOAD, str(folder / "__init__.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_nothing_heavy_and_nothing_for_later(folder):
    modules = loaded_by(folder)
    assert "segs_detailer.comfyui.nodes" in modules
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert [name for name in modules if name.startswith(LATER)] == []


@pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)
def test_a_running_comfyui_loads_nothing_but_the_package(tmp_path):
    """In the place where ComfyUI takes its own import times; the bench measures them there."""
    base = base_folder(tmp_path / "comfyui")
    done = subprocess.run(
        [
            comfy_server.comfy_python(),
            str(ROOT / "benches" / "in_comfyui.py"),
            "start",
            str(base / "custom_nodes" / "segs-detailer"),
        ],
        env=comfy_server.comfy_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    # ComfyUI reads the folder's pyproject.toml itself.
    assert set(result["packages"]) <= {"tomllib", "tomli"}


@pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)
def test_comfyuis_own_list_of_import_times_has_the_nodes(tmp_path):
    server = comfy_server.ComfyServer(base_folder(tmp_path / "comfyui"), "--disable-api-nodes")
    server.stop()
    log = server.log.read_text(errors="replace")
    assert re.search(r"Import times for custom nodes:.*\d seconds: .*segs-detailer$", log, re.DOTALL | re.MULTILINE)
