"""Stretches of a clip that go over as they are, beside others that are encoded: held by decoding both files."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from fractions import Fraction

import numpy as np
import pytest

from segs_detailer.errors import MediaError
from segs_detailer.video import container_reader
from segs_detailer.video.container_reader import ContainerSource
from segs_detailer.video.container_writer import ContainerSink
from segs_detailer.video.copying import CopyPlan, Layout, nothing_left, plan_copies
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.reading import open_clip, pictures_but
from segs_detailer.video.writing import open_output

av = pytest.importorskip("av")

CLOSED = {
    "libx264": {"preset": "fast", "x264-params": "keyint=6:min-keyint=6:scenecut=0:ref=4:bframes=3"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "keyint=6:min-keyint=6:scenecut=0:open-gop=0:bframes=3:log-level=error",
    },
    "ffv1": {"g": "1"},
    "mjpeg": {},
    "prores_ks": {},
    "mpeg4": {},
}
OPEN = {"preset": "fast", "x264-params": "keyint=6:min-keyint=6:scenecut=0:open-gop=1:bframes=3"}
FORMATS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}
FRAMES = 24
TOUCHED = (8, 10)
"""Frames of the second group of six."""


def make(path, codec="libx264", options=None, *, sound=False, count=FRAMES, size=(64, 48)):
    """A clip that moves, with its own sound, which is loud in every other half second."""
    noise = np.random.default_rng(5).integers(0, 255, (size[1] + count, size[0] + count, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, FORMATS.get(codec, "yuv420p")
        stream.codec_context.options = CLOSED[codec] if options is None else options
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="mono") if sound else None
        for index in range(count):
            pixels = np.ascontiguousarray(noise[index : index + size[1], index : index + size[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            if audio is not None:
                samples = np.full((1, 2000), 8000 if index // 12 % 2 else 0, np.int16)
                frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
                frame.sample_rate, frame.pts = 48_000, index * 2000
                container.mux(audio.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def decoded(path):
    """Times and samples of all frames."""
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)]


def write(clip, output, *, touched=TOUCHED, settings=None):
    """Write a clip of which some frames become black; return why nothing was copied, and how much was."""
    source = open_clip(clip)
    settings = settings or EncoderSettings(copy_untouched=True)
    with open_output(output, source.info, settings=settings) as sink:
        assert isinstance(sink, ContainerSink)
        reason = sink.copy_untouched(lambda frame: touched[0] <= frame < touched[1])
        for number, picture in enumerate(source.pictures()):
            times = source.info.times[number : number + 2]
            if sink.copies(number):
                sink.copy(*times)
                continue
            pixels = np.empty((*source.info.size, 3), np.float32)
            picture.copy_to(pixels)
            if touched[0] <= number < touched[1]:
                pixels[:] = 0
            sink.write(pixels, *times)
    return reason, sink.copied_frames


def check_joined(clip, output, copied, *, shift=0):
    """Hold that copied frames are the same to the bit, the others nearly, and all in their places."""
    before, after = decoded(clip), decoded(output)
    assert len(before) == len(after) == FRAMES
    for number, ((time, old), (new_time, new)) in enumerate(zip(before, after, strict=True)):
        # Matroska counts milliseconds.
        assert abs((new_time - time) - (after[0][0] - before[0][0])) <= Fraction(1, 1000)
        if number in copied:
            assert np.array_equal(old, new), number
        elif not TOUCHED[0] <= number < TOUCHED[1]:
            assert np.abs(old.astype(int) - new).mean() < 20 << shift, number
    assert not any(np.array_equal(before[number][1], after[number][1]) for number in range(*TOUCHED))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("source", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("target", ["mp4", "mkv", "mov"])
def test_copied_groups_of_pictures_are_the_clips_to_the_bit(tmp_path, codec, source, target):
    if codec == "libx265" and source != "mp4":
        pytest.skip("the same packets as from MP4 and from H.264's files")
    clip = make(tmp_path / f"in.{source}", codec)
    output = tmp_path / f"out.{target}"
    assert write(clip, output) == (None, 18)
    check_joined(clip, output, {*range(6), *range(12, 24)})
    with av.open(str(output)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        decoding = [packet.dts for packet in packets if packet.dts is not None]
        assert decoding == sorted(set(decoding))
        assert all(packet.dts is None or packet.dts <= packet.pts for packet in packets)
        if target in ("mp4", "mov"):
            assert container.streams.video[0].codec_context.codec_tag == {"libx264": "avc3", "libx265": "hev1"}[codec]
            # Players seek to key frames: each stretch begins with one.
            assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 6, 12, 18]


@pytest.mark.parametrize("target", ["mp4", "mkv"])
def test_players_can_begin_at_each_joint(tmp_path, target):
    clip, output = make(tmp_path / "in.mp4"), tmp_path / f"out.{target}"
    write(clip, output)
    whole = decoded(output)
    for place in (0, 6, 12, 18):
        with av.open(str(output)) as container:
            stream = container.streams.video[0]
            container.seek(int(whole[place][0] / stream.time_base), stream=stream)
            frame = next(container.decode(stream))
            assert frame.pts * frame.time_base == whole[place][0]
            assert np.array_equal(frame.to_ndarray(), whole[place][1])


@pytest.mark.parametrize("touched", [(0, 1), (23, 24), (0, 24)])
def test_stretches_may_lie_at_either_end(tmp_path, touched):
    clip, output = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    reason, copied = write(clip, output, touched=touched)
    assert (reason is None, copied) == ((True, 18) if touched != (0, 24) else (False, 0))
    before, after = decoded(clip), decoded(output)
    assert [time for time, _ in before] == [time for time, _ in after]
    same = {number for number in range(FRAMES) if np.array_equal(before[number][1], after[number][1])}
    assert same == set(range(FRAMES)) - set(range(touched[0] // 6 * 6, -(-touched[1] // 6) * 6))


@pytest.mark.parametrize(("codec", "suffix"), [("ffv1", "mkv"), ("mjpeg", "mov"), ("prores_ks", "mov")])
def test_codecs_of_single_pictures_are_copied_frame_by_frame(tmp_path, codec, suffix):
    clip, output = make(tmp_path / f"in.{suffix}", codec), tmp_path / f"out.{suffix}"
    reason, copied = write(clip, output)
    if reason is not None and codec == "ffv1":
        assert "ffv1 header is another" in reason
        return
    assert copied == FRAMES - 2
    check_joined(clip, output, set(range(FRAMES)) - set(range(*TOUCHED)), shift=4)


def test_sound_stays_in_step(tmp_path):
    clip, output = make(tmp_path / "in.mkv", sound=True), tmp_path / "out.mkv"
    assert write(clip, output) == (None, 18)

    def sound(path):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]

    assert sound(output) == sound(clip)
    check_joined(clip, output, {*range(6), *range(12, 24)})


@pytest.mark.parametrize(
    ("codec", "options", "target", "settings", "reason"),
    [
        ("libx264", None, "out.avi", {}, "only MP4, QuickTime, Matroska can"),
        ("libx264", None, "out.mp4", {"codec": "mpeg4"}, "the clip is h264, and the output mpeg4"),
        ("libx264", None, "out.mp4", {"pix_fmt": "yuv444p"}, "pixel format is yuv420p, and the output's yuv444p"),
        ("libx264", OPEN, "out.mp4", {}, "3 of its groups of pictures are open"),
        ("ffv1", {"level": "1"}, "out.mkv", {}, "header is another than the encoder's"),
        ("mpeg4", {}, "out.mp4", {}, "packets of mpeg4 are not joined"),
    ],
)
def test_what_cannot_be_copied_says_why(tmp_path, codec, options, target, settings, reason):
    clip = make(tmp_path / "in.mkv", codec, options)
    said, copied = write(clip, tmp_path / target, settings=EncoderSettings(copy_untouched=True, **settings))
    assert reason in said
    assert copied == 0
    assert len(decoded(tmp_path / target)) == FRAMES


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_subtitles_stay_in_step(tmp_path):
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,300\nOne\n\n2\n00:00:00,600 --> 00:00:00,900\nTwo\n", "utf-8")
    clip, output = tmp_path / "both.mkv", tmp_path / "out.mkv"
    inputs = ["-i", str(make(tmp_path / "in.mkv", sound=True)), "-i", str(words)]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, "-c", "copy", str(clip)], check=True)
    assert write(clip, output) == (None, 18)

    def lines(path):
        with av.open(str(path)) as container:
            packets = [packet for packet in container.demux(subtitles=0) if packet.size]
            return [(packet.pts * packet.time_base, packet.duration, bytes(packet)) for packet in packets]

    assert [text for *_, text in lines(output)] == [b"One", b"Two"]
    assert lines(output) == lines(clip)


def test_what_is_copied_is_not_decoded(tmp_path, monkeypatch):
    """Decoding begins at the key frame of the group that something is pasted into."""
    monkeypatch.setattr(container_reader, "_WORTH_SEEKING", 1)
    plain, seen = ContainerSource._decoded_from, []

    def decoded_from(self, key, stop):
        for number, frame in plain(self, key, stop):
            seen.append(number)
            yield number, frame

    monkeypatch.setattr(ContainerSource, "_decoded_from", decoded_from)
    source = open_clip(make(tmp_path / "in.mp4"))
    pictures = list(pictures_but(source, [12 <= number < 18 for number in range(FRAMES)]))
    assert [picture.start for picture in pictures] == list(source.info.times[:-1])
    assert seen == list(range(12, 18))
    with pytest.raises(ValueError, match="nobody was to look at"):
        pictures[0].copy_to(np.empty((48, 64, 3), np.float32))


@pytest.mark.parametrize("reads_once", [True, False])
def test_a_run_decodes_what_it_pastes_into(tmp_path, monkeypatch, reads_once):
    from segs_detailer.cli.main import main
    from segs_detailer.jobs.plan import ClipPlan

    monkeypatch.setattr(container_reader, "_WORTH_SEEKING", 1)
    if not reads_once:
        monkeypatch.setattr(ClipPlan, "reads_once", False)
    plain, made = ContainerSource._picture, []

    def picture(self, frame, start, convert):
        made.append(start)
        return plain(self, frame, start, convert)

    monkeypatch.setattr(ContainerSource, "_picture", picture)
    clip, output = make(tmp_path / "in.mp4", size=(96, 72)), tmp_path / "out.mp4"
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,x1,y1,x2,y2\n8,20,20,60,60\n9,20,20,60,60\n")
    words = ["--segs", str(boxes), "--no-cache", "--copy-untouched", "--guide-size", "48", "--max-size", "64"]
    assert main(["run", str(clip), "-o", str(output), *words, "--steps", "1", "--quiet"]) == 0
    times = open_clip(clip).info.times
    assert set(made) == set(times[6:12])
    check = decoded(clip), decoded(output)
    assert all(np.array_equal(check[0][n][1], check[1][n][1]) for n in (*range(6), *range(12, 24)))


def test_a_clip_that_lost_frames_is_not_joined_wrongly(tmp_path):
    source = open_clip(make(tmp_path / "in.mp4"))
    output = tmp_path / "out.mp4"
    settings = EncoderSettings(copy_untouched=True)

    def lose_the_first():
        with ContainerSink(output, source.info, settings) as sink:
            sink.copy_untouched(lambda _: False)
            sink.copy(*source.info.times[1:3])

    with pytest.raises(MediaError, match="frame 0 is not where it should be: leave out"):
        lose_the_first()
    assert not output.exists()


def test_whole_groups_alone_are_copied():
    layout = Layout((0, 6, 12, 18, 24), 2, 0, b"", is_plain=True)
    plan = plan_copies(layout, lambda frame: frame == 13)
    assert plan.ranges == ((0, 12), (18, 24))
    assert [frame for frame in range(24) if frame in plan] == [*range(12), *range(18, 24)]
    assert plan.frames == 18
    assert 5 not in CopyPlan((), 0)
    assert nothing_left(layout) == "each of its groups of pictures has a frame that changes"


def test_the_command_copies_what_it_leaves_alone(tmp_path, capsys):
    from segs_detailer.cli.main import main

    clip, output = make(tmp_path / "in.mp4", size=(96, 72)), tmp_path / "out.mp4"
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,x1,y1,x2,y2\n8,20,20,60,60\n9,20,20,60,60\n")
    words = [str(clip), "--segs", str(boxes), "--no-cache", "--copy-untouched"]
    words += ["--guide-size", "48", "--max-size", "64", "--steps", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["plan", *words]) == 0
        assert "copied as they are: 18 of 24 frames (75%)" in capsys.readouterr().out
        assert main(["run", *words, "-o", str(output)]) == 0
        assert "copied as they are: 18 of 24 frames (75%)" in capsys.readouterr().out
        check = decoded(clip), decoded(output)
        assert all(np.array_equal(check[0][n][1], check[1][n][1]) for n in (*range(6), *range(12, 24)))
        assert not np.array_equal(check[0][8][1], check[1][8][1])
        assert main(["run", *words, "-o", str(tmp_path / "out.avi")]) == 0
        said = capsys.readouterr()
        assert "nothing is copied as it is: only MP4" in said.err
        assert "copied as they are" not in said.out
        assert main(["run", *words, "-o", f"{tmp_path}/out/"]) == 2
        assert "--copy-untouched: expected a video file as output" in capsys.readouterr().err
