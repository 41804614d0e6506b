"""A long clip goes through `segs-detailer run` under a memory limit, is killed twice, and must come out the same.

    python scripts/long_clip.py /tmp/long --frames 2000 --max-ram 4

makes a clip of 1920x1080 with the face of the sample clip moving through it, two at a time now and then, with cuts and
sound; details it undisturbed; details it anew with a process that is killed when a third and two thirds of the pieces
are sampled; and compares the two outputs byte for byte. The last lines are a table for `docs/long-clips.md`. All other
options go to `run`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.video import ClipInfo, EncoderSettings, iter_frames, open_clip, open_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SAMPLE = Path(__file__).parents[1] / "examples" / "sample.mp4"
HEIGHT, WIDTH = 1080, 1920
SHOT = 400
KILLS = (1 / 3, 2 / 3)
POLL_SECONDS = 0.2


def ground(random: np.random.Generator) -> NDArray[np.float32]:
    """Texture of several sizes, wider than the frame, so that the camera can pan over it."""
    picture = np.zeros((HEIGHT, 2 * WIDTH, 3), np.float32)
    for size in (8, 32, 120):
        noise = random.random((-(-HEIGHT // size), -(-2 * WIDTH // size), 3), np.float32)
        picture += noise.repeat(size, axis=0).repeat(size, axis=1)[:HEIGHT, : 2 * WIDTH] / 3
    return 0.15 + 0.5 * picture


def frames(count: int) -> Iterator[NDArray[np.float32]]:
    """Frames of the long clip: the sample, played to and fro, moves over the ground; each shot has another one."""
    sample = list(iter_frames(open_clip(SAMPLE)))
    height, width = sample[0].shape[:2]
    random = np.random.default_rng(0)
    for number in range(count):
        shot, time_in_shot = divmod(number, SHOT)
        if time_in_shot == 0:
            texture = ground(random)
            phase = random.random()
        pan = int((WIDTH - 1) * time_in_shot / SHOT)
        frame = texture[:, pan : pan + WIDTH].copy()
        for subject in range(1 + shot % 2):
            place = time_in_shot / SHOT + phase + subject / 2
            x = int((WIDTH - width) * (0.5 - 0.5 * np.cos(2 * np.pi * place)))
            y = int((HEIGHT - height) * (0.5 + 0.4 * np.sin(4 * np.pi * place))) // (1 + shot % 2)
            y += subject * (HEIGHT - height) // 2
            index = number % (2 * len(sample) - 2)
            frame[y : y + height, x : x + width] = sample[min(index, 2 * len(sample) - 2 - index)]
        yield frame


def make_clip(path: Path, count: int) -> None:
    """Write the long clip, unless it is there."""
    if path.exists():
        return
    info = open_clip(SAMPLE).info
    times = tuple(range(count + 1))
    long = ClipInfo(
        SAMPLE, "video", (HEIGHT, WIDTH), times, Fraction(1, 24), Fraction(24), codec="h264", pix_fmt=info.pix_fmt
    )
    settings = EncoderSettings(crf=20, options={"preset": "veryfast"})
    with open_output(path, long, settings=settings) as sink:
        for number, frame in enumerate(frames(count)):
            sink.write(frame, number, number + 1)


@dataclass
class Outcome:
    """How a process ended: its exit code, its seconds, and the most memory that it ever had, in bytes."""

    code: int
    seconds: float
    peak: int


def run(command: list[str], *, kill_when: tuple[Path, int] | None = None) -> Outcome:
    """Run a process, and kill it when so many files are in a folder."""
    started = time.perf_counter()
    peak = 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            if kill_when is not None and len(list(kill_when[0].glob("*/*.pixels"))) >= kill_when[1]:
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(POLL_SECONDS)
    return Outcome(process.returncode, time.perf_counter() - started, peak)


def peak_of(number: int) -> int:
    """Peak of a process's memory that lies in RAM: `VmHWM` of Linux."""
    try:
        status = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def digest(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def main() -> int:
    """Run it all; the exit code is 0 where the limit was kept and the outputs are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where clip, caches and outputs go: some gigabytes")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--max-ram", default="4")
    args, options = parser.parse_known_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    clip = args.folder / f"clip_{args.frames}.mp4"
    make_clip(clip, args.frames)
    command = [sys.executable, "-m", "segs_detailer.cli", "run", str(clip), "--max-ram", args.max_ram, *options]
    outputs = [args.folder / name for name in ("whole.mp4", "killed.mp4")]
    caches = [args.folder / name for name in ("cache_whole", "cache_killed")]
    rows = []
    rows.append(("undisturbed", run([*command, "-o", str(outputs[0]), "--cache", str(caches[0])])))
    pieces = len(list((caches[0] / "crops").glob("*/*.pixels")))
    again = [*command, "-o", str(outputs[1]), "--cache", str(caches[1])]
    for share in KILLS:
        stop = caches[1] / "crops", max(round(share * pieces), 1)
        rows.append((f"killed after {stop[1]} of {pieces} pieces", run(again, kill_when=stop)))
    rows.append(("resumed", run(again)))
    same = all(path.exists() for path in outputs) and digest(outputs[0]) == digest(outputs[1])
    most = max(outcome.peak for _, outcome in rows)
    print(f"\n{open_clip(clip).info.describe()}; --max-ram {args.max_ram}; {os.cpu_count()} cores\n")
    print("| run | exit code | seconds | peak of memory |\n|---|---|---|---|")
    for name, outcome in rows:
        print(f"| {name} | {outcome.code} | {outcome.seconds:.0f} | {outcome.peak / 1e9:.2f} GB |")
    print(f"\noutputs: {'the same, byte for byte' if same else 'DIFFERENT'}")
    return 0 if same and most <= float(args.max_ram) * 1e9 else 1


if __name__ == "__main__":
    sys.exit(main())
