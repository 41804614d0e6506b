"""Detectors, ControlNets and hooks in a running ComfyUI, and the example workflows, there and in its browser side."""

from __future__ import annotations

import json
import os
import time
from urllib.error import HTTPError

import browser
import comfy_server
import numpy as np
import pytest
from browser import Browser
from comfy_server import ComfyServer, base_folder, end_of
from test_comfyui_server import detailed, detailer, graph, keep, node, touched
from workflows import BLUEPRINTS, FRAMES, READY, WORKFLOWS, faces_detailed, loaded, on_tiny_models, prepare, shown

from processes import PATIENCE

# Nodes of the browser side alone.
NOTES = {"MarkdownNote"}
# Nodes of a newer ComfyUI and of another pack, for which the tests have some with the same inputs and outputs.
STAND_INS = {"SAM3_VideoTrack", "ADE_AnimateDiffLoaderGen1", "ADE_StandardUniformContextOptions"}

pytestmark = pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = base_folder(tmp_path_factory.mktemp("comfyui"))
    pytest.importorskip("av")
    prepare(base)
    server = ComfyServer(base, "--disable-api-nodes")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def known(server):
    return server.get("/object_info")


# The nodes


def test_a_control_net_steers_the_segments(server):
    control = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    plain = detailed(server, "plain")
    frames_of = {"net": node("TinyControlNet", seed=2)}
    steered = {
        **frames_of,
        "steered": node("SegsDetailerControlNet", segs=["segs", 0], control_net=["net", 0], **control),
    }
    own = detailed(server, "own", model=steered, segs=["steered", 0])
    assert not np.array_equal(own, plain)
    inside = touched(plain)
    assert np.array_equal(own[~inside], plain[~inside])
    # The frames as the control image are the crops, up to how often they are resized.
    steered["steered"]["inputs"]["control_image"] = ["clip", 0]
    given = detailed(server, "given", model=steered, segs=["steered", 0])
    assert np.abs(given - own)[inside].mean() < 0.1 * np.abs(own - plain)[inside].mean()
    steered["steered"]["inputs"] |= {"strength": 0.0}
    assert np.array_equal(detailed(server, "zero", model=steered, segs=["steered", 0]), plain)


def test_control_nets_in_the_conditioning_are_cut_to_the_segments(server):
    """Of the graph's own nodes, for whole frames: each segment is steered by its part, as by a wrapper."""
    widgets = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    own = {
        "net": node("TinyControlNet", seed=2),
        "steered": node(
            "SegsDetailerControlNet", segs=["segs", 0], control_net=["net", 0], control_image=["clip", 0], **widgets
        ),
    }
    by_wrapper = detailed(server, "by_wrapper", model=own, segs=["steered", 0])
    plain = detailed(server, "unsteered")
    inside = touched(plain)

    def of_graph(name, **nodes):
        pipe = graph()["pipe"]["inputs"] | {"positive": ["control", 0]}
        if nodes["control"]["class_type"] == "ControlNetApplyAdvanced":
            pipe["negative"] = ["control", 1]
        model = {"net": own["net"], **nodes, "pipe_of_it": node("SegsDetailerToBasicPipe", **pipe)}
        return detailed(server, name, model=model, basic_pipe=["pipe_of_it", 0])

    frames = {"control_net": ["net", 0], "image": ["clip", 0]}
    older = of_graph("older", control=node("ControlNetApply", conditioning=["model", 3], strength=1.0, **frames))
    sides = {"positive": ["model", 3], "negative": ["model", 4]}
    newer = of_graph("newer", control=node("ControlNetApplyAdvanced", **sides, **frames, **widgets))
    assert np.abs(older - newer).max() < 1e-5
    # ComfyUI scales the picture by another filter.
    assert np.abs(newer - by_wrapper)[inside].mean() < 0.3 * np.abs(by_wrapper - plain)[inside].mean()
    assert np.array_equal(newer[~inside], plain[~inside])


