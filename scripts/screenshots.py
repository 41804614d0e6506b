"""Make the pictures of the nodes in ComfyUI's browser side, with a ComfyUI and a Chromium of its own.

    COMFYUI_PATH=... python scripts/screenshots.py

Writes docs/images/comfyui_workflow.png, comfyui_result.png and comfyui_before_after.jpg, and a JPEG beside each example
workflow. COMFYUI_PYTHON names the Python that runs ComfyUI where it is not this one; both need what the tests need.
Chromium is looked for by its usual names, on Debian the package `chromium`.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "comfyui")]

import browser  # noqa: E402
import comfy_server  # noqa: E402
import workflows  # noqa: E402

IMAGES = ROOT / "docs" / "images"
VIEW = (1440, 860)
THUMBNAIL_WIDTH = 1200
MARGIN = 30
RUN_SECONDS = 120

CANVAS = """(() => {
    const box = app.canvas.canvas.getBoundingClientRect(), bar = document.querySelector('.side-tool-bar-container');
    const left = bar ? bar.getBoundingClientRect().right : box.left;
    return {x: left, y: box.top, width: box.right - left, height: box.bottom - box.top};
})()"""

# Nodes have their titles above their places.
FIT = """(({x, y, width, height}, margin) => {
    const nodes = app.graph._nodes, ds = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
    const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1] - 55));
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]));
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]));
    const wide = width - 2 * margin, high = height - 2 * margin;
    ds.scale = Math.min(1, wide / (right - left), high / (bottom - top));
    ds.offset = [
        (x - box.left + margin + (wide - (right - left) * ds.scale) / 2) / ds.scale - left,
        (y - box.top + margin + (high - (bottom - top) * ds.scale) / 2) / ds.scale - top,
    ];
    app.canvas.setDirty(true, true);
})"""

# Sends a prompt as the page's own, so that its nodes show what they made.
SEND = """fetch('/prompt', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},
    body: JSON.stringify({{prompt: {prompt}, client_id: app.api?.clientId ?? window.name}})
}}).then(answer => answer.json())"""


def run(server, page, prompt):
    """Run a prompt as the page's own, and wait for its end."""
    queued = page.evaluate(SEND.format(prompt=json.dumps(prompt)))
    end = time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        time.sleep(0.3)
        state = server.get(f"/history/{queued['prompt_id']}").get(queued["prompt_id"], {}).get("status", {})
        if state.get("completed"):
            time.sleep(2)  # until the page has fetched its pictures
            return
        if state.get("status_str") == "error":
            raise SystemExit(f"the prompt failed: {state['messages'][-1]}")
    raise SystemExit("the prompt did not end")


def with_preview(server, page, path):
    """Open an example, and let its preview node show the segments, on tiny models; nothing is repainted."""
    workflows.shown(page, workflows.loaded(path))
    prompt = workflows.on_tiny_models(page.evaluate("app.graphToPrompt().then(p => p.output)"))
    run(server, page, {name: item for name, item in prompt.items() if item["class_type"] != "SaveVideo"})
    fit(page)


def fit(page):
    """Bring all nodes into view."""
    page.evaluate(f"{FIT}({CANVAS}, {MARGIN})")
    time.sleep(1)


def thumbnail(page, path):
    """Write the picture that ComfyUI's templates show."""
    picture = Image.open(io.BytesIO(page.picture(clip={**page.evaluate(CANVAS), "scale": 1}))).convert("RGB")
    size = (THUMBNAIL_WIDTH, round(picture.height * THUMBNAIL_WIDTH / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(path.with_suffix(".jpg"), quality=82, optimize=True)


def whole_page(page, name):
    """Write a picture of the whole page, in 256 colors."""
    picture = Image.open(io.BytesIO(page.picture())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


def faces_workflow(known):
    """Build the tests' graph that restores a drawn face with a trained checkpoint, with pictures before and after."""
    sys.path.append(str(ROOT / "scripts"))
    from example_workflows import Graph

    graph, made = Graph(known), {}
    places = {"faces": (0, 0), "pipe": (0, 180), "segs": (360, 180), "detail": (740, 0)}
    sizes = {"faces": (300, 110), "pipe": (300, 60), "segs": (320, 190), "detail": (380, 530)}
    names = {name: known[item["class_type"]]["output_name"] for name, item in workflows.faces_detailed().items()}
    for name, item in workflows.faces_detailed().items():
        inputs = item["inputs"].items()
        links = {key: (made[value[0]], names[value[0]][value[1]]) for key, value in inputs if isinstance(value, list)}
        widgets = {key: value for key, value in inputs if not isinstance(value, list)}
        made[name] = graph.add(item["class_type"], places[name], size=sizes[name], links=links, **widgets)
    shown = {"Before": (made["faces"], "degraded", (0, 300)), "After": (made["detail"], "image", (1180, 0))}
    for title, (source, output, (x, y)) in shown.items():
        # The previews do not enlarge what they show.
        scaling = {"upscale_method": "bicubic", "scale_by": 4.0}
        large = graph.add("ImageScaleBy", (x, y), links={"image": (source, output)}, size=(300, 90), **scaling)
        graph.add("PreviewImage", (x, y + 140), title=title, links={"images": (large, "IMAGE")}, size=(560, 470))
    return graph.workflow()


def before_and_after(server, path):
    """Write some frames of the drawn face, before, after and as they were drawn."""
    prompt = workflows.faces_detailed()
    rows = {"before": ["faces", 0], "after": ["detail", 0], "as it was drawn": ["faces", 1]}
    for index, source in enumerate(rows.values()):
        prompt[f"keep{index}"] = {"class_type": "Keep", "inputs": {"name": f"row{index}", "image": source}}
    comfy_server.end_of(server.run(prompt))
    stacks = [server.kept(f"row{index}")["image"][1::3] for index in range(len(rows))]
    tiles = [np.concatenate(list(stack), 1) for stack in stacks]
    sheet = Image.fromarray((np.concatenate(tiles).clip(0, 1) * 255 + 0.5).astype(np.uint8))
    sheet = sheet.resize((3 * sheet.width, 3 * sheet.height), Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for index, name in enumerate(rows):
        place = (8, index * sheet.height // len(rows) + 6)
        draw.text(place, name, fill="white", font=font, stroke_width=2, stroke_fill="black")
    sheet.save(path, quality=85, optimize=True)


def main():
    """Make all."""
    with tempfile.TemporaryDirectory() as folder:
        base = comfy_server.base_folder(Path(folder) / "comfyui")
        workflows.prepare(base)
        # The whole clip, in a format that the browser plays.
        shutil.copy(ROOT / "examples" / "sample.mp4", base / "input" / "sample.mp4")
        server = comfy_server.ComfyServer(base, "--disable-api-nodes")
        try:
            with browser.Browser(Path(folder) / "browser") as page:
                width, height = VIEW
                page.call(
                    "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
                )
                page.open(f"http://127.0.0.1:{server.port}/", workflows.READY)
                for path in workflows.WORKFLOWS:
                    with_preview(server, page, path)
                    thumbnail(page, path)
                    if path.stem == "face_detail":
                        whole_page(page, "comfyui_workflow.png")
                workflows.shown(page, faces_workflow(server.get("/object_info")))
                run(server, page, page.evaluate("app.graphToPrompt().then(p => p.output)"))
                fit(page)
                whole_page(page, "comfyui_result.png")
            before_and_after(server, IMAGES / "comfyui_before_after.jpg")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
