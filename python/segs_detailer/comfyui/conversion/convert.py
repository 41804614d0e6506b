"""Conversion of a workflow, in memory and from file to file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.conversion.canvases import canvas_problems, convert_canvas, is_canvas
from segs_detailer.comfyui.conversion.prompts import convert_prompt, is_prompt, prompt_problems
from segs_detailer.comfyui.conversion.report import Report
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.partial import PartialFile, check_file

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["convert_file", "convert_workflow", "default_output"]

_SUFFIX = ".converted.json"
_INDENT = 2


def convert_workflow(workflow: dict[str, Any]) -> tuple[dict[str, Any], Report]:
    """Swap Impact Pack's nodes that have a twin here for it.

    Parameters
    ----------
    workflow : dict
        What the browser saves, or what ComfyUI's API takes; not changed.

    Returns
    -------
    converted : dict
        The same form; every other node is as it was.
    report : Report
        What was swapped, and which of Impact Pack's nodes stayed.

    Raises
    ------
    InvalidArgumentError
        `workflow` is neither.

    Examples
    --------
    >>> pipe = {"class_type": "FromBasicPipe", "inputs": {"basic_pipe": ["1", 0]}}
    >>> prompt = {"1": {"class_type": "Loader", "inputs": {}}, "2": pipe}
    >>> converted, report = convert_workflow({**prompt, "3": {"class_type": "Uses", "inputs": {"model": ["2", 0]}}})
    >>> converted["2"]["class_type"], converted["3"]["inputs"]
    ('SegsDetailerFromBasicPipe', {'model': ['2', 1]})
    """
    converted, report = copy.deepcopy(workflow), Report()
    if is_canvas(converted):
        before = canvas_problems(converted)
        convert_canvas(converted, report)
        new = canvas_problems(converted) - before
    elif is_prompt(converted):
        before = prompt_problems(converted)
        convert_prompt(converted, report)
        new = prompt_problems(converted) - before
    else:
        expected = "a workflow of ComfyUI: what the browser saves (with nodes and links), or exports for the API"
        raise InvalidArgumentError("workflow", expected, _described(workflow))
    if new:
        raise InvalidArgumentError("workflow", "links that fit the nodes at their ends", "; ".join(sorted(new)))
    return converted, report


def convert_file(source: str | PathLike[str], output: str | PathLike[str], *, overwrite: bool = False) -> Report:
    """Convert a file, see `convert_workflow`.

    Parameters
    ----------
    source : str or PathLike
        The workflow's file.
    output : str or PathLike
        The file to write; none is written where nothing was swapped.
    overwrite : bool
        Replace a file that is there, which may be `source` itself.

    Returns
    -------
    Report
        What was done.

    Raises
    ------
    MediaError
        The file is no workflow, or `output` is there or cannot be written. Nothing was written.
    OSError
        It cannot be read or written.
    """
    source, output = Path(source), Path(output)
    text = _read(source)
    try:
        workflow = json.loads(text)
    except ValueError as error:
        raise MediaError(f"{source}: expected a workflow as JSON, got something else ({error})") from None
    except RecursionError:
        raise MediaError(f"{source}: expected a workflow as JSON, got lists within lists without end") from None
    try:
        converted, report = convert_workflow(workflow)
    except InvalidArgumentError as error:
        raise MediaError(f"{source}: expected {error.expected}, got {error.got}") from None
    check_file(output)
    if output.exists() and not overwrite:
        raise MediaError(f"{output}: is there already: choose another output, or overwrite=True")
    if report.swapped:
        # Files on one line stay so.
        indent = _INDENT if "\n" in text.strip() else None
        with PartialFile(output) as partial:
            partial.write_text(json.dumps(converted, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    return report


def default_output(source: str | PathLike[str]) -> Path:
    """Return the file that is written where none is named: beside the source."""
    return Path(source).with_suffix(_SUFFIX)


def _read(source: Path) -> str:
    if source.is_dir():
        raise MediaError(f"{source}: is a folder: name the workflow's file")
    if not source.exists():
        raise MediaError(f"{source}: no such file")
    try:
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError(f"{source}: expected a workflow as JSON, got a file that is no text") from None


def _described(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a JSON {type(content).__name__}"
    if "prompt" in content:
        return "the body of a request: take what is under prompt"
    keys = ", ".join(map(str, list(content)[:5]))
    return f"an object with {keys}" if keys else "an empty object"
