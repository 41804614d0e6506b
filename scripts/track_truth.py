"""Measure tracks and their crops on synthetic clips, and write the table into docs/tracks.md, between its markers.

python scripts/track_truth.py [--print]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "subjects"))

from synthetic import SCENES  # noqa: E402 - tests are no package
from track_truth import COLUMNS, row  # noqa: E402

PAGE = ROOT / "docs" / "tracks.md"
START, END = "<!-- truth -->\n", "<!-- /truth -->"


def table() -> str:
    """Return the table as it is now."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *(row(scene) for scene in SCENES)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_table(text: str, measured: str) -> str:
    """Return a page with a table."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{measured}\n\n{END}{after}"


if __name__ == "__main__":
    found = table()
    if "--print" in sys.argv[1:]:
        print(found)
    else:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
