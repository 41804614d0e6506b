"""Conditioning that lies over whole frames, cut to a segment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.canvas import Canvas, Placed
from segs_detailer.detailer.crops import cut_stack
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.conditioning_keys import CUT, LEFT_OUT, NEVER_PASSED, SPATIAL, WHOLE
from segs_detailer.ops.masks import resize_masks

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.models.interface import Conditioning

__all__ = ["ConditioningWarning", "crop_conditioning", "warn_about_conditioning"]

_AREA_UNIT = 8
"""Pixels in a unit of areas, whatever the model's latents are."""

_MASK_TILE = 8
"""VACE's masks hold squares of so many pixels as channels of a latent."""

_KEYFRAMES = "minimax_keyframes"
_BESIDE = "time_dim_concat"
_LEAST_SIDE = 4


class ConditioningWarning(UserWarning):
    """Something in the conditioning belongs to whole frames and is not cut to segments; the message names it."""


def crop_conditioning(conditioning: Conditioning, placed: Placed) -> Conditioning:
    """Cut what lies over whole frames to a segment.

    Parameters
    ----------
    conditioning : Conditioning
        Entries `[embedding, {...}]`. What lies over the frame is cut or left out, by its key (see
        `segs_detailer.models.conditioning_keys`); everything else is handed on. An entry's `"mask"`, `(h, w)` or
        `(N, h, w)`, is first resized to the frames where its size is another (bilinear). Entries of another form, and
        conditionings that are not lists (a host's placeholder), are handed through.
    placed : Placed
        Where the segment lies. In a region that moves, one mask or latent of all frames becomes one for each.

    Returns
    -------
    Conditioning
        A new list; entries that are changed are new as well, the given ones are not changed. Entries whose area lies
        elsewhere are left out, as long as there are others.

    Raises
    ------
    InvalidArgumentError
        A mask has another rank, or no pixels; masks or control pictures whose number does not fit a path; VACE's
        frames with reference pictures before them, or pictures beside the latents (Phantom) that have another size.
    """
    if not isinstance(conditioning, (list, tuple)):
        return conditioning
    controls: dict[int, Any] = {}
    inside = [entry for entry in conditioning if _is_here(entry, placed)] or conditioning
    return [_crop_entry(entry, placed, controls) for entry in inside]


def warn_about_conditioning(sides: Iterable[Conditioning], frame_size: tuple[int, int]) -> None:
    """Say once for a run what of the conditioning is left out, and what may lie over whole frames without being known.

    Parameters
    ----------
    sides : iterable of Conditioning
        All of the run.
    frame_size : (int, int)
        Height and width of the frames.

    Warns
    -----
    ConditioningWarning
        Names of options.
    """
    left_out: set[str] = set()
    unknown: set[str] = set()
    known = SPATIAL | NEVER_PASSED | WHOLE
    for details in (details for side in sides for details in _details(side)):
        left_out.update(key for key in details.keys() & LEFT_OUT if details[key] is not None)
        if any("latent" in keyframe for keyframe in details.get(_KEYFRAMES) or ()):
            left_out.add(_KEYFRAMES)
        unknown.update(str(key) for key in details.keys() - known if _lies_over(details[key], frame_size))
    parts = [
        f"{', '.join(sorted(names))} {what}"
        for names, what in (
            (left_out, "cannot be cut to segments and is left out"),
            (unknown, "is not known, looks like pictures of the whole frame, and is handed on as it is"),
        )
        if names
    ]
    if parts:
        warnings.warn(f"conditioning of whole frames: {'; '.join(parts)}", ConditioningWarning, stacklevel=2)


def _details(conditioning: Any) -> list[Mapping[str, Any]]:
    entries = conditioning if isinstance(conditioning, (list, tuple)) else ()
    return [
        entry[1]
        for entry in entries
        if isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], Mapping)
    ]


def _lies_over(value: Any, frame_size: tuple[int, int]) -> bool:
    """Whether tensors have the frames' aspect, to a pixel."""
    tensors = value if isinstance(value, (list, tuple)) else [value]
    height, width = frame_size
    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and tensor.ndim >= 4 and min(tensor.shape[-2:]) >= _LEAST_SIDE:
            h, w = tensor.shape[-2:]
            if abs(w * height - h * width) <= max(height, width):
                return True
    return False


def _crop_entry(entry: Any, placed: Placed, controls: dict[int, Any]) -> Any:
    if not _details([entry]):
        return entry
    embedding, details = entry
    changed = {key: value for key, value in details.items() if key not in LEFT_OUT | NEVER_PASSED}
    for key in CUT & changed.keys():
        if changed[key] is not None:
            changed[key] = _cut_values(key, changed[key], placed)
    if changed.get("mask") is not None:
        changed["mask"] = _crop_mask(changed["mask"], placed)
    if changed.get("area") is not None:
        _crop_area(changed, placed)
    if hasattr(changed.get("control"), "cond_hint_original"):
        changed["control"] = _crop_control(changed["control"], placed, controls)
    if changed.get(_BESIDE) is not None:
        _refuse_other_size(changed[_BESIDE], placed)
    if _KEYFRAMES in changed:
        changed[_KEYFRAMES] = _sounds_of(changed[_KEYFRAMES] or ())
    same = changed.keys() == details.keys() and all(changed[key] is details[key] for key in details)
    return entry if same else [embedding, changed]


