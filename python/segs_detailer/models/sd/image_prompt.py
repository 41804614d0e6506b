"""IP-Adapters: pictures for the UNet beside the text."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.device import execution_device
from segs_detailer.models.image_prompt import ImagePrompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["adapter_count", "checked_embeds", "encode_image_prompt", "without_adapters"]


def adapter_count(unet: Any) -> int:
    """Count the IP-Adapters of a UNet."""
    projections = getattr(getattr(unet, "encoder_hid_proj", None), "image_projection_layers", ())
    return len(projections)


@torch.no_grad()
def encode_image_prompt(unet: Any, encoder: Any, images: Sequence[Any]) -> ImagePrompt:
    """Encode one stack of pictures for each of a UNet's IP-Adapters.

    Parameters
    ----------
    unet : module
        The UNet with its IP-Adapters.
    encoder : transformers.CLIPVisionModelWithProjection
        Their image encoder.
    images : sequence of Tensor
        One `(n, H, W, 3)` in [0, 1] per IP-Adapter; several pictures of one stack are shown together.

    Raises
    ------
    ModelError
        The UNet has no IP-Adapter, or there is no image encoder.
    InvalidArgumentError
        Another number of stacks, or another shape.
    """
    count = adapter_count(unet)
    if not count:
        raise ModelError("the UNet has no IP-Adapter: load one first (load_ip_adapter)")
    if encoder is None:
        raise ModelError("the pipeline has no image encoder, which the IP-Adapter needs")
    if len(images) != count:
        raise InvalidArgumentError("images", f"{count} stack(s), one per IP-Adapter", f"{len(images)}")
    positive, negative, shown = [], [], []
    for stack, projection in zip(images, unet.encoder_hid_proj.image_projection_layers, strict=True):
        pictures = stack[None] if stack.ndim == 3 else stack
        if pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise InvalidArgumentError("images", "pictures (n, H, W, 3)", f"shape {tuple(stack.shape)}")
        pixels = _prepared(pictures.float(), encoder)
        # The plain kind projects one vector; the others take the encoder's hidden states.
        if type(projection).__name__ == "ImageProjection":
            embeds = encoder(pixels).image_embeds
            nothing = torch.zeros_like(embeds)
        else:
            embeds = encoder(pixels, output_hidden_states=True).hidden_states[-2]
            nothing = encoder(torch.zeros_like(pixels), output_hidden_states=True).hidden_states[-2]
        positive.append(embeds[None])
        negative.append(nothing[None])
        shown.append(pictures)
    return ImagePrompt(tuple(positive), tuple(negative), tuple(shown))


@contextmanager
def without_adapters(unet: Any) -> Iterator[None]:
    """Let a UNet work as if it had no IP-Adapter: one of scale 0 is passed over."""
    parts = [part for part in unet.attn_processors.values() if "IPAdapter" in type(part).__name__]
    scales = [part.scale for part in parts]
    try:
        for part in parts:
            part.scale = [0.0] * len(part.scale)
        yield
    finally:
        for part, scale in zip(parts, scales, strict=True):
            part.scale = scale


def checked_embeds(value: Any, unet: Any, fallback: tuple[Tensor, ...] | None, argument: str) -> tuple[Tensor, ...]:
    """Find the embeds of a conditioning entry, its own or the model's.

    Parameters
    ----------
    value : sequence of Tensor, Tensor or None
        The entry's `image_embeds`.
    unet : module
        The UNet.
    fallback : tuple of Tensor or None
        The model's.
    argument : str
        Name for errors.
    """
    embeds = fallback if value is None else (value,) if isinstance(value, Tensor) else tuple(value)
    if embeds is None:
        raise ModelError("the UNet has an IP-Adapter and there is no picture for it: use BasicPipe.with_image_prompt")
    if len(embeds) != adapter_count(unet) or any(part.ndim not in (3, 4) or len(part) != 1 for part in embeds):
        expected = f"{adapter_count(unet)} tensors (1, pictures, D) or (1, pictures, T, D)"
        raise InvalidArgumentError(f"{argument} image_embeds", expected, f"{[tuple(part.shape) for part in embeds]}")
    return embeds


def _prepared(pictures: Tensor, encoder: Any) -> Tensor:
    """Bring pictures to the encoder's square: shorter side scaled (bicubic), middle cut out, CLIP's colors."""
    size = int(_config(encoder)["image_size"])
    pixels = pictures.movedim(-1, 1)
    height, width = pixels.shape[-2:]
    scale = size / min(height, width)
    scaled = (max(size, round(height * scale)), max(size, round(width * scale)))
    if scaled != (height, width):
        pixels = torch.nn.functional.interpolate(pixels, scaled, mode="bicubic", align_corners=False, antialias=True)
    top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    pixels = pixels[..., top : top + size, left : left + size].clamp(0, 1)
    mean, deviation = pixels.new_tensor(_CLIP_MEAN), pixels.new_tensor(_CLIP_DEVIATION)
    pixels = (pixels - mean[:, None, None]) / deviation[:, None, None]
    return pixels.to(execution_device(encoder), encoder.dtype)


def _config(encoder: Any) -> Mapping[str, Any]:
    config: Mapping[str, Any] = encoder.config.to_dict()
    return config


# Colors that CLIP was trained on (Radford et al. 2021, as published with the weights).
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
