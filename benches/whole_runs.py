"""Whole runs from file to file beside a plain transcode by PyAV with the same encoder settings, each a process.

`python benches/whole_runs.py --json FILE` measures all; without `--json` it prints the numbers. The time of the
processor is that of the whole process, without the thread that samples, by a sampler that darkens its crops, so that
all are pasted. Kernels work on one thread, that of their caller: what sampling calls is left out with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["RUNS", "WholeRun", "measure_all"]

SUBJECT = 300
FRAME_RATE = 25


@dataclass(frozen=True)
class WholeRun:
    """A run beside a transcode.

    Parameters
    ----------
    name : str
        What it is called.
    size : (int, int)
        Width and height of the clip.
    codec, pix_fmt : str
        Its encoder and pixel format.
    subjects : int
        Subjects of 300 pixels.
    share : float
        Share of the frames in which they are.
    copies : bool
        With `copy_untouched`.
    max_ram : int
        Bytes; frames of 2160p take more than a run takes by itself.
    length : int
        Times as many frames as the others have.
    goal : float
        Times the processor time of the transcode, at most.
    """

    name: str
    goal: float
    size: tuple[int, int] = (1920, 1080)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    subjects: int = 1
    share: float = 1.0
    copies: bool = False
    max_ram: int = 4 * 10**9
    length: int = 1


RUNS = (
    WholeRun("1080p H.264, one subject of 300 px in all frames", 1.25),
    WholeRun("the same, four times as long", 1.25, length=4),
    WholeRun("1080p H.264, five subjects", 1.5, subjects=5),
    WholeRun("1080p H.264, one subject in a tenth of the frames", 1.1, share=0.1),
    WholeRun("the same with `--copy-untouched`", 0.3, share=0.1, copies=True),
    WholeRun(
        "2160p 10-bit HEVC, one subject",
        1.25,
        size=(3840, 2160),
        codec="libx265",
        pix_fmt="yuv420p10le",
        max_ram=8 * 10**9,
    ),
)

_OPTIONS = {
    "libx264": {"preset": "fast", "crf": "16"},
    "libx265": {"preset": "medium", "crf": "18", "x265-params": "log-level=error"},
}
_GROUP = 12

TRANSCODE = """
import sys, json, av
from fractions import Fraction
clip, output, encoder, threads, options = sys.argv[1:]
with av.open(clip) as source, av.open(output, "w") as target:
    read = source.streams.video[0]
    read.thread_type = "AUTO"
    write = target.add_stream(encoder, rate=read.average_rate)
    write.width, write.height, write.pix_fmt = read.width, read.height, read.pix_fmt
    write.codec_context.thread_count = int(threads)
    write.codec_context.options = json.loads(options)
    for frame in source.decode(read):
        frame.pict_type = 0
        target.mux(write.encode(frame))
    target.mux(write.encode(None))
print(json.dumps({}))
"""

OURS = """
import sys, json, time
from segs_detailer import set_num_threads
from segs_detailer.jobs.clips import detail_clip
from segs_detailer.jobs.sampling import Detailing
from segs_detailer.models.info import Geometry, ModelInfo
from segs_detailer.models.interface import Sampler

class Darker(Sampler):
    info = ModelInfo(family="darker", geometry=Geometry(reach=0))
    def encode(self, frames): return frames
    def sample(self, latents, job): return latents * 0.9
    def decode(self, latents, full_precision=False): return latents

spent = importing = 0.0
sample = Detailing.sample
def timed(self, *args, **kwargs):
    global spent, importing
    before = time.thread_time()
    import segs_detailer.detailer.api
    importing += time.thread_time() - before
    before = time.thread_time()
    try:
        return sample(self, *args, **kwargs)
    finally:
        spent += time.thread_time() - before
Detailing.sample = timed
# On one thread of their own, kernels that sampling calls count as sampling.
set_num_threads(1)
clip, output, boxes, copies = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "copies"
values = {"segs": boxes, "copy_untouched": copies, "steps": 1, "guide_size": 300, "max_size": 1024}
values["max_ram"] = int(sys.argv[5])
report = detail_clip(clip, output, Darker(), **values)
print(json.dumps({"sampling": spent, "importing": importing, "passes": report.seconds, "copied": report.copied_frames}))
"""

FIRST_FRAME = """
import os, sys, time
from segs_detailer.video.container_reader import ContainerSource
pictures = ContainerSource.pictures
def told(source, *args, **kwargs):
    for picture in pictures(source, *args, **kwargs):
        os._exit(0)
