"""Conditioning entries: what one run needs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.control import control_hints
from segs_detailer.models.denoise_mask import latent_mask
from segs_detailer.models.sd.control import PreparedControl, prepare_control
from segs_detailer.models.sd.image_prompt import adapter_count, checked_embeds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segs_detailer.models.interface import Conditioning
    from segs_detailer.models.sigma_table import SigmaTable

__all__ = ["PreparedEntry", "prepare_conditioning"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedEntry:
    """One conditioning entry, ready for a run.

    Parameters
    ----------
    embedding : Tensor
        `(1, T, D)` in the model's dtype, on its device.
    added : dict or None
        SDXL's `text_embeds` `(1, P)` and `time_ids` `(1, 6)`.
    weight : Tensor or float
        Share in the average: `strength`, times the mask `(1 or F, 1, h, w)` where there is one.
    start_sigma, end_sigma : float
        It acts from the first level down to the second.
    controls : tuple
        `(control, start_sigma, end_sigma)` of its ControlNets.
    image_embeds : tuple of Tensor
        What each IP-Adapter is shown, in the model's dtype, on its device; empty where the model has none.
    """

    embedding: Tensor
    added: dict[str, Tensor] | None
    weight: Tensor | float
    start_sigma: float
    end_sigma: float
    controls: tuple[tuple[PreparedControl, float, float], ...]
    image_embeds: tuple[Tensor, ...] = ()

    def active(self, sigma: float) -> bool:
        """Whether it acts at a noise level."""
        return self.end_sigma <= sigma <= self.start_sigma

    def active_controls(self, sigma: float) -> tuple[PreparedControl, ...]:
        """Its ControlNets that act at a noise level."""
        return tuple(control for control, start, end in self.controls if end <= sigma <= start)


def prepare_conditioning(
    conditioning: Conditioning,
    argument: str,
    latents: Tensor,
    table: SigmaTable,
    *,
    dtype: torch.dtype,
    needs_pooled: bool,
    pixels_per_latent: int,
    unet: Any = None,
    image_embeds: tuple[Tensor, ...] | None = None,
) -> list[PreparedEntry]:
    """Check conditioning entries and bring them to a run's size, dtype and device.

    Parameters
    ----------
    conditioning : sequence
        Entries `[embedding, options]`. Of the options these count: `pooled_output`, `mask` with `mask_strength`,
        `strength`, `start_percent` and `end_percent`, `control`, `image_embeds`, and SDXL's `width`, `height`,
        `crop_w`, `crop_h`, `target_width`, `target_height`.
    argument : str
        The argument's name, for errors.
    latents : Tensor
        `(F, C, h, w)` of the run, on the model's device.
    table : SigmaTable
        Turns percents into noise levels.
    dtype : torch.dtype
        The model's dtype.
    needs_pooled : bool
        The model takes SDXL's added conditioning.
    pixels_per_latent : int
        The VAE's spatial factor.
    unet : module or None
        The network, to hold widths against.
    image_embeds : tuple of Tensor or None
        What its IP-Adapters are shown by entries that bring nothing themselves.

    Raises
    ------
    InvalidArgumentError
        Entries of another form, or whose width or parts are not the model's.
    ModelError
        Something that the model needs is missing, or a ControlNet is of another family.

    Notes
    -----
    Entries are averaged as ComfyUI averages them: each prediction by `strength * mask_strength * mask`, over the
    entries whose range holds the noise level.
    """
    if not conditioning:
        raise InvalidArgumentError(argument, "at least one conditioning entry", "none")
    height, width = (int(side) * pixels_per_latent for side in latents.shape[-2:])
    entries = []
    for entry in conditioning:
        embedding, options = _checked(entry, argument)
        _check_width(embedding, unet, argument)
        added = _added(options, height, width, latents.device, dtype) if needs_pooled else None
        controls = tuple(
            (
                prepare_control(hint, len(latents), height, width),
                table.percent_to_sigma(hint.start),
                table.percent_to_sigma(hint.end),
            )
            for hint in control_hints(options.get("control"))
        )
        for control, _, _ in controls:
            _check_family(control.hint.controlnet, unet)
        pictures: tuple[Tensor, ...] = ()
        if unet is not None and adapter_count(unet):
            pictures = checked_embeds(options.get("image_embeds"), unet, image_embeds, argument)
        weight: Tensor | float = float(options.get("strength", 1.0))
        if options.get("mask") is not None:
            mask = latent_mask(torch.as_tensor(options["mask"]), latents, f"{argument} mask")
            weight = mask * (weight * float(options.get("mask_strength", 1.0)))
        entries.append(
            PreparedEntry(
                embedding.to(latents.device, dtype),
                added,
                weight,
                table.percent_to_sigma(float(options.get("start_percent", 0.0))),
                table.percent_to_sigma(float(options.get("end_percent", 1.0))),
                controls,
                tuple(picture.to(latents.device, dtype) for picture in pictures),
            )
        )
    return entries


def _checked(entry: Any, argument: str) -> tuple[Tensor, Mapping[str, Any]]:
    try:
        embedding, options = entry
    except (TypeError, ValueError):
        expected = "entries [embedding, {...}]"
        raise InvalidArgumentError(argument, expected, f"an entry of type {type(entry).__name__}") from None
    if not isinstance(embedding, Tensor) or embedding.ndim != 3 or len(embedding) != 1:
        got = f"shape {tuple(embedding.shape)}" if isinstance(embedding, Tensor) else type(embedding).__name__
        raise InvalidArgumentError(argument, "embeddings of shape (1, tokens, channels)", got)
    options = options or {}
    if options.get("area") is not None or options.get("set_area_to_bounds"):
        raise InvalidArgumentError(argument, "masks over the whole frame, in place of areas", "an area")
    return embedding, options


def _check_width(embedding: Tensor, unet: Any, argument: str) -> None:
    width = None if unet is None else unet.config.get("cross_attention_dim")
    if isinstance(width, int) and embedding.shape[-1] != width:
        expected = f"embeddings of {width} channels for this UNet"
        got = f"{embedding.shape[-1]}: the prompt was encoded for another family of models"
        raise InvalidArgumentError(argument, expected, got)


def _check_family(controlnet: Any, unet: Any) -> None:
    if unet is None:
        return
    for name in ("cross_attention_dim", "block_out_channels"):
        expected, got = unet.config.get(name), controlnet.config.get(name)
        expected, got = (list(value) if isinstance(value, tuple) else value for value in (expected, got))
        if expected is not None and got is not None and expected != got:
            raise ModelError(
                f"the ControlNet does not fit the UNet: its {name} is {got}, the UNet's {expected} "
                "(a ControlNet for SD 1.5 does not work with SDXL, nor the other way round)"
            )


def _added(
    options: Mapping[str, Any], height: int, width: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    pooled = options.get("pooled_output")
    if pooled is None:
        raise ModelError("this UNet needs a pooled_output in every conditioning entry (SDXL), and one has none")
    sizes = [
        options.get("height", height),
        options.get("width", width),
        options.get("crop_h", 0),
        options.get("crop_w", 0),
        options.get("target_height", height),
        options.get("target_width", width),
    ]
    return {
        "text_embeds": pooled.to(device, dtype),
        "time_ids": torch.tensor([sizes], device=device, dtype=dtype),
    }
