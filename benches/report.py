"""Writes `docs/benchmarks.md` and its plot: `python benches/report.py` runs all benches and the growth measurements.

`--json FILE` takes the results of an earlier `pytest benches --benchmark-json FILE`, `--growth FILE` those of
`benches/growth.py --json FILE`, `--imports FILE` those of `benches/import_time.py --json FILE`, `--comfyui FILE` those
of `benches/comfyui_nodes.py --json FILE`, which measures nothing where COMFYUI_PATH or IMPACT_PACK_PATH is not set,
`--runs FILE` those of `benches/whole_runs.py --json FILE`; `--runs-only` writes their section alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "benchmarks-growth.svg"
BEGIN = "<!-- benches: from here on written by benches/report.py -->"
END = "<!-- benches: end -->"

AREAS = ("Whole nodes", "Pasting", "Crops", "Planes", "Resizing", "Masks", "Finding", "Memory")
# Share of the processor taken by other programs above which a time is marked.
DISTURBED = 0.2
BANDWIDTH_WORK = "into memory in use"
OURS = "segs-detailer"
PLOTTED = {"SEGSPaste": "SEGSPaste", "DetailerForEach": "DetailerForEach, a sampler that changes nothing"}


@dataclass(frozen=True)
class Row:
    """One measurement: what pytest-benchmark says, and what `contest.Contest` added."""

    median: float
    facts: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(name) from None


class Results:
    """All measurements of a run."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.rows = [Row(b["stats"]["median"], b["extra_info"]) for b in data["benchmarks"]]
        self.machine = data["machine_info"]
        self.commit = data["commit_info"]
        self.run = self.machine["segs_detailer"]

    def works(self, area: str) -> list[str]:
        return list(dict.fromkeys(row.work for row in self.rows if row.area == area))

    def ways(self, work: str) -> dict[str, dict[str, Row]]:
        """Rows of a work by way, then by "one" and "all"."""
        ways: dict[str, dict[str, Row]] = {}
        for row in self.rows:
            if row.work == work:
                ways.setdefault(row.way, {})[row.threads] = row
        return ways

    def bandwidth(self, threads: str) -> float:
        """Bytes per second of the fastest copy between memory in use, read and written."""
        rows = [row for row in self.rows if BANDWIDTH_WORK in row.work and threads in (row.threads, "all")]
        return max(float(row.bytes_moved / row.median) for row in rows)


def ratio(peer: dict[str, Row], ours: dict[str, Row], threads: str) -> float | None:
    """How many times longer the peer takes; a peer of one thread stands for itself in both columns."""
    if threads not in ours:
        return None
    row = peer.get(threads) or (peer.get("one") if not peer["one"].threaded else None)
    return row.median / ours[threads].median if row else None


def time_text(row: Row | None) -> str:
    if row is None:
        return ""
    mark = " †" if (row.facts.get("others") or 0) > DISTURBED else ""
    if row.median >= 1:
        return f"{row.median:.2f} s{mark}"
    milliseconds = row.median * 1e3
    return (f"{milliseconds:.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms") + mark


