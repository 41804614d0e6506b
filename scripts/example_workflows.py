"""Write the example workflows and the blueprints, in which there are ComfyUI's own nodes and this package's alone.

One workflow is of AnimateDiff-Evolved, and has its loader.

    python scripts/example_workflows.py http://127.0.0.1:8188

The order of widgets and sockets is the one that a running ComfyUI tells.
"""

from __future__ import annotations

import json
import sys
import urllib.request
import uuid
from pathlib import Path

COMFYUI = Path(__file__).parents[1] / "python" / "segs_detailer" / "comfyui"
FOLDER = COMFYUI / "example_workflows"
BLUEPRINTS = COMFYUI / "subgraphs"
# Ends of a subgraph.
INPUT_NODE, OUTPUT_NODE = -10, -20
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
        write(FOLDER / f"{name}.json", self.workflow())


class Blueprint(Graph):
    """A subgraph, which the browser lists among its nodes."""

    def __init__(self, known, title):
        super().__init__(known)
        self.title, self.shown = title, []
        # The same at each run.
        self.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"segs-detailer/{title}"))
        self.entry = {"id": INPUT_NODE, "outputs": []}
        self.results = []

    def input(self, name, type_):
        """Add an input of the subgraph; returns what a link begins with."""
        self.entry["outputs"].append({"name": name, "type": type_, "links": []})
        return self.entry, name

    def output(self, name, source):
        """Add an output of the subgraph."""
        type_ = next(output["type"] for output in source[0]["outputs"] if output["name"] == source[1])
        number = self._link(source, {"id": OUTPUT_NODE}, len(self.results), type_)
        self.results.append({"name": name, "type": type_, "linkIds": [number]})

    def show(self, node, *widgets):
        """Show widgets of a node on the subgraph's own."""
        self.shown += [[str(node["id"]), name] for name in widgets]

    def _slots(self, slots, keys, x, more):
        return [
            {
                "id": str(uuid.uuid5(uuid.UUID(self.id), f"{x} {slot['name']}")),
                "name": slot["name"],
                "type": slot["type"],
                "linkIds": slot[keys],
                "pos": [x, 20 * place],
                **more,
            }
            for place, slot in enumerate(slots)
        ]

    def workflow(self):
        """Return a workflow of this subgraph alone."""
        left = min(node["pos"][0] for node in self.nodes) - 300
        right = max(node["pos"][0] + node["size"][0] for node in self.nodes) + 100
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        inputs = self._slots(self.entry["outputs"], "links", left + 100, {})
        outputs = self._slots(self.results, "linkIds", right + 20, {})
        definition = {
            "id": self.id,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": len(self.nodes),
                "lastLinkId": len(self.links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.title,
            "inputNode": {"id": INPUT_NODE, "bounding": [left, 0, 120, 40 + 20 * len(inputs)]},
            "outputNode": {"id": OUTPUT_NODE, "bounding": [right, 0, 120, 40 + 20 * len(outputs)]},
            "inputs": inputs,
            "outputs": outputs,
            "widgets": [],
            "nodes": self.nodes,
            "groups": [],
            "links": [dict(zip(keys, link, strict=True)) for link in self.links],
            "extra": {},
        }
        instance = {
            "id": 1,
            "type": self.id,
            "pos": [0, 0],
            "size": [400, 400],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [{"name": slot["name"], "type": slot["type"], "link": None} for slot in inputs],
            "outputs": [{"name": slot["name"], "type": slot["type"], "links": None} for slot in outputs],
            "title": self.title,
            "properties": {"proxyWidgets": self.shown},
            "widgets_values": [],
        }
        whole = Graph(self.known)
        whole.nodes.append(instance)
        return {**whole.workflow(), "definitions": {"subgraphs": [definition]}}

    def save(self, name):
        """Write the blueprint, which the browser calls by the file's name."""
        write(BLUEPRINTS / f"{name}.json", self.workflow())


def write(path, workflow):
    """Write a file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")


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


def detail(graph, frames, segs, base, *, place, links=None, **widgets):
    """Add the detailer."""
    widgets = {"guide_size": 512, "max_size": 768, "denoise": 0.4, **widgets}
    source = {"image_frames": frames, "segs": segs, "basic_pipe": (base, "basic_pipe"), **(links or {})}
    return graph.add("SegsDetailerForVideo", place, links=source, size=(380, 580), **widgets)


def finish(graph, frames, segs, base, *, place, name, shown=None, links=None, **widgets):
    """Add preview, detailer and what writes the clip."""
    detailer = detail(graph, (frames, "images"), segs, base, place=place, links=links, **widgets)
    written(graph, frames, detailer, shown or segs, place=place, name=name)


def written(graph, frames, detailer, segs, *, place, name):
    """Add a preview of the segments, and what writes the clip."""
    x, y = place
    source = {"image_frames": (frames, "images"), "segs": segs}
    graph.add("SegsDetailerPreview", (x, y + 640), links=source, size=(380, 320))
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
    return found_faces(graph, (frames, "images"), place)


def found_faces(graph, frames, place):
    """Add the face detector."""
    return graph.add("SegsDetailerFaces", place, links={"image_frames": frames}, crop_factor=2.0, size=(320, 220))


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


# Each of the following is a workflow, with a clip before and after it, and a blueprint.


def prompted(graph, model, clip, vae, place, between=None, words=POSITIVE):
    """Add prompts and the pipe; `between` makes what the sampler is given of both conditionings."""
    x, y = place
    prompts = [
        graph.add("CLIPTextEncode", (x, y + dy), text=text, links={"clip": clip}, title=title, size=(320, 110))
        for dy, text, title in ((0, words, "Positive"), (160, NEGATIVE, "Negative"))
    ]
    positive, negative = ((node, "CONDITIONING") for node in prompts)
    if between is not None:
        positive, negative = between(positive, negative)
    links = {"model": model, "clip": clip, "vae": vae, "positive": positive, "negative": negative}
    return prompts, graph.add("SegsDetailerToBasicPipe", (x + 380, y), links=links, size=(300, 130))


def checkpoint_of(graph, place, name):
    """Add the loader of a checkpoint; returns it and what it gives."""
    loader = graph.add("CheckpointLoaderSimple", place, ckpt_name=name)
    return loader, [(loader, output) for output in ("MODEL", "CLIP", "VAE")]


def animatediff_of(graph, frames, place):
    """Build faces by a checkpoint with AnimateDiff-Evolved's motion module."""
    x, y = place
    loader, (model, clip, vae) = checkpoint_of(graph, (x, y), "sd15.safetensors")
    context = graph.add("ADE_StandardUniformContextOptions", (x, y + 150), size=(320, 200))
    links = {"model": model, "context_options": (context, "CONTEXT_OPTS")}
    moving = graph.add(
        "ADE_AnimateDiffLoaderGen1", (x, y + 400), links=links, model_name="v3_sd15_mm.ckpt", size=(320, 220)
    )
    prompts, base = prompted(graph, (moving, "MODEL"), clip, vae, (x + 380, y))
    found = found_faces(graph, frames, (x + 380, y + 340))
    detailer = detail(graph, frames, (found, "segs"), base, place=(x + 1100, y))
    shown = ((loader, "ckpt_name"), (moving, "model_name"), *((prompt, "text") for prompt in prompts))
    return detailer, (found, "segs"), (*shown, (detailer, "denoise"), (detailer, "seed"))


def wan_of(graph, frames, place):
    """Build faces by Wan 2.1, whose VAE packs four frames into one."""
    x, y = place
    model = graph.add("UNETLoader", (x, y), unet_name="wan2.1_t2v_1.3B_fp16.safetensors", size=(320, 90))
    clip = graph.add(
        "CLIPLoader", (x, y + 140), clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan", size=(320, 110)
    )
    vae = graph.add("VAELoader", (x, y + 300), vae_name="wan_2.1_vae.safetensors", size=(320, 60))
    shifted = graph.add("ModelSamplingSD3", (x, y + 410), links={"model": (model, "MODEL")}, shift=5.0, size=(320, 60))
    prompts, base = prompted(graph, (shifted, "MODEL"), (clip, "CLIP"), (vae, "VAE"), (x + 380, y))
    found = found_faces(graph, frames, (x + 380, y + 340))
    widgets = {"cfg": 5.0, "sampler_name": "uni_pc", "scheduler": "simple"}
    detailer = detail(graph, frames, (found, "segs"), base, place=(x + 1100, y), **widgets)
    shown = ((model, "unet_name"), (clip, "clip_name"), (vae, "vae_name"), *((prompt, "text") for prompt in prompts))
    return detailer, (found, "segs"), (*shown, (detailer, "denoise"), (detailer, "seed"))


def sam3_of(graph, frames, place):
    """Build an object that is found by words."""
    x, y = place
    finder, (tracker, words, _) = checkpoint_of(graph, (x, y), "sam3.1_multiplex_fp16.safetensors")
    finder["title"] = "SAM 3"
    what = graph.add(
        "CLIPTextEncode", (x, y + 150), text="person", links={"clip": words}, title="What to find", size=(320, 110)
    )
    links = {"images": frames, "model": tracker, "conditioning": (what, "CONDITIONING")}
    tracked = graph.add("SAM3_VideoTrack", (x, y + 310), links=links, size=(320, 150))
    links = {"track_data": (tracked, "track_data"), "image_frames": frames}
    segs = graph.add("SegsDetailerTrackToSegs", (x, y + 510), links=links, crop="follow", size=(320, 320))
    loader, (model, clip, vae) = checkpoint_of(graph, (x + 380, y), "sd15.safetensors")
    prompts, base = prompted(graph, model, clip, vae, (x + 380, y + 150), words="a detailed photo of a person")
    detailer = detail(graph, frames, (segs, "segs"), base, place=(x + 1100, y), noise_mask_feather=20)
    shown = ((finder, "ckpt_name"), (what, "text"), (loader, "ckpt_name"), *((prompt, "text") for prompt in prompts))
    return detailer, (segs, "segs"), (*shown, (detailer, "denoise"), (detailer, "seed"))


def faces_of(graph, frames, place):
    """Build faces by the graph's own model, which comes from outside."""
    x, y = place
    kinds = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "positive": "CONDITIONING", "negative": "CONDITIONING"}
    links = {name: graph.input(name, kind) for name, kind in kinds.items()}
    base = graph.add("SegsDetailerToBasicPipe", (x, y), links=links, size=(300, 130))
    found = found_faces(graph, frames, (x, y + 200))
    detailer = detail(graph, frames, (found, "segs"), base, place=(x + 400, y))
    widgets = ("guide_size", "denoise", "steps", "cfg", "sampler_name", "scheduler", "seed")
    shown = ((found, "crop_factor"), *((detailer, name) for name in widgets))
    return detailer, (found, "segs"), shown


