"""Runs over videos: what lies outside the masks is the decoder's, and the clip is read once where it fits."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from segs_detailer.cli.main import main
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.jobs import Cache, ChosenTrack, ClipRun, Detailing, RunSettings
from segs_detailer.jobs.compositing import Compositor
from segs_detailer.models.pipe import BasicPipe
from segs_detailer.subjects import CropSettings, Track
from segs_detailer.video import open_clip
from segs_detailer.video.container_reader import ContainerSource
from segs_detailer.video.frame_metadata import FieldMarker, Interlacing

SIZE, COUNT = (64, 256), 12
BOX = (40, 20, 71, 43)
QUICK = ["--guide-size", "64", "--max-size", "96", "--steps", "1", "--feather", "3", "-q", "--no-cache"]
# Box, feather, and what belongs to the chroma samples at its edge.
TOUCHED = (BOX[0] - 8, BOX[1] - 8, BOX[2] + 8, BOX[3] + 8)


def write(path, pix_fmt="yuv420p", *, codec="ffv1", options=None, rotation=None, fields=None, count=COUNT):
    """Every level of luma and chroma, and noise for the sampler to sharpen; lossless."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *SIZE, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = 1, 1, 1, 1
        mark = None if fields is None else FieldMarker(fields)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(count):
            frame = av.VideoFrame(SIZE[1], SIZE[0], pix_fmt)
            top = (1 << frame.format.components[0].bits) - 1
            for number, plane in enumerate(frame.planes):
                rows = np.frombuffer(plane, np.uint16 if top > 255 else np.uint8).reshape(plane.height, -1)
                level = np.linspace(0, top, plane.width) + rng.normal(0, top / 40, (plane.height, plane.width))
                level = np.roll(level, index + 30 * number, axis=1)
                rows[:, : plane.width] = np.clip(level, 0, top)
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame if mark is None else mark(frame)))
        container.mux(stream.encode(None))
    return path


