"""Write the nodes' reference into docs/comfyui.md, between its markers.

python scripts/node_reference.py
"""

from __future__ import annotations

from pathlib import Path

from segs_detailer.comfyui.help_pages import reference

PAGE = Path(__file__).parents[1] / "docs" / "comfyui.md"
START, END = "<!-- nodes -->\n", "<!-- /nodes -->"


def with_reference(text: str) -> str:
    """Return a page with the reference of now."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