def ltx2_of(graph, frames, place):
    """Build faces by LTX-2, which hears the clip, so that mouths stay in step with it."""
    x, y = place
    name = "ltx-2-19b-dev-fp8.safetensors"
    loader, (model, _, vae) = checkpoint_of(graph, (x, y), name)
    clip = graph.add(
        "LTXAVTextEncoderLoader",
        (x, y + 150),
        text_encoder="gemma_3_12B_it.safetensors",
        ckpt_name=name,
        size=(320, 90),
    )
    heard = graph.add("LTXVAudioVAELoader", (x, y + 290), ckpt_name=name, size=(320, 60))
    rate = sound_of(graph, frames, "fps", "FLOAT")

    def timed(positive, negative):
        links = {"positive": positive, "negative": negative, "frame_rate": rate}
        node = graph.add("LTXVConditioning", (x + 760, y + 180), links=links, size=(300, 90))
        return (node, "positive"), (node, "negative")

    prompts, base = prompted(graph, model, (clip, "CLIP"), vae, (x + 380, y), timed)
    found = found_faces(graph, frames, (x + 380, y + 340))
    links = {"audio": sound_of(graph, frames, "audio", "AUDIO"), "audio_vae": (heard, "Audio VAE"), "frame_rate": rate}
    audio = graph.add("SegsDetailerAudio", (x + 760, y + 320), links=links, mode="hold", size=(300, 130))
    widgets = {"cfg": 4.0, "sampler_name": "euler", "scheduler": "simple"}
    more = {"audio_opt": (audio, "audio_opt")}
    detailer = detail(graph, frames, (found, "segs"), base, place=(x + 1100, y), links=more, **widgets)
    shown = ((loader, "ckpt_name"), (clip, "text_encoder"), *((prompt, "text") for prompt in prompts))
    return detailer, (found, "segs"), (*shown, (detailer, "denoise"), (detailer, "seed"))


