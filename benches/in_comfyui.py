"""One measurement inside ComfyUI's own modules, printed as JSON: what `benches/comfyui_nodes.py` starts.

It is run by the Python that runs ComfyUI, with COMFYUI_PATH and IMPACT_PACK_PATH set:
`in_comfyui.py detail WAY FRAMES SEGMENTS FILE` measures a detailer and keeps the repainted regions in FILE,
`in_comfyui.py start FOLDER` the loading of a folder of nodes.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [os.environ["COMFYUI_PATH"], str(ROOT / "tests" / "comfyui")]


import comfy.cli_args  # noqa: E402
import utils.install_util  # noqa: E402, F401

comfy.cli_args.args.cpu = True

import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import numpy as np  # noqa: E402
import server  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402
from segs_detailer.ops import set_num_threads  # noqa: E402

IMPACT, OURS = "Impact Pack", "segs-detailer"

HEIGHT, WIDTH = 1080, 1920
BOX = 192
CROP = 384
GUIDE_SIZE = 256
WORKING = CROP * GUIDE_SIZE // BOX
FEATHER = 5
STEPS = 2
ROUNDS = 3
# A run slower than this, in seconds, is measured once.
SLOW = 5.0

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Model:
    """Keeps apart what the model takes: its time is summed up, and its memory does not count for the peak."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak = 0
        self._is_inside = False

    def wrap(self, owner: Any, name: str) -> None:
        """Count a function as the model's."""
        setattr(owner, name, self._counted(getattr(owner, name)))

    def begin(self) -> int:
        """Start anew; returns the bytes in use."""
        self.seconds, self.peak = 0.0, 0
        _give_back()
        return _status("VmRSS")

    def end(self) -> int:
        """Return the most bytes that were in use at once outside the model."""
        return max(self.peak, _status("VmHWM"))

    def _counted(self, function: Any) -> Any:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if self._is_inside:
                return function(*args, **kwargs)
            begin = time.perf_counter()
            self.peak = max(self.peak, _status("VmHWM"))
            self._is_inside = True
            try:
                return function(*args, **kwargs)
            finally:
                self._is_inside = False
                _give_back()
                self.seconds += time.perf_counter() - begin

        return run


def _give_back() -> None:
    """Hand freed memory to the system, and set the high-water mark to what is in use."""
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5", encoding="ascii")


def _status(name: str) -> int:
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name + ":")).split()[1])


def clip(count: int) -> torch.Tensor:
    """Smooth frames of 8 bits, far from black and white, where filters that go through 8 bits clip."""
    from tiny_nodes import clip_frames

    frames = np.empty((count, HEIGHT, WIDTH, 3), np.float32)
    first = clip_frames(1, HEIGHT, WIDTH)[0].numpy()
    for index in range(count):
        frames[index] = np.roll(first, 2 * index, axis=1)
    return torch.from_numpy(frames)


def segments(count: int, seg_class: Any) -> tuple[tuple[int, int], list[Any]]:
    """Ellipses in a row that do not touch."""
    y, x = np.ogrid[-1 : 1 : CROP * 1j, -1 : 1 : CROP * 1j]
    mask = (x * x + y * y < 0.64).astype(np.float32)
    rim = (CROP - BOX) // 2
    segs = []
    for place in range(count):
        x1, y1 = WIDTH * (2 * place + 1) // (2 * count) - CROP // 2, (HEIGHT - CROP) // 2
        region = (x1, y1, x1 + CROP, y1 + CROP)
        box = (x1 + rim, y1 + rim, x1 + CROP - rim, y1 + CROP - rim)
        segs.append(seg_class(None, mask, 1.0, region, box, "A", None))
    return (HEIGHT, WIDTH), segs


