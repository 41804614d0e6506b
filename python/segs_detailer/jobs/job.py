"""What is to be done with one clip, as plain data: where subjects are found, how they are repainted and written."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from os import PathLike, fspath
from typing import Any, Literal

from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.detailer.subject_settings import Subjects, checked_subjects
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.jobs.parts import (
    EncodeSettings,
    FindSettings,
    LimitSettings,
    ModelSettings,
    PathSettings,
    PromptSettings,
)
from segs_detailer.settings import check_settings, replaced, setting
from segs_detailer.subjects.criteria import SelectSettings

__all__ = ["CLIP_DETAIL", "PARTS", "ClipJob", "Redo"]

CLIP_DETAIL = DetailerSettings(limit_size=True)
"""The detailer's settings of a job that gives none: crops are as large as their subjects, which may fill a frame."""


@dataclass(frozen=True, slots=True)
class Redo:
    """What is sampled anew, although it is in the cache; all else is taken from there, however it was made.

    Parameters
    ----------
    tracks : tuple of int
        Numbers of tracks, from 1, as plans and reports have them.
    frames : tuple of (int, int)
        First frame, from 0, and last frame of ranges.
    """

    tracks: tuple[int, ...] = ()
    frames: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not all(type(number) is int and number >= 1 for number in self.tracks):
            raise InvalidArgumentError("redo", "numbers of tracks, from 1", repr(self.tracks))
        for span in self.frames:
            if len(span) != 2 or not 0 <= span[0] <= span[1]:
                raise InvalidArgumentError("redo", "the first and the last frame of a range, from 0", repr(span))
        object.__setattr__(self, "tracks", tuple(self.tracks))
        object.__setattr__(self, "frames", tuple((first, last) for first, last in self.frames))

    @property
    def is_given(self) -> bool:
        """Whether it names anything."""
        return bool(self.tracks or self.frames)

    def names(self, track: int, start: int, stop: int) -> bool:
        """Whether the frames from `start` to `stop` of a track, by its number, are among them."""
        return track in self.tracks or any(start <= last and first < stop for first, last in self.frames)


def _path_text(name: str, value: Any) -> str:
    if not isinstance(value, (str, PathLike)):
        raise InvalidTypeError(name, "a str or path", type(value).__name__)
    text = fspath(value)
    if not isinstance(text, str):
        raise InvalidTypeError(name, "a str or path", type(text).__name__)
    return text


