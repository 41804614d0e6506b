"""A UNet of diffusers as a model over noise levels."""

from __future__ import annotations

import copy
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError, is_out_of_memory
from segs_detailer.models.accelerators import empty_caches
from segs_detailer.models.adapters import LoraShelf
from segs_detailer.models.device import check_uniform, execution_device, is_of_diffusers
from segs_detailer.models.sigma_table import SigmaTable
from segs_detailer.models.stages import SamplingOptions
from segs_detailer.models.windows import ContextWindows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segs_detailer.models.image_prompt import ImagePrompt
    from segs_detailer.models.sd.conditioning import PreparedEntry
    from segs_detailer.models.sd.control import PreparedControl, Residuals

__all__ = ["DiffusersModel", "is_diffusers_unet", "slice_attention"]

_MOTION_UNET = "UNetMotionModel"
_PLAIN_UNET = "UNet2DConditionModel"

_SD_CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
_ANIMATEDIFF_CONFIG = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012}
_ANIMATEDIFF_SDXL_CONFIG = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.020}


def is_diffusers_unet(model: object) -> bool:
    """Whether `model` is a UNet class of diffusers that `DiffusersModel` takes; does not import diffusers."""
    return is_of_diffusers(model, _MOTION_UNET, _PLAIN_UNET)