def basic_pipe() -> tuple[Any, ...]:
    """A unet of ComfyUI's with few channels and random weights, and a VAE of its class, as the tests have them."""
    import tiny_nodes

    # Attention at the lower level only: less time for the part that is not measured.
    levels = {"transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1]}
    tiny_nodes.UNET = {**tiny_nodes.UNET, **levels}
    model = tiny_nodes.tiny_model(1)
    positive, negative = torch.randn((2, 1, 7, 32), generator=torch.Generator().manual_seed(1))
    return model, "no text encoder", tiny_nodes.tiny_vae(), [[positive, {}]], [[negative, {}]]


def detailer_of(way: str) -> tuple[Any, Any]:
    """Return the node's function and the class of its segments."""
    if way == OURS:
        from segs_detailer.comfyui.detailing import detail_frames
        from segs_detailer.segs import SEG

        return detail_frames, SEG
    # Its modules register addresses at ComfyUI's server.
    server.PromptServer(asyncio.new_event_loop())
    sys.path.append(str(Path(os.environ["IMPACT_PACK_PATH"]) / "modules"))
    from impact.animatediff_nodes import DetailerForEachPipeForAnimateDiff
    from impact.core import SEG as THEIRS

    return DetailerForEachPipeForAnimateDiff.doit, THEIRS


def measure_detail(way: str, frames: int, count: int, file: Path) -> dict[str, Any]:
    """Time and peak memory of a detailer outside the model."""
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    set_num_threads(threads)
    comfy.utils.set_progress_bar_enabled(False)
    doit, seg_class = detailer_of(way)
    model = Model()
    model.wrap(comfy.sample, "sample_custom")
    model.wrap(comfy.sd.VAE, "encode")
    model.wrap(comfy.sd.VAE, "decode")
    settings = {
        "guide_size": GUIDE_SIZE,
        "guide_size_for": True,
        "max_size": 1024,
        "seed": 7,
        "steps": STEPS,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 0.5,
        "feather": FEATHER,
        "basic_pipe": basic_pipe(),
        "refiner_ratio": 0.2,
    }
    # Lazy imports and thread pools are not part of a run.
    doit(image_frames=clip(2), segs=segments(1, seg_class), **settings)
    images, segs = clip(frames), segments(count, seg_class)
    seconds, shares, extra = [], [], 0
    while len(seconds) < ROUNDS:
        before, begin = model.begin(), time.perf_counter()
        result = doit(image_frames=images, segs=segs, **settings)[0]
        whole = time.perf_counter() - begin
        # The first run only: later ones may find memory that was not given back.
        extra = extra or model.end() - before
        seconds.append(whole - model.seconds)
        shares.append(model.seconds)
        if whole > SLOW:
            break
        if len(seconds) < ROUNDS:
            del result
    keep(result, images, segs, file)
    return {
        "way": way,
        "frames": frames,
        "segments": count,
        "seconds": statistics.median(seconds),
        "model_seconds": statistics.median(shares),
        "extra_bytes": extra,
        "clip_bytes": images.nbytes,
        "crop_bytes": 4 * 3 * CROP**2 * frames,
        "working_bytes": 4 * 3 * WORKING**2 * frames,
    }


def keep(result: torch.Tensor, images: torch.Tensor, segs: Any, file: Path) -> None:
    """Write the segments' regions; outside them nothing may have changed."""
    regions = [seg.crop_region for seg in segs[1]]
    crops = np.stack([result[:, y1:y2, x1:x2].numpy() for x1, y1, x2, y2 in regions])
    before = np.stack([images[:, y1:y2, x1:x2].numpy() for x1, y1, x2, y2 in regions])
    if np.abs(crops - before).mean() < 0.01:
        raise AssertionError("the segments were not repainted")
    for x1, y1, x2, y2 in regions:
        result[:, y1:y2, x1:x2] = images[:, y1:y2, x1:x2]
    if not torch.equal(result, images):
        raise AssertionError("pixels outside the segments changed")
    np.save(file, crops)


async def measure_start(folder: str) -> dict[str, Any]:
    """Time of loading a folder of nodes, where ComfyUI measures it too."""
    server.PromptServer(asyncio.get_running_loop())
    await nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False)
    before = set(sys.modules)
    begin, processor = time.perf_counter(), time.process_time()
    is_loaded = await nodes.load_custom_node(folder, set(nodes.NODE_CLASS_MAPPINGS), module_parent="custom_nodes")
    seconds, processor = time.perf_counter() - begin, time.process_time() - processor
    if not is_loaded:
        raise AssertionError(f"{folder} was not loaded")
    packages = {name.partition(".")[0] for name in set(sys.modules) - before}
    own = {"segs_detailer", Path(folder).name, folder.partition(".")[0]}
    return {"seconds": seconds, "processor": processor, "packages": sorted(packages - own)}


def main() -> None:
    if sys.argv[1] == "start":
        result = asyncio.run(measure_start(sys.argv[2]))
    else:
        _, _, way, frames, count, file = sys.argv
        # As ComfyUI runs a prompt.
        with torch.inference_mode():
            result = measure_detail(way, int(frames), int(count), Path(file))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
