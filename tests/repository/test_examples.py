"""The examples in docstrings run, and what scripts need has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil

import pytest
from PIL import Image

import segs_detailer

# What needs ComfyUI or another program beside it, and what has no Python that scripts would call.
_OTHERS = ("segs_detailer.comfyui", "segs_detailer.cli", "segs_detailer._native")
MODULES = [
    found.name
    for found in pkgutil.walk_packages(segs_detailer.__path__, "segs_detailer.")
    if not found.name.startswith(_OTHERS)
]
FUNCTIONS = [name for name in segs_detailer.__all__ if inspect.isfunction(getattr(segs_detailer, name))]

# Their examples are in the pages, as they need models.
_WITHOUT = {"with_control_net"}


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    """The files that examples read."""
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (60 * number, 80, 90)).save(tmp_path / "frames" / f"{number:03d}.png")
    prompts = {"face": "a smiling woman", "2": ["an old man", "beard"]}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, in_a_folder):
    if ".finders" in name:
        pytest.importorskip("cv2")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_one(name):
    examples = doctest.DocTestFinder(recurse=False).find(getattr(segs_detailer, name), name)[0].examples
    assert bool(examples) != (name in _WITHOUT)


@pytest.mark.parametrize(
    "package",
    [
        "segs_detailer",
        "segs_detailer.detailer",
        "segs_detailer.ops",
        "segs_detailer.subjects",
        "segs_detailer.subjects.finders",
        "segs_detailer.verify",
        "segs_detailer.video",
    ],
)
def test_no_public_name_is_that_of_a_module(package):
    loaded = importlib.import_module(package)
    modules = {found.name for found in pkgutil.iter_modules(loaded.__path__)}
    assert not modules & set(loaded.__all__)
