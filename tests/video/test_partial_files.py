"""Which process a file that was begun belongs to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segs_detailer.video.partial import is_running


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the state of a process is read in /proc")
def test_a_process_that_ended_runs_no_more_though_nobody_has_asked_how():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert is_running(str(child.pid))
        child.kill()
        # It stays in the table until it is waited for.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(str(child.pid))
    finally:
        child.communicate()
