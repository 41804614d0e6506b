"""The process of the command line: `segs-detailer`, and `python -m segs_detailer.cli`."""

from __future__ import annotations

import sys
from typing import NoReturn

from segs_detailer.cli.signals import EndingSignals, Interrupted


def entry() -> NoReturn:
    """Run the command line in a process that ends with it."""
    signals = EndingSignals()
    # First of all: what is imported takes longer than some users wait.
    signals.install()
    try:
        from segs_detailer.cli.main import run_command

        code = run_command(None)
    except Interrupted as stop:
        # It came before there was a command to stop, or after.
        code = stop.code
    signals.end()
    sys.exit(code)


if __name__ == "__main__":
    entry()
