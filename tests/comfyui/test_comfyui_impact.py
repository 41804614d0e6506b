"""Impact Pack beside our nodes in one running ComfyUI: the same inputs, and each other's SEGS."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import browser
import comfy_server
import numpy as np
import pytest
from browser import Browser
from comfy_server import ComfyServer, base_folder, end_of
from impact_workflows import EACH_WIDGETS, as_prompt, two_nodes
from test_comfyui_server import SAMPLING, graph, keep, node
from workflows import READY, shown

from segs_detailer.cli.main import main

VARIABLE = "IMPACT_PACK_PATH"

pytestmark = [
    pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON),
    pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} does not name an Impact Pack checkout"),
]

TOLERANCE = 3 / 255
THEIRS = "DetailerForEachPipeForAnimateDiff"
OURS = "SegsDetailerForVideo"

# Of 7.10.6: newer browser sides load no workflow with a switch beside it.
BROKEN_SCRIPT = "comboBoolMigration.js"

# Detectors and a companion repository that its nodes for clips never call.
STUBS = {
    "stubs/segment_anything.py": "SamPredictor = sam_model_registry = None\n",
    "stubs/piexif.py": "",
    "impact_subpack/impact/subpack_nodes.py": "NODE_CLASS_MAPPINGS = {}\nNODE_DISPLAY_NAME_MAPPINGS = {}\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = base_folder(tmp_path_factory.mktemp("comfyui"))
    pack = base / "custom_nodes" / "ComfyUI-Impact-Pack"
    shutil.copytree(os.environ[VARIABLE], pack, ignore=shutil.ignore_patterns(".git", "__pycache__", BROKEN_SCRIPT))
    for name, text in STUBS.items():
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(pack / "stubs"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        server = ComfyServer(base, "--disable-api-nodes")
    yield server
    server.stop()


def detail(kind, **changes):
    inputs = {"image_frames": ["clip", 0], "segs": ["segs", 0], "basic_pipe": ["pipe", 0], "feather": 5, **SAMPLING}
    return node(kind, **{**inputs, **changes})


def still(**nodes):
    """Boxes of 32 pixels, and crops of 64: working sizes that need no rounding."""
    prompt = {**graph(**nodes), "clip": node("TinyClip", frames=4, speed=0)}
    prompt["segs"]["inputs"]["crop_factor"] = 2.0
    return prompt


def test_both_packs_are_there(server):
    known = server.get("/object_info")
    assert {THEIRS, OURS, "SEGSPaste", "SegsDetailerPaste"} <= set(known)
    assert known["SEGSPaste"]["python_module"] == "custom_nodes.ComfyUI-Impact-Pack"
    assert Path(known[OURS]["python_module"]).name == "custom_nodes.segs-detailer"


def test_their_schedules_are_among_ours(server):
    known = server.get("/object_info")
    theirs = known[THEIRS]["input"]["required"]["scheduler"][0]
    options = known[OURS]["input"]["required"]["scheduler"]
    ours = options[0] if isinstance(options[0], list) else options[1]["options"]
    assert list(ours) == list(theirs)
    assert {"AYS SDXL", "AYS SD1", "AYS SVD", "GITS[coeff=1.2]"} <= set(ours)


def test_every_input_of_theirs_is_one_of_ours(server):
    known = server.get("/object_info")
    for theirs, ours in (
        (THEIRS, OURS),
        ("SEGSDetailerForAnimateDiff", "SegsDetailerSegsForVideo"),
        ("SEGSPaste", "SegsDetailerPaste"),
        ("ToBasicPipe", "SegsDetailerToBasicPipe"),
        ("FromBasicPipe_v2", "SegsDetailerFromBasicPipe"),
    ):
        for group in ("required", "optional"):
            names = known[theirs]["input_order"].get(group, [])
            own = known[ours]["input_order"].get(group, [])
            # In their order, with ours in between or after.
            assert [name for name in own if name in names] == names
            for name in names:
                kinds = [known[pack]["input"][group][name][0] for pack in (theirs, ours)]
                kinds = ["COMBO" if isinstance(kind, list) else kind for kind in kinds]
                assert kinds[0] == kinds[1], (ours, name)
        assert list(known[ours]["output"]) == list(known[theirs]["output"])


@pytest.mark.parametrize(
    "changes",
    [
        {"guide_size": 64, "guide_size_for": False},
        {"guide_size": 64},
        {"guide_size": 64, "sampler_name": "dpmpp_2m", "scheduler": "karras", "steps": 5},
        {"guide_size": 64, "sampler_name": "dpmpp_2m_sde", "denoise": 0.4},
        {"guide_size": 64, "sampler_name": "euler_ancestral", "cfg": 1.0},
        {"guide_size": 64, "sampler_name": "ddim", "scheduler": "ddim_uniform"},
        {"guide_size": 64, "sampler_name": "uni_pc", "denoise": 0.3},
        {"guide_size": 64, "scheduler": "AYS SD1", "denoise": 0.4},
        {"guide_size": 64, "scheduler": "AYS SDXL", "sampler_name": "dpm_2"},
        {"guide_size": 96, "max_size": 96, "guide_size_for": False},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_the_same_inputs_give_the_same_frames(server, changes):
    prompt = still(
        theirs=detail(THEIRS, **changes),
        ours=detail(OURS, **changes),
        keep_theirs=keep("theirs", image=["theirs", 0]),
        keep_ours=keep("ours", image=["ours", 0]),
        keep_before=keep("before", image=["clip", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    theirs, ours, before = (server.kept(name)["image"] for name in ("theirs", "ours", "before"))
    assert np.abs(theirs - before).max() > 0.1
    assert np.abs(theirs - ours).max() <= TOLERANCE


def test_a_schedule_of_a_node_that_theirs_may_not_find(server):
    """Where ComfyUI's node has no `get_sigmas`, Impact Pack's own nodes end with an error."""
    ours = detail(OURS, guide_size=64, guide_size_for=False, scheduler="GITS[coeff=1.2]")
    prompt = still(ours=ours, keep_ours=keep("ours", image=["ours", 0]), keep_before=keep("before", image=["clip", 0]))
    assert end_of(server.run(prompt)) == "execution_success"
    ours, before = (server.kept(name)["image"] for name in ("ours", "before"))
    assert np.abs(ours - before).max() > 0.1


def test_their_segs_in_our_nodes_and_ours_in_theirs(server):
    settings = {"guide_size": 64, "guide_size_for": False}
    widgets = {"combined": False, "crop_factor": 2.0, "bbox_fill": False, "drop_size": 4, "contour_fill": False}
    prompt = still(
        their_segs=node("MaskToSEGS_for_AnimateDiff", mask=["clip", 1], **widgets),
        ours=detail(OURS, segs=["their_segs", 0], **settings),
        our_crops=node(
            "SegsDetailerSegsForVideo",
            image_frames=["clip", 0],
            segs=["their_segs", 0],
            basic_pipe=["pipe", 0],
            **{**SAMPLING, **settings},
        ),
        their_paste=node("SEGSPaste", image=["clip", 0], segs=["our_crops", 0], feather=5, alpha=255),
        their_crops=node(
            "SEGSDetailerForAnimateDiff",
            image_frames=["clip", 0],
            segs=["segs", 0],
            basic_pipe=["pipe", 0],
            **{**SAMPLING, **settings},
        ),
        our_paste=node("SegsDetailerPaste", image=["clip", 0], segs=["their_crops", 0], feather=5, alpha=255),
        chosen=node(
            "SegsDetailerOrder", segs=["their_segs", 0], by="confidence", descending=True, take_start=0, take_count=0
        ),
        their_filter=node("ImpactSEGSLabelFilter", segs=["chosen", 0], preset="all", labels="A"),
        keep_ours=keep("ours", image=["ours", 0]),
        keep_their_paste=keep("their_paste", image=["their_paste", 0]),
        keep_our_paste=keep("our_paste", image=["our_paste", 0]),
        keep_filter=keep("filter", segs=["their_filter", 0]),
        keep_segs=keep("our_segs", segs=["segs", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    ours, their_paste, our_paste = (server.kept(name)["image"] for name in ("ours", "their_paste", "our_paste"))
    # The subjects do not overlap, so that one after the other is the same as all and then pasted.
    assert np.abs(ours - their_paste).max() <= TOLERANCE
    assert np.abs(ours - our_paste).max() <= TOLERANCE
    filtered, own = server.kept("filter"), server.kept("our_segs")
    assert filtered["size"].tolist() == [96, 128]
    regions = {tuple(filtered[f"region_{index}"]) for index in range(2)}
    assert regions == {tuple(own[f"region_{index}"]) for index in range(2)}


def test_masks_of_our_segs_by_their_nodes_and_back(server):
    widgets = {"combined": False, "crop_factor": 2.0, "bbox_fill": False, "drop_size": 4, "contour_fill": False}
    moving = {**widgets, "crop_factor": 1.5}
    prompt = still(
        first=node("SegsDetailerOrder", segs=["segs", 0], by="x1", descending=False, take_start=0, take_count=1),
        stack=node("ImpactSEGSToMaskBatch", segs=["first", 0]),
        again=node("SegsDetailerMaskToSegs", masks=["stack", 0], **moving),
        boxes=node(
            "SegsDetailerBoxes", image_frames=["clip", 0], boxes="[[16, 20, 48, 52]]", crop_factor=1.0, label="box"
        ),
        one=node("SegsToCombinedMask", segs=["boxes", 0]),
        of_one=node("SegsDetailerMaskToSegs", masks=["one", 0], **widgets),
        **{f"keep_{name}": keep(name, segs=[name, 0]) for name in ("first", "again", "boxes", "of_one")},
    )
    prompt["clip"] = node("TinyClip", frames=4)
    prompt["segs"]["inputs"] |= moving
    assert end_of(server.run(prompt)) == "execution_success"
    first, again, boxes, of_one = (server.kept(name) for name in ("first", "again", "boxes", "of_one"))
    assert first["region_0"].tolist() == again["region_0"].tolist()
    assert boxes["region_0"][4:].tolist() == of_one["region_0"][4:].tolist() == [16, 20, 48, 52]


def test_masks_that_are_drawn_when_read_in_their_nodes(server):
    widgets = {"object_indices": "", "label": "", "min_share": 0.0, "max_gap": 12, "drop_size": 4, "grow": 0}
    settings = {"guide_size": 64, "guide_size_for": False}
    crops = {**SAMPLING, **settings, "image_frames": ["clip", 0], "segs": ["objects", 0], "basic_pipe": ["pipe", 0]}
    prompt = graph(
        track=node("TinyTrack", frames=4, found=True),
        objects=node(
            "SegsDetailerTrackToSegs", track_data=["track", 0], image_frames=["clip", 0], crop_factor=1.5, **widgets
        ),
        stack=node("ImpactSEGSToMaskBatch", segs=["objects", 0]),
        same=node("SegsDetailerMaskToSegs", **graph()["segs"]["inputs"] | {"masks": ["stack", 0]}),
        theirs=detail(THEIRS, segs=["objects", 0], **settings),
        dense=detail(THEIRS, **settings),
        crops=node("SEGSDetailerForAnimateDiff", **crops),
        pasted=node("SEGSPaste", image=["clip", 0], segs=["crops", 0], feather=5, alpha=255),
        **{f"keep_{name}": keep(name, image=[name, 0]) for name in ("theirs", "dense", "pasted")},
        **{f"keep_{name}": keep(name, segs=[name, 0]) for name in ("objects", "same")},
    )
    assert end_of(server.run(prompt)) == "execution_success"
    theirs, dense, pasted = (server.kept(name)["image"] for name in ("theirs", "dense", "pasted"))
    assert np.array_equal(theirs, dense)
    assert np.abs(pasted - theirs).max() <= TOLERANCE
    objects, same = server.kept("objects"), server.kept("same")
    assert objects["region_0"].tolist() == same["region_0"].tolist()
    assert objects["region_1"].tolist() == same["region_1"].tolist()


THEIR_PIPE = node(
    "ToBasicPipe",
    **{name: ["model", place] for place, name in enumerate(("model", "clip", "vae", "positive", "negative"))},
)


def test_their_pipe(server):
    assert_same(server, {"their_pipe": THEIR_PIPE}, basic_pipe=["their_pipe", 0])


def test_what_is_applied_to_the_model_counts(server):
    applied = {"rescaled": node("RescaleCFG", model=["model", 0], multiplier=0.9)}
    applied["pipe_of_it"] = node("ToBasicPipe", **{**THEIR_PIPE["inputs"], "model": ["rescaled", 0]})
    frames = assert_same(server, applied, basic_pipe=["pipe_of_it", 0], cfg=6.0)
    assert np.abs(frames - assert_same(server, {}, cfg=6.0)).max() > 0.01


def test_a_schedule_of_the_graphs(server):
    """Their own provider asks ComfyUI for a method that its node of the same name no longer has."""
    steep = {"schedule": node("TinySchedule")}
    frames = assert_same(server, steep, scheduler_func_opt=["schedule", 0])
    assert np.abs(frames - assert_same(server, {})).max() > 0.01


def test_their_placeholder_for_a_negative(server):
    """Their detailer for clips cannot take it; only the positive runs then, as with a cfg of 1."""
    prompt = still(
        nothing=node("ImpactNegativeConditioningPlaceholder"),
        pipe_of_it=node("ToBasicPipe", **{**THEIR_PIPE["inputs"], "negative": ["nothing", 0]}),
        without=detail(OURS, basic_pipe=["pipe_of_it", 0]),
        at_one=detail(OURS, cfg=1.0),
        keep_without=keep("without", image=["without", 0]),
        keep_at_one=keep("at_one", image=["at_one", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    assert np.array_equal(server.kept("without")["image"], server.kept("at_one")["image"])


def assert_same(server, nodes, **changes):
    """Both detailers give the same frames; returns them."""
    settings = {"guide_size": 64, "guide_size_for": False, **changes}
    prompt = still(**nodes, theirs=detail(THEIRS, **settings), ours=detail(OURS, **settings))
    prompt |= {f"keep_{name}": keep(name, image=[name, 0]) for name in ("theirs", "ours")}
    assert end_of(server.run(prompt)) == "execution_success"
    theirs, ours = (server.kept(name)["image"] for name in ("theirs", "ours"))
    assert np.abs(theirs - ours).max() <= TOLERANCE
    return ours


def test_their_hooks(server):
    prompt = still(
        noise=node("VariationNoiseDetailerHookProvider", seed=5, strength=0.5),
        first=node("SEGSOrderedFilterDetailerHookProvider", target="x1", order=False, take_start=0, take_count=1),
        both=node("SegsDetailerCombineHooks", hook1=["first", 0], hook2=["noise", 0]),
        cycles=node("DenoiseSchedulerDetailerHookProvider", schedule_for_cycle="simple", target_denoise=0.2),
        free=detail(OURS),
        noisy=detail(OURS, detailer_hook=["noise", 0]),
        one=detail(OURS, detailer_hook=["first", 0]),
        noisy_one=detail(OURS, detailer_hook=["both", 0]),
        in_cycles=detail(OURS, detailer_hook=["cycles", 0]),
        **{
            f"keep_{name}": keep(name, image=[name, 0], segs=[name, 1])
            for name in ("free", "noisy", "one", "noisy_one", "in_cycles")
        },
    )
    assert end_of(server.run(prompt)) == "execution_success"
    free, noisy, one, noisy_one, in_cycles = (
        server.kept(name) for name in ("free", "noisy", "one", "noisy_one", "in_cycles")
    )
    left, right = (slice(None), slice(20, 52), slice(16, 48)), (slice(None), slice(50, 82), slice(80, 112))
    assert np.abs(noisy["image"] - free["image"])[left].max() > 0.01
    assert np.abs(noisy["image"] - free["image"])[right].max() > 0.01
    # The second segment is filtered out.
    assert "region_1" not in one
    assert np.array_equal(one["image"][left], free["image"][left])
    assert not np.array_equal(one["image"][right], free["image"][right])
    assert "region_1" not in noisy_one
    assert np.array_equal(noisy_one["image"][left], noisy["image"][left])
    # Theirs goes over cycles, of which there is one.
    assert np.array_equal(in_cycles["image"], free["image"])


def test_their_control_net_beside_ours(server):
    widgets = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    both = {**widgets, "control_image": ["clip", 0]}
    theirs, ours = "ImpactControlNetApplyAdvancedSEGS", "SegsDetailerControlNet"
    names = ("none", "theirs", "ours", "theirs_then_ours", "ours_then_theirs")
    prompt = still(
        net=node("TinyControlNet", seed=2),
        other=node("TinyControlNet", seed=5),
        theirs=node(theirs, segs=["segs", 0], control_net=["net", 0], **both),
        ours=node(ours, segs=["segs", 0], control_net=["other", 0], **both),
        theirs_then_ours=node(ours, segs=["theirs", 0], control_net=["other", 0], **both),
        ours_then_theirs=node(theirs, segs=["ours", 0], control_net=["net", 0], **both),
        **{f"detail_{name}": detail(OURS, segs=["segs" if name == "none" else name, 0]) for name in names},
        **{f"keep_{name}": keep(name, image=[f"detail_{name}", 0]) for name in names},
    )
    assert end_of(server.run(prompt)) == "execution_success"
    frames = {name: server.kept(name)["image"] for name in names}
    for name, other in (("theirs", "none"), ("ours", "none"), ("theirs_then_ours", "theirs")):
        assert np.abs(frames[name] - frames[other]).max() > 0.01
    assert np.abs(frames["theirs_then_ours"] - frames["ours"]).max() > 0.01
    # The order of what is added up does not count.
    assert np.abs(frames["theirs_then_ours"] - frames["ours_then_theirs"]).max() < 0.01


def test_their_dummy_in_the_place_of_a_model(server):
    prompt = still(
        dummy=node("ImpactDummyInput"),
        pipe_of_it=node("ToBasicPipe", **{**THEIR_PIPE["inputs"], "model": ["dummy", 0]}),
        ours=detail(OURS, basic_pipe=["pipe_of_it", 0], scheduler="AYS SD1"),
        keep_ours=keep("ours", image=["ours", 0], segs=["ours", 1]),
        keep_before=keep("before", image=["clip", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    ours, before = server.kept("ours"), server.kept("before")["image"]
    assert np.array_equal(ours["image"], before)
    x1, y1, x2, y2 = ours["region_0"][:4]
    assert np.array_equal(ours["crop_0"], before[:, y1:y2, x1:x2])


def test_our_control_nets_and_hooks_in_their_detailer(server):
    control = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    settings = {**SAMPLING, "guide_size": 64, "guide_size_for": False, "feather": 5, "cycle": 2, "wildcard": ""}
    inputs = {"image": ["clip", 0], "basic_pipe": ["pipe", 0], "noise_mask": True, "force_inpaint": True, **settings}
    prompt = still(
        net=node("TinyControlNet", seed=2),
        steered=node(
            "SegsDetailerControlNet", segs=["segs", 0], control_net=["net", 0], control_image=["clip", 0], **control
        ),
        denoise=node("SegsDetailerDenoiseHook", target_denoise=0.1),
        cfg=node("SegsDetailerCfgHook", target_cfg=1.0),
        hook=node("SegsDetailerCombineHooks", hook1=["denoise", 0], hook2=["cfg", 0]),
        plain=node("DetailerForEachPipe", segs=["segs", 0], **inputs),
        controlled=node("DetailerForEachPipe", segs=["steered", 0], **inputs),
        hooked=node("DetailerForEachPipe", segs=["segs", 0], detailer_hook=["hook", 0], **inputs),
        keep_plain=keep("plain", image=["plain", 0]),
        keep_controlled=keep("controlled", image=["controlled", 0]),
        keep_hooked=keep("hooked", image=["hooked", 0]),
    )
    # Their detailers of pictures take one.
    prompt["clip"] = node("TinyClip", frames=1, speed=0)
    assert end_of(server.run(prompt)) == "execution_success"
    plain, controlled, hooked = (server.kept(name)["image"] for name in ("plain", "controlled", "hooked"))
    assert np.abs(controlled - plain).max() > 0.01
    assert np.abs(hooked - plain).max() > 0.01


# Workflows of theirs, converted

CLOSE = 2 / 255
# Theirs scales crops in 8 bits, which are cut off twice.
SCALED = 3 / 255


def converted(folder, workflow):
    """What the command makes of a workflow."""
    (folder / "theirs.json").write_text(json.dumps(workflow, indent=1), encoding="utf-8")
    output = folder / "ours.json"
    assert main(["comfyui", "convert", str(folder / "theirs.json"), "-o", str(output), "--overwrite"]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def kept_frames(server, prompt):
    assert end_of(server.run(prompt)) == "execution_success"
    return {name: server.kept(name) for name in ("pasted", "each")}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guide_size_for": True, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 0.35},
        {"feather": 9, "cfg": 1.0},
        {"scheduler": "AYS SD1", "sampler_name": "euler_ancestral"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "plain",
)
def test_a_converted_workflow_of_their_two_nodes_gives_their_frames(server, tmp_path, changes):
    prompt = as_prompt(two_nodes())
    for item in prompt.values():
        if "denoise" in item["inputs"]:
            item["inputs"] |= {name: value for name, value in changes.items() if name in item["inputs"]}
    theirs = kept_frames(server, prompt)
    made = converted(tmp_path, prompt)
    kinds = {item["class_type"] for item in made.values()}
    assert {"SegsDetailerForVideo", "SegsDetailerSegsForVideo", "SegsDetailerPaste"} <= kinds
    assert not kinds & {item["class_type"] for item in prompt.values()} - {"TinyModel", "TinyClip", "Keep"}
    ours = kept_frames(server, made)
    assert end_of(server.run({"3": prompt["3"], "keep": keep("before", image=["3", 0])})) == "execution_success"
    before = server.kept("before")["image"]
    for name, frames in theirs.items():
        assert np.abs(frames["image"] - before).max() > 0.05, name
        difference = np.abs(frames["image"] - ours[name]["image"]).max()
        assert difference <= (SCALED if changes.get("guide_size_for") else CLOSE), (name, difference * 255)
        regions = [{tuple(kept[f"region_{index}"]) for index in range(2)} for kept in (frames, ours[name])]
        assert regions[0] == regions[1]


@pytest.fixture(scope="module")
def page(server, tmp_path_factory):
    if browser.chromium() is None:
        pytest.skip("no Chromium")
    with Browser(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"http://127.0.0.1:{server.port}/", READY)
        yield page


def prompt_of(page, workflow):
    """What the browser makes of a workflow for the API."""
    shown(page, workflow)
    prompt = page.evaluate("app.graphToPrompt().then(p => p.output)")
    return {name: {"class_type": item["class_type"], "inputs": item["inputs"]} for name, item in prompt.items()}


def test_both_forms_of_a_workflow_are_converted_alike(page, tmp_path):
    """The browser reads theirs and ours; what it sends of ours is what conversion makes of what it sends of theirs."""
    workflow = two_nodes()
    theirs = prompt_of(page, workflow)
    assert theirs["7"]["inputs"].items() >= EACH_WIDGETS.items()
    ours = prompt_of(page, converted(tmp_path, workflow))
    assert ours == converted(tmp_path, theirs)


def test_what_the_browser_saves_anew_is_converted_alike(page, tmp_path):
    """A newer browser writes a socket for each widget."""
    shown(page, two_nodes())
    saved = page.evaluate("app.graph.serialize()")
    assert len(saved["nodes"][6]["inputs"]) > 10
    assert prompt_of(page, converted(tmp_path, saved)) == prompt_of(page, converted(tmp_path, two_nodes()))
