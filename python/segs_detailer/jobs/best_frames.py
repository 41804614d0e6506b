"""Pictures of subjects out of the clip itself, for models that keep to some: each is shown where it is seen best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.moments import sharpness, spread_moments
from segs_detailer.video.reading import frames_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.jobs.job import ClipJob
    from segs_detailer.jobs.plan import TrackPlan
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.video.clip import Source

__all__ = ["BestFrames"]

_CANDIDATES = 8
"""Moments of a track, by size, score, place and face the best, of which the sharpest is shown."""

_AROUND = 0.1
"""What is shown on each side of the subject's box, in sizes of it."""


@dataclass(frozen=True, slots=True)
class BestFrames:
    """The picture of each track, the same for all its pieces.

    Parameters
    ----------
    source : Source
        The clip, which is read once more, up to the last frame that is wanted.
    """

    source: Source
    _pictures: dict[int, Tensor] = field(init=False, repr=False, compare=False, default_factory=dict)

    @classmethod
    def of(cls, job: ClipJob, source: Source, model: ModelInfo) -> BestFrames | None:
        """Find what shows the subjects; None where the model does not look, or has pictures already.

        Raises
        ------
        InvalidArgumentError
            There is nothing that `no_reference` could spare.
        """
        if job.prompts.no_reference and not model.references:
            raise InvalidArgumentError("no_reference", "a model that keeps to pictures, such as VACE", model.family)
        if not model.references or job.prompts.no_reference or job.prompts.reference:
            return None
        return cls(source)

    def picture(self, plan: TrackPlan, plans: Sequence[TrackPlan]) -> Tensor:
        """Return the picture of a track: its box in its best frame, with a little around it.

        Parameters
        ----------
        plan : TrackPlan
            The track.
        plans : sequence of TrackPlan
            All that may be asked for; the clip is read for all of them at once.

        Returns
        -------
        Tensor
            `(h, w, 3)` float32 in [0, 1].
        """
        if plan.index not in self._pictures:
            self._read(plans)
        return self._pictures[plan.index]

    def _read(self, plans: Sequence[TrackPlan]) -> None:
        import torch

        wanted: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
        for plan in plans:
            track = plan.track
            for place in (place for part in spread_moments(track, plan.frame_size, 1, _CANDIDATES) for place in part):
                wanted.setdefault(int(track.frames[place]), []).append((plan.index, track.boxes[place]))
        best: dict[int, float] = {}
        for frame, pixels in frames_at(self.source, wanted):
            for index, box in wanted[frame]:
                crop = _cut(pixels, box)
                sharp = sharpness(crop)
                if sharp > best.get(index, -1.0):
                    best[index] = sharp
                    self._pictures[index] = torch.from_numpy(crop)


def _cut(frame: NDArray[np.float32], box: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cut what is around a box, as far as the frame goes; at least a pixel."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    across, down = _AROUND * (x2 - x1), _AROUND * (y2 - y1)
    left, top = min(max(int(x1 - across), 0), width - 1), min(max(int(y1 - down), 0), height - 1)
    right, bottom = max(min(round(x2 + across), width), left + 1), max(min(round(y2 + down), height), top + 1)
    return frame[top:bottom, left:right].copy()
