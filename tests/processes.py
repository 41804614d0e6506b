"""Processes that tests start, and wait for without asking how quick the machine is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from textwrap import dedent

PATIENCE = 900
"""Seconds after which something is taken to hang: far beyond what it takes on a busy machine."""

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

_BEGIN = """
import os, signal, sys
names, command = sys.argv[1].split(","), sys.argv[2:]
for name in {ending}:
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN if name in names else signal.SIG_DFL)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv(command[0], command)
"""


def environment(*folders, **variables):
    """Return the variables of a process that finds the modules that this one finds, and those in some folders."""
    paths = [*map(str, folders), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}


def undisturbed(command, ignoring=()):
    """Return a command line whose process begins with the signals as a terminal gives them.

    A shell leaves the signals of a job in the background ignored, and so would everything that is started from it.

    Parameters
    ----------
    command : list of str
        What is run in the end.
    ignoring : iterable of int
        Signals that are ignored from the beginning, as `nohup` would have it.
    """
    if os.name != "posix":
        return command
    names = ",".join(signal.Signals(number).name for number in ignoring)
    return [sys.executable, "-c", _BEGIN.format(ending=_ENDING), names, *command]


def start(command, *, ignoring=(), **options):
    """Start a process; what it writes is kept for `ended`."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    return subprocess.Popen(undisturbed(command, ignoring), text=True, **options)


def ended(process):
    """Wait for a process, and return its exit code, what it wrote, and what it wrote about errors."""
    try:
        out, error = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, out, error


def wait_until(condition, process=None):
    """Wait until something is true, and return it: while a process is there to make it so."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
    return found


def printed_by(script, **environment):
    """Run a script in an interpreter of its own, and return the words that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
