"""The example workflows, what they need to open and run, and how the browser's page shows them."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np

from places import ROOT

FOLDER = ROOT / "python" / "segs_detailer" / "comfyui" / "example_workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))
MODELS = (
    "checkpoints/sd15.safetensors",
    "checkpoints/sd15_refiner.safetensors",
    "controlnet/control_v11f1e_sd15_tile.safetensors",
)
FRAMES = 6

READY = (
    "window.app && app.graph && app.canvas && window.LiteGraph && LiteGraph.registered_node_types.SegsDetailerForVideo"
)


def loaded(path):
    return json.loads(path.read_text(encoding="utf-8"))


def prepare(base, frames=FRAMES):
    """Put into a ComfyUI's folders what the workflows ask for; of the models, the names alone."""
    for name in MODELS:
        (base / "models" / name).parent.mkdir(exist_ok=True)
        (base / "models" / name).write_bytes(b"")
    write_clips(base / "input", frames)
    # Else the browser begins with a choice of templates.
    (base / "user" / "default").mkdir()
    settings = json.dumps(
        {
            "Comfy.TutorialCompleted": True,
            "Comfy.Minimap.Visible": False,
            "Comfy.Workflow.WorkflowTabsPosition": "Sidebar",
            "Comfy.Graph.CanvasMenu": False,
        }
    )
    (base / "user" / "default" / "comfy.settings.json").write_text(settings, encoding="utf-8")


def write_clips(folder, frames):
    """The first frames of the sample clip, and masks for them."""
    import av

    with av.open(str(ROOT / "examples" / "sample.mp4")) as source:
        stream = source.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in islice(source.decode(stream), frames)]
    masks = [np.zeros_like(picture) for picture in pictures]
    for index, picture in enumerate(masks):
        picture[40:120, 60 + index : 160 + index] = 255
    for name, shown_frames in (("sample.mp4", pictures), ("mask.mp4", masks)):
        with av.open(str(folder / name), "w") as target:
            stream = target.add_stream("mpeg4", rate=12)
            stream.height, stream.width = shown_frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in shown_frames:
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            target.mux(stream.encode())


def shown(page, workflow):
    """Open a workflow in the page."""
    wait = "await new Promise(done => setTimeout(done, 500))"
    page.evaluate(f"(async () => {{ await app.loadGraphData({json.dumps(workflow)}); {wait} }})()")


def faces_detailed():
    """The graph that restores a drawn face with the trained checkpoint."""
    settings = {
        "guide_size": 64,
        "guide_size_for": False,
        "max_size": 256,
        "seed": 1,
        "steps": 4,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.12,
        "feather": 3,
        "refiner_ratio": 0.0,
    }
    to_segs = {"combined": True, "crop_factor": 1.05, "bbox_fill": False, "drop_size": 4, "contour_fill": False}
    return {
        "faces": {"class_type": "DrawnFaces", "inputs": {"seed": 1_000_006}},
        "pipe": {"class_type": "TrainedPipe", "inputs": {}},
        "segs": {"class_type": "SegsDetailerMaskToSegs", "inputs": {"masks": ["faces", 2], **to_segs}},
        "detail": {
            "class_type": "SegsDetailerForVideo",
            "inputs": {"image_frames": ["faces", 0], "segs": ["segs", 0], "basic_pipe": ["pipe", 0], **settings},
        },
    }
