"""Workflows of Impact Pack, converted: both forms, all releases' widgets, and what must stay as it is."""

from __future__ import annotations

import copy
import json
import re

import pytest
from impact_workflows import DETAILER_WIDGETS, EACH_WIDGETS, Canvas, add_pipe, as_prompt, two_nodes, values

from places import ROOT
from segs_detailer.cli.main import main
from segs_detailer.comfyui.conversion.convert import convert_workflow
from segs_detailer.comfyui.conversion.ids import IMPACT_IDS, NO_TWIN, why_kept
from segs_detailer.comfyui.conversion.twins import TITLES, TWINS
from segs_detailer.comfyui.nodes import NODES
from segs_detailer.errors import InvalidArgumentError

OURS = {node.id: node for node in NODES}


def of_type(workflow, kind):
    return [node for node in workflow["nodes"] if node["type"] == kind]


def values_of(node):
    """Values of a node of ours by name."""
    listed, named = list(node["widgets_values"]), {}
    for item in OURS[node["type"]].inputs:
        if item.type in ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"):
            named[item.name] = listed.pop(0)
            if item.name == "seed":
                named["control"] = listed.pop(0)
    assert not listed
    return named


def assert_links_fit(graph):
    nodes = {node["id"]: node for node in graph["nodes"]}
    for number, origin, out, target, into, _ in graph["links"]:
        assert number in nodes[origin]["outputs"][out]["links"]
        assert nodes[target]["inputs"][into]["link"] == number


def lone(kind, widgets, links=None, **more):
    """A workflow of one node behind a clip, with two that use what it gives."""
    canvas = Canvas()
    clip = canvas.add("TinyClip", [4, 0])
    segs = canvas.add("ImpactSEGSConcat")
    sources = {"SEGS": (segs, 0), "IMAGE": (clip, 0), "MASK": (clip, 1)}
    node = canvas.add(kind, widgets, **more)
    for entry in node["inputs"]:
        if entry["type"] in sources and "opt" not in entry["name"]:
            origin, place = sources[entry["type"]]
            number = len(canvas.links) + 1
            into = node["inputs"].index(entry)
            canvas.links.append([number, origin["id"], place, node["id"], into, entry["type"]])
            entry["link"] = number
            origin["outputs"][place]["links"].append(number)
    for place, output in enumerate(node["outputs"]):
        name = {"SEGS": "segs", "IMAGE": "image"}.get(output["type"])
        if name:
            canvas.add("Keep", [f"kept{place}"], links={name: (node, place)})
    return canvas.saved()


def converted(workflow):
    made, report = convert_workflow(workflow)
    if "nodes" in made:
        assert_links_fit(made)
    return made, report


# What is known of both packs


def test_twins_fit_our_declarations():
    for twin in TWINS.values():
        inputs = {item.name: item.type for item in OURS[twin.ours].inputs}
        assert set(twin.names.values()) <= set(inputs)
        assert twin.theirs in IMPACT_IDS
        assert all(place < len(OURS[twin.ours].outputs) for place in twin.outputs)


def test_every_reason_names_nodes_of_ours():
    assert set(NO_TWIN) <= IMPACT_IDS - set(TWINS)
    for kind in NO_TWIN:
        assert any(title in why_kept(kind, TITLES) for title in TITLES.values())
    assert why_kept("FaceDetailer", TITLES) == "it has no twin here"


