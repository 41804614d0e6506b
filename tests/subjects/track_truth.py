"""How near tracks and their crops come to the truth of synthetic clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from segs_detailer.subjects import CropSettings, associate, crop_path

__all__ = ["COLUMNS", "Truth", "measure", "row"]

MAX_GAP = 12
LEAST_FRAMES = 6


@dataclass(frozen=True)
class Truth:
    """What was measured of one clip.

    Parameters
    ----------
    expected, found : int
        Tracks that there should be, one for each subject of each shot, and that there are.
    across_cuts : int
        Tracks with frames on both sides of a cut.
    swaps : int
        Frames in which a track is on another subject than most of the time.
    mean_error, max_error : float
        Distance of the crop's middle from where it should be, in pixels: the subject's middle, moved as far as the crop
        must be moved into the frame.
    jitter : float
        Root mean square of the second difference of that distance, in pixels: what shakes.
    detector_jitter : float
        The same of the detections.
    held : float
        Least share of the subject's true box that its crop holds, in any frame in which it is pasted in full.
    sizes : int
        Different sizes of the crop of any track; 1 is the same pixels on the subject in every frame.
    largest_step : float
        Largest change of the paste's alpha from one frame to the next within a shot: 1 is a pop.
    """

    expected: int
    found: int
    across_cuts: int
    swaps: int
    mean_error: float
    max_error: float
    jitter: float
    detector_jitter: float
    held: float
    sizes: int
    largest_step: float

    @property
    def breaks(self):
        """Tracks too many."""
        return self.found - self.expected


def measure(scene, settings=None):
    """Track a scene's detections, lay the crops, and compare both with the truth."""
    settings = settings or CropSettings(max_gap=MAX_GAP)
    chains = associate(scene.detections(), scene.shots, max_gap=MAX_GAP)
    # What is seen for a moment is a mistake of the detector.
    chains = [chain for chain in chains if len(chain.frames) >= LEAST_FRAMES]
    tracks = [chain.track(number) for number, chain in enumerate(chains, start=1)]
    errors, jitters, raw, held, sizes, steps, swaps = [], [], [], [], [], [], 0
    for track in tracks:
        subject, strangers = _subject_of(scene, track)
        swaps += strangers
        path = crop_path(track, scene.size, scene.count, settings)
        sizes.append(len(np.unique(path.regions[:, 2:] - path.regions[:, :2], axis=0)))
        shown = (path.alpha > 0) & subject.visible
        error = _errors(path, subject, scene.size)
        errors.append(error[shown])
        in_a_row = shown[2:] & shown[1:-1] & shown[:-2]
        jitters.append(np.diff(error, 2, axis=0)[in_a_row])
        raw.append(_detector_jitter(track, subject))
        held.append(_held(path, subject, scene.size)[(path.alpha == 1) & subject.visible].min(initial=1.0))
        within = np.ones(scene.count - 1, bool)
        within[[start - 1 for start in scene.shots[1:]]] = False
        steps.append(np.abs(np.diff(path.alpha))[within].max(initial=0))
    distance = np.linalg.norm(np.concatenate(errors), axis=1)
    return Truth(
        expected=_expected(scene),
        found=len(tracks),
        across_cuts=sum(scene.shot_of(t.frames[0]) != scene.shot_of(t.frames[-1]) for t in tracks),
        swaps=swaps,
        mean_error=float(distance.mean()),
        max_error=float(distance.max()),
        jitter=_root_mean_square(np.concatenate(jitters)),
        detector_jitter=_root_mean_square(np.concatenate(raw)),
        held=float(min(held)),
        sizes=max(sizes),
        largest_step=float(max(steps)),
    )


def _expected(scene):
    bounds = [*scene.shots, scene.count]
    count = 0
    for subject in scene.subjects:
        for start, stop in pairwise(bounds):
            seen = np.flatnonzero(subject.visible[start:stop])
            count += 1 + int((np.diff(seen) > MAX_GAP + 1).sum()) if len(seen) else 0
    return count


def _subject_of(scene, track):
    """Return the subject that a track is on most of the time, and the number of frames in which it is on another."""
    middles = 0.5 * (track.boxes[:, :2] + track.boxes[:, 2:])
    distances = np.stack([np.linalg.norm(s.middles[track.frames] - middles, axis=1) for s in scene.subjects])
    nearest = distances.argmin(axis=0)
    most = int(np.bincount(nearest).argmax())
    return scene.subjects[most], int((nearest != most).sum())


def _errors(path, subject, size):
    height, width = path.size
    half = np.array([width / 2, height / 2])
    wanted = np.clip(subject.middles, half, np.array(size[::-1]) - half)
    return 0.5 * (path.regions[:, :2] + path.regions[:, 2:]) - wanted


def _held(path, subject, size):
    frame = np.array([*size[::-1], *size[::-1]], float)
    boxes = np.clip(subject.boxes, 0, frame)
    low, high = np.maximum(boxes[:, :2], path.regions[:, :2]), np.minimum(boxes[:, 2:], path.regions[:, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.maximum(high - low, 0).prod(axis=1) / np.maximum(area, 1e-9)


def _detector_jitter(track, subject):
    error = 0.5 * (track.boxes[:, :2] + track.boxes[:, 2:]) - subject.middles[track.frames]
    in_a_row = (np.diff(track.frames)[1:] == 1) & (np.diff(track.frames)[:-1] == 1)
    return np.diff(error, 2, axis=0)[in_a_row]


def _root_mean_square(values):
    return float(np.sqrt((values**2).mean())) if values.size else 0.0


COLUMNS = (
    "clip",
    "breaks",
    "across cuts",
    "swaps",
    "mean error",
    "largest error",
    "jitter",
    "sub-pixel jitter",
    "detector jitter",
    "subject in the crop",
    "largest step of alpha",
)
RUNS = 10


def row(scene):
    """Return a line of the table: sums, means, and the worst of ten runs of the detector."""
    runs = [replace(scene, seed=seed) for seed in range(RUNS)]
    truths = [measure(run) for run in runs]
    between = [measure(run, CropSettings(max_gap=MAX_GAP, subpixel=True)) for run in runs]
    return (
        scene.name,
        f"{sum(truth.breaks for truth in truths)}",
        f"{sum(truth.across_cuts for truth in truths)}",
        f"{sum(truth.swaps for truth in truths)}",
        f"{np.mean([truth.mean_error for truth in truths]):.1f} px",
        f"{max(truth.max_error for truth in truths):.1f} px",
        f"{np.mean([truth.jitter for truth in truths]):.2f} px",
        f"{np.mean([truth.jitter for truth in between]):.2f} px",
        f"{np.mean([truth.detector_jitter for truth in truths]):.1f} px",
        f"{100 * min(truth.held for truth in truths):.0f} %",
        f"{max(truth.largest_step for truth in truths):.2f}",
    )
