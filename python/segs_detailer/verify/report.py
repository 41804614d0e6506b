"""What was found, as objects that become a table or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Finding", "Kind", "Report", "SubjectReport", "Surroundings", "shown_frames"]

Kind: TypeAlias = Literal[
    "size", "count", "times", "sound", "not-finite", "black", "repeated", "outside", "flicker", "blank", "pop", "jump"
]
"""What is wrong: see `docs/verify.md`."""

_FORMAT = 1
_MAX_SPANS = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Parameters
    ----------
    kind : str
        What is wrong.
    text : str
        One line about it.
    subject : int or None
        Id of the track that it is about.
    frames : tuple of int
        Frames in which it shows, ascending; empty where it is about the whole clip.
    """

    kind: Kind
    text: str
    subject: int | None = None
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What happened outside the masks; where there are none, in the whole frame.

    Parameters
    ----------
    masked : bool
        Whether there were masks.
    psnr : float or None
        Peak signal to noise ratio in decibels; None where not one bit differs.
    shift : tuple of float
        Mean change of red, green and blue, in levels of 8 bits.
    noise : float
        Root mean square of what the encoder did to textured places, in levels; 0 for an output without loss.
    changed : float
        Share of the pixels outside the masks (of all, without masks) that changed by more than the encoder explains,
        0 to 1: the mean over the frames.
    worst_frame : int or None
        Frame in which most of them did.
    worst_box : (int, int, int, int) or None
        `(x1, y1, x2, y2)` around them, in pixels.
    """

    masked: bool
    psnr: float | None
    shift: tuple[float, float, float]
    noise: float
    changed: float
    worst_frame: int | None = None
    worst_box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class SubjectReport:
    """One subject: how much it was changed, and how steadily.

    Parameters
    ----------
    id : int
        Of its track; 0 stands for everything that changed.
    label : str
        What it is.
    first, last : int
        Frames.
    strength : float
        Root mean square of the change inside its masks, in levels of 8 bits.
    flicker_before, flicker_after : float or None
        Root mean square of what differs from the frame before along the input's optical flow, in levels; None where no
        two frames could be compared.
    detail : float or None
        How many times the input's local contrast the output has.
    flicker : float or None
        Flicker ratio: how many times the input's flicker the output has, beyond what more contrast explains; 1 is as
        steady.
    """

    id: int
    label: str
    first: int
    last: int
    strength: float
    flicker_before: float | None = None
    flicker_after: float | None = None
    detail: float | None = None
    flicker: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured.

    Parameters
    ----------
    before, after : str
        Names of the clips.
    frames : int
        Frames that were compared.
    findings : tuple of Finding
        The faults.
    surroundings : Surroundings or None
        None where no frame could be compared.
    subjects : tuple of SubjectReport
        One for each subject; one for everything that changed where there were no masks.
    """

    before: str
    after: str
    frames: int
    findings: tuple[Finding, ...] = ()
    surroundings: Surroundings | None = None
    subjects: tuple[SubjectReport, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dictionaries, numbers and texts, as the JSON file holds them."""
        return {"format": _FORMAT, "passed": self.passed, **asdict(self)}


def shown_frames(frames: tuple[int, ...]) -> str:
    """Return numbers as spans, such as `3, 7-9 and 2 more`."""
    spans: list[list[int]] = []
    for frame in frames:
        if spans and frame == spans[-1][1] + 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    texts = [f"{first}-{last}" if last > first else f"{first}" for first, last in spans]
    if len(texts) <= _MAX_SPANS:
        return ", ".join(texts)
    rest = sum(last - first + 1 for first, last in spans[_MAX_SPANS:])
    return f"{', '.join(texts[:_MAX_SPANS])} and {rest} more"
