"""Write the folder that is published in the Comfy Registry: the same files as `segs-detailer comfyui install` writes.

    python scripts/registry_folder.py FOLDER --publisher ID --repository https://...
    cd FOLDER && comfy node publish

Run it with a Python that has the package installed: its version is the one that is published.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from segs_detailer.comfyui.folder import folder_files
from segs_detailer.comfyui.install import write_folder


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to; made if absent")
    parser.add_argument(
        "--publisher", required=True, metavar="ID", help="who publishes: the name behind @ in the registry"
    )
    parser.add_argument("--repository", required=True, metavar="URL", help="where the source code is")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_folder(arguments.folder, folder_files(repository=arguments.repository, publisher=arguments.publisher))


if __name__ == "__main__":
    main()
