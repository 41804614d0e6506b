"""ControlNets of the graph for single segments."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.inputs import float_input, segs_input
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.conditioning import ConditioningWarning
from segs_detailer.detailer.control import ControlNetWrapper, with_control_net
from segs_detailer.errors import InvalidTypeError
from segs_detailer.nodes.declaration import Input, Node, Output
from segs_detailer.segs import check_segs

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.interface import Conditioning
    from segs_detailer.segs import SEGS

__all__ = ["CONTROL_NODES", "GraphControlNetWrapper", "OtherPacksControl", "apply_control_net", "with_other_packs"]

_ADVANCED = "ACN_AdvancedControlNetApply"
"""What Impact Pack's wrappers look for when they are to steer clips."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GraphControlNetWrapper(ControlNetWrapper):
    """A ControlNet of ComfyUI's for a segment.

    Parameters
    ----------
    controlnet : comfy.controlnet.ControlBase
        The network, as a loader gave it.
    strength, start_percent, end_percent, control_image, preprocessor, prev_control_net
        See `segs_detailer.detailer.ControlNetWrapper`.
    vae : comfy.sd.VAE or None
        For networks that take latents as their picture, such as those of SD 3 and Flux.
    """

    vae: Any = None

    def _steered(
        self, positive: Conditioning, negative: Conditioning, picture: Tensor
    ) -> tuple[Conditioning, Conditioning]:
        """Put the network into both sides. With motion modules in context windows it must be one that knows of them."""
        if self.strength == 0:
            return positive, negative
        negative = _with_those_of_positive(positive, negative)
        # A network that was before stays before; the same one gets the same successor, so that both sides share a run.
        successors: dict[int, Any] = {}
        return self._one_side(positive, picture, successors), self._one_side(negative, picture, successors)

    def _one_side(self, conditioning: Any, picture: Tensor, successors: dict[int, Any]) -> Any:
        if not isinstance(conditioning, (list, tuple)):
            return conditioning  # the placeholder of models that take guidance as a number
        steered = []
        for embedding, details in conditioning:
            before = details.get("control")
            if id(before) not in successors:
                successors[id(before)] = self._control(picture, before)
            steered.append(
                [embedding, {**details, "control": successors[id(before)], "control_apply_to_uncond": False}]
            )
        return steered

    def _control(self, picture: Tensor, before: Any) -> Any:
        percents = (self.start_percent, self.end_percent)
        control = self.controlnet.copy()
        control.set_cond_hint(picture.movedim(-1, 1), self.strength, percents, vae=self.vae)
        control.set_previous_controlnet(before)
        return control