def samples(path):
    """Samples of all frames as they are coded, plane by plane."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    deep = 2 if frames[0].format.components[0].bits > 8 else 1
    return [
        [np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width * deep].view(f"<u{deep}") for p in f.planes]
        for f in frames
    ]


def changed_outside(old, new, box):
    """Whether a frame differs outside a box, and whether it differs inside."""
    outside = inside = False
    for index, (a, b) in enumerate(zip(old, new, strict=True)):
        across, down = (round(old[0].shape[axis] / a.shape[axis]) for axis in (1, 0))
        mask = np.zeros(a.shape, bool)
        mask[box[1] // down : -(-box[3] // down), box[0] // across : -(-box[2] // across)] = index < 3
        outside |= bool((a != b)[~mask].any())
        inside |= bool((a != b)[mask].any())
    return outside, inside


def are_equal(one, other):
    frames = zip(samples(one), samples(other), strict=True)
    return all(np.array_equal(a, b) for pair in frames for a, b in zip(*pair, strict=True))


def run(clip, out, *more):
    assert main(["run", str(clip), "-o", str(out), *QUICK, *map(str, more)]) == 0


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p", "yuv444p12le", "yuv420p10le", "yuva420p", "gbrp10le"],
)
def test_outside_the_mask_every_sample_keeps_its_bits(tmp_path, pix_fmt):
    clip = write(tmp_path / "in.mkv", pix_fmt)
    boxes = tmp_path / "boxes.csv"
    rows = [f"{index},{','.join(map(str, BOX))}" for index in range(3, 7)]
    boxes.write_text("\n".join(["frame,x1,y1,x2,y2", *rows]) + "\n")
    run(clip, tmp_path / "out.mkv", "--segs", boxes)
    for index, (old, new) in enumerate(zip(samples(clip), samples(tmp_path / "out.mkv"), strict=True)):
        assert changed_outside(old, new, TOUCHED) == (False, 3 <= index < 7)


def test_levels_and_colors_that_rgb_does_not_have_survive_in_another_depth(tmp_path):
    clip = write(tmp_path / "in.mkv", count=4)
    run(clip, tmp_path / "out.mkv", "--bbox", "40,20,71,43", "--pix-fmt", "yuv420p10le")
    for old, new in zip(samples(clip), samples(tmp_path / "out.mkv"), strict=True):
        outside, inside = changed_outside([each.astype(int) * 4 for each in old], new, TOUCHED)
        assert (outside, inside) == (False, True)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write a rotation")
@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_clips_that_are_turned_keep_their_samples_too(tmp_path, degrees, turns):
    clip = write(tmp_path / "in.mp4", codec="libx264", options={"qp": "0"}, rotation=degrees, count=3)
    height, width = open_clip(clip).info.size
    assert (height, width) == (SIZE if turns == 2 else SIZE[::-1])
    box = (20, 30, 43, 61) if turns != 2 else BOX
    run(clip, tmp_path / "out.mkv", "--bbox", ",".join(map(str, box)), "--codec", "ffv1")
    touched = (box[0] - 8, box[1] - 8, box[2] + 8, box[3] + 8)
    for old, new in zip(samples(clip), samples(tmp_path / "out.mkv"), strict=True):
        candidates = [[np.rot90(each, turn) for each in old] for turn in (turns, -turns)]
        fits = [each for each in candidates if each[0].shape == new[0].shape]
        assert (False, True) in [changed_outside(each, new, touched) for each in fits]


@pytest.mark.filterwarnings("default:.*interlaced")
def test_interlaced_clips_keep_their_samples_too(tmp_path):
    options = {"qp": "0", "flags": "+ildct+ilme"}
    clip = write(tmp_path / "in.mp4", codec="libx264", options=options, fields=Interlacing(True, 2), count=3)
    run(clip, tmp_path / "out.mkv", "--bbox", "40,20,71,43", "--codec", "ffv1")
    assert open_clip(tmp_path / "out.mkv").info.interlaced
    for old, new in zip(samples(clip), samples(tmp_path / "out.mkv"), strict=True):
        assert changed_outside(old, new, TOUCHED) == (False, True)


def test_a_comparison_changes_nothing_about_the_output(tmp_path):
    clip = write(tmp_path / "in.mkv", count=4)
    run(clip, tmp_path / "a.mkv", "--bbox", "40,20,71,43")
    run(clip, tmp_path / "b.mkv", "--bbox", "40,20,71,43", "--compare", tmp_path / "c.mp4")
    assert are_equal(tmp_path / "a.mkv", tmp_path / "b.mkv")
    assert len(samples(tmp_path / "c.mp4")) == 4


# Reading


@pytest.fixture
def readings(monkeypatch):
    """Frames that each decoder has given."""
    counts = []
    decoded = ContainerSource._decoded

    def counted(self, *given):
        counts.append(0)
        for frame in decoded(self, *given):
            counts[-1] += 1
            yield frame

    monkeypatch.setattr(ContainerSource, "_decoded", counted)
    return counts


def test_a_clip_is_read_once_where_its_frames_fit_and_comes_out_the_same(tmp_path, readings, monkeypatch):
    clip = write(tmp_path / "in.mkv")
    run(clip, tmp_path / "once.mkv", "--bbox", "40,20,71,43")
    assert [count for count in readings if count > 1] == [COUNT]
    readings.clear()
    monkeypatch.setattr("segs_detailer.jobs.planning.coded_bytes", lambda *_: 10**9)
    run(clip, tmp_path / "twice.mkv", "--bbox", "40,20,71,43")
    assert COUNT in readings
    assert are_equal(tmp_path / "once.mkv", tmp_path / "twice.mkv")


def test_a_plan_says_what_waits(tmp_path, capsys):
    clip = write(tmp_path / "in.mkv", count=4)
    options = [each for each in QUICK if each != "-q"]
    assert main(["plan", str(clip), "--bbox", "40,20,71,43", *options]) == 0
    assert "for frames that wait, so that the clip is read once" in capsys.readouterr().out


# Layers


class Coded:
    """Takes frames both ways: as floats, and as they are coded."""

    def __init__(self):
        self.pairs = []

    def take(self, frame):
        after = frame.after.copy()
        coded = frame.coded
        frame.paint(coded)
        self.pairs.append((frame.before.copy(), after, coded.rgb((0, 0, SIZE[1], SIZE[0]))))


def moving(number, shift, angle=None):
    """A subject whose crop lies between pixels, and may be turned."""
    boxes = [(40.3 + shift + index / 3, 12.4, 72.3 + shift + index / 3, 44.4) for index in range(COUNT)]
    return Track(number, f"box {number}", range(COUNT), boxes, angles=None if angle is None else [angle] * COUNT)


@pytest.mark.parametrize("upright", [False, True])
def test_planes_and_floats_are_pasted_alike(tmp_path, monkeypatch, upright):
    clip = write(tmp_path / "in.mkv", "gbrp10le")
    tracks = [moving(1, 0), moving(2, 20, angle=30), moving(3, 120)]
    crop = CropSettings(crop="follow", crop_factor=1.5, ramp=4, subpixel=True, upright=upright)
    detailing = Detailing(BasicPipe.preview(), DetailerSettings(guide_size=64, max_size=96, steps=1, feather=4))
    taker = Coded()
    seen = []
    paint = Compositor.paint_coded
    monkeypatch.setattr(Compositor, "paint_coded", lambda self, *given: seen.append(given[0]) or paint(self, *given))
    with Cache(None) as cache:
        settings = RunSettings(detailing=detailing, source="clip", models="tiny")
        ClipRun(open_clip(clip), [ChosenTrack(each, crop) for each in tracks], settings, cache).run([taker])
    assert seen == list(range(COUNT))
    for before, after, coded in taker.pairs:
        assert np.abs(after - coded).max() <= 1 / 1023
        assert np.abs(after - before).max() > 0.02
