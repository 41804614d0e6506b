"""The models of a run as one subject has them: under its prompts, with its LoRAs, and shown its pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.prompting import encoded_anew, encoder_of

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from segs_detailer.detailer.models import Models, PipeModel
    from segs_detailer.detailer.subject_settings import SubjectSettings
    from segs_detailer.models.interface import Conditioning

__all__ = ["models_under", "pipe_with_loras", "read_pictures"]

_WHITE = (255, 255, 255)


def models_under(models: Models, own: SubjectSettings) -> Models:
    """Return the models of a run for a subject.

    Parameters
    ----------
    models : Models
        The models for all.
    own : SubjectSettings
        What the subject has otherwise.

    Returns
    -------
    Models
        Models over the same networks.

    Raises
    ------
    ModelError
        A LoRA that cannot be loaded; or the family has no LoRAs, or does not look at pictures.
    InvalidTypeError
        A pipe whose `clip` cannot encode text.
    InvalidArgumentError
        A picture that cannot be read.
    """
    base = pipe_with_loras(models.base, own)
    if own.reference:
        shown = base.sampler.encode_image_prompt([read_pictures(own.reference)])
        base = base.with_sampler(base.sampler.with_image_prompt(shown))
    # What a LoRA changes in a text encoder counts for the prompts that all have, too.
    base = _under(base, own, "pipe", anew=bool(own.lora))
    refiner = None if models.refiner is None else _under(models.refiner, own, "refiner_pipe", anew=False)
    return replace(models, base=base, refiner=refiner)


def pipe_with_loras(pipe: PipeModel, own: SubjectSettings) -> PipeModel:
    """Return a pipe whose model has a subject's LoRAs, under the same prompts."""
    return pipe.with_sampler(pipe.sampler.beside_loras(own.lora)) if own.lora else pipe


def _under(pipe: PipeModel, own: SubjectSettings, argument: str, *, anew: bool) -> PipeModel:
    """Put a pipe under a subject's prompts; `anew` encodes those that it is under already as well."""
    encode = encoder_of(pipe.sampler, pipe.clip, pipe.vae)
    if encode is None:
        if own.prompt is None and own.negative_prompt is None:
            return pipe
        expected = "a pipe whose clip encodes text, for prompts"
        raise InvalidTypeError(argument, expected, f"a clip of type {type(pipe.clip).__name__}")
    pipe.sampler.get_ready()

    def side(conditioning: Conditioning, prompt: str | None) -> Conditioning:
        if prompt is not None:
            return encode(prompt)
        return encoded_anew(conditioning, encode) if anew else conditioning

    return replace(pipe, positive=side(pipe.positive, own.prompt), negative=side(pipe.negative, own.negative_prompt))


def read_pictures(names: tuple[str, ...]) -> Tensor:
    """Read pictures of a subject.

    Parameters
    ----------
    names : tuple of str
        The files, at least one.

    Returns
    -------
    Tensor
        `(n, H, W, 3)` float32 in [0, 1], in the size of the first; the others are fitted into it, on white.

    Raises
    ------
    InvalidArgumentError
        One cannot be read.
    """
    import torch
    from PIL import Image, ImageOps

    stack: list[Image.Image] = []
    for name in names:
        try:
            with Image.open(name) as picture:
                image = ImageOps.exif_transpose(picture).convert("RGB")
        except OSError as error:
            raise InvalidArgumentError("reference", "a picture", f"{name} ({error.strerror or error})") from error
        stack.append(image if not stack else ImageOps.pad(image, stack[0].size, Image.Resampling.LANCZOS, _WHITE))
    return torch.from_numpy(np.stack([np.asarray(image) for image in stack]).astype(np.float32) / 255)
