"""The example workflows, what they need to open and run, and how the browser's page shows them."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np

from places import ROOT

FOLDER = ROOT / "python" / "segs_detailer" / "comfyui" / "example_workflows"
WORKFLOWS = sorted(FOLDER.glob("*.json"))
BLUEPRINTS = sorted((FOLDER.parent / "subgraphs").glob("*.json"))
MODELS = (
    "checkpoints/sd15.safetensors",
    "checkpoints/sd15_refiner.safetensors",
    "checkpoints/ltx-2-19b-dev-fp8.safetensors",
    "checkpoints/sam3.1_multiplex_fp16.safetensors",
    "controlnet/control_v11f1e_sd15_tile.safetensors",
    "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors",
    "text_encoders/gemma_3_12B_it.safetensors",
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vae/wan_2.1_vae.safetensors",
)
FRAMES = 6
RATE = 16000

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
    """The first frames of the sample clip, with a tone, and masks for them."""
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
            sound = target.add_stream("aac", rate=RATE)
            for picture in shown_frames:
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            target.mux(stream.encode())
            wave = np.sin(np.arange(RATE, dtype=np.float32) * 0.1)[None] * 0.3
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate = RATE
            target.mux(sound.encode(tone))
            target.mux(sound.encode())


def shown(page, workflow):
    """Open a workflow in the page."""
    wait = "await new Promise(done => setTimeout(done, 500))"
    page.evaluate(f"(async () => {{ await app.loadGraphData({json.dumps(workflow)}); {wait} }})()")


def on_tiny_models(prompt):
    """Put tiny models in the place of a prompt's loaders, and take away what reads text."""
    kinds = {name: item["class_type"] for name, item in prompt.items()}
    has_clips, has_sound = "UNETLoader" in kinds.values(), "LTXVAudioVAELoader" in kinds.values()
    made, places, sides = {}, {}, 0
    # Of one loader are the pictures' model, and all that reads text for it.
    loader = next((name for name, kind in kinds.items() if kind in ("UNETLoader", "CheckpointLoaderSimple")), None)
    for name, item in prompt.items():
        kind = item["class_type"]
        if kind == "CheckpointLoaderSimple" and has_sound:
            made[name] = tiny("TinySoundModel", seed=0)
        elif kind == "LTXVAudioVAELoader":
            places[name] = [loader, 5]
        elif kind == "CheckpointLoaderSimple":
            made[name] = tiny("TinyModel", seed=len(made), seconds_per_step=0.0, inpaint=False)
        elif kind == "UNETLoader":
            made[name] = tiny("TinyVideoModel", seed=3)
        elif kind == "ControlNetLoader":
            made[name] = tiny("TinyControlNet", seed=2)
        elif kind == "VAELoader" and has_clips:
            places[name] = [loader, 2]
        elif kind in ("CLIPLoader", "LTXAVTextEncoderLoader"):
            places[name] = [loader, 1]
        elif kind == "CLIPTextEncode":
            places[name], sides = [loader, 3 + sides % 2], sides + 1
        else:
            made[name] = item
            if kind == "SegsDetailerForVideo":
                item["inputs"] |= {"guide_size": 64, "max_size": 96, "steps": 2}
    for item in made.values():
        for key, value in item["inputs"].items():
            if isinstance(value, list) and value[0] in places:
                item["inputs"][key] = places[value[0]]
    return made


def tiny(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


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
