"""From tracks to the plan of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segs_detailer.crop_path import CropPath
from segs_detailer.detailer.denoise_by_size import denoise_at
from segs_detailer.detailer.plan import WorkingSize, check_side, fit_size, plan_size
from segs_detailer.detailer.subject_settings import SubjectName, SubjectSettings
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs.memory import LEAST_FRAMES, StreamSizes, check_cap, most_frames, program_bytes, sampling_bytes
from segs_detailer.jobs.pieces import cut_run, shown_runs
from segs_detailer.jobs.plan import ClipPlan, MemoryPlan, TrackPlan
from segs_detailer.subjects.angles import smooth_angles
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.subjects.ownership import owner_order
from segs_detailer.subjects.path import crop_path, is_in_frame, subject_sizes
from segs_detailer.subjects.segs_of_tracks import subject_box
from segs_detailer.video.planes import coded_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segs_detailer.detailer.settings import DetailerSettings
    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.plan import ChosenTrack
    from segs_detailer.jobs.traits import ModelTraits
    from segs_detailer.jobs.used_settings import UsedSetting
    from segs_detailer.segs import Box
    from segs_detailer.video.clip import ClipInfo

__all__ = ["OVERLAP", "DetailsOf", "check_memory", "plan_tracks"]

DetailsOf: TypeAlias = "Callable[[SubjectName], tuple[SubjectSettings, DetailerSettings, tuple[UsedSetting, ...]]]"
"""What a subject has otherwise, the settings of the detailer with it, and which of these its own LoRAs recommend."""

OVERLAP = 8
"""Frames over which one piece cross-fades into the next, where a model cannot say how far it looks."""

HELD_BESIDE = 4
"""Frames that are held beside those that wait for their pieces: the one that is written, and what follows it."""

_SAMPLED_TWICE = 1.2
"""Pieces are worth a word where what they share makes so many times the frames."""

_LOST_SCALE = 2.0
"""A fixed crop is worth a word where following the subject would make it so many times larger."""


def check_memory(max_ram: int, info: ClipInfo, traits: ModelTraits, streams: StreamSizes) -> None:
    """Refuse a limit that cannot be kept whatever the tracks of a clip are, before they are looked for.

    Raises
    ------
    InvalidArgumentError
        It is too low.
    """
    height, width = info.size
    needed = program_bytes(traits) + traits.weights + streams.bytes
    check_cap(max_ram, needed, f"frames of {width}x{height}, without any crop")


def plan_tracks(
    info: ClipInfo,
    chosen: Sequence[ChosenTrack],
    detail: DetailerSettings,
    traits: ModelTraits,
    *,
    max_ram: int = 4 * 10**9,
    masks: MaskFilter | None = None,
    streams: StreamSizes | None = None,
    details_of: DetailsOf | None = None,
) -> ClipPlan:
    """Plan a run.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    chosen : sequence of ChosenTrack
        What is to be detailed; no two have the same number. Tracks that are nowhere in the frame are left out.
    detail : DetailerSettings
        Sizes, and how many pieces are sampled together.
    traits : ModelTraits
        The models.
    max_ram : int
        Bytes of memory that the whole process may take.
    masks : MaskFilter or None
        What is done to the masks.
    streams : StreamSizes or None
        What flows through decoders and encoders; None is a single output like the clip.
    details_of : callable or None
        What single subjects have otherwise, and their settings with it; None: all have `detail`.

    Returns
    -------
    ClipPlan

    Raises
    ------
    InvalidArgumentError
        `max_ram` is too low for the clip, the crops and the models; two tracks have one number.
    """
    _check_numbers(chosen)
    streams = streams or StreamSizes(info.size[0] * info.size[1], 2 if info.bits > 8 else 1)
    tracks: list[TrackPlan] = []
    details_of = details_of or (lambda _: (SubjectSettings(), detail, ()))
    for item in chosen:
        plan = _uncut(len(tracks), item, info, details_of, traits, masks or MaskFilter())
        if plan is not None:
            tracks.append(plan)
    room = max_ram - program_bytes(traits) - traits.weights - streams.bytes
    tracks, groups = _cut_all(tracks, room, detail, traits)
    memory = MemoryPlan(
        program_bytes(traits),
        traits.weights,
        streams.bytes,
        _largest(groups, tracks, traits) if groups else 0,
        _on_accelerator(groups, tracks, traits),
    )
    memory, held_frames = _held(memory, groups, info, streams, max_ram)
    height, width = info.size
    check_cap(max_ram, memory.total, f"frames of {width}x{height} and crops of {_largest_crop(tracks)}")
    return ClipPlan(
        info,
        tuple(tracks),
        groups,
        memory,
        tuple(owner_order([plan.track for plan in tracks])),
        tuple(_warnings(info, tracks, traits)),
        held_frames=held_frames,
    )


def _check_numbers(chosen: Sequence[ChosenTrack]) -> None:
    """Hold that users can tell all tracks by their numbers."""
    numbers = [item.track.id for item in chosen]
    if len(set(numbers)) < len(numbers) or 0 in numbers:
        raise InvalidArgumentError("chosen", "tracks whose ids are numbers from 1, each once", f"{numbers}")


def _uncut(
    index: int,
    item: ChosenTrack,
    info: ClipInfo,
    details_of: DetailsOf,
    traits: ModelTraits,
    masks: MaskFilter,
) -> TrackPlan | None:
    """Lay the crop of a track through the clip; None for one that is never pasted."""
    if not is_in_frame(item.track, info.size, info.frames):
        return None
    path = crop_path(item.track, info.size, info.frames, item.crop)
    runs = shown_runs(path.alpha)
    if not runs:
        return None
    span = (runs[0][0], runs[-1][1])
    bbox = subject_box(item.track, path, info.size, item.crop)
    own, detail, used = details_of(SubjectName(item.track.id, item.track.label, item.track.identity))
    working = _working_size(path.size, bbox, detail)
    size = fit_size(
        working,
        multiple=traits.geometry.size_multiple,
        max_size=detail.sizes.max_size,
        limit_size=detail.limit_size,
    )
    check_side(size, traits.geometry.max_side, limit_size=detail.limit_size)
    return TrackPlan(
        index=index,
        track=item.track,
        span=span,
        # Only what is used is kept: a long clip has many tracks, and each would hold all its frames.
        path=path.part(*span),
        bbox=bbox,
        size=size,
        scaled=working.scaled,
        pieces=(),
        crop=item.crop,
        masks=masks,
        frame_size=info.size,
        frame_count=info.frames,
        own=own,
        used=used,
        detail=detail,
        denoise=_denoise(item, info, detail, span),
    )


def _denoise(
    item: ChosenTrack, info: ClipInfo, detail: DetailerSettings, span: tuple[int, int]
) -> tuple[float, ...] | None:
    """Denoise of each frame of a span by the subject's size, where that is asked for."""
    if detail.denoise_by_size is None:
        return None
    sizes = subject_sizes(item.track, info.size, info.frames, item.crop)
    return denoise_at(detail.denoise_by_size, sizes[slice(*span)])


