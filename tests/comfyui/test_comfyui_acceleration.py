"""This package's kernels in the place of an installed Impact Pack's image functions."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from types import ModuleType, SimpleNamespace

import comfy_server
import numpy as np
import pytest
import torch
from comfy_server import ComfyServer, base_folder, end_of
from test_comfyui_impact import OURS, STUBS, THEIRS, detail, still
from test_comfyui_server import keep, node

import impact_pack
from segs_detailer.cli.main import main
from segs_detailer.comfyui.acceleration import functions
from segs_detailer.comfyui.acceleration.patching import accelerate, is_loaded
from segs_detailer.comfyui.acceleration.start import start
from segs_detailer.comfyui.extension import ACCELERATE_VARIABLE, accelerates_impact
from segs_detailer.comfyui.install import install, status, uninstall
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.segs import SEG

needs_impact = pytest.mark.skipif(
    not os.environ.get(impact_pack.VARIABLE), reason=f"{impact_pack.VARIABLE} does not name an Impact Pack checkout"
)
needs_comfyui = pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)
pytestmark = pytest.mark.filterwarnings("ignore")

TOLERANCE = 2 / 255 + 1e-6

# A pack whose node says what the graph's own SEGSPaste is: ComfyUI loads Impact Pack's modules under names of its own.
PEEK = """
import logging
import nodes

class Peek:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",)}})
    RETURN_TYPES, FUNCTION, OUTPUT_NODE, CATEGORY = (), "peek", True, "tests"

    def peek(self, image):
        paste = nodes.NODE_CLASS_MAPPINGS["SEGSPaste"].doit
        logging.info("SEGSPaste is replaced: %s", hasattr(paste, "__wrapped__"))
        return ()

