"""Where things lie in the repository."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def shared_model(pattern):
    """Find a model in shared/models beside the repository, which is no part of it; None where there is none."""
    folders = (folder / "shared" / "models" for folder in ROOT.parents)
    return next((path for folder in folders for path in sorted(folder.glob(pattern))), None)
