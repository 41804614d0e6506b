"""The detailer for scripts: frames of any kind in, the same kind out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image

from segs_detailer._interop import convert
from segs_detailer.checks import number
from segs_detailer.detailer.crops import check_frames
from segs_detailer.detailer.hooks import HookCalls
from segs_detailer.detailer.models import Models
from segs_detailer.detailer.progress import Observer, observer_for
from segs_detailer.detailer.run import detail_and_paste
from segs_detailer.detailer.segment import Run
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.detailer.subject_settings import SubjectSettings, checked_subjects
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.models.sound import Sound
from segs_detailer.settings import with_changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.segs import SEGS

__all__ = ["DetailResult", "detail_frames"]


FramesT = TypeVar("FramesT", "NDArray[Any]", "Tensor", "Sequence[Image.Image]")
"""The result is of the kind of the frames."""


class _Fields(NamedTuple):
    frames: Any
    segs: SEGS
    cnet_images: list[Tensor]


class DetailResult(_Fields, Generic[FramesT]):
    """What `detail_frames` gives.

    Parameters
    ----------
    frames : Tensor, ndarray or list of PIL.Image.Image
        The detailed frames, of the kind, shape and dtype that came in.
    segs : SEGS
        The segments in the frames' size, each with its crops as `cropped_image`, float32 `(B, h, w, 3)`.
    cnet_images : list of Tensor
        Images of the segments' control wrappers.
    """

    # A named tuple itself cannot be generic before Python 3.11.
    __slots__ = ()
    frames: FramesT


def detail_frames(
    frames: FramesT,
    segs: Any,
    pipe: Any,
    settings: DetailerSettings | None = None,
    *,
    refiner_pipe: Any = None,
    hook: Any = None,
    subjects: Mapping[str | int, SubjectSettings | Mapping[str, Any] | str | tuple[str, str]] | None = None,
    frame_rate: float | None = None,
    sound: Sound | None = None,
    in_place: bool = False,
    progress: bool | Observer = False,
    **overrides: Any,
) -> DetailResult[FramesT]:
    """Repaint the segments of a clip, one after the other, each on the frames as the one before left them.

    Outside the pasted masks every pixel keeps its bits.

    Parameters
    ----------
    frames : Tensor, ndarray or list of PIL.Image.Image
        `(B, H, W, 3 or 4)`, float32 or float16 in [0, 1], or uint8; or B images of mode RGB or RGBA and one size. The
        colors of RGBA frames are repainted, their alpha is kept. Crops are worked on as float32; uint8 frames stay
        uint8 and are rounded once, where a crop is pasted.
    segs : SEGS
        `((H, W), [SEG, ...])`; rescaled where it was made for another frame size.
    pipe : BasicPipe, tuple or Sampler
        `(model, clip, vae, positive, negative)`, or a sampler itself.
    settings : DetailerSettings or None
        What is done with each segment; None for the defaults.
    refiner_pipe : BasicPipe, tuple, Sampler or None
        The model that does the last steps, see `refiner_ratio`.
    hook : object or None
        Any of the methods of `DetailerHook`.
    subjects : mapping or None
        What single segments have otherwise: a label, or a segment's number from 1, to `SubjectSettings`, to a mapping
        of their fields (`{"prompt": "an old man", "denoise": 0.3}`), to a prompt, or to `(prompt, negative prompt)`.
        What a number says counts before what a label says.
    frame_rate : float or None
        Frames per second, for models that know time (LTX-2).
    sound : Sound or None
        What is heard while the frames pass by, for models that hear (LTX-2 with its audio VAE): mouths follow it. Its
        rate is the `sound_rate` of the model's `info`.
    in_place : bool
        Paste into `frames`, a tensor or a writable array, instead of one copy.
    progress : bool or callable
        True for a bar on the terminal (needs tqdm); or a function that is called with each `Progress`. What it raises
        ends the run: the frames are then unchanged, unless `in_place`.
    **overrides : object
        Single settings by their names in `DetailerSettings`, in place of those of `settings`.

    Returns
    -------
    DetailResult
        `frames` is the input itself where nothing was pasted.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        An argument that cannot be used, by name. Arguments are checked before anything is changed.
    ModelError
        No backend takes the model, or it gave a result that does not fit.
    MissingDependencyError
        An optional package is not installed.

    Warns
    -----
    SegmentWarning
        A segment was left as it was: it lies outside the frames, or its result was not finite, or one flat
        color that the model did not paint.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import BasicPipe, boxes_to_segs, detail_frames
    >>> frames = np.zeros((4, 64, 64, 3), np.uint8)
    >>> segs = boxes_to_segs((64, 64), [(16, 16, 48, 48)])
    >>> detail_frames(frames, segs, BasicPipe.preview(), guide_size=64, denoise=0.4).frames.shape
    (4, 64, 64, 3)
    """
    settings = with_changes(DetailerSettings() if settings is None else settings, overrides)
    tensor, owned = _to_tensor(frames, in_place=in_place)
    check_frames("frames", tensor)
    models = Models.of(pipe, refiner_pipe, names=("pipe", "refiner_pipe"))
    with models.in_use(), observer_for(progress) as observer:
        run = Run(
            models,
            settings,
            HookCalls(hook),
            observer,
            checked_subjects({} if subjects is None else subjects),
            _checked_rate(frame_rate),
            _checked_sound(sound, models),
        )
        detailed, new_segs, cnet_images = detail_and_paste(tensor, segs, run, in_place=owned)
    return DetailResult(_like_input(detailed, frames), new_segs, cnet_images)


def _checked_rate(frame_rate: float | None) -> float | None:
    return None if frame_rate is None else number("frame_rate", frame_rate, above=0)


def _checked_sound(sound: Any, models: Models) -> Sound | None:
    if sound is None:
        return None
    if not isinstance(sound, Sound):
        raise InvalidTypeError("sound", "a Sound, or None", type(sound).__name__)
    info = models.base.sampler.info
    if info.sound_rate is None:
        raise InvalidArgumentError("sound", "None for a model that hears nothing", f"sound for {info.family}")
    return sound


def _to_tensor(frames: Any, *, in_place: bool) -> tuple[Tensor, bool]:
    """Frames as a tensor, and whether the run may write to it."""
    if isinstance(frames, torch.Tensor):
        return frames, in_place
    if isinstance(frames, np.ndarray):
        tensor = _array_to_tensor(frames)
        # What torch cannot read where it is was copied: that copy is this run's own.
        shared = tensor.data_ptr() == frames.ctypes.data
        if in_place and not shared:
            got = f"strides {frames.strides}" if frames.flags.writeable else "a read-only array"
            raise InvalidArgumentError("frames", "a writable array without negative strides, for in_place", got)
        return tensor, in_place or not shared
    if isinstance(frames, Sequence) and not isinstance(frames, (str, bytes)):
        if in_place:
            raise InvalidArgumentError("in_place", "False for a list of images", "True")
        # The stack is this run's own copy already.
        return _stack_images(frames), True
    expected = "a tensor, a NumPy array or a list of PIL images"
    raise InvalidTypeError("frames", expected, type(frames).__name__)


def _array_to_tensor(frames: np.ndarray[Any, Any]) -> Tensor:
    if frames.dtype not in (np.float32, np.float16, np.uint8):
        raise InvalidTypeError("frames", "float32, float16 or uint8", str(frames.dtype))
    tensor: Tensor = convert(frames, torch.empty(0))
    return tensor


def _stack_images(images: Sequence[Any]) -> Tensor:
    if not images:
        raise InvalidArgumentError("frames", "at least one image", "an empty list")
    first = images[0]
    for index, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise InvalidTypeError(f"frames[{index}]", "a PIL image", type(image).__name__)
        if image.mode not in ("RGB", "RGBA"):
            expected = "mode RGB or RGBA (see PIL.Image.Image.convert)"
            raise InvalidArgumentError(f"frames[{index}]", expected, image.mode)
        if (image.mode, image.size) != (first.mode, first.size):
            expected = f"mode {first.mode} and size {first.size}, as the first has"
            raise InvalidArgumentError(f"frames[{index}]", expected, f"{image.mode} and {image.size}")
    stack = np.empty((len(images), first.height, first.width, len(first.getbands())), np.uint8)
    for frame, image in zip(stack, images, strict=True):
        frame[:] = np.asarray(image)
    return torch.from_numpy(stack)


def _like_input(detailed: Tensor, frames: Any) -> Any:
    if isinstance(frames, torch.Tensor):
        return detailed
    if isinstance(frames, np.ndarray):
        return frames if detailed.data_ptr() == frames.ctypes.data else detailed.numpy()
    return [Image.fromarray(frame) for frame in detailed.numpy()]
