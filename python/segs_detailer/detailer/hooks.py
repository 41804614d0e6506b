"""Hooks: what a caller may look at and change on a segment's way through the detailer.

The methods, their arguments and results are those of Impact Pack's detailer hooks, so that objects made for it work
here. A hook defines only the methods that it needs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch

from segs_detailer.checks import integer
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.models.interface import Conditioning
    from segs_detailer.segs import SEGS

__all__ = ["HOOK_METHODS", "CombinedHook", "DetailerHook", "HookCalls", "Latent", "Prepared"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

Latent: TypeAlias = "dict[str, Any]"
"""ComfyUI's LATENT: `"samples"` are the latents, `"noise_mask"` `(1 or B, H, W)` is there where a mask is."""

Prepared: TypeAlias = "tuple[Any, int, int, float, str, str, Conditioning, Conditioning, Latent, float]"
"""`(model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent, denoise)`."""


_HANDED_ON = "_handed_on"


def _hands_on(count: int) -> Callable[[_Method], _Method]:
    """Mark a method of hooks that returns so many of its last arguments, where that is not one."""

    def marked(method: _Method) -> _Method:
        setattr(method, _HANDED_ON, count)
        return method

    return marked


class DetailerHook:
    """A hook that changes nothing: derive from it and override what you need.

    Its public methods are the list of what a hook may have; all else follows it.

    The methods are called in this order: once per run `post_detection` and `set_segments`; for each segment
    `post_crop_region`, `touch_scaled_size`, `post_upscale`, `get_skip_sampling`, `post_encode`, `set_steps`,
    `cycle_latent`, `pre_ksample`, `get_custom_noise`, `get_custom_sampler`, `pre_decode`, `post_decode`,
    `should_retry_patch`, `post_paste`.
    """

    def post_detection(self, segs: SEGS) -> SEGS:
        """Choose, order or change the segments, already matched to the frames' size.

        Parameters
        ----------
        segs : SEGS
            The segments.

        Returns
        -------
        SEGS
            Those to go on with.
        """
        return segs

    @_hands_on(0)
    def set_segments(self, count: int) -> None:
        """Learn how many segments the run paints; Impact Pack's detailers do not call this.

        Parameters
        ----------
        count : int
            Those that `post_detection` left and of which the frames show something.
        """

    def post_crop_region(self, w: int, h: int, item_bbox: Any, crop_region: Any) -> Any:  # noqa: ARG002
        """Change a crop region; the mask is cut anew, without any part outside the old region.

        A region that moves is shown as it is in one frame; how its edges are moved there counts for all frames.

        Parameters
        ----------
        w, h : int
            Size of the frames in pixels.
        item_bbox, crop_region : tuple of int
            `(x1, y1, x2, y2)` in pixels.

        Returns
        -------
        tuple of int
            The crop region.
        """
        return crop_region

    @_hands_on(2)
    def touch_scaled_size(self, w: int, h: int) -> tuple[int, int]:
        """Change the working size; what comes back is rounded to what the model takes.

        Parameters
        ----------
        w, h : int
            Width and height in pixels.

        Returns
        -------
        tuple of int
            `(w, h)`.
        """
        return w, h

    def post_upscale(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Change the crops at working size, before they are encoded.

        Parameters
        ----------
        pixels : Tensor
            `(B, H, W, 3)` float32 in [0, 1].
        mask : Tensor or None
            Where noise will go, `(1 or B, H, W)` in [0, 1]; None for everywhere. A hook whose method takes pixels alone
            gets pixels alone.

        Returns
        -------
        Tensor
            Pixels of the same shape.
        """
        return pixels

    def get_skip_sampling(self) -> bool:
        """Tell whether the crops, as `post_upscale` left them, are the result: nothing is encoded and sampled then.

        Of combined hooks all must say so.
        """
        return False

    def post_encode(self, samples: Latent) -> Latent:
        """Change the encoded latents or the noise mask.

        Parameters
        ----------
        samples : Latent
            `{"samples": latents, "noise_mask": mask}`.

        Returns
        -------
        Latent
            The same form.
        """
        return samples

    @_hands_on(0)
    def set_steps(self, info: tuple[int, int]) -> None:
        """Learn the cycle that begins.

        Parameters
        ----------
        info : tuple of int
            `(cycle, cycles)`: always `(0, 1)` here.
        """

    def cycle_latent(self, latent: Latent) -> Latent:
        """Change the latents before a sampling cycle.

        Parameters
        ----------
        latent : Latent
            As `post_encode` left it.

        Returns
        -------
        Latent
            The same form.
        """
        return latent

    @_hands_on(10)
    def pre_ksample(
        self,
        model: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        upscaled_latent: Latent,
        denoise: float,
    ) -> Prepared:
        """Change what is sampled, and how.

        Parameters
        ----------
        model : object
            The pipe's model.
        seed, steps, cfg, sampler_name, scheduler, denoise
            The settings.
        positive, negative : Conditioning
            Cut to the segment.
        upscaled_latent : Latent
            As `cycle_latent` left it.

        Returns
        -------
        tuple
            The ten arguments, changed or not.
        """
        return model, seed, steps, cfg, sampler_name, scheduler, positive, negative, upscaled_latent, denoise

    @_hands_on(2)
    def get_custom_noise(self, seed: int, noise: Tensor, is_touched: bool) -> tuple[Tensor, bool]:  # noqa: ARG002
        """Give the start noise.

        Parameters
        ----------
        seed : int
            The seed.
        noise : Tensor
            Zeros of the latents' shape, or the noise of the hook before where `is_touched`.
        is_touched : bool
            Whether `noise` counts.

        Returns
        -------
        noise : Tensor
            The noise, of standard deviation 1.
        is_touched : bool
            False for the seed's own noise.
        """
        return noise, is_touched

    def get_custom_sampler(self) -> Any:
        """Give what steps through the noise levels in place of the named sampler; None for that.

        Of combined hooks the first that gives one counts. The schedule is made for the named sampler.

        Returns
        -------
        object or None
            With models of ComfyUI a SAMPLER, else a `SamplerSpec` of `segs_detailer.models.samplers`, where the family
            takes one.
        """
        return None

    def pre_decode(self, samples: Latent) -> Latent:
        """Change the repainted latents.

        Parameters
        ----------
        samples : Latent
            The repainted latents.

        Returns
        -------
        Latent
            The same form.
        """
        return samples

    def post_decode(self, pixels: Tensor) -> Tensor:
        """Change the decoded crops, before they are scaled back.

        Parameters
        ----------
        pixels : Tensor
            `(B, H, W, 3)` float32.

        Returns
        -------
        Tensor
            As many frames; of any height and width.
        """
        return pixels

    def should_retry_patch(self, patch: Tensor) -> bool:  # noqa: ARG002
        """Tell whether a repainted crop is bad: the segment is then repainted with the next seed, twice at most.

        A segment that stays bad is left as it was. Of combined hooks one that says so is enough.

        Parameters
        ----------
        patch : Tensor
            The crop of one frame, `(1, h, w, 3)`, as it would be pasted. The frames are shown one after the other.

        Returns
        -------
        bool
            True to try again.
        """
        return False

    def post_paste(self, image: Tensor) -> Tensor:
        """Look at or change the frames into which a segment was pasted.

        The tensor is changed by the segments that follow: keep a clone, not the tensor. Another tensor that is returned
        is never written to.

        Parameters
        ----------
        image : Tensor
            `(B, H, W, C)`.

        Returns
        -------
        Tensor
            The frames to go on with. `None` stands for `image`.
        """
        return image


HOOK_METHODS = tuple(name for name, value in vars(DetailerHook).items() if inspect.isfunction(value))
"""Names of the methods that are called on hooks."""


class CombinedHook(DetailerHook):
    """Several hooks as one: each gets what the one before returned.

    It has the methods of `DetailerHook`. Sampling is skipped where all hooks say so, and done again where one does; the
    first custom sampler counts.

    Parameters
    ----------
    *hooks : object
        The hooks, in order. Each needs only the methods that it defines.
    """

    def __init__(self, *hooks: object) -> None:
        self.hooks = hooks

    def post_upscale(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `DetailerHook.post_upscale`; hooks that take pixels alone get these."""
        for method in self._methods("post_upscale"):
            pixels = _upscaled_by(method, pixels, mask)
        return pixels

    def get_skip_sampling(self) -> bool:
        """See `DetailerHook.get_skip_sampling`."""
        methods = self._methods("get_skip_sampling")
        answers = [bool(method()) for method in methods]
        return 0 < len(answers) == len(self.hooks) and all(answers)

    def get_custom_sampler(self) -> Any:
        """See `DetailerHook.get_custom_sampler`."""
        given = (method() for method in self._methods("get_custom_sampler"))
        return next((sampler for sampler in given if sampler is not None), None)

    def should_retry_patch(self, patch: Tensor) -> bool:
        """See `DetailerHook.should_retry_patch`."""
        return any(bool(method(patch)) for method in self._methods("should_retry_patch"))

    def _methods(self, name: str) -> list[Callable[..., Any]]:
        return [getattr(hook, name) for hook in self.hooks if hasattr(hook, name)]


def _upscaled_by(method: Callable[..., Any], pixels: Tensor, mask: Tensor | None) -> Any:
    """Call a hook's `post_upscale`, of the form that it has."""
    return method(pixels, mask) if _takes_two(method) else method(pixels)


def _takes_two(method: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        # What says nothing of its arguments gets those that every version takes.
        return False
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def _chained(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method that calls the hooks in turn."""
    signature = inspect.signature(method)
    # Without the hook itself.
    count = len(signature.parameters) - 1
    handed_on = getattr(method, _HANDED_ON, 1)

    @functools.wraps(method)
    def call(self: CombinedHook, *args: Any, **kwargs: Any) -> Any:
        values = signature.bind(self, *args, **kwargs).args[1:]
        fixed, results = values[: count - handed_on], values[count - handed_on :]
        for hook in self.hooks:
            if hasattr(hook, name):
                given = getattr(hook, name)(*fixed, *results)
                if handed_on == 1:
                    # A hook that returns no frames only looked at them.
                    results = results if given is None and name == "post_paste" else (given,)
                elif handed_on:
                    results = given
        return results[0] if handed_on == 1 else (results if handed_on else None)

    return call


for _name in HOOK_METHODS:
    if _name in vars(CombinedHook):
        continue
    setattr(CombinedHook, _name, _chained(_name, getattr(DetailerHook, _name)))


class HookCalls:
    """Calls of a hook that may lack methods or be absent; what comes back is checked.

    Parameters
    ----------
    hook : object or None
        The caller's hook.
    """

    def __init__(self, hook: object | None = None) -> None:
        self._hook = hook

    @property
    def is_given(self) -> bool:
        """Whether there is a hook at all."""
        return self._hook is not None

    def defines(self, method: str) -> bool:
        """Whether the hook has a method, one of `HOOK_METHODS`."""
        return self._hook is not None and hasattr(self._hook, method)

    def _call(self, method: str, *values: Any) -> Any:
        return getattr(self._hook, method)(*values)

    def segments(self, segs: SEGS) -> SEGS:
        """`post_detection`; the caller checks the result."""
        return self._call("post_detection", segs) if self.defines("post_detection") else segs

    def crop_region(
        self, frame_size: tuple[int, int], bbox: Sequence[int], region: tuple[int, int, int, int]
    ) -> tuple[int, int, int, int]:
        """`post_crop_region`, with `frame_size` as `(height, width)`."""
        if not self.defines("post_crop_region"):
            return region
        height, width = frame_size
        changed = self._call("post_crop_region", width, height, tuple(bbox), region)
        x1, y1, x2, y2 = _integers("post_crop_region", changed, 4)
        if x2 <= x1 or y2 <= y1:
            raise _wrong("post_crop_region", "a region (x1, y1, x2, y2) with pixels", changed)
        return x1, y1, x2, y2

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """`touch_scaled_size`, but as `(height, width)`."""
        if not self.defines("touch_scaled_size"):
            return height, width
        changed = self._call("touch_scaled_size", width, height)
        width, height = _integers("touch_scaled_size", changed, 2)
        if width < 1 or height < 1:
            raise _wrong("touch_scaled_size", "a width and a height of at least 1", changed)
        return height, width

    def announce(self, count: int) -> None:
        """`set_segments`."""
        if self.defines("set_segments"):
            self._call("set_segments", count)

    def upscaled(self, pixels: Tensor, mask: Tensor | None) -> Tensor:
        """`post_upscale`, with the mask where the hook takes it."""
        if not self.defines("post_upscale"):
            return pixels
        changed = _tensor("post_upscale", _upscaled_by(self._hook.post_upscale, pixels, mask))  # type: ignore[union-attr]
        if changed.shape != pixels.shape:
            raise _wrong("post_upscale", f"pixels of shape {tuple(pixels.shape)}", tuple(changed.shape))
        return changed

    @property
    def skips_sampling(self) -> bool:
        """`get_skip_sampling`."""
        return self.defines("get_skip_sampling") and bool(self._call("get_skip_sampling"))

    @property
    def custom_sampler(self) -> Any:
        """`get_custom_sampler`; None for the named one."""
        return self._call("get_custom_sampler") if self.defines("get_custom_sampler") else None

    def wants_another(self, crops: Tensor) -> bool:
        """`should_retry_patch`, frame by frame: hooks of pictures take one at a time."""
        if not self.defines("should_retry_patch"):
            return False
        return any(bool(self._call("should_retry_patch", crop[None])) for crop in crops)

    def latent(self, method: str, latent: Latent) -> Latent:
        """`post_encode`, `cycle_latent` or `pre_decode`."""
        return _latent(method, self._call(method, latent)) if self.defines(method) else latent

    def begin_cycle(self) -> None:
        """`set_steps`: there is one cycle."""
        if self.defines("set_steps"):
            self._call("set_steps", (0, 1))

    def prepare(
        self, model: Any, settings: DetailerSettings, positive: Conditioning, negative: Conditioning, latent: Latent
    ) -> tuple[Any, DetailerSettings, Conditioning, Conditioning, Latent]:
        """`pre_ksample`; changed settings are checked like a caller's."""
        if not self.defines("pre_ksample"):
            return model, settings, positive, negative, latent
        *chosen, denoise = settings.sampling
        prepared = self._call("pre_ksample", model, settings.seed, *chosen, positive, negative, latent, denoise)
        if not (isinstance(prepared, (tuple, list)) and len(prepared) == 10):
            raise _wrong("pre_ksample", "the ten values that it was called with", prepared)
        model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent, denoise = prepared
        names = {"sampler_name": sampler_name, "scheduler": scheduler}
        changed = replace(settings, seed=seed, steps=steps, cfg=cfg, **names)
        if denoise != settings.sampling.denoise:
            # What a hook says holds for all frames.
            changed = changed.with_denoise(denoise)
        return model, changed, positive, negative, _latent("pre_ksample", latent)

    def noise(self, seed: int, latents: Tensor) -> Tensor | None:
        """`get_custom_noise`; None for the seed's own noise."""
        if not self.defines("get_custom_noise"):
            return None
        given = self._call("get_custom_noise", seed, torch.zeros(latents.shape), False)
        if not (isinstance(given, (tuple, list)) and len(given) == 2):
            raise _wrong("get_custom_noise", "(noise, is_touched)", given)
        if not given[1]:
            return None
        noise = _tensor("get_custom_noise", given[0])
        if noise.shape != latents.shape:
            raise _wrong("get_custom_noise", f"noise of shape {tuple(latents.shape)}", tuple(noise.shape))
        return noise

    def decoded(self, pixels: Tensor) -> Tensor:
        """`post_decode`."""
        if not self.defines("post_decode"):
            return pixels
        changed = _tensor("post_decode", self._call("post_decode", pixels))
        if changed.ndim != 4 or changed.shape[0] != pixels.shape[0] or changed.shape[3] != 3:
            expected = f"pixels of shape ({pixels.shape[0]}, H, W, 3)"
            raise _wrong("post_decode", expected, tuple(changed.shape))
        return changed

    def pasted(self, frames: Tensor) -> Tensor:
        """`post_paste`; a hook that returns nothing only looked."""
        if not self.defines("post_paste"):
            return frames
        changed = self._call("post_paste", frames)
        if changed is None:
            return frames
        changed = _tensor("post_paste", changed)
        if changed.shape != frames.shape or changed.dtype != frames.dtype or changed.device != frames.device:
            expected = f"frames of shape {tuple(frames.shape)}, {frames.dtype}, on {frames.device}"
            raise _wrong("post_paste", expected, (tuple(changed.shape), changed.dtype, changed.device))
        return changed


def _wrong(method: str, expected: str, got: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"detailer_hook.{method}", f"{expected} to be returned", repr(got))


def _tensor(method: str, value: object) -> Tensor:
    if not isinstance(value, torch.Tensor):
        raise InvalidTypeError(f"detailer_hook.{method}", "a tensor to be returned", type(value).__name__)
    return value


def _latent(method: str, value: object) -> Latent:
    if not (isinstance(value, dict) and isinstance(value.get("samples"), torch.Tensor)):
        expected = 'a latent {"samples": tensor, ...} to be returned'
        raise InvalidTypeError(f"detailer_hook.{method}", expected, type(value).__name__)
    return value


def _integers(method: str, values: object, count: int) -> list[int]:
    if not (isinstance(values, (tuple, list)) and len(values) == count):
        raise _wrong(method, f"{count} integers", values)
    # Hooks compute sizes with ratios: a whole float is a size as well.
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    return [integer(f"detailer_hook.{method}", v, least=-(2**31), most=2**31) for v in whole]
