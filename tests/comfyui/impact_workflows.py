"""Workflows of Impact Pack's nodes, as the browser saves them and as the API takes them."""

from __future__ import annotations

GUIDE = {
    "guide_size": 64,
    "guide_size_for": False,
    "max_size": 96,
    "seed": 7,
    "steps": 3,
    "cfg": 3.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.5,
}
DETAILER_WIDGETS = {**GUIDE, "refiner_ratio": 0.2, "noise_mask_feather": 0}
EACH_WIDGETS = {**GUIDE, "feather": 5, "refiner_ratio": 0.2, "noise_mask_feather": 0}

# Their sockets and outputs, which the browser writes beside the values.
NODES = {
    "SEGSDetailerForAnimateDiff": (
        {
            "image_frames": "IMAGE",
            "segs": "SEGS",
            "basic_pipe": "BASIC_PIPE",
            "refiner_basic_pipe_opt": "BASIC_PIPE",
            "scheduler_func_opt": "SCHEDULER_FUNC",
        },
        {"segs": "SEGS", "cnet_images": "IMAGE"},
    ),
    "DetailerForEachPipeForAnimateDiff": (
        {
            "image_frames": "IMAGE",
            "segs": "SEGS",
            "basic_pipe": "BASIC_PIPE",
            "detailer_hook": "DETAILER_HOOK",
            "refiner_basic_pipe_opt": "BASIC_PIPE",
            "scheduler_func_opt": "SCHEDULER_FUNC",
        },
        {"image": "IMAGE", "segs": "SEGS", "basic_pipe": "BASIC_PIPE", "cnet_images": "IMAGE"},
    ),
    "SEGSPaste": ({"image": "IMAGE", "segs": "SEGS", "ref_image_opt": "IMAGE"}, {"IMAGE": "IMAGE"}),
    "ToBasicPipe": (
        {
            "model": "MODEL",
            "clip": "CLIP",
            "vae": "VAE",
            "positive": "CONDITIONING",
            "negative": "CONDITIONING",
        },
        {"basic_pipe": "BASIC_PIPE"},
    ),
    "FromBasicPipe": (
        {"basic_pipe": "BASIC_PIPE"},
        {
            "model": "MODEL",
            "clip": "CLIP",
            "vae": "VAE",
            "positive": "CONDITIONING",
            "negative": "CONDITIONING",
        },
    ),
    "MaskToSEGS_for_AnimateDiff": ({"mask": "MASK"}, {"SEGS": "SEGS"}),
    "MaskToSEGS": ({"mask": "MASK"}, {"SEGS": "SEGS"}),
    "ImpactSEGSOrderedFilter": ({"segs": "SEGS"}, {"filtered_SEGS": "SEGS", "remained_SEGS": "SEGS"}),
    "ImpactSEGSLabelFilter": ({"segs": "SEGS"}, {"filtered_SEGS": "SEGS", "remained_SEGS": "SEGS"}),
    "ImpactSEGSRangeFilter": ({"segs": "SEGS"}, {"filtered_SEGS": "SEGS", "remained_SEGS": "SEGS"}),
    "ImpactSEGSPicker": ({"segs": "SEGS", "fallback_image_opt": "IMAGE"}, {"SEGS": "SEGS"}),
    "ImpactSEGSConcat": ({"segs1": "SEGS", "segs2": "SEGS"}, {"SEGS": "SEGS"}),
    "DetailerHookCombine": (
        {"hook1": "DETAILER_HOOK", "hook2": "DETAILER_HOOK"},
        {"DETAILER_HOOK": "DETAILER_HOOK"},
    ),
    "TinyModel": (
        {},
        {
            "MODEL": "MODEL",
            "CLIP": "CLIP",
            "VAE": "VAE",
            "CONDITIONING": "CONDITIONING",
            "negative": "CONDITIONING",
        },
    ),
    "TinyClip": ({}, {"IMAGE": "IMAGE", "MASK": "MASK"}),
    "Keep": ({"image": "IMAGE", "segs": "SEGS"}, {}),
    "PrimitiveNode": ({}, {"connect to widget input": "*"}),
}


