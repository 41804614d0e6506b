"""`segs-detailer run`: from a clip to a detailed clip."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from ..detailer.prompts import check_prompts, load_prompts, prompt_of
from ..errors import SegsDetailerError
from ..video import EncoderSettings, open_clip, open_output, read_clip, write_frames
from .compare import Comparison
from .models import load_pipes
from .pieces import Workload, detail_group, group_workloads, plan_workload
from .report import describe_segments, describe_times
from .selecting import SegmentChooser
from .stages import Stages
from .threads import limit_threads, one_torch_thread

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from ..detailer import Progress
    from ..detailer.prompts import Prompts
    from ..segs import SEGS
    from ..video import ClipInfo

__all__ = ["run"]


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Everything that can fail for a wrong argument is tried before the clip is read. The output appears under its name
    when it is complete.

    Parameters
    ----------
    args : Namespace
        The options.

    Raises
    ------
    SegsDetailerError, OSError
        Something cannot be done; nothing was written.
    """
    stages = Stages(quiet=args.quiet)
    limit_threads(args.threads)
    source = open_clip(args.clip, rate=args.fps)
    chooser = SegmentChooser(args, source.info)
    comparison = Comparison(args.compare, source) if args.compare else None
    encoder = EncoderSettings(codec=args.codec, crf=args.crf, pix_fmt=args.pix_fmt, threads=args.threads or 0)
    prompts = load_prompts(args.prompts) if args.prompts else {}
    pipe, settings = load_pipes(args, stages)
    with ExitStack() as outputs:
        sink = outputs.enter_context(
            open_output(args.output, source.info, settings=encoder, keep_audio=not args.no_audio)
        )
        if comparison is not None:
            outputs.enter_context(comparison)
        with stages.stage("decode") as advance:
            clip = read_clip(source, progress=advance)
        segs = chooser.choose(clip, stages)
        if not segs[1]:
            raise SegsDetailerError(chooser.nothing_found())
        check_prompts(prompts, segs[1])
        work = [plan_workload(seg, clip.frames, pipe, settings) for seg in segs[1]]
        if comparison is not None:
            comparison.before(clip, work)
        with stages.stage("detail", "step") as advance, one_torch_thread(only_if=args.model is None):
            _detail_all(work, clip.frames, pipe, settings, prompts, advance)
        with stages.stage("encode") as advance:
            write_frames(sink, clip, progress=advance)
        if comparison is not None:
            with stages.stage("compare", "picture") as advance:
                comparison.after(clip, advance)
    _summarise(args, clip.info, segs, work, pipe, stages)


def _detail_all(
    work: list[Workload],
    frames: NDArray[np.float32],
    pipe: Any,
    settings: dict[str, Any],
    prompts: Prompts,
    advance: Any,
) -> None:
    """Detail one segment after the other, and count the sampling steps of all of them."""
    runs = sum(item.pieces for item in work)
    taken: dict[tuple[int, int], int] = {}

    def report(index: int, piece: int, state: Progress) -> None:
        # A sampler may take fewer steps than it was given; each stage but sampling reports only that it begins.
        if state.stage == "sample":
            taken[index, piece] = state.step
            advance(sum(taken.values()), runs * state.steps)

    def report_place(indices: list[int], state: Progress) -> None:
        report(indices[state.segment], 0, state)

    for indices in group_workloads(work, settings["batch_segments"]):
        items = [work[index] for index in indices]
        found = {place: prompt_of(prompts, index, work[index].seg) for place, index in enumerate(indices)}
        own = {place: prompt for place, prompt in found.items() if prompt is not None}
        options = {**settings, **({"prompts": own} if own else {})}
        if len(items) == 1:
            items[0].detail(frames, pipe, options, partial(report, indices[0]))
        else:
            detail_group(items, frames, pipe, options, partial(report_place, indices))


def _summarise(
    args: argparse.Namespace, info: ClipInfo, segs: SEGS, work: list[Workload], pipe: Any, stages: Stages
) -> None:
    stages.say(f"wrote {args.output}: {info.describe()}")
    if args.compare:
        stages.say(f"wrote {args.compare}: before and after")
    for line in describe_segments(segs, [item.span for item in work], [item.size for item in work]):
        stages.say(line)
    stages.say(describe_times(stages))
    note = getattr(pipe[0], "preview_note", None)
    if note is not None:
        stages.say(f"note: {note}; name one with --model")
