"""The same frames give the same file, whatever was in the memory before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from places import ROOT

SAMPLE = ROOT / "examples" / "sample.mp4"
WRITE = (
    "import sys; from segs_detailer.video import read_clip, write_clip; write_clip(sys.argv[2], read_clip(sys.argv[1]))"
)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc fills memory on request")
def test_an_encoder_reads_no_memory_that_was_never_set(tmp_path):
    files = []
    for value in ("1", "200"):
        files.append(tmp_path / f"{value}.mp4")
        environment = os.environ | {"MALLOC_PERTURB_": value}
        subprocess.run([sys.executable, "-c", WRITE, str(SAMPLE), str(files[-1])], env=environment, check=True)
    assert files[0].read_bytes() == files[1].read_bytes()
