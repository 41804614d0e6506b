"""The folder of results."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from processes import ended, start
from segs_detailer.errors import MediaError
from segs_detailer.jobs import Cache
from segs_detailer.jobs.cache import default_folder, digest, digest_of_files


def put(cache, content, settings, size, age):
    path = cache.entry("crops", digest(content), digest(settings), ".pixels")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (1000 - age, 1000 - age))
    return path


def test_the_longest_unused_go_first_and_what_a_run_uses_stays(tmp_path):
    with Cache(tmp_path / "cache", limit=250) as cache:
        paths = [put(cache, f"c{age}", "s", 100, age) for age in (4, 3, 2, 1)]
    assert all(path.exists() for path in paths)
    with Cache(tmp_path / "cache", limit=250) as cache:
        assert cache.entry("crops", digest("c3"), digest("s"), ".pixels") == paths[1]
    assert [path.exists() for path in paths] == [False, True, False, True]
    assert not paths[0].parent.exists()
    with Cache(tmp_path / "cache", limit=150) as cache:
        cache.touch(paths[1])
    assert [path.exists() for path in paths] == [False, True, False, False]


def test_other_things_in_the_folder_are_never_removed(tmp_path):
    others = [
        tmp_path / "film" / "takes" / "a.mov",
        tmp_path / "crops-faces" / "b.png",
        tmp_path / "crops" / "c" / "d.npz",
    ]
    for other in others:
        other.parent.mkdir(parents=True)
        other.write_bytes(bytes(100))
        os.utime(other, (0, 0))
        os.utime(other.parent, (0, 0))
    with Cache(tmp_path, limit=10) as cache:
        entry = put(cache, "c", "s", 100, 5)
    with Cache(tmp_path, limit=10):
        pass
    assert not entry.exists()
    assert all(other.exists() for other in others)


def test_a_folder_that_another_run_removes_meanwhile_is_no_fault(tmp_path, monkeypatch):
    with Cache(tmp_path, limit=10) as cache:
        gone = put(cache, "c", "s", 100, 5)
    iterdir = type(tmp_path).iterdir

    def vanishing(folder):
        if folder == gone.parent:
            raise FileNotFoundError(str(folder))
        return iterdir(folder)

    monkeypatch.setattr(type(tmp_path), "iterdir", vanishing)
    with Cache(tmp_path, limit=10):
        pass
    assert gone.exists()


def test_the_last_result_of_some_content(tmp_path):
    with Cache(tmp_path) as cache:
        put(cache, "c", "old", 10, 9)
        newest = put(cache, "c", "new", 10, 1)
        put(cache, "d", "other", 10, 0)
        assert cache.latest("crops", digest("c"), ".pixels") == newest
        assert cache.latest("crops", digest("e"), ".pixels") is None


def test_crops_go_with_the_run_and_those_of_runs_that_go_on_stay(tmp_path):
    with Cache(tmp_path) as cache:
        left = cache.crops
        (left / "a.pixels").write_bytes(b"1")
        with Cache(tmp_path) as other:
            assert left.exists()
            assert other.crops != left
    assert not left.exists()


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Cache(None) as cache:
        assert cache.folder.parent == tmp_path
        assert not cache.keeps
        with Cache(None):
            assert cache.folder.exists()
    assert list(tmp_path.iterdir()) == []


LEAVING = """
import os, sys, tempfile
from pathlib import Path
from segs_detailer.jobs import Cache
from segs_detailer.video.partial import PartialFile
tempfile.tempdir = sys.argv[2]
kept, none = Cache(Path(sys.argv[1])), Cache(None)
for cache in (kept, none):
    (cache.crops / "0-0-9.pixels").write_bytes(bytes(1000))
entry = kept.entry("crops", 32 * "a", 32 * "b", ".pixels")
entry.parent.mkdir(parents=True)
PartialFile(entry).path.write_bytes(bytes(1000))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("keeps", [False, True])
def test_what_killed_runs_have_left_goes_at_the_next_beginning_and_not_before(tmp_path, monkeypatch, keeps):
    folder, temporary = tmp_path / "cache", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def left():
        return sorted(path.name for path in (*folder.rglob("*.pixels"), *temporary.rglob("*.pixels")))

    process = start([sys.executable, "-c", LEAVING, str(folder), str(temporary)], stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    before = left()
    assert len(before) == 3
    with Cache(folder if keeps else None):
        assert left() == before
    process.kill()
    ended(process)
    with Cache(folder if keeps else None):
        assert len(left()) == (0 if keeps else 2)
    assert not list(temporary.iterdir())


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match=r"cannot be used as a cache .*choose another `cache`"):
        Cache(tmp_path / "file" / "cache")


def test_the_limit_and_the_folder_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGS_DETAILER_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("SEGS_DETAILER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "segs-detailer"
    monkeypatch.setenv("SEGS_DETAILER_CACHE_GB", "many")
    with pytest.raises(MediaError, match="expected a number of gigabytes, got 'many'"):
        Cache(tmp_path)
    monkeypatch.setenv("SEGS_DETAILER_CACHE_GB", "0")
    with Cache(tmp_path) as cache:
        path = put(cache, "c", "s", 1, 1)
    with Cache(tmp_path):
        pass
    assert not path.exists()


def test_digests_tell_apart(tmp_path):
    array = np.arange(6)
    different = [array, array.reshape(2, 3), array.astype(np.int32), array + 1, b"", b"\0", "", None, 0, [], {"a": 1}]
    assert len({digest(value) for value in different}) == len(different)
    assert digest("a", "b") != digest("ab", "") != digest("", "ab")
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    for name, content in (("a", b"12"), ("b", b"3"), ("c", b"1"), ("d", b"23")):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert digest_of_files([a, b]) != digest_of_files([c, d])
    with pytest.raises(MediaError, match="cannot be read"):
        digest_of_files([tmp_path / "none"])
