"""`scripts/check_release.py`: what it holds against wheels and tags."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {"segs_detailer/__init__.py", "segs_detailer/_native.pyi"}
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "sboms/segs-py.cyclonedx.json")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "scripts" / "check_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder, *, version="1.2.3", without=(), beside=(), content=b""):
    names = {*FILES, "LICENSE", "segs_detailer/_native.abi3.so"}
    names |= {f"segs_detailer-{version}.dist-info/{name}" for name in METADATA}
    path = folder / f"segs_detailer-{version}-cp310-abi3-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (names - set(without)) | set(beside):
            archive.writestr(name, content)
    return path


def test_a_wheel_as_it_should_be(script, tmp_path):
    assert script.wheel_faults(wheel(tmp_path), "1.2.3", FILES) == []


def test_what_is_wrong_with_a_wheel_is_named(script, tmp_path):
    beside = ["tests/test_x.py", "segs_detailer/scratch.txt", "segs_detailer/_native.cp314t-win_amd64.pyd"]
    made = wheel(tmp_path, version="1.2.4", without=["segs_detailer/_native.pyi"], beside=beside)
    assert script.wheel_faults(made, "1.2.3", FILES) == [
        "its version is not 1.2.3",
        "it has 2 builds of the kernels, and not one",
        "it has segs_detailer/scratch.txt",
        "it has tests/test_x.py",
        "it lacks segs_detailer/_native.pyi",
    ]


def test_a_large_wheel(script, tmp_path):
    made = wheel(tmp_path, beside=["segs_detailer/__init__.py"], content=bytes(700_000))
    (fault,) = script.wheel_faults(made, "1.2.3", FILES)
    assert "more than 6000000" in fault


def test_tag_and_changelog(script):
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n"
    assert script.tag_faults("v1.2.3", "1.2.3", changelog) == []
    assert script.tag_faults("v1.2.2", "1.2.3", changelog) == ["the tag is v1.2.2, and the version v1.2.3"]
    (fault,) = script.tag_faults("v1.2.3", "1.2.3", "## [Unreleased]\n")
    assert '"## [1.2.3] - YYYY-MM-DD"' in fault


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no git checkout")
def test_the_checkout_has_one_version_and_a_package(script, capsys):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11")

    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    assert script.version() == cargo["workspace"]["package"]["version"]
    assert "segs_detailer/__init__.py" in script.package_files()
    assert script.main([]) == 0
    assert "as they should be" in capsys.readouterr().out
