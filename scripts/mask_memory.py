"""Memory of a long clip with many subjects that get masks: measured while `refine_tracks` goes through it.

    python scripts/mask_memory.py --frames 2000 --subjects 20

makes frames of noise with a bright square for each subject, and tracks of boxes that were seen in every fifth frame; a
tiny random SAM 2.1 draws the masks of all, in one shot. The table, for `docs/words.md`, says after how many
frames how much memory the process had taken at most; the last line says how much of it the packed masks are.
`--segmenter` takes a real one.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from segs_detailer.subjects import Track
from segs_detailer.subjects.segmenters import RefineSettings, open_segmenter, refine_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SIZE = (180, 320)
SIDE = 24
EVERY = 5
ROWS = 10


def places(subject: int, count: int) -> NDArray[np.float64]:
    """Boxes of a subject in all frames: it goes to and fro in a lane of its own."""
    left = 10 + np.abs((np.arange(count) * (1 + subject % 3) + 17 * subject) % 560 - 280)
    top = np.full(count, 4 + 7 * subject)
    return np.stack([left, top, left + SIDE, top + SIDE], axis=1).astype(np.float64)


def frames(boxes: list[NDArray[np.float64]], count: int) -> Iterator[NDArray[np.float32]]:
    """Frames with all subjects."""
    ground = np.random.default_rng(0).random((*SIZE, 3), np.float32) * np.float32(0.5)
    for number in range(count):
        frame = ground.copy()
        for own in boxes:
            x1, y1, x2, y2 = own[number].astype(int)
            frame[y1:y2, x1:x2] = 0.9
        yield frame


def peak_mb() -> float:
    """Memory that the process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--segmenter", help="folder or hub id; a tiny random one without it")
    args = parser.parse_args()
    # Others at work on the machine must not count.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        source = args.segmenter
        if source is None:
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
            from find_models import save_segmenter

            source = save_segmenter(Path(folder))
        segmenter = open_segmenter(source)
        boxes = [places(subject, args.frames) for subject in range(args.subjects)]
        seen = np.arange(0, args.frames, EVERY)
        tracks = [
            Track(number, "square", seen, own[seen], 0.9, shot=(0, args.frames))
            for number, own in enumerate(boxes, start=1)
        ]
        began = time.perf_counter()
        print("| frames | peak memory | seconds |\n| ---: | ---: | ---: |")

        def row(done: int) -> None:
            if done % max(1, args.frames // ROWS) == 0:
                print(f"| {done} | {peak_mb():.0f} MB | {time.perf_counter() - began:.0f} |", flush=True)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            settings = RefineSettings(lead=EVERY - 1)
            refined = refine_tracks(frames(boxes, args.frames), tracks, segmenter, settings, progress=row)
    packed = sum(mask.data.nbytes for track in refined for mask in track.masks if mask is not None)
    count = sum(mask is not None for track in refined for mask in track.masks)
    print(f"\n{count} masks, {packed / 1e6:.1f} MB packed")


if __name__ == "__main__":
    main()