def ratio_text(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 3 else f"{value:.2f}"
    return f"{text} x" if value >= 1 else f"**{text} x, slower**"


def goal_text(goal: float) -> str:
    return f"{goal:.3g} x"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown; all columns but the first to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def size_text(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def machine_section(results: Results) -> list[str]:
    machine, run = results.machine, results.run
    changed = ", with changes on top" if results.commit.get("dirty") else ""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    rows = [
        ["Processor", f"{machine['cpu'].get('brand_raw', machine['processor'])}, kernels for {run['cpu_level']}"],
        ["Threads", f"1, and {run['threads']} (all)"],
        ["System", f"{machine['system']} {machine['machine']}, Python {machine['python_version']}"],
        ["Versions", versions],
        ["Commit", f"{str(results.commit.get('id', 'unknown'))[:10]}{changed}"],
    ]
    for threads, name in (("one", "1 thread"), ("all", f"{run['threads']} threads")):
        rows.append(
            [f"Memory bandwidth, {name}", f"{results.bandwidth(threads) / 1e9:.1f} GB/s (copy, read and write)"]
        )
    others = [row.facts["others"] for row in results.rows if row.facts.get("others") is not None]
    if others:
        text = f"{100 * statistics.median(others):.0f} % of the processor in the median measurement"
        rows.append(["Other programs took", f"{text}, {100 * max(others):.0f} % in the most disturbed one"])
    kind = "A quick run: short clips, few rounds; not for comparison with full ones." if run["quick"] else ""
    lines = ["## The machine of this run", "", "| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows), ""]
    return [*lines, kind, ""] if kind else lines


def goals_section(results: Results) -> list[str]:
    rows = []
    for area in AREAS:
        for work in results.works(area):
            ways = results.ways(work)
            ours = next((rows for rows in ways.values() if rows["one"].ours), None)
            for way, peer in ways.items():
                first = peer["one"]
                if ours is None or first.goal is None:
                    continue
                value = ratio(peer, ours, first.goal_threads)
                if value is None:
                    continue
                threads = "1" if first.goal_threads == "one" else str(results.run["threads"])
                verdict = "yes" if value >= first.goal else "**no**"
                rows.append([work, way, threads, goal_text(first.goal), ratio_text(value), verdict])
    met = sum(row[-1] == "yes" for row in rows)
    head = ["## Goals", "", f"{met} of {len(rows)} are met in this run.", ""]
    return head + table(["work", "against", "threads", "goal", "measured", "met"], rows)


def work_section(results: Results, work: str) -> list[str]:
    ways = results.ways(work)
    ours = next((rows for rows in ways.values() if rows["one"].ours), None)
    count = results.run["threads"]
    header = ["", "1 thread", f"{count} threads"]
    if ours:
        header += ["against ours, 1 thread", f"{count} threads", "goal"]
    notes: dict[str, int] = {}
    rows = []
    for way, by_threads in ways.items():
        first = by_threads["one"]
        name = f"**{way}**" if first.ours else way
        if first.note:
            name += f" [{notes.setdefault(first.note, len(notes) + 1)}]"
        row = [name, time_text(first), time_text(by_threads.get("all")) if first.threaded else "one thread only"]
        if ours:
            values = ["", ""] if first.ours else [ratio_text(ratio(by_threads, ours, t)) for t in ("one", "all")]
            row += [*values, goal_text(first.goal) if first.goal else ""]
        rows.append(row)
    lines = [f"### {work}", "", *table(header, rows)]
    sample = next(iter(ways.values()))["one"]
    lines += [bandwidth_line(results, sample.bytes_moved, ours), ""]
    for note in [sample.work_note, *(f"[{number}] {note}" for note, number in notes.items())]:
        lines += [note, ""] if note else []
    return lines


def bandwidth_line(results: Results, moved: int, ours: dict[str, Row] | None) -> str:
    text = f"At least {size_text(moved)} must be moved"
    if ours is None:
        return text + "."
    shares = [f"{100 * moved / row.median / results.bandwidth(t):.0f} %" for t, row in ours.items()]
    return f"{text}; ours reaches {' and '.join(shares)} of the memory bandwidth."


def growth_section(points: list[dict[str, Any]], plotted: bool) -> list[str]:
    """Time per frame and memory by frame count."""
    lines = ["## Growth with the number of frames", ""]
    first = points[0]
    lines += [
        "Each point in a process of its own, all threads, 960 x 540 float32 frames "
        f"({first['clip_bytes'] / first['frames'] / 1e6:.1f} MB each), one segment. "
        "Memory is what a run holds at its peak beyond its input, in units of the clip: 1 is the output alone.",
        "",
    ]
    if plotted:
        lines += [f"![Time and memory against the number of frames]({PLOT.relative_to(PAGE.parent).as_posix()})", ""]
    for node, title in PLOTTED.items():
        counts = sorted({p["frames"] for p in points if p["node"] == node})
        for what, value in (
            ("milliseconds per frame", lambda p: f"{1e3 * p['seconds'] / p['frames']:.3g}"),
            ("peak memory beyond the input, clips", lambda p: f"{p['extra_bytes'] / p['clip_bytes']:.2f}"),
        ):
            rows = []
            for way in dict.fromkeys(p["way"] for p in points if p["node"] == node):
                by_count = {p["frames"]: p for p in points if p["node"] == node and p["way"] == way}
                rows.append([way, *(value(by_count[c]) if c in by_count else "" for c in counts)])
            lines += [f"**{title}**, {what}", "", *table(["frames", *map(str, counts)], rows)]
        lines += besides_line(points, node)
    return lines


def besides_line(points: list[dict[str, Any]], node: str) -> list[str]:
    """What our largest run holds besides the output and one segment's crops."""
    ours = [p for p in points if p["node"] == node and p["way"].startswith("segs-detailer")]
    most = max(ours, key=lambda p: p["frames"])
    besides = most["extra_bytes"] - most["clip_bytes"]
    if node == "SEGSPaste":
        return [f"Ours holds {besides / 1e6:.0f} MB besides the output at {most['frames']} frames.", ""]
    crops = most["crop_bytes"] + most["working_bytes"]
    return [
        f"Ours holds {besides / 1e6:.0f} MB besides the output at {most['frames']} frames; one segment's crops are "
        f"{most['crop_bytes'] / 1e6:.0f} MB, with those of working size {crops / 1e6:.0f} MB.",
        "",
    ]


def imports_section(points: list[dict[str, Any]]) -> list[str]:
    """Time of imports, with what they load that is heavy."""
    rows = []
    for point in points:
        goal = point["goal"]
        after = f", after `{point['after']}`" if point["after"] else ""
        rows.append(
            [
                f"`{point['statement']}`{after}",
                f"{1e3 * point['seconds']:.1f} ms",
                f"{1e3 * point['processor']:.1f} ms",
                "" if goal is None else f"{1e3 * goal:.0f} ms",
                "" if goal is None else "yes" if point["seconds"] <= goal else "**no**",
                ", ".join(point["loaded"]),
            ]
        )
    lines = [
        "## Imports",
        "",
        "Each in fresh processes, the median, without the interpreter's start and with compiled modules: time on the "
        "clock, and time of the processor, which other programs do not lengthen.",
        "",
    ]
    return lines + table(["import", "time", "processor", "at most", "met", "heavy modules loaded"], rows)


RUNS_TITLE = "Whole runs"
FIRST_FRAME_GOAL = 0.5
"""Seconds of the processor until the first frame, beyond what importing PyAV and NumPy takes."""


def runs_section(results: dict[str, Any]) -> list[str]:
    """Whole runs beside transcodes, and the way to the first frame."""
    rows = []
    for run in results["runs"]:
        ours, transcode = run["ours"], run["transcode"]
        spent = ours["processor"] - ours["sampling"]
        times = spent / transcode["processor"]
        rows.append(
            [
                run["name"],
                str(run["frames"]),
                f"{transcode['processor']:.1f} s",
                f"{spent:.1f} s",
                f"{times:.2f} x",
                f"{ours['importing'] / transcode['processor']:.2f} x",
                f"{run['goal']:g} x",
                "yes" if times <= run["goal"] else "**no**",
                f"{ours['clock']:.1f} of {transcode['clock']:.1f} s",
                f"{ours['peak'] / 1e6:.0f} of {transcode['peak'] / 1e6:.0f} MB",
                ", ".join(f"{name} {seconds:.1f} s" for name, seconds in ours["passes"].items()),
            ]
        )
    start = results["start"]
    beyond = start["first_frame"] - start["imports"]
    met = "met" if beyond <= FIRST_FRAME_GOAL else "**missed**"
    machine = results["machine"]
    kind = " A quick run, of short clips: what a run begins with weighs more in it." if machine["quick"] else ""
    names = [
        "work",
        "frames",
        "transcode",
        "ours",
        "is",
        "of it PyTorch",
        "at most",
        "met",
        "on the clock",
        "peak of memory",
        "at work",
    ]
    return [
        f"## {RUNS_TITLE}",
        "",
        "From file to file, beside a plain transcode by PyAV with the same encoder settings, each in a fresh process: "
        "time of the processor of the whole process, imports too, without the thread that samples (by a sampler that "
        "darkens crops), and of it the import of PyTorch, once for a run of any length; the clock, the peak of memory, "
        "most of it the crops of a piece as floats within `max_ram`, and what each pass worked. Measured by "
        f"`benches/whole_runs.py` on {machine['processor']}, {machine['cores']} cores.{kind}",
        "",
        *table(names, rows),
        f"Until the first frame is decoded, `run` takes {start['first_frame']:.2f} s of the processor, "
        f"`import av, numpy` in a fresh process {start['imports']:.2f} s: {beyond:.2f} s more, where the goal is "
        f"{FIRST_FRAME_GOAL} s, which is {met}.",
        "",
    ]


def write_section(title: str, lines: list[str]) -> None:
    """Put one section of the generated part in place of what is there of it, or before the imports."""
    text = PAGE.read_text(encoding="utf-8")
    body = "\n".join(lines).strip() + "\n\n"
    if f"## {title}\n" in text:
        start = text.index(f"## {title}\n")
        end = text.index("\n## ", start) + 1
    else:
        start = end = text.index("## Imports\n")
    PAGE.write_text(text[:start] + body + text[end:], encoding="utf-8")


START_GOAL = 0.3


def comfyui_section(results: dict[str, Any]) -> list[str]:
    """Our node in a running ComfyUI beside Impact Pack's, and what loading the nodes takes."""
    lines = ["## In ComfyUI", ""]
    if results["skipped"]:
        return [*lines, f"Not measured: {results['skipped']}.", ""]
    lines += [
        "Impact Pack's `DetailerForEachPipeForAnimateDiff` and our node: the same tiny random model, the same seed, "
        "sampled by ComfyUI on the CPU; 1080p, crops of 384 x 384 repainted at 512 x 512. Each in a process of its "
        "own, all threads. What the model takes to encode, sample and decode is left out: its time is subtracted, its "
        "memory does not count for the peak. Memory is beyond the input, in units of the clip: 1 is the output alone. "
        "The last column is the largest difference from Impact Pack's frames.",
        "",
    ]
    lines += table(
        ["", "time", "against ours", "peak memory", "clips", "time in the model", "difference"],
        [row for case in _comfyui_cases(results["detailers"]) for row in _comfyui_rows(case)],
    )
    start = results["start"]
    verdict = "yes" if start["seconds"] <= START_GOAL else "**no**"
    return [
        *lines,
        f"Loading the nodes takes {1e3 * start['seconds']:.0f} ms of ComfyUI's start, of them "
        f"{1e3 * start['processor']:.0f} ms of the processor: the median of {start['starts']} starts, the slowest took "
        f"{1e3 * start['slowest']:.0f} ms. Less than {1e3 * START_GOAL:.0f} ms: {verdict}.",
        "",
    ]


def _comfyui_cases(points: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    for case in dict.fromkeys((p["frames"], p["segments"]) for p in points):
        yield [p for p in points if (p["frames"], p["segments"]) == case]


def _comfyui_rows(case: list[dict[str, Any]]) -> Iterable[list[str]]:
    ours = next(p for p in case if p["way"] == OURS)
    for point in case:
        is_ours = point is ours
        segments = f"{point['segments']} segment" + ("s" if point["segments"] > 1 else "")
        yield [
            f"{point['frames']} frames, {segments}: " + (f"**{point['way']}**" if is_ours else point["way"]),
            time_text(Row(point["seconds"], {})),
            "" if is_ours else ratio_text(point["seconds"] / ours["seconds"]),
            size_text(point["extra_bytes"]),
            f"{point['extra_bytes'] / point['clip_bytes']:.2f}",
            time_text(Row(point["model_seconds"], {})),
            f"{255 * point['difference']:.2f}/255",
        ]


def draw(points: list[dict[str, Any]]) -> bool:
    """The plot of time and memory; False where matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("matplotlib is not installed: no plot", file=sys.stderr)
        return False
    mpl.use("svg")
    # The same file for the same numbers.
    mpl.rcParams["svg.hashsalt"] = "segs-detailer"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
    for column, (node, title) in enumerate(PLOTTED.items()):
        counts = sorted({p["frames"] for p in points if p["node"] == node})
        for index, way in enumerate(dict.fromkeys(p["way"] for p in points if p["node"] == node)):
            own = [p for p in points if p["node"] == node and p["way"] == way]
            frames = [p["frames"] for p in own]
            style = {"color": f"C{index}", "marker": "o", "linewidth": 3 if index == 0 else 1.5, "label": way}
            axes[0, column].plot(frames, [p["seconds"] for p in own], **style)
            axes[1, column].plot(frames, [p["extra_bytes"] / 1e9 for p in own], **style)
        axes[0, column].set(title=title, ylabel="seconds")
        axes[1, column].set(xlabel="frames of 960 x 540", ylabel="GB at the peak, beyond the input")
        for axis in axes[:, column]:
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(lambda *_: "")
            axis.set_xticks(counts, [str(count) for count in counts])
            axis.grid(alpha=0.3)
        axes[1, column].legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)
    return True


def write_page(generated: list[str]) -> None:
    """Put the generated part between its markers; what people wrote around it stays."""
    text = PAGE.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"{PAGE}: the lines {BEGIN!r} and {END!r} are missing")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    body = "\n".join(generated).strip()
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def run_benches(target: Path, *, quick: bool) -> None:
    """Run the suite; a wrong result of any way ends the report."""
    command = [sys.executable, "-m", "pytest", "benches", "-q", "--benchmark-quiet", "--benchmark-json", str(target)]
    status = subprocess.run([*command, *(["--quick"] if quick else [])], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"the benches failed with {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="results of pytest-benchmark to report")
    parser.add_argument("--growth", type=Path, help="results of growth.py to report")
    parser.add_argument("--imports", type=Path, help="results of import_time.py to report")
    parser.add_argument("--runs", type=Path, help="results of whole_runs.py to report")
    parser.add_argument("--runs-only", action="store_true", help="write the section of whole runs alone")
    parser.add_argument("--comfyui", type=Path, help="results of comfyui_nodes.py to report")
    parser.add_argument("--quick", action="store_true", help="run the small version of what has to be run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = arguments.runs or Path(folder) / "runs.json"
        if arguments.runs is None:
            import whole_runs

            runs.write_text(json.dumps(whole_runs.measure_all(quick=arguments.quick)), encoding="utf-8")
        run_results = json.loads(runs.read_text(encoding="utf-8"))
        if arguments.runs_only:
            write_section(RUNS_TITLE, runs_section(run_results))
            return
        results = arguments.json or Path(folder) / "benches.json"
        if arguments.json is None:
            run_benches(results, quick=arguments.quick)
        growth = arguments.growth or Path(folder) / "growth.json"
        if arguments.growth is None:
            from growth import measure_all

            growth.write_text(json.dumps(measure_all(quick=arguments.quick)), encoding="utf-8")
        imports = arguments.imports or Path(folder) / "imports.json"
        if arguments.imports is None:
            import import_time

            imports.write_text(json.dumps(import_time.measure_all(quick=arguments.quick)), encoding="utf-8")
        comfyui = arguments.comfyui or Path(folder) / "comfyui.json"
        if arguments.comfyui is None:
            import comfyui_nodes

            comfyui.write_text(json.dumps(comfyui_nodes.measure_all(quick=arguments.quick)), encoding="utf-8")
        data = Results(json.loads(results.read_text(encoding="utf-8")))
        points = json.loads(growth.read_text(encoding="utf-8"))
        import_points = json.loads(imports.read_text(encoding="utf-8"))
        comfyui_results = json.loads(comfyui.read_text(encoding="utf-8"))
    lines = [*machine_section(data), *goals_section(data)]
    for area in AREAS:
        works = data.works(area)
        lines += [f"## {area}", ""] if works else []
        for work in works:
            lines += work_section(data, work)
    lines += runs_section(run_results)
    lines += imports_section(import_points)
    lines += comfyui_section(comfyui_results)
    write_page([*lines, *growth_section(points, draw(points))])


if __name__ == "__main__":
    main()