def test_the_page_has_every_twin():
    page = (ROOT / "docs" / "coming-from-impact-pack.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for twin in TWINS.values():
        [row] = [row for row in rows if f"`{twin.theirs}`" in row.split("|")[1]]
        assert row.split("|")[2].strip() == TITLES[twin.ours]
    for kind in NO_TWIN:
        assert kind in page or "ImpactSimpleDetectorSEGS" in kind or "ONNX" in kind


# What the browser saves


def test_two_detailers_are_swapped_with_their_values_and_links():
    workflow = two_nodes()
    before = copy.deepcopy(workflow)
    made, report = converted(workflow)
    assert workflow == before
    assert [node["type"] for node in made["nodes"]] == [
        "TinyModel",
        "SegsDetailerToBasicPipe",
        "TinyClip",
        "SegsDetailerMaskToSegs",
        "SegsDetailerSegsForVideo",
        "SegsDetailerPaste",
        "SegsDetailerForVideo",
        "Keep",
        "Keep",
    ]
    each = values_of(made["nodes"][6])
    assert each.items() >= EACH_WIDGETS.items()
    assert (each["control"], each["inpaint_model"]) == ("randomize", False)
    assert values_of(made["nodes"][4]).items() >= DETAILER_WIDGETS.items()
    assert values_of(made["nodes"][5]) == {"feather": 5, "alpha": 255}
    segs = made["nodes"][3]
    assert segs["inputs"][0]["name"] == "masks"
    assert values_of(segs).items() >= {"label": "A", "crop": "fixed", "drop_size": 4}.items()
    # All else is as it was.
    for key in ("groups", "extra", "version", "links"):
        assert made[key] == workflow[key]
    assert made["nodes"][7:] == workflow["nodes"][7:]
    assert made["nodes"][6]["pos"] == workflow["nodes"][6]["pos"]
    assert made["nodes"][6]["properties"] == {"Node name for S&R": "SegsDetailerForVideo"}
    assert [item.where for item in report.swapped] == ["2", "4", "5", "6", "7"]
    assert report.kept == []


def test_the_outputs_of_a_pipe_that_goes_apart_are_one_further():
    canvas = Canvas()
    apart = canvas.add("FromBasicPipe", links={"basic_pipe": (add_pipe(canvas), 0)})
    names = ("model", "clip", "vae", "positive", "negative")
    canvas.add("ToBasicPipe", links={name: (apart, place) for place, name in enumerate(names)})
    made, _ = converted(canvas.saved())
    [node] = of_type(made, "SegsDetailerFromBasicPipe")
    assert [output["name"] for output in node["outputs"]] == ["basic_pipe", *names]
    assert [output["slot_index"] for output in node["outputs"][1:]] == [1, 2, 3, 4, 5]
    assert [link[2] for link in made["links"] if link[1] == node["id"]] == [1, 2, 3, 4, 5]
    prompt, _ = converted(as_prompt(canvas.saved()))
    assert [prompt["4"]["inputs"][name] for name in names] == [["3", place] for place in range(1, 6)]


@pytest.mark.parametrize(
    ("missing", "feather"), [((), 10), (("noise_mask_feather",), 0)], ids=["with a noise mask's feather", "without"]
)
@pytest.mark.parametrize("control", [True, False], ids=["with the browser's widget", "without"])
def test_widgets_of_all_releases(missing, feather, control):
    widgets = {name: value for name, value in {**EACH_WIDGETS, "noise_mask_feather": 10}.items() if name not in missing}
    listed = values(widgets) if control else list(widgets.values())
    made, _ = converted(lone("DetailerForEachPipeForAnimateDiff", listed))
    found = values_of(of_type(made, "SegsDetailerForVideo")[0])
    assert found.items() >= {**widgets, "noise_mask_feather": feather}.items()
    assert found["control"] == ("randomize" if control else "fixed")


def test_switches_of_the_oldest_releases_are_words():
    listed = values({**EACH_WIDGETS, "guide_size_for": "crop_region"})
    made, _ = converted(lone("DetailerForEachPipeForAnimateDiff", listed))
    assert values_of(of_type(made, "SegsDetailerForVideo")[0])["guide_size_for"] is False


def test_values_by_name():
    workflow = lone("DetailerForEachPipeForAnimateDiff", [])
    node = of_type(workflow, "DetailerForEachPipeForAnimateDiff")[0]
    node["widgets_values"] = {**EACH_WIDGETS, "control_after_generate": "increment"}
    made, _ = converted(workflow)
    found = values_of(of_type(made, "SegsDetailerForVideo")[0])
    assert found.items() >= EACH_WIDGETS.items()
    assert found["control"] == "increment"


def test_values_without_a_counterpart_are_said():
    listed = [*values(EACH_WIDGETS), True]
    made, report = converted(lone("DetailerForEachPipeForAnimateDiff", listed))
    assert values_of(of_type(made, "SegsDetailerForVideo")[0]).items() >= EACH_WIDGETS.items()
    [item] = [item for item in report.swapped if item.ours == "SegsDetailerForVideo"]
    assert item.notes == ("value 13 = True has no counterpart here, and is left out",)
    # A newer browser tells their names.
    widgets = {"tiled_decode": True, **EACH_WIDGETS}
    workflow = lone("DetailerForEachPipeForAnimateDiff", values(widgets), sockets=tuple(widgets))
    made, report = converted(workflow)
    assert values_of(of_type(made, "SegsDetailerForVideo")[0]).items() >= EACH_WIDGETS.items()
    assert report.swapped[0].notes == ("tiled_decode = True has no counterpart here, and is left out",)


def test_values_that_fit_no_release_keep_the_node():
    made, report = converted(lone("DetailerForEachPipeForAnimateDiff", [512, "what?", 3]))
    assert of_type(made, "DetailerForEachPipeForAnimateDiff")
    assert report.kept[-1].reason == "its 3 values are not those of a release that is known"
    out_of_range = values({**EACH_WIDGETS, "feather": 300})
    _, report = converted(lone("DetailerForEachPipeForAnimateDiff", out_of_range))
    assert report.kept[-1].reason == "its feather is 300, and here from 0 to 100"


def test_widgets_that_were_made_inputs_stay_linked():
    canvas = Canvas()
    segs = canvas.add("ImpactSEGSConcat")
    primitive = canvas.add("PrimitiveNode", [True])
    primitive["outputs"][0]["widget"] = {"name": "order"}
    links = {"segs": (segs, 0), "order": (primitive, 0)}
    canvas.add("ImpactSEGSOrderedFilter", ["x1", True, 0, 2], sockets=("order",), links=links)
    made, _ = converted(canvas.saved())
    [node] = of_type(made, "SegsDetailerOrder")
    [entry] = [entry for entry in node["inputs"] if "widget" in entry]
    assert (entry["name"], entry["widget"], entry["link"]) == ("descending", {"name": "descending"}, 2)
    assert of_type(made, "PrimitiveNode")[0]["outputs"][0]["widget"] == {"name": "descending"}


def test_a_widget_whose_values_are_others_here_must_stand_in_the_workflow():
    canvas = Canvas()
    segs, primitive = canvas.add("ImpactSEGSConcat"), canvas.add("PrimitiveNode", ["x1"])
    links = {"segs": (segs, 0), "target": (primitive, 0)}
    canvas.add("ImpactSEGSOrderedFilter", ["x1", True, 0, 2], sockets=("target",), links=links)
    _, report = converted(canvas.saved())
    assert report.kept[-1].reason == "its target comes from another node, and is written in another way here"


def test_bypassed_nodes_and_their_titles_and_colors_stay():
    workflow = two_nodes()
    workflow["nodes"][6] |= {
        "mode": 4,
        "title": "Faces",
        "color": "#322",
        "properties": {"cnr_id": "comfyui-impact-pack", "ver": "8.0.1"},
    }
    made, report = converted(workflow)
    node = made["nodes"][6]
    assert (node["mode"], node["title"], node["color"]) == (4, "Faces", "#322")
    assert node["properties"] == {"cnr_id": "segs-detailer"}
    assert report.swapped[-1].where == "7 'Faces'"


def in_a_subgraph(proxies=()):
    canvas = Canvas()
    segs = canvas.add("ImpactSEGSConcat")
    canvas.add("ImpactSEGSOrderedFilter", ["x1", True, 0, 2], links={"segs": (segs, 0)})
    canvas.add("SEGSPaste", [7, 128], links={"segs": (segs, 0)})
    inner = canvas.saved()
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(keys, link, strict=True)) for link in inner["links"]]
    # From the subgraph's own input.
    links.append({"id": 9, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0, "type": "IMAGE"})
    inner["nodes"][2]["inputs"][0]["link"] = 9
    definition = {"id": "9d4b", "name": "Filter", "nodes": inner["nodes"], "links": links, "inputs": [], "outputs": []}
    outer = Canvas().saved(definitions={"subgraphs": [definition]})
    instance = {"id": 1, "type": "9d4b", "inputs": [], "outputs": [], "widgets_values": []}
    outer["nodes"].append({**instance, "properties": {"proxyWidgets": [list(proxy) for proxy in proxies]}})
    return outer


