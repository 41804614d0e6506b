"""A family of models for tests: an odd grid of frames, its own packing, no prompts, no networks of diffusers."""

from __future__ import annotations

import json

import torch

from segs_detailer.cli.batch_work import RunWork
from segs_detailer.models import registry
from segs_detailer.models.family import Family
from segs_detailer.models.flow import FLOW_SAMPLERS, FLOW_SCHEDULES, FlowTable
from segs_detailer.models.info import FramePacking, Geometry, MemoryModel, ModelInfo, Recommended
from segs_detailer.models.latent_sampler import LatentSampler

PIPELINE = "ToyPipeline"
SIDE = 8
PACKING = FramePacking(lead=(1, 4), cycle=(4, 4, 4, 1, 4))
INFO = ModelInfo(
    family="toy",
    geometry=Geometry(size_multiple=SIDE, frame_step=17, frame_offset=5, packing=PACKING),
    sampler_names=FLOW_SAMPLERS,
    scheduler_names=FLOW_SCHEDULES,
    recommended=Recommended(steps=3, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=0.6, shift=3.0),
)


class ToyModel:
    """What stands in basic_pipe[0]: paints everything in a brighter shade of what was there."""

    def __init__(self):
        self.network = torch.nn.Linear(1, 1)
        self.table = FlowTable.shifted(3.0)
        self.encoded = []
        self.steps = 0


class Brighter:
    def __init__(self, model, source):
        self.model = model
        self.x0 = 0.5 * source + 0.5

    def __call__(self, x, sigma):
        self.model.steps += 1
        return self.x0.clone()


class ToySampler(LatentSampler):
    """Latents `(1, 3, T, h, w)`: means over blocks of pixels and the frames that a latent holds."""

    frame_axis = 2

    def __init__(self, model):
        self.model = model

    @property
    def info(self):
        return ModelInfo(
            **{name: getattr(INFO, name) for name in ("family", "geometry", "sampler_names", "scheduler_names")},
            recommended=INFO.recommended,
            memory=MemoryModel((self.model.network,), lambda size, frames, clips: frames * size[0] * size[1]),
        )

    @property
    def in_pipe(self):
        return self.model

    @property
    def table(self):
        return self.model.table

    def encode(self, frames):
        self.model.encoded.append(len(frames))
        counts = PACKING.counts(PACKING.latents(len(frames)))
        small = torch.nn.functional.avg_pool2d(frames.movedim(-1, 1), SIDE)
        return torch.stack([group.mean(dim=0) for group in torch.split(small, list(counts))], dim=1)[None]

    def decode(self, latents, *, full_precision=False):
        held = latents[0][:, PACKING.latent_of_frames(latents.shape[2])].movedim(1, 0)
        return held.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3).movedim(1, -1).clamp(0, 1)

    def to_model(self, latents):
        return latents * 2 - 1

    def from_model(self, latents):
        return latents / 2 + 0.5

    def denoiser(self, source, job, positive, negative):
        return lambda levels: Brighter(self.model, source)


class Toy(Family):
    name = "toy"
    takes = "a ToyModel"

    def __init__(self):
        self.loaded = []

    def owns(self, model):
        return isinstance(model, ToyModel)

    def sampler(self, model, clip, vae):
        return ToySampler(model)

    def reads(self, pipeline):
        return pipeline == PIPELINE

    def load(self, base, motion_adapter, load):
        self.loaded.append(ToyModel())
        return self.loaded[-1], None, None


FAMILY = Toy()


def save_checkpoint(folder):
    """A folder whose index names the family."""
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": PIPELINE}), encoding="utf-8")
    return folder


class ToyWork(RunWork):
    """The work of a batch, in a process that knows the family."""

    def split(self, payload, tell):
        registry.register(FAMILY)
        return super().split(payload, tell)

    def sample(self, payload, part, tell):
        registry.register(FAMILY)
        super().sample(payload, part, tell)

    def finish(self, payload, slot, tell):
        registry.register(FAMILY)
        ending = super().finish(payload, slot, tell)
        return f"{ending} with {len(FAMILY.loaded)} loaded"