class DiffusersModel:
    """A UNet with its noise levels: the `model` of a `BasicPipe`.

    Parameters
    ----------
    unet : diffusers.UNetMotionModel or diffusers.UNet2DConditionModel
        The network. A plain UNet works frame by frame.
    scheduler_config : mapping or None
        Configuration of the scheduler that belongs to it: betas and `prediction_type`. `None`: that of SD 1.5, or of
        AnimateDiff for a motion UNet.
    windows : ContextWindows
        How clips longer than a window are divided, for motion UNets.
    options : SamplingOptions
        Where to follow ComfyUI to the letter.
    frame_batch : int
        Frames that a plain UNet takes at once.
    guidance_batch : bool
        Positive and negative conditioning in one batch; `False` halves the memory and takes longer. When memory runs
        out they are taken apart, and a warning says so; frames of a plain UNet likewise.
    channels_last : bool
        Keep the convolutions' weights with their channels last, which many GPUs prefer in half precision.
    compile_unet : bool or mapping
        Compile the network with `torch.compile`; a mapping holds that function's arguments, for example
        `{"mode": "max-autotune"}`. The first step, and the first with another size, takes minutes.

    Raises
    ------
    InvalidTypeError
        The network is of another class.
    ModelError
        It predicts something else than noise, v or the sample, its windows are longer than its motion module takes, or
        its weights have several dtypes or devices.
    """

    def __init__(
        self,
        unet: Any,
        scheduler_config: Mapping[str, Any] | None = None,
        *,
        windows: ContextWindows | None = None,
        options: SamplingOptions | None = None,
        frame_batch: int = 8,
        guidance_batch: bool = True,
        channels_last: bool = False,
        compile_unet: bool | Mapping[str, Any] = False,
    ) -> None:
        if not is_diffusers_unet(unet):
            raise InvalidTypeError("unet", f"a {_MOTION_UNET} or {_PLAIN_UNET}", type(unet).__name__)
        if frame_batch < 1:
            raise InvalidArgumentError("frame_batch", "at least 1", str(frame_batch))
        self.unet = unet
        self.is_motion = any(base.__name__ == _MOTION_UNET for base in type(unet).__mro__)
        config = self.default_scheduler_config(unet) if scheduler_config is None else scheduler_config
        self.table = SigmaTable.from_config(config)
        self.prediction_type = str(config.get("prediction_type", "epsilon"))
        if self.prediction_type not in ("epsilon", "v_prediction", "sample"):
            known = "epsilon, v_prediction, sample"
            raise ModelError(f"unknown prediction_type {self.prediction_type!r}; known: {known}")
        self.windows = self._default_windows() if windows is None else windows
        self.options = SamplingOptions() if options is None else options
        self.frame_batch = frame_batch
        self.guidance_batch = guidance_batch
        # Several clips go through a motion UNet together until memory runs out.
        self.clip_batch = True
        self._check_windows()
        check_uniform(unet, "the UNet")
        self.image_prompt: ImagePrompt | None = None
        # The diffusers pipeline that holds the network, where there is one: the way to its loaders and offload hooks.
        self.pipeline: Any = None
        self.lora_weights: dict[str, float] = {}
        self.lora_shelf = LoraShelf()
        # Where it was loaded from, as far as that is known: names tell what it was distilled for.
        self.origin = ""
        if channels_last:
            unet.to(memory_format=torch.channels_last)
        if compile_unet is not False:
            # In place: the network keeps its class, so that adapters and offload hooks still find it.
            unet.compile(**({} if compile_unet is True else compile_unet))

    @staticmethod
    def default_scheduler_config(unet: Any) -> dict[str, Any]:
        """Betas that a UNet's family was trained with, in diffusers' names.

        AnimateDiff on SD 1.5 uses "linear" where SD 1.5 itself uses "scaled_linear"; AnimateDiff-SDXL ends at 0.020.
        """
        if not any(base.__name__ == _MOTION_UNET for base in type(unet).__mro__):
            return dict(_SD_CONFIG)
        return dict(_ANIMATEDIFF_SDXL_CONFIG if _needs_pooled(unet) else _ANIMATEDIFF_CONFIG)

    def with_image_prompt(self, image_prompt: ImagePrompt | None) -> DiffusersModel:
        """Show the UNet's IP-Adapters a picture: another model over the same network."""
        model = copy.copy(self)
        model.image_prompt = image_prompt
        return model

    @property
    def told(self) -> list[str]:
        """What tells the checkpoint and the LoRAs that are in effect."""
        return [self.origin, *self.lora_shelf.in_effect(self.lora_weights)]

    def take_frames_at_once(self, frames: int) -> None:
        """Set how many frames a plain UNet takes at once.

        Raises
        ------
        InvalidArgumentError
            It has a motion module.
        """
        if self.is_motion:
            expected = "None with a motion module, which takes a whole context window"
            raise InvalidArgumentError("frame_batch", expected, str(frames))
        self.frame_batch = frames

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return execution_device(self.unet)

    @property
    def dtype(self) -> torch.dtype:
        """The network's dtype; latents stay float32 outside it."""
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.unet.config.out_channels)

    @property
    def takes_masked_image(self) -> bool:
        """Whether it is an inpainting checkpoint: the mask and the masked image's latents are further channels."""
        return int(self.unet.config.in_channels) == 2 * self.latent_channels + 1

    @property
    def needs_pooled(self) -> bool:
        """Whether it takes SDXL's added conditioning."""
        return _needs_pooled(self.unet)

    @property
    def max_frames(self) -> int | None:
        """Most frames that its motion module takes at once; `None` for a plain UNet."""
        return int(self.unet.config.motion_max_seq_length) if self.is_motion else None

    def check_latents(self, latents: Tensor, clips: int = 1) -> None:
        """Raise if this model cannot take latents of that kind and shape, or clips of that many frames at once."""
        if not latents.is_floating_point():
            raise InvalidTypeError("latents", "a floating-point tensor", str(latents.dtype).removeprefix("torch."))
        if latents.ndim != 4 or latents.shape[1] != self.latent_channels:
            expected = f"(F, {self.latent_channels}, h, w) for this UNet"
            raise InvalidArgumentError("latents", expected, f"shape {tuple(latents.shape)}")
        if clips < 1 or len(latents) % clips:
            raise InvalidArgumentError("clips", f"a divisor of the {len(latents)} frames", str(clips))
        channels = int(self.unet.config.in_channels)
        if channels != self.latent_channels and not self.takes_masked_image:
            raise ModelError(f"a UNet with {channels} input channels is not supported")
        frames = len(latents) // clips
        if self.max_frames is not None and self.windows.length is None and frames > self.max_frames:
            raise ModelError(
                f"the motion module takes {self.max_frames} frames at once and the clip has {frames}: "
                "set context windows (ContextWindows(length=16, overlap=4)) or detail it in parts"
            )

    def predict(
        self,
        x: Tensor,
        sigma: Tensor,
        entries: Sequence[PreparedEntry],
        concat: Tensor | None,
        step: int,
        clips: int = 1,
    ) -> list[Tensor]:
        """Predict x0 under several conditionings.

        Parameters
        ----------
        x : Tensor
            Noisy latents `(F, C, h, w)` float32.
        sigma : Tensor
            Their noise level, on the CPU.
        entries : sequence of PreparedEntry
            The conditionings.
        concat : Tensor or None
            `(F, 1 + C, h, w)`: mask and masked image's latents of an inpainting model.
        step : int
            The sampler's step, which places the windows.
        clips : int
            Clips of equal length, one after the other in `x`; a motion module sees each for itself.

        Returns
        -------
        list of Tensor
            Float32 predictions of x0, one per entry.
        """
        scaled = x / (sigma**2 + 1).sqrt()
        if concat is not None:
            scaled = torch.cat([scaled, concat], dim=1)
        scaled = scaled.to(self.dtype)
        timestep = self.table.timestep(sigma).to(x.device)
        outputs: list[Tensor] = [x] * len(entries)
        queue = self._batches(entries, float(sigma))
        while queue:
            indices, controls = queue[0]
            batch = [entries[index] for index in indices]
            try:
                results = self._evaluate(scaled, timestep, batch, controls, step, clips)
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self._save_memory(len(indices), clips):
                    raise
                queue[:1] = [([index], controls) for index in indices]
                continue
            for index, output in zip(indices, results, strict=True):
                outputs[index] = self._to_x0(x, sigma, output)
            queue.pop(0)
        return outputs

    def _save_memory(self, conditionings: int, clips: int) -> bool:
        """Do with less memory from now on; False where nothing is left to try."""
        if conditionings > 1:
            self.guidance_batch = False
            now = "one conditioning at a time"
        elif self.is_motion and self.clip_batch and clips > 1:
            self.clip_batch = False
            now = "one segment at a time"
        elif not self.is_motion and self.frame_batch > 1:
            self.frame_batch //= 2
            now = f"{self.frame_batch} frame(s) at once"
        else:
            return False
        empty_caches()
        warnings.warn(f"out of memory while sampling: going on with {now}", stacklevel=2)
        return True

    def _default_windows(self) -> ContextWindows:
        default, limit = ContextWindows(), self.max_frames
        if default.length is None or limit is None or limit >= default.length:
            return default
        return ContextWindows(length=limit, overlap=limit // 4)

    def _check_windows(self) -> None:
        length, limit = self.windows.length, self.max_frames
        if length is not None and limit is not None and length > limit:
            raise ModelError(f"context windows of {length} frames: the motion module takes {limit} at once")
        fewest = self.windows.min_frames
        if length is None and limit is not None and fewest > limit:
            raise ModelError(f"min_frames of {fewest}, without windows: the motion module takes {limit} frames at once")

    def _to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        if self.prediction_type == "epsilon":
            return x - sigma * output
        if self.prediction_type == "sample":
            return output
        return x / (sigma**2 + 1) - output * (sigma / (sigma**2 + 1).sqrt())

    def _batches(
        self, entries: Sequence[PreparedEntry], sigma: float
    ) -> list[tuple[list[int], tuple[PreparedControl, ...]]]:
        """Group the entries that go through the network together: those under the same ControlNets."""
        groups: dict[tuple[Any, ...], tuple[list[int], tuple[PreparedControl, ...]]] = {}
        for index, entry in enumerate(entries):
            controls = entry.active_controls(sigma)
            key: tuple[Any, ...] = tuple(id(control.hint) for control in controls)
            key = (*key, *(tuple(picture.shape) for picture in entry.image_embeds))
            if not self.guidance_batch:
                key = (*key, -index)
            groups.setdefault(key, ([], controls))[0].append(index)
        return list(groups.values())

    def _evaluate(
        self,
        scaled: Tensor,
        timestep: Tensor,
        entries: Sequence[PreparedEntry],
        controls: tuple[PreparedControl, ...],
        step: int,
        clips: int,
    ) -> Tensor:
        """Compute the network's float32 output `(entries, F, C, h, w)`."""
        if not self.is_motion or clips == 1:
            return self._evaluate_clips(scaled[None], timestep, entries, controls, step)[:, 0]
        by_clip = scaled.reshape(clips, -1, *scaled.shape[1:])
        if self.clip_batch:
            return self._evaluate_clips(by_clip, timestep, entries, controls, step).flatten(1, 2)
        parts = [self._evaluate_clips(clip[None], timestep, entries, controls, step) for clip in by_clip]
        return torch.cat(parts, dim=1).flatten(1, 2)

    def _evaluate_clips(
        self,
        scaled: Tensor,
        timestep: Tensor,
        entries: Sequence[PreparedEntry],
        controls: tuple[PreparedControl, ...],
        step: int,
    ) -> Tensor:
        """Compute the output `(entries, clips, F, C, h, w)` of clips `(clips, F, C, h, w)`."""
        context = _joined_embeddings(entries)
        added = _joined_added(entries)
        frames = scaled.shape[1]
        if not self.is_motion:
            starts = range(0, frames, self.frame_batch)
            parts = [list(range(start, min(start + self.frame_batch, frames))) for start in starts]
            return torch.cat([self._call(scaled, timestep, context, added, controls, part) for part in parts], dim=2)
        # The output's average is x0's average, as x0 is linear in it; so windows are blended before guidance.
        return self.windows.blended(
            lambda window: self._call(scaled, timestep, context, added, controls, window), frames, step, axis=2
        )

    def _call(
        self,
        scaled: Tensor,
        timestep: Tensor,
        context: Tensor,
        added: dict[str, Any] | None,
        controls: tuple[PreparedControl, ...],
        part: list[int],
    ) -> Tensor:
        """One call of the network on some frames of each clip, under all conditionings of the batch."""
        clips, frames, entries = len(scaled), len(part), len(context)
        copies = entries * clips
        flat = scaled[:, part].flatten(0, 1).repeat(entries, 1, 1, 1)
        per_frame = context.repeat_interleave(clips * frames, dim=0)
        added_per_frame = _repeated(added, clips * frames)
        extra: dict[str, Any] = {}
        if controls:
            bare = flat[:, : self.latent_channels]  # ControlNets do not know an inpainting model's channels
            down, middle = _summed(
                [control.residuals(bare, timestep, per_frame, added_per_frame, part, copies) for control in controls]
            )
            extra = {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}
        if self.is_motion:
            stacked = flat.reshape(copies, frames, *flat.shape[1:]).transpose(1, 2)
            extra |= {"added_cond_kwargs": _repeated(added, clips), "return_dict": False}
            output: Tensor = self.unet(stacked, timestep, per_frame, **extra)[0]
            output = output.transpose(1, 2)
        else:
            extra |= {"added_cond_kwargs": added_per_frame, "return_dict": False}
            output = self.unet(flat, timestep, per_frame, **extra)[0]
        return output.reshape(entries, clips, frames, *output.shape[-3:]).float()


def slice_attention(unet: Any, slices: str | int) -> None:
    """Slice the attention over a picture's pixels.

    Done here, as diffusers' pipelines pass over motion UNets in silence. Their attention over time is small for each
    pixel, and slices of it would be as many as pixels.

    Parameters
    ----------
    unet : module
        The UNet.
    slices : "auto", "max" or int
        See `ComputeOptions`.

    Raises
    ------
    InvalidArgumentError
        The UNet has fewer heads, or an IP-Adapter.
    """
    if getattr(unet, "encoder_hid_proj", None) is not None:
        raise InvalidArgumentError(
            "attention_slicing", "None beside an IP-Adapter, whose attention it replaces", "both"
        )
    layers = [
        module
        for name, module in unet.named_modules()
        if hasattr(module, "sliceable_head_dim") and "motion_modules" not in name
    ]
    heads = min(int(layer.sliceable_head_dim) for layer in layers)
    if isinstance(slices, int) and slices > heads:
        raise InvalidArgumentError("attention_slicing", f"at most {heads}, the heads of this UNet", str(slices))
    for layer in layers:
        own = max(int(layer.sliceable_head_dim) // 2, 1) if slices == "auto" else 1 if slices == "max" else slices
        layer.set_attention_slice(own)


def _needs_pooled(unet: Any) -> bool:
    return bool(unet.config.get("addition_embed_type") == "text_time")


def _joined_embeddings(entries: Sequence[PreparedEntry]) -> Tensor:
    """Prompts in one batch; unequal lengths are repeated to the least common multiple, which attention cannot tell."""
    length = math.lcm(*(entry.embedding.shape[1] for entry in entries))
    return torch.cat([entry.embedding.repeat(1, length // entry.embedding.shape[1], 1) for entry in entries])


def _joined_added(entries: Sequence[PreparedEntry]) -> dict[str, Any] | None:
    rows = [entry.added for entry in entries if entry.added is not None]
    joined: dict[str, Any] = {key: torch.cat([row[key] for row in rows]) for key in rows[0]} if rows else {}
    if entries[0].image_embeds:
        joined["image_embeds"] = [torch.cat(parts) for parts in zip(*(e.image_embeds for e in entries), strict=True)]
    return joined or None


def _repeated(added: dict[str, Any] | None, times: int) -> dict[str, Any] | None:
    """Give added conditioning with each row repeated, once for each clip or frame that it belongs to."""
    if added is None:
        return None
    return {
        key: [part.repeat_interleave(times, dim=0) for part in value]
        if isinstance(value, list)
        else value.repeat_interleave(times, dim=0)
        for key, value in added.items()
    }


def _summed(parts: Sequence[Residuals]) -> Residuals:
    down, middle = list(parts[0][0]), parts[0][1]
    for more_down, more_middle in parts[1:]:
        down = [left + right for left, right in zip(down, more_down, strict=True)]
        middle = middle + more_middle
    return down, middle
