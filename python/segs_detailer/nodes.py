"""The node classes: adapters between a graph's sockets and the detailer.

Names, inputs and outputs are those of Impact Pack's nodes, so that scripts written for them work here. A ComfyUI
registration gives them ids of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import torch

from segs_detailer.checks import flag, integer
from segs_detailer.detailer.hooks import HookCalls
from segs_detailer.detailer.models import Models
from segs_detailer.detailer.pasting import paste_segs
from segs_detailer.detailer.run import detail_and_paste, detail_segs
from segs_detailer.detailer.segment import Run
from segs_detailer.detailer.settings import MAX_RESOLUTION, MAX_SEED, MAX_STEPS, DetailerSettings
from segs_detailer.models.samplers import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from segs_detailer.detailer.progress import Observer
    from segs_detailer.segs import SEGS

__all__ = [
    "NODE_CLASS_MAPPINGS",
    "NODE_DISPLAY_NAME_MAPPINGS",
    "DetailerForEachPipeForAnimateDiff",
    "SEGSDetailerForAnimateDiff",
    "SEGSPaste",
    "no_images",
    "paste_into",
    "run_of",
]

Inputs: TypeAlias = "dict[str, dict[str, tuple[Any, ...]]]"

_CATEGORY = "ImpactPack/Detailer"
_OPAQUE = 255


def _sampling_inputs(guide_size: int, max_size: int) -> dict[str, tuple[Any, ...]]:
    """Declare `guide_size` to `denoise`, which both detailers have."""
    return {
        "guide_size": (
            "FLOAT",
            {
                "default": guide_size,
                "min": 64,
                "max": MAX_RESOLUTION,
                "step": 8,
                "tooltip": "The subject's shorter side is scaled up to this many pixels for repainting. "
                "Newer releases of Impact Pack default to 512.",
            },
        ),
        "guide_size_for": (
            "BOOLEAN",
            {
                "default": True,
                "label_on": "bbox",
                "label_off": "crop_region",
                "tooltip": "Whether guide_size counts for the bounding box or for the crop region.",
            },
        ),
        "max_size": (
            "FLOAT",
            {
                "default": max_size,
                "min": 64,
                "max": MAX_RESOLUTION,
                "step": 8,
                "tooltip": "Limit in pixels of the longer side of the scaled crop.",
            },
        ),
        "seed": (
            "INT",
            {"default": 0, "min": 0, "max": MAX_SEED, "tooltip": "Seed of the noise, the same for every segment."},
        ),
        "steps": (
            "INT",
            {"default": 20, "min": 1, "max": MAX_STEPS, "tooltip": "Steps that are run, whatever denoise is."},
        ),
        "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "tooltip": "Classifier-free guidance scale."}),
        "sampler_name": (list(SAMPLERS), {"tooltip": "The sampling algorithm."}),
        "scheduler": (list(SCHEDULES), {"tooltip": "How the noise level falls from step to step."}),
        "denoise": (
            "FLOAT",
            {
                "default": 0.5,
                "min": 0.0001,
                "max": 1.0,
                "step": 0.01,
                "tooltip": "How much is repainted: small values keep the subject, 1 paints a new one.",
            },
        ),
    }


def _pipe_inputs() -> dict[str, tuple[Any, ...]]:
    return {
        "basic_pipe": ("BASIC_PIPE", {"tooltip": "Model, clip, vae, positive and negative conditioning."}),
        "refiner_ratio": (
            "FLOAT",
            {
                "default": 0.2,
                "min": 0.0,
                "max": 1.0,
                "tooltip": "Share of the steps that the refiner does, where one is connected.",
            },
        ),
    }


def _optional_inputs() -> dict[str, tuple[Any, ...]]:
    return {
        "refiner_basic_pipe_opt": ("BASIC_PIPE", {"tooltip": "A second model that finishes the steps."}),
        "inpaint_model": (
            "BOOLEAN",
            {
                "default": False,
                "label_on": "enabled",
                "label_off": "disabled",
                "tooltip": "For inpainting checkpoints: feeds them the mask and the masked image.",
            },
        ),
        "noise_mask_feather": (
            "INT",
            {
                "default": 0,
                "min": 0,
                "max": 100,
                "step": 1,
                "tooltip": "Softens the edge of what is repainted, in pixels of the crop, and turns on differential "
                "diffusion. Newer releases of Impact Pack default to 20.",
            },
        ),
        "scheduler_func_opt": ("SCHEDULER_FUNC", {"tooltip": "A schedule in place of the named one."}),
    }


def _feather_input() -> tuple[Any, ...]:
    tooltip = "Softens the edge of what is pasted, in pixels of the frame."
    return ("INT", {"default": 5, "min": 0, "max": 100, "step": 1, "tooltip": tooltip})


def run_of(
    guide_size: float,
    guide_size_for: bool,
    max_size: float,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float,
    basic_pipe: Any,
    refiner_ratio: float | None = None,
    refiner_basic_pipe_opt: Any = None,
    inpaint_model: bool = False,
    noise_mask_feather: int = 0,
    scheduler_func_opt: Any = None,
    *,
    feather: int = 0,
    detailer_hook: Any = None,
    observer: Observer | None = None,
    grow: int = 0,
    noise_mask_grow: int = 0,
    color_match: float = 0.0,
    vae_correction: bool = False,
    noise: Literal["per-frame", "fixed", "shared"] = "per-frame",
    limit_size: bool = False,
) -> Run:
    """Make the run of a detailing node from its inputs.

    Parameters
    ----------
    guide_size, guide_size_for, max_size, seed, steps, cfg, sampler_name, scheduler, denoise, basic_pipe,\
 refiner_ratio, refiner_basic_pipe_opt, inpaint_model, noise_mask_feather, scheduler_func_opt, feather, detailer_hook
        See `DetailerForEachPipeForAnimateDiff.doit`.
    observer : Observer or None
        Who is told of the progress; what it raises ends the run.
    grow, noise_mask_grow, color_match, vae_correction, noise, limit_size
        See `DetailerSettings`.

    Returns
    -------
    Run
        Models, settings and hook.
    """
    settings = DetailerSettings(
        guide_size=guide_size,
        guide_size_for="bbox" if flag("guide_size_for", guide_size_for) else "crop_region",
        max_size=max_size,
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler_name=sampler_name,
        scheduler=scheduler,
        denoise=denoise,
        feather=feather,
        refiner_ratio=refiner_ratio,
        inpaint_model=inpaint_model,
        noise_mask_feather=noise_mask_feather,
        scheduler_func=scheduler_func_opt,
        grow=grow,
        noise_mask_grow=noise_mask_grow,
        color_match=color_match,
        vae_correction=vae_correction,
        noise=noise,
        limit_size=limit_size,
    )
    models = Models.of(basic_pipe, refiner_basic_pipe_opt, names=("basic_pipe", "refiner_basic_pipe_opt"))
    return Run(models, settings, HookCalls(detailer_hook), observer)


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
        See `SEGSPaste.doit`.
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


class SEGSDetailerForAnimateDiff:
    """Repaints each segment of the frames and gives back the segments, not yet pasted."""

    RETURN_TYPES: ClassVar = ("SEGS", "IMAGE")
    RETURN_NAMES: ClassVar = ("segs", "cnet_images")
    OUTPUT_IS_LIST: ClassVar = (False, True)
    FUNCTION: ClassVar = "doit"
    CATEGORY: ClassVar = _CATEGORY
    DESCRIPTION: ClassVar = "Repaints the segments of a clip with a motion model. Paste them with SEGSPaste."

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:  # noqa: N802
        """Sockets and widgets, in the order in which they are shown.

        Returns
        -------
        dict
            `"required"` and `"optional"` inputs by name.
        """
        return {
            "required": {
                "image_frames": ("IMAGE", {"tooltip": "The clip."}),
                "segs": ("SEGS", {"tooltip": "The segments to repaint."}),
                **_sampling_inputs(guide_size=256, max_size=768),
                **_pipe_inputs(),
            },
            "optional": _optional_inputs(),
        }

    @staticmethod
    def do_detail(
        image_frames: Tensor,
        segs: SEGS,
        guide_size: float,
        guide_size_for: bool,
        max_size: float,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        basic_pipe: Any,
        refiner_ratio: float | None = None,
        refiner_basic_pipe_opt: Any = None,
        inpaint_model: bool = False,
        noise_mask_feather: int = 0,
        scheduler_func_opt: Any = None,
    ) -> tuple[SEGS, list[Tensor]]:
        """Repaint each segment on the frames as they came.

        Parameters
        ----------
        image_frames : Tensor
            `(B, H, W, 3 or 4)` float32 in [0, 1]; not changed.
        segs : SEGS
            The segments; rescaled where they were made for another frame size.
        guide_size, guide_size_for, max_size, seed, steps, cfg, sampler_name, scheduler, denoise
            See `DetailerSettings`; `guide_size_for` is True for the bounding box.
        basic_pipe : tuple
            `(model, clip, vae, positive, negative)`.
        refiner_ratio : float or None
            Share of the steps that the refiner does.
        refiner_basic_pipe_opt : tuple or None
            The refiner; its VAE is not used.
        inpaint_model, noise_mask_feather
            See `DetailerSettings`.
        scheduler_func_opt : callable or None
            `(model, sampler_name, steps) -> sigmas`.

        Returns
        -------
        segs : SEGS
            `((H, W), [SEG, ...])` with float32 `cropped_image` of shape `(B, h, w, 3)`.
        cnet_images : list of Tensor
            Images of the control wrappers.
        """
        run = run_of(
            guide_size,
            guide_size_for,
            max_size,
            seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            denoise,
            basic_pipe,
            refiner_ratio,
            refiner_basic_pipe_opt,
            inpaint_model,
            noise_mask_feather,
            scheduler_func_opt,
        )
        with run.models.in_use():
            return detail_segs(image_frames, segs, run)

    def doit(
        self,
        image_frames: Tensor,
        segs: SEGS,
        guide_size: float,
        guide_size_for: bool,
        max_size: float,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        basic_pipe: Any,
        refiner_ratio: float | None = None,
        refiner_basic_pipe_opt: Any = None,
        inpaint_model: bool = False,
        noise_mask_feather: int = 0,
        scheduler_func_opt: Any = None,
    ) -> tuple[SEGS, list[Tensor]]:
        """`do_detail`, with one black image of 64 x 64 pixels where there are no control images.

        Parameters
        ----------
        image_frames, segs, guide_size, guide_size_for, max_size, seed, steps, cfg, sampler_name, scheduler, denoise,\
 basic_pipe, refiner_ratio, refiner_basic_pipe_opt, inpaint_model, noise_mask_feather, scheduler_func_opt
            See `do_detail`.

        Returns
        -------
        segs : SEGS
            The repainted segments.
        cnet_images : list of Tensor
            At least one image.
        """
        detailed, cnet_images = self.do_detail(
            image_frames,
            segs,
            guide_size,
            guide_size_for,
            max_size,
            seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            denoise,
            basic_pipe,
            refiner_ratio,
            refiner_basic_pipe_opt,
            inpaint_model,
            noise_mask_feather,
            scheduler_func_opt,
        )
        return detailed, cnet_images or no_images()


class DetailerForEachPipeForAnimateDiff:
    """Repaints each segment on the frames as the one before left them, and pastes it."""

    RETURN_TYPES: ClassVar = ("IMAGE", "SEGS", "BASIC_PIPE", "IMAGE")
    RETURN_NAMES: ClassVar = ("image", "segs", "basic_pipe", "cnet_images")
    OUTPUT_IS_LIST: ClassVar = (False, False, False, True)
    FUNCTION: ClassVar = "doit"
    CATEGORY: ClassVar = _CATEGORY
    DESCRIPTION: ClassVar = "Repaints the segments of a clip with a motion model and pastes them, one after the other."

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:  # noqa: N802
        """Sockets and widgets, in the order in which they are shown.

        Returns
        -------
        dict
            `"required"` and `"optional"` inputs by name.
        """
        return {
            "required": {
                "image_frames": ("IMAGE", {"tooltip": "The clip."}),
                "segs": ("SEGS", {"tooltip": "The segments to repaint."}),
                **_sampling_inputs(guide_size=384, max_size=1024),
                "feather": _feather_input(),
                **_pipe_inputs(),
            },
            "optional": {
                "detailer_hook": ("DETAILER_HOOK", {"tooltip": "Looks at and changes what happens on the way."}),
                **_optional_inputs(),
            },
        }

    @staticmethod
    def doit(
        image_frames: Tensor,
        segs: SEGS,
        guide_size: float,
        guide_size_for: bool,
        max_size: float,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        feather: int,
        basic_pipe: Any,
        refiner_ratio: float | None = None,
        detailer_hook: Any = None,
        refiner_basic_pipe_opt: Any = None,
        inpaint_model: bool = False,
        noise_mask_feather: int = 0,
        scheduler_func_opt: Any = None,
    ) -> tuple[Tensor, SEGS, Any, list[Tensor]]:
        """Repaint and paste each segment in turn.

        Parameters
        ----------
        image_frames, segs, guide_size, guide_size_for, max_size, seed, steps, cfg, sampler_name, scheduler, denoise
            See `SEGSDetailerForAnimateDiff.do_detail`.
        feather : int
            Blur of the paste's mask in pixels of the frame.
        basic_pipe, refiner_ratio
            See `SEGSDetailerForAnimateDiff.do_detail`.
        detailer_hook : object or None
            Any of the methods of `DetailerHook`.
        refiner_basic_pipe_opt, inpaint_model, noise_mask_feather, scheduler_func_opt
            See `SEGSDetailerForAnimateDiff.do_detail`.

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
        run = run_of(
            guide_size,
            guide_size_for,
            max_size,
            seed,
            steps,
            cfg,
            sampler_name,
            scheduler,
            denoise,
            basic_pipe,
            refiner_ratio,
            refiner_basic_pipe_opt,
            inpaint_model,
            noise_mask_feather,
            scheduler_func_opt,
            feather=feather,
            detailer_hook=detailer_hook,
        )
        with run.models.in_use():
            image, detailed, cnet_images = detail_and_paste(image_frames, segs, run)
        return image, detailed, basic_pipe, cnet_images