def _cut_all(
    tracks: list[TrackPlan], room: int, detail: DetailerSettings, traits: ModelTraits
) -> tuple[list[TrackPlan], tuple[tuple[Piece, ...], ...]]:
    """Cut the tracks into pieces, and put these into groups: of as many as wanted, or as there is room for."""
    together = min(detail.batch_segments, len(tracks)) if traits.geometry.takes_clips else 1
    for most in range(together, 1, -1):
        cut = [_cut(plan, room, most, traits) for plan in tracks]
        groups = _groups(cut, most)
        if not groups or _largest(groups, cut, traits) <= room:
            return cut, groups
    cut = [_cut(plan, room, 1, traits) for plan in tracks]
    return cut, _groups(cut, 1)


def _cut(plan: TrackPlan, room: int, together: int, traits: ModelTraits) -> TrackPlan:
    most = most_frames(room, plan.path.size, plan.size, traits, together)
    step = traits.geometry.frame_step
    least = LEAST_FRAMES if traits.reach is not None else 2 * (OVERLAP + step)
    least += 2 * (traits.reach or 0)
    runs = shown_runs(plan.path.alpha, plan.span[0])
    most = _most_at_once(max(most, least), least, max(stop - start for start, stop in runs), traits)
    pieces: list[Piece] = []
    for run in runs:
        pieces += cut_run(plan.index, run, most, reach=traits.reach, overlap=OVERLAP, step=step, origin=plan.span[0])
    return plan.with_pieces(tuple(pieces))


def _most_at_once(most: int, least: int, longest: int, traits: ModelTraits) -> int:
    """Hold the length of pieces to what the model takes."""
    trained = traits.geometry.trained_frames
    if trained is not None:
        most = min(most, max(trained, least))
    limit = traits.geometry.max_frames
    if limit is None or limit >= most:
        return most
    if limit < least and limit < longest:
        expected = f"one that takes at least {least} frames at once, for pieces of {longest} frames that cross-fade"
        raise InvalidArgumentError("model", expected, f"one that takes {limit}")
    return limit


def _groups(tracks: Sequence[TrackPlan], most: int) -> tuple[tuple[Piece, ...], ...]:
    """Put the pieces in the order in which their crops are there, and those of one kind and span together."""
    groups: list[list[Piece]] = []
    open_groups: dict[tuple[Any, ...], list[Piece]] = {}
    pieces = [piece for plan in tracks for piece in plan.pieces]
    for piece in sorted(pieces, key=lambda piece: (piece.high, piece.low, piece.track)):
        plan = tracks[piece.track]
        kind = (piece.low, piece.high, plan.span[0], len(plan.pieces) > 1, plan.size, plan.own, plan.detail_of(piece))
        group = open_groups.get(kind)
        if group is None or len(group) >= most:
            group = open_groups[kind] = []
            groups.append(group)
        group.append(piece)
    return tuple(tuple(group) for group in groups)


