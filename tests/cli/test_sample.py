"""The main job on the sample clip, from file to file."""

from __future__ import annotations

import av
import numpy as np
import pytest

from places import ROOT
from segs_detailer.cli.main import main
from segs_detailer.jobs import ClipRun, SinkTaker
from segs_detailer.video import open_clip, read_clip

SAMPLE = ROOT / "examples" / "sample.mp4"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Output of `run` on the sample, the frames just before they are encoded, and the face's track."""
    folder = tmp_path_factory.mktemp("sample")
    frames, plans = [], []

    class Watched(SinkTaker):
        def take(self, frame):
            frames.append(frame.after.copy())
            super().take(frame)

    class Kept(ClipRun):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            plans.append(self.plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segs_detailer.jobs.writing.SinkTaker", Watched)
        patch.setattr("segs_detailer.jobs.run.ClipRun", Kept)
        compare = folder / "compare.png"
        assert main(["run", str(SAMPLE), "-o", str(folder / "out.mp4"), "--compare", str(compare), "-q"]) == 0
    [plan] = plans
    [track] = plan.tracks
    return folder, np.stack(frames), track


@pytest.fixture(scope="module")
def original():
    return read_clip(SAMPLE).frames


def face_of(frames, track):
    """All of the face's way: it moves little."""
    boxes = track.track.boxes
    x1, y1, x2, y2 = (*boxes[:, :2].min(axis=0).astype(int), *boxes[:, 2:].max(axis=0).astype(int))
    return frames[:, y1:y2, x1:x2].mean(axis=-1)


def masks_of(track, frames):
    """Masks of the whole frames."""
    whole = np.zeros(frames.shape[:3], np.uint8)
    for number, mask in enumerate(track.masks_of(*track.span), start=track.span[0]):
        x1, y1, x2, y2 = (int(value) for value in track.region(number))
        whole[number, y1:y2, x1:x2] = mask
    return whole


def high_frequency_energy(images):
    """Energy of the Laplacian."""
    center = images[:, 1:-1, 1:-1]
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return float(((4 * center - around) ** 2).mean())


def test_sample_is_small_and_made_by_its_script():
    assert SAMPLE.stat().st_size < 300_000
    assert SAMPLE.with_name("make_sample.py").exists()


def test_face_gains_detail_before_and_after_encoding(job, original):
    folder, frames, track = job
    before = high_frequency_energy(face_of(original, track))
    assert high_frequency_energy(face_of(frames, track)) > 1.5 * before
    assert high_frequency_energy(face_of(read_clip(folder / "out.mp4").frames, track)) > 1.3 * before


def test_pixels_outside_the_mask_are_bit_identical_before_encoding(job, original):
    _, frames, track = job
    # The paste's feather of 5 pixels may pass the mask by as many.
    allowed = np.stack([_grown(mask > 0, 5) for mask in masks_of(track, frames)])
    assert allowed.mean() < 0.3
    assert np.array_equal(frames[~allowed], original[~allowed])
    assert not np.array_equal(frames[allowed], original[allowed])


def _grown(mask, pixels):
    padded = np.pad(mask, pixels)
    rows = np.any([np.roll(padded, shift, 0) for shift in range(-pixels, pixels + 1)], axis=0)
    both = np.any([np.roll(rows, shift, 1) for shift in range(-pixels, pixels + 1)], axis=0)
    return both[pixels:-pixels, pixels:-pixels]


def test_outside_stays_close_after_encoding(job, original):
    folder, _, track = job
    out = read_clip(folder / "out.mp4").frames
    outside = masks_of(track, original) == 0
    assert np.abs(out - original)[outside].mean() < 1.5 / 255


def test_no_value_leaves_the_range_of_the_clip(job, original):
    _, frames, _ = job
    assert frames.min() >= 0
    assert frames.max() <= 1
    assert np.isfinite(frames).all()


def test_result_is_as_steady_as_the_clip(job, original):
    """The change itself must not flicker: from frame to frame it moves no more than the face does."""
    _, frames, track = job
    change = face_of(frames, track) - face_of(original, track)
    step = np.abs(np.diff(change, axis=0)).mean()
    movement = np.abs(np.diff(face_of(original, track), axis=0)).mean()
    assert step < 1.5 * movement


def test_format_is_kept(job):
    folder, _, _ = job
    before, after = open_clip(SAMPLE).info, open_clip(folder / "out.mp4").info
    for name in ("size", "frames", "rate", "codec", "pix_fmt", "color", "audio_streams", "sample_aspect_ratio"):
        assert getattr(after, name) == getattr(before, name)


def test_sound_is_kept_bit_for_bit(job):
    folder, _, _ = job

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert packets(folder / "out.mp4") == packets(SAMPLE)
    assert packets(SAMPLE)


def test_nothing_else_is_left(job):
    folder, _, _ = job
    assert sorted(file.name for file in folder.iterdir()) == ["compare.png", "out.mp4"]