def test_nodes_in_subgraphs_are_swapped():
    made, report = convert_workflow(in_a_subgraph())
    [definition] = made["definitions"]["subgraphs"]
    kinds = [node["type"] for node in definition["nodes"]]
    assert kinds == ["ImpactSEGSConcat", "SegsDetailerOrder", "SegsDetailerPaste"]
    assert [item.where for item in report.swapped] == ["2 in the subgraph Filter", "3 in the subgraph Filter"]
    paste = definition["nodes"][2]
    assert paste["inputs"][0]["link"] == 9
    assert values_of(paste) == {"feather": 7, "alpha": 128}


def test_widgets_that_a_subgraph_shows_keep_their_names():
    made, report = convert_workflow(in_a_subgraph(proxies=[("2", "target"), ("3", "feather")]))
    kinds = [node["type"] for node in made["definitions"]["subgraphs"][0]["nodes"]]
    assert kinds == ["ImpactSEGSConcat", "ImpactSEGSOrderedFilter", "SegsDetailerPaste"]
    assert report.kept[-1].reason == "its target is shown on the subgraph, and has another name or values here"


def test_group_nodes_are_said():
    group = {"nodes": [{"type": "SEGSPaste", "index": 0}], "links": []}
    workflow = two_nodes()
    workflow["extra"]["groupNodes"] = {"Paste": group}
    made, report = converted(workflow)
    assert made["extra"]["groupNodes"] == {"Paste": group}
    assert report.kept[-1].reason == "it is in the group node Paste: make a subgraph of it first"


