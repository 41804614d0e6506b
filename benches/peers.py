"""The same work as users write it with torch, torchvision, Pillow, OpenCV and NumPy. Written for these benches.

Frames are torch tensors (B, H, W, C) float32 in [0, 1], masks NumPy or torch (h, w), regions (x1, y1, x2, y2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
import torchvision.transforms.v2.functional as vision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

Region: TypeAlias = tuple[int, int, int, int]
Segment: TypeAlias = tuple[Tensor, Tensor, Region]
"""Crops (B, h, w, C), mask (h, w) and where they belong."""

SIGMA = 10.0


# Whole frames


def copy_to_fresh(frames: Tensor) -> NDArray[np.float32]:
    """The bound of every way that makes a new output: a copy into fresh memory."""
    out = np.empty(tuple(frames.shape), np.float32)
    np.copyto(out, frames.numpy())
    return out


# Crops


def crop_contiguous(frames: Tensor, region: Region) -> Tensor:
    x1, y1, x2, y2 = region
    return frames[:, y1:y2, x1:x2].contiguous()


def crop_into(frames: Tensor, region: Region, out: Tensor) -> Tensor:
    x1, y1, x2, y2 = region
    return out.copy_(frames[:, y1:y2, x1:x2])


def crop_numpy_into(frames: Tensor, region: Region, out: Tensor) -> Tensor:
    x1, y1, x2, y2 = region
    np.copyto(out.numpy(), frames.numpy()[:, y1:y2, x1:x2])
    return out


def crop_and_concat(frames: Tensor, region: Region) -> Tensor:
    """Frame by frame, as most packs gather a stack of crops."""
    x1, y1, x2, y2 = region
    stack = None
    for frame in frames:
        crop = frame.unsqueeze(0)[:, y1:y2, x1:x2, :]
        stack = crop if stack is None else torch.concat((stack, crop), dim=0)
    assert stack is not None
    return stack.contiguous()


def crop_moving(frames: Tensor, regions: Sequence[Region]) -> Tensor:
    return torch.stack([frame[y1:y2, x1:x2] for frame, (x1, y1, x2, y2) in zip(frames, regions, strict=True)])


def crop_between_pixels_opencv(interpolation: int) -> Callable[[Tensor, NDArray[np.float64], Tensor], Tensor]:
    """`cv2.warpAffine` of each frame, shifted by the place of its region."""

    def crop(frames: Tensor, regions: NDArray[np.float64], out: Tensor) -> Tensor:
        size = (out.shape[2], out.shape[1])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        for frame, region, target in zip(frames.numpy(), regions, out.numpy(), strict=True):
            shift = np.array([[1, 0, region[0]], [0, 1, region[1]]])
            cv2.warpAffine(frame, shift, size, dst=target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return out

    return crop


def turned_onto(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix `(2, 3)` from pixels of a crop at `(x1, y1, x2, y2, degrees)` to those of its frame."""
    x1, y1, x2, y2, degrees = place
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle, own = np.array([x1 + x2, y1 + y2]) / 2 - 0.5, np.array([x2 - x1, y2 - y1]) / 2 - 0.5
    return np.concatenate([turn, (middle - turn @ own)[:, None]], axis=1)


def crop_turned_opencv(interpolation: int) -> Callable[[Tensor, NDArray[np.float64], Tensor], Tensor]:
    """`cv2.warpAffine` of each frame by its turned place."""

    def crop(frames: Tensor, places: NDArray[np.float64], out: Tensor) -> Tensor:
        size = (out.shape[2], out.shape[1])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        for frame, place, target in zip(frames.numpy(), places, out.numpy(), strict=True):
            cv2.warpAffine(frame, turned_onto(place), size, dst=target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return out

    return crop


# Resizing frames


def to_pillow(frame: Tensor) -> Image.Image:
    return Image.fromarray(np.clip(frame.numpy() * 255.0, 0, 255).astype(np.uint8))


def from_pillow(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image).astype(np.float32) / 255.0).unsqueeze(0)