# Masks


def _crop_mask(mask: Any, placed: Placed) -> Tensor:
    region, frame_size, order = placed.region, placed.frame_size, placed.order
    masks = torch.as_tensor(mask).detach().to(torch.float32)
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or masks.numel() == 0:
        expected = "a mask of shape (h, w) or (N, h, w)"
        raise InvalidArgumentError("conditioning['mask']", expected, str(tuple(masks.shape)))
    masks = masks.contiguous()
    if tuple(masks.shape[1:]) != frame_size:
        masks = resize_masks(masks, frame_size)
    if isinstance(region, CropPath) and len(masks) not in (1, region.frames):
        expected = f"1 or {region.frames} masks, for a crop region that moves"
        raise InvalidArgumentError("conditioning['mask']", expected, f"{len(masks)}")
    cut = cut_stack(masks[..., None], region)[..., 0]
    return _in_order(cut, order)


def _in_order(stack: Tensor, order: Sequence[int] | None) -> Tensor:
    """Lengthen what there is for every frame as the frames were lengthened."""
    if order is not None and len(stack) > 1 and len(stack) == max(order) + 1 < len(order):
        return stack[list(order)]
    return stack


# Areas


def _is_here(entry: Any, placed: Placed) -> bool:
    """Whether an entry's area, if it has one, touches the segment in any frame."""
    found = _details([entry])
    if not found or found[0].get("area") is None or placed.moves:
        return True
    x1, y1, x2, y2 = _area_box(found[0]["area"], placed.frame_size)
    left, top, right, bottom = placed.region
    return x1 < right and left < x2 and y1 < bottom and top < y2


def _crop_area(details: dict[str, Any], placed: Placed) -> None:
    """Bring an area from the frame to the segment: shares of this, or a mask where the segment moves."""
    area, frame_size = details.pop("area"), placed.frame_size
    x1, y1, x2, y2 = _area_box(area, frame_size)
    if placed.moves:
        mask = torch.zeros((1, *frame_size))
        mask[:, max(round(y1), 0) : round(y2), max(round(x1), 0) : round(x2)] = 1
        masks = _crop_mask(mask, placed)
        given = details.get("mask")
        details["mask"] = masks if given is None else given * masks
        return
    left, top, right, bottom = placed.region
    shares = [
        (min(max(low, start), end) - start) / (end - start)
        for low, start, end in ((x1, left, right), (y1, top, bottom), (x2, left, right), (y2, top, bottom))
    ]
    if shares[0] >= shares[2] or shares[1] >= shares[3]:
        # No entry has an area here: all of them count everywhere.
        return
    sides = (shares[3] - shares[1], shares[2] - shares[0])
    if len(area) == _VIDEO_AREA:
        details["area"] = ("percentage", area[1], *sides, area[4], shares[1], shares[0])
    else:
        details["area"] = ("percentage", *sides, shares[1], shares[0])


_VIDEO_AREA = 7
"""Items of an area that has a share of the time too."""


