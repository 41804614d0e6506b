"""Checking a detailed clip against its input: what changed where nothing should, flicker, broken frames, pops."""

from __future__ import annotations

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