def sound_of(graph, frames, name, type_):
    """Return what a clip has beside its frames, or an input of the subgraph for it."""
    if not isinstance(graph, Blueprint):
        return frames[0], name
    known = {entry["name"] for entry in graph.entry["outputs"]}
    return (graph.entry, name) if name in known else graph.input(name, type_)


# Names of the workflows, titles of the blueprints, and what is in both.
BUILT = {
    "animatediff": ("Detail Faces (AnimateDiff-Evolved)", animatediff_of),
    "ltx2": ("Detail Faces in Step with the Sound (LTX-2)", ltx2_of),
    "sam3_object": ("Detail an Object by Words (SAM 3)", sam3_of),
    "wan": ("Detail Faces (Wan 2.1)", wan_of),
}
ALONE = {"Detail Faces": faces_of}
NOTES = {
    "animatediff": "The motion module makes the checkpoint one of motion, so that faces do not flicker. Clips longer "
    "than its context go through in windows that overlap.\n\nNeeds ComfyUI-AnimateDiff-Evolved.",
    "sam3_object": "SAM 3 finds and follows what the words name; each object becomes a segment of its own. Needs a "
    "ComfyUI with SAM 3 (0.20 or later), and SAM 3.1's checkpoint.\n\nThe crops follow their objects.",
    "ltx2": "LTX-2 makes pictures and sound together: it is given the clip's own sound, which it holds, so that mouths "
    "stay in step with what is said. The clip must have a sound.\n\nAudio for Detailer says at which rate the frames "
    "go.",
    "wan": "Wan packs four frames into one: clips of other lengths are lengthened for it and cut back.",
}


