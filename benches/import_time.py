"""How long the package takes to import: each measurement in a fresh process, without the start of the interpreter.

`python benches/import_time.py --json FILE` measures all; without `--json` it prints the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["IMPORTS", "Import", "measure_all"]

ROUNDS = 15
QUICK_ROUNDS = 5

# What must not be loaded by what needs none of it.
HEAVY = ("torch", "diffusers", "transformers", "av", "cv2", "PIL", "tqdm")


class Import(NamedTuple):
    """One statement that is timed.

    Parameters
    ----------
    statement : str
        What is timed.
    after : str
        What is imported before, and not timed.
    goal : float or None
        Seconds that we want to stay below.
    """

    statement: str
    after: str = ""
    goal: float | None = None


IMPORTS = (
    Import("import segs_detailer", "import torch", goal=0.06),
    Import("from segs_detailer import detail_frames", "import torch", goal=0.06),
    Import("import segs_detailer.nodes", "import torch", goal=0.06),
    Import("import segs_detailer.segs"),
    Import("import segs_detailer.segs", "import numpy"),
    Import("import segs_detailer.ops"),
    Import("import segs_detailer.ops", "import numpy"),
    Import("import numpy"),
    Import("import torch"),
)

CHILD = """
import json, sys, time
{after}
before = set(sys.modules)
begin, processor = time.perf_counter(), time.process_time()
{statement}
seconds, processor = time.perf_counter() - begin, time.process_time() - processor
loaded = [name for name in {heavy} if name in sys.modules and name not in before]
print(json.dumps({{"seconds": seconds, "processor": processor, "loaded": loaded}}))
"""


def measure_all(*, quick: bool) -> list[dict[str, Any]]:
    """Measure all imports; the rounds of one are spread over the whole time."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as cache:
        # Compiled modules as an installed package has them, made by a first round that does not count.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        results = [[_measure(which, environment) for which in IMPORTS] for _ in range(1 + rounds)][1:]
    return [
        {
            **which._asdict(),
            "seconds": statistics.median(own["seconds"] for own in column),
            "processor": statistics.median(own["processor"] for own in column),
            "loaded": column[0]["loaded"],
        }
        for which, column in zip(IMPORTS, zip(*results, strict=True), strict=True)
    ]


def _measure(which: Import, environment: dict[str, str]) -> dict[str, Any]:
    code = CHILD.format(after=which.after, statement=which.statement, heavy=HEAVY)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    points = measure_all(quick=arguments.quick)
    if arguments.json:
        arguments.json.write_text(json.dumps(points), encoding="utf-8")
        return
    for point in points:
        after = f", after {point['after']}" if point["after"] else ""
        loaded = f"; loaded: {', '.join(point['loaded'])}" if point["loaded"] else ""
        print(f"{1e3 * point['seconds']:7.1f} ms  {point['statement']}{after}{loaded}")


if __name__ == "__main__":
    main()
