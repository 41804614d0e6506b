"""Finding three faces that move through a clip of 1080p, from its file: beside a loop that looks at every frame of it.

`SEGS_DETAILER_TEST_YUNET` names the file of a YuNet; without one a detector of plain colors stands in, which takes no
time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from contest import OURS, Contest, Way, Work, compare
from segs_detailer import iter_frames, open_clip
from segs_detailer.subjects import Detection
from segs_detailer.subjects.finders import (
    Detector,
    FollowSettings,
    ReducedDetector,
    YuNetDetector,
    clip_frames,
    find_tracks,
)

AREA = "Finding"
HEIGHT, WIDTH = 1080, 1920
COUNT, QUICK_COUNT = 120, 24
MODEL = os.environ.get("SEGS_DETAILER_TEST_YUNET", "")
# Of the box's size: mean of the largest error of any side.
MOST_ERROR = 0.03


class Colored(ReducedDetector):
    """Finds what is of a color that nothing else has."""

    names, batch = ("face",), 1

    def picture_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        return frame_size[0] // 3, frame_size[1] // 3

    def look(self, pictures: Any, frame_size: tuple[int, int]) -> list[list[Detection]]:
        found = []
        for picture in pictures:
            scale = frame_size[0] / picture.shape[0]
            skin = cv2.inRange(picture, (150, 60, 40), (255, 190, 160))
            count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.medianBlur(skin, 5))
            boxes = [np.array((x, y, x + w, y + h)) * scale for x, y, w, h, size in stats[1:count] if size > 300]
            found.append([Detection(tuple(box.tolist()), 1.0, "face") for box in boxes])
        return found


def place(frame: int, number: int) -> tuple[float, float, float]:
    """Where a face is, and how large."""
    wave = np.sin(frame / (30, 18, 35)[number])
    x = (150, 900, 1400)[number] + (220, 120, -150)[number] * wave
    y = (200, 500, 300)[number] + (30, 60, 80)[number] * np.cos(frame / (20, 15, 22)[number])
    return x, y, (1.3, 1.0, 1.6)[number] * (1 + 0.08 * np.sin(frame / 25 + number))


def face() -> np.ndarray:
    if MODEL:
        data = pytest.importorskip("skimage.data")
        return data.astronaut()[:200, 130:330]
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    texture = cv2.resize(rng.integers(0, 60, (12, 12), np.uint8), (200, 200))
    colors = np.stack([180 + texture, 90 + texture, 60 + texture], axis=-1)
    return np.where((x**2 + y**2 < 0.6)[..., None], colors, 30).astype(np.uint8)


@pytest.fixture(scope="module")
def clip(scratch: Path, pytestconfig: pytest.Config) -> Path:
    path = scratch / "faces.mp4"
    ground = cv2.resize(np.random.default_rng(0).integers(60, 140, (54, 96, 3), np.uint8), (WIDTH, HEIGHT))
    ground[..., 0] //= 2
    picture = face()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=24, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(QUICK_COUNT if pytestconfig.getoption("--quick") else COUNT):
            pixels = ground.copy()
            for number in range(3):
                x, y, scale = place(frame, number)
                matrix = np.array([[scale, 0, x], [0, scale, y]])
                where = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), matrix, (WIDTH, HEIGHT)) > 127
                pixels[where] = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT))[where]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def detector() -> Detector:
    return YuNetDetector(MODEL) if MODEL else Colored()


def every_frame(path: Path) -> list[list[Detection]]:
    finder = detector()
    return [finder.detect([frame])[0] for frame in iter_frames(open_clip(path))]


def found(path: Path, every: int | None) -> Any:
    return find_tracks(clip_frames(open_clip(path)), detector(), FollowSettings(detect_every=every))


@compare(
    Way(OURS, lambda path: found(path, None)),
    Way(f"{OURS}, every frame, reduced", lambda path: found(path, 1)),
    Way("every whole frame", every_frame, goal=3),
)
def test_finding(way: Way, threads: str, clip: Path, contest: Contest) -> None:
    count = open_clip(clip).info.frames
    model = "YuNet" if MODEL else "a detector of colors"
    work = Work(AREA, f"Three faces in {count} frames of 1080p, by {model}", count * HEIGHT * WIDTH * 3 // 2)
    result = contest(work, way, threads, lambda: way.run(clip))
    if way.run is every_frame:
        return
    plain = every_frame(clip)
    assert [track.span for track in result] == [(0, count)] * 3
    errors = []
    for track in result:
        for frame, box in zip(track.frames.tolist(), track.boxes, strict=True):
            sides = np.abs(np.array([each.box for each in plain[frame]]) - box).max(axis=1)
            errors.append(sides.min() / max(box[2:] - box[:2]))
    assert len(errors) == 3 * count
    assert np.mean(errors) < MOST_ERROR
