"""ControlNets of diffusers: what they add to a UNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.device import check_uniform, execution_device

if TYPE_CHECKING:
    from segs_detailer.models.control import ControlHint

__all__ = ["PreparedControl", "Residuals", "prepare_control"]

Residuals: TypeAlias = "tuple[list[Tensor], Tensor]"
"""What a ControlNet adds to the UNet: one tensor per skip connection, and the middle block's."""


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


def prepare_control(hint: ControlHint, frames: int, height: int, width: int) -> PreparedControl:
    """Bring the picture to the working size and to the network's device and dtype, once for a run.

    Parameters
    ----------
    hint : ControlHint
        The network and its picture.
    frames, height, width : int
        Frames of the clip, and its working size in pixels.

    Raises
    ------
    InvalidArgumentError
        The picture has another number of frames.
    ModelError
        The network's weights have several dtypes or devices.
    """
    if len(hint.image) not in (1, frames):
        raise InvalidArgumentError("image", f"1 or {frames} frames", f"{len(hint.image)} frames")
    picture = hint.image.movedim(-1, 1).float()
    if picture.shape[-2:] != (height, width):
        picture = torch.nn.functional.interpolate(
            picture, size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )
    check_uniform(hint.controlnet, "the ControlNet")
    device, dtype = execution_device(hint.controlnet), hint.controlnet.dtype
    return PreparedControl(hint, picture.to(device, dtype).expand(frames, -1, -1, -1))