def _largest(groups: Sequence[Sequence[Piece]], tracks: Sequence[TrackPlan], traits: ModelTraits) -> int:
    def needed(group: Sequence[Piece]) -> int:
        crop, *beside = (tracks[piece.track].path.size for piece in group)
        return sampling_bytes(group[0].frames, crop, tracks[group[0].track].size, traits, beside)

    return max(needed(group) for group in groups)


def _held(
    memory: MemoryPlan, groups: Sequence[Sequence[Piece]], info: ClipInfo, streams: StreamSizes, max_ram: int
) -> tuple[MemoryPlan, int]:
    """Let decoded frames wait for their pieces where there is room for them: the clip is then read once.

    Twice as many as must wait let one piece be sampled while the frames of the last are written.
    """
    longest = max((max(p.high for p in group) - min(p.low for p in group) for group in groups), default=0)
    for count in (2 * longest + HELD_BESIDE, longest + HELD_BESIDE) if longest else ():
        once = replace(
            memory,
            streams=replace(streams, decoders=1).bytes,
            held=count * coded_bytes(info.size, info.bits, info.pix_fmt),
        )
        if once.total <= max_ram:
            return once, count
    return memory, 0


def _on_accelerator(groups: Sequence[Sequence[Piece]], tracks: Sequence[TrackPlan], traits: ModelTraits) -> int:
    """Estimate the bytes on a GPU, which the computer's own memory does not know."""
    if not traits.accelerator:
        return 0
    needed = (traits.needed(tracks[group[0].track].size, group[0].frames, len(group)) for group in groups)
    return traits.accelerator + max(needed, default=0)


def _largest_crop(tracks: Sequence[TrackPlan]) -> str:
    sizes = [plan.size for plan in tracks]
    height, width = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return f"{width}x{height}"


def _warnings(info: ClipInfo, tracks: Sequence[TrackPlan], traits: ModelTraits) -> list[str]:
    found = []
    wanted = min(max(traits.geometry.min_frames, traits.window or 1), info.frames)
    for plan in tracks:
        name = f"track {plan.number} ({plan.label})"
        if plan.crop.upright and not plan.turns:
            found += [f"{name}: {reason}" for reason in _not_turned(plan)]
        lost = _lost_scale(plan)
        if lost >= _LOST_SCALE:
            found.append(
                f"{name}: its crop holds all of its way through the clip: one that follows it, `crop=follow`, would "
                f"scale it up {lost:.1f} times as far"
            )
        if plan.scale < 0.999:
            size = f"{plan.size[1]}x{plan.size[0]}"
            found.append(f"{name}: its crops are scaled down to {size}: raise `max_size`, or give `limit_size=False`")
        own = sum(piece.stop - piece.start for piece in plan.pieces)
        twice = sum(piece.frames for piece in plan.pieces) / own
        if twice >= _SAMPLED_TWICE:
            found.append(
                f"{name}: {len(plan.pieces)} short pieces overlap, and {twice:.1f} times its frames are sampled: "
                "raise `max_ram`"
            )
        shortest = min(stop - start for start, stop in shown_runs(plan.path.alpha))
        if shortest < wanted:
            found.append(f"{name}: is there for {shortest} frames, where the model wants {wanted}")
    return found


def _not_turned(plan: TrackPlan) -> list[str]:
    """Say why a crop that should turn does not; nothing where its subject stands upright."""
    region = plan.track.crop_region
    if isinstance(region, CropPath) or (region is not None and plan.crop.crop == "fixed"):
        return ["its crop is as its SEG has it, and is not turned"]
    frames, _ = smooth_angles(plan.track, plan.frame_size, plan.frame_count, plan.crop)
    if len(frames):
        return []
    return ["nothing says how it is turned, as eyes (YuNet), masks clearly longer than wide or angles in a file do"]


def _lost_scale(plan: TrackPlan) -> float:
    """How much further a fixed crop's subject would be scaled up if the crop followed it."""
    boxes = plan.track.boxes
    if plan.crop.crop != "fixed" or not len(boxes):
        return 1.0
    width, height = np.maximum(np.round((boxes[:, 2:] - boxes[:, :2]).mean(axis=0)), 1).astype(int).tolist()
    factor = plan.crop.crop_factor
    crop = [int(min(side * factor, limit)) for side, limit in zip((height, width), plan.frame_size, strict=True)]
    size = _working_size((max(crop[0], 1), max(crop[1], 1)), (0, 0, width, height), plan.detail)
    return (size.width / max(crop[1], 1)) / plan.scale


def _working_size(crop: tuple[int, int], bbox: Box, detail: DetailerSettings) -> WorkingSize:
    return plan_size(
        crop,
        bbox,
        guide_size=detail.sizes.guide_size,
        guide_size_for=detail.guide_size_for,
        max_size=detail.sizes.max_size,
        limit_size=detail.limit_size,
    )
