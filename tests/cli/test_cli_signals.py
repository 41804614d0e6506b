"""What the command line does about signals that ask it to end: whatever they are, and however many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from places import ROOT
from processes import ended, environment, start, wait_until
from segs_detailer.cli.main import main

SAMPLE = ROOT / "examples" / "sample.mp4"
STOPPED = "segs-detailer: stopped; nothing was written\n"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# A run that has begun to write, and whose clean-up waits for a word on its standard input.
SLOW_CLEANUP = """
import sys
from segs_detailer.jobs import Cache
leave = Cache.__exit__
def slow(self, *error):
    print("leaving", flush=True)
    sys.stdin.readline()
    leave(self, *error)
Cache.__exit__ = slow
from segs_detailer.cli.__main__ import entry
entry()
"""


def arguments(folder):
    """A run that takes long, and keeps its temporary files in a folder."""
    (folder / "tmp").mkdir()
    (folder / "out").mkdir()
    box = ["--bbox", "60,30,260,230", "--guide-size", "512", "--steps", "50"]
    return ["run", str(SAMPLE), "-o", str(folder / "out" / "out.mp4"), "--no-cache", *box]


def begin(folder, *program, ignoring=()):
    """Start a run, and wait until there is something of it to remove."""
    command = [sys.executable, *(program or ("-m", "segs_detailer.cli")), *arguments(folder)]
    process = start(command, ignoring=ignoring, stdin=subprocess.PIPE, env=environment(TMPDIR=str(folder / "tmp")))
    wait_until(lambda: any((folder / "tmp").rglob("*.pixels")), process)
    assert names_in(folder / "out")
    return process


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_nothing_is_left(folder):
    assert names_in(folder / "out") == names_in(folder / "tmp") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_one_line_and_leaves_nothing(tmp_path, number):
    process = begin(tmp_path)
    process.send_signal(number)
    assert ended(process) == (128 + number, "", STOPPED)
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)])
def test_a_second_signal_changes_nothing(tmp_path, first, second):
    process = begin(tmp_path, "-c", SLOW_CLEANUP)
    process.send_signal(first)
    assert process.stdout.readline() == "leaving\n"
    process.send_signal(second)
    assert "is removing what is half-written" in process.stderr.readline()
    process.stdin.write("go\n")
    assert ended(process) == (128 + first, "", STOPPED)
    assert_nothing_is_left(tmp_path)


def test_a_third_signal_ends_it_where_it_stands_and_the_next_run_removes_what_it_left(tmp_path, monkeypatch):
    process = begin(tmp_path, "-c", SLOW_CLEANUP)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "leaving\n"
    process.send_signal(signal.SIGINT)
    assert "once more ends it at once" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (128 + signal.SIGTERM, "", "")
    assert names_in(tmp_path / "tmp")
    assert names_in(tmp_path / "out")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    # Another output, and only a preview: whatever is done next in these folders.
    command = ["preview", str(SAMPLE), "-o", str(tmp_path / "out" / "sheet.png"), "--bbox", "60,30,260,230", "-q"]
    assert main(command) == 0
    assert names_in(tmp_path / "tmp") == []
    assert names_in(tmp_path / "out") == ["sheet.png"]


def test_what_is_ignored_from_the_beginning_stays_so_but_for_a_polite_kill(tmp_path):
    process = begin(tmp_path, ignoring=(signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
    assert ended(process) == (128 + signal.SIGTERM, "", STOPPED)
    assert_nothing_is_left(tmp_path)


def test_handlers_of_a_program_that_calls_the_command_line_are_its_own_again():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    assert main(["preview", "none.mp4"]) == 2
    assert {number: signal.getsignal(number) for number in before} == before


# A signal comes while the command line is imported, or when all is over and only the interpreter has to end.
EARLY = """
import os, signal, sys
from segs_detailer.cli.__main__ import entry
class Finder:
    def find_spec(self, name, *more):
        if name == "segs_detailer.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
entry()
"""
LATE = """
import atexit, os, signal
atexit.register(lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(3)])
from segs_detailer.cli.__main__ import entry
entry()
"""


@pytest.mark.parametrize(("program", "code", "said"), [(EARLY, 130, ""), (LATE, 2, "none.mp4: no such file")])
def test_a_signal_at_the_very_beginning_or_end_leaves_no_traceback(tmp_path, program, code, said):
    command = [sys.executable, "-c", program, "run", "none.mp4", "-o", str(tmp_path / "out.mp4")]
    found, _, error = ended(start(command))
    assert found == code
    assert said in error
    assert "Traceback" not in error
