"""ControlNets: pictures that steer the model, carried by conditioning entries under the key `"control"`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.sd.device import check_uniform, execution_device

__all__ = ["ControlHint", "PreparedControl", "Residuals", "control_hints", "with_control"]

Residuals: TypeAlias = "tuple[list[Tensor], Tensor]"
"""What a ControlNet adds to the UNet: one tensor per skip connection, and the middle block's."""


@dataclass(frozen=True, slots=True, eq=False)
class ControlHint:
    """A ControlNet with its picture, to be put into conditioning entries under `"control"`.

    Parameters
    ----------
    controlnet : diffusers.ControlNetModel
        The network, of the UNet's family.
    image : Tensor
        Its input, `(1 or F, H, W, 3)` float32 in [0, 1]; resized to the working size if it has another.
    strength : float
        Factor of its effect.
    start, end : float
        Share of the sampling process, from 0 (all noise) to 1 (clean), between which it acts.
    """

    controlnet: Any
    image: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[-1] != 3:
            raise InvalidArgumentError("image", "(1 or F, H, W, 3)", f"shape {tuple(self.image.shape)}")
        if not 0 <= self.start <= self.end <= 1:
            raise InvalidArgumentError("start, end", "0 <= start <= end <= 1", f"{self.start}, {self.end}")

    def prepare(self, frames: int, height: int, width: int) -> PreparedControl:
        """Bring the picture to the working size and to the network's device and dtype, once for a run.

        Parameters
        ----------
        frames, height, width : int
            Frames of the clip, and its working size in pixels.

        Raises
        ------
        InvalidArgumentError
            The picture has another number of frames.
        ModelError
            The network's weights have several dtypes or devices.
        """
        if len(self.image) not in (1, frames):
            raise InvalidArgumentError("image", f"1 or {frames} frames", f"{len(self.image)} frames")
        picture = self.image.movedim(-1, 1).float()
        if picture.shape[-2:] != (height, width):
            picture = torch.nn.functional.interpolate(
                picture, size=(height, width), mode="bilinear", align_corners=False, antialias=True
            )
        check_uniform(self.controlnet, "the ControlNet")
        device, dtype = execution_device(self.controlnet), self.controlnet.dtype
        return PreparedControl(self, picture.to(device, dtype).expand(frames, -1, -1, -1))


@dataclass(frozen=True, slots=True, eq=False)
class PreparedControl:
    """A `ControlHint` whose picture `(F, 3, H, W)` is ready for its network."""

    hint: ControlHint
    picture: Tensor

    def residuals(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        added: dict[str, Any] | None,
        frames: list[int],
        copies: int,
    ) -> Residuals:
        """Compute what the network adds for some frames.

        Parameters
        ----------
        x : Tensor
            The UNet's input `(copies * f, C, h, w)`, scaled as the model takes it.
        timestep : Tensor
            Training timestep.
        context : Tensor
            Prompt `(copies * f, T, D)`.
        added : dict or None
            SDXL's `text_embeds` and `time_ids`, one row per frame.
        frames : list of int
            Which frames `x` holds.
        copies : int
            How many conditionings are in the batch.
        """
        network = self.hint.controlnet
        device, dtype = self.picture.device, self.picture.dtype
        # What an IP-Adapter is shown is not for ControlNets.
        known = {} if added is None else {key: added[key].to(device) for key in added if key != "image_embeds"}
        extra = known or None
        down, middle = network(
            x.to(device, dtype),
            timestep.to(device),
            encoder_hidden_states=context.to(device, dtype),
            controlnet_cond=self.picture[frames].repeat(copies, 1, 1, 1),
            conditioning_scale=self.hint.strength,
            added_cond_kwargs=extra,
            return_dict=False,
        )
        return [part.to(x.device, x.dtype) for part in down], middle.to(x.device, x.dtype)


def control_hints(value: Any) -> tuple[ControlHint, ...]:
    """List the hints of a conditioning entry: none, one, or a sequence of them."""
    if value is None:
        return ()
    hints = (value,) if isinstance(value, ControlHint) else tuple(value) if isinstance(value, Sequence) else (value,)
    for hint in hints:
        if not isinstance(hint, ControlHint):
            raise InvalidTypeError("control", "ControlHint or a sequence of them", type(hint).__name__)
    return hints


def with_control(conditioning: Sequence[Any], hint: ControlHint) -> list[list[Any]]:
    """Give every entry of a conditioning also `hint`. The input is not changed."""
    return [
        [embedding, {**options, "control": (*control_hints(options.get("control")), hint)}]
        for embedding, options in conditioning
    ]
