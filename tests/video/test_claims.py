"""Whose a temporary file or folder is, and what is removed of those that nobody needs any more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

import pytest

from processes import ended, start, wait_until
from segs_detailer.video import claims
from segs_detailer.video.claims import LOCK, OWNER, Claim, owner, remove_abandoned
from segs_detailer.video.partial import PartialFile, PartialFolder, remove_left_over

PATTERN = re.compile(f"x-{OWNER}")
WEEK = 8 * 24 * 3600

HOLDING = """
import sys
from pathlib import Path
from segs_detailer.video.partial import PartialFile, PartialFolder
held = [PartialFile(Path(sys.argv[1], "a.mp4")), PartialFolder(Path(sys.argv[1], "frames"))]
held[0].path.write_bytes(b"half")
(held[1].path / "0.png").write_bytes(b"half")
print("ready", flush=True)
sys.stdin.read()
"""


def make(folder, *, is_folder, name=None):
    path = folder / (name or f"x-{owner()}")
    return path, Claim(path, is_folder=is_folder)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def sweep(folder):
    remove_abandoned(list(folder.iterdir()), PATTERN)


def make_old(path):
    for item in (path, *(path.iterdir() if path.is_dir() else ())):
        os.utime(item, (time.time() - WEEK,) * 2)


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_claimed_stays_and_what_is_not_goes(tmp_path, is_folder):
    path, claim = make(tmp_path, is_folder=is_folder)
    sweep(tmp_path)
    assert path.exists()
    claim.release()
    sweep(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_another_machine_made_goes_when_it_is_old(tmp_path, monkeypatch, is_folder):
    path, claim = make(tmp_path, is_folder=is_folder)
    monkeypatch.setattr(claims, "_machine", lambda: "0badcafe")
    claim.release()
    sweep(tmp_path)
    assert path.exists()
    make_old(path)
    sweep(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("is_ours", [False, True])
def test_what_is_claimed_stays_however_old_it_is(tmp_path, monkeypatch, is_folder, is_ours):
    path, claim = make(tmp_path, is_folder=is_folder)
    make_old(path)
    if not is_ours:
        monkeypatch.setattr(claims, "_machine", lambda: "0badcafe")
    sweep(tmp_path)
    assert path.exists()
    claim.release()


@pytest.mark.skipif(claims.fcntl is None, reason="no locks of this kind")
@pytest.mark.parametrize("is_folder", [False, True])
def test_without_locks_it_goes_when_it_is_old(tmp_path, monkeypatch, is_folder):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(claims.fcntl, "flock", unsupported)
    path, claim = make(tmp_path, is_folder=is_folder)
    claim.release()
    sweep(tmp_path)
    assert path.exists()
    make_old(path)
    sweep(tmp_path)
    assert not path.exists()


def test_what_has_another_name_is_not_ours(tmp_path):
    others = ["x-", "x-1234", "x-0badcafe-1", "x-0badcafe-1-abc", "y-0badcafe-1-0badcafe", "x-0badcafe-1-0badcafe.png"]
    for name in others:
        (tmp_path / name).touch()
        make_old(tmp_path / name)
    (tmp_path / "target").write_text("kept")
    (tmp_path / "x-0badcafe-1-0badcafe").symlink_to("target")
    sweep(tmp_path)
    assert names_in(tmp_path) == sorted([*others, "target", "x-0badcafe-1-0badcafe"])


def test_a_claim_that_is_swept_while_it_is_made_is_made_again(tmp_path):
    def sweep_until(done):
        while not done.is_set():
            sweep(tmp_path)

    done = threading.Event()
    sweeper = threading.Thread(target=sweep_until, args=(done,))
    sweeper.start()
    try:
        for index in range(60):
            path, claim = make(tmp_path, is_folder=bool(index % 2))
            (path / "a" if index % 2 else path).write_bytes(b"1")
            assert path.exists()
            claim.release()
    finally:
        done.set()
        sweeper.join()


@pytest.mark.parametrize("ends_by", ["kill", "terminate"])
def test_outputs_of_dead_processes_leave_nothing_for_long_and_those_of_live_ones_stay(tmp_path, ends_by):
    process = start([sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    left = names_in(tmp_path)
    assert len(left) == 2
    own = PartialFile(tmp_path / "b.mp4"), PartialFolder(tmp_path / "c")
    assert set(left) < set(names_in(tmp_path))
    getattr(process, ends_by)()
    # Nobody has to ask how it ended: its lock goes with it.
    wait_until(lambda: remove_left_over(tmp_path) or not set(left) & set(names_in(tmp_path)))
    ended(process)
    assert len(names_in(tmp_path)) == 2
    for partial in own:
        with partial as place:
            (place / "0.png" if place.is_dir() else place).write_bytes(b"whole")
    assert names_in(tmp_path) == ["b.mp4", "c"]
    assert names_in(tmp_path / "c") == [".segs-detailer.json", "0.png"]
    assert LOCK not in names_in(tmp_path / "c")


def test_places_that_are_not_there_are_no_fault(tmp_path):
    remove_left_over(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        Claim(tmp_path / "none" / owner())
