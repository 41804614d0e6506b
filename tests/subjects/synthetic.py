"""Clips of which everything is known: textured subjects on known ways over a textured ground, and what a detector makes
of them, with its jitter, its misses and its mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segs_detailer.subjects import Detection

__all__ = ["SCENES", "Scene", "Subject", "scene"]

SIZE = (270, 480)
"""Height and width of the frames."""

NOISE = 2.5
"""Standard deviation of a detected box's middle from the true one in pixels; its sides vary half as much."""


@dataclass(frozen=True)
class Subject:
    """One subject: its middle `(n, 2)` and sides `(n, 2)` in each frame, and in which it is to be seen, `(n,)` bool."""

    middles: np.ndarray
    sides: np.ndarray
    visible: np.ndarray

    @property
    def boxes(self):
        """True boxes, `(n, 4)`."""
        return np.concatenate([self.middles - self.sides / 2, self.middles + self.sides / 2], axis=1)


@dataclass(frozen=True)
class Scene:
    """A clip: its subjects, the first frames of its shots, and how well the detector works."""

    name: str
    subjects: list
    shots: tuple = (0,)
    noise: float = NOISE
    misses: float = 0.0
    lost: tuple = ()
    outliers: float = 0.0
    ghosts: float = 0.0
    seed: int = 0
    size: tuple = SIZE
    _rng: list = field(default_factory=list, compare=False)

    @property
    def count(self):
        """Frames of the clip."""
        return len(self.subjects[0].middles)

    def detections(self):
        """What the detector says of each frame."""
        rng = np.random.default_rng(self.seed)
        found = []
        for frame in range(self.count):
            boxes = []
            for subject in self.subjects:
                middle = subject.middles[frame] + rng.normal(0, self.noise, 2)
                sides = subject.sides[frame] * (1 + rng.normal(0, self.noise / 100, 2))
                missed = rng.random() < self.misses or any(a <= frame < b for a, b in self.lost)
                if rng.random() < self.outliers:
                    middle, sides = middle + rng.choice([-0.6, 0.6], 2) * sides, sides * 1.3
                if subject.visible[frame] and not missed:
                    boxes.append(_detection(middle, sides))
            if rng.random() < self.ghosts:
                boxes.append(_detection(rng.random(2) * self.size[::-1], np.array([30.0, 30.0])))
            rng.shuffle(boxes)
            found.append(boxes)
        return found

    def shot_of(self, frame):
        """First frame of a frame's shot, and the frame after its last."""
        bounds = [*self.shots, self.count]
        place = int(np.searchsorted(self.shots, frame, side="right")) - 1
        return bounds[place], bounds[place + 1]

    def frames(self):
        """Pictures, `(H, W, 3)` float32, one after the other: each shot has its ground, each subject its texture."""
        grounds = {start: _texture(self.size, self.seed + start) for start in self.shots}
        for frame in range(self.count):
            picture = grounds[self.shot_of(frame)[0]].copy()
            for number, subject in enumerate(self.subjects):
                if subject.visible[frame]:
                    _draw(picture, subject.boxes[frame], 100 + number)
            yield picture

    def masks(self):
        """Masks of all subjects, `(H, W)` uint8, one after the other."""
        height, width = self.size
        y, x = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        for frame in range(self.count):
            mask = np.zeros(self.size, np.uint8)
            for subject in self.subjects:
                if subject.visible[frame]:
                    middle, half = subject.middles[frame], subject.sides[frame] / 2
                    mask[((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1] = 255
            yield mask


def _detection(middle, sides):
    box = (*(middle - sides / 2).tolist(), *(middle + sides / 2).tolist())
    return Detection(box, 5.0, "face")


def _texture(size, seed):
    """Noise of several sizes."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((*size, 3), np.float32)
    for step in (32, 8, 2):
        small = rng.random((size[0] // step + 1, size[1] // step + 1, 3)).astype(np.float32)
        picture += np.kron(small, np.ones((step, step, 1), np.float32))[: size[0], : size[1]]
    return picture / 3


def _draw(picture, box, seed):
    """Draw an ellipse of a texture that is scaled with its box."""
    height, width = picture.shape[:2]
    x1, y1 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:]), (width, height)).astype(int)
    if x1 >= x2 or y1 >= y2:
        return
    u = (np.arange(x1, x2) + 0.5 - box[0]) / (box[2] - box[0])
    v = ((np.arange(y1, y2) + 0.5 - box[1]) / (box[3] - box[1]))[:, None]
    rng = np.random.default_rng(seed)
    waves = rng.random((3, 3)) * 20
    color = [0.5 + 0.5 * np.sin(a * u + b * v + c) for a, b, c in waves]
    inside = (2 * u - 1) ** 2 + (2 * v - 1) ** 2 <= 1
    part = picture[y1:y2, x1:x2]
    part[inside] = np.stack(np.broadcast_arrays(*color), axis=-1).astype(np.float32)[inside]


def _subject(x, y, sides=(44.0, 52.0), visible=None):
    n = len(x)
    middles = np.stack([x, np.broadcast_to(y, n)], axis=1).astype(float)
    sides = np.broadcast_to(np.asarray(sides, float), (n, 2))
    shown = np.ones(n, bool) if visible is None else visible
    return Subject(middles, sides, shown)


def _scenes():
    n = 120
    t = np.arange(n)
    width = SIZE[1]
    rest = _subject(np.full(n, 240.0), 130.0)
    crossing = _subject(30 + 3.5 * t, 120 + 10 * np.sin(t / 20))
    zoom = _subject(240 + 0.2 * t, 135.0, np.stack([30 + 0.5 * t, 36 + 0.6 * t], axis=1))
    entering = -30 + 4.0 * t
    through = _subject(entering, 130.0, visible=(entering > 22) & (entering < width - 22))
    away = _subject(240 + 0.5 * t, 130.0, visible=(t < 40) | (t >= 75))
    jump = np.where(t < 50, 120.0, 330.0)
    back = _subject(np.where(t < 60, 100 + 2.0 * t, 100 + 2.0 * (t - 60)), 130.0)
    left, right = _subject(60 + 3.0 * t, 110.0), _subject(420 - 3.0 * t, 138.0)
    fast = _subject(20 + 14.0 * (t % 32), 60 + 40.0 * (t // 32), (12, 12))
    return [
        Scene("at rest", [rest]),
        Scene("slow drift", [_subject(200 + 0.15 * t, 130 + 0.05 * t)]),
        Scene("crossing the frame", [crossing]),
        Scene("swinging", [_subject(240 + 100 * np.sin(2 * np.pi * t / 70), 130.0)]),
        Scene("turning round at once", [_subject(120 + 4.0 * np.abs(t % 60 - 30), 130.0)]),
        Scene("coming nearer", [zoom]),
        Scene("along the frame's edge", [_subject(30 + 3.5 * t, 22.0)]),
        Scene("coming in, going out", [through]),
        Scene("every third frame missed", [crossing], misses=0.33),
        Scene("lost for 10 frames", [crossing], lost=((50, 60),)),
        Scene("gone for 35 frames", [away]),
        Scene("false boxes", [crossing], outliers=0.05, ghosts=0.2),
        Scene("cut, elsewhere", [_subject(jump, 130.0)], shots=(0, 50)),
        Scene("cut, same place", [rest], shots=(0, 47)),
        Scene("three cuts in motion", [back], shots=(0, 30, 60, 90)),
        Scene("fast and small", [fast], shots=(0, 32, 64, 96), noise=1.0),
        Scene("two crossing", [left, right]),
        Scene("two crossing, misses", [left, right], misses=0.2),
        Scene("no noise", [crossing], noise=0.0),
    ]


SCENES = _scenes()


def scene(name):
    """Return a scene by its name."""
    return next(item for item in SCENES if item.name == name)
