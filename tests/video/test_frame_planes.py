"""Frames as they are coded: regions become RGB, pastes touch their own samples alone, and the rest keeps its bits."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from video_files import make_video, picture

from segs_detailer.video import ColorTags, EncoderSettings, open_clip, open_output
from segs_detailer.video.color import FrameToFrame, FrameToRgb, RgbToFrame
from segs_detailer.video.container_writer import ContainerSink
from segs_detailer.video.orientation import Orientation
from segs_detailer.video.planes import CodedFrame, coded_bytes, layout_of
from segs_detailer.video.reading import pictures_in

LIMITED, FULL = ColorTags(1, 1, 1, 1), ColorTags(5, 2, 1, 1)
FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuva420p", "yuvj420p", "nv12", "nv21", "nv16"),
    *("yuv420p10le", "yuv422p10le", "yuv444p12le", "yuva444p10le", "p010le", "yuyv422", "uyvy422"),
    *("gbrp", "gbrp10le", "gbrap", "rgb24", "bgr24", "rgba", "argb", "bgr0", "rgb48le", "rgba64le"),
]
OTHERS = ["gray", "pal8", "yuv420p10be", "gbrpf32le", "rgb565le", "rgb8", "monow"]
TURNS = [
    Orientation(),
    Orientation(flipped_x=True),
    Orientation(flipped_y=True),
    Orientation(transposed=True),
    Orientation(transposed=True, flipped_x=True),
]


def tags_of(pix_fmt):
    return FULL if pix_fmt.startswith("yuvj") else LIMITED


def noise_frame(pix_fmt, height=24, width=40, seed=3):
    """A frame whose every sample is of its own, levels beyond the limits too."""
    frame = av.VideoFrame(width, height, pix_fmt)
    layout = layout_of(pix_fmt, tags_of(pix_fmt), height)
    rng = np.random.default_rng(seed)
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[...] = 0
    for view in layout.views(frame):
        view[...] = rng.integers(0, 1 << layout.planes.bits, view.shape) << layout.planes.shift
    return frame


def views_of(frame):
    return [view.copy() for view in layout_of(frame.format.name, LIMITED, frame.height).views(frame)]


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_region_has_the_colors_of_the_whole_frame(pix_fmt):
    tags = tags_of(pix_fmt)
    pixels = np.tile(np.array([0.7, 0.4, 0.2], np.float32), (24, 40, 1))
    # Frames of one color: how chroma is interpolated is the kernel's business.
    frame = RgbToFrame(tags, pix_fmt)(pixels) if pix_fmt not in ("nv21", "nv16", "yuv440p") else None
    if frame is None:
        frame = noise_frame(pix_fmt)
        for view, code in zip(layout_of(pix_fmt, tags, 24).views(frame), (100, 90, 160), strict=True):
            view[...] = code
        FrameToRgb(tags)(frame, pixels)
    coded = CodedFrame(frame, layout_of(pix_fmt, tags, 24), Orientation())
    region = coded.rgb((-3, 5, 17, 30))
    assert region.shape == (25, 20, 3)
    np.testing.assert_allclose(region, np.broadcast_to(pixels[0, 0], region.shape), atol=0.01)


@pytest.mark.parametrize("pix_fmt", OTHERS)
def test_other_formats_have_no_regions(pix_fmt):
    assert layout_of(pix_fmt, LIMITED, 24) is None
    assert not CodedFrame(av.VideoFrame(40, 24, "gray"), None, Orientation()).has_regions


@pytest.mark.parametrize(
    ("pix_fmt", "turn"),
    [
        (pix_fmt, turn)
        for pix_fmt in FORMATS
        for turn in TURNS
        if layout_of(pix_fmt, LIMITED, 24).can_turn(turn, (24, 40))
    ],
    ids=str,
)
def test_a_paste_leaves_all_other_samples_alone(pix_fmt, turn):
    frame = noise_frame(pix_fmt)
    layout = layout_of(pix_fmt, tags_of(pix_fmt), 24)
    before = [turn.apply(view).copy() for view in layout.views(frame)]
    coded = CodedFrame(frame, layout, turn)
    overlay = np.zeros((7, 9, 4), np.float32)
    overlay[1:-1, 2:-1] = (0.2, 0.5, 0.25, 0.5)
    coded.paste(overlay, (5, 3, 14, 10))
    upright = coded.frame
    assert (upright.height, upright.width) == before[0].shape
    after = views_of(upright)
    assert len(after) == len(before)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        across, down = (before[0].shape[1] // old.shape[1], before[0].shape[0] // old.shape[0])
        inside = np.zeros(old.shape, bool)
        inside[4 // down : -(-9 // down), 7 // across : -(-13 // across)] = index < 3
        assert np.array_equal(old[~inside], new[~inside])
        assert index == 3 or not np.array_equal(old[inside], new[inside])


def test_turns_that_would_resample_chroma_are_none():
    quarter = Orientation(transposed=True, flipped_x=True)
    half = Orientation(flipped_x=True, flipped_y=True)
    cases = [("yuv420p", (24, 40)), ("yuv422p", (24, 40)), ("yuv420p", (23, 41)), ("yuv444p", (23, 41))]
    turned = [[layout_of(name, LIMITED, 24).can_turn(turn, size) for turn in (quarter, half)] for name, size in cases]
    assert turned == [[True, True], [False, True], [False, False], [True, True]]


def test_fields_have_chroma_of_their_own():
    frame = noise_frame("yuv420p", height=16)
    layout = layout_of("yuv420p", LIMITED, 16)
    for view, code in zip(layout.views(frame), (100, 128, 128), strict=True):
        view[...] = code
    # One field is red, the other one blue.
    layout.views(frame)[2][0::2] = 200
    layout.views(frame)[1][1::2] = 200
    pixels = CodedFrame(frame, layout, Orientation(), interlaced=True).rgb((0, 1, 8, 12))
    assert pixels.shape == (11, 8, 3)
    red, blue = pixels[..., 0].mean(axis=1), pixels[..., 2].mean(axis=1)
    assert (red[1::2] > blue[1::2]).all()  # rows 2, 4, ... of the frame
    assert (red[0::2] < blue[0::2]).all()
    before = views_of(frame)
    coded = CodedFrame(frame, layout, Orientation(), interlaced=True)
    overlay = np.zeros((1, 4, 4), np.float32)
    overlay[...] = (0, 1, 0, 1)
    coded.paste(overlay, (4, 5, 8, 6))
    changed = [old != new for old, new in zip(before, views_of(coded.frame), strict=True)]
    luma, *chroma = [set(np.nonzero(each)[0].tolist()) for each in changed]
    assert luma == {5}
    # Row 3 is that of the field; its neighbors in the same field may reach so far.
    assert all(rows <= {1, 3, 5} and 3 in rows for rows in chroma)


def test_what_a_decoder_refers_to_is_never_written_to(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=12, options={"bf": "2", "refs": "4"})
    clean = [views_of(each.coded.frame) for each in open_clip(path).pictures()]
    overlay = np.ones((16, 16, 4), np.float32)
    for picture_, planes in zip(open_clip(path).pictures(), clean, strict=True):
        picture_.coded.paste(overlay, (8, 8, 24, 24))
        for old, new in zip(planes, views_of(picture_.coded.frame), strict=True):
            scale = 48 // old.shape[0]
            inside = np.zeros(old.shape, bool)
            # Chroma lies below the left of its pixels: it may reach one further.
            inside[8 // scale : 24 // scale + 1, 8 // scale : 24 // scale + 1] = True
            assert np.array_equal(old[~inside], new[~inside])
            assert not np.array_equal(old[inside], new[inside])


LOSSLESS = [
    *(("yuv420p", tags) for tags in (LIMITED, ColorTags(9, 1, 9, 16), ColorTags(2, 2, 2, 2))),
    *((pix_fmt, LIMITED) for pix_fmt in ("yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le")),
    *((pix_fmt, LIMITED) for pix_fmt in ("yuva420p", "gray", "gray16le", "yuv410p")),
    *((pix_fmt, ColorTags()) for pix_fmt in ("gbrp10le", "bgr0")),
]


def ramp_video(path, pix_fmt, tags, *, size=(32, 256), frames=3):
    """FFV1 with every level of luma, and of chroma."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        for index in range(frames):
            frame = av.VideoFrame(size[1], size[0], pix_fmt)
            for number, plane in enumerate(frame.planes):
                deep = frame.format.components[0].bits > 8
                rows = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1)
                top = (1 << frame.format.components[0].bits) - 1
                level = np.linspace(0, top, rows.shape[1]).astype(rows.dtype)
                rows[...] = np.roll(level[:: -1 if number else 1], index + 40 * number)
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path):
    """Samples of all frames, plane by plane, without what lies beside the rows."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    wide = {"bgr0": 4}.get(frames[0].format.name, 2 if frames[0].format.components[0].bits > 8 else 1)
    return [
        [np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width * wide] for plane in frame.planes]
        for frame in frames
    ]


@pytest.mark.parametrize(("pix_fmt", "tags"), LOSSLESS)
def test_frames_go_from_decoder_to_encoder_to_the_bit(tmp_path, pix_fmt, tags):
    path = ramp_video(tmp_path / "in.mkv", pix_fmt, tags)
    source = open_clip(path)
    assert source.info.pix_fmt == pix_fmt
    with open_output(tmp_path / "out.mkv", source.info) as sink:
        assert isinstance(sink, ContainerSink)
        for number, each in enumerate(source.pictures()):
            assert sink.takes_coded(each.coded)
            sink.write_coded(each.coded, *source.info.times[number : number + 2])
    again = open_clip(tmp_path / "out.mkv").info
    assert (again.pix_fmt, again.color, again.times) == (pix_fmt, source.info.color, source.info.times)
    for old, new in zip(decoded(path), decoded(tmp_path / "out.mkv"), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))


@pytest.mark.parametrize(
    ("source", "target", "is_exact"),
    [
        ("yuv420p", "yuv420p10le", True),
        ("yuv420p", "yuv422p10le", True),
        ("yuv422p", "yuv444p", True),
        ("yuv420p", "nv12", True),
        ("yuv420p10le", "yuv420p", False),
        ("yuva420p", "yuv420p", False),
        ("yuv420p", "rgb24", False),
        ("gray", "yuv420p", False),
        ("yuvj420p", "yuv420p", False),
    ],
)
def test_other_formats_get_the_same_levels(source, target, is_exact):
    recode = FrameToFrame(LIMITED, target)
    assert recode.takes(source) == is_exact
    if is_exact:
        frame = noise_frame(source)
        old, new = (layout_of(each, LIMITED, 24) for each in (source, target))
        shift = new.planes.bits - old.planes.bits
        luma = new.views(recode(frame))[0]
        assert np.array_equal(luma, old.views(frame)[0].astype(int) << shift)


def test_full_range_keeps_its_samples_under_another_name():
    frame = noise_frame("yuvj420p")
    recode = FrameToFrame(FULL, "yuv420p")
    assert recode.takes("yuvj420p")
    other = recode(frame)
    assert (other.format.name, other.color_range) == ("yuv420p", 2)
    assert all(np.array_equal(a, b) for a, b in zip(views_of(frame), views_of(other), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("a.mp4", {"g": "8", "bf": "2"}, {}),
        ("a.mkv", {"g": "8", "bf": "2", "x264-params": "open-gop=1:asm=AVX2"}, {}),
        ("a.ts", {"g": "8"}, {}),
        ("a.avi", {"g": "8", "bf": "0"}, {"codec": "mpeg4"}),
        ("a.mov", {}, {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("a.mp4", {"g": "200"}, {}),
        ("a.mp4", {"g": "8"}, {"times": [0, *range(1040, 1040 + 41 * 99, 41)]}),
    ],
)
def test_spans_are_decoded_from_their_key_frames(tmp_path, name, options, more):
    path = make_video(tmp_path / name, frames=100, options=options, **more)
    source = open_clip(path)
    whole = [(each.start, views_of(each.coded.frame)) for each in source.pictures()]
    spans = [(60, 63), (2, 4), (90, 94), (3, 6), (98, 140)]
    seen = dict(pictures_in(source, spans))
    assert list(seen) == [2, 3, 4, 5, 60, 61, 62, 90, 91, 92, 93, 98, 99]
    for number, each in seen.items():
        start, planes = whole[number]
        assert each.start == start
        assert all(np.array_equal(a, b) for a, b in zip(planes, views_of(each.coded.frame), strict=True))


@pytest.mark.parametrize(("spans", "most"), [([(90, 92)], 16), ([(8, 10), (90, 92)], 32), ([(0, 100)], 100)])
def test_what_lies_outside_all_spans_is_not_decoded(tmp_path, monkeypatch, spans, most):
    source = open_clip(make_video(tmp_path / "a.mp4", frames=100, options={"g": "8"}))
    fed, decode = [], source._decoded_from
    monkeypatch.setattr(source, "_decoded_from", lambda *given: (fed.append(each) or each for each in decode(*given)))
    assert len(list(pictures_in(source, spans))) == sum(stop - first for first, stop in spans)
    assert len(fed) <= most


def test_a_file_whose_index_is_wrong_is_decoded_from_its_start(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", frames=80, options={"g": "8"})
    source = open_clip(path)
    whole = [views_of(each.coded.frame) for each in source.pictures()]
    monkeypatch.setattr(source, "_keys", tuple(number + 3 if number else 0 for number in source._keys))
    seen = dict(pictures_in(source, [(1, 3), (70, 72)]))
    assert list(seen) == [1, 2, 70, 71]
    assert all(np.array_equal(whole[n][0], views_of(each.coded.frame)[0]) for n, each in seen.items())


@pytest.mark.parametrize(("pix_fmt", "expected"), [("yuv420p", 1.5), ("yuv444p", 3), ("yuv422p10le", 4), ("bgr0", 4)])
def test_a_coded_frame_takes_so_much_memory(tmp_path, pix_fmt, expected):
    path = make_video(tmp_path / "a.mkv", frames=1, codec="ffv1", pix_fmt=pix_fmt)
    info = open_clip(path).info
    assert coded_bytes(info.size, info.bits, info.pix_fmt) == expected * 48 * 64


def test_a_format_that_the_output_does_not_have_goes_through_rgb(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=2)
    source = open_clip(path)
    with open_output(tmp_path / "b.mkv", source.info, settings=EncoderSettings(codec="ffv1", pix_fmt="bgr0")) as sink:
        assert isinstance(sink, ContainerSink)
        for number, each in enumerate(source.pictures()):
            assert not sink.takes_coded(each.coded)
            pixels = np.empty((48, 64, 3), np.float32)
            each.copy_to(pixels)
            sink.write(pixels, *source.info.times[number : number + 2])
    assert np.abs(pixels - picture(1)).mean() < 0.02
