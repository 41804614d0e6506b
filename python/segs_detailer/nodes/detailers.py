"""The node classes: adapters between a graph's sockets and the detailer.

Names, inputs and outputs are those of Impact Pack's nodes, so that scripts written for them work here. A ComfyUI
registration gives them ids of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.checks import flag, integer
from segs_detailer.detailer.crops import check_frames, prepare_segs
from segs_detailer.detailer.hooks import HookCalls
from segs_detailer.detailer.models import Models
from segs_detailer.detailer.pasting import paste_segs
from segs_detailer.detailer.run import detail_and_paste, detail_segs
from segs_detailer.detailer.segment import Run
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.models.samplers.registry import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES
from segs_detailer.nodes.declaration import ClassicNode, Input, Node, Output, setting_input
from segs_detailer.segs import check_segs
from segs_detailer.settings import declared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from segs_detailer.detailer.progress import Observer
    from segs_detailer.models.sound import Sound
    from segs_detailer.segs import SEGS

__all__ = [
    "DETAILER_FOR_EACH",
    "NODE_CLASS_MAPPINGS",
    "NODE_DISPLAY_NAME_MAPPINGS",
    "SEGS_DETAILER",
    "SEGS_PASTE",
    "DetailerForEachPipeForAnimateDiff",
    "SEGSDetailerForAnimateDiff",
    "SEGSPaste",
    "detailer_inputs",
    "no_images",
    "paste_into",
    "run_of",
    "without_segments",
]

_CATEGORY = "ImpactPack/Detailer"
_OPAQUE = 255
# The detailer crops and pastes float16 as it is: clips take half of the memory.
_IMAGE_DTYPES = ("float32", "float16")
_CNET_IMAGES = "The pictures that steered ControlNets; one small black picture where there are none."

_BEFORE_THE_PIPE = (
    "guide_size",
    "guide_size_for",
    "max_size",
    "seed",
    "steps",
    "cfg",
    "sampler_name",
    "scheduler",
    "denoise",
)
_NOTES = {
    "guide_size": "Newer releases of Impact Pack default to 512.",
    "noise_mask_feather": "Newer releases of Impact Pack default to 20.",
}
_NAMED: dict[str, Callable[[], Sequence[str]]] = {
    "sampler_name": lambda: tuple(SAMPLERS),
    "scheduler": lambda: tuple(SCHEDULES),
}

# What a call in Python means by a setting that it leaves out.
_UNSAID = {"feather": 0, "noise_mask_feather": 0, "refiner_ratio": None}


def detailer_inputs(base: DetailerSettings, *, pastes: bool) -> tuple[Input, ...]:
    """Declare the inputs of a detailing node.

    Parameters
    ----------
    base : DetailerSettings
        Its defaults.
    pastes : bool
        Whether the node pastes what it repaints.

    Returns
    -------
    tuple of Input
        In the order of Impact Pack's node; settings that are marked for nodes follow.
    """
    settings = {each.name: each for each in declared(base)}

    def widget(name: str, **more: Any) -> Input:
        switch, note = name == "guide_size_for", _NOTES.get(name, "")
        own, fallback = getattr(base, name), settings[name].fallback
        return setting_input(
            settings[name], fallback if own is None else own, note=note, switch=switch, choices=_NAMED.get(name), **more
        )

    hook = Input(
        name="detailer_hook",
        type="DETAILER_HOOK",
        tooltip="Looks at and changes what happens on the way.",
        optional=True,
    )
    return (
        Input(name="image_frames", type="IMAGE", tooltip="The clip."),
        Input(name="segs", type="SEGS", tooltip="The segments to repaint."),
        *(widget(name) for name in _BEFORE_THE_PIPE),
        *((widget("feather"),) if pastes else ()),
        Input(name="basic_pipe", type="BASIC_PIPE", tooltip="Model, clip, vae, positive and negative conditioning."),
        widget("refiner_ratio", unsaid=None),
        *((hook,) if pastes else ()),
        Input(
            name="refiner_basic_pipe_opt",
            type="BASIC_PIPE",
            tooltip="A second model that finishes the steps.",
            optional=True,
        ),
        widget("inpaint_model", optional=True),
        widget("noise_mask_feather", optional=True),
        Input(
            name="scheduler_func_opt",
            type="SCHEDULER_FUNC",
            tooltip="A schedule in place of the named one.",
            optional=True,
        ),
        *(widget(each.name, optional=True) for each in settings.values() if each.node),
    )


def run_of(
    *,
    basic_pipe: Any,
    refiner_basic_pipe_opt: Any = None,
    detailer_hook: Any = None,
    scheduler_func_opt: Any = None,
    guide_size_for: bool = True,
    observer: Observer | None = None,
    frame_rate: float | None = None,
    sound: Sound | None = None,
    **settings: Any,
) -> Run:
    """Make the run of a detailing node from its inputs.

    Parameters
    ----------
    basic_pipe, refiner_basic_pipe_opt, detailer_hook, scheduler_func_opt
        See `detail_frames`.
    guide_size_for : bool
        True for the bounding box, False for the crop region.
    observer : Observer or None
        Who is told of the progress; what it raises ends the run.
    frame_rate, sound
        See `Run`.
    **settings : object
        The others of `DetailerSettings`.

    Returns
    -------
    Run
        Models, settings and hook.
    """
    own = DetailerSettings(
        guide_size_for="bbox" if flag("guide_size_for", guide_size_for) else "crop_region",
        scheduler_func=scheduler_func_opt,
        **{**_UNSAID, **settings},
    )
    models = Models.of(basic_pipe, refiner_basic_pipe_opt, names=("basic_pipe", "refiner_basic_pipe_opt"))
    return Run(models, own, HookCalls(detailer_hook), observer, frame_rate=frame_rate, sound=sound)


def paste_into(
    image: Tensor,
    segs: SEGS,
    feather: int,
    alpha: int,
    ref_image_opt: Tensor | None = None,
    *,
    grow: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Do what a pasting node does with its inputs.

    Parameters
    ----------
    image, segs, feather, alpha, ref_image_opt
        See `paste_segments`.
    grow : int
        Pixels by which the masks' edges are moved outwards, or inwards where it is negative.
    progress : callable or None
        See `paste_segs`.

    Returns
    -------
    Tensor
        The frames.
    """
    feather = integer("feather", feather, least=0)
    opacity = integer("alpha", alpha, least=0, most=_OPAQUE) / _OPAQUE
    return paste_segs(
        image, segs, feather=feather, alpha=opacity, reference=ref_image_opt, grow=grow, progress=progress
    )


