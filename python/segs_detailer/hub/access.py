"""The one place that talks to the hub: its cache, whether it can be reached, and what its errors mean."""

from __future__ import annotations

import errno
import logging
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import MissingDependencyError, ModelError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cache_folder", "check_reachable", "failure", "import_hub", "quiet_hub", "repository_folder"]

# huggingface_hub itself tries a dead host for half a minute.
_PATIENCE = 5.0
# How long nothing more is asked of a hub that did not answer: batches open a finder for each clip.
_REST = 300.0

_rests_until: dict[str, float] = {}


def import_hub() -> Any:
    """Import huggingface_hub.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingDependencyError("huggingface_hub", "video") from error
    return huggingface_hub


def cache_folder() -> Path:
    """Folder in which huggingface_hub keeps what it fetched; `HF_HUB_CACHE` and `HF_HOME` say where.

    Raises
    ------
    MissingDependencyError
        huggingface_hub is not installed.
    """
    return Path(import_hub().constants.HF_HUB_CACHE)


def repository_folder(repository: str) -> Path:
    """Folder of a repository, such as `opencv/face_detection_yunet`, within the cache."""
    return cache_folder() / "--".join(["models", *repository.split("/")])


def check_reachable(what: str, ask: Callable[[float], object]) -> None:
    """Ask the hub something small, so that a host that does not answer costs seconds.

    Parameters
    ----------
    what : str
        What is wanted, for the message.
    ask : callable
        Sends one request without retries; it is given the most seconds that each of its steps may take.

    Raises
    ------
    ModelError
        The hub does not answer, did not a moment ago, or says no; or `HF_HUB_OFFLINE` is set.
    """
    constants = import_hub().constants
    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{what} cannot be fetched: HF_HUB_OFFLINE is set")
    silence = ModelError(f"{what} cannot be fetched: {endpoint} does not answer")
    if time.monotonic() < _rests_until.get(endpoint, 0.0):
        raise silence
    errors: list[Exception] = []

    def run() -> None:
        try:
            ask(_PATIENCE)
        except Exception as error:  # told by the thread that waits
            errors.append(error)

    # A name server or a wall that swallows packets holds a thread for longer than any time limit of the request.
    thread = threading.Thread(target=run, name="segs-detailer-hub", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        _rests_until[endpoint] = time.monotonic() + _REST
        raise silence
    if errors:
        if getattr(errors[0], "response", None) is None:
            _rests_until[endpoint] = time.monotonic() + _REST
        raise failure(what, errors[0]) from errors[0]


def failure(what: str, error: Exception) -> ModelError:
    """Say in one line why something could not be fetched.

    Parameters
    ----------
    what : str
        What was wanted.
    error : Exception
        Of huggingface_hub, or of what it calls.
    """
    hub = import_hub()
    known = hub.errors
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"the disk of {cache_folder()} is full"
    elif isinstance(error, PermissionError):
        reason = f"{cache_folder()} cannot be written to"
    elif isinstance(error, known.GatedRepoError):
        reason = "its repository is gated: accept its license on the hub, and log in with `hf auth login`"
    elif isinstance(error, (known.EntryNotFoundError, known.RepositoryNotFoundError, known.RevisionNotFoundError)):
        reason = f"{hub.constants.ENDPOINT} does not have it"
    else:
        reason = f"{hub.constants.ENDPOINT}: {first_line(error)}"
    return ModelError(f"{what} cannot be fetched: {reason}")


@contextmanager
def quiet_hub(*, bars: bool) -> Iterator[None]:
    """Keep huggingface_hub from writing to the terminal; what goes wrong comes as an error.

    Parameters
    ----------
    bars : bool
        Whether its progress bars are shown.
    """
    hub = import_hub()
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    # Who set the variable to 0 wants them everywhere, and to turn them off would be answered by a warning.
    hides = not bars and hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is None
    hides = hides and not hub.utils.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if hides:
        hub.utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        if hides:
            hub.utils.enable_progress_bars()