def _with_those_of_positive(positive: Any, negative: Any) -> Any:
    """Give the negative side the networks that count for it too without being told, as of ComfyUI's older node."""
    if not (isinstance(positive, (list, tuple)) and isinstance(negative, (list, tuple))):
        return negative
    shared = [
        details["control"]
        for _, details in positive
        if details.get("control") is not None and details.get("control_apply_to_uncond")
    ]
    if not shared or any(details.get("control") is not None for _, details in negative):
        return negative
    return [
        [embedding, {**details, "control": shared[place % len(shared)]}]
        for place, (embedding, details) in enumerate(negative)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class OtherPacksControl:
    """A chain with wrappers of other packs, such as Impact Pack's: they act where ours do.

    Parameters
    ----------
    wrapper : object
        The last of the chain.
    """

    wrapper: Any

    def for_segment(
        self, crop_region: tuple[int, int, int, int], frames_shape: tuple[int, int, int]
    ) -> OtherPacksControl:
        """Tell our wrappers of the chain where the segment is; see `ControlNetWrapper.for_segment`."""
        return OtherPacksControl(_bound(self.wrapper, crop_region, frames_shape))

    def apply(
        self,
        positive: Conditioning,
        negative: Conditioning,
        image: Tensor,
        mask: Tensor | None = None,
        use_acn: bool = True,
    ) -> tuple[Conditioning, Conditioning, list[Tensor]]:
        """Steer by all of the chain; Advanced-ControlNet is asked for only where it is installed."""
        if not hasattr(self.wrapper, "apply"):
            return positive, negative, []
        advanced = use_acn and _ADVANCED in getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", ())
        positive, negative, images = self.wrapper.apply(positive, negative, image, mask, use_acn=advanced)
        return positive, negative, list(images or [])

    def doit_ipadapter(self, model: Any) -> tuple[Any, list[Tensor]]:
        """Change the model by all of the chain."""
        if not hasattr(self.wrapper, "doit_ipadapter"):
            return model, []
        model, images = self.wrapper.doit_ipadapter(model)
        return model, list(images or [])


def _bound(wrapper: Any, region: tuple[int, int, int, int], shape: tuple[int, int, int]) -> Any:
    previous = getattr(wrapper, "prev_control_net", None)
    if previous is not None:
        bound = _bound(previous, region, shape)
        if is_dataclass(wrapper):
            wrapper = replace(wrapper, prev_control_net=bound)  # type: ignore[type-var]
        else:
            wrapper = copy.copy(wrapper)
            wrapper.prev_control_net = bound
    if hasattr(wrapper, "for_segment"):
        return wrapper.for_segment(region, shape)
    if isinstance(region, CropPath) and getattr(wrapper, "control_image", None) is not None:
        warnings.warn(
            f"control_image of a {type(wrapper).__name__} is cut for one place, and the crop moves: use ControlNet "
            "Apply (SEGS, for Video) in its place",
            ConditioningWarning,
            stacklevel=2,
        )
    return wrapper


def with_other_packs(segs: SEGS) -> SEGS:
    """Let control wrappers of other packs act together with ours.

    Parameters
    ----------
    segs : SEGS
        The segments; not changed.
    """
    size, items = check_segs(segs)
    return size, [
        seg._replace(control_net_wrapper=OtherPacksControl(seg.control_net_wrapper))
        if _is_of_others(seg.control_net_wrapper)
        else seg
        for seg in items
    ]


def _is_of_others(wrapper: Any) -> bool:
    while wrapper is not None:
        if not hasattr(wrapper, "for_segment"):
            return True
        wrapper = getattr(wrapper, "prev_control_net", None)
    return False


def apply_control_net(
    segs: SEGS,
    control_net: Any,
    strength: float,
    start_percent: float,
    end_percent: float,
    segs_preprocessor: Any = None,
    control_image: Tensor | None = None,
    vae: Any = None,
) -> tuple[SEGS]:
    """Give all segments a ControlNet; it acts after those that they have.

    Parameters
    ----------
    segs : SEGS
        The segments; not changed.
    control_net : comfy.controlnet.ControlBase
        The network.
    strength, start_percent, end_percent : float
        Its effect, and the share of the sampling process in which it acts.
    segs_preprocessor : object or None
        Has `apply(image, mask)`, as Impact Pack's; makes the picture from the crops.
    control_image : Tensor or None
        The picture for the whole frame, one or one for each frame, instead of a preprocessor.
    vae : object or None
        See `GraphControlNetWrapper`.

    Raises
    ------
    InvalidTypeError
        `control_net` is not one of ComfyUI's.
    InvalidArgumentError
        A preprocessor and a picture, or percents out of order.
    """
    if not (hasattr(control_net, "set_cond_hint") and hasattr(control_net, "copy")):
        raise InvalidTypeError("control_net", "a CONTROL_NET of ComfyUI", type(control_net).__name__)
    size, items = check_segs(segs)
    wrapper = GraphControlNetWrapper(
        controlnet=control_net,
        strength=strength,
        start_percent=start_percent,
        end_percent=end_percent,
        control_image=control_image,
        preprocessor=segs_preprocessor,
        vae=vae,
    )
    (_, steered) = with_control_net((size, items), wrapper)
    if control_image is None:
        return ((size, steered),)
    # Our detailers say where the segment is; other packs' do not.
    place = (len(control_image), *size)
    return (
        (
            size,
            [
                seg._replace(control_net_wrapper=seg.control_net_wrapper.for_segment(seg.crop_region, place))
                for seg in steered
            ],
        ),
    )


CONTROL_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerControlNet",
        display_name="ControlNet Apply (SEGS, for Video)",
        description="Steers the repainting of each segment by a ControlNet, with the crops themselves as its pictures, "
        "with what a preprocessor makes of them, or with your own pictures.",
        search_aliases=("ImpactControlNetApplySEGS", "ControlNet per segment", "tile ControlNet"),
        inputs=(
            segs_input(),
            Input(name="control_net", type="CONTROL_NET", tooltip="The network."),
            float_input("strength", "Factor of its effect.", 1.0, 0.0, 10.0, 0.01),
            float_input("start_percent", "Share of the sampling process from which on it acts.", 0.0, 0.0, 1.0, 0.001),
            float_input("end_percent", "Share of the sampling process up to which it acts.", 1.0, 0.0, 1.0, 0.001),
            Input(
                name="segs_preprocessor",
                type="SEGS_PREPROCESSOR",
                tooltip="Makes the pictures from the crops. Not together with control_image.",
                optional=True,
            ),
            Input(
                name="control_image",
                type="IMAGE",
                tooltip="Pictures for the whole frame, one or one for each frame.",
                optional=True,
            ),
            Input(
                name="vae",
                type="VAE",
                tooltip="For networks that take latents, such as those of SD 3 and Flux.",
                optional=True,
            ),
        ),
        outputs=(Output(name="segs", type="SEGS", tooltip="The segments with the ControlNet."),),
        function=apply_control_net,
    ),
)
"""The node that steers segments."""
