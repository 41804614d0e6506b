"""How the modules of the package may know each other."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import segs_detailer
from places import ROOT

PACKAGE = Path(segs_detailer.__file__).parent
NAME = "segs_detailer"

# From the lowest layer up. Modules of one layer may import each other only if they are the same package.
LAYERS = [
    {"errors", "_lazy", "_native", "_version"},
    {"checks"},
    {"hub"},
    {"settings"},
    {"_interop"},
    {"ops"},
    {"crop_path", "lazy_masks", "mask_levels"},
    {"segs"},
    {"models", "video"},
    {"subjects"},
    {"detailer"},
    {"nodes", "verify"},
    {"jobs"},
    {"comfyui"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# The one module of models/ that knows the families in it.
REGISTRY = "models.registry"


def module_of(path: Path) -> str:
    """Name of a module within the package: `ops.frames`; the package itself is the empty name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py*")) if path.suffix in (".py", ".pyi")}
FAMILIES = [module.removesuffix(".loader") for module in FILES if re.fullmatch(r"models\.\w+\.loader", module)]


@cache
def source(module: str) -> str:
    return FILES[module].read_text(encoding="utf-8")


@cache
def imports(module: str) -> tuple[str, ...]:
    """Full names within the package that a module imports, wherever the import stands: `ops.frames.crop_frames`.

    A text that is the name of a module counts as an import of it.
    """
    names = []
    for node in ast.walk(ast.parse(source(module))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.removeprefix(f"{NAME}.") in FILES and node.value.startswith(f"{NAME}."):
                names.append(node.value)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    inside = [name.split(".", 1) for name in names if name.split(".")[0] == NAME]
    return tuple(name[1] if len(name) == 2 else "" for name in inside)


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Modules of the package that a module imports."""
    found = set()
    for name in imports(module):
        while name not in FILES:
            name = name.rpartition(".")[0]
        found.add(name)
    return frozenset(found - {module})


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("module", sorted(set(FILES) - {""}))
def test_no_module_imports_from_a_layer_above(module):
    own = module.split(".")[0]
    assert own in LEVEL, f"{own} has no layer"
    parts = {name.split(".")[0] for name in imported_modules(module)}
    wrong = {part for part in parts if part != own and LEVEL.get(part, len(LAYERS)) >= LEVEL[own]}
    assert not wrong, f"{module} imports {sorted(wrong)}"


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules of which each imports the next, and the last is the first; an empty list where there are none."""
    done: set[str] = set()

    def search(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(edges[module]):
            if found := search(other, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := search(module, []))), [])


def test_no_circle_of_imports():
    """Imports within functions and those for types alone count too."""
    assert not circle({module: set(imported_modules(module)) for module in FILES})


def test_the_search_finds_circles():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_all_imports_are_absolute():
    relative = {
        module
        for module in FILES
        if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(ast.parse(source(module))))
    }
    assert not relative


def test_names_are_imported_from_the_module_that_defines_them():
    """Not from a package that exports them: that is for scripts."""
    packages = {module for module, path in FILES.items() if path.name == "__init__.py"}
    found = set()
    for module in FILES.keys() - packages:
        for name in imports(module):
            owner, _, last = name.rpartition(".")
            if name in FILES or owner not in packages:
                continue
            if not re.search(rf"^((def|class) {last}|{last}( =|:))", source(owner), re.MULTILINE):
                found.add(f"{module} imports {name}")
    assert not found


def test_private_names_stay_in_their_package():
    """What begins with an underscore is imported only from within the package, or the module, that holds it."""
    wrong = set()
    for module in FILES:
        for name in imports(module):
            parts = name.split(".")
            for index, part in enumerate(parts):
                owner = ".".join(parts[:index])
                private = part.startswith("_") and not part.startswith("__")
                if private and owner and not is_within(module, owner):
                    wrong.add(f"{module} imports {name}")
    assert not wrong


def test_families_of_models_are_known_to_their_registry_alone():
    """What a family's classes are nobody asks above it: who does not import them cannot."""
    assert FAMILIES
    wrong = {
        f"{module} imports {name}"
        for module in FILES
        for name in imported_modules(module)
        for family in FAMILIES
        if is_within(name, family) and not is_within(module, family) and module != REGISTRY
    }
    assert not wrong


def test_only_the_command_line_prints():
    """And none of the modules below it ends the process."""
    found = set()
    for module in FILES:
        calls = [node.func for node in ast.walk(ast.parse(source(module))) if isinstance(node, ast.Call)]
        names = {ast.unparse(call) for call in calls}
        if not is_within(module, "cli") and names & {"print", "exit", "sys.exit", "input"}:
            found.add(module)
    assert not found


def test_only_the_command_line_knows_its_options():
    below = {module for module in FILES if not is_within(module, "cli")}
    assert not {module for module in below if re.search(r"\bargparse\b|\bNamespace\b", source(module))}
    named = {module for module in below if re.search(r"(?<![-\w])--[a-z]", source(module))}
    assert not named


def test_the_kernels_know_no_python():
    manifest = ROOT / "rust" / "segs-core" / "Cargo.toml"
    text = manifest.read_text(encoding="utf-8")
    assert "pyo3" not in text
    assert "numpy" not in text
