"""Re-detail chosen regions of video frames.

What most need is here, and the rest in the packages below it. Each name is loaded when it is first used, so that
importing the package imports neither PyTorch nor any optional package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segs_detailer._lazy import lazy_names
from segs_detailer._version import installed_version

if TYPE_CHECKING:
    from segs_detailer.crop_path import CropPath
    from segs_detailer.detailer.api import DetailResult, detail_frames
    from segs_detailer.detailer.control import ControlNetWrapper, ImagePromptWrapper, with_control_net
    from segs_detailer.detailer.hooks import DetailerHook
    from segs_detailer.detailer.progress import Progress
    from segs_detailer.detailer.segment import SegmentWarning
    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.detailer.subject_settings import SubjectSettings
    from segs_detailer.errors import (
        CancelledError,
        InvalidArgumentError,
        InvalidTypeError,
        MediaError,
        MissingDependencyError,
        ModelError,
        SegsDetailerError,
    )
    from segs_detailer.jobs.checking import verify_clip
    from segs_detailer.jobs.clips import detail_clip, plan_clip
    from segs_detailer.jobs.job import ClipJob, Redo
    from segs_detailer.jobs.job_files import read_job, read_subjects, write_job
    from segs_detailer.jobs.parts import (
        EncodeSettings,
        FindSettings,
        LimitSettings,
        ModelSettings,
        PathSettings,
        PromptSettings,
    )
    from segs_detailer.jobs.plan import ClipPlan
    from segs_detailer.jobs.report import ClipReport
    from segs_detailer.models.compute import ComputeOptions
    from segs_detailer.models.pipe import BasicPipe
    from segs_detailer.models.stages import SamplingOptions
    from segs_detailer.models.windows import ContextWindows
    from segs_detailer.ops.blend import paste, paste_
    from segs_detailer.ops.frames import crop_frames, resize_frames
    from segs_detailer.ops.masks import feather_mask, resize_masks
    from segs_detailer.ops.threads import get_num_threads, set_num_threads
    from segs_detailer.segs import SEG, SEGS, check_segs, scale_match
    from segs_detailer.subjects.association import Detection
    from segs_detailer.subjects.boxes import make_crop_region
    from segs_detailer.subjects.criteria import SelectSettings
    from segs_detailer.subjects.finders.finder import Detector, Finder, FollowSettings, find_tracks
    from segs_detailer.subjects.finders.opening import open_finder
    from segs_detailer.subjects.finders.pictures import ClipFrames, clip_frames
    from segs_detailer.subjects.formats.files import read_tracks, write_tracks
    from segs_detailer.subjects.from_masks import MaskSettings, tracks_from_masks
    from segs_detailer.subjects.masks import boxes_to_segs, masks_to_segs
    from segs_detailer.subjects.segs_of_tracks import tracks_to_segs
    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.track import Track, Tracks
    from segs_detailer.video.reading import iter_frames, open_clip, read_clip
    from segs_detailer.video.writing import open_output, write_clip

    __version__: str

__all__ = [
    "SEG",
    "SEGS",
    "BasicPipe",
    "CancelledError",
    "ClipFrames",
    "ClipJob",
    "ClipPlan",
    "ClipReport",
    "ComputeOptions",
    "ContextWindows",
    "ControlNetWrapper",
    "CropPath",
    "CropSettings",
    "DetailResult",
    "DetailerHook",
    "DetailerSettings",
    "Detection",
    "Detector",
    "EncodeSettings",
    "FindSettings",
    "Finder",
    "FollowSettings",
    "ImagePromptWrapper",
    "InvalidArgumentError",
    "InvalidTypeError",
    "LimitSettings",
    "MaskSettings",
    "MediaError",
    "MissingDependencyError",
    "ModelError",
    "ModelSettings",
    "PathSettings",
    "Progress",
    "PromptSettings",
    "Redo",
    "SamplingOptions",
    "SegmentWarning",
    "SegsDetailerError",
    "SelectSettings",
    "SubjectSettings",
    "Track",
    "Tracks",
    "__version__",
    "boxes_to_segs",
    "check_segs",
    "clip_frames",
    "crop_frames",
    "detail_clip",
    "detail_frames",
    "feather_mask",
    "find_tracks",
    "get_num_threads",
    "iter_frames",
    "make_crop_region",
    "masks_to_segs",
    "open_clip",
    "open_finder",
    "open_output",
    "paste",
    "paste_",
    "plan_clip",
    "read_clip",
    "read_job",
    "read_subjects",
    "read_tracks",
    "resize_frames",
    "resize_masks",
    "scale_match",
    "set_num_threads",
    "tracks_from_masks",
    "tracks_to_segs",
    "verify_clip",
    "with_control_net",
    "write_clip",
    "write_job",
    "write_tracks",
]

_MODULES = {
    "segs_detailer.crop_path": ("CropPath",),
    "segs_detailer.detailer.api": (
        "DetailResult",
        "detail_frames",
    ),
    "segs_detailer.detailer.control": (
        "ControlNetWrapper",
        "ImagePromptWrapper",
        "with_control_net",
    ),
    "segs_detailer.detailer.hooks": ("DetailerHook",),
    "segs_detailer.detailer.progress": ("Progress",),
    "segs_detailer.detailer.segment": ("SegmentWarning",),
    "segs_detailer.detailer.settings": ("DetailerSettings",),
    "segs_detailer.detailer.subject_settings": ("SubjectSettings",),
    "segs_detailer.errors": (
        "CancelledError",
        "InvalidArgumentError",
        "InvalidTypeError",
        "MediaError",
        "MissingDependencyError",
        "ModelError",
        "SegsDetailerError",
    ),
    "segs_detailer.jobs.checking": ("verify_clip",),
    "segs_detailer.jobs.clips": (
        "detail_clip",
        "plan_clip",
    ),
    "segs_detailer.jobs.job": (
        "ClipJob",
        "Redo",
    ),
    "segs_detailer.jobs.parts": (
        "EncodeSettings",
        "FindSettings",
        "LimitSettings",
        "ModelSettings",
        "PathSettings",
        "PromptSettings",
    ),
    "segs_detailer.jobs.job_files": ("read_job", "read_subjects", "write_job"),
    "segs_detailer.jobs.plan": ("ClipPlan",),
    "segs_detailer.jobs.report": ("ClipReport",),
    "segs_detailer.models.compute": ("ComputeOptions",),
    "segs_detailer.models.pipe": ("BasicPipe",),
    "segs_detailer.models.windows": ("ContextWindows",),
    "segs_detailer.models.stages": ("SamplingOptions",),
    "segs_detailer.ops.blend": (
        "paste",
        "paste_",
    ),
    "segs_detailer.ops.frames": (
        "crop_frames",
        "resize_frames",
    ),
    "segs_detailer.ops.masks": (
        "feather_mask",
        "resize_masks",
    ),
    "segs_detailer.ops.threads": (
        "get_num_threads",
        "set_num_threads",
    ),
    "segs_detailer.segs": (
        "SEG",
        "SEGS",
        "check_segs",
        "scale_match",
    ),
    "segs_detailer.subjects.association": ("Detection",),
    "segs_detailer.subjects.boxes": ("make_crop_region",),
    "segs_detailer.subjects.finders.finder": ("Detector", "Finder", "FollowSettings", "find_tracks"),
    "segs_detailer.subjects.finders.pictures": ("ClipFrames", "clip_frames"),
    "segs_detailer.subjects.finders.opening": ("open_finder",),
    "segs_detailer.subjects.formats.files": (
        "read_tracks",
        "write_tracks",
    ),
    "segs_detailer.subjects.from_masks": ("MaskSettings", "tracks_from_masks"),
    "segs_detailer.subjects.masks": (
        "boxes_to_segs",
        "masks_to_segs",
    ),
    "segs_detailer.subjects.segs_of_tracks": ("tracks_to_segs",),
    "segs_detailer.subjects.criteria": ("SelectSettings",),
    "segs_detailer.subjects.settings": ("CropSettings",),
    "segs_detailer.subjects.track": ("Track", "Tracks"),
    "segs_detailer.video.reading": (
        "iter_frames",
        "open_clip",
        "read_clip",
    ),
    "segs_detailer.video.writing": (
        "open_output",
        "write_clip",
    ),
}
_load, _names = lazy_names(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        globals()[name] = value = installed_version()
        return value
    return _load(name)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
