"""A sampler without a model: classical sharpening, to see segments, sizes and seams before a real run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segs_detailer._lazy import LazyModule
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.info import Geometry, ModelInfo
from segs_detailer.models.interface import SampleJob, Sampler
from segs_detailer.ops.morphology import dilate, erode

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F  # noqa: N812 - the name under which torch documents it
    from torch import Tensor

    from segs_detailer.models.interface import StepCallback
else:
    # A preview is planned, and its clip decoded, before the first crop is sharpened.
    torch, F = LazyModule("torch"), LazyModule("torch.nn.functional")

__all__ = ["SharpenSampler"]

# ITU-R BT.709 luma weights.
_LUMA = (0.2126, 0.7152, 0.0722)
# Iterations past this many change less than one 8-bit step.
_MAX_ITERATIONS = 4
# A photograph that was enlarged n times has this ratio of detail at widths n/2 and n: measured on scikit-image's
# astronaut, cameraman and cat at 1 to 6 times, within 15 %.
_DETAIL_RATIO = 0.44
_SAMPLE_FRAMES = 3
# Detail whose local energy is below this many times the noise's is left alone.
_CORING = 2.0
# Noise is everywhere, and subjects are not: the quietest share of the picture shows how strong the noise is.
_QUIET_SHARE = 0.15
# Least noise, as a standard deviation: half an 8-bit step.
_NOISE_FLOOR = 0.5 / 255
# Blurred brightness of two frames may differ by about this much where they show the same thing.
_AGREEMENT = 6 / 255
# The energy of the detail varies slowly: it is averaged at this fraction of the size.
_ENERGY_FACTOR = 2
# Pixels around the mask that the widest blur, applied once per iteration, can bring in.
_MARGIN = 48
# Pixels on each side of the window that bounds the result, per pixel of blur.
_WINDOW_PER_WIDTH = 1.25


@dataclass(frozen=True, slots=True)
class _Blur:
    """A binomial blur, at a size reduced so far that few taps are enough.

    Parameters
    ----------
    factor : int
        Both sides are divided by it.
    passes : int
        Averages of neighboring pairs along each axis; even. The variance is a quarter of a pixel each.
    """

    factor: int
    passes: int

    @property
    def width(self) -> float:
        """Standard deviation in pixels of the full size."""
        return self.factor * math.sqrt(self.passes / 4)

    def reduced(self, luma: Tensor) -> Tensor:
        """`(H, W)` at the reduced size."""
        if self.factor == 1:
            return luma
        height, width = (-(-side // self.factor) for side in luma.shape)
        return F.interpolate(luma[None, None], size=(height, width), mode="area")[0, 0]


# Blurs that are told apart: 1, 1.4, 2, 2.8 and 4 pixels.
_BLURS = (_Blur(1, 4), _Blur(2, 2), _Blur(2, 4), _Blur(4, 2), _Blur(4, 4))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is measured once on the whole stack, so that every frame gets the same treatment.

    Parameters
    ----------
    blur : _Blur
        As wide as the stack's own.
    noise : float
        Energy of the noise: its variance after taking away the blurred picture.
    """

    blur: _Blur
    noise: float

    @property
    def window(self) -> int:
        """Pixels on each side of the window whose darkest and brightest value bound the result."""
        return max(1, round(_WINDOW_PER_WIDTH * self.blur.width))


