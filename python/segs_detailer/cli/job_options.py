"""From parsed options to a job: the one place where the command line meets `ClipJob`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segs_detailer.cli.setting_options import given_settings, settings_from
from segs_detailer.jobs.job import PARTS, ClipJob, Redo
from segs_detailer.jobs.job_files import read_subjects

if TYPE_CHECKING:
    import argparse

__all__ = ["job_of"]


def job_of(args: argparse.Namespace, base: ClipJob | None = None) -> ClipJob:
    """Make the job that options describe.

    Parameters
    ----------
    args : Namespace
        The options of a command; one that a command does not have is as if it was not given.
    base : ClipJob or None
        The job that holds where no option was given.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        A value that cannot be used, by the setting's name.
    """
    base = base or ClipJob(args.clip)
    values: dict[str, Any] = {name: settings_from(args, getattr(base, name)) for name in PARTS}
    if getattr(args, "subjects", None):
        values["subjects"] = read_subjects(args.subjects)
    if getattr(args, "redo", None):
        values["redo"] = _redo(args.redo)
    places = {name: getattr(args, name, None) for name in ("clip", "output")}
    values |= {name: value for name, value in places.items() if value is not None}
    return replace(base, **given_settings(args, ClipJob), **values)


def _redo(given: list[tuple[int, int | None]]) -> Redo:
    tracks = tuple(first for first, last in given if last is None)
    return Redo(tracks, tuple((first, last) for first, last in given if last is not None))
