"""The node classes outside ComfyUI: the same inputs in the same order, and the outputs as tuples.

python examples/comfyui_style.py examples/sample.mp4 detailed.mp4
"""

from __future__ import annotations

import sys

import torch

from segs_detailer import BasicPipe
from segs_detailer.nodes import SEGSDetailerForAnimateDiff, SEGSPaste
from segs_detailer.subjects.finders import detect_faces
from segs_detailer.video import Clip, read_clip, write_clip


def main() -> None:
    """Detail the segments, then paste them with a softer edge."""
    source, target = sys.argv[1:]
    clip = read_clip(source)
    image_frames = torch.from_numpy(clip.frames)
    segs = detect_faces(clip.frames)
    # (model, clip, vae, positive, negative): BasicPipe.from_pretrained makes one of a checkpoint.
    basic_pipe = BasicPipe.preview()

    segs, _ = SEGSDetailerForAnimateDiff().doit(
        image_frames,
        segs,
        guide_size=512,
        guide_size_for=True,
        max_size=768,
        seed=0,
        steps=20,
        cfg=8.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=0.5,
        basic_pipe=basic_pipe,
    )
    (image,) = SEGSPaste.doit(image_frames, segs, feather=8, alpha=255)
    write_clip(target, Clip(clip.info, image.numpy()))


if __name__ == "__main__":
    main()