def resize_pillow_concat(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frame by frame through uint8, as most packs resize."""
    stack = None
    for frame in frames:
        resized = from_pillow(to_pillow(frame).resize(size[::-1], Image.Resampling.LANCZOS))
        stack = resized if stack is None else torch.concat((stack, resized), dim=0)
    assert stack is not None
    return stack


def resize_pillow_preallocated(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frame by frame through uint8, with one output and no needless pass."""
    out = np.empty((len(frames), *size, frames.shape[3]), np.float32)
    for frame, target in zip(frames, out, strict=True):
        resized = to_pillow(frame).resize(size[::-1], Image.Resampling.LANCZOS)
        np.multiply(np.asarray(resized), np.float32(1 / 255), out=target)
    return torch.from_numpy(out)


def resize_pillow_uint8(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 frames, frame by frame into one output."""
    out = np.empty((len(frames), *size, frames.shape[3]), np.uint8)
    for frame, target in zip(frames.numpy(), out, strict=True):
        target[...] = Image.fromarray(frame).resize(size[::-1], Image.Resampling.LANCZOS)
    return torch.from_numpy(out)


def offers_lanczos() -> bool:
    """Whether the installed torch has a Lanczos filter."""
    try:
        F.interpolate(torch.zeros(1, 1, 4, 4), size=(8, 8), mode="lanczos", antialias=True)
    except (NotImplementedError, ValueError):
        return False
    return True


def resize_torch_lanczos(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """torch's own Lanczos; from torch 2.15."""
    planes = F.interpolate(frames.permute(0, 3, 1, 2), size=size, mode="lanczos", antialias=True)
    if planes.is_floating_point():
        planes.clamp_(0, 1)
    return planes.permute(0, 2, 3, 1).contiguous()


def resize_torchvision_lanczos(frames: Tensor, size: tuple[int, int]) -> Tensor:
    planes = vision.resize(
        frames.permute(0, 3, 1, 2), list(size), interpolation=InterpolationMode.LANCZOS, antialias=True
    )
    return planes.clamp_(0, 1).permute(0, 2, 3, 1).contiguous()


def resize_opencv(interpolation: int) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    """One of OpenCV's filters, frame by frame into one output."""

    def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
        source = frames.numpy()
        out = np.empty((len(frames), *size, frames.shape[3]), source.dtype)
        for frame, target in zip(source, out, strict=True):
            cv2.resize(frame, size[::-1], dst=target, interpolation=interpolation)
        return torch.from_numpy(out)

    return resize


# Masks


def resize_masks_torch(masks: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    planes = F.interpolate(torch.from_numpy(masks)[:, None], size=size, mode="bilinear", align_corners=False)
    return np.asarray(planes[:, 0].numpy())


def resize_masks_opencv(masks: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    out = np.empty((len(masks), *size), np.float32)
    for mask, target in zip(masks, out, strict=True):
        cv2.resize(mask, size[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def feather_torchvision(mask: Any, feather: int) -> Tensor:
    """A two-dimensional convolution, as most packs feather."""
    planes = torch.as_tensor(mask)[None, None]
    return vision.gaussian_blur(planes, [2 * feather + 1] * 2, [SIGMA] * 2)[0, 0]


def feather_torch_separable(mask: Any, feather: int) -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-feather, feather + 1, dtype=torch.float32) / SIGMA) ** 2)
    taps /= taps.sum()
    planes = F.pad(torch.as_tensor(mask)[None, None], (feather,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(planes, taps[None, None, None, :]), taps[None, None, :, None])[0, 0]


def feather_opencv(mask: NDArray[np.float32], feather: int) -> NDArray[np.float32]:
    taps = cv2.getGaussianKernel(2 * feather + 1, SIGMA, cv2.CV_32F)
    return cv2.sepFilter2D(mask, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def feather_opencv_gaussian(mask: NDArray[np.float32], feather: int) -> NDArray[np.float32]:
    return cv2.GaussianBlur(mask, (2 * feather + 1,) * 2, SIGMA, sigmaY=SIGMA, borderType=cv2.BORDER_REFLECT_101)


def morphology_opencv(
    operation: Callable[..., Any],
) -> Callable[[NDArray[np.float32], int], NDArray[np.float32]]:
    """`cv2.dilate` or `cv2.erode` of each mask of a stack."""

    def apply(masks: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        kernel = np.ones((size, size), np.uint8)
        out = np.empty_like(masks)
        for mask, target in zip(masks, out, strict=True):
            operation(mask, kernel, dst=target)
        return out

    return apply


def dilate_torch(masks: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Odd sizes: the largest value in a window, by pooling along rows and then along columns."""
    planes = torch.from_numpy(masks)[:, None]
    planes = F.max_pool2d(planes, (1, size), stride=1, padding=(0, size // 2))
    return np.asarray(F.max_pool2d(planes, (size, 1), stride=1, padding=(size // 2, 0))[:, 0].numpy())


def erode_torch(masks: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return -dilate_torch(-masks, size)


def threshold_torch(masks: NDArray[np.float32], level: float) -> NDArray[np.uint8]:
    return np.asarray((torch.from_numpy(masks) > level).view(torch.uint8).numpy())


def threshold_opencv(masks: NDArray[np.float32], level: float) -> NDArray[np.uint8]:
    """OpenCV thresholds in the mask's own type; the conversion is part of the work."""
    out = np.empty(masks.shape, np.uint8)
    for mask, target in zip(masks, out, strict=True):
        target[...] = cv2.threshold(mask, level, 1, cv2.THRESH_BINARY)[1]
    return out


def components_opencv(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Labels (h, w), boxes (n, 4) as (x1, y1, x2, y2) and areas (n,)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    boxes = stats[1:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    return labels, boxes, stats[1:, cv2.CC_STAT_AREA]


def objects_opencv(masks: NDArray[np.uint8]) -> list[list[tuple[int, int, NDArray[np.bool_]]]]:
    """Of each mask, column and row of each object, and its pixels: cut out of the labels by the boxes."""
    found = []
    for mask in masks:
        labels, boxes, _ = components_opencv(mask)
        found.append(
            [
                (x1, y1, labels[y1:y2, x1:x2] == number)
                for number, (x1, y1, x2, y2) in enumerate(boxes.tolist(), start=1)
            ]
        )
    return found


def objects_scipy(masks: NDArray[np.uint8]) -> list[list[tuple[int, int, NDArray[np.bool_]]]]:
    """The same."""
    from scipy import ndimage

    found = []
    for mask in masks:
        labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        places = ndimage.find_objects(labels)
        found.append(
            [(place[1].start, place[0].start, labels[place] == number) for number, place in enumerate(places, start=1)]
        )
    return found


def fill_holes_opencv(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a flood from outside does not reach."""
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(padded, None, (0, 0), 2)
    return (padded[1:-1, 1:-1] != 2).view(np.uint8)


# Pasting the region of all frames


def paste_lerp_(frames: Tensor, crops: Tensor, mask: Tensor, region: Region) -> Tensor:
    x1, y1, x2, y2 = region
    frames[:, y1:y2, x1:x2].lerp_(crops, mask[..., None])
    return frames


def paste_blend_(frames: Tensor, crops: Tensor, mask: Tensor, region: Region) -> Tensor:
    """The formula as it is written down."""
    x1, y1, x2, y2 = region
    weight = mask[..., None]
    frames[:, y1:y2, x1:x2] = (1 - weight) * frames[:, y1:y2, x1:x2] + weight * crops
    return frames


def paste_each_frame_(frames: Tensor, crops: Tensor, mask: Tensor, region: Region) -> Tensor:
    x1, y1, x2, y2 = region
    weight = mask[..., None] if mask.ndim == 2 else mask[..., None].unbind(0)
    for index, (frame, crop) in enumerate(zip(frames, crops, strict=True)):
        m = weight[index] if isinstance(weight, tuple) else weight
        frame[y1:y2, x1:x2] = (1 - m) * frame[y1:y2, x1:x2] + m * crop
    return frames


def paste_uint8_(frames: Tensor, crops: Tensor, mask: Tensor, region: Region) -> Tensor:
    """uint8 frames have no `lerp_`: blend in float32 and round."""
    x1, y1, x2, y2 = region
    place = frames[:, y1:y2, x1:x2]
    place.copy_(torch.lerp(place.float(), crops.float(), mask[..., None]).round_())
    return frames


def paste_between_pixels_opencv_(interpolation: int) -> Callable[[Tensor, Tensor, Tensor, NDArray[np.float64]], Tensor]:
    """Crop and mask brought onto the pixels by `cv2.warpAffine`, then `lerp_`, frame by frame."""

    def paste(frames: Tensor, crops: Tensor, mask: Tensor, regions: NDArray[np.float64]) -> Tensor:
        size = (crops.shape[2] + 1, crops.shape[1] + 1)
        for frame, crop, region in zip(frames, crops.numpy(), regions, strict=True):
            x, y = np.floor(region[:2])
            back = np.array([[1, 0, region[0] - x], [0, 1, region[1] - y]])
            moved = cv2.warpAffine(crop, back, size, flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
            weight = cv2.warpAffine(mask.numpy(), back, size, flags=cv2.INTER_LINEAR)
            place = frame[int(y) : int(y) + size[1], int(x) : int(x) + size[0]]
            place.lerp_(torch.from_numpy(moved), torch.from_numpy(weight)[..., None])
        return frames

    return paste


def paste_turned_opencv_(interpolation: int) -> Callable[[Tensor, Tensor, Tensor, NDArray[np.float64]], Tensor]:
    """Crop and mask turned back by `cv2.warpAffine` onto the box around them, then `lerp_`, frame by frame."""

    def paste(frames: Tensor, crops: Tensor, mask: Tensor, places: NDArray[np.float64]) -> Tensor:
        for frame, crop, place in zip(frames, crops.numpy(), places, strict=True):
            onto = turned_onto(place)
            size = np.array(mask.shape[::-1], np.float64)
            reach = np.abs(onto[:, :2]) @ size / 2 + 1
            middle = onto @ [*(size / 2 - 0.5), 1]
            x1, y1, x2, y2 = np.floor([*(middle - reach), *(middle + reach + 1)]).astype(int)
            onto[:, 2] -= (x1, y1)
            box = (int(x2 - x1), int(y2 - y1))
            moved = cv2.warpAffine(crop, onto, box, flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
            weight = cv2.warpAffine(mask.numpy(), onto, box, flags=cv2.INTER_LINEAR)
            frame[y1:y2, x1:x2].lerp_(torch.from_numpy(moved), torch.from_numpy(weight)[..., None])
        return frames

    return paste


# Whole nodes


def paste_clone_and_concat(frames: Tensor, segments: Iterable[Segment], feather: int) -> Tensor:
    """Each frame cloned, its mask feathered again, and the output grown by one frame at a time."""
    segments = list(segments)
    result = None
    for index, frame in enumerate(frames):
        pasted = frame.unsqueeze(0).clone()
        for crops, mask, (x1, y1, x2, y2) in segments:
            weight = feather_torchvision(mask, feather)[None, ..., None]
            place = pasted[:, y1:y2, x1:x2, :]
            pasted[:, y1:y2, x1:x2, :] = (1 - weight) * place + weight * crops[index : index + 1]
        result = pasted if result is None else torch.concat((result, pasted), dim=0)
    assert result is not None
    return result


def paste_clone_and_blend(frames: Tensor, segments: Iterable[Segment], feather: int) -> Tensor:
    """One clone, then the region of all frames at once."""
    out = frames.clone()
    for crops, mask, region in segments:
        paste_blend_(out, crops, feather_torchvision(mask, feather), region)
    return out


def paste_into_numpy_output(frames: Tensor, segments: Iterable[Segment], feather: int) -> Tensor:
    """The most tuned way: output memory from NumPy, which asks for huge pages, and one in-place pass."""
    out = torch.from_numpy(np.empty(tuple(frames.shape), np.float32))
    out.copy_(frames)
    for crops, mask, region in segments:
        paste_lerp_(out, crops, feather_torchvision(mask, feather), region)
    return out


def detail_frame_by_frame(
    frames: Tensor,
    regions: Sequence[Region],
    masks: Sequence[Tensor],
    working_sizes: Sequence[tuple[int, int]],
    repaint: Callable[[Tensor], Tensor],
    feather: int,
) -> Tensor:
    """Crop, scale up, repaint, scale back and paste each segment, with the steps that most packs take."""
    for region, mask, working_size in zip(regions, masks, working_sizes, strict=True):
        crops = crop_and_concat(frames, region)
        large = resize_pillow_concat(crops, working_size)
        # The noise mask of the sampler.
        F.interpolate(mask[None, None], size=working_size, mode="bilinear", align_corners=False)
        small = resize_pillow_concat(repaint(large), (crops.shape[1], crops.shape[2]))
        frames = paste_clone_and_concat(frames, [(small, mask, region)], feather)
    return frames


def detail_tuned(
    frames: Tensor,
    regions: Sequence[Region],
    masks: Sequence[Tensor],
    working_sizes: Sequence[tuple[int, int]],
    repaint: Callable[[Tensor], Tensor],
    feather: int,
) -> Tensor:
    """The same steps with the best of torch: batched, torch's own Lanczos, one copy of the frames."""
    out = torch.from_numpy(np.empty(tuple(frames.shape), np.float32))
    out.copy_(frames)
    for region, mask, working_size in zip(regions, masks, working_sizes, strict=True):
        crops = crop_contiguous(out, region)
        large = resize_torch_lanczos(crops, working_size)
        F.interpolate(mask[None, None], size=working_size, mode="bilinear", align_corners=False)
        small = resize_torch_lanczos(repaint(large), (crops.shape[1], crops.shape[2]))
        paste_lerp_(out, small, feather_torchvision(mask, feather), region)
    return out
