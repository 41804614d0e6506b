"""`python -m segs_detailer`: the command line."""

from __future__ import annotations

from segs_detailer.cli.__main__ import entry

if __name__ == "__main__":
    entry()
