"""Everything that only a GPU can tell, in one short run: parity, shares of time, memory, offload, compilation.

    python scripts/gpu_check.py                  # on a GPU: under eight minutes
    python scripts/gpu_check.py --rehearse       # on the CPU, with tiny models: does the script itself work?

Models are made on the spot with random weights, at the sizes of Stable Diffusion 1.5 and AnimateDiff's motion module:
times and memory are those of the real ones, pictures are not. Each check runs for itself; one that fails is reported,
and the script goes on and ends with an error. The last lines are a table for `docs/benchmarks.md`, and `--json` keeps
all numbers.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch

from segs_detailer import BasicPipe, ComputeOptions, DetailerSettings
from segs_detailer.jobs.traits import ModelTraits
from segs_detailer.models.registry import sampler_for
from segs_detailer.models.sd.sampler import DiffusersSampler
from segs_detailer.nodes import DetailerForEachPipeForAnimateDiff
from segs_detailer.segs import SEG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
PHASES = ("encode", "sample", "decode")
CROP_FACTOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the check is.

    Parameters
    ----------
    device : str
        Where networks compute.
    frames, height, width : int
        The clip.
    segments, box : int
        Segments, and the side of the box of each in pixels.
    guide_size : int
        Working size of the boxes' crops.
    steps : int
        Steps of the schedule.
    channels : tuple of int
        Width of the UNet's levels; the VAE has half of it on its first ones.
    cross, heads, text_layers : int
        Width of the prompt's embedding, heads of the UNet's attention, layers of the text encoder.
    """

    device: str
    frames: int
    height: int
    width: int
    segments: int
    box: int
    guide_size: int
    steps: int
    channels: tuple[int, ...]
    cross: int
    heads: int
    text_layers: int

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the networks."""
        return torch.float16 if self.device == "cuda" else torch.float32


REAL = Scale(
    device="cuda",
    frames=16,
    height=1080,
    width=1920,
    segments=3,
    box=256,
    guide_size=512,
    steps=20,
    channels=(320, 640, 1280, 1280),
    cross=768,
    heads=8,
    text_layers=12,
)
"""Stable Diffusion 1.5 with AnimateDiff, 16 frames of 1080p, three segments."""

TINY = Scale(
    device="cpu",
    frames=4,
    height=96,
    width=160,
    segments=2,
    box=24,
    guide_size=32,
    steps=2,
    channels=(32, 32, 32, 32),
    cross=16,
    heads=2,
    text_layers=1,
)
"""The rehearsal."""


def save_models(folder: Path, scale: Scale) -> tuple[Path, Path]:
    """Save a checkpoint and a motion adapter with random weights in diffusers' layout."""
    from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    base, motion = folder / "base", folder / "motion"
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=scale.cross,
        intermediate_size=4 * scale.cross,
        num_hidden_layers=scale.text_layers,
        num_attention_heads=scale.heads,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    groups = min(32, scale.channels[0])
    first = max(scale.channels[0] * 2 // 5, groups)
    parts = {
        "unet": UNet2DConditionModel(
            sample_size=64,
            block_out_channels=scale.channels,
            cross_attention_dim=scale.cross,
            attention_head_dim=scale.heads,
            norm_num_groups=groups,
        ),
        "vae": AutoencoderKL(
            block_out_channels=(first, first * 2, first * 4, first * 4),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            norm_num_groups=groups,
            sample_size=512,
            scaling_factor=0.18215,
        ),
        "text_encoder": CLIPTextModel(text),
        "tokenizer": tokenizer,
        "scheduler": DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
    }
    for name, part in parts.items():
        (part.to(scale.dtype) if isinstance(part, torch.nn.Module) else part).save_pretrained(base / name)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.35.0",
        **{name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()},
    }
    (base / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    adapter = MotionAdapter(
        block_out_channels=scale.channels, motion_num_attention_heads=scale.heads, motion_norm_num_groups=groups
    )
    adapter.to(scale.dtype).save_pretrained(motion)
    return base, motion


def load(models: tuple[Path, Path], scale: Scale, **compute: Any) -> BasicPipe:
    """Load the pipe."""
    return BasicPipe.from_pretrained(
        models[0],
        motion_adapter=models[1],
        prompt="a face",
        negative_prompt="blurry",
        dtype=scale.dtype,
        device=scale.device,
        compute=ComputeOptions(**compute) if compute else None,
    )


def clip(scale: Scale) -> tuple[torch.Tensor, Any]:
    """Frames of noise over a slope, and segments side by side."""
    random = np.random.default_rng(0)
    slope = np.linspace(0.2, 0.8, scale.width, dtype=np.float32)[None, None, :, None]
    noise = random.random((scale.frames, scale.height, scale.width, 3), np.float32)
    segs = []
    for number in range(scale.segments):
        x = (2 * number + 1) * scale.width // (2 * scale.segments) - scale.box // 2
        y = (scale.height - scale.box) // 2
        side, margin = CROP_FACTOR * scale.box, (CROP_FACTOR - 1) * scale.box // 2
        mask = np.zeros((side, side), np.float32)
        mask[margin : margin + scale.box, margin : margin + scale.box] = 1
        region = (x - margin, y - margin, x - margin + side, y - margin + side)
        segs.append(SEG(None, mask, 1.0, region, (x, y, x + scale.box, y + scale.box), "face", None))
    return torch.from_numpy(slope * 0.8 + noise * 0.2), ((scale.height, scale.width), segs)


def synchronize(device: str) -> None:
    """Wait for what the device still works on."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def timed_phases(device: str) -> Iterator[dict[str, float]]:
    """Add up the seconds in encode, sample and decode of the sampler."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str) -> Callable[..., Any]:
        plain = getattr(DiffusersSampler, name)

        def call(self: DiffusersSampler, *args: Any, **kwargs: Any) -> Any:
            synchronize(device)
            start = time.perf_counter()
            result = plain(self, *args, **kwargs)
            synchronize(device)
            spent[name] += time.perf_counter() - start
            return result

        return call

    with mock.patch.multiple(DiffusersSampler, **{name: timed(name) for name in PHASES}):
        yield spent


def detail(pipe: BasicPipe, frames: torch.Tensor, segs: Any, scale: Scale) -> torch.Tensor:
    """Run the node once."""
    image, *_ = DetailerForEachPipeForAnimateDiff().doit(
        frames,
        segs,
        guide_size=scale.guide_size,
        guide_size_for=True,
        max_size=2 * scale.guide_size,
        seed=0,
        steps=scale.steps,
        cfg=8.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
        feather=5,
        basic_pipe=pipe,
    )
    synchronize(scale.device)
    return image


def check_ops(models: tuple[Path, Path], scale: Scale) -> dict[str, Any]:
    """Run the parity tests of the ops, which skip their GPU part without one."""
    del models
    where = "tests/ops/test_ops_torch_path.py"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", str(ROOT / where)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr.strip()]
    if done.returncode:
        raise AssertionError(f"{where}: {last[0]}\n{done.stdout[-4000:]}")
    if scale.device == "cuda" and "no CUDA device" in done.stdout:
        raise AssertionError(f"{where}: the tests did not see the GPU")
    return {"pytest": last[0]}


def check_detailer(models: tuple[Path, Path], scale: Scale) -> dict[str, Any]:
    """Time the node for frames on the host and on the device, and compare what comes out."""
    pipe = load(models, scale)
    frames, segs = clip(scale)
    found: dict[str, Any] = {}
    results = {}
    for place in ("host", "device"):
        given = frames if place == "host" else frames.to(scale.device)
        detail(pipe, given, segs, replace(scale, steps=2))
        if scale.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with timed_phases(scale.device) as spent:
            start = time.perf_counter()
            results[place] = detail(pipe, given, segs, scale)
            total = time.perf_counter() - start
        outside = total - sum(spent.values())
        found[place] = {"seconds": total, **dict(spent), "outside": outside, "share_outside": outside / total}
        if scale.device == "cuda":
            found[place]["peak_bytes"] = torch.cuda.max_memory_allocated()
    difference = (results["host"].cpu() - results["device"].cpu()).abs().max().item()
    masked = torch.zeros(frames.shape[1:3], dtype=torch.bool)
    for seg in segs[1]:
        x1, y1, x2, y2 = (max(side, 0) for side in seg.crop_region)
        masked[y1:y2, x1:x2] = True
    same = bool((results["host"].cpu()[:, ~masked] == frames[:, ~masked]).all())
    if not same:
        raise AssertionError("pixels outside the crops have changed")
    if not bool(torch.isfinite(results["host"]).all()):
        raise AssertionError("the result is not finite")
    found["host_against_device"] = difference
    traits = ModelTraits.of(pipe)
    side = CROP_FACTOR * scale.guide_size
    size = (min(side, 2 * scale.guide_size),) * 2
    found["predicted_bytes"] = traits.accelerator + traits.needed(size, scale.frames, 1)
    return found


def check_against_diffusers(models: tuple[Path, Path], scale: Scale) -> dict[str, Any]:
    """Time a step of ours beside one of diffusers' own video-to-video pipeline over the same networks."""
    from diffusers import AnimateDiffVideoToVideoPipeline
    from PIL import Image

    pipe = load(models, scale)
    side = CROP_FACTOR * scale.guide_size
    random = np.random.default_rng(1)
    pictures = random.integers(0, 256, (scale.frames, side, side, 3), np.uint8)
    frames = torch.from_numpy(pictures.astype(np.float32) / 255)
    own = sampler_for(*pipe[:3]).diffusers_pipeline()
    parts = {name: own.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    theirs = AnimateDiffVideoToVideoPipeline(**parts, motion_adapter=None)
    theirs.set_progress_bar_config(disable=True)
    settings = DetailerSettings(
        steps=scale.steps, cfg=8.0, sampler_name="ddim", scheduler="normal", denoise=1.0, guide_size=side, max_size=side
    )
    region = (0, 0, side, side)
    whole = ((side, side), [SEG(None, np.ones((side, side), np.float32), 1.0, region, region, "", None)])

    def ours() -> float:
        from segs_detailer import detail_frames

        with timed_phases(scale.device) as spent:
            detail_frames(frames, whole, pipe, settings)
        return spent["sample"] / scale.steps

    def peer() -> float:
        stamps: list[float] = []

        def told(*args: Any) -> dict[str, Any]:
            synchronize(scale.device)
            stamps.append(time.perf_counter())
            return dict(args[-1])

        theirs(
            video=[Image.fromarray(picture) for picture in pictures],
            prompt="a face",
            negative_prompt="blurry",
            height=side,
            width=side,
            num_inference_steps=scale.steps,
            strength=1.0,
            guidance_scale=8.0,
            output_type="latent",
            callback_on_step_end=told,
        )
        return (stamps[-1] - stamps[0]) / (len(stamps) - 1)

    ours(), peer()
    times = [(ours(), peer()) for _ in range(2)]
    mine, other = (statistics.median(each) for each in zip(*times, strict=True))
    return {"ours_seconds_per_step": mine, "diffusers_seconds_per_step": other, "ratio": mine / other}


def check_compute(models: tuple[Path, Path], scale: Scale) -> dict[str, Any]:
    """Time and peak memory of the ways to save memory, and of compilation, on one segment."""
    frames, (size, segs) = clip(scale)
    one = (size, segs[:1])
    ways: dict[str, dict[str, Any]] = {"as it is": {}, "guidance_batch off": {"guidance_batch": False}}
    if scale.device == "cuda":
        ways |= {
            "offload model": {"offload": "model"},
            "offload group": {"offload": "group"},
            "offload sequential": {"offload": "sequential"},
            "channels_last": {"channels_last": True},
            "compile_unet": {"compile_unet": True},
        }
    found: dict[str, Any] = {}
    expected = None
    for name, options in ways.items():
        # Layers that travel one by one are slow: few steps say as much.
        few = replace(scale, steps=2 if name == "offload sequential" else min(scale.steps, 6))
        pipe = load(models, scale, **options)
        warm_up = time.perf_counter()
        detail(pipe, frames, one, few)
        warm_up = time.perf_counter() - warm_up
        if scale.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with timed_phases(scale.device) as spent:
            result = detail(pipe, frames, one, few).cpu()
        found[name] = {"first_seconds": warm_up, "seconds_per_step": spent["sample"] / few.steps}
        if scale.device == "cuda":
            found[name]["peak_bytes"] = torch.cuda.max_memory_allocated()
        if few.steps == min(scale.steps, 6):
            expected = result if expected is None else expected
            found[name]["difference"] = (result - expected).abs().max().item()
        del pipe
        if scale.device == "cuda":
            torch.cuda.empty_cache()
    return found


CHECKS: dict[str, Callable[[tuple[Path, Path], Scale], dict[str, Any]]] = {
    "ops": check_ops,
    "detailer": check_detailer,
    "against diffusers": check_against_diffusers,
    "compute": check_compute,
}


def machine(scale: Scale) -> dict[str, str]:
    """Say what this runs on."""
    import diffusers

    name = torch.cuda.get_device_name() if scale.device == "cuda" else f"{platform.machine()}, no GPU (rehearsal)"
    return {"device": name, "torch": torch.__version__, "diffusers": diffusers.__version__}


def table(found: dict[str, Any]) -> Iterator[str]:
    """Rows of all numbers."""
    yield "| check | number | value |"
    yield "|---|---|---|"

    def rows(check: str, name: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from rows(check, f"{name}, {key}" if name else key, part)
            return
        text = f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)
        if name.endswith("bytes"):
            text = f"{value / 1e9:.2f} GB"
        yield f"| {check} | {name.replace('_', ' ')} | {text} |"

    for check, values in found.items():
        yield from rows(check, "", values)


def main(given: list[str] | None = None) -> int:
    """Run all checks, or those that are named; return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny models")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="some of the checks")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    arguments = parser.parse_args(given)
    if not arguments.rehearse and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here: use --rehearse to try the script itself")
    scale = TINY if arguments.rehearse else REAL
    found: dict[str, Any] = {"machine": machine(scale)}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        models = save_models(Path(folder), scale)
        for name in arguments.only:
            start = time.perf_counter()
            try:
                found[name] = CHECKS[name](models, scale)
            except Exception as error:  # the others are still worth their time
                traceback.print_exc()
                found[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
                failed = True
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
            if arguments.json is not None:
                arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("\n".join(table(found)))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