NODE_CLASS_MAPPINGS = {"Peek": Peek}
"""
NAMES = ["SEGSPaste.doit", "segs_scale_match", "tensor_gaussian_blur_mask", "tensor_paste", "tensor_resize"]


@pytest.fixture
def impact():
    with impact_pack.loaded() as modules:
        yield modules


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def noise(rng, *shape):
    """Hard random pixels: what a filter overshoots is cut off at each step of theirs."""
    return torch.from_numpy(rng.random(shape, dtype=np.float32))


def seg_of(rng, region, *, frames=3, masks=None, crops=True):
    x1, y1, x2, y2 = region
    size = (y2 - y1, x2 - x1)
    mask = noise(rng, *((masks, *size) if masks else size))
    image = noise(rng, frames, *size, 3).numpy() if crops else None
    return SEG(image, mask if masks else mask.numpy(), 0.9, region, (x1 + 6, y1 + 4, x2 - 6, y2 - 4), "face", None)


@needs_impact
@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50), (3, 40, 50, 1), (12, 9)])
@pytest.mark.parametrize("feather", [1, 5, 50])
def test_blur(impact, rng, shape, feather):
    mask = noise(rng, *shape)
    theirs = impact.utils.tensor_gaussian_blur_mask(mask, feather)
    torch.testing.assert_close(functions.blur_mask(mask, feather), theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(functions.blur_mask(mask.numpy(), feather), theirs, atol=1e-5, rtol=0)


@needs_impact
@pytest.mark.parametrize("size", [(96, 70), (20, 90), (17, 11), (48, 40)])
def test_resize(impact, rng, size):
    frames = noise(rng, 3, 40, 48, 3) * 1.2 - 0.1
    theirs = impact.utils.tensor_resize(frames, *size)
    ours = functions.resize_image(frames, *size)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    # Both round to 8 bits after each axis: without that, every fifth sample is another.
    assert (ours != theirs).float().mean() < 0.02


@needs_impact
@pytest.mark.parametrize("corner", [(0, 0), (30, 20), (200, 5)])
@pytest.mark.parametrize("masks", [1, 2])
def test_paste_in_place(impact, rng, corner, masks):
    frames, crops, mask = noise(rng, 2, 50, 60, 3), noise(rng, 2, 40, 40, 3), noise(rng, masks, 40, 40, 1)
    theirs, ours = frames.clone(), frames.clone()
    impact.utils.tensor_paste(theirs, crops, corner, mask)
    functions.paste_image(ours, crops, corner, mask)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@needs_impact
@pytest.mark.parametrize("size", [(120, 160), (90, 160), (30, 40)])
@pytest.mark.parametrize("masks", [None, 3])
def test_scale_match(impact, rng, size, masks):
    segs = ((60, 80), [impact.core.SEG(*seg_of(rng, (10, 8, 60, 50), masks=masks))])
    target = (3, *size, 3)
    their_size, [theirs] = impact.core.segs_scale_match(segs, target)
    our_size, [ours] = functions.match_scale(segs, target)
    assert our_size == their_size
    assert (ours.crop_region, ours.bbox, type(ours)) == (theirs.crop_region, theirs.bbox, type(theirs))
    assert type(ours.cropped_mask) is type(theirs.cropped_mask)
    assert type(ours.cropped_image) is type(theirs.cropped_image)
    np.testing.assert_allclose(ours.cropped_mask, theirs.cropped_mask, atol=1e-5)
    np.testing.assert_allclose(ours.cropped_image, theirs.cropped_image, atol=TOLERANCE)


@needs_impact
@pytest.mark.parametrize("masks", [None, 1, 3])
@pytest.mark.parametrize(("feather", "alpha"), [(0, 255), (5, 255), (20, 100)])
@pytest.mark.parametrize("size", [(90, 110), (60, 80)])
def test_paste_of_segments(impact, rng, masks, feather, alpha, size):
    image = noise(rng, 3, 90, 110, 3)
    regions = [(5, 10, 65, 58), (20, 30, 70, 50), (70, 50, 130, 100)]
    segs = (size, [seg_of(rng, region, frames=4, masks=masks) for region in regions])
    before = image.clone()
    [theirs] = impact.segs_nodes.SEGSPaste.doit(image, segs, feather, alpha)
    [ours] = functions.paste_segs(image, segs, feather, alpha)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    assert torch.equal(image, before)


@needs_impact
def test_paste_of_a_reference_and_of_nothing(impact, rng):
    image, reference = noise(rng, 3, 90, 110, 3), noise(rng, 4, 90, 110, 3)
    segs = ((90, 110), [seg_of(rng, (5, 10, 65, 70), crops=False)])
    [theirs] = impact.segs_nodes.SEGSPaste.doit(image, segs, 5, 255, reference)
    [ours] = functions.paste_segs(image, segs, 5, 255, reference)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    [same] = functions.paste_segs(image, segs, 5)
    assert torch.equal(same, image)
    assert same.data_ptr() != image.data_ptr()


@needs_impact
def test_what_ours_refuse_goes_to_theirs(impact, rng):
    image, half = noise(rng, 3, 50, 60, 3), noise(rng, 2, 20, 20, 3).half()
    mask, rgba = noise(rng, 20, 20), noise(rng, 2, 20, 20, 4)
    stack = ((50, 60), [seg_of(rng, (5, 5, 45, 40), masks=2)])

    def pasted(crops, corner, mask):
        frames = image[:2].clone()
        impact.utils.tensor_paste(frames, crops, corner, mask)
        return frames

    calls = {
        "half precision": lambda: impact.utils.tensor_resize(half, 30, 30),
        "alpha": lambda: impact.utils.tensor_resize(rgba, 30, 30),
        "one channel": lambda: impact.utils.tensor_resize(mask[None, ..., None], 30, 30),
        "another sigma": lambda: impact.utils.tensor_gaussian_blur_mask(mask, 5, 3.0),
        "no blur": lambda: impact.utils.tensor_gaussian_blur_mask(mask, 0),
        "derivatives": lambda: impact.utils.tensor_gaussian_blur_mask(mask.clone().requires_grad_(), 5).detach(),
        "doubles": lambda: impact.utils.tensor_gaussian_blur_mask(mask.double(), 5),
        "masks above 1": lambda: pasted(rgba[..., :3], (5, 5), mask[None, ..., None] * 3),
        "masks of another size": lambda: pasted(rgba[..., :3], (5, 5), mask[None, :10, :, None]),
        "another number of masks": lambda: impact.segs_nodes.SEGSPaste.doit(image, stack, 5)[0],
    }
    theirs = {name: call() for name, call in calls.items()}
    done = accelerate()
    try:
        for name, call in calls.items():
            # Theirs calls our other functions from inside.
            torch.testing.assert_close(call(), theirs[name], atol=1e-5, rtol=0, msg=name)
        # Their errors stay theirs.
        with pytest.raises(ValueError, match="Expected NHWC tensor"):
            impact.utils.tensor_resize(image[0], 30, 30)
        with pytest.raises(ValueError, match="must be > 0"):
            impact.utils.tensor_resize(image, 0, 30)
    finally:
        done.restore()


@needs_impact
def test_every_place_of_a_function_is_replaced_and_put_back(impact):
    places = [
        *((module, name) for module in (impact.utils, impact.core, impact.segs_nodes) for name in NAMES[2:]),
        (impact.core, "segs_scale_match"),
        (impact.segs_nodes.SEGSPaste, "doit"),
        (impact.animatediff_nodes.SEGSPaste, "doit"),
    ]
    before = [getattr(*place) for place in places]
    done = accelerate()
    assert done.version == "7.10.6"
    assert done.names == NAMES
    assert all(getattr(*place) is not value for place, value in zip(places, before, strict=True))
    assert all(getattr(*place).__wrapped__ is value for place, value in zip(places, before, strict=True))
    done.restore()
    assert all(getattr(*place) is value for place, value in zip(places, before, strict=True))
    assert type(vars(impact.segs_nodes.SEGSPaste)["doit"]) is staticmethod


@needs_impact
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda impact: setattr(impact.utils.config, "version_code", [8, 0]), r"before 8, got 8\.0"),
        (lambda impact: setattr(impact.utils.config, "version_code", "7.10"), "got '7.10'"),
        (
            lambda impact: setattr(impact.utils, "tensor_resize", lambda image, w, h: image),
            r"signature \(image, w, h\)",
        ),
        (lambda impact: setattr(impact.core, "segs_scale_match", other_scale_match), "other source text"),
        (lambda impact: delattr(impact.utils, "tensor_paste"), "no such function"),
        (lambda impact: delattr(impact.segs_nodes, "SEGSPaste"), "no such function"),
    ],
)
def test_another_release_is_left_alone(impact, caplog, change, reason):
    change(impact)
    before = [dict(vars(module)) for module in vars(impact).values()]
    with caplog.at_level(logging.INFO):
        assert start() is None
    [record] = caplog.records
    assert record.getMessage().startswith("segs-detailer: Impact Pack is left as it is. Impact Pack: expected ")
    assert [dict(vars(module)) for module in vars(impact).values()] == before
    with pytest.raises(InvalidArgumentError, match=reason):
        accelerate()


def other_scale_match(segs, target_shape):
    return segs


@needs_impact
def test_nothing_is_replaced_twice(impact):
    done = accelerate()
    try:
        with pytest.raises(InvalidArgumentError, match="got one that is replaced already"):
            accelerate()
    finally:
        done.restore()


@needs_impact
def test_loaded_before_or_after(monkeypatch, caplog):
    handlers = []
    instance = SimpleNamespace(add_on_prompt_handler=handlers.append)
    server = ModuleType("server")
    server.PromptServer = SimpleNamespace(instance=instance)
    monkeypatch.setitem(sys.modules, "server", server)
    assert not is_loaded()
    with caplog.at_level(logging.INFO):
        assert start() is None
    assert not caplog.records
    [handler] = handlers
    prompt = {"prompt": {}}
    with impact_pack.loaded() as impact, caplog.at_level(logging.INFO):
        original = impact.utils.tensor_resize
        assert handler(prompt) is prompt
        assert handler(prompt) is prompt
        assert impact.core.tensor_resize.__wrapped__ is original
    [record] = caplog.records
    assert record.getMessage() == f"segs-detailer: Impact Pack 7.10.6 is accelerated: {', '.join(NAMES)}"
    with impact_pack.loaded() as impact:
        assert start().names == NAMES
    assert len(handlers) == 1


def test_without_impact_pack_one_line_says_so(caplog):
    assert not is_loaded()
    with pytest.raises(InvalidArgumentError, match="expected to be loaded"):
        accelerate()
    assert start() is None
    [record] = caplog.records
    assert "Impact Pack is not accelerated" in record.getMessage()


@pytest.fixture
def comfyui(tmp_path):
    """A folder that looks like ComfyUI's."""
    root = tmp_path / "ComfyUI"
    (root / "custom_nodes").mkdir(parents=True)
    for name in ("main.py", "nodes.py", "folder_paths.py"):
        (root / name).write_text("", encoding="utf-8")
    return root


