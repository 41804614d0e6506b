"""`scripts/comfyui_checkout.sh`, with small repositories in the places of the large ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "comfyui_checkout.sh"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not (shutil.which("git") and shutil.which("bash")), reason="needs git and bash"
)


def git(folder, *command):
    given = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *command]
    return subprocess.run(given, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def remotes(tmp_path):
    """Two repositories with a tag behind their branch, and a `python` that notes what it is called with."""
    made = {}
    for name, branch in (("ComfyUI", "master"), ("Impact", "Main")):
        folder = tmp_path / "remotes" / name
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch", branch)
        for text in ("old", "new"):
            (folder / "requirements.txt").write_text(text, encoding="utf-8")
            git(folder, "add", ".")
            git(folder, "commit", "--quiet", "-m", text)
            if text == "old":
                git(folder, "tag", "v1")
                made[f"{name} old"] = git(folder, "rev-parse", "HEAD")
        made[name] = folder
    programs = tmp_path / "programs"
    programs.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n', encoding="utf-8")
    python.chmod(0o755)
    made["programs"] = programs
    return made


def run(remotes, *arguments):
    variables = {
        **os.environ,
        "PATH": f"{remotes['programs']}{os.pathsep}{os.environ['PATH']}",
        "COMFYUI_URL": str(remotes["ComfyUI"]),
        "IMPACT_PACK_URL": str(remotes["Impact"]),
    }
    return subprocess.run(["bash", str(SCRIPT), *map(str, arguments)], env=variables, capture_output=True, text=True)


def content(done, variable):
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{variable}=")]
    return (Path(line.split("=", 1)[1]) / "requirements.txt").read_text(encoding="utf-8")


def test_both_at_their_branches(remotes, tmp_path):
    done = run(remotes, tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert content(done, "COMFYUI_PATH") == content(done, "IMPACT_PACK_PATH") == "new"
    called = (tmp_path / "called").read_text(encoding="utf-8").splitlines()
    assert [line.split("/")[-2:] for line in called] == [
        ["ComfyUI", "requirements.txt"],
        ["ComfyUI-Impact-Pack", "requirements.txt"],
    ]


def test_a_tag_then_a_commit_then_a_branch_in_one_folder(remotes, tmp_path):
    here = tmp_path / "here"
    done = run(remotes, here, "v1", "none")
    assert content(done, "COMFYUI_PATH") == "old"
    assert "IMPACT_PACK_PATH" not in done.stdout
    assert content(run(remotes, here, "master", "v1"), "COMFYUI_PATH") == "new"
    done = run(remotes, here, remotes["ComfyUI old"], remotes["Impact old"])
    assert content(done, "COMFYUI_PATH") == content(done, "IMPACT_PACK_PATH") == "old"


def test_a_ref_that_is_not_there(remotes, tmp_path):
    done = run(remotes, tmp_path / "here", "no-such-branch")
    assert done.returncode != 0
    assert "COMFYUI_PATH" not in done.stdout


def test_without_a_folder_it_says_how_it_is_called(remotes):
    done = run(remotes)
    assert done.returncode == 2
    assert "comfyui_checkout.sh FOLDER" in done.stderr