class SharpenSampler(Sampler):
    """Restores detail of enlarged crops without weights: a preview, not a substitute for a model.

    The brightness of each frame is deconvolved (Van Cittert's iteration, `u += x - blur(u)`, with a blur as wide as the
    one measured on the stack). The change is dropped where it is no stronger than noise, averaged with that of the
    frames before and after where they show the same, added to the colors, and bounded by the darkest and brightest
    input value of a small window (at most 11 pixels wide): no halos, and no value outside the input's own range. A
    still clip gives a still result, bit for bit.

    "Latents" are the frames themselves: `encode` and `decode` hand them through.

    Of a `SampleJob` it uses `steps` (iterations, at most 4), `denoise` (strength: 0.5 adds the whole change, 1 twice
    as much), `frame_denoise` (the same, frame by frame), `noise_mask`, `refiner` and `callback`. There is no noise and
    no guidance here, so `seed`, `noise`, `cfg`, `sampler_name`, `scheduler`, `scheduler_func`, `differential`,
    `inpaint_model` and the conditioning have no meaning.

    Parameters
    ----------
    strength : float
        Factor on the change, 0 to 4.

    Raises
    ------
    InvalidArgumentError
        `strength` is out of range.

    References
    ----------
    P. H. van Cittert, "Zum Einfluss der Spaltbreite auf die Intensitaetsverteilung in Spektrallinien II",
    Zeitschrift fuer Physik 69, 1931.
    """

    takes_frame_denoise = True

    info = ModelInfo(
        family="sharpen",
        geometry=Geometry(reach=1),
        note="no model was named: this is a preview by classical sharpening, nothing is repainted",
    )
    """Any size, any number of frames; a frame depends on its neighbors alone."""

    def __init__(self, strength: float = 1.0) -> None:
        if not 0 <= strength <= 4:
            raise InvalidArgumentError("strength", "a number from 0 to 4", repr(strength))
        self.strength = float(strength)

    def encode(self, frames: Tensor) -> Tensor:
        """Hand `frames` `(B, H, W, 3)` through."""
        return frames

    def decode(self, latents: Tensor, *, full_precision: bool = False) -> Tensor:  # noqa: ARG002 - always float32
        """Hand `latents` through; they are float32 in any case."""
        return latents

    def sample(self, latents: Tensor, job: SampleJob) -> Tensor:
        """Sharpen frames; see the class. The input is not changed.

        Parameters
        ----------
        latents : Tensor
            `(B, H, W, 3)` float32 in [0, 1].
        job : SampleJob
            Steps, strength, mask, refiner and progress.

        Returns
        -------
        Tensor
            `(B, H, W, 3)`. Pixels where `job.noise_mask` is 0 are bit-identical to the input.
        """
        if latents.ndim != 4 or latents.shape[-1] != 3:
            raise InvalidArgumentError("latents", "frames of shape (B, H, W, 3)", str(tuple(latents.shape)))
        refiner = job.refiner
        steps = job.steps if refiner is None else math.floor(job.steps * (1 - refiner.ratio))
        result = _sharpen_where_masked(latents, job, steps, self.strength) if steps else latents.clone()
        if refiner is None or steps == job.steps:
            return result
        rest = replace(
            job,
            pixels=result,
            steps=job.steps - steps,
            positive=refiner.positive,
            negative=refiner.negative,
            refiner=None,
        )
        return refiner.sampler.sample(result, rest)


def _sharpen_where_masked(frames: Tensor, job: SampleJob, steps: int, strength: float) -> Tensor:
    """Work on the part of the frames that the mask leaves open, and a margin: crops are much larger than subjects."""
    if job.noise_mask is None or not frames.numel():
        return _sharpen(frames, job, steps, strength) if frames.numel() else frames.clone()
    result = frames.clone()
    open_area = (job.noise_mask > 0).any(dim=0)
    rows, columns = _bounds(open_area.any(dim=1)), _bounds(open_area.any(dim=0))
    if rows is None or columns is None:
        return result
    part_job = replace(job, noise_mask=job.noise_mask[:, rows, columns], callback=_reporting(job.callback, frames))
    result[:, rows, columns] = _sharpen(frames[:, rows, columns], part_job, steps, strength)
    return result


def _reporting(callback: StepCallback | None, frames: Tensor) -> StepCallback | None:
    """Report whole frames, whatever part of them is worked on."""
    if callback is None:
        return None
    return lambda step, total, _x0, _x, sigma: callback(step, total, frames, frames, sigma)


def _bounds(used: Tensor) -> slice | None:
    """Range of the rows or columns in use with a margin; None if there are none."""
    places = used.nonzero()
    if not len(places):
        return None
    return slice(max(0, int(places[0]) - _MARGIN), int(places[-1]) + 1 + _MARGIN)


def _sharpen(frames: Tensor, job: SampleJob, steps: int, strength: float) -> Tensor:
    """Sharpen frame by frame: beside the stack little memory is needed, and that stays in the processor's cache."""
    iterations = min(steps, _MAX_ITERATIONS)
    plan = _measure(frames)
    soft = torch.stack([plan.blur.reduced(_luma(frame)) for frame in frames])
    sharp = soft.clone()
    for step in range(iterations):
        for before, now in zip(soft, sharp, strict=True):
            now += before - _blurred(now, plan.blur.passes)
        if job.callback is not None:
            job.callback(step, iterations, frames, frames, 1 - (step + 1) / iterations)
    result = torch.empty_like(frames)
    changes: dict[int, _Change] = {}
    for index, frame in enumerate(frames):
        for near in range(max(0, index - 1), min(len(frames), index + 2)):
            if near not in changes:
                changes[near] = _change(soft[near], sharp[near], plan)
        changes.pop(index - 2, None)
        image = frame.permute(2, 0, 1).contiguous()
        denoise = job.denoise if job.frame_denoise is None else job.frame_denoise[index]
        change = _in_step(index, changes)[None, None] * (2 * denoise * strength)
        full = F.interpolate(change, size=image.shape[1:], mode="bilinear")[0]
        side = 2 * plan.window + 1
        bounded = torch.minimum(torch.maximum(image + full, erode(image, side)), dilate(image, side))
        result[index] = _masked(image, bounded, job.noise_mask, index).permute(1, 2, 0)
    return result