# What the nodes mean


def test_what_is_kept_is_said_with_what_comes_near():
    prompt = {"1": {"class_type": "BboxDetectorSEGS", "inputs": {}}, "2": {"class_type": "KSampler", "inputs": {}}}
    made, report = converted(prompt)
    assert made == prompt
    assert [(item.where, item.theirs) for item in report.kept] == [("1", "BboxDetectorSEGS")]
    assert "BBOX Detector for Video takes the same detector" in report.kept[0].reason
    # Another node of the pack's, of a release to come.
    canvas = Canvas()
    canvas.add("Keep", properties={"cnr_id": "comfyui-impact-pack"})
    assert converted(canvas.saved())[1].kept[0].theirs == "Keep"


@pytest.mark.parametrize(
    ("widgets", "expected"),
    [
        (["area(=w*h)", True, 0, 2], {"by": "area", "descending": True, "take_start": 0, "take_count": 2}),
        (["confidence", "ascending", 1, 2**63 - 1], {"by": "confidence", "descending": False, "take_count": 2**31 - 1}),
        (["x1", True, 0, 0], "a take_count of 0 takes no segment, and all of them here"),
        (["hue", True, 0, 1], "nothing here sorts by hue"),
    ],
)
def test_ordered_filters(widgets, expected):
    made, report = converted(lone("ImpactSEGSOrderedFilter", widgets))
    if isinstance(expected, str):
        assert report.kept[-1].reason == expected
        return
    [node] = of_type(made, "SegsDetailerOrder")
    assert values_of(node).items() >= {**expected, "box": "crop_region"}.items()


