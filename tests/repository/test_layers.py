"""Imports go one way: kernels, ops, SEGS, files and models, subjects, detailer, jobs, then nodes and command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import segs_detailer
from places import ROOT

PACKAGE = Path(segs_detailer.__file__).parent

# From the lowest layer up. Modules of one layer may import each other only if they are the same package.
LAYERS = [
    {"errors", "_lazy", "_native"},
    {"checks"},
    {"settings"},
    {"_interop"},
    {"ops"},
    {"crop_path", "mask_levels"},
    {"segs"},
    {"models", "video"},
    {"subjects"},
    {"detailer"},
    {"nodes", "verify"},
    {"jobs"},
    {"comfyui"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(
    path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE
)


def part_of(module: str) -> str:
    return module.removeprefix("segs_detailer.").split(".")[0]


def imported_parts(path: Path) -> set[str]:
    """First-level names of this package that a module imports, wherever the import stands."""
    package = ["segs_detailer", *path.parent.parts]
    parts = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {part_of(name) for name in names if name.startswith("segs_detailer.")}
    return parts & set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_imports_from_a_layer_above(path):
    own = path.parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no layer"
    wrong = {part for part in imported_parts(path) if part != own and LEVEL[part] >= LEVEL[own]}
    assert not wrong, f"{path} imports {sorted(wrong)}"


def test_the_kernels_know_no_python():
    manifest = ROOT / "rust" / "segs-core" / "Cargo.toml"
    text = manifest.read_text(encoding="utf-8")
    assert "pyo3" not in text
    assert "numpy" not in text
