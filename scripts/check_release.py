"""Hold wheels, the changelog and a tag against the one version number, and wheels against what belongs into them.

    python scripts/check_release.py dist/*.whl
    python scripts/check_release.py --tag v0.2.0 dist/*.whl

The version is that of `Cargo.toml`. A tag is that version behind a `v`, and the changelog has a section of it with a
date. A wheel holds the files of `python/segs_detailer` that git knows, the kernels, and its own metadata: nothing else.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "segs_detailer"
MOST_BYTES = 6_000_000
KERNELS = re.compile(rf"{PACKAGE}/_native\.[\w.-]*(so|pyd)")
METADATA = re.compile(
    rf"{PACKAGE}-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE|sboms/[\w.-]+\.json)"
)
LICENSE = "LICENSE"


def version(root: Path = ROOT) -> str:
    """Return the version of the workspace."""
    text = (root / "Cargo.toml").read_text(encoding="utf-8")
    found = re.search(r'^\[workspace\.package\]\nversion = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise SystemExit("Cargo.toml: there is no version under [workspace.package]")
    return found.group(1)


def package_files(root: Path = ROOT) -> set[str]:
    """Files of the package that git knows, as a wheel names them."""
    command = ["git", "-C", str(root), "ls-files", "-z", f"python/{PACKAGE}"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name.removeprefix("python/") for name in listed.split("\0") if name}


def tag_faults(tag: str, wanted: str, changelog: str) -> list[str]:
    """Say what of a tag and the changelog is not of a version."""
    faults = []
    if tag != f"v{wanted}":
        faults.append(f"the tag is {tag}, and the version v{wanted}")
    if not re.search(rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        faults.append(f'CHANGELOG.md has no section "## [{wanted}] - YYYY-MM-DD"')
    return faults


def wheel_faults(wheel: Path, wanted: str, files: set[str]) -> list[str]:
    """Say what a wheel has too much or lacks."""
    faults = []
    if not wheel.name.startswith(f"{PACKAGE}-{wanted}-"):
        faults.append(f"its version is not {wanted}")
    size = wheel.stat().st_size
    if size > MOST_BYTES:
        faults.append(f"it has {size} bytes, more than {MOST_BYTES}")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    kernels = {name for name in names if KERNELS.fullmatch(name)}
    if len(kernels) != 1:
        faults.append(f"it has {len(kernels)} builds of the kernels, and not one")
    others = {name for name in names - kernels - files if name != LICENSE and not METADATA.fullmatch(name)}
    faults += [f"it has {name}" for name in sorted(others)]
    faults += [f"it lacks {name}" for name in sorted(files - names)]
    return faults


def main(given: list[str] | None = None) -> int:
    """Print what is wrong; return 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path, nargs="*", metavar="WHEEL", help="wheels to look into")
    parser.add_argument("--tag", help="the tag of the release")
    arguments = parser.parse_args(given)
    wanted, files = version(), package_files()
    faults = []
    if arguments.tag is not None:
        faults += tag_faults(arguments.tag, wanted, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    for wheel in arguments.wheels:
        faults += [f"{wheel.name}: {fault}" for fault in wheel_faults(wheel, wanted, files)]
    print("\n".join(faults) if faults else f"version {wanted}, {len(arguments.wheels)} wheels: as they should be")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