def test_an_area_counts_for_the_segments_that_lie_in_it(server):
    """The left third of the frame, where the first of two subjects is."""
    area = {"width": 0.4, "height": 1.0, "x": 0.0, "y": 0.0, "strength": 5.0}
    nodes = {
        "left": node("ConditioningSetAreaPercentage", conditioning=["model", 4], **area),
        "both": node("ConditioningCombine", conditioning_1=["model", 3], conditioning_2=["left", 0]),
        "pipe_of_it": node("SegsDetailerToBasicPipe", **(graph()["pipe"]["inputs"] | {"positive": ["both", 0]})),
    }
    plain = detailed(server, "without_area")
    found = detailed(server, "with_area", model=nodes, basic_pipe=["pipe_of_it", 0])
    assert np.abs(found - plain)[0, 24:44, 20:40].max() > 0.01
    assert np.array_equal(found[:, 54:78, 84:108], plain[:, 54:78, 84:108])


def test_hooks_change_the_segments_one_after_the_other(server):
    hooks = {
        "denoise": node("SegsDetailerDenoiseHook", target_denoise=0.2),
        "cfg": node("SegsDetailerCfgHook", target_cfg=1.0),
        "steps": node("SegsDetailerStepsHook", target_steps=5),
        "two": node("SegsDetailerCombineHooks", hook1=["denoise", 0], hook2=["cfg", 0]),
        "hook": node("SegsDetailerCombineHooks", hook1=["two", 0], hook2=["steps", 0]),
    }
    plain = detailed(server, "unhooked")
    hooked = detailed(server, "hooked", model=hooks, detailer_hook=["hook", 0])
    # The first segment is as without, the second one is not.
    assert np.array_equal(hooked[0, 24:44, 20:40], plain[0, 24:44, 20:40])
    assert not np.array_equal(hooked[0, 54:78, 84:108], plain[0, 54:78, 84:108])


