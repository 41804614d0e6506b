"""The nodes in ComfyUI beside Impact Pack's: time and memory outside the model, and what loading the nodes takes.

`COMFYUI_PATH=... IMPACT_PACK_PATH=... python benches/comfyui_nodes.py --json FILE` measures all; without `--json` it
prints the numbers. COMFYUI_PYTHON names the Python that runs ComfyUI where it is not this one. Each measurement is a
process of its own, `benches/in_comfyui.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import segs_detailer
from segs_detailer.comfyui.install import install

__all__ = ["IMPACT", "OURS", "WAYS", "measure_all", "missing"]

CHILD = Path(__file__).with_name("in_comfyui.py")
VARIABLES = {"COMFYUI_PATH": "a ComfyUI checkout", "IMPACT_PACK_PATH": "an Impact Pack checkout"}
PYTHON_VARIABLE = "COMFYUI_PYTHON"

IMPACT, OURS = "Impact Pack", "segs-detailer"
WAYS = (IMPACT, OURS)
# How far results may be from Impact Pack's.
TOLERANCES = {OURS: 3 / 255}
# Beyond a difference of whole steps of 8 bits: rounding of float32.
ROUNDING = 1e-6

FRAMES, QUICK_FRAMES = (8, 16, 64), (4,)
SEGMENTS, QUICK_SEGMENTS = (1, 3), (1,)
STARTS, QUICK_STARTS = 9, 3

# What Impact Pack imports for detectors, which its detailers never call.
STUBS = {"segment_anything.py": "SamPredictor = sam_model_registry = None\n", "piexif.py": ""}


def missing() -> str | None:
    """Say which variable names nothing, or that memory cannot be measured; None where all is there."""
    if not Path("/proc/self/clear_refs").exists():
        return "peak memory is measured on Linux only"
    for variable, what in VARIABLES.items():
        if not os.environ.get(variable):
            return f"{variable} does not name {what}"
    return None


def measure_all(*, quick: bool) -> dict[str, Any]:
    """Measure the detailers and the start, or say why nothing is.

    Returns
    -------
    dict
        `skipped`: why nothing was measured; else `detailers` and `start`.
    """
    reason = missing()
    if reason is not None:
        return {"skipped": reason}
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        frames, segments = (QUICK_FRAMES, QUICK_SEGMENTS) if quick else (FRAMES, SEGMENTS)
        cases = [(count, number) for count in frames for number in segments]
        points = [point for case in cases for point in _measure_case(*case, Path(folder), environment)]
        start = _measure_start(Path(folder), environment, QUICK_STARTS if quick else STARTS)
    return {"skipped": None, "detailers": points, "start": start}


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment with a copy of Impact Pack, which writes into its own folder, and what it imports."""
    pack, stubs = folder / "impact-pack", folder / "stubs"
    shutil.copytree(os.environ["IMPACT_PACK_PATH"], pack, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    stubs.mkdir()
    for name, text in STUBS.items():
        (stubs / name).write_text(text, encoding="utf-8")
    source = str(Path(segs_detailer.__file__).parents[1])
    environment = {
        **os.environ,
        "IMPACT_PACK_PATH": str(pack),
        "PYTHONPATH": os.pathsep.join([source, str(stubs)]),
        # Compiled modules as an installed package has them.
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
    }
    for variable in ("PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS"):
        environment.pop(variable, None)
    return environment


def _child(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    command = [os.environ.get(PYTHON_VARIABLE, sys.executable), str(CHILD), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure_case(frames: int, segments: int, folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Measure all ways, and hold their results against Impact Pack's."""
    points = []
    for index, way in enumerate(WAYS):
        points.append(_child(["detail", way, str(frames), str(segments), str(folder / f"{index}.npy")], environment))
    theirs = np.load(folder / "0.npy", mmap_mode="r")
    for index, (way, point) in enumerate(zip(WAYS, points, strict=True)):
        own = np.load(folder / f"{index}.npy", mmap_mode="r")
        # Frame by frame: the whole does not fit into every memory.
        error = max(float(np.abs(own[:, at] - theirs[:, at]).max()) for at in range(frames))
        point["difference"] = error
        if error > TOLERANCES.get(way, 0.0) + ROUNDING:
            sys.exit(f"{way}, {frames} frames, {segments} segments: {255 * error:.2f}/255 from {IMPACT}")
    return points


def _measure_start(folder: Path, environment: dict[str, str], starts: int) -> dict[str, Any]:
    base = folder / "ComfyUI"
    (base / "custom_nodes").mkdir(parents=True)
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        (base / name).write_text("", encoding="utf-8")
    nodes = install(base)
    # The first start compiles the modules.
    results = [_child(["start", str(nodes)], environment) for _ in range(1 + starts)][1:]
    return {
        "starts": starts,
        "seconds": statistics.median(result["seconds"] for result in results),
        "slowest": max(result["seconds"] for result in results),
        "processor": statistics.median(result["processor"] for result in results),
        "packages": results[0]["packages"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--quick", action="store_true", help="one small case, few starts")
    arguments = parser.parse_args()
    results = measure_all(quick=arguments.quick)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if results["skipped"]:
        print(f"skipped: {results['skipped']}")
        return
    for point in results["detailers"]:
        print(
            f"{point['frames']:4d} frames, {point['segments']} segments: {point['seconds']:8.2f} s, "
            f"{point['extra_bytes'] / 1e6:7.0f} MB outside the model ({point['model_seconds']:.2f} s in it), "
            f"{255 * point['difference']:.2f}/255 apart: {point['way']}"
        )
    start = results["start"]
    print(f"start: {1e3 * start['seconds']:.1f} ms, {1e3 * start['processor']:.1f} ms of the processor")
    print(f"packages: {', '.join(start['packages'])}")


if __name__ == "__main__":
    main()
