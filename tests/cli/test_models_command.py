"""`segs-detailer models`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from segs_detailer.cli import models
from segs_detailer.cli.main import main
from segs_detailer.hub import WEIGHTS, catalog

CONTENT = b"weights" * 100


@pytest.fixture
def toys(hub, monkeypatch):
    """Two files that the hub has."""
    files = tuple(hub.add(CONTENT, name=name, file=f"{name}.onnx") for name in ("toy", "top"))
    for module in (models, catalog):
        monkeypatch.setattr(module, "WEIGHTS", files)
    return hub


def run(capsys, *words, code=0):
    assert main(["models", *words]) == code
    printed = capsys.readouterr()
    return (printed.out if code == 0 else printed.err).splitlines()


def test_list_shows_licenses_and_what_is_here(toys, capsys):
    heading, toy, _ = run(capsys, "list")
    assert heading.split() == ["NAME", "FOR", "SIZE", "LICENSE", "HERE", "FROM"]
    assert toy.split() == ["toy", "is", "tested", "1", "kB", "MIT", "no", "some/models"]
    run(capsys, "pull", "top")
    assert [line.split()[-2] for line in run(capsys, "list")[1:]] == ["no", "yes"]
    toys.requests.clear()
    run(capsys, "list")
    assert toys.requests == []


def test_pull_and_where(toys, capsys):
    assert run(capsys, "where") == [f"none of them is in {toys.cache}"]
    (error,) = run(capsys, "where", "toy", code=2)
    assert error == f"segs-detailer: error: toy is not in {toys.cache}: segs-detailer models pull toy fetches it"
    (line,) = run(capsys, "pull", "toy")
    path = line.removeprefix("toy: ").removesuffix(" (license: MIT)")
    assert run(capsys, "where", "toy") == [path]
    assert run(capsys, "where") == [f"toy: {path}"]
    assert Path(path).read_bytes() == CONTENT
    assert run(capsys, "pull", "-q", "toy", "top") == []


def test_a_damaged_file_is_said_and_pulled_anew(toys, capsys):
    run(capsys, "pull", "toy")
    (path,) = run(capsys, "where", "toy")
    Path(path).write_bytes(b"broken")
    assert run(capsys, "list")[1].split()[-2] == "damaged"
    (error,) = run(capsys, "where", "toy", code=2)
    assert "toy is damaged in " in error
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["models", "pull", "toy"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"segs-detailer: warning: {path}: is not toy.onnx as it was published, and was removed"
    assert run(capsys, "where", "toy") == [path]


def test_other_content_is_one_line_and_nothing_is_kept(toys, capsys):
    toys.files["some/models/toy.onnx"] = CONTENT[::-1]
    (error,) = run(capsys, "pull", "toy", code=2)
    assert error.startswith(f"segs-detailer: error: toy.onnx cannot be fetched: {toys.url} sent another file ")
    assert toys.kept == []


def test_unknown_names_are_refused_before_anything_is_fetched(toys, capsys):
    (error,) = run(capsys, "pull", "toy", "topp", code=2)
    assert error == "segs-detailer: error: name: expected one of toy, top, got 'topp' (did you mean top?)"
    assert toys.requests == []


def test_the_list_needs_no_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert len(run(capsys, "list")) == 1 + len(WEIGHTS)
    (error,) = run(capsys, "pull", "yunet", code=2)
    assert error == "segs-detailer: error: huggingface_hub is not installed: pip install 'segs-detailer[video]'"
