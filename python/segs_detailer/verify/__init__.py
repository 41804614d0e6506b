"""Checking a detailed clip against its input: what changed where nothing should, flicker, broken frames, pops."""

from __future__ import annotations

from .clips import verify_clips
from .frames import FrameChecker
from .report import Finding, Report, SubjectReport, Surroundings
from .settings import VerifySettings
from .subjects import Subject, chosen_subjects, subjects_of

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
