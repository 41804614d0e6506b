"""The nodes in a running ComfyUI: prompts queued over HTTP, on tiny models of ComfyUI's own classes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import comfy_server
import numpy as np
import pytest
from comfy_server import ComfyServer, base_folder, end_of

from segs_detailer.comfyui.nodes import NODES

pytestmark = pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)

STEPS = 3
SAMPLING = {
    "guide_size": 64,
    "guide_size_for": True,
    "max_size": 96,
    "seed": 7,
    "steps": STEPS,
    "cfg": 3.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "denoise": 0.5,
    "refiner_ratio": 0.4,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = ComfyServer(base_folder(tmp_path_factory.mktemp("comfyui")), "--disable-api-nodes")
    yield server
    server.stop()


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def graph(prefix="", seconds_per_step=0.0, inpaint=False, frames=4, **nodes):
    """Model, clip and segments, and what is done with them."""
    return {
        "model": node("TinyModel", seed=1, seconds_per_step=seconds_per_step, inpaint=inpaint),
        "clip": node("TinyClip", frames=frames),
        "pipe": node(
            f"{prefix}SegsDetailerToBasicPipe",
            model=["model", 0],
            clip=["model", 1],
            vae=["model", 2],
            positive=["model", 3],
            negative=["model", 4],
        ),
        "segs": node(
            f"{prefix}SegsDetailerMaskToSegs",
            masks=["clip", 1],
            combined=False,
            crop_factor=1.5,
            bbox_fill=False,
            drop_size=4,
            contour_fill=False,
        ),
        **nodes,
    }


def detailer(prefix="", **changes):
    inputs = {
        "image_frames": ["clip", 0],
        "segs": ["segs", 0],
        "basic_pipe": ["pipe", 0],
        "feather": 4,
        **SAMPLING,
        **changes,
    }
    return node(f"{prefix}SegsDetailerForVideo", **inputs)


def keep(name, **inputs):
    return node("Keep", name=name, **inputs)


def detailed(server, name, prefix="", model=None, **changes):
    """Frames as one detailer leaves them."""
    prompt = {**graph(prefix), **(model or {}), "detail": detailer(prefix, **changes)}
    prompt["keep"] = keep(name, image=["detail", 0])
    assert end_of(server.run(prompt)) == "execution_success"
    return server.kept(name)["image"]


@pytest.fixture(scope="module")
def frames(server):
    assert end_of(server.run({"clip": node("TinyClip", frames=4), "keep": keep("frames", image=["clip", 0])}))
    return server.kept("frames")["image"]


def touched(frames):
    """Where the masks are, and their feather."""
    inside = np.zeros(frames.shape[:3], bool)
    for index in range(len(frames)):
        inside[index, 16:56, 12 + 2 * index : 52 + 2 * index] = True
        inside[index, 46:86, 76:116] = True
    return inside


# What ComfyUI knows of the nodes


@pytest.fixture(scope="module")
def known(server):
    return server.get("/object_info")


@pytest.mark.parametrize("declared", NODES, ids=lambda declared: declared.id)
def test_schema_and_classic_class_say_the_same(known, declared):
    schema, classic = known[declared.id], known[f"Classic{declared.id}"]
    assert schema["python_module"] == "custom_nodes.segs-detailer"
    # ComfyUI gives output nodes with a schema the prompt as hidden inputs.
    assert {**schema["input_order"], "hidden": 0} == {**classic["input_order"], "hidden": 0}
    for name in ("output", "output_is_list", "output_name", "output_tooltips", "description", "category"):
        assert schema[name] == classic[name], name
    assert schema["output_node"] == classic["output_node"] == declared.is_output
    assert schema["display_name"] == declared.display_name
    for group, inputs in classic["input"].items():
        for name, (kind, options) in inputs.items():
            their_kind, theirs = schema["input"][group][name]
            if isinstance(kind, list):
                assert (their_kind, theirs["options"]) == ("COMBO", kind)
            else:
                assert their_kind == kind
            assert {key: theirs.get(key) for key in options} == options


def test_the_lists_are_comfyuis(known):
    ours, theirs = known["SegsDetailerForVideo"]["input"]["required"], known["KSampler"]["input"]["required"]
    assert ours["sampler_name"][1]["options"] == theirs["sampler_name"][0]
    assert ours["scheduler"][1]["options"] == theirs["scheduler"][0]


def test_the_log_tells_of_no_failure(server):
    log = server.log.read_text(errors="replace")
    # The nodes' folders, and not those parts of ComfyUI whose packages are missing here.
    assert not re.search(r"Cannot import .*(segs-detailer|tiny_nodes)", log)
    assert "Unable to parse pyproject.toml" not in log


# Runs


@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
def test_a_graph_from_masks_to_pasted_frames(server, frames, prefix):
    prompt = graph(
        prefix,
        detail=detailer(prefix),
        keep=keep(f"{prefix}whole", image=["detail", 0], segs=["detail", 1]),
        preview=node(f"{prefix}SegsDetailerPreview", image_frames=["detail", 0], segs=["detail", 1], max_images=2),
        drawn=keep(f"{prefix}drawn", image=["preview", 0]),
    )
    events = server.run(prompt)
    assert end_of(events) == "execution_success"
    kept = server.kept(f"{prefix}whole")
    image = kept["image"]
    assert image.shape == frames.shape
    inside = touched(frames)
    assert np.array_equal(image[~inside], frames[~inside])
    for region in (kept["region_0"], kept["region_1"]):
        x1, y1, x2, y2 = region[4:]
        assert np.abs(image - frames)[:, y1:y2, x1:x2].mean(axis=(1, 2, 3)).min() > 0.01
    assert kept["crop_0"].shape[0] == len(frames)
    assert server.kept(f"{prefix}drawn")["image"].shape == (2, *frames.shape[1:])

    texts = [event for event in events if isinstance(event, dict)]
    steps = [e["data"] for e in texts if e["type"] == "progress" and e["data"]["node"] == "detail"]
    # One bar for both segments, which never goes back.
    assert {data["max"] for data in steps} == {2 * STEPS}
    values = [data["value"] for data in steps]
    assert values == sorted(values)
    assert set(values) == set(range(2 * STEPS + 1))
    assert any(isinstance(event, bytes) for event in events), "no preview came"
    shown = next(e["data"]["output"] for e in texts if e["type"] == "executed" and e["data"]["node"] == "preview")
    assert len(shown["images"]) == 2
    assert all((server.base / "temp" / picture["filename"]).is_file() for picture in shown["images"])


def test_both_forms_of_the_nodes_give_the_same_pixels(server):
    assert np.array_equal(detailed(server, "schema"), detailed(server, "classic", prefix="Classic"))


def test_segs_detailer_filter_order_and_paste(server, frames):
    inputs = {"image_frames": ["clip", 0], "segs": ["first", 0], "basic_pipe": ["pipe", 0], **SAMPLING}
    prompt = graph(
        all=node("SegsDetailerFilter", segs=["segs", 0], labels="A", min_area=0, max_area=0, min_confidence=0.0),
        first=node("SegsDetailerOrder", segs=["all", 0], by="x1", descending=False, take_start=0, take_count=1),
        crops=node("SegsDetailerSegsForVideo", **inputs),
        paste=node("SegsDetailerPaste", image=["clip", 0], segs=["crops", 0], feather=4, alpha=255),
        keep=keep("parts", image=["paste", 0], segs=["crops", 0]),
        whole=detailer(segs=["first", 0]),
        keep_whole=keep("one", image=["whole", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    kept = server.kept("parts")
    assert "region_0" in kept
    assert "region_1" not in kept
    assert not np.array_equal(kept["image"], frames)
    assert np.array_equal(kept["image"], server.kept("one")["image"])


@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
@pytest.mark.parametrize("model", ["TinyModel", "TinyVideoModel"])
def test_crops_that_follow_with_seams_and_noise(server, prefix, model):
    seams = {"grow": 2, "noise_mask_grow": 2, "color_match": 1.0, "vae_correction": True, "noise": "shared"}
    prompt = graph(prefix, frames=5, seams=node(f"{prefix}SegsDetailerSeams", **seams))
    prompt["clip"]["inputs"]["speed"] = 8
    prompt["segs"]["inputs"]["crop"] = "follow"
    if model != "TinyModel":
        prompt["model"] = node(model, seed=3)
    prompt["detail"] = detailer(prefix, seams_opt=["seams", 0], feather=0, sampler_name="euler_ancestral")
    prompt["keep_clip"] = keep(f"{prefix}{model}clip", image=["clip", 0])
    prompt["keep"] = keep(f"{prefix}{model}followed", image=["detail", 0], segs=["detail", 1])
    assert end_of(server.run(prompt)) == "execution_success"
    kept, frames = server.kept(f"{prefix}{model}followed"), server.kept(f"{prefix}{model}clip")["image"]
    # Wide enough for the subject, and not for its way.
    x1, y1, x2, y2 = kept["region_0"][:4]
    assert (y2 - y1, x2 - x1) == (48, 48)
    inside = np.zeros(frames.shape[:3], bool)
    for index in range(len(frames)):
        inside[index, 18:54, 14 + 8 * index : 50 + 8 * index] = True
        inside[index, 48:84, 78:114] = True
    assert np.array_equal(kept["image"][~inside], frames[~inside])
    assert np.abs(kept["image"] - frames)[:, 24:48].max() > 0.01
    if prefix:
        assert np.array_equal(kept["image"], server.kept(f"{model}followed")["image"])


@pytest.mark.skipif(
    not (Path(os.environ.get(comfy_server.VARIABLE, "")) / "comfy" / "nested_tensor.py").exists(),
    reason="this ComfyUI knows no latents of pictures and sound",
)
@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
def test_pictures_follow_the_sound_of_the_clip(server, frames, prefix):
    images = {}
    for mode in ("hold", "generate"):
        heard = {
            "model": node("TinySoundModel", seed=2),
            "audio": node(
                f"{prefix}SegsDetailerAudio", audio=["model", 6], audio_vae=["model", 5], frame_rate=24.0, mode=mode
            ),
        }
        images[mode] = detailed(server, f"{prefix}{mode}", prefix, model=heard, audio_opt=["audio", 0], feather=0)
    silent = detailed(server, f"{prefix}silent", prefix, model={"model": heard["model"]}, feather=0)
    inside = touched(frames)
    for image in (*images.values(), silent):
        assert np.array_equal(image[~inside], frames[~inside])
        assert np.abs(image - frames)[inside].max() > 0.01
    assert np.abs(images["hold"] - silent).max() > 1e-3
    assert np.abs(images["hold"] - images["generate"]).max() > 1e-3


def test_a_refiner_equal_to_the_base_changes_nothing(server):
    once = detailed(server, "once")
    assert np.array_equal(once, detailed(server, "twice", refiner_basic_pipe_opt=["pipe", 0]))


def test_another_refiner_does(server):
    other = {
        "other": node("TinyModel", seed=5, seconds_per_step=0.0, inpaint=False),
        "other_pipe": node(
            "SegsDetailerToBasicPipe",
            model=["other", 0],
            clip=["other", 1],
            vae=["other", 2],
            positive=["other", 3],
            negative=["other", 4],
        ),
    }
    image = detailed(server, "refined", model=other, refiner_basic_pipe_opt=["other_pipe", 0])
    assert not np.array_equal(image, detailed(server, "plain"))


@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "euler_ancestral", "uni_pc", "ddim"])
def test_samplers_run_under_differential_diffusion(server, frames, sampler):
    image = detailed(server, sampler, sampler_name=sampler, noise_mask_feather=8)
    inside = touched(frames)
    assert np.array_equal(image[~inside], frames[~inside])
    assert np.isfinite(image).all()
    assert np.abs(image - frames)[inside].mean() > 0.01


def test_an_inpainting_model_sees_the_mask(server, frames):
    model = {"model": node("TinyModel", seed=1, seconds_per_step=0.0, inpaint=True)}
    shown = detailed(server, "shown", model=model, inpaint_model=True)
    hidden = detailed(server, "hidden", model=model)
    assert not np.array_equal(shown, hidden)
    assert np.array_equal(shown[~touched(frames)], frames[~touched(frames)])


@pytest.mark.parametrize("changes", [{}, {"noise_mask_feather": 6}, {"refiner_basic_pipe_opt": ["pipe", 0]}], ids=str)
@pytest.mark.parametrize("count", [1, 5, 7])
def test_a_model_of_clips_packs_frames(server, count, changes):
    model = {"model": node("TinyVideoModel", seed=3), "clip": node("TinyClip", frames=count)}
    image = detailed(
        server, "video", model={**model, "keep_frames": keep("video_frames", image=["clip", 0])}, **changes
    )
    frames = server.kept("video_frames")["image"]
    assert image.shape == frames.shape
    inside = touched(frames)
    assert np.array_equal(image[~inside], frames[~inside])
    assert np.abs(image - frames)[inside].mean() > 0.01


def test_a_model_of_clips_takes_no_inpainting_input(server):
    prompt = graph(model=node("TinyVideoModel", seed=3), detail=detailer(inpaint_model=True))
    prompt["keep"] = keep("never", image=["detail", 0])
    with pytest.raises(AssertionError, match="inpaint_model: expected False for models of clips"):
        end_of(server.run(prompt))


def test_cancel_ends_the_run_and_leaves_comfyui_usable(server):
    done = []

    def cancel(event):
        if isinstance(event, dict) and event["type"] == "progress" and event["data"]["node"] == "detail":
            done.append(event["data"]["value"])
            if event["data"]["value"] == 1:
                server.post("/interrupt")

    prompt = graph(seconds_per_step=0.4, detail=detailer(steps=20), keep=keep("never", image=["detail", 0]))
    assert end_of(server.run(prompt, cancel)) == "execution_interrupted"
    assert max(done) < 10
    assert not (server.base / "output" / "never.npz").exists()
    assert detailed(server, "after").any()


def test_an_error_names_the_argument(server):
    prompt = graph(
        short=node("TinyClip", frames=3),
        paste=node(
            "SegsDetailerPaste",
            image=["clip", 0],
            segs=["segs", 0],
            feather=4,
            alpha=255,
            ref_image_opt=["short", 0],
        ),
        keep=keep("error", image=["paste", 0]),
    )
    with pytest.raises(AssertionError, match=r"ref_image_opt: expected .*4.*, got .*3"):
        end_of(server.run(prompt))


def test_pipe_goes_apart_and_segments_fit_frames_of_another_size(server):
    prompt = graph(
        parts=node("SegsDetailerFromBasicPipe", basic_pipe=["pipe", 0]),
        together=node(
            "SegsDetailerToBasicPipe",
            **{
                name: ["parts", place]
                for place, name in enumerate(("model", "clip", "vae", "positive", "negative"), start=1)
            },
        ),
        larger=node("ImageScaleBy", image=["clip", 0], upscale_method="bilinear", scale_by=2.0),
        fitted=node("SegsDetailerScaleMatch", segs=["segs", 0], image_frames=["larger", 0]),
        detail=detailer(image_frames=["larger", 0], segs=["fitted", 0], basic_pipe=["together", 0], guide_size=96),
        keep=keep("larger", image=["detail", 0], segs=["fitted", 0]),
    )
    assert end_of(server.run(prompt)) == "execution_success"
    kept = server.kept("larger")
    assert kept["size"].tolist() == [192, 256]
    assert kept["image"].shape == (4, 192, 256, 3)


# The size gate, and switches behind it


def executed(events):
    """Ids of the nodes that ran."""
    return {event["data"]["node"] for event in events if isinstance(event, dict) and event["type"] == "executing"}


def gate_of(prefix="", **window):
    widgets = {"measure": "height %", "min": 0.0, "max": 0.0, "hysteresis": 0.15, "ramp": 0, **window}
    return node(f"{prefix}SegsDetailerSizeGate", segs=["segs", 0], **widgets)


@pytest.mark.parametrize("prefix", ["", "Classic"], ids=["schema", "classic"])
@pytest.mark.parametrize("switch", ["ComfySwitchNode", "LazySwitch"])
@pytest.mark.parametrize("most", [10.0, 90.0], ids=["nothing to paint", "something to paint"])
def test_behind_a_lazy_switch_nothing_runs_where_there_is_nothing_to_paint(server, known, prefix, switch, most, frames):
    if switch not in known:
        pytest.skip(f"this ComfyUI has no {switch}")
    name = f"{prefix}{switch}{most:g}"
    prompt = graph(
        prefix,
        # Of another seed each time, so that no run is spared by ComfyUI's cache.
        model=node("TinyModel", seed=sum(name.encode()), seconds_per_step=0.0, inpaint=False),
        gate=gate_of(prefix, max=most),
        detail=detailer(prefix, segs=["gate", 0]),
        switch=node(switch, switch=["gate", 2], on_false=["clip", 0], on_true=["detail", 0]),
        keep=keep(name, image=["switch", 0], segs=["gate", 1]),
        report=node("PreviewAny", source=["gate", 3]),
    )
    events = server.run(prompt)
    assert end_of(events) == "execution_success"
    ran, image = executed(events), server.kept(name)["image"]
    assert {"gate", "switch", "keep"} <= ran
    if most == 10.0:
        assert not ran & {"model", "pipe", "detail"}
        assert np.array_equal(image, frames)
        assert "region_1" in server.kept(name)
    else:
        assert ran >= {"model", "pipe", "detail"}
        assert not np.array_equal(image, frames)
        assert "region_0" not in server.kept(name)
    [text] = [e["data"]["output"]["text"] for e in events if isinstance(e, dict) and e["type"] == "executed"]
    assert text[0].startswith(f"height from 0 to {most:g} %: {0 if most == 10.0 else 2} of 2 segments painted\n1 A: ")


def test_frames_that_a_gate_leaves_alone_keep_their_bits(server, frames):
    prompt = graph(growing=node("GrowingMask", frames=4))
    prompt["segs"]["inputs"]["masks"] = ["growing", 0]
    prompt |= {
        "gate": gate_of(measure="height px", max=40.0, ramp=1),
        "detail": detailer(segs=["gate", 0], seams_opt=["seams", 0], noise_mask_feather=4),
        "seams": node(
            "SegsDetailerSeams", grow=2, noise_mask_grow=2, color_match=1.0, vae_correction=True, noise="shared"
        ),
        "keep": keep("gated", image=["detail", 0]),
    }
    assert end_of(server.run(prompt)) == "execution_success"
    changed = np.abs(server.kept("gated")["image"] - frames).max(axis=(1, 2, 3))
    # Sides of 20, 34, 48 and 62 pixels; the ramp lets half of the second frame through.
    assert (changed > 0).tolist() == [True, True, False, False]
