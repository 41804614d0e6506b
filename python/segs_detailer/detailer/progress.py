"""Progress of a run: what is reported, to whom, and a bar on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from segs_detailer.errors import InvalidTypeError, MissingDependencyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Observer", "Progress", "SegmentProgress", "Stage", "observer_for"]

Stage: TypeAlias = Literal["crop", "encode", "sample", "decode", "paste"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Parameters
    ----------
    segment : int
        Index of the segment, from 0.
    segments : int
        Segments in the run.
    label : str
        The segment's label.
    stage : str
        `"crop"`, `"encode"`, `"sample"`, `"decode"` or `"paste"`.
    step, steps : int
        Steps of the stage that are done, and in all. A stage begins with step 0 of 1; sampling reports every step, the
        pasting of long clips the frames that are done now and then, the other stages only their beginning.
    x0 : Tensor or None
        While sampling: what the model now predicts as the result, as latents of its own.
    shown_by : callable or None
        Makes `preview` of `x0`.
    """

    segment: int
    segments: int
    label: str
    stage: Stage
    step: int
    steps: int
    x0: Tensor | None = None
    shown_by: Callable[[Tensor], NDArray[np.uint8] | None] | None = field(default=None, repr=False, compare=False)

    def preview(self) -> NDArray[np.uint8] | None:
        """Show what the model now predicts as the result, in small pictures.

        They are one pixel for each latent, and their colors come from a linear map that is fitted to the segment's own
        crops on the first call. Nothing is computed unless this is called. Where a `Progress` is kept and was never
        asked, it keeps the segment's crops in memory.

        Returns
        -------
        ndarray or None
            `(B, h, w, 3)` uint8, one picture for each frame; None outside sampling, and where the sampler's latents
            have a layout that only it can read.
        """
        return None if self.x0 is None or self.shown_by is None else self.shown_by(self.x0)


Observer: TypeAlias = Callable[[Progress], None]
"""Called with each `Progress`. What it raises ends the run."""


class SegmentProgress:
    """Reports of one segment.

    Parameters
    ----------
    observer : Observer or None
        Who is told.
    segment, segments : int
        The segment's index and the number of segments.
    label : str
        The segment's label.
    """

    def __init__(self, observer: Observer | None, segment: int, segments: int, label: str) -> None:
        self._observer = observer
        self._segment = segment
        self._segments = segments
        self._label = label
        self._shown_by: Callable[[Tensor], NDArray[np.uint8] | None] | None = None

    @property
    def name(self) -> str:
        """How messages name the segment."""
        return f"segment {self._segment + 1} of {self._segments}" + (f" ({self._label!r})" if self._label else "")

    def at(self, stage: Stage, step: int = 0, steps: int = 1, x0: Tensor | None = None) -> None:
        """Report a stage, or a step of it.

        Parameters
        ----------
        stage : str
            The stage.
        step, steps : int
            Steps done and in all.
        x0 : Tensor or None
            The result as now predicted.
        """
        if stage != "sample":
            # What makes previews holds the segment's crops: it goes with the sampling.
            self._shown_by = None
        if self._observer is not None:
            shown_by = None if x0 is None else self._shown_by
            self._observer(Progress(self._segment, self._segments, self._label, stage, step, steps, x0, shown_by))

    def begin_sampling(self, steps: int, shown_by: Callable[[Tensor], NDArray[np.uint8] | None]) -> None:
        """Report that sampling begins.

        Parameters
        ----------
        steps : int
            Steps in all.
        shown_by : callable
            Makes the previews of predicted results.
        """
        self._shown_by = None if self._observer is None else shown_by
        self.at("sample", 0, steps)

    def after_step(self, step: int, total: int, x0: Tensor, x: Tensor, sigma: float) -> None:  # noqa: ARG002
        """Report a sampling step: the `callback` of a `SampleJob`.

        Parameters
        ----------
        step, total : int
            Index of the step from 0, and the number of steps.
        x0, x : Tensor
            Predicted result and current latents.
        sigma : float
            Noise level.
        """
        self.at("sample", step + 1, total, x0)


@contextmanager
def observer_for(progress: bool | Observer) -> Iterator[Observer | None]:
    """Give the observer that a `progress` argument asks for.

    Parameters
    ----------
    progress : bool or callable
        True for a bar on the terminal, False for none, or an observer of one's own.

    Yields
    ------
    Observer or None
        Whom to tell.

    Raises
    ------
    MissingDependencyError
        A bar is wanted and tqdm is not installed.
    InvalidTypeError
        `progress` is neither.
    """
    if progress is True:
        with _bar() as observer:
            yield observer
    elif progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        raise InvalidTypeError("progress", "a bool or a callable", type(progress).__name__)


@contextmanager
def _bar() -> Iterator[Observer]:
    try:
        from tqdm import tqdm
    except ImportError:
        raise MissingDependencyError("tqdm", "video") from None

    with tqdm(unit="step") as bar:
        done: dict[int, int] = {}

        def show(progress: Progress) -> None:
            # The number of steps is known with the first sampling stage only: a hook may change it per segment.
            if progress.stage == "sample":
                bar.total = progress.segments * progress.steps
                # Segments that are sampled together take their steps in turn.
                done[progress.segment] = progress.step
                bar.n = sum(done.values())
            bar.set_description(
                f"{progress.label or 'segment'} {progress.segment + 1}/{progress.segments}", refresh=False
            )
            bar.set_postfix_str(progress.stage, refresh=False)
            bar.refresh()

        yield show