def test_it_is_asked_for_by_install(comfyui, monkeypatch, capsys):
    monkeypatch.delenv(ACCELERATE_VARIABLE, raising=False)
    assert main(["comfyui", "install", str(comfyui), "--accelerate-impact"]) == 0
    assert status(comfyui).accelerates_impact
    main(["comfyui", "status", str(comfyui)])
    assert "acceleration of Impact Pack: on\n" in capsys.readouterr().out
    monkeypatch.setenv(ACCELERATE_VARIABLE, "0")
    main(["comfyui", "status", str(comfyui)])
    assert f"acceleration of Impact Pack: off, by {ACCELERATE_VARIABLE}=0" in capsys.readouterr().out
    install(comfyui)
    assert not status(comfyui).accelerates_impact
    uninstall(comfyui)
    assert not status(comfyui).accelerates_impact


@pytest.mark.parametrize(
    ("value", "installed", "expected"),
    [("1", False, True), ("0", True, False), ("", True, True), ("", False, False), ("yes", False, False)],
)
def test_the_environment_decides(monkeypatch, caplog, value, installed, expected):
    monkeypatch.setenv(ACCELERATE_VARIABLE, value)
    assert accelerates_impact(installed) is expected
    said = [f"{ACCELERATE_VARIABLE}: expected 1 or 0, got 'yes'; it has no effect"] if value == "yes" else []
    assert caplog.messages == said