class SEGSPaste:
    """Pastes the crops of segments into frames."""

    RETURN_TYPES: ClassVar = ("IMAGE",)
    FUNCTION: ClassVar = "doit"
    CATEGORY: ClassVar = _CATEGORY
    DESCRIPTION: ClassVar = "Blends the crops of the segments, or the same regions of another clip, into the frames."

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:  # noqa: N802
        """Sockets and widgets, in the order in which they are shown.

        Returns
        -------
        dict
            `"required"` and `"optional"` inputs by name.
        """
        alpha = {"default": _OPAQUE, "min": 0, "max": _OPAQUE, "step": 1, "tooltip": "Opacity of what is pasted."}
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The clip."}),
                "segs": ("SEGS", {"tooltip": "The segments; those without crops are left out."}),
                "feather": _feather_input(),
                "alpha": ("INT", alpha),
            },
            "optional": {
                "ref_image_opt": ("IMAGE", {"tooltip": "A clip to take the regions from, in place of the crops."})
            },
        }

    @staticmethod
    def doit(
        image: Tensor, segs: SEGS, feather: int = 5, alpha: int = _OPAQUE, ref_image_opt: Tensor | None = None
    ) -> tuple[Tensor]:
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


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "SEGSDetailerForAnimateDiff": SEGSDetailerForAnimateDiff,
    "DetailerForEachPipeForAnimateDiff": DetailerForEachPipeForAnimateDiff,
    "SEGSPaste": SEGSPaste,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "SEGSDetailerForAnimateDiff": "SEGSDetailer For AnimateDiff (SEGS/pipe)",
    "DetailerForEachPipeForAnimateDiff": "Detailer For AnimateDiff (SEGS/pipe)",
    "SEGSPaste": "SEGSPaste",
}
