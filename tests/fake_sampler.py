"""A sampler for tests: lossless latents, a repainting function of one's own, and a record of every call."""

from __future__ import annotations

from collections.abc import Callable

import torch

from segs_detailer.models.info import Geometry, ModelInfo
from segs_detailer.models.interface import SampleJob, Sampler
from segs_detailer.segs import SEG

Repaint = Callable[[torch.Tensor, SampleJob], torch.Tensor]


def identity(pixels, job):
    return pixels


def constant(value):
    """Paints everything in one color."""
    return lambda pixels, job: torch.full_like(pixels, value)


class FakeSampler(Sampler):
    """Latents are the pixels in blocks, `(B, 3 * m * m, H / m, W / m)` for a size multiple m.

    `repaint` gets and returns pixels `(B, H, W, 3)`. The first `bad_decodes` calls of `decode` give `bad_value`.
    What is given beside these goes to its `ModelInfo`.
    """

    def __init__(
        self,
        repaint: Repaint = identity,
        *,
        geometry: Geometry | None = None,
        bad_decodes: int = 0,
        bad_value: float = float("nan"),
        **info: object,
    ) -> None:
        self.repaint = repaint
        self._info = ModelInfo(
            family="fake", geometry=Geometry(size_multiple=8) if geometry is None else geometry, **info
        )
        self.bad_decodes = bad_decodes
        self.bad_value = bad_value
        self.encoded: list[torch.Tensor] = []
        self.jobs: list[SampleJob] = []
        self.decodes: list[bool] = []

    @property
    def info(self) -> ModelInfo:
        return self._info

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        count, height, width, channels = frames.shape
        assert channels == 3
        assert frames.dtype == torch.float32
        assert height % self.geometry.size_multiple == 0
        assert width % self.geometry.size_multiple == 0
        assert self.geometry.frames_for(count) == count
        self.encoded.append(frames)
        return self._to_latents(frames)

    def sample(self, latents: torch.Tensor, job: SampleJob) -> torch.Tensor:
        self.jobs.append(job)
        for step in range(job.steps):
            if job.callback is not None:
                job.callback(step, job.steps, latents, latents, 1.0)
        return self._to_latents(self.repaint(self._to_pixels(latents), job))

    def decode(self, latents: torch.Tensor, *, full_precision: bool = False) -> torch.Tensor:
        self.decodes.append(full_precision)
        pixels = self._to_pixels(latents)
        if len(self.decodes) <= self.bad_decodes:
            pixels = pixels.clone()
            pixels[0, 0, 0, 0] = self.bad_value
        return pixels

    def _to_latents(self, pixels):
        return torch.nn.functional.pixel_unshuffle(pixels.permute(0, 3, 1, 2), self.geometry.size_multiple)

    def _to_pixels(self, latents):
        return torch.nn.functional.pixel_shuffle(latents, self.geometry.size_multiple).permute(0, 2, 3, 1)


def clip(frames=3, height=48, width=64, channels=3, seed=0):
    """Random frames."""
    return torch.rand((frames, height, width, channels), generator=torch.Generator().manual_seed(seed))


def smooth_clip(frames=3, height=48, width=64, channels=3, seed=0):
    """Frames without hard edges, which two resizes give back."""
    coarse = torch.rand((frames, channels, 4, 5), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return smooth.clamp(0.05, 0.95).permute(0, 2, 3, 1).contiguous()


def segment(region=(8, 8, 40, 32), *, bbox=None, mask="ones", image=None, label="face", wrapper=None):
    """A SEG over `region`, its whole crop shown unless `mask` says otherwise."""
    x1, y1, x2, y2 = region
    if isinstance(mask, str):
        mask = torch.ones((y2 - y1, x2 - x1)).numpy()
    return SEG(image, mask, 0.9, region, region if bbox is None else bbox, label, wrapper)


def segs_of(frames, *segments):
    """SEGS in the size of the frames."""
    return (frames.shape[1], frames.shape[2]), list(segments)


def pipe_of(sampler, positive=(), negative=()):
    """A basic_pipe around a sampler."""
    return (sampler, None, None, list(positive), list(negative))