def test_boxes_and_another_packs_detector(server):
    prompt = graph(
        boxes=node(
            "SegsDetailerBoxes", image_frames=["clip", 0], boxes="[[16, 20, 48, 52]]", crop_factor=1.5, label="box"
        ),
        keep_boxes=keep("boxes", segs=["boxes", 0]),
        detector=node("TinyDetector"),
        found=node(
            "SegsDetailerBboxDetector",
            bbox_detector=["detector", 0],
            image_frames=["clip", 0],
            threshold=0.5,
            dilation=0,
            min_frames=2,
            max_gap=4,
            crop_factor=1.0,
            drop_size=4,
        ),
        keep_found=keep("found", segs=["found", 0]),
        detail=detailer(segs=["found", 0]),
        keep=keep("detected", image=["detail", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    assert server.kept("boxes")["region_0"].tolist() == [8, 12, 56, 60, 16, 20, 48, 52]
    found = server.kept("found")
    assert np.abs(found["region_0"][4:] - [16, 20, 54, 52]).max() <= 1
    assert "region_1" not in found


@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
def test_objects_that_sam3_tracked(server, prefix):
    """They are painted as the same masks are, one object after the other; nothing found leaves the clip as it is."""
    widgets = {
        "object_indices": "",
        "label": "square",
        "min_share": 0.0,
        "max_gap": 12,
        "drop_size": 4,
        "grow": 0,
        "crop_factor": 1.5,
    }

    def tracked(name, found):
        prompt = graph(
            track=node("TinyTrack", frames=4, found=found),
            objects=node(
                f"{prefix}SegsDetailerTrackToSegs", track_data=["track", 0], image_frames=["clip", 0], **widgets
            ),
            keep=keep(f"{prefix}{name}", segs=["objects", 0]),
            detail=detailer(segs=["objects", 0]),
            keep_frames=keep(f"{prefix}{name}_frames", image=["detail", 0]),
            preview=node("SegsDetailerPreview", image_frames=["clip", 0], segs=["objects", 0], max_images=2),
        )
        assert end_of(server.run(prompt)) == "execution_success"
        return server.kept(f"{prefix}{name}"), server.kept(f"{prefix}{name}_frames")["image"]

    segs, painted = tracked("objects", True)
    assert segs["region_0"][4:].tolist() == [16, 20, 54, 52]
    assert segs["region_1"][4:].tolist() == [80, 50, 112, 82]
    assert np.array_equal(painted, detailed(server, f"{prefix}same_masks"))
    segs, kept = tracked("nothing", False)
    assert "region_0" not in segs
    assert np.array_equal(kept[~touched(painted)], painted[~touched(painted)])
    assert not np.array_equal(kept, painted)


@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
def test_boxes_and_landmarks_of_other_nodes(server, prefix):
    pytest.importorskip("cv2")
    clip = {"image_frames": ["clip", 0], "crop_factor": 1.5}
    boxes = {**clip, "boxes": "[[0, 0, 64, 64]]", "label": "box"}
    mesh = {**clip, "region": "lips", "min_share": 0.3, "max_gap": 12, "drop_size": 4, "grow": 0}
    prompt = graph(
        others=node("TinyBoxes", frames=4),
        faces=node("TinyFaces", frames=4),
        written=node(f"{prefix}SegsDetailerBoxes", **boxes),
        core=node(f"{prefix}SegsDetailerBoxes", **boxes, bounding_boxes=["others", 0], crop="follow"),
        pack=node(f"{prefix}SegsDetailerBoxes", **boxes, bounding_boxes=["others", 1], bbox_format="xywh"),
        lips=node(f"{prefix}SegsDetailerFaceLandmarks", **mesh, face_landmarks=["faces", 0]),
        detail=detailer(segs=["lips", 0]),
        keep_frames=keep(f"{prefix}smiled", image=["detail", 0]),
        keep_before=keep(f"{prefix}before", image=["clip", 0]),
        **{f"keep_{name}": keep(f"{prefix}{name}", segs=[name, 0]) for name in ("written", "core", "pack", "lips")},
    )
    assert end_of(server.run(prompt)) == "execution_success"
    written, core, pack, lips = (server.kept(f"{prefix}{name}") for name in ("written", "core", "pack", "lips"))
    assert written["region_0"][4:].tolist() == [0, 0, 64, 64]
    assert core["region_1"][4:].tolist() == [80, 50, 112, 82]
    assert pack["region_0"][4:].tolist() == [16, 20, 54, 52]
    assert "region_1" not in pack
    x1, y1, x2, y2 = lips["region_1"][4:]
    assert np.abs(np.array([x1, y1, x2, y2]) - [90, 71, 102, 77]).max() <= 1
    changed = (server.kept(f"{prefix}smiled")["image"] != server.kept(f"{prefix}before")["image"]).any(axis=(0, 3))
    assert changed[72:76, 92:100].all()
    assert not changed[:, 106:].any()


def test_a_trained_checkpoint_restores_what_the_mask_shows(server):
    """A pipe of diffusers' models goes through the nodes as well; noise and blur go down by some decibels."""
    pytest.importorskip("diffusers")
    prompt = faces_detailed()
    prompt |= {
        name: keep(name, image=source)
        for name, source in {"degraded": ["faces", 0], "truth": ["faces", 1], "restored": ["detail", 0]}.items()
    }
    assert end_of(server.run(prompt)) == "execution_success"
    degraded, truth, restored = (server.kept(name)["image"] for name in ("degraded", "truth", "restored"))
    y, x = np.mgrid[:80, :96].astype(np.float32)
    inside = ((x - 47.5) / 24) ** 2 + ((y - 39.5) / 27) ** 2 < 1

    def psnr(frames):
        return -10 * np.log10(np.square(frames - truth)[:, inside].mean())

    assert psnr(restored) - psnr(degraded) > 3
    assert np.array_equal(restored[:, 75:], degraded[:, 75:])


# The example workflows


def skip_without_nodes(known, path):
    """Older releases of ComfyUI lack nodes of some models."""
    workflow = loaded(path)
    graphs = [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]
    inner = {graph.get("id") for graph in graphs[1:]}
    kinds = {item["type"] for graph in graphs for item in graph["nodes"]} - NOTES - inner
    # Those are ours, or the tests' own.
    missing = {kind for kind in kinds - set(known) - STAND_INS if not kind.startswith("SegsDetailer")}
    if missing:
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(missing))}")


def assert_fits(known, graph):
    """Every node, socket and value is one that ComfyUI knows, in its order."""
    nodes = {item["id"]: item for item in graph["nodes"] if item["type"] not in NOTES}
    assert {item["type"] for item in nodes.values()} <= set(known)
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    for link in graph["links"]:
        number, origin, out, target, into, kind = link if isinstance(link, list) else (link[key] for key in keys)
        # Those at the ends of a subgraph have no node there.
        if origin in nodes:
            source = nodes[origin]
            assert known[source["type"]]["output"][out] == kind
            assert number in source["outputs"][out]["links"]
        if target in nodes:
            sink = nodes[target]
            socket = sink["inputs"][into]
            assert socket["link"] == number
            inputs = {name: spec for group in known[sink["type"]]["input"].values() for name, spec in group.items()}
            assert inputs[socket["name"]][0] == kind == socket["type"]
    for item in nodes.values():
        info = known[item["type"]]
        packs = ("nodes", "comfy_extras.", "custom_nodes.segs-detailer")
        assert info["python_module"].startswith(packs) or item["type"] in STAND_INS
        linked = {socket["name"] for socket in item["inputs"] if socket["link"] is not None}
        values = list(item["widgets_values"])
        for group in ("required", "optional"):
            for name, spec in info["input"].get(group, {}).items():
                kind = "COMBO" if isinstance(spec[0], list) else spec[0]
                if kind not in ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"):
                    assert group == "optional" or name in linked, f"{item['type']}: {name}"
                    continue
                value, options = values.pop(0), spec[1] if len(spec) > 1 else {}
                if kind == "COMBO":
                    assert value in (spec[0] if isinstance(spec[0], list) else options["options"]), name
                elif kind in ("INT", "FLOAT"):
                    assert options.get("min", value) <= value <= options.get("max", value), name
                if name == "seed" or options.get("video_upload"):
                    values.pop(0)
        assert not values, item["type"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_node_link_and_value_of_an_example_exists(known, path):
    skip_without_nodes(known, path)
    assert_fits(known, loaded(path))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_every_node_link_and_value_of_a_blueprint_exists(known, path):
    skip_without_nodes(known, path)
    workflow = loaded(path)
    [definition], [instance] = workflow["definitions"]["subgraphs"], workflow["nodes"]
    assert_fits(known, definition)
    links = {link["id"]: link for link in definition["links"]}
    for side, end, slot in (("inputs", "origin_id", "origin_slot"), ("outputs", "target_id", "target_slot")):
        number = definition[f"{side[:-1]}Node"]["id"]
        for place, entry in enumerate(definition[side]):
            assert entry["linkIds"]
            assert all((links[link][end], links[link][slot]) == (number, place) for link in entry["linkIds"])
        assert [entry["name"] for entry in instance[side]] == [entry["name"] for entry in definition[side]]
    kinds = {str(item["id"]): known[item["type"]]["input"] for item in definition["nodes"]}
    for owner, name in instance["properties"]["proxyWidgets"]:
        assert any(name in group for group in kinds[owner].values())


def test_the_examples_are_these():
    names = ["animatediff", "controlnet", "face_detail", "ltx2", "mask", "refiner", "sam3_object", "wan"]
    assert [path.stem for path in WORKFLOWS] == names
    assert all(path.with_suffix(".jpg").is_file() for path in WORKFLOWS)


# The browser side

STATE = """app.graph._nodes.map(n => ({
    type: n.type, red: n.has_errors || !(n.type in LiteGraph.registered_node_types),
    values: (n.widgets || []).filter(w => typeof w.value !== 'object').map(w => w.value),
}))"""
DIALOGS = "[...document.querySelectorAll('.p-dialog')].map(d => d.innerText)"


@pytest.fixture(scope="module")
def page(server, tmp_path_factory):
    if browser.chromium() is None:
        pytest.skip("no Chromium")
    with Browser(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"http://127.0.0.1:{server.port}/", READY)
        yield page


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_opens_without_a_red_node(known, page, path):
    skip_without_nodes(known, path)
    workflow = loaded(path)
    shown(page, workflow)
    state = page.evaluate(STATE)
    assert [item["type"] for item in state] == [item["type"] for item in workflow["nodes"]]
    assert not [item for item in state if item["red"]]
    assert page.evaluate(DIALOGS) == []
    for item, saved in zip(state, workflow["nodes"], strict=True):
        # The browser adds widgets of its own behind those that are saved.
        assert item["values"][: len(saved["widgets_values"])] == saved["widgets_values"], item["type"]
    assert page.evaluate("app.graph.links.size ?? Object.keys(app.graph.links).length") == len(workflow["links"])


def test_sockets_of_several_types_take_each_of_them(page):
    """And the widgets beside them stay as they are."""
    code = """(() => {
        app.graph.clear();
        const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
        const source = add("TinyBoxes"), faces = add("TinyFaces"), tracks = add("TinyTrack");
        const links = [];
        const connect = (from, slot, type, name) => {
            const node = add(type), place = node.findInputSlot(name);
            links.push([node.inputs[place].type, !!from.connect(slot, node, place), node.inputs[place].link != null]);
            return node;
        };
        const boxes = connect(source, 0, "SegsDetailerBoxes", "bounding_boxes");
        connect(source, 1, "SegsDetailerBoxes", "bounding_boxes");
        connect(faces, 0, "SegsDetailerFaceLandmarks", "face_landmarks");
        connect(tracks, 0, "SegsDetailerTrackToSegs", "track_data");
        connect(faces, 0, "SegsDetailerBoxes", "bounding_boxes");
        return {links, widgets: boxes.widgets.map(widget => [widget.name, widget.value])};
    })()"""
    shown_there = page.evaluate(code)
    both = "BOUNDING_BOX,BBOX"
    expected = [[both, True, True], [both, True, True], ["FACE_LANDMARKS", True, True], ["SAM3_TRACK_DATA", True, True]]
    assert shown_there["links"] == [*expected, [both, False, False]]
    assert [name for name, _ in shown_there["widgets"]] == [
        *("boxes", "crop_factor", "label", "bbox_format", "min_frames", "max_gap", "drop_size", "crop")
    ]
    assert dict(shown_there["widgets"])["boxes"] == "[[0, 0, 64, 64]]"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_runs_on_tiny_models(server, known, page, path):
    skip_without_nodes(known, path)
    shown(page, loaded(path))
    prompt = on_tiny_models(page.evaluate("app.graphToPrompt().then(p => p.output)"))
    [name] = [name for name, item in prompt.items() if item["class_type"] == "SegsDetailerForVideo"]
    prompt["keep"] = keep(path.stem, image=[name, 0], segs=[name, 1])
    assert end_of(server.run(prompt)) == "execution_success"
    kept = server.kept(path.stem)
    assert len(kept["image"]) == FRAMES
    x1, y1, x2, y2 = kept["region_0"][4:]
    height, width = kept["size"]
    assert 0 < (x2 - x1) * (y2 - y1) < height * width / 2
    assert list((server.base / "output" / "video").glob(f"{path.stem}_*.mp4"))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_served_and_runs_on_tiny_models(server, known, page, path):
    """With a clip before it, and conditioning and models where it takes them."""
    skip_without_nodes(known, path)
    try:
        served = server.get("/global_subgraphs")
    except HTTPError as error:
        error.close()
        pytest.skip("this ComfyUI has no blueprints")
    [number] = [number for number, entry in served.items() if entry["name"] == path.stem]
    assert served[number]["info"] == {"node_pack": "custom_nodes.segs-detailer"}
    workflow = json.loads(server.get(f"/global_subgraphs/{number}")["data"])
    assert workflow == loaded(path)
    shown(page, workflow)
    state = page.evaluate(STATE)
    assert [item["type"] for item in state if item["red"]] == []
    # The widgets that its node shows are those of the nodes in it, and of inputs that are values.
    [definition], [instance] = workflow["definitions"]["subgraphs"], workflow["nodes"]
    own = [entry for entry in definition["inputs"] if entry["type"] == "FLOAT"]
    assert len(state[0]["values"]) == len(instance["properties"]["proxyWidgets"]) + len(own)
    prompt = page.evaluate("app.graphToPrompt().then(p => p.output)")
    assert len(prompt) == len(definition["nodes"])
    sources = {"image_frames": ["clip", 0], "model": ["own", 0], "clip": ["own", 1], "vae": ["own", 2]}
    sources |= {"positive": ["own", 3], "negative": ["own", 4], "audio": ["clip", 1], "fps": ["clip", 2]}
    links = {link["id"]: link for link in definition["links"]}
    for entry in definition["inputs"]:
        for number in entry["linkIds"]:
            link = links[number]
            name = next(item for item in definition["nodes"] if item["id"] == link["target_id"])["inputs"]
            prompt[f"1:{link['target_id']}"]["inputs"][name[link["target_slot"]]["name"]] = sources[entry["name"]]
    if any(entry["name"] == "model" for entry in definition["inputs"]):
        prompt["own"] = node("TinyModel", seed=1, seconds_per_step=0.0, inpaint=False)
    prompt["video"] = node("LoadVideo", file="sample.mp4")
    prompt["clip"] = node("GetVideoComponents", video=["video", 0])
    prompt = on_tiny_models(prompt)
    [name] = [name for name, item in prompt.items() if item["class_type"] == "SegsDetailerForVideo"]
    prompt["keep"] = keep("blueprint", image=[name, 0], segs=[name, 1])
    assert end_of(server.run(prompt)) == "execution_success"
    kept = server.kept("blueprint")
    assert len(kept["image"]) == FRAMES
    assert "crop_0" in kept


def test_the_browser_finds_the_help_pages(server, page):
    address = f"http://127.0.0.1:{server.port}/extensions/segs-detailer/docs/SegsDetailerPaste.md"
    assert page.evaluate(f"fetch('{address}').then(answer => answer.text())").startswith("# SEGS Paste\n")


def test_comfyuis_templates_list_the_examples_with_their_pictures(server, page):
    """The template browser lists them under the folder's name, with the JPEG of the same name."""
    assert sorted(server.get("/api/workflow_templates")["segs-detailer"]) == [path.stem for path in WORKFLOWS]
    for path in WORKFLOWS:
        address = f"http://127.0.0.1:{server.port}/api/workflow_templates/segs-detailer/{path.stem}"
        assert server.get(f"/api/workflow_templates/segs-detailer/{path.stem}.json") == loaded(path)
        kind = page.evaluate(f"fetch('{address}.jpg').then(a => [a.status, a.headers.get('content-type')])")
        assert kind == [200, "image/jpeg"]


def test_a_missing_node_would_be_seen(page):
    workflow = loaded(WORKFLOWS[0])
    workflow["nodes"][0]["type"] = "OfNoPack"
    shown(page, workflow)
    assert [item["type"] for item in page.evaluate(STATE) if item["red"]] == ["OfNoPack"]
    assert any("OfNoPack" in text for text in page.evaluate(DIALOGS))
    # The dialog would lie over what the tests after this one click on.
    page.evaluate("document.querySelectorAll('.p-dialog-close-button').forEach(button => button.click())")
    until(page, f"{DIALOGS}.length", 0)


# Picking subjects by their tiles

# Each run has a name of its own: what ComfyUI has cached is not written again.
PICKING = """(async (prefix, form = 'litegraph') => {
    await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', form === 'vue');
    app.graph.clear();
    const make = (type, x, values) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, 120];
        for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value;
        app.graph.add(node);
        return node;
    };
    const join = (from, out, to, name) => from.connect(out, to, to.inputs.findIndex(input => input.name === name));
    const clip = make('TinyClip', 100, {});
    const segs = make('SegsDetailerMaskToSegs', 400, {crop_factor: 1.5, drop_size: 4});
    const pick = make('SegsDetailerPick', 700, {});
    const keep = make('Keep', 1100, {name: `${prefix}picked`});
    const rest = make('Keep', 1100, {name: `${prefix}remained`});
    rest.pos = [1100, 300];
    join(clip, 1, segs, 'masks');
    join(clip, 0, pick, 'image_frames');
    join(segs, 0, pick, 'segs');
    join(pick, 0, keep, 'segs');
    join(pick, 1, rest, 'segs');
})"""
# The node, wherever it is in the graph and its subgraphs.
PICK = """(() => {
    const graphs = [app.graph, ...(app.graph.subgraphs?.values() ?? [])];
    return graphs.flatMap(graph => graph._nodes).find(node => node.comfyClass === 'SegsDetailerPick');
})()"""
TILES = f"[...{PICK}.widgets.find(w => w.name === 'tiles').element.querySelectorAll('button')]"
TICKED = f"{TILES}.map(tile => tile.ariaChecked === 'true')"
TEXT = f"{PICK}.widgets.find(w => w.name === 'picks').value"


def until(page, expression, expected):
    page.evaluate(
        f"""(async () => {{
            const end = Date.now() + 20000;
            while (JSON.stringify({expression}) !== '{expected}') {{
                if (Date.now() > end) throw new Error(`it is ${{JSON.stringify({expression})}}`);
                await new Promise(done => setTimeout(done, 50));
            }}
        }})()"""
    )


def queue(page, server, name):
    """Run what the page shows, and return what the node Keep wrote."""
    file = server.base / "output" / f"{name}.npz"
    file.unlink(missing_ok=True)
    page.evaluate("app.queuePrompt(0)")
    end = time.monotonic() + PATIENCE
    while not file.is_file() and time.monotonic() < end:
        time.sleep(0.05)
    until(page, f"{TILES}.length", 2)
    return server.kept(name)


def click(page, number):
    """A click of the mouse on a tile, as it lies on the screen."""
    x, y = page.evaluate(
        f"""(async () => {{
            const middle = () => {{
                const box = {TILES}[{number - 1}].getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }};
            // Nodes 2.0 lays its nodes out in several steps.
            for (let last = null; String(last) !== String(middle()); ) {{
                last = middle();
                await new Promise(done => setTimeout(done, 300));
            }}
            return middle();
        }})()"""
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def box_of(kept, index=0):
    return kept[f"region_{index}"][4:].tolist()


FIRST, SECOND = [16, 20, 54, 52], [80, 50, 112, 82]


@pytest.mark.parametrize("form", ["litegraph", "vue"])
def test_a_click_on_a_tile_picks_a_subject_and_is_kept(server, page, form):
    page.evaluate(f"{PICKING}('{form}', '{form}')")
    assert page.evaluate(f"{PICK}.widgets.at(-1).element.innerText") == "Run the workflow to see the segments."
    kept = queue(page, server, f"{form}picked")
    assert [box_of(kept), box_of(kept, 1)] == [FIRST, SECOND]
    assert "region_0" not in server.kept(f"{form}remained")
    assert page.evaluate(f"{TILES}.map(tile => tile.innerText)") == ["1 A", "2 A"]
    until(page, f"{TILES}.map(tile => tile.querySelector('img').naturalWidth)", "[128,128]")

    click(page, 2)
    until(page, TEXT, '"2"')
    assert page.evaluate(TICKED) == [False, True]
    if form == "vue":
        until(page, f"document.querySelector(`[data-node-id='${{{PICK}.id}}'] input`).value", '"2"')
    kept = queue(page, server, f"{form}picked")
    assert box_of(kept) == SECOND
    assert "region_1" not in kept
    assert box_of(server.kept(f"{form}remained")) == FIRST

    # The saved workflow has the numbers, and of the tiles nothing.
    saved = json.loads(page.evaluate("JSON.stringify(app.graph.serialize())"))
    [node_saved] = [item for item in saved["nodes"] if item["type"] == "SegsDetailerPick"]
    assert node_saved["widgets_values"] == ["2"]
    prompt = page.evaluate("app.graphToPrompt().then(p => p.output)")
    [inputs] = [item["inputs"] for item in prompt.values() if item["class_type"] == "SegsDetailerPick"]
    assert (inputs["picks"], sorted(inputs)) == ("2", ["image_frames", "picks", "segs"])

    # Opened again, it has no tiles before its next run, and picks what it did.
    shown(page, saved)
    until(page, TEXT, '"2"')
    assert page.evaluate(f"{TILES}.length") == 0
    page.evaluate("app.queuePrompt(0)")
    until(page, TICKED, "[false,true]")
    click(page, 1)
    until(page, TEXT, '"1,2"')
    click(page, 2)
    click(page, 1)
    until(page, TEXT, '""')
    assert page.evaluate(DIALOGS) == []


def test_tiles_follow_what_is_typed(server, page):
    page.evaluate(f"{PICKING}('typed')")
    queue(page, server, "typedpicked")
    typed = f"(text => {{ const w = {PICK}.widgets[0]; w.value = text; w.callback(text); }})"
    page.evaluate(f"{typed}('1')")
    assert page.evaluate(TICKED) == [True, False]
    page.evaluate(f"{typed}(' 2 , 7')")
    assert page.evaluate(TICKED) == [False, True]
    assert page.evaluate(f"{PICK}.widgets.at(-1).element.innerText").startswith("There is no segment 7 any more.")


def test_tiles_come_to_a_node_in_a_subgraph(server, page):
    page.evaluate(f"{PICKING}('inner')")
    if not page.evaluate("typeof app.graph.convertToSubgraph === 'function'"):
        pytest.skip("this ComfyUI has no subgraphs")
    page.evaluate(
        "app.graph.convertToSubgraph(new Set(app.graph._nodes.filter(n => /SegsDetailer/.test(n.comfyClass))));true"
    )
    prompt = page.evaluate("app.graphToPrompt().then(p => p.output)")
    [number] = [name for name, item in prompt.items() if item["class_type"] == "SegsDetailerPick"]
    assert ":" in number
    assert box_of(queue(page, server, "innerpicked")) == FIRST
    page.evaluate(f"{TILES}[1].click()")
    assert box_of(queue(page, server, "innerpicked")) == SECOND
    assert page.evaluate(TICKED) == [False, True]


def test_a_number_that_no_segment_has_any_more_is_named(server):
    prompt = graph(pick=node("SegsDetailerPick", image_frames=["clip", 0], segs=["segs", 0], picks="2,5"))
    with pytest.raises(AssertionError, match="picks: expected numbers of the segments that come, A: 1 to 2, got 5"):
        end_of(server.run(prompt))


def test_the_browser_speaks_the_languages(server, tmp_path):
    known = server.get("/i18n")
    assert {"en", "fr", "ja", "ko", "zh"} <= set(known)
    assert known["zh"]["nodeDefs"]["SegsDetailerPaste"]["display_name"] == "SEGS 粘贴"
    if browser.chromium() is None:
        pytest.skip("no Chromium")
    server.post("/settings/Comfy.Locale", "zh")
    try:
        with Browser(tmp_path) as page:
            page.open(f"http://127.0.0.1:{server.port}/", READY)
            page.evaluate(f"{PICKING}('zh')")
            assert page.evaluate(f"{PICK}.title") == "选取主体"
            assert page.evaluate(f"{PICK}.inputs[0].label ?? {PICK}.inputs[0].localized_name") == "视频帧"
            until(page, f"{PICK}.widgets.at(-1).element.innerText", '"运行工作流后即可看到分割区域。"')
    finally:
        server.post("/settings/Comfy.Locale", "en")