def as_workflow(known, name, build):
    """Build a workflow that reads a clip and writes it."""
    graph = Graph(known)
    frames = clip(graph)
    detailer, segs, _ = build(graph, (frames, "images"), (380, 0))
    written(graph, frames, detailer, segs, place=(1480, 0), name=name)
    graph.note(
        (0, 560), f"{NOTES[name]}\n\nTo try it, copy examples/sample.mp4 into ComfyUI's input folder.", (320, 240)
    )
    return graph


def as_blueprint(known, title, build):
    """Build a subgraph that takes frames and gives them."""
    graph = Blueprint(known, title)
    detailer, segs, shown = build(graph, graph.input("image_frames", "IMAGE"), (0, 0))
    graph.output("image", (detailer, "image"))
    graph.output("segs", segs)
    for node, name in shown:
        graph.show(node, name)
    return graph


def main():
    """Write all."""
    with urllib.request.urlopen(f"{sys.argv[1].rstrip('/')}/object_info") as answer:
        known = json.loads(answer.read())
    for build in (face_detail, refiner, mask, controlnet):
        graph = Graph(known)
        build(graph)
        graph.save(build.__name__)
    for name, (title, build) in BUILT.items():
        as_workflow(known, name, build).save(name)
        as_blueprint(known, title, build).save(title)
    for title, build in ALONE.items():
        as_blueprint(known, title, build).save(title)


if __name__ == "__main__":
    main()