@pytest.mark.parametrize(
    ("widgets", "expected"),
    [
        (["area(=w*h)", True, 64, 4096], {"min_area": 64, "max_area": 4096, "box": "crop_region"}),
        (["confidence(0-100)", True, 40, 67108864], {"min_confidence": 0.4, "max_area": 0}),
        (["confidence(0-100)", True, 0, 40], "nothing here holds a confidence below a limit, such as 40"),
        (["length_percent", True, 0, 40], "nothing here divides segments by length_percent"),
        (["area(=w*h)", True, 0, 0], "a max_value of 0 lets nothing through, and everything here"),
    ],
)
def test_range_filters(widgets, expected):
    made, report = converted(lone("ImpactSEGSRangeFilter", widgets))
    if isinstance(expected, str):
        assert report.kept[-1].reason == expected
        return
    assert values_of(of_type(made, "SegsDetailerFilter")[0]).items() >= expected.items()


def test_what_is_outside_a_range_is_what_remains():
    made, _ = converted(lone("ImpactSEGSRangeFilter", ["area(=w*h)", False, 64, 4096]))
    [node] = of_type(made, "SegsDetailerFilter")
    users = {item["widgets_values"][0]: item for item in of_type(made, "Keep")}
    links = {link[0]: link for link in made["links"]}
    # The first output was what is outside.
    places = [links[users[name]["inputs"][1]["link"]][2] for name in ("kept0", "kept1")]
    assert places == [1, 0]
    assert [output["name"] for output in node["outputs"]] == ["filtered", "remained"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("face, hand", "face, hand"),
        ("face,all", ""),
        ("eyes", "eyes, left_eye, right_eye"),
        ("a\nb", None),
        ("", None),
    ],
)
def test_label_filters(labels, expected):
    made, report = converted(lone("ImpactSEGSLabelFilter", ["all", labels]))
    if expected is None:
        assert report.kept[-1].theirs == "ImpactSEGSLabelFilter"
    else:
        assert values_of(of_type(made, "SegsDetailerFilter")[0])["labels"] == expected


@pytest.mark.parametrize(("picks", "expected"), [(" 3, 1,x", "1,3"), ("", None), ("0", None)])
def test_pickers(picks, expected):
    inputs = {"segs": ["1", 0], "picks": picks, "fallback_image_opt": ["1", 1]}
    prompt = {"1": {"class_type": "Loader", "inputs": {}}, "2": {"class_type": "ImpactSEGSPicker", "inputs": inputs}}
    made, report = converted(prompt)
    if expected is None:
        assert made == prompt
    else:
        assert made["2"]["inputs"] == {"image_frames": ["1", 1], "segs": ["1", 0], "picks": expected}
    made, report = converted(lone("ImpactSEGSPicker", ["1"]))
    assert report.kept[-1].reason == "it has no fallback_image_opt: here the frames must be there"


def test_hooks_a_refiner_and_schedules_of_theirs_are_said():
    prompt = as_prompt(two_nodes())
    prompt["7"]["inputs"] |= {"detailer_hook": ["90", 0], "refiner_basic_pipe_opt": ["2", 0], "scheduler": "OSS Wan"}
    prompt["90"] = {"class_type": "VariationNoiseDetailerHookProvider", "inputs": {"seed": 1, "strength": 0.5}}
    made, report = converted(prompt)
    assert made["7"]["inputs"].items() >= {"detailer_hook": ["90", 0], "scheduler": "OSS Wan"}.items()
    [notes] = [item.notes for item in report.swapped if item.where == "7"]
    assert [note.split()[1] for note in notes] == ["schedule", "refiner", "method"]


def test_control_nets():
    inputs = {"segs": ["1", 0], "control_net": ["2", 0], "strength": 0.7}
    simple = {"class_type": "ImpactControlNetApplySEGS", "inputs": inputs}
    percents = {"start_percent": 0.1, "end_percent": 0.9, "vae": ["3", 0]}
    advanced = {"class_type": "ImpactControlNetApplyAdvancedSEGS", "inputs": {**inputs, **percents}}
    both = {**inputs, **percents, "segs_preprocessor": ["4", 0], "control_image": ["5", 0]}
    loaders = {str(number): {"class_type": "Loader", "inputs": {}} for number in range(1, 6)}
    of_both = {"class_type": "ImpactControlNetApplyAdvancedSEGS", "inputs": both}
    made, report = converted({**loaders, "6": simple, "7": advanced, "8": of_both})
    assert made["6"]["inputs"] == {**inputs, "start_percent": 0.0, "end_percent": 1.0}
    assert made["7"]["inputs"] == {**inputs, **percents}
    assert made["8"] == of_both
    assert "here it is one of them" in report.kept[0].reason