ContainerSource.pictures = told
from segs_detailer.cli.main import main
main(["run", sys.argv[1], "-o", sys.argv[2], "--bbox", "10,10,90,90", "--no-cache", "--quiet"])
"""


def make_clip(path: Path, run: WholeRun, frames: int) -> None:
    """Write a clip whose picture moves under noise, as cameras record it."""
    import av

    width, height = run.size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (height // 16 + 32, width // 16 + 32, 3), np.uint8)
    picture = coarse.repeat(16, 0).repeat(16, 1)
    noise = rng.integers(0, 12, (height, width, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(run.codec, rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, run.pix_fmt
        groups = {
            "libx264": {"x264-params": f"keyint={_GROUP}:scenecut=0"},
            "libx265": {"x265-params": f"keyint={_GROUP}:log-level=error"},
        }
        stream.codec_context.options = {"preset": "ultrafast", "crf": "20", **groups[run.codec]}
        for index in range(frames):
            x, y = 2 * index % 256, index % 256
            moved = picture[y : y + height, x : x + width] // 2 + np.roll(noise, 7 * index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), "rgb24")))
        container.mux(stream.encode(None))


def write_boxes(path: Path, run: WholeRun, frames: int) -> None:
    """Write the boxes of the subjects, which stand beside each other."""
    rows = ["frame,track,x1,y1,x2,y2"]
    first = frames // 2
    for frame in range(frames) if run.share == 1 else range(first, first + max(1, round(run.share * frames))):
        for subject in range(run.subjects):
            left = 20 + subject * (SUBJECT + 60)
            rows.append(f"{frame},{subject + 1},{left},300,{left + SUBJECT},{300 + SUBJECT}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def measure(code: str, *words: str) -> dict[str, Any]:
    """Run code in a fresh process: its time of the processor, on the clock, and its peak of memory."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen([sys.executable, "-c", code, *words], stdout=told)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        if child.returncode:
            sys.exit(f"a run failed with {child.returncode}")
        told.seek(0)
        said = told.read().strip()
    result: dict[str, Any] = json.loads(said.splitlines()[-1]) if said else {}
    result |= {"processor": usage.ru_utime + usage.ru_stime, "clock": wall, "peak": usage.ru_maxrss * 1024}
    return result


def machine(*, quick: bool) -> dict[str, Any]:
    """Say what it was measured on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count(), "quick": quick}


def measure_all(*, quick: bool) -> dict[str, Any]:
    """Measure all runs, each right after its transcode."""
    from segs_detailer.jobs.memory import encoder_threads

    frames = 24 if quick else 120
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for run in RUNS:
            count = run.length * (frames if run.size[0] < 3000 else max(frames // 4, 12))
            clip, output, boxes = folder / "clip.mp4", str(folder / "out.mp4"), folder / "boxes.csv"
            make_clip(clip, run, count)
            write_boxes(boxes, run, count)
            threads = min(os.cpu_count() or 1, encoder_threads(run.size[0] * run.size[1]))
            options = json.dumps(_OPTIONS[run.codec])
            transcode = measure(TRANSCODE, str(clip), output, run.codec, str(threads), options)
            way = "copies" if run.copies else "encodes"
            ours = measure(OURS, str(clip), output, str(boxes), way, str(run.max_ram))
            rows.append({**asdict(run), "frames": count, "transcode": transcode, "ours": ours})
        start = measure_start(folder)
    return {"machine": machine(quick=quick), "runs": rows, "start": start}


def measure_start(folder: Path) -> dict[str, float]:
    """Measure the way to the first frame of a small clip, beside what it cannot do without."""
    clip = folder / "small.mp4"
    make_clip(clip, WholeRun("", 0, size=(320, 240)), 24)
    # A first one compiles the modules.
    rounds = [(measure("import av, numpy"), measure(FIRST_FRAME, str(clip), f"{folder}/out.mp4")) for _ in range(4)]
    imports, first_frame = (min(each[place]["processor"] for each in rounds[1:]) for place in (0, 1))
    return {"imports": imports, "first_frame": first_frame}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--quick", action="store_true", help="fewer frames")
    arguments = parser.parse_args()
    results = measure_all(quick=arguments.quick)
    if arguments.json:
        arguments.json.write_text(json.dumps(results), encoding="utf-8")
        return
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