@needs_impact
@needs_comfyui
def test_in_a_running_comfyui(tmp_path, monkeypatch):
    base = base_folder(tmp_path / "comfyui")
    install(base, accelerate_impact=True)
    pack = base / "custom_nodes" / "ComfyUI-Impact-Pack"
    shutil.copytree(os.environ[impact_pack.VARIABLE], pack, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    for name, text in STUBS.items():
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_text(text, encoding="utf-8")
    (base / "custom_nodes" / "peek.py").write_text(PEEK, encoding="utf-8")
    paths = [str(pack / "stubs"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    changes = {"guide_size": 64, "guide_size_for": False}
    prompt = still(
        theirs=detail(THEIRS, **changes),
        ours=detail(OURS, **changes),
        pasted=node("SEGSPaste", image=["clip", 0], segs=["theirs", 1], feather=5, alpha=255),
        keep_theirs=keep("theirs", image=["theirs", 0]),
        keep_ours=keep("ours", image=["ours", 0]),
        keep_pasted=keep("pasted", image=["pasted", 0]),
        peek=node("Peek", image=["pasted", 0]),
    )
    results = {}
    # The environment turns it off, whatever the folder says.
    for value, is_on in (("0", False), ("", True)):
        monkeypatch.setenv(ACCELERATE_VARIABLE, value)
        server = ComfyServer(base, "--disable-api-nodes")
        try:
            assert end_of(server.run(prompt)) == "execution_success"
            results[is_on] = {name: server.kept(name)["image"] for name in ("theirs", "ours", "pasted")}
        finally:
            server.stop()
        log = server.log.read_text(encoding="utf-8", errors="replace")
        assert log.count("segs-detailer: Impact Pack 7.10.6 is accelerated") == is_on
        assert f"SEGSPaste is replaced: {is_on}" in log
    before, after = results[False], results[True]
    assert np.abs(after["theirs"] - before["theirs"]).max() <= TOLERANCE
    assert np.abs(after["pasted"] - before["pasted"]).max() <= TOLERANCE
    assert np.array_equal(after["ours"], before["ours"])
    assert np.abs(after["theirs"] - after["ours"]).max() <= 3 / 255
    assert np.abs(after["theirs"] - after["pasted"]).max() <= TOLERANCE