def _area_box(area: Sequence[Any], frame_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the pixels of an area, whose numbers are height, width, y and x."""
    height, width = frame_size
    if area[0] == "percentage":
        h, w, y, x = (*area[2:4], *area[5:7]) if len(area) == _VIDEO_AREA else area[1:5]
        return x * width, y * height, (x + w) * width, (y + h) * height
    h, w, y, x = (number * _AREA_UNIT for number in area[:4])
    return x, y, x + w, y + h


# Latents and masks over the frame


def _cut_values(key: str, value: Any, placed: Placed) -> Any:
    if isinstance(value, (list, tuple)):
        return [_cut_values(key, each, placed) for each in value]
    if not isinstance(value, torch.Tensor) or value.ndim < 3:
        return value
    if key.startswith("vace_"):
        _refuse_references(key, value, placed)
    if key == "vace_mask" and value.shape[1] == _MASK_TILE**2:
        return _tiled(_cut_tensor(_untiled(value), placed, _fixed_places, inside=True))
    places = _first_places if key == "reference_motion" else _fixed_places
    return _cut_tensor(value, placed, places, inside=True)


def _refuse_references(key: str, value: Tensor, placed: Placed) -> None:
    """Pictures of a subject stand before VACE's frames: whole pictures, in latents of the same size."""
    count = None if placed.order is None else placed.packing.latents(len(placed.order))
    if count is not None and value.shape[2] > count and not placed.is_whole_frame:
        expected = f"{count} latents, one for each of the segment's (reference pictures cannot be cut with the frames)"
        raise InvalidArgumentError(f"conditioning[{key!r}]", expected, str(value.shape[2]))


def _refuse_other_size(value: Any, placed: Placed) -> None:
    """Pictures of a subject that stand beside the clip's latents must have the size of these."""
    if isinstance(value, torch.Tensor) and tuple(value.shape[-2:]) != placed.latents:
        height, width = placed.pixels
        expected = f"latents of {placed.latents}, made for {width} x {height} pixels as the segment is worked on"
        raise InvalidArgumentError(f"conditioning[{_BESIDE!r}]", expected, str(tuple(value.shape[-2:])))


_Places = Callable[[Placed, int, bool], "np.ndarray[Any, Any]"]


def _fixed_places(placed: Placed, count: int, of_frames: bool) -> np.ndarray[Any, Any]:
    return placed.places(range(count) if of_frames else placed.frames_of_latents(count))


def _first_places(placed: Placed, count: int, of_frames: bool) -> np.ndarray[Any, Any]:
    """Latents of what was before the clip lie where this begins."""
    del of_frames
    return placed.places([0] * count)


def _cut_tensor(value: Tensor, placed: Placed, places: _Places, *, inside: bool) -> Tensor:
    """Cut `(N, C, h, w)`, `(1, C, T, h, w)` or `(N, h, w)` to the size of the segment's latents, or of its crops."""
    clip = value.movedim(2, 1).flatten(0, 1) if value.ndim == 5 else value[:, None] if value.ndim == 3 else value
    canvas = Canvas(clip, inside=inside)
    pixels = canvas.holds_pixels(placed.frame_size)
    if placed.is_whole_frame and clip.shape[-2:] == (placed.pixels if pixels else placed.latents):
        return value
    count = len(clip)
    if placed.moves and count == 1 and value.ndim < 5 and placed.order is not None:
        count = len(placed.order)
    times = count // len(value) if value.ndim == 5 else count
    table = places(placed, times, value.ndim < 5)
    table = np.tile(table, (len(value), 1)) if value.ndim == 5 else table
    cut = canvas.cut(table, placed.frame_size, placed.pixels if pixels else placed.latents)
    if value.ndim == 5:
        return cut.reshape(len(value), times, *cut.shape[1:]).movedim(1, 2)
    return cut[:, 0] if value.ndim == 3 else cut


def _untiled(mask: Tensor) -> Tensor:
    """`(1, 64, T, h, w)` to `(1, 1, T, 8 h, 8 w)`."""
    batch, _, count, height, width = mask.shape
    tiles = mask.reshape(batch, _MASK_TILE, _MASK_TILE, count, height, width).permute(0, 3, 4, 1, 5, 2)
    return tiles.reshape(batch, 1, count, height * _MASK_TILE, width * _MASK_TILE)


def _tiled(mask: Tensor) -> Tensor:
    batch, _, count, height, width = mask.shape
    sides = height // _MASK_TILE, width // _MASK_TILE
    tiles = mask.reshape(batch, count, sides[0], _MASK_TILE, sides[1], _MASK_TILE).permute(0, 3, 5, 1, 2, 4)
    return tiles.reshape(batch, _MASK_TILE**2, count, *sides)


def _sounds_of(keyframes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Keep of keyframes what has no place in the picture."""
    sounds = ({key: value for key, value in each.items() if key != "latent"} for each in keyframes)
    return [each for each in sounds if "audio_latent" in each]


# Pictures of ControlNets


def _crop_control(control: Any, placed: Placed, done: dict[int, Any]) -> Any:
    """Give a chain of ComfyUI's ControlNets the parts of their pictures that belong to the segment."""
    if control is None or placed.is_whole_frame or not hasattr(control, "cond_hint_original"):
        return control
    if id(control) not in done:
        cropped = control.copy()
        if isinstance(control.cond_hint_original, torch.Tensor):
            cropped.cond_hint_original = _crop_hint(control.cond_hint_original, placed)
        extra = getattr(control, "extra_concat_orig", None)
        if extra:
            cropped.extra_concat_orig = [_crop_hint(each, placed) for each in extra]
        cropped.set_previous_controlnet(_crop_control(control.previous_controlnet, placed, done))
        done[id(control)] = cropped
    return done[id(control)]


def _crop_hint(hint: Tensor, placed: Placed) -> Tensor:
    """Cut a picture at its own fineness: ComfyUI scales it as the network wants it."""
    if hint.ndim != 4 or min(hint.shape[-2:]) < _LEAST_SIDE:
        return hint
    canvas, region, count = Canvas(hint, inside=False), placed.region, len(hint)
    if isinstance(region, CropPath):
        if count not in (1, region.frames):
            expected = f"1 or {region.frames} pictures, for a crop region that moves"
            raise InvalidArgumentError("conditioning['control']", expected, f"{count}")
        count = region.frames
    scale = canvas.scale(placed.frame_size)
    x1, y1, x2, y2 = region
    size = max(round((y2 - y1) * scale), 1), max(round((x2 - x1) * scale), 1)
    table = Placed(region, placed.frame_size).places(range(count))
    return _in_order(canvas.cut(table, placed.frame_size, size), placed.order)
