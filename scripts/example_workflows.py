"""Write the example workflows, in which there are ComfyUI's own nodes and this package's alone.

    python scripts/example_workflows.py http://127.0.0.1:8188

The order of widgets and sockets is the one that a running ComfyUI tells.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "python" / "segs_detailer" / "comfyui" / "example_workflows"
WIDGETS = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"}
POSITIVE = "a detailed photo of a face, sharp focus"
NEGATIVE = "blurry, low quality"
HELP = """Choose your checkpoint, and put what makes it a model of motion (AnimateDiff-Evolved's loader, a motion LoRA)
between its MODEL and ToBasicPipe.

To try it, copy examples/sample.mp4 of the package into ComfyUI's input folder.
"""


class Graph:
    """A workflow as the browser saves it."""

    def __init__(self, known):
        self.known, self.nodes, self.links = known, [], []

    def add(self, kind, place, *, size=(320, 120), title=None, links=None, **widgets):
        """Add a node; `links` are (node, output) by input, `widgets` the values that are not the default."""
        links = links or {}
        node = {
            "id": len(self.nodes) + 1,
            "type": kind,
            "pos": list(place),
            "size": list(size),
            "flags": {},
            "order": len(self.nodes),
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {"Node name for S&R": kind},
            "widgets_values": [],
        }
        if title:
            node["title"] = title
        info = self.known[kind]
        for group in ("required", "optional"):
            for name, spec in info["input"].get(group, {}).items():
                type_ = "COMBO" if isinstance(spec[0], list) else spec[0]
                entry = {"name": name, "type": type_, "link": None}
                if type_ in WIDGETS:
                    node["widgets_values"] += self._values(name, spec, widgets)
                    if name not in links:
                        continue
                    entry["widget"] = {"name": name}
                elif group == "optional":
                    entry["shape"] = 7
                if name in links:
                    entry["link"] = self._link(links.pop(name), node, len(node["inputs"]), type_)
                node["inputs"].append(entry)
        if links or widgets:
            raise ValueError(f"{kind} has no {[*links, *widgets]}")
        for name, type_ in zip(info["output_name"], info["output"], strict=True):
            node["outputs"].append({"name": name, "type": type_, "links": []})
        self.nodes.append(node)
        return node

    @staticmethod
    def _values(name, spec, widgets):
        options = spec[1] if len(spec) > 1 else {}
        choices = spec[0] if isinstance(spec[0], list) else options.get("options", [""])
        value = widgets.pop(name, options.get("default", choices[0] if choices else ""))
        # The browser puts a widget of its own behind these.
        if name == "seed":
            return [value, "fixed"]
        return [value, "image"] if options.get("video_upload") else [value]

    def _link(self, source, node, slot, type_):
        origin, name = source
        place = next(place for place, output in enumerate(origin["outputs"]) if output["name"] == name)
        number = len(self.links) + 1
        self.links.append([number, origin["id"], place, node["id"], slot, type_])
        origin["outputs"][place]["links"].append(number)
        return number

    def note(self, place, text, size):
        """Add a text; such nodes are the browser's own."""
        self.nodes.append(
            {
                "id": len(self.nodes) + 1,
                "type": "MarkdownNote",
                "pos": list(place),
                "size": list(size),
                "flags": {},
                "order": len(self.nodes),
                "mode": 0,
                "inputs": [],
                "outputs": [],
                "properties": {},
                "widgets_values": [text],
            }
        )

    def workflow(self):
        """Return the workflow as the browser saves it."""
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def save(self, name):
        """Write the workflow."""
        text = json.dumps(self.workflow(), indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def clip(graph, place=(0, 0), title=None, file="sample.mp4"):
    """Add what reads a clip; returns the node that gives its frames."""
    x, y = place
    video = graph.add("LoadVideo", (x, y), title=title, file=file, size=(320, 340))
    return graph.add("GetVideoComponents", (x, y + 400), links={"video": (video, "VIDEO")}, size=(320, 90))


def pipe(graph, place, checkpoint, title=None):
    """Add a checkpoint, its prompts, and the pipe."""
    x, y = place
    model = graph.add("CheckpointLoaderSimple", (x, y), title=title, ckpt_name=checkpoint)
    prompts = [
        graph.add("CLIPTextEncode", (x, y + dy), text=text, links={"clip": (model, "CLIP")}, size=(320, 110))
        for dy, text in ((170, POSITIVE), (330, NEGATIVE))
    ]
    links = {"model": (model, "MODEL"), "clip": (model, "CLIP"), "vae": (model, "VAE")}
    links |= {"positive": (prompts[0], "CONDITIONING"), "negative": (prompts[1], "CONDITIONING")}
    return graph.add("SegsDetailerToBasicPipe", (x + 380, y), links=links, size=(300, 130))


def finish(graph, frames, segs, base, *, place, name, shown=None, links=None, **widgets):
    """Add preview, detailer and what writes the clip."""
    x, y = place
    source = {"image_frames": (frames, "images"), "segs": segs}
    graph.add("SegsDetailerPreview", (x, y + 640), links={**source, "segs": shown or segs}, size=(380, 320))
    widgets = {"guide_size": 512, "max_size": 768, "denoise": 0.4, **widgets}
    source |= {"basic_pipe": (base, "basic_pipe"), **(links or {})}
    detailer = graph.add("SegsDetailerForVideo", (x, y), links=source, size=(380, 580), **widgets)
    made = graph.add(
        "CreateVideo",
        (x + 440, y),
        links={"images": (detailer, "image"), "fps": (frames, "fps"), "audio": (frames, "audio")},
        size=(300, 90),
    )
    graph.add(
        "SaveVideo",
        (x + 440, y + 150),
        links={"video": (made, "VIDEO")},
        filename_prefix=f"video/{name}",
        size=(380, 380),
    )


def faces(graph, frames, place):
    """Add the face detector."""
    return graph.add(
        "SegsDetailerFaces", place, links={"image_frames": (frames, "images")}, crop_factor=2.0, size=(320, 220)
    )


def face_detail(graph):
    """Build the plain case."""
    frames = clip(graph)
    base = pipe(graph, (380, 0), "sd15.safetensors")
    found = faces(graph, frames, (380, 540))
    finish(graph, frames, (found, "segs"), base, place=(1120, 0), name="face_detail")
    graph.note((0, 560), HELP, (320, 220))


def refiner(graph):
    """Build the case in which another model finishes the steps."""
    frames = clip(graph)
    base = pipe(graph, (380, 0), "sd15.safetensors")
    second = pipe(graph, (380, 540), "sd15_refiner.safetensors", title="Refiner")
    found = faces(graph, frames, (760, 200))
    more = {"refiner_basic_pipe_opt": (second, "basic_pipe")}
    finish(graph, frames, (found, "segs"), base, place=(1120, 0), name="refiner", links=more, refiner_ratio=0.3)
    graph.note((0, 560), HELP + "\nBoth models must work on the same kind of latents.", (320, 220))


def mask(graph):
    """Build the case in which a second video says where."""
    frames = clip(graph)
    masks = clip(graph, (0, 560), title="Load Video (masks: white is repainted)", file="mask.mp4")
    gray = graph.add("ImageToMask", (380, 540), links={"image": (masks, "images")}, channel="red", size=(320, 60))
    # A compressed video's black is not quite black, and a pixel of a mask counts from 1/255 on.
    clean = graph.add("ThresholdMask", (380, 650), links={"mask": (gray, "MASK")}, value=0.5, size=(320, 60))
    found = graph.add(
        "SegsDetailerMaskToSegs", (380, 770), links={"masks": (clean, "MASK")}, crop_factor=2.0, size=(320, 200)
    )
    base = pipe(graph, (380, 0), "sd15.safetensors")
    more = {"noise_mask_feather": 20}
    finish(graph, frames, (found, "segs"), base, place=(1120, 0), name="mask", **more)
    graph.note((760, 540), HELP + "\nThe second video has one mask for each frame of the first.", (320, 240))


def controlnet(graph):
    """Build the case with a ControlNet and a schedule over the segments."""
    frames = clip(graph)
    base = pipe(graph, (380, 0), "sd15.safetensors")
    found = faces(graph, frames, (380, 540))
    ordered = graph.add("SegsDetailerOrder", (760, 540), links={"segs": (found, "segs")}, by="area", size=(320, 150))
    net = graph.add("ControlNetLoader", (380, 820), control_net_name="control_v11f1e_sd15_tile.safetensors")
    steered = graph.add(
        "SegsDetailerControlNet",
        (760, 760),
        links={"segs": (ordered, "ordered"), "control_net": (net, "CONTROL_NET")},
        strength=0.8,
        size=(320, 190),
    )
    hook = graph.add("SegsDetailerDenoiseHook", (760, 200), target_denoise=0.25, size=(320, 60))
    more = {"detailer_hook": (hook, "detailer_hook")}
    finish(
        graph,
        frames,
        (steered, "segs"),
        base,
        place=(1120, 0),
        name="controlnet",
        shown=(ordered, "ordered"),
        links=more,
        denoise=0.5,
    )
    text = "\nThe tile ControlNet is shown the crops themselves. Small faces are repainted less than large ones."
    graph.note((0, 560), HELP + text, (320, 260))


def main():
    """Write all."""
    with urllib.request.urlopen(f"{sys.argv[1].rstrip('/')}/object_info") as answer:
        known = json.loads(answer.read())
    FOLDER.mkdir(exist_ok=True)
    for build in (face_detail, refiner, mask, controlnet):
        graph = Graph(known)
        build(graph)
        graph.save(build.__name__)


if __name__ == "__main__":
    main()