def _rate(name: str, value: Any) -> Fraction | None:
    if value is None:
        return None
    try:
        rate = Fraction(value)
    except (TypeError, ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise InvalidArgumentError(name, "a frame rate such as 24 or 30000/1001", repr(value))
    return rate


@dataclass(frozen=True, slots=True)
class ClipJob:
    """One clip and what is to be done with it. Jobs can be compared, pickled, and kept in files.

    Parameters
    ----------
    clip : str or path
        The clip: a video file, an animation, a folder of images, a numbered name (`frame_%04d.png`) or a wildcard.
    output : str, path or None
        Where the result goes; the name says the format. None is enough for a plan.
    find : FindSettings
        Where the subjects are.
    select : SelectSettings
        Which of them are meant.
    crop : PathSettings
        How crops and masks follow them.
    detail : DetailerSettings
        How they are repainted and pasted.
    model : ModelSettings
        What repaints them.
    prompts : PromptSettings
        What they show.
    subjects : mapping
        What single subjects have otherwise: a track's number from 1, its identity or its label, to `SubjectSettings`,
        to a mapping of their fields, to a prompt, or to `(prompt, negative prompt)`. What a number says counts before
        what an identity says, and that before what a label says.
    encode : EncodeSettings
        How a video is written.
    limits : LimitSettings
        Memory, threads, and what is kept.
    redo : Redo
        What of an earlier run is done anew.
    when_empty : {"copy", "skip", "fail"}
        What becomes of a clip without subjects: it is copied as it is, nothing is written, or that is an error.
    overwrite : bool
        Replace the images that an earlier run wrote to a folder, and nothing else in it; a single file is replaced
        either way.
    compare : str, path or None
        Also write the subjects before and after: a picture, or a video with both side by side.
    fps : Fraction or None
        Frames per second of image files; None is 24.
    fill_gaps : bool
        Where a number is missing in a sequence of images, of the clip or of masks, show the frame before again.
    hwaccel : str or None
        Kind of device that decodes the clip; None decodes in software.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used, by its name.

    Examples
    --------
    >>> from segs_detailer import ClipJob, FindSettings
    >>> job = ClipJob("in.mp4", "out.mp4", find=FindSettings(detect="face", min_face=40))
    >>> job.find.min_share
    0.3
    """

    clip: str
    output: str | None = None
    find: FindSettings = field(default_factory=FindSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    crop: PathSettings = field(default_factory=PathSettings)
    detail: DetailerSettings = CLIP_DETAIL
    model: ModelSettings = field(default_factory=ModelSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
    subjects: Subjects = field(default_factory=dict)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    redo: Redo = field(default_factory=Redo)
    when_empty: Literal["copy", "skip", "fail"] = setting(
        "copy", help="a clip without subjects: copy it as it is, write nothing, or end with an error"
    )
    overwrite: bool = setting(
        False,
        help="replace the images that an earlier run wrote to a folder, and nothing else in it; a single file is "
        "replaced either way",
    )
    compare: str | None = setting(
        None,
        help="also write the subjects before and after: a picture (.png), or a video with both side by side",
    )
    fps: Fraction | None = setting(  # noqa: RUF009 - likewise
        None, help="frame rate of image files, such as 24 or 30000/1001", default_text="24", check=_rate
    )
    fill_gaps: bool = setting(
        False,
        help="where a number is missing in a sequence of images, of the clip or of masks, show the frame before again",
    )
    hwaccel: str | None = setting(
        None,
        help="decode CLIP on such a device: cuda, vaapi, qsv, videotoolbox, ...; refused where there is none",
        default_text="in software",
    )

    def __post_init__(self) -> None:
        for name in ("clip", "output", "compare"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _path_text(name, value))
        check_settings(self)
        object.__setattr__(self, "subjects", checked_subjects(self.subjects))
        for each, kind in {**PARTS, "redo": Redo}.items():
            if not isinstance(getattr(self, each), kind):
                raise InvalidTypeError(each, f"a {kind.__name__}", type(getattr(self, each)).__name__)
        if self.redo.is_given and self.limits.no_cache:
            raise InvalidArgumentError("redo", "a cache: leave out `no_cache`", "`no_cache`")

    @classmethod
    def of(cls, clip: str | PathLike[str], output: str | PathLike[str] | None = None, **values: Any) -> ClipJob:
        """Make a job with every field of its parts by its name.

        Parameters
        ----------
        clip, output
            As of the class.
        **values : object
            Parts (`find`, `detail`, ...) and fields of parts (`min_face`, `denoise`, `seed`, ...) by their names. In
            place of a part, `find` takes what to look for, `select` numbers of tracks, `crop` "follow" or "fixed",
            and `model` a checkpoint.

        Raises
        ------
        InvalidTypeError
            No part has a field of such a name.

        Examples
        --------
        >>> ClipJob.of("in.mp4", "out.mp4", find="face", denoise=0.4).detail.denoise
        0.4
        """
        return cls(clip, output).changed(**values)  # type: ignore[arg-type]

    def changed(self, **values: Any) -> ClipJob:
        """Return the same job with other parts, or other values of their fields, by name; see `of`.

        Raises
        ------
        InvalidTypeError
            No part has a field of such a name.
        """
        parts = {each.name: values.pop(each.name) for each in fields(self) if each.name in values}
        for name, kind in PARTS.items():
            own = {each.name: values.pop(each.name) for each in fields(kind) if each.name in values}
            if name in _SHORT and name in parts and not isinstance(parts[name], kind):
                own[_SHORT[name]] = parts.pop(name)
            part = parts.get(name, getattr(self, name))
            if own:
                parts[name] = replaced(part, own)
        if values:
            known = [each.name for kind in (type(self), *PARTS.values()) for each in fields(kind)]
            raise unknown_name("job", next(iter(values)), known, expected="names of its fields: {}")
        return replace(self, **parts)


PARTS: dict[str, type[Any]] = {
    "find": FindSettings,
    "select": SelectSettings,
    "crop": PathSettings,
    "detail": DetailerSettings,
    "model": ModelSettings,
    "prompts": PromptSettings,
    "encode": EncodeSettings,
    "limits": LimitSettings,
}
"""Parts of a job whose fields have names of their own."""

_SHORT = {"find": "detect", "select": "tracks", "crop": "crop", "model": "model"}
"""The field that is meant where a part's name is given something else than the part."""
