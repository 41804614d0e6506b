"""The size gate for SEGS: segments are painted in the frames in which their subject has a size that is worth it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from segs_detailer._interop import is_tensor
from segs_detailer.checks import number_ranges
from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.lazy_masks import is_lazy, lazy_without
from segs_detailer.mask_levels import unit_masks
from segs_detailer.segs import check_segs
from segs_detailer.settings import check_settings, plain, setting, setting_like
from segs_detailer.subjects.from_segs import tracks_from_segs
from segs_detailer.subjects.gating import gated, held
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segs_detailer.segs import SEG, SEGS

__all__ = ["GatedSegs", "SizeReport", "SizeWindow", "gate_segs"]

_LARGEST = 2**30
_NARROW = 0.25
"""Share of the window by which a hysteresis narrows it from either side, at most: what was out can always come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeWindow:
    """The sizes at which a subject is painted.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value is out of range, or of another type.

    Examples
    --------
    >>> from segs_detailer.subjects import SizeWindow
    >>> str(SizeWindow(measure="height %", min=2, max=40))
    'height from 2 to 40 %'
    """

    measure: Literal["height %", "width %", "area %", "height px", "width px", "area px"] = setting(
        "height %", help="what is measured of the box around the subject: in percent of the frame's, or in pixels"
    )
    min: float = setting(
        0.0, help="in frames in which it is smaller, the subject is left alone", minimum=0, maximum=_LARGEST, step=0.1
    )
    max: float | None = setting(
        None,
        help="in frames in which it is larger, the subject is left alone",
        minimum=0,
        maximum=_LARGEST,
        step=0.1,
        default_text="no limit",
    )
    hysteresis: float = setting(
        0.15,
        help="how far within a limit that it has passed, as a share of the limit, the subject must come back",
        minimum=0,
        maximum=0.9,
        step=0.01,
    )
    ramp: int = setting_like(CropSettings, "ramp", help="frames in which the paste comes and goes")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max is not None and self.max < self.min:
            raise InvalidArgumentError("max", f"at least `min`, {plain(self.min)}", plain(self.max))

    def __str__(self) -> str:
        low, high = plain(self.min), "" if self.max is None else plain(self.max)
        span = f"from {low} to {high}" if high else f"from {low}"
        return f"{self._of} {span} {self._unit}"

    @property
    def _of(self) -> str:
        return self.measure.partition(" ")[0]

    @property
    def _unit(self) -> str:
        unit = self.measure.partition(" ")[2]
        return "px²" if self.measure == "area px" else unit

    def sizes(self, boxes: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.float64]:
        """Measure boxes.

        Parameters
        ----------
        boxes : ndarray
            `(n, 4)`: `(x1, y1, x2, y2)` in pixels.
        frame_size : (int, int)
            Height and width of the frame.

        Returns
        -------
        ndarray
            `(n,)` in percent of the frame's, or in pixels.
        """
        sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
        height, width = frame_size
        sizes, whole = {
            "height": (sides[:, 1], height),
            "width": (sides[:, 0], width),
            "area": (sides[:, 0] * sides[:, 1], height * width),
        }[self._of]
        percent: NDArray[np.float64] = 100 * sizes / max(whole, 1)
        return percent if self._unit == "%" else sizes

    def wanted(self, sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell at which of successive sizes the subject is painted.

        It is while its size is within the limits, both included. Once it has passed one, it must come back within it by
        the hysteresis, but never further than a quarter of the window.

        Parameters
        ----------
        sizes : ndarray
            `(n,)`, as `sizes` gives them.

        Returns
        -------
        ndarray
            `(n,)` bool.
        """
        if len(sizes) == 0:
            return np.zeros(0, bool)
        most = math.inf if self.max is None else self.max
        narrow = _NARROW * (most - self.min)
        low = min(self.min * (1 + self.hysteresis), self.min + narrow)
        high = max(most * (1 - self.hysteresis), most - narrow) if self.max is not None else most
        within = (sizes >= self.min) & (sizes <= most)
        return held(within, (sizes >= low) & (sizes <= high), begins=bool(within[0]))

    def said(self, sizes: NDArray[np.float64]) -> str:
        """Write the range of sizes for a report: `height 3.1 to 9.8 %`."""
        low, high = (f"{size:.4g}" for size in (sizes.min(), sizes.max()))
        return f"{self._of} {low if low == high else f'{low} to {high}'} {self._unit}"


class SizeReport(NamedTuple):
    """What the gate did to one segment.

    Parameters
    ----------
    number : int
        Its number among the segments, from 1.
    label : str
        What it is.
    frames : ndarray or None
        Frames in which it is painted, from 0; None where it has one mask for all of them.
    frame_count : int
        Frames of its masks; 1 where it has one mask for all.
    sizes : ndarray
        Its sizes in the frames in which it is seen.
    is_painted : bool
        Whether it is painted in any frame.
    """

    number: int
    label: str
    frames: NDArray[np.int64] | None
    frame_count: int
    sizes: NDArray[np.float64]
    is_painted: bool


class GatedSegs(NamedTuple):
    """What a size gate lets through.

    Parameters
    ----------
    segs : SEGS
        The segments that are painted in some frame.
    remained : SEGS
        The others, as they came.
    window : SizeWindow
        The gate.
    reports : tuple of SizeReport
        One for each segment that came.
    """

    segs: SEGS
    remained: SEGS
    window: SizeWindow
    reports: tuple[SizeReport, ...]

    @property
    def text(self) -> str:
        """What the gate did, in a line for each segment."""
        painted = sum(report.is_painted for report in self.reports)
        total = len(self.reports)
        lines = [f"{self.window}: {painted} of {total} segment{'' if total == 1 else 's'} painted"]
        return "\n".join([*lines, *(self._line(report) for report in self.reports)])

    def _line(self, report: SizeReport) -> str:
        size = self.window.said(report.sizes) if len(report.sizes) else "no mask shows anything"
        return f"{report.number} {report.label}: {_frames_text(report)}; {size}"


def _frames_text(report: SizeReport) -> str:
    if not report.is_painted:
        return "left alone"
    if report.frames is None:
        return "painted in all frames"
    return f"painted in {len(report.frames)} of {report.frame_count} frames ({number_ranges(report.frames.tolist())})"


def gate_segs(segs: SEGS, window: SizeWindow | None = None) -> GatedSegs:
    """Let segments through in the frames in which their subject has a size that is worth the work.

    The size is that of the box around a segment's mask in each frame, as far as that is in the frame; of a segment with
    one mask for all frames it is that of `bbox`, and counts for all of them.

    Parameters
    ----------
    segs : SEGS
        The segments; not changed.
    window : SizeWindow or None
        The sizes that are painted.

    Returns
    -------
    GatedSegs
        In frames in which a segment is not painted its masks are 0. With a ramp its crop region is a `CropPath` whose
        alpha rises and falls over the frames beside them, also where the region stands still. Segments that are painted
        wherever they are seen are the same objects as before.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        SEGS that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from segs_detailer import SEG
    >>> from segs_detailer.subjects import SizeWindow, gate_segs
    >>> masks = np.zeros((4, 50, 50), np.uint8)
    >>> for frame, side in enumerate((10, 20, 30, 40)):
    ...     masks[frame, :side, :side] = 255
    >>> segs = (100, 100), [SEG(None, masks, 1.0, (0, 0, 50, 50), (0, 0, 40, 40), "face")]
    >>> gate = gate_segs(segs, SizeWindow(measure="height %", max=25, ramp=0))
    >>> gate.segs[1][0].cropped_mask.any(axis=(1, 2)).tolist()
    [True, True, False, False]
    >>> print(gate.text)
    height from 0 to 25 %: 1 of 1 segment painted
    1 face: painted in 2 of 4 frames (0 to 1); height 10 to 40 %
    """
    window = window or SizeWindow()
    size, items = check_segs(segs)
    passed: list[SEG] = []
    remained: list[SEG] = []
    reports = []
    for number, seg in enumerate(items, start=1):
        gate = _gated(seg, size, window)
        (remained if gate.seg is None else passed).append(gate.seg or seg)
        reports.append(
            SizeReport(number, str(seg.label), gate.frames, gate.frame_count, gate.sizes, gate.seg is not None)
        )
    return GatedSegs((size, passed), (size, remained), window, tuple(reports))


class _Gate(NamedTuple):
    """What is left of one segment; None where nothing is."""

    seg: SEG | None
    frames: NDArray[np.int64] | None
    frame_count: int
    sizes: NDArray[np.float64]


def _gated(seg: SEG, size: tuple[int, int], window: SizeWindow) -> _Gate:
    masks = seg.cropped_mask
    if masks is None or masks.ndim == 2 or len(masks) == 1:
        sizes = window.sizes(np.array([seg.bbox], np.float64), size)
        return _Gate(seg if window.wanted(sizes)[0] else None, None, 1, sizes)
    region, count = seg.crop_region, len(masks)
    track = tracks_from_segs((size, [seg._replace(label=str(seg.label))]), frame_count=count).tracks[0]
    path = region if isinstance(region, CropPath) else CropPath(np.tile(region, (count, 1)))
    # Where a path pastes nothing, there is nothing to decide.
    seen = track.frames[path.alpha[track.frames] > 0]
    sizes = window.sizes(track.boxes[np.isin(track.frames, seen)], size)
    wanted = np.ones(count, bool)
    wanted[seen] = window.wanted(sizes)
    painted = seen[wanted[seen]]
    if len(painted) == 0:
        return _Gate(None, painted, count, sizes)
    if wanted.all():
        return _Gate(seg, painted, count, sizes)
    return _Gate(_changed(seg, gated(path, wanted, window.ramp), ~wanted), painted, count, sizes)


def _changed(seg: SEG, path: CropPath, off: NDArray[np.bool_]) -> SEG:
    """Return a segment with a gated path, and masks that are 0 where nothing is painted."""
    seg = seg._replace(cropped_mask=_emptied(seg.cropped_mask, off))
    before = seg.crop_region
    if not isinstance(before, CropPath) and bool(((path.alpha == 0) | (path.alpha == 1)).all()):
        # The masks say it all, and nodes of other packs know plain regions.
        return seg
    # The box belongs to the frame whose region the path is as a tuple.
    across, down = path[0] - before[0], path[1] - before[1]
    x1, y1, x2, y2 = seg.bbox
    return seg._replace(crop_region=path, bbox=(x1 + across, y1 + down, x2 + across, y2 + down))


def _emptied(masks: Any, off: NDArray[np.bool_]) -> Any:
    """Return masks that are 0 in some frames, and mean in the others what they meant before."""
    if is_lazy(masks):
        return lazy_without(masks, off)
    places: Any = np.flatnonzero(off)
    if is_tensor(masks):
        import torch

        places = torch.from_numpy(places).to(masks.device)
    emptied = masks.clone() if is_tensor(masks) else masks.copy()
    emptied[places] = 0
    if "int" in str(masks.dtype) and bool(masks.max() > 1) and not bool(emptied.max() > 1):
        # Integers of which none is above 1 would be off and on.
        emptied = unit_masks(masks)
        emptied[places] = 0
    return emptied
