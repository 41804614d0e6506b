"""Names of files and folders of this machine, told from URLs."""

from __future__ import annotations

import re
from pathlib import Path

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video.partial import check_name

__all__ = ["local_path", "output_path"]

# Two letters at least: one is a drive of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")


def local_path(path: str | Path) -> Path:
    """Return the path of a name, before slashes of a URL are lost in it.

    Parameters
    ----------
    path : str or Path
        Name of a file or folder.

    Raises
    ------
    MediaError
        It is a URL.
    """
    found = _SCHEME.match(str(path))
    if found is None or Path(path).exists():
        return Path(path)
    rest = str(path)[found.end() :]
    if found[1].lower() == "file":
        raise MediaError(f"file:///{rest}: is a URL: name the file itself, /{rest}")
    url = f"{found[1]}://{rest}"
    raise MediaError(f"{url}: is a URL, and only local files are read and written: download it first")


def output_path(path: str | Path) -> Path:
    """Return the path of something to write.

    Parameters
    ----------
    path : str or Path
        Name of a file or folder.

    Raises
    ------
    InvalidArgumentError
        It is empty, or `-`, which elsewhere stands for standard output.
    MediaError
        It is a URL, or longer than the file system takes.
    """
    text = str(path)
    if not text.strip() or text == "-":
        raise InvalidArgumentError("path", "the name of a file or folder", repr(text))
    target = local_path(path)
    check_name(target)
    return target