def test_inputs_of_the_api_without_a_counterpart():
    prompt = as_prompt(two_nodes())
    prompt["7"]["inputs"] |= {"tiled_decode": True, "inpaint_model": True}
    prompt["5"]["inputs"]["upscale_model_opt"] = ["1", 0]
    made, report = converted(prompt)
    assert "tiled_decode" not in made["7"]["inputs"]
    assert made["7"]["inputs"]["inpaint_model"] is False
    [notes] = [item.notes for item in report.swapped if item.where.startswith("7")]
    assert any(note.startswith("inpaint_model is off") for note in notes)
    assert "tiled_decode = True has no counterpart here, and is left out" in notes
    assert made["5"]["class_type"] == "SEGSDetailerForAnimateDiff"
    assert report.kept[0].reason == "its input upscale_model_opt has no counterpart here"


# The command


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(two_nodes(), indent=1), encoding="utf-8")
    return path


def test_command(source, capsys):
    assert main(["comfyui", "convert", str(source)]) == 0
    output = source.with_name("flow.converted.json")
    assert json.loads(output.read_text(encoding="utf-8")) == convert_workflow(two_nodes())[0]
    said = capsys.readouterr().out.splitlines()
    assert "swapped 7: DetailerForEachPipeForAnimateDiff -> Detailer For Video (SEGS/pipe)" in said
    assert said[-1] == f"wrote {output}: 5 nodes swapped, 0 of Impact Pack's kept"
    # What is converted has nothing left to convert.
    assert main(["comfyui", "convert", str(output), "-o", str(source.with_name("again.json"))]) == 0
    assert capsys.readouterr().out == "wrote nothing: the workflow has no node of Impact Pack's that has a twin here\n"
    assert not source.with_name("again.json").exists()


def test_command_replaces_nothing_unasked(source, capsys):
    taken = source.with_name("flow.converted.json")
    taken.write_text("mine", encoding="utf-8")
    before = source.read_text(encoding="utf-8")
    assert main(["comfyui", "convert", str(source)]) == 2
    assert capsys.readouterr().err.endswith("is there already: choose another output, or --overwrite\n")
    assert main(["comfyui", "convert", str(source), "-o", str(source)]) == 2
    assert (taken.read_text(encoding="utf-8"), source.read_text(encoding="utf-8")) == ("mine", before)
    assert main(["comfyui", "convert", str(source), "-o", str(source), "--overwrite", "-q"]) == 0
    assert "SegsDetailerForVideo" in source.read_text(encoding="utf-8")
    assert sorted(path.name for path in source.parent.iterdir()) == ["flow.converted.json", "flow.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected a workflow as JSON, got something else"),
        (b"\xff\xfe\x00", "got a file that is no text"),
        (b"[1]", "expected a workflow of ComfyUI: .*, got a JSON list"),
        (b"{}", "got an empty object"),
        (b'{"prompt": {}}', "got the body of a request: take what is under prompt"),
        (b"[" * 200_000, "expected a workflow as JSON"),
    ],
    ids=["cut off", "bytes", "list", "empty", "request", "deep"],
)
def test_command_refuses_what_is_no_workflow(tmp_path, capsys, content, message):
    (tmp_path / "flow.json").write_bytes(content)
    assert main(["comfyui", "convert", str(tmp_path / "flow.json")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["flow.json"]


def test_command_names_files_that_are_not_there(tmp_path, capsys):
    assert main(["comfyui", "convert", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.endswith("none.json: no such file\n")
    assert main(["comfyui", "convert", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_workflow_that_is_no_dict_is_refused():
    with pytest.raises(InvalidArgumentError, match="workflow: expected a workflow of ComfyUI"):
        convert_workflow([])