def no_images() -> list[Tensor]:
    """Give what stands on a list output without images: an empty list would stop the nodes behind it.

    Returns
    -------
    list of Tensor
        One black picture `(1, 64, 64, 3)`.
    """
    return [torch.zeros((1, 64, 64, 3))]


def without_segments(image_frames: Tensor, segs: SEGS) -> SEGS | None:
    """Tell where there is nothing to do: then no model is looked at, and no hook is asked.

    Parameters
    ----------
    image_frames : Tensor
        The frames.
    segs : SEGS
        The segments.

    Returns
    -------
    SEGS or None
        No segments, in the frames' size; None where there are any.
    """
    return prepare_segs(segs, check_frames("image_frames", image_frames)) if not check_segs(segs)[1] else None


def detail_segments(image_frames: Tensor, segs: SEGS, **inputs: Any) -> tuple[SEGS, list[Tensor]]:
    """Repaint each segment on the frames as they came.

    Parameters
    ----------
    image_frames : Tensor
        `(B, H, W, 3 or 4)` floats in [0, 1]; not changed.
    segs : SEGS
        The segments; rescaled where they were made for another frame size. Where there are none, nothing is loaded.
    **inputs : object
        `basic_pipe`, `(model, clip, vae, positive, negative)`; `refiner_basic_pipe_opt`, another, whose VAE is not
        used; `scheduler_func_opt`, `(model, sampler_name, steps) -> sigmas`; `guide_size_for`, True for the bounding
        box; and settings by their names in `DetailerSettings`.

    Returns
    -------
    segs : SEGS
        `((H, W), [SEG, ...])` with float32 `cropped_image` of shape `(B, h, w, 3)`.
    cnet_images : list of Tensor
        Images of the control wrappers.
    """
    nothing = without_segments(image_frames, segs)
    if nothing is not None:
        return nothing, []
    run = run_of(**inputs)
    with run.models.in_use():
        return detail_segs(image_frames, segs, run)


def detail_and_paste_segments(
    image_frames: Tensor, segs: SEGS, basic_pipe: Any, **inputs: Any
) -> tuple[Tensor, SEGS, Any, list[Tensor]]:
    """Repaint and paste each segment in turn.

    Parameters
    ----------
    image_frames, segs, basic_pipe
        See `SEGSDetailerForAnimateDiff.do_detail`.
    **inputs : object
        As there; and `feather`, blur of the paste's mask in pixels of the frame, and `detailer_hook`, any of the
        methods of `DetailerHook`.

    Returns
    -------
    image : Tensor
        The detailed frames; the input itself where nothing was pasted.
    segs : SEGS
        The repainted segments.
    basic_pipe : tuple
        As it came.
    cnet_images : list of Tensor
        Images of the control wrappers.
    """
    nothing = without_segments(image_frames, segs)
    if nothing is not None:
        return image_frames, nothing, basic_pipe, []
    run = run_of(basic_pipe=basic_pipe, **inputs)
    with run.models.in_use():
        image, detailed, cnet_images = detail_and_paste(image_frames, segs, run)
    return image, detailed, basic_pipe, cnet_images