class Canvas:
    """A workflow as the browser saves it."""

    def __init__(self):
        self.nodes, self.links = [], []

    def add(self, kind, widgets=(), *, links=None, sockets=(), **more):
        """Add a node: `links` are (node, place of its output) by input, `sockets` widgets that were made inputs."""
        inputs, outputs = NODES[kind]
        node = {
            "id": len(self.nodes) + 1,
            "type": kind,
            "pos": [400 * len(self.nodes), 0],
            "size": [315, 400],
            "flags": {},
            "order": len(self.nodes),
            "mode": 0,
            "inputs": [{"name": name, "type": type_, "link": None} for name, type_ in inputs.items()],
            "outputs": [
                {"name": name, "type": type_, "links": [], "slot_index": place}
                for place, (name, type_) in enumerate(outputs.items())
            ],
            "properties": {"Node name for S&R": kind},
            "widgets_values": list(widgets),
            **more,
        }
        node["inputs"] += [{"name": name, "type": "*", "link": None, "widget": {"name": name}} for name in sockets]
        self.nodes.append(node)
        for name, (origin, place) in (links or {}).items():
            into = next(index for index, entry in enumerate(node["inputs"]) if entry["name"] == name)
            number = len(self.links) + 1
            type_ = origin["outputs"][place]["type"]
            self.links.append([number, origin["id"], place, node["id"], into, type_])
            node["inputs"][into]["link"] = number
            origin["outputs"][place]["links"].append(number)
        return node

    def saved(self, **more):
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [{"title": "All", "bounding": [0, 0, 1000, 600]}],
            "config": {},
            "extra": {"ds": {"scale": 1.0, "offset": [0, 0]}},
            "version": 0.4,
            **more,
        }


def values(widgets):
    """As the browser lists them, with its own behind the seed."""
    listed = []
    for name, value in widgets.items():
        listed += [value, "randomize"] if name == "seed" else [value]
    return listed


def add_pipe(canvas, seed=1):
    model = canvas.add("TinyModel", [seed, "fixed", 0.0, False])
    names = ("model", "clip", "vae", "positive", "negative")
    return canvas.add("ToBasicPipe", links={name: (model, place) for place, name in enumerate(names)})


def two_nodes():
    """Impact Pack's two detailers over the same segments, one pasted by its node."""
    canvas = Canvas()
    pipe = add_pipe(canvas)
    clip = canvas.add("TinyClip", [4, 0])
    segs = canvas.add("MaskToSEGS_for_AnimateDiff", [False, 2.0, False, 4, False], links={"mask": (clip, 1)})
    shared = {"image_frames": (clip, 0), "segs": (segs, 0), "basic_pipe": (pipe, 0)}
    crops = canvas.add("SEGSDetailerForAnimateDiff", values(DETAILER_WIDGETS), links=shared)
    pasted = canvas.add("SEGSPaste", [5, 255], links={"image": (clip, 0), "segs": (crops, 0)})
    each = canvas.add("DetailerForEachPipeForAnimateDiff", values(EACH_WIDGETS), links=shared)
    canvas.add("Keep", ["pasted"], links={"image": (pasted, 0), "segs": (crops, 0)})
    canvas.add("Keep", ["each"], links={"image": (each, 0), "segs": (each, 1)})
    return canvas.saved()


WIDGET_NAMES = {
    "SEGSDetailerForAnimateDiff": tuple(DETAILER_WIDGETS),
    "DetailerForEachPipeForAnimateDiff": tuple(EACH_WIDGETS),
    "SEGSPaste": ("feather", "alpha"),
    "MaskToSEGS_for_AnimateDiff": ("combined", "crop_factor", "bbox_fill", "drop_size", "contour_fill"),
    "TinyModel": ("seed", "seconds_per_step", "inpaint"),
    "TinyClip": ("frames", "speed"),
    "Keep": ("name",),
}


def as_prompt(workflow, names=WIDGET_NAMES):
    """What the API takes of a workflow of nodes whose widgets' names are given."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        inputs, listed = {}, list(node["widgets_values"])
        for name in names.get(node["type"], ()):
            inputs[name] = listed.pop(0)
            if name == "seed":
                listed.pop(0)
        for entry in node["inputs"]:
            if entry["link"] is not None:
                inputs[entry["name"]] = links[entry["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node["type"]}}
    return prompt
