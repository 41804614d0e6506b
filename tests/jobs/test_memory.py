"""The limit of memory is kept, measured as the peak of the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from segs_detailer.video import ClipInfo, open_output

SIZE = (360, 640)
COUNT = 160
LIMIT = 1.3

MEASURED = """
import re, sys
from pathlib import Path
from segs_detailer.cli.main import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much memory a process had at most")
def test_a_clip_that_does_not_fit_stays_below_the_limit(tmp_path):
    info = ClipInfo(tmp_path, "images", SIZE, tuple(range(COUNT + 1)), Fraction(1, 24), Fraction(24))
    random = np.random.default_rng(0)
    texture = np.repeat(np.repeat(random.random((45, 100, 3), np.float32), 8, axis=0), 8, axis=1)
    with open_output(tmp_path / "clip.mkv", info, keep_audio=False) as sink:
        for number in range(COUNT):
            left = number % 100
            sink.write(np.ascontiguousarray(texture[:, left : left + SIZE[1]]), number, number + 1)
    options = ["--bbox", "200,100,400,300", "--crop-factor", "1.5", "--max-ram", str(LIMIT)]
    options += ["--guide-size", "300", "--max-size", "450", "--steps", "2"]
    command = [
        sys.executable,
        "-c",
        MEASURED,
        "run",
        str(tmp_path / "clip.mkv"),
        "-o",
        str(tmp_path / "out.mp4"),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1]) * 1024
    # All frames as float32 would be 0.44 GB, and the crops while they are worked on 1.6 GB more.
    assert peak < LIMIT * 10**9
