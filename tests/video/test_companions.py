"""What lies beside the picture in a video file comes along: sound, subtitles, chapters, attachments, metadata."""

from __future__ import annotations

import warnings

import av
import numpy as np
import pytest
from video_files import CHAPTERS, FONT, LINES, Extras, audio_bytes, chapters_of, make_rich, subtitle_lines

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.video import open_clip, open_output, read_clip, write_clip
from segs_detailer.video.writing import losses_as_pictures

pytestmark = pytest.mark.skipif(
    not hasattr(av.container.OutputContainer, "set_chapters"), reason="this PyAV cannot make such files"
)

ENGLISH = (("subrip", "eng"),)


def copied(source, target):
    write_clip(target, read_clip(source))
    return target


def streams(path, kind):
    with av.open(str(path)) as container:
        return [
            (stream.codec_context.codec.canonical_name, stream.metadata.get("language"))
            for stream in container.streams
            if stream.type == kind
        ]


@pytest.mark.parametrize(
    ("suffix", "subtitles"),
    [
        (".mkv", ENGLISH),
        (".mkv", (("subrip", "eng"), ("ass", "spa"), ("webvtt", "fra"))),
        (".mp4", (("mov_text", "eng"), ("mov_text", "deu"))),
        (".mov", (("mov_text", "eng"),)),
    ],
)
def test_subtitles_are_copied_packet_by_packet(tmp_path, suffix, subtitles):
    source = make_rich(tmp_path / f"a{suffix}", Extras(subtitles=subtitles), audio="aac")
    target = copied(source, tmp_path / f"b{suffix}")
    assert streams(target, "subtitle") == list(subtitles)
    for number in range(len(subtitles)):
        assert subtitle_lines(target, number) == subtitle_lines(source, number) == LINES
    assert audio_bytes(target) == audio_bytes(source)
    assert open_clip(target).info.subtitle_streams == len(subtitles)


@pytest.mark.parametrize(
    ("source", "target", "codec", "expected"),
    [
        (".mkv", ".mp4", "subrip", "mov_text"),
        (".mkv", ".mov", "ass", "mov_text"),
        (".mkv", ".webm", "subrip", "webvtt"),
        (".mp4", ".mkv", "mov_text", "subrip"),
    ],
)
def test_text_is_converted_where_a_format_wants_another_codec(tmp_path, source, target, codec, expected):
    path = make_rich(tmp_path / f"a{source}", Extras(subtitles=((codec, "eng"),)))
    out = copied(path, tmp_path / f"b{target}")
    assert streams(out, "subtitle") == [(expected, "eng")]
    assert [(text.strip(), first, end) for text, first, end in subtitle_lines(out)] == list(LINES)


def test_subtitles_stay_in_step_when_the_file_starts_late(tmp_path):
    path = make_rich(tmp_path / "a.mkv", Extras(subtitles=ENGLISH, chapters=True), audio="aac", start=2000)
    out = copied(path, tmp_path / "b.mkv")
    info = open_clip(out).info
    first = round(info.times[0] * info.time_base * 1000)
    # Some versions of libav count from the sound's first packet, which is before its first sample.
    assert 0 <= first <= 42
    for found, expected in ((subtitle_lines(out), LINES), (chapters_of(out), CHAPTERS)):
        assert [each[0] for each in found] == [each[0] for each in expected]
        assert np.abs(np.array([each[1:] for each in found]) - [each[1:] for each in expected]).max() <= 42


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4", "b.mov", "b.webm"])
def test_chapters_are_kept(tmp_path, name):
    path = make_rich(tmp_path / "a.mkv", Extras(chapters=True))
    assert chapters_of(copied(path, tmp_path / name)) == CHAPTERS


