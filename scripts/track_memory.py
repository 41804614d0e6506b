"""Memory of SEGS made of many objects that SAM 3 tracked through a long clip: what they hold, and the peak meanwhile.

    python scripts/track_memory.py --frames 2000 --objects 64 --size 1280x720

makes packed masks of disks that cross the frame, each in a lane of its own; frames and objects share bytes, so that the
data, 16 GB of them as ComfyUI would hold them, take a few. The table, for `docs/comfyui.md`, says what the process took
at most beyond that: while the tracks are made, once the SEGS are there, and while the masks of the largest are read as
the detailer reads them, all frames of one segment at once.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
import torch

from segs_detailer.segs import mask_frames
from segs_detailer.subjects import CropSettings, tracks_from_packed, tracks_to_segs

GRID = 1008
LANES = 1100
GB = 1 << 30
LEAST_RADIUS, MOST_RADIUS = 25, 140


def packed_masks(frames: int, objects: int) -> torch.Tensor:
    """Disks that move by a row from frame to frame: `(frames, objects, GRID, GRID / 8)`, most of it shared."""
    rows, columns = np.ogrid[: GRID + frames, :GRID]
    base = np.empty((objects, GRID + frames, GRID // 8), np.uint8)
    for number, radius in enumerate(np.geomspace(LEAST_RADIUS, MOST_RADIUS, objects)):
        middle = (number * 389) % GRID
        row = (rows + number * 211) % LANES - LANES // 2
        base[number] = np.packbits(row**2 + (columns - middle) ** 2 < radius**2, axis=-1, bitorder="little")
    width = GRID // 8
    return torch.from_numpy(base).as_strided((frames, objects, GRID, width), (width, (GRID + frames) * width, width, 1))


def peak_gb() -> float:
    """Memory that the process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (GB if sys.platform == "darwin" else 1 << 20)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--objects", type=int, default=64)
    parser.add_argument("--size", default="1280x720")
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    torch.set_num_threads(1)
    masks = packed_masks(args.frames, args.objects)
    data = {"packed_masks": masks, "n_frames": args.frames, "orig_size": (height, width)}
    first, began = peak_gb(), time.perf_counter()
    held = masks.untyped_storage().nbytes() / GB
    print(f"packed masks: {masks.numel() / GB:.1f} GB, of which {held:.2f} are held\n")
    print("| after | peak beyond what came in | seconds |\n| --- | ---: | ---: |")

    def row(what: str) -> None:
        print(f"| {what} | {peak_gb() - first:.2f} GB | {time.perf_counter() - began:.0f} |", flush=True)

    tracks = tracks_from_packed(data)
    row("tracks")
    _, segs = tracks_to_segs(tracks, settings=CropSettings(crop="follow", crop_factor=2.0), dtype="lazy")
    row("SEGS")
    largest = max(segs, key=lambda seg: seg.cropped_mask.shape[1] * seg.cropped_mask.shape[2])
    region = largest.crop_region
    read = mask_frames(largest.cropped_mask, (region[3] - region[1], region[2] - region[0]), args.frames)
    row("reading the largest segment's masks")
    bits = sum(mask.data.nbytes for track in tracks for mask in track.masks if mask is not None) / GB
    dense = sum(seg.cropped_mask.numel() for seg in segs) / GB
    print(f"\n{len(segs)} segments hold {bits:.2f} GB of bits. As floats their masks would take {4 * dense:.1f} GB,")
    print(f"of which {4 * read.numel() / GB:.1f} are those of the largest.")


if __name__ == "__main__":
    main()
