"""Checking a detailed clip against its input: what changed where nothing should, flicker, broken frames, pops.

Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segs_detailer._lazy import lazy_names

if TYPE_CHECKING:
    from segs_detailer.verify.clips import verify_clips
    from segs_detailer.verify.frames import FrameChecker
    from segs_detailer.verify.report import Finding, Report, SubjectReport, Surroundings
    from segs_detailer.verify.settings import VerifySettings
    from segs_detailer.verify.subjects import Subject, chosen_subjects, subjects_of

__all__ = [
    "Finding",
    "FrameChecker",
    "Report",
    "Subject",
    "SubjectReport",
    "Surroundings",
    "VerifySettings",
    "chosen_subjects",
    "subjects_of",
    "verify_clips",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "segs_detailer.verify.clips": ("verify_clips",),
        "segs_detailer.verify.frames": ("FrameChecker",),
        "segs_detailer.verify.report": (
            "Finding",
            "Report",
            "SubjectReport",
            "Surroundings",
        ),
        "segs_detailer.verify.settings": ("VerifySettings",),
        "segs_detailer.verify.subjects": (
            "Subject",
            "chosen_subjects",
            "subjects_of",
        ),
    },
)
