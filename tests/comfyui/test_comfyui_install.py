"""The folder that makes the nodes known to a ComfyUI."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from email.message import Message

import pytest
from PIL import Image

from places import ROOT
from segs_detailer.cli.main import main
from segs_detailer.comfyui.folder import LIST, folder_files
from segs_detailer.comfyui.install import install, status, uninstall
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
        ".comfyignore",
        "LICENSE",
        "__init__.py",
        "example_workflows",
        "locales",
        "pyproject.toml",
        "requirements.txt",
        "subgraphs",
        "web",
        "written.txt",
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


def test_the_script_of_the_tiles_is_for_the_nodes_that_there_are(comfyui):
    script = (install(comfyui) / "web" / "pick_subjects.js").read_text(encoding="utf-8")
    [node] = re.findall(r'const NODE = "(\w+)"', script)
    [widget] = re.findall(r'const PICKS = "(\w+)"', script)
    assert widget in [item.name for item in next(each for each in NODES if each.id == node).inputs]


def test_each_example_has_a_picture_under_its_name(comfyui):
    examples = [file.name for file in sorted((install(comfyui) / "example_workflows").iterdir())]
    names = sorted({name.partition(".")[0] for name in examples})
    assert len(names) >= 4
    # ComfyUI's templates show a JPEG.
    assert examples == [f"{name}.{kind}" for name in names for kind in ("jpg", "json")]
    for name in names:
        with Image.open(nodes_folder(comfyui) / "example_workflows" / f"{name}.jpg") as picture:
            assert picture.format == "JPEG"
        json.loads((nodes_folder(comfyui) / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_each_blueprint_is_a_workflow_of_one_subgraph(comfyui):
    blueprints = sorted((install(comfyui) / "subgraphs").iterdir())
    assert len(blueprints) >= 4
    for path in blueprints:
        workflow = json.loads(path.read_text(encoding="utf-8"))
        [instance], [definition] = workflow["nodes"], workflow["definitions"]["subgraphs"]
        assert instance["type"] == definition["id"]
        assert path.stem == definition["name"]


def written_by_another_version(folder, *names):
    """What a version before wrote, with its list."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("", encoding="utf-8")
    with (folder / LIST).open("a", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in names)


def test_install_takes_away_what_only_a_version_before_wrote(comfyui):
    folder = install(comfyui)
    written_by_another_version(folder, "example_workflows/of_old.json", "more/of_old.txt")
    install(comfyui)
    assert not (folder / "example_workflows" / "of_old.json").exists()
    assert not (folder / "more" / "of_old.txt").exists()


def test_uninstall_takes_files_of_other_versions_with_it(comfyui):
    folder = install(comfyui)
    written_by_another_version(folder, "example_workflows/of_old.json", "more/of/old.txt")
    (folder / "web" / "docs" / "SegsDetailerOfOld.md").write_text("", encoding="utf-8")
    (folder / "__init__.py.partial").write_text("", encoding="utf-8")
    uninstall(comfyui)
    assert not folder.exists()


def test_uninstall_keeps_what_the_list_names_elsewhere(comfyui, tmp_path):
    folder = install(comfyui)
    kept = tmp_path / "kept.txt"
    kept.write_text("mine", encoding="utf-8")
    with (folder / LIST).open("a", encoding="utf-8") as file:
        file.write(f"../../../kept.txt\n{kept}\n")
    uninstall(comfyui)
    assert kept.is_file()
    assert not folder.exists()


def test_uninstall_takes_what_python_compiled_with_it(comfyui):
    install(comfyui)
    (nodes_folder(comfyui) / "__pycache__").mkdir()
    (nodes_folder(comfyui) / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"")
    uninstall(comfyui)
    assert not nodes_folder(comfyui).exists()


# https://docs.comfy.org/registry/specifications
NAME = re.compile(r"[A-Za-z](?:[-_.]?[A-Za-z0-9])*")


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_what_the_registry_reads():
    files = folder_files(repository="https://example.org/segs-detailer/", publisher="somebody")
    metadata = tomllib.loads(files["pyproject.toml"].decode())
    project, comfy = metadata["project"], metadata["tool"]["comfy"]
    assert NAME.fullmatch(project["name"])
    assert len(project["name"]) < 100
    assert "comfyui" not in project["name"].lower()
    assert [part.isdigit() for part in project["version"].split(".")] == [True] * 3
    assert project["description"]
    assert project["license"] == {"file": "LICENSE"}
    assert b"Apache License" in files["LICENSE"]
    assert project["urls"] == {"Repository": "https://example.org/segs-detailer"}
    assert project["classifiers"][0] == "Operating System :: OS Independent"
    assert {"NVIDIA CUDA", "AMD ROCm", "Apple Metal"} < {name.split(" :: ")[-1] for name in project["classifiers"]}
    assert files[".comfyignore"].decode().splitlines() == ["__pycache__/", "*.pyc"]
    assert project["dependencies"] == files["requirements.txt"].decode().split()
    assert project["dependencies"][0].startswith("segs-detailer[video]")
    assert comfy == {
        "PublisherId": "somebody",
        "DisplayName": "SEGS Detailer",
        "Icon": "https://example.org/segs-detailer/raw/HEAD/docs/images/icon.svg",
        "Banner": "https://example.org/segs-detailer/raw/HEAD/docs/images/banner.svg",
        "requires-comfyui": ">=0.3.64",
    }
    for picture in ("icon.svg", "banner.svg"):
        assert (ROOT / "docs" / "images" / picture).is_file()


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
@pytest.mark.parametrize("address", ["https://example.org/of/its/own", None])
def test_the_address_of_the_source_code_is_the_packages(monkeypatch, address):
    known = Message()
    for name, url in [("Documentation", "https://example.org/docs"), ("Repository", address)]:
        if url is not None:
            known["Project-URL"] = f"{name}, {url}"
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: known)
    metadata = tomllib.loads(folder_files()["pyproject.toml"].decode())
    assert metadata["project"].get("urls", {}).get("Repository") == address
    assert metadata["tool"]["comfy"]["Icon"].startswith(address or "")
    assert bool(metadata["tool"]["comfy"]["Icon"]) == (address is not None)


def test_the_registrys_folder_is_the_installed_one(comfyui, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "registry_folder.py"), str(tmp_path / "out" / "pack")]
    options = ["--publisher", "somebody", "--repository", "https://example.org/it"]
    subprocess.run([*command, *options], check=True)

    def files_of(folder):
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    published, installed = files_of(tmp_path / "out" / "pack"), files_of(install(comfyui))
    assert b"https://example.org/it" in published.pop("pyproject.toml")
    installed.pop("pyproject.toml")
    assert published == installed


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
    assert f"{sys.executable} -m pip install 'segs-detailer[video]'" in done.stderr


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