def paste_segments(image: Tensor, segs: SEGS, feather: int, alpha: int, ref_image_opt: Tensor | None) -> tuple[Tensor]:
    """Paste every segment into a copy of the frames.

    Parameters
    ----------
    image : Tensor
        `(B, H, W, 3 or 4)` float32 in [0, 1]; not changed.
    segs : SEGS
        The segments; rescaled where they were made for another frame size.
    feather : int
        Blur of the masks in pixels of the frame, from 0.
    alpha : int
        Opacity, 0 to 255.
    ref_image_opt : Tensor or None
        `(1 or B, H, W, 3 or 4)`: its regions are pasted, and not the segments' crops.

    Returns
    -------
    tuple of Tensor
        The frames; the input itself where nothing was pasted.
    """
    return (paste_into(image, segs, feather, alpha, ref_image_opt),)


SEGS_DETAILER = Node(
    id="SEGSDetailerForAnimateDiff",
    display_name="SEGSDetailer For AnimateDiff (SEGS/pipe)",
    description="Repaints the segments of a clip with a motion model. Paste them with SEGSPaste.",
    inputs=detailer_inputs(DetailerSettings(guide_size=256, max_size=768, noise_mask_feather=0), pastes=False),
    outputs=(
        Output(name="segs", type="SEGS", tooltip="The segments with their repainted crops."),
        Output(name="cnet_images", type="IMAGE", tooltip=_CNET_IMAGES, is_list=True),
    ),
    function=detail_segments,
    category=_CATEGORY,
    image_dtypes=_IMAGE_DTYPES,
)
"""The declaration of `SEGSDetailerForAnimateDiff`."""

DETAILER_FOR_EACH = Node(
    id="DetailerForEachPipeForAnimateDiff",
    display_name="Detailer For AnimateDiff (SEGS/pipe)",
    description="Repaints the segments of a clip with a motion model and pastes them, one after the other.",
    inputs=detailer_inputs(DetailerSettings(guide_size=384, max_size=1024, noise_mask_feather=0), pastes=True),
    outputs=(
        Output(
            name="image",
            type="IMAGE",
            tooltip="The detailed frames. Outside the masks they are the input's, bit for bit.",
        ),
        Output(name="segs", type="SEGS", tooltip="The segments with their repainted crops."),
        Output(name="basic_pipe", type="BASIC_PIPE", tooltip="The pipe, as it came."),
        Output(name="cnet_images", type="IMAGE", tooltip=_CNET_IMAGES, is_list=True),
    ),
    function=detail_and_paste_segments,
    category=_CATEGORY,
    image_dtypes=_IMAGE_DTYPES,
)
"""The declaration of `DetailerForEachPipeForAnimateDiff`."""

SEGS_PASTE = Node(
    id="SEGSPaste",
    display_name="SEGSPaste",
    description="Blends the crops of the segments, or the same regions of another clip, into the frames.",
    inputs=(
        Input(name="image", type="IMAGE", tooltip="The clip."),
        Input(name="segs", type="SEGS", tooltip="The segments; those without crops are left out."),
        *(setting_input(each, 5, unsaid=5) for each in declared(DetailerSettings) if each.name == "feather"),
        Input(
            name="alpha",
            type="INT",
            tooltip="Opacity of what is pasted.",
            widget={"default": _OPAQUE, "min": 0, "max": _OPAQUE, "step": 1},
            unsaid=_OPAQUE,
        ),
        Input(
            name="ref_image_opt",
            type="IMAGE",
            tooltip="A clip to take the regions from, in place of the crops.",
            optional=True,
        ),
    ),
    outputs=(Output(name="image", type="IMAGE", tooltip="The frames with the crops in them."),),
    function=paste_segments,
    category=_CATEGORY,
    image_dtypes=_IMAGE_DTYPES,
)
"""The declaration of `SEGSPaste`."""


class SEGSDetailerForAnimateDiff(ClassicNode, node=SEGS_DETAILER, function="doit"):
    """Repaints each segment of the frames and gives back the segments, not yet pasted."""

    do_detail = staticmethod(SEGS_DETAILER.called())

    def doit(self, *args: Any, **kwargs: Any) -> tuple[SEGS, list[Tensor]]:
        """`do_detail`, with one black image of 64 x 64 pixels where there are no control images."""
        detailed, cnet_images = self.do_detail(*args, **kwargs)
        return detailed, cnet_images or no_images()

    doit.__signature__ = SEGS_DETAILER.method_signature  # type: ignore[attr-defined]


class DetailerForEachPipeForAnimateDiff(ClassicNode, node=DETAILER_FOR_EACH, function="doit"):
    """Repaints each segment on the frames as the one before left them, and pastes it."""

    doit = staticmethod(DETAILER_FOR_EACH.called())


class SEGSPaste(ClassicNode, node=SEGS_PASTE, function="doit"):
    """Pastes the crops of segments into frames."""

    doit = staticmethod(SEGS_PASTE.called())


_CLASSES = (SEGSDetailerForAnimateDiff, DetailerForEachPipeForAnimateDiff, SEGSPaste)

NODE_CLASS_MAPPINGS: dict[str, type[ClassicNode]] = {each.node.id: each for each in _CLASSES}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {each.node.id: each.node.display_name for each in _CLASSES}