def _measure(frames: Tensor) -> _Plan:
    """Width of the blur and strength of the noise, from a few frames spread over the stack."""
    count = min(_SAMPLE_FRAMES, len(frames))
    indices = sorted({round(i * (len(frames) - 1) / max(1, count - 1)) for i in range(count)})
    sample = [_luma(frames[i]) for i in indices]
    blur = next((candidate for candidate in _BLURS if _is_as_blurred(sample, candidate)), _BLURS[-1])
    energies = [_detail_energy(soft, _blurred(soft, blur.passes), blur) for soft in map(blur.reduced, sample)]
    quiet = [float(energy.flatten().kthvalue(1 + int(_QUIET_SHARE * energy.numel())).values) for energy in energies]
    return _Plan(blur=blur, noise=max(_NOISE_FLOOR**2, sum(quiet) / len(quiet)))


def _luma(frame: Tensor) -> Tensor:
    """Brightness `(H, W)`. Not a matrix product: a BLAS may add in another order where memory is aligned otherwise."""
    red, green, blue = (frame[..., channel] * weight for channel, weight in enumerate(_LUMA))
    return red + green + blue


def _detail_energy(soft: Tensor, calm: Tensor, blur: _Blur) -> Tensor:
    """Local mean of the squared detail, over about twice the width of the blur."""
    coarse = _Blur(_ENERGY_FACTOR, blur.passes).reduced((soft - calm).square())
    smooth = _blurred(coarse, blur.passes)
    return F.interpolate(smooth[None, None], size=soft.shape, mode="bilinear")[0, 0]


def _is_as_blurred(sample: list[Tensor], blur: _Blur) -> bool:
    """Whether the images have the detail of this width that a sharp image has, and no wider blur is called for."""
    fine = coarse = 0.0
    for luma in sample:
        reduced = blur.reduced(luma)
        fine += float((reduced - _blurred(reduced, blur.passes)).square().mean())
        coarse += float((reduced - _blurred(reduced, 4 * blur.passes)).square().mean())
    return fine >= _DETAIL_RATIO**2 * coarse


def _blurred(luma: Tensor, passes: int) -> Tensor:
    """Binomial blur of `(h, w)` with edge pixels repeated.

    Only sums of two and one exact scaling by a power of two: the result of a pixel does not depend on how a processor
    groups the work, which keeps still clips still.
    """
    pad = passes // 2
    out = F.pad(luma[None, None], (pad, pad, pad, pad), mode="replicate")[0, 0]
    for _ in range(passes):
        out = out[:, :-1] + out[:, 1:]
    for _ in range(passes):
        out = out[:-1] + out[1:]
    return out * 2.0 ** (-2 * passes)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be added to the brightness of one frame, and its blurred brightness, `(h, w)` each."""

    values: Tensor
    calm: Tensor


def _change(soft: Tensor, sharp: Tensor, plan: _Plan) -> _Change:
    """Take the change of one frame, without noise: Wiener's rule keeps the share of the energy that is not noise."""
    calm = _blurred(soft, plan.blur.passes)
    energy = _detail_energy(soft, calm, plan.blur)
    gain = (1 - _CORING * plan.noise / energy.clamp_min(1e-12)).clamp_(0, 1)
    return _Change((sharp - soft) * gain, calm)


def _in_step(index: int, changes: dict[int, _Change]) -> Tensor:
    """Average the change of a frame with those of its neighbors where the frames show the same.

    Written as a correction by differences, which are exactly 0 for equal frames: their change comes out untouched.
    """
    own = changes[index]
    correction = torch.zeros_like(own.values)
    total = torch.ones_like(own.values)
    for near in (index - 1, index + 1):
        other = changes.get(near)
        if other is not None:
            weight = torch.exp(-(((other.calm - own.calm) / _AGREEMENT) ** 2))
            correction += weight * (other.values - own.values)
            total += weight
    return own.values + correction / total


def _masked(before: Tensor, after: Tensor, noise_mask: Tensor | None, index: int) -> Tensor:
    """`after` where the mask of this frame is 1, `before` bit for bit where it is 0."""
    if noise_mask is None:
        return after
    mask = noise_mask[index if len(noise_mask) > 1 else 0].to(before)
    return torch.where(mask > 0, before + mask * (after - before), before)