def test_attachments_and_cover_are_kept(tmp_path):
    path = make_rich(tmp_path / "a.mkv", Extras(attachment=True, cover=True))
    out = copied(path, tmp_path / "b.mkv")
    with av.open(str(out)) as container:
        (font,) = [stream for stream in container.streams if stream.type == "attachment"]
        assert (font.metadata["filename"], font.mimetype) == ("font.ttf", "application/x-truetype-font")
        assert bytes(font.data) == FONT
        covers = [s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert len(covers) == 1
        picture = next(packet.decode()[0] for packet in container.demux(covers[0]) if packet.size)
    assert np.abs(picture.to_ndarray(format="rgb24").astype(int) - [200, 30, 60]).max() == 0
    assert open_clip(out).info.size == (48, 64)


@pytest.mark.skipif(not hasattr(av.container.OutputContainer, "add_mux_stream"), reason="this PyAV cannot make one")
def test_cover_of_mp4(tmp_path):
    out = copied(make_rich(tmp_path / "a.mp4", Extras(cover=True)), tmp_path / "b.mp4")
    with av.open(str(out)) as container:
        assert [bool(s.disposition & av.stream.Disposition.attached_pic) for s in container.streams.video] == [
            False,
            True,
        ]
    assert open_clip(out).info.frames == 24


def test_metadata_of_file_and_streams_is_kept(tmp_path):
    path = make_rich(tmp_path / "a.mkv", Extras(subtitles=(("subrip", "spa"),)), audio="aac")
    out = copied(path, tmp_path / "b.mkv")
    with av.open(str(out)) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert (tags["title"], tags["comment"], tags["artist"]) == ("A film", "kept", "Somebody")
        languages = [stream.metadata.get("language") for stream in container.streams]
        assert languages == ["fra", "deu", "spa"]
        assert container.streams.subtitles[0].disposition & av.stream.Disposition.forced
        # Statistics of the input would be wrong.
        assert not any(key.startswith(("BPS", "NUMBER_OF")) for key in container.streams.video[0].metadata)


@pytest.mark.parametrize(
    ("name", "extras", "message"),
    [
        ("b.mp4", Extras(attachment=True), "1 attachment"),
        ("b.webm", Extras(attachment=True, cover=True), "a cover picture, 1 attachment"),
        ("b.avi", Extras(subtitles=ENGLISH, chapters=True), "subrip subtitles, 2 chapters"),
    ],
)
def test_what_a_format_cannot_hold_is_named_in_a_warning(tmp_path, name, extras, message):
    clip = read_clip(make_rich(tmp_path / "a.mkv", extras))
    with pytest.warns(UserWarning, match=rf"left out of .*{name}, which cannot hold it: {message}$"):
        write_clip(tmp_path / name, clip)
    assert open_clip(tmp_path / name).info.frames == 24


def test_nothing_is_said_where_all_is_kept(tmp_path):
    clip = read_clip(make_rich(tmp_path / "a.mkv", Extras(ENGLISH, chapters=True, attachment=True, cover=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_clip(tmp_path / "b.mkv", clip)


def test_sound_can_be_left_out_and_the_rest_stays(tmp_path):
    clip = read_clip(make_rich(tmp_path / "a.mkv", Extras(ENGLISH, chapters=True), audio="aac"))
    write_clip(tmp_path / "b.mkv", clip, keep_audio=False)
    info = open_clip(tmp_path / "b.mkv").info
    assert (info.audio_streams, info.subtitle_streams) == (0, 1)
    assert chapters_of(tmp_path / "b.mkv") == CHAPTERS


def test_sound_that_a_format_cannot_hold_closes_the_input_again(tmp_path):
    clip = read_clip(make_rich(tmp_path / "a.mkv", Extras(ENGLISH), audio="aac"))
    with pytest.raises(MediaError, match="cannot hold the clip's aac sound"):
        open_output(tmp_path / "b.webm", clip.info)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mkv"]


def test_images_and_gif_carry_nothing(tmp_path):
    clip = read_clip(make_rich(tmp_path / "a.mkv", Extras(ENGLISH, chapters=True), audio="aac"))
    write_clip(tmp_path / "b.gif", clip)
    lost = losses_as_pictures(tmp_path / "b.gif", clip.info)
    assert lost == ("sound", "subtitles", "2 chapters")
    assert losses_as_pictures(f"{tmp_path}/frames/", clip.info, keep_audio=False) == lost[1:]
    assert losses_as_pictures(tmp_path / "b.mp4", clip.info) == ()
    assert open_clip(tmp_path / "b.gif").info.frames == 24


def test_run_keeps_all_of_it(tmp_path):
    extras = Extras((("subrip", "eng"), ("ass", "spa")), chapters=True, attachment=True, cover=True)
    clip = make_rich(tmp_path / "a.mkv", extras, audio="aac")
    out = tmp_path / "b.mkv"
    assert main(["run", str(clip), "-o", str(out), "--bbox", "16,8,48,40", "--quiet", "--no-cache"]) == 0
    assert streams(out, "subtitle") == [("subrip", "eng"), ("ass", "spa")]
    assert subtitle_lines(out, 0) == subtitle_lines(out, 1) == LINES
    assert audio_bytes(out) == audio_bytes(clip)
    assert chapters_of(out) == CHAPTERS
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams].count("attachment") == 1
        assert container.metadata["title"] == "A film"
