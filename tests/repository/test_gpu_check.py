"""`scripts/gpu_check.py`, rehearsed without a GPU: all of it but the tests of the ops, which run for themselves."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_check.py"


@pytest.fixture
def script(monkeypatch):
    pytest.importorskip("diffusers")
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up there.
    monkeypatch.setitem(sys.modules, "gpu_check", module)
    spec.loader.exec_module(module)
    return module


def test_the_rehearsal_runs(script, tmp_path, capsys):
    numbers = tmp_path / "numbers.json"
    assert script.main(["--rehearse", "--only", "detailer", "compute", "--json", str(numbers)]) == 0
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert found["detailer"]["host_against_device"] == 0
    assert found["detailer"]["predicted_bytes"] > 0
    for place in ("host", "device"):
        times = found["detailer"][place]
        assert {"encode", "sample", "decode"} <= set(times)
        assert 0 < times["outside"] < times["seconds"]
    assert found["compute"]["guidance_batch off"]["difference"] < 1e-4
    assert "| detailer | host, share outside |" in capsys.readouterr().out


def test_a_failed_check_is_told_and_does_not_stop_the_others(script, tmp_path, capsys, monkeypatch):
    def fails(models, scale):
        raise AssertionError("the pixels differ")

    monkeypatch.setitem(script.CHECKS, "ops", fails)
    monkeypatch.setitem(script.CHECKS, "compute", lambda models, scale: {"time": 1.0})
    assert script.main(["--rehearse", "--only", "ops", "compute"]) == 1
    out = capsys.readouterr().out
    assert "| ops | failed | AssertionError: the pixels differ |" in out
    assert "| compute | time | 1 |" in out


def test_without_a_gpu_the_check_itself_is_refused(script, capsys, monkeypatch):
    monkeypatch.setattr(script.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        script.main([])
    assert "use --rehearse" in capsys.readouterr().err
