"""Checks a detailed clip against its source: same size, rate, length and sound, and a sharper face."""

from __future__ import annotations

import sys

import av
import cv2
import numpy as np


def read(path: str) -> tuple[list[np.ndarray], tuple[object, ...]]:
    """Gray frames, and what must not change."""
    with av.open(path) as container:
        video = container.streams.video[0]
        facts = (video.width, video.height, video.average_rate, video.pix_fmt, len(container.streams.audio))
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video)]
    return frames, facts


def detail(frames: list[np.ndarray], box: tuple[int, int, int, int]) -> float:
    """Mean energy of the Laplacian inside a box."""
    x, y, width, height = box
    return float(np.mean([cv2.Laplacian(f[y : y + height, x : x + width], cv2.CV_64F).var() for f in frames]))


def main(source: str, result: str) -> None:
    """Exit with a message when something is off."""
    before, facts = read(source)
    after, result_facts = read(result)
    if facts != result_facts or len(before) != len(after):
        sys.exit(f"{result}: {result_facts} with {len(after)} frames, but {source}: {facts} with {len(before)}")
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    faces = cascade.detectMultiScale(before[len(before) // 2], minNeighbors=5, minSize=(48, 48))
    if len(faces) == 0:
        sys.exit(f"{source}: no face in the middle frame")
    box = tuple(int(v) for v in max(faces, key=lambda face: face[2]))
    gain = detail(after, box) / detail(before, box)
    print(f"detail in the face: {gain:.2f} times the source's")
    if gain < 1.2:
        sys.exit(f"{result}: the face is not sharper than in {source}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
