"""What importing the package loads, and that everything public is there."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import segs_detailer
from places import ROOT

OTHER_CODE = [path for folder in ("scripts", "benches", "examples", ".ci") for path in (ROOT / folder).rglob("*.py")]
PUBLIC = [
    "segs_detailer",
    "segs_detailer.detailer",
    "segs_detailer.hub",
    "segs_detailer.jobs",
    "segs_detailer.jobs.batch",
    "segs_detailer.models",
    "segs_detailer.ops",
    "segs_detailer.subjects",
    "segs_detailer.subjects.finders",
    "segs_detailer.subjects.segmenters",
    "segs_detailer.verify",
    "segs_detailer.video",
]
HEAVY = ("torch", "diffusers", "transformers", "av", "cv2", "PIL", "tqdm")


def loaded_after(statements):
    """Which of the heavy packages a fresh interpreter has loaded."""
    code = f"{statements}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statements",
    [
        "import segs_detailer",
        "import segs_detailer; segs_detailer.__version__; segs_detailer.SEG; segs_detailer.InvalidArgumentError",
        "import segs_detailer.segs, segs_detailer.subjects.masks, segs_detailer.ops",
        "import numpy as np\n"
        "from segs_detailer import crop_frames, feather_mask, masks_to_segs, paste, resize_frames, scale_match\n"
        "frames = np.zeros((2, 8, 8, 3), np.float32)\n"
        "paste(frames, resize_frames(crop_frames(frames, (0, 0, 4, 4)), (3, 3)), None, (1, 1, 4, 4))\n"
        "mask = feather_mask(np.ones((8, 8), np.float32), 2)\n"
        "scale_match(masks_to_segs(mask, drop_size=0), (2, 16, 16, 3))",
    ],
)
def test_numpy_work_loads_nothing_heavy(statements):
    assert loaded_after(statements) == set()


COMMAND = """
import contextlib, io
from segs_detailer.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
"""

UNTIL_THE_FIRST_FRAME = """
import os, sys
from segs_detailer.video.container_reader import ContainerSource
pictures = ContainerSource.pictures
def told(source, *args, **kwargs):
    for picture in pictures(source, *args, **kwargs):
        print(*(name for name in {heavy} if name in sys.modules), flush=True)
        os._exit(0)
ContainerSource.pictures = told
from segs_detailer.cli.main import main
main({words!r})
"""


def a_small_clip(folder):
    av = pytest.importorskip("av")
    path = str(folder / "clip.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["plan", "--help"], ["batch", "--help"]])
def test_help_loads_nothing_heavy(words):
    assert loaded_after(COMMAND.format(words=words)) == set()


def test_a_plan_of_a_preview_loads_no_torch(tmp_path):
    words = ["plan", a_small_clip(tmp_path), "--bbox", "10,10,30,30", "--no-cache"]
    assert loaded_after(COMMAND.format(words=words)) <= {"av", "PIL"}


@pytest.mark.parametrize("more", [[], ["--batch-segments", "2"]])
def test_until_the_first_frame_a_preview_loads_no_torch(tmp_path, more):
    clip, output = a_small_clip(tmp_path), str(tmp_path / "out.mkv")
    words = ["run", clip, "-o", output, "--bbox", "10,10,30,30", "--no-cache", "--quiet", *more]
    code = UNTIL_THE_FIRST_FRAME.format(words=words, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["av"], done.stderr


@pytest.mark.parametrize("name", sorted(segs_detailer.__all__))
def test_every_public_name_is_there(name):
    assert getattr(segs_detailer, name) is not None
    assert name in dir(segs_detailer)


@pytest.mark.parametrize("name", PUBLIC)
def test_packages_show_their_public_names_alone(name):
    """And the three lists of a package agree: of public names, for type checkers, and of the modules that hold them."""
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    for_types = next(node for node in ast.parse(Path(package.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [node for node in for_types.body if isinstance(node, ast.ImportFrom)]
    module_of = {alias.name: node.module for node in imports for alias in node.names}
    assert set(module_of) == set(package.__all__) - {"__version__"}
    for public, module in module_of.items():
        assert getattr(package, public) is getattr(importlib.import_module(module), public)


@pytest.mark.parametrize("path", OTHER_CODE, ids=lambda path: path.name)
def test_what_scripts_and_benches_import_exists(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "segs_detailer":
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_names_that_are_not_there_are_said():
    with pytest.raises(AttributeError, match="module 'segs_detailer' has no attribute 'detail_frame'"):
        _ = segs_detailer.detail_frame


def test_the_version_is_the_installed_distributions():
    try:
        expected = version("segs-detailer")
    except PackageNotFoundError:
        expected = "0+unknown"
    assert segs_detailer.__version__ == expected
