"""The folder that makes the nodes known to a ComfyUI."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segs_detailer.cli.main import main
from segs_detailer.comfyui.install import folder_files, install, status, uninstall
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.errors import InvalidArgumentError

try:
    import tomllib
except ModuleNotFoundError:
    tomllib = None


@pytest.fixture
def comfyui(tmp_path):
    """A folder that looks like ComfyUI's."""
    root = tmp_path / "ComfyUI"
    (root / "custom_nodes").mkdir(parents=True)
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        (root / name).write_text("", encoding="utf-8")
    return root


def nodes_folder(root):
    return root / "custom_nodes" / "segs-detailer"


def test_install_status_uninstall(comfyui):
    assert status(comfyui).version is None
    assert uninstall(comfyui) is None
    assert install(comfyui) == nodes_folder(comfyui)
    assert sorted(file.name for file in nodes_folder(comfyui).iterdir()) == [
        "__init__.py",
        "pyproject.toml",
        "requirements.txt",
        "web",
    ]
    assert status(comfyui).version is not None
    assert not status(comfyui).foreign
    assert uninstall(comfyui) == nodes_folder(comfyui)
    assert list((comfyui / "custom_nodes").iterdir()) == []


def test_install_again_brings_the_folder_up_to_date(comfyui):
    install(comfyui)
    before = (nodes_folder(comfyui) / "pyproject.toml").read_text(encoding="utf-8")
    (nodes_folder(comfyui) / "pyproject.toml").write_text(before.replace('version = "', 'version = "9.'), "utf-8")
    assert status(comfyui).version.startswith("9.")
    install(comfyui)
    assert (nodes_folder(comfyui) / "pyproject.toml").read_text(encoding="utf-8") == before


def test_the_portable_builds_folder_is_found(comfyui):
    assert install(comfyui.parent) == nodes_folder(comfyui)


@pytest.mark.parametrize("run", [install, uninstall, status])
def test_a_folder_that_is_not_comfyui_is_refused(run, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"PATH: expected the folder of ComfyUI.*main\.py"):
        run(tmp_path)
    with pytest.raises(InvalidArgumentError, match="which is not a folder"):
        run(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", [install, uninstall])
def test_what_something_else_made_is_left_alone(run, comfyui):
    nodes_folder(comfyui).mkdir()
    (nodes_folder(comfyui) / "__init__.py").write_text("# a checkout", encoding="utf-8")
    assert status(comfyui).foreign
    with pytest.raises(InvalidArgumentError, match="custom_nodes"):
        run(comfyui)
    assert (nodes_folder(comfyui) / "__init__.py").read_text(encoding="utf-8") == "# a checkout"


def test_a_link_is_not_written_through(comfyui, tmp_path):
    install(comfyui)
    nodes_folder(comfyui).rename(tmp_path / "elsewhere")
    try:
        nodes_folder(comfyui).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("no links on this file system")
    with pytest.raises(InvalidArgumentError, match="custom_nodes"):
        uninstall(comfyui)
    assert (tmp_path / "elsewhere" / "__init__.py").is_file()


def test_uninstall_keeps_what_a_user_added(comfyui):
    install(comfyui)
    (nodes_folder(comfyui) / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=r"notes\.txt"):
        uninstall(comfyui)
    assert (nodes_folder(comfyui) / "__init__.py").is_file()


def test_each_node_has_a_help_page(comfyui):
    pages = install(comfyui) / "web" / "docs"
    assert {page.stem for page in pages.iterdir()} == {node.id for node in NODES}
    page = (pages / "SegsDetailerPaste.md").read_text(encoding="utf-8")
    assert page.startswith("# SEGS Paste\n")
    assert "| `feather` | INT | 5 (0 to 100) |" in page


def test_uninstall_takes_pages_of_other_versions_with_it(comfyui):
    (install(comfyui) / "web" / "docs" / "SegsDetailerOfOld.md").write_text("", encoding="utf-8")
    uninstall(comfyui)
    assert not nodes_folder(comfyui).exists()


def test_uninstall_takes_what_python_compiled_with_it(comfyui):
    install(comfyui)
    (nodes_folder(comfyui) / "__pycache__").mkdir()
    (nodes_folder(comfyui) / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    uninstall(comfyui)
    assert not nodes_folder(comfyui).exists()


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_what_the_registry_reads():
    metadata = tomllib.loads(folder_files()["pyproject.toml"])
    assert metadata["project"]["name"] == "segs-detailer"
    assert [part.isdigit() for part in metadata["project"]["version"].split(".")] == [True] * 3
    assert metadata["project"]["dependencies"] == folder_files()["requirements.txt"].split()
    assert set(metadata["tool"]["comfy"]) == {"PublisherId", "DisplayName", "Icon"}


def loaded(folder, prelude=""):
    """Names that the folder gives a ComfyUI; it is loaded by its path, under a name with a dash in it."""
    code = (
        f"{prelude}\nimport importlib.util as u, sys\n"
        f"spec = u.spec_from_file_location('segs-detailer', {str(folder / '__init__.py')!r})\n"
        "module = u.module_from_spec(spec); spec.loader.exec_module(module)\nprint(*module.__all__)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_comfyui_without_schemas_gets_classic_classes(comfyui):
    done = loaded(install(comfyui))
    assert done.stdout.split() == ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"], done.stderr


def test_a_python_without_the_package_says_what_to_do(comfyui):
    done = loaded(install(comfyui), prelude="import sys; sys.modules['segs_detailer'] = None")
    assert done.returncode != 0
    assert f"{sys.executable} -m pip install segs-detailer" in done.stderr


# The command


def test_command(comfyui, capsys):
    assert main(["comfyui", "status", str(comfyui)]) == 0
    assert capsys.readouterr().out == "not installed\n"
    assert main(["comfyui", "install", str(comfyui)]) == 0
    out = capsys.readouterr().out
    assert str(nodes_folder(comfyui)) in out
    assert sys.executable in out
    assert main(["comfyui", "status", str(comfyui)]) == 0
    assert "installed in" in capsys.readouterr().out
    assert main(["comfyui", "uninstall", str(comfyui)]) == 0
    assert "removed" in capsys.readouterr().out
    assert main(["comfyui", "uninstall", str(comfyui)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_command_in_a_wrong_folder_says_so_in_one_line(tmp_path, capsys):
    assert main(["comfyui", "install", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("segs-detailer: error: PATH: expected the folder of ComfyUI")
    assert error.count("\n") == 1


def test_command_without_an_action_is_an_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["comfyui"])
    assert stop.value.code == 2
    assert "ACTION" in capsys.readouterr().err
