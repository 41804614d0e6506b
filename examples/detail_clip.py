"""Repaint the faces of a clip from a script: AnimateDiff through diffusers, or the preview without any model.

python examples/detail_clip.py examples/sample.mp4 detailed.mp4
python examples/detail_clip.py clip.mp4 detailed.mp4 --model ./sd15 --motion-adapter ./animatediff --prompt "a woman"
"""

from __future__ import annotations

import argparse

from segs_detailer import BasicPipe, CropSettings, detail_frames
from segs_detailer.subjects.finders import detect_faces
from segs_detailer.video import read_clip, write_clip


def main() -> None:
    """Read, find, repaint, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("output")
    parser.add_argument("--model")
    parser.add_argument("--motion-adapter")
    parser.add_argument("--prompt", default="")
    args = parser.parse_args()

    clip = read_clip(args.clip)
    segs = detect_faces(clip.frames, crop=CropSettings(crop="fixed", crop_factor=2.5))
    if args.model:
        pipe = BasicPipe.from_pretrained(args.model, motion_adapter=args.motion_adapter, prompt=args.prompt)
    else:
        pipe = BasicPipe.preview()
    # In place: the frames of a clip are large, and nobody needs the old ones.
    detail_frames(clip.frames, segs, pipe, guide_size=512, denoise=0.45, steps=20, in_place=True, progress=True)
    write_clip(args.output, clip)


if __name__ == "__main__":
    main()
