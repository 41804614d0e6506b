"""What steers single segments: ControlNets and image prompts, carried by a SEG as `control_net_wrapper`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer._interop import convert
from segs_detailer.detailer.crops import cut_stack, to_dtype
from segs_detailer.detailer.plan import reflect_frames
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, did_you_mean
from segs_detailer.models.control import ControlHint, with_control
from segs_detailer.models.registry import with_image_prompt
from segs_detailer.ops.frames import resize_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from segs_detailer.models.interface import Conditioning
    from segs_detailer.segs import SEGS

__all__ = ["ControlNetWrapper", "ImagePromptWrapper", "with_control_net"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Chained:
    """A wrapper that acts after another one."""

    prev_control_net: Any = None

    def for_segment(self, crop_region: tuple[int, int, int, int], frames_shape: tuple[int, int, int]) -> Any:
        """Tell the whole chain where the segment is; the detailer does so before `apply`.

        Parameters
        ----------
        crop_region : (int, int, int, int) or CropPath
            `(x1, y1, x2, y2)` in pixels of the frames, or one for each of them.
        frames_shape : (int, int, int)
            Number, height and width of the frames.
        """
        previous = self.prev_control_net
        if hasattr(previous, "for_segment"):
            previous = previous.for_segment(crop_region, frames_shape)
        return replace(self, prev_control_net=previous)

    def apply(
        self,
        positive: Conditioning,
        negative: Conditioning,
        image: Tensor,
        mask: Tensor | None = None,
        use_acn: bool = True,
    ) -> tuple[Conditioning, Conditioning, list[Tensor]]:
        """Let the wrapper before this one change the conditioning.

        Parameters
        ----------
        positive, negative : Conditioning
            The segment's conditioning; not changed.
        image : Tensor
            The crops at working size, `(B, H, W, 3)` float32 in [0, 1].
        mask : Tensor or None
            The noise mask at working size.
        use_acn : bool
            What Impact Pack's wrappers ask for with motion models; handed on.

        Returns
        -------
        positive, negative : Conditioning
            New conditioning.
        images : list of Tensor
            The pictures that steer, `(1 or B, H, W, 3)` each, the first wrapper's first.
        """
        if hasattr(self.prev_control_net, "apply"):
            positive, negative, images = self.prev_control_net.apply(positive, negative, image, mask, use_acn=use_acn)
            return positive, negative, list(images or [])
        return positive, negative, []

    def doit_ipadapter(self, model: Any) -> tuple[Any, list[Tensor]]:
        """Let the wrapper before this one change the model.

        Returns
        -------
        model : object
            The model to sample with.
        images : list of Tensor
            Its reference pictures.
        """
        if hasattr(self.prev_control_net, "doit_ipadapter"):
            model, images = self.prev_control_net.doit_ipadapter(model)
            return model, list(images or [])
        return model, []


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ControlNetWrapper(_Chained):
    """A ControlNet for a segment.

    Parameters
    ----------
    controlnet : module
        The network, of the model's family: with Stable Diffusion a ControlNetModel of diffusers.
    strength : float
        Factor of its effect.
    start_percent, end_percent : float
        Share of the sampling process, from 0 (all noise) to 1 (clean), between which it acts.
    control_image : Tensor, ndarray or None
        Its picture for the whole frame, `(H, W, 3)` or `(1 or B, H, W, 3)` floats in [0, 1] or uint8, of any size: it
        is brought to the frames' size, cut to the crop region and scaled as the crops are. `None`: the crops
        themselves.
    preprocessor : callable or None
        Makes the picture from the crops at working size: `(B, H, W, 3)` to `(1 or B, H, W, 3)`, floats in [0, 1]; or an
        object with `apply(image, mask)`, as Impact Pack's. Not together with `control_image`.
    prev_control_net : object or None
        A wrapper that acts before this one.
    """

    controlnet: Any
    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    control_image: Any = None
    preprocessor: Any = None
    _place: tuple[tuple[int, int, int, int], tuple[int, int, int]] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start_percent <= self.end_percent <= 1:
            got = f"{self.start_percent}, {self.end_percent}"
            raise InvalidArgumentError("start_percent, end_percent", "0 <= start <= end <= 1", got)
        if self.control_image is not None and self.preprocessor is not None:
            raise InvalidArgumentError("control_image, preprocessor", "one of them", "both")
        if self.preprocessor is not None and not (callable(self.preprocessor) or hasattr(self.preprocessor, "apply")):
            raise InvalidTypeError("preprocessor", "a callable", type(self.preprocessor).__name__)
        if self.control_image is not None:
            shape = tuple(getattr(self.control_image, "shape", ()))
            if len(shape) not in (3, 4) or shape[-1] != 3:
                raise InvalidArgumentError("control_image", "(H, W, 3) or (1 or B, H, W, 3)", f"shape {shape}")

    def for_segment(
        self, crop_region: tuple[int, int, int, int], frames_shape: tuple[int, int, int]
    ) -> ControlNetWrapper:
        """Tell the whole chain where the segment is.

        Parameters
        ----------
        crop_region, frames_shape
            See `ImagePromptWrapper.for_segment`.
        """
        # Not super(): dataclasses with slots are made anew, and its hidden cell still holds the old class.
        bound: ControlNetWrapper = _Chained.for_segment(self, crop_region, frames_shape)
        return replace(bound, _place=(crop_region, frames_shape))

    def apply(
        self,
        positive: Conditioning,
        negative: Conditioning,
        image: Tensor,
        mask: Tensor | None = None,
        use_acn: bool = True,
    ) -> tuple[Conditioning, Conditioning, list[Tensor]]:
        """Give every entry of the conditioning this ControlNet, after those of the chain.

        Parameters
        ----------
        positive, negative, image, mask, use_acn
            See `ImagePromptWrapper.apply`. Frames are always steered in one batch.

        Returns
        -------
        positive, negative : Conditioning
            New conditioning.
        images : list of Tensor
            The pictures of the chain, this one's last.
        """
        positive, negative, images = _Chained.apply(self, positive, negative, image, mask, use_acn)
        picture = self._picture(image, mask)
        positive, negative = self._steered(positive, negative, picture)
        return positive, negative, [*images, picture]

    def _steered(
        self, positive: Conditioning, negative: Conditioning, picture: Tensor
    ) -> tuple[Conditioning, Conditioning]:
        """Put the network and its picture into both sides of the conditioning, as the backend takes them."""
        hint = ControlHint(self.controlnet, picture, self.strength, self.start_percent, self.end_percent)
        return with_control(positive, hint), with_control(negative, hint)

    def _picture(self, image: Tensor, mask: Tensor | None) -> Tensor:
        if self.control_image is not None:
            return self._cut(image)
        if self.preprocessor is None:
            return image
        made = self.preprocessor.apply(image, mask) if hasattr(self.preprocessor, "apply") else self.preprocessor(image)
        picture = to_dtype(convert(made, image), torch.float32)
        if picture.ndim != 4 or picture.shape[3] != 3 or len(picture) not in (1, len(image)):
            expected = f"a preprocessor that returns (1 or {len(image)}, H, W, 3)"
            raise InvalidArgumentError("preprocessor", expected, f"shape {tuple(picture.shape)}")
        return picture

    def _cut(self, image: Tensor) -> Tensor:
        """Cut the picture for the whole frame as the crops were cut, and scale it alike."""
        if self._place is None:
            expected = "a wrapper that was bound by for_segment, where there is a control_image"
            raise InvalidArgumentError("control_net_wrapper", expected, "one that was not")
        region, (count, *size) = self._place
        stack = torch.as_tensor(self.control_image)
        stack = to_dtype(convert(stack[None] if stack.ndim == 3 else stack, image), torch.float32).contiguous()
        if len(stack) not in (1, count):
            raise InvalidArgumentError("control_image", f"1 or {count} frames", f"{len(stack)} frames")
        if list(stack.shape[1:3]) != size:
            stack = resize_frames(stack, (size[0], size[1]))
        cut: Tensor = resize_frames(cut_stack(stack, region), (image.shape[1], image.shape[2]))
        # Crops may have been lengthened to what the model takes.
        return cut if len(cut) in (1, len(image)) else cut[reflect_frames(len(cut), len(image))]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ImagePromptWrapper(_Chained):
    """An image prompt (IP-Adapter) for a segment.

    Parameters
    ----------
    image_prompt : ImagePrompt
        From `BasicPipe.encode_image_prompt`.
    prev_control_net : object or None
        A wrapper that acts before this one.
    """

    image_prompt: Any

    def doit_ipadapter(self, model: Any) -> tuple[Any, list[Tensor]]:
        """Put the model under the image prompt.

        Parameters
        ----------
        model : object
            The pipe's model: a `Sampler`, or a model of one of the families, which has an IP-Adapter.

        Returns
        -------
        model : object
            Another one over the same networks.
        images : list of Tensor
            The reference pictures of the chain, this one's last.
        """
        model, images = _Chained.doit_ipadapter(self, model)
        return with_image_prompt(model, self.image_prompt), [*images, *self.image_prompt.images]


def with_control_net(segs: SEGS, wrapper: Any, *, labels: Sequence[str] | None = None) -> SEGS:
    """Give segments a control wrapper.

    Parameters
    ----------
    segs : SEGS
        The segments; not changed.
    wrapper : ControlNetWrapper or ImagePromptWrapper
        The wrapper. Where a segment has one already, the new one acts after it.
    labels : sequence of str or None
        Only segments of these labels.

    Returns
    -------
    SEGS
        New segments.

    Raises
    ------
    InvalidTypeError
        `wrapper` is of another type.
    InvalidArgumentError
        No segment has one of the labels, or both the wrapper and a segment bring a chain.
    """
    if not isinstance(wrapper, _Chained):
        raise InvalidTypeError("wrapper", "a ControlNetWrapper or an ImagePromptWrapper", type(wrapper).__name__)
    size, items = segs
    known = {seg.label for seg in items}
    missing = [label for label in labels or () if label not in known]
    if missing:
        names = sorted(map(str, known))
        got = f"{missing}{did_you_mean(missing[0], names)}"
        raise InvalidArgumentError("labels", f"some of {names}", got)
    chosen = []
    for seg in items:
        own = seg.control_net_wrapper
        if labels is not None and seg.label not in labels:
            chosen.append(seg)
            continue
        if own is not None and wrapper.prev_control_net is not None:
            raise InvalidArgumentError("wrapper", "no prev_control_net, as a segment has a wrapper", "one")
        chosen.append(
            seg._replace(control_net_wrapper=wrapper if own is None else replace(wrapper, prev_control_net=own))
        )
    return size, chosen
