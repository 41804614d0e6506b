"""What became of a clip: tracks, times, warnings, and what its output does not hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from segs_detailer.detailer.subject_settings import SubjectSettings

if TYPE_CHECKING:
    from segs_detailer.jobs.plan import TrackPlan
    from segs_detailer.jobs.used_settings import UsedSetting
    from segs_detailer.segs import Box
    from segs_detailer.video.clip import ClipInfo

__all__ = ["ClipReport", "TrackReport"]


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One track that was detailed.

    Parameters
    ----------
    number : int
        Its number, from 1.
    label : str
        What it is.
    first, last : int
        Frames in which it was pasted, from 0.
    box : (int, int, int, int)
        `(x1, y1, x2, y2)`: its box for the guide size.
    crop, working_size : (int, int)
        Width and height of its crops, and of these while they were worked on.
    scaled : bool
        Whether they were scaled for that.
    moves : bool
        Whether its crop moved.
    pieces : int
        Pieces that it was sampled in.
    turns : bool
        Whether its crop was turned.
    identity : str
        Who or what it is; empty where that is not known.
    own : SubjectSettings
        What it had otherwise than the others.
    used : tuple of UsedSetting
        Settings that its own LoRAs recommended.
    seed : int
        Seed of its noise.
    denoise : tuple of float or None
        How much of it was repainted, at least and at most; None where `sigma_start` said it.
    """

    number: int
    label: str
    first: int
    last: int
    box: Box
    crop: tuple[int, int]
    working_size: tuple[int, int]
    scaled: bool
    moves: bool
    pieces: int
    turns: bool = False
    identity: str = ""
    own: SubjectSettings = field(default_factory=SubjectSettings)
    used: tuple[UsedSetting, ...] = ()
    seed: int = 0
    denoise: tuple[float, float] | None = None

    @classmethod
    def of(cls, plan: TrackPlan) -> TrackReport:
        """Take what a plan says."""
        first, end = plan.span
        crop, size = (plan.path.size[1], plan.path.size[0]), (plan.size[1], plan.size[0])
        return cls(
            number=plan.number,
            label=plan.label,
            first=first,
            last=end - 1,
            box=plan.bbox,
            crop=crop,
            working_size=size,
            scaled=plan.scaled,
            moves=plan.moves,
            turns=plan.turns,
            identity=plan.identity,
            pieces=len(plan.pieces),
            own=plan.own,
            used=plan.used,
            seed=plan.detail.seed,
            denoise=plan.denoise_range,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain lists, dictionaries, numbers and texts."""
        return {**asdict(self), "own": self.own.given}


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What became of a clip.

    Parameters
    ----------
    clip : ClipInfo
        The clip.
    status : {"done", "copied", "skipped"}
        A clip without subjects is copied, or nothing is written.
    output, compare : str or None
        What was written.
    tracks : tuple of TrackReport
        What was detailed.
    sampled, reused : int
        Pieces that were sampled, and those that were in the cache.
    seconds : dict
        How long each stage worked. Stages of a run go on at once, and what one waits for another does not count.
    total_seconds : float
        How long all of it took, by the clock.
    warnings : tuple of str
        What a user should know.
    left_out : tuple of str
        What of the clip the output cannot hold.
    nothing_found : str
        Why nothing was detailed, where nothing was.
    used : tuple of UsedSetting
        Settings that a model may recommend, as they held, and why; empty for one without networks.
    start : str
        Which noise level the run started from, where that says something.
    copied_frames : int
        Frames that went over as they are, without being encoded.
    note : str
        What the model says of its results: that they are a preview.
    """

    clip: ClipInfo
    status: Literal["done", "copied", "skipped"]
    output: str | None
    compare: str | None
    tracks: tuple[TrackReport, ...]
    sampled: int
    reused: int
    seconds: dict[str, float]
    total_seconds: float
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    nothing_found: str = ""
    used: tuple[UsedSetting, ...] = ()
    start: str = ""
    note: str = ""
    copied_frames: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain lists, dictionaries, numbers and texts."""
        info = self.clip
        about = {"path": str(info.path), "width": info.size[1], "height": info.size[0], "frames": info.frames}
        names = [name for name in self.__slots__ if name not in ("clip", "tracks", "used")]
        rest = {name: getattr(self, name) for name in names}
        used = [asdict(each) for each in self.used]
        return {"clip": about, **rest, "used": used, "tracks": [track.to_json() for track in self.tracks]}
