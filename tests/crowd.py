"""Clips of textured figures whose every place is known: crossings, swaps, things in front of them, cuts; and how far
tracks keep to the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from segs_detailer.subjects import Detection, overlap
from segs_detailer.subjects.finders.appearance import describe

__all__ = ["CROWDS", "Crowd", "Score", "crowd", "score"]

SIZE = (180, 320)
COUNT = 72
SIDES = (34.0, 46.0)
_SEEN = 0.5
"""A figure of which less than this share is to be seen is not detected."""
_MATCH = 0.5


@dataclass(frozen=True, eq=False)
class Crowd:
    """A clip.

    Parameters
    ----------
    name : str
        What happens.
    ways : list of ndarray
        Middles of each figure, `(n, 2)`; NaN where it is not there. The later ones are in front.
    pillars : tuple of (x1, x2)
        Columns of things in front of all figures.
    shots : tuple of int
        First frames of shots.
    lost : tuple of (figure, first frame, frame after the last)
        Where the detector sees nothing although all is to be seen.
    alike : bool
        All figures look the same.
    """

    name: str
    ways: list
    pillars: tuple = ()
    shots: tuple = (0,)
    lost: tuple = ()
    alike: bool = False
    noise: float = 1.5
    misses: float = 0.05
    ghosts: float = 0.1

    @property
    def count(self):
        """Frames of the clip."""
        return len(self.ways[0])

    def boxes(self, frame):
        """True boxes of all figures; NaN where one is not there."""
        half = np.array(SIDES) / 2
        return np.stack([np.concatenate([way[frame] - half, way[frame] + half]) for way in self.ways])

    def pictures(self, seed=0):
        """Pictures `(H, W, 3)` float32, and for each pixel the number of its figure, 0 for none, -1 for a pillar."""
        ground = {start: 0.6 * _noise(SIZE, 1000 + seed + start) for start in self.shots}
        looks = [_look(seed * 10 + (0 if self.alike else number)) for number in range(len(self.ways))]
        begin = 0
        grain = np.random.default_rng(seed).normal(0, 0.01, (*SIZE, 3)).astype(np.float32)
        for frame in range(self.count):
            begin = frame if frame in self.shots else begin
            picture, owner = ground[begin].copy(), np.zeros(SIZE, int)
            for number, box in enumerate(self.boxes(frame)):
                if np.isfinite(box).all():
                    _draw(picture, owner, box, looks[number], number + 1)
            for x1, x2 in self.pillars:
                picture[:, x1:x2] = 0.3 + 0.2 * np.sin(np.arange(SIZE[0]) / 3)[:, None, None]
                owner[:, x1:x2] = -1
            picture += np.roll(grain, (7 * frame, 31 * frame), (0, 1))
            yield picture.clip(0, 1), owner

    @cache  # noqa: B019 - the clips live as long as the module
    def scene(self, seed=0):
        """All of `pictures`, and all of the truth."""
        pictures = list(self.pictures(seed))
        return [picture for picture, _ in pictures], self._truth([owner for _, owner in pictures])

    def truth(self, seed=0):
        """Of each frame the figures of which enough is to be seen, with their boxes."""
        return self.scene(seed)[1]

    def _truth(self, owners):
        found = []
        for frame, owner in enumerate(owners):
            own = {}
            for number, box in enumerate(self.boxes(frame)):
                x1, y1, x2, y2 = box
                whole = np.pi / 4 * SIDES[0] * SIDES[1]
                if np.isfinite(box).all() and (owner == number + 1).sum() >= _SEEN * whole:
                    own[number] = (float(x1), float(y1), float(x2), float(y2))
            found.append(own)
        return found

    def detections(self, seed=0, *, looks=True):
        """What a detector says of each frame: with noise, misses and mistakes; with what is seen there, or without."""
        return self.detector(seed, looks=looks)[0]

    @cache  # noqa: B019
    def detector(self, seed=0, *, looks=True):
        """Return `detections`, and of each frame the figures among them with their true boxes."""
        rng = np.random.default_rng(seed + 77)
        found, known = [], []
        for frame, (picture, own) in enumerate(zip(*self.scene(seed), strict=True)):
            boxes = []
            known.append({})
            for number, box in own.items():
                noisy = np.array(box) + np.tile(rng.normal(0, self.noise, 2), 2) + rng.normal(0, self.noise / 3, 4)
                gone = any(n == number and a <= frame < b for n, a, b in self.lost)
                if rng.random() >= self.misses and not gone:
                    boxes.append(noisy)
                    known[-1][number] = box
            if rng.random() < self.ghosts:
                corner = rng.random(2) * (np.array(SIZE[::-1]) - SIDES)
                boxes.append(np.concatenate([corner, corner + np.array(SIDES) * rng.uniform(0.7, 1.3)]))
            rng.shuffle(boxes)
            places = [tuple(box.tolist()) for box in boxes]
            seen = describe(picture, places) if looks else [None] * len(places)
            found.append(
                [Detection(box, 0.9, "person", appearance=look) for box, look in zip(places, seen, strict=True)]
            )
        return found, known


@dataclass(frozen=True)
class Score:
    """How far tracks keep to the figures.

    Parameters
    ----------
    idf1 : float
        Detections that are under the right identity: twice them by all true and all found ones. Each figure is one
        identity in each shot, and each track belongs to one.
    switches : int
        How often a figure goes on under another track than before.
    false_tracks : int
        Tracks that are on no figure most of the time.
    """

    idf1: float
    switches: int
    false_tracks: int


def score(item, tracks, truth):
    """Compare tracks with the truth, of each frame the figures with their boxes.

    `tracks` is of each one a mapping of frames to boxes.
    """
    bounds = [*item.shots, item.count]
    identities = [(shot, n) for shot in range(len(item.shots)) for n in range(len(item.ways))]
    table = np.zeros((len(identities), len(tracks)))
    at = [{} for _ in truth]
    for index, boxes in enumerate(tracks):
        for frame, box in boxes.items():
            at[frame][index] = box
    last, switches = {}, 0
    for shot, (start, stop) in enumerate(pairwise(bounds)):
        for frame in range(start, stop):
            figures, there = list(truth[frame]), list(at[frame])
            shared = np.array([[overlap(truth[frame][f], at[frame][t]) for t in there] for f in figures])
            if not shared.size:
                continue
            # Who was there before stays, as long as the place fits.
            kept = np.array([[last.get((shot, f)) == t for t in there] for f in figures])
            for row, column in zip(*linear_sum_assignment(-(shared + (kept & (shared >= _MATCH)))), strict=True):
                if shared[row, column] < _MATCH:
                    continue
                key = (shot, figures[row])
                switches += last.get(key, there[column]) != there[column]
                last[key] = there[column]
            for row, figure in enumerate(figures):
                for column, track in enumerate(there):
                    table[identities.index((shot, figure)), track] += shared[row, column] >= _MATCH
    rows, columns = linear_sum_assignment(-table)
    true = sum(len(own) for own in truth)
    found = sum(len(own) for own in at)
    lengths = np.array([len(boxes) for boxes in tracks])
    false_tracks = int((table.max(axis=0, initial=0) < 0.5 * lengths).sum())
    return Score(2 * table[rows, columns].sum() / max(true + found, 1), switches, false_tracks)


def _noise(size, seed):
    rng = np.random.default_rng(seed)
    picture = np.zeros((*size, 3), np.float32)
    for step in (40, 10, 4):
        small = rng.random((size[0] // step + 1, size[1] // step + 1, 3)).astype(np.float32)
        picture += np.kron(small, np.ones((step, step, 1), np.float32))[: size[0], : size[1]]
    return picture / 3


def _look(seed):
    """Texture of a figure, `(46, 34, 3)`: a color of its own, stripes and spots."""
    rng = np.random.default_rng(seed)
    color = rng.random(3)
    height, width = int(SIDES[1]), int(SIDES[0])
    u, v = np.arange(width) / width, np.arange(height)[:, None] / height
    a, b, c = *rng.uniform(3, 14, 2).tolist(), rng.uniform(0, 6)
    waves = 0.5 + 0.5 * np.sin(a * u + b * v + c)
    spots = np.kron(rng.random((height // 5 + 1, width // 5 + 1)), np.ones((5, 5)))[:height, :width]
    return (0.6 * color + 0.25 * waves[..., None] + 0.15 * spots[..., None]).astype(np.float32)


def _draw(picture, owner, box, look, number):
    """Draw an elliptic figure at whole pixels."""
    x, y = np.round(box[:2]).astype(int)
    height, width = look.shape[:2]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + width, SIZE[1]), min(y + height, SIZE[0])
    if x1 >= x2 or y1 >= y2:
        return
    u = (np.arange(x1, x2) + 0.5 - x) / width
    v = ((np.arange(y1, y2) + 0.5 - y) / height)[:, None]
    inside = (2 * u - 1) ** 2 + (2 * v - 1) ** 2 <= 1
    picture[y1:y2, x1:x2][inside] = look[y1 - y : y2 - y, x1 - x : x2 - x][inside]
    owner[y1:y2, x1:x2][inside] = number


def _way(x, y):
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.empty(COUNT))[:2]
    return np.stack([x, y], axis=1)


def _crowds():
    t = np.arange(COUNT)
    mid = COUNT / 2
    right, left = 40 + 3.4 * t, 280 - 3.4 * t
    # Up to each other, a moment together, and back again.
    there_and_back = 60 + 85 * (1 - np.abs(t - mid) / mid)
    back_again = 260 - 85 * (1 - np.abs(t - mid) / mid)
    ease = 1 / (1 + np.exp(-(t - mid) / 5))
    quick = 1 / (1 + np.exp(-(t - mid) / 3))
    still = np.full(COUNT, 90.0)
    return [
        Crowd("two cross", [_way(right, 80), _way(left, 96)]),
        Crowd("three cross", [_way(right, 80), _way(left, 100), _way(160, 20 + 2.0 * t)]),
        Crowd("two cross at one height", [_way(right, 90), _way(left, 90)]),
        Crowd("two meet and turn back", [_way(there_and_back, 84), _way(back_again, 94)]),
        Crowd("two swap places", [_way(100 + 110 * ease, 80 - 10 * np.sin(np.pi * ease)), _way(210 - 110 * ease, 92)]),
        Crowd(
            "two swap places behind a pillar", [_way(110 + 100 * quick, 80), _way(210 - 100 * quick, 96)], ((130, 190),)
        ),
        Crowd("one walks behind a pillar", [_way(right, 80), _way(240, 140)], ((142, 178),)),
        Crowd(
            "two swap places unseen",
            [_way(100 + 110 * ease, 80), _way(210 - 110 * ease, 92)],
            lost=((0, 31, 41), (1, 31, 41)),
        ),
        Crowd("one lost for ten frames", [_way(right, 60), _way(160, 120)], lost=((0, 30, 40),)),
        Crowd("one rests, lost for ten frames", [_way(still, 60), _way(right, 130)], lost=((0, 30, 40),)),
        Crowd("cuts with the same people", [_way(right, 80), _way(left, 100), _way(160, 140)], shots=(0, 24, 48)),
        Crowd("three abreast", [_way(60 + 2.6 * t, 60), _way(60 + 2.6 * t, 100), _way(60 + 2.6 * t, 140)], misses=0.15),
        Crowd("one passes by two who rest", [_way(110, 80), _way(200, 84), _way(right, 90)]),
    ]


CROWDS = _crowds()


def crowd(name):
    """Return a clip by its name."""
    return next(item for item in CROWDS if item.name == name)
