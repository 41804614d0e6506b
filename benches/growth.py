"""How time and memory grow with the number of frames: each point is measured in a process of its own.

`python benches/growth.py --json FILE [--quick]` measures all points.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import peers
from contest import OURS, default_threads, use_threads
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff, SEGSPaste
from segs_detailer.segs import SEG
from workloads import FULL, QUICK, Untouched, centered_region, ellipse_mask, random_frames

__all__ = ["NODES", "measure_all"]

# Smaller than 1080p, so that 256 frames and what the peers make of them fit into the memory of a laptop.
HEIGHT, WIDTH = 540, 960
CROP = 288
BOX = 96
FEATHER = 5
GUIDE_SIZE = 160
WORKING = CROP * GUIDE_SIZE // BOX
ROUNDS = 3
# A run slower than this, in seconds, is measured once.
SLOW = 3.0

PROC = Path("/proc/self")

Way = Callable[[torch.Tensor], Any]


def seg(frames: int, *, painted: bool) -> tuple[SEG, torch.Tensor | None, torch.Tensor]:
    """A segment in the middle of the frame, its crops where it was `painted`, and its mask."""
    x1, y1, x2, y2 = region = centered_region((HEIGHT, WIDTH), (CROP, CROP))
    rim = (CROP - BOX) // 2
    crops = random_frames(frames, CROP, CROP, seed=5) if painted else None
    mask = torch.from_numpy(ellipse_mask(CROP, CROP))
    return SEG(crops, mask, 1.0, region, (x1 + rim, y1 + rim, x2 - rim, y2 - rim), "A", None), crops, mask


def paste_ways(frames: int) -> dict[str, Way]:
    segment, crops, mask = seg(frames, painted=True)
    segs = ((HEIGHT, WIDTH), [segment])
    places = [(crops, mask, segment.crop_region)]
    return {
        OURS: lambda clip: SEGSPaste().doit(clip, segs, feather=FEATHER),
        "clone and concat, frame by frame": lambda clip: peers.paste_clone_and_concat(clip, places, FEATHER),
        "torch clone, then blend all frames": lambda clip: peers.paste_clone_and_blend(clip, places, FEATHER),
    }


def detail_ways(frames: int) -> dict[str, Way]:
    segment, _, mask = seg(frames, painted=False)
    segs = ((HEIGHT, WIDTH), [segment])
    pipe = (Untouched(), None, None, [], [])
    case = ([segment.crop_region], [mask], [(WORKING, WORKING)], lambda crops: crops, FEATHER)
    doit = DetailerForEachPipeForAnimateDiff.doit
    ways = {
        OURS: lambda clip: doit(clip, segs, GUIDE_SIZE, True, 1024, 0, 1, 1.0, "euler", "normal", 0.5, FEATHER, pipe),
        "frame by frame, Pillow by uint8, concat": lambda clip: peers.detail_frame_by_frame(clip, *case),
    }
    if peers.offers_lanczos():
        ways["batched torch, torch Lanczos"] = lambda clip: peers.detail_tuned(clip, *case)
    return ways


NODES = {"SEGSPaste": paste_ways, "DetailerForEach": detail_ways}


def memory_in_use() -> int:
    """Bytes of RAM in use, from where on `peak_memory` counts; where there is no /proc, the peak so far."""
    if not PROC.exists():
        return peak_memory()
    # 5 sets the kernel's high-water mark back to what is in use.
    (PROC / "clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak_memory() -> int:
    """Most bytes of RAM that were in use at once."""
    if PROC.exists():
        # Not ru_maxrss, which starts from the parent process's peak.
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    lines = (PROC / "status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name + ":")).split()[1])


def measure_point(node: str, label: str, frames: int) -> dict[str, Any]:
    """Median time of a run, and what it holds at its peak beyond its inputs."""
    use_threads(default_threads())
    # Lazy imports and thread pools are not part of a run.
    NODES[node](2)[label](random_frames(2, HEIGHT, WIDTH))
    clip = random_frames(frames, HEIGHT, WIDTH)
    run = NODES[node](frames)[label]
    before = memory_in_use()
    seconds = []
    extra = 0
    while len(seconds) < ROUNDS:
        begin = time.perf_counter()
        result = run(clip)
        seconds.append(time.perf_counter() - begin)
        # The first run only: later ones may find memory that was not given back.
        extra = extra or peak_memory() - before
        del result
        if seconds[0] > SLOW:
            break
    return {
        "node": node,
        "way": label,
        "frames": frames,
        "seconds": statistics.median(seconds),
        "extra_bytes": extra,
        "clip_bytes": clip.nbytes,
        "crop_bytes": 4 * 3 * CROP**2 * frames,
        "working_bytes": 4 * 3 * WORKING**2 * frames,
    }


def measure_all(*, quick: bool) -> list[dict[str, Any]]:
    """All points, each by this file in a new process."""
    sizes = QUICK if quick else FULL
    points = []
    for node, ways in NODES.items():
        for label in ways(1):
            for frames in sizes.growth_concat if "concat" in label else sizes.growth:
                command = [sys.executable, __file__, "--point", node, label, str(frames)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                points.append(json.loads(output))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write all points")
    parser.add_argument("--quick", action="store_true", help="few and small points")
    parser.add_argument("--point", nargs=3, metavar=("NODE", "WAY", "FRAMES"), help="measure one point and print it")
    arguments = parser.parse_args()
    if arguments.point:
        node, label, frames = arguments.point
        print(json.dumps(measure_point(node, label, int(frames))))
    elif arguments.json:
        arguments.json.write_text(json.dumps(measure_all(quick=arguments.quick), indent=1), encoding="utf-8")
    else:
        parser.error("--json FILE or --point NODE WAY FRAMES")


if __name__ == "__main__":
    main()
