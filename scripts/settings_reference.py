"""Write the tables of settings into docs/settings.md, between its markers.

python scripts/settings_reference.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.comfyui.seams import seam_inputs
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.detailer.subject_settings import SubjectSettings
from segs_detailer.jobs.parts import (
    EncodeSettings,
    FindSettings,
    LimitSettings,
    ModelSettings,
    PathSettings,
    PromptSettings,
)
from segs_detailer.nodes.detailers import DETAILER_FOR_EACH, SEGS_DETAILER
from segs_detailer.settings import Declared, declared, plain
from segs_detailer.subjects.criteria import SelectSettings

if TYPE_CHECKING:
    from segs_detailer.nodes.declaration import Input

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
START, END = "<!-- settings -->\n", "<!-- /settings -->"

SECTIONS = (
    ("`detail`: how a crop is repainted and pasted", DetailerSettings),
    ("`find`: where the subjects are", FindSettings),
    ("`select`: which of them are meant", SelectSettings),
    ("`crop`: how crops and masks follow them", PathSettings),
    ("`model`: what loads the models", ModelSettings),
    ("`prompts`: what the subjects show", PromptSettings),
    ("`subjects`: what a single subject has otherwise", SubjectSettings),
    ("`encode`: how a video is written", EncodeSettings),
    ("`limits`: what a run may take, and what it keeps", LimitSettings),
)
"""Headings, and the classes whose settings stand there."""


def table(cls: type[Any], nodes: dict[str, tuple[Input, ...]] | None = None) -> str:
    """Return the table of a class of settings, with the nodes that have them."""
    head = ["setting", "type", "default", "range", "", *([] if nodes is None else ["nodes"])]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for each in declared(cls):
        cells = [f"`{each.name}`", _kind(each), _default(each), _range(each), each.help]
        if nodes is not None:
            cells.append(", ".join(name for name, inputs in nodes.items() if each.name in {i.name for i in inputs}))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kind(each: Declared) -> str:
    kind = "" if each.choices else each.type.__name__
    return f"{kind} or None" if each.optional and kind else kind


def _default(each: Declared) -> str:
    if each.default is None or each.default_text:
        return each.default_text
    return f"`{each.default if each.type is bool else plain(each.default)}`" if each.default not in ("", ()) else ""


def _range(each: Declared) -> str:
    if each.choices:
        return " ".join(f"`{choice}`" for choice in each.choices)
    return f"{each.range_text} {each.unit}".strip() if each.range_text else each.unit


def reference() -> str:
    """Return all sections."""
    both = {item.name for item in SEGS_DETAILER.inputs}
    nodes = {
        "both detailers": SEGS_DETAILER.inputs,
        "those that paste": tuple(item for item in DETAILER_FOR_EACH.inputs if item.name not in both),
        "Seams and Noise": seam_inputs(),
    }
    return "\n".join(
        f"## {title}\n\n{table(cls, nodes if cls is DetailerSettings else None)}" for title, cls in SECTIONS
    )


def with_reference(text: str) -> str:
    """Return a page with the reference of now."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
