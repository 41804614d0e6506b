"""What the documentation says of the code is true."""

from __future__ import annotations

import importlib
import re
import runpy
from functools import reduce
from pathlib import Path

import pytest

import segs_detailer
from places import ROOT
from segs_detailer.models.flow import FLOW_SAMPLERS
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES

PACKAGE = Path(segs_detailer.__file__).parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_difference_names_a_test_that_exists():
    named = re.findall(r"`(test_\w+)` \|$", (ROOT / "docs" / "compat.md").read_text(encoding="utf-8"), re.MULTILINE)
    defined = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        defined |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    assert len(named) > 20
    assert set(named) <= defined, set(named) - defined


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    targets = re.findall(r"\]\(([^)#:]+)[)#]", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_compile_and_import_what_exists(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        compile(block, str(page), "exec")
        imports = re.findall(r"^from segs_detailer.* import .*$", block, re.MULTILINE)
        exec("\n".join(imports), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_import_from_the_package_or_one_level_below(page):
    text = page.read_text(encoding="utf-8")
    modules = {"segs_detailer"} | set(re.findall(r"^\s*(?:from|import) (segs_detailer[.\w]*)", text, re.MULTILINE))
    # What is added to the package names the modules that define, as the package itself does.
    deep = {module for module in modules if module.count(".") > 1 and page.name != "CONTRIBUTING.md"}
    assert not deep


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_that_are_named_exist(page):
    """Dotted names of the package, files of code, and folders of the checkout or of the package, with their slash."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong = [name for name in re.findall(r"\bsegs_detailer(?:\.\w+)+", text) if not is_name(name)]
    known = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for path in re.findall(r"`([\w.*-]+(?:/[\w.*-]*)*)`", text):
        folder, *rest = path.split("/")
        code = path.endswith((".py", ".pyi", ".rs", ".sh")) and "*" not in path
        if code or (rest and (folder in known or page.name == "architecture.md")):
            places = (ROOT, PACKAGE, ROOT / "tests" / "repository")
            if not any(list(place.glob(path)) for place in places):
                wrong.append(path)
    assert not wrong


def is_name(name):
    """Whether a dotted name is a module, or what one holds."""
    return reduce(member, name.split(".")[1:], segs_detailer) is not None


def member(value, name):
    try:
        return importlib.import_module(f"{value.__name__}.{name}")
    except (ModuleNotFoundError, AttributeError):
        return getattr(value, name, None)


def test_the_tables_of_settings_are_the_declarations():
    page = ROOT / "docs" / "settings.md"
    text = page.read_text(encoding="utf-8")
    script = runpy.run_path(str(ROOT / "scripts" / "settings_reference.py"))
    assert script["with_reference"](text) == text, "run scripts/settings_reference.py"


def test_every_sampler_and_schedule_has_its_row():
    text = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    tables = (("sampler_name", SAMPLERS), ("scheduler", SCHEDULES))
    for heading, known in tables:
        table = text.split(f"| `{heading}` |", 1)[1].split("\n\n", 1)[0]
        first_cells = [row.split("|")[1] for row in table.splitlines()[2:]]
        named = [name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)]
        assert sorted(named) == sorted(known)
    wan = re.search(r"\* Samplers: (.*?)\. Those", text, re.DOTALL)
    assert wan[1].replace("\n", " ").split() == ", ".join(FLOW_SAMPLERS).split()


def test_every_variable_of_our_own_has_its_row():
    table = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    files = (path for folder in ("python", "rust") for path in (ROOT / folder).rglob("*"))
    # Sockets of ComfyUI have types of such names.
    sources = [path for path in files if path.suffix in (".py", ".rs") and "comfyui" not in path.parts]
    texts = (path.read_text(encoding="utf-8") for path in sources)
    named = {name for text in texts for name in re.findall(r"\"(SEGS_DETAILER_[A-Z_]+)\"", text)}
    assert named
    assert {name for name in named if f"`{name}`" not in table} == set()
