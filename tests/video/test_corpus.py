"""One table: a file of every kind, and what must come out when it goes through.

What a row does not name must be in the output as it was in the file: the time of each frame to the tick of the coarser
clock, the distance of sound and picture, every picture upright and in its order, each packet of sound, streams,
languages, flags, chapters, colors, HDR data, field order, transparency; and nothing is said. So a row holds only what
differs.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av
import corpus
import numpy as np
import pytest
from corpus import HAS_FFMPEG, MPEG2, MPEG4, PICTURE, SOUND, X264, File, ffmpeg, python, then, tone, video
from file_facts import facts
from video_files import Extras, make_rich, make_video

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.video import ColorTags, EncoderSettings, read_clip, write_clip

pytestmark = pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_matrix"), reason="this PyAV cannot make such files"
)

BOX = ["--bbox", "20,20,80,80", "--guide-size", "64", "--max-size", "96", "-q"]
ANY = object()
"""Of a fact that is not looked at."""


def steady(rate, frames):
    """Times of a constant rate, in seconds from the first frame."""
    return tuple(index / Fraction(rate) for index in range(frames))


def milliseconds(*times):
    return tuple(Fraction(time, 1000) for time in times)


@dataclass(frozen=True)
class Row:
    """One file, and what differs in its output.

    Parameters
    ----------
    what : str
        What is special about it.
    file : File
        How it is made.
    to : str
        Suffix of the output.
    cli : bool
        Through `run` instead of `read_clip` and `write_clip`; None takes both.
    says : tuple of str
        Patterns of the warnings: each of them once, and no other.
    may_say : str
        Pattern of warnings that may come or not.
    refused : str
        Pattern of the error that ends it.
    times : tuple of Fraction
        Seconds from the first frame, where those of the file are wrong.
    frames : tuple of int
        Fewest and most frames that may come out, where how much of a damaged file can be decoded is not known.
    end : Fraction
        Seconds from the first frame to the end of the last one.
    gap : Fraction
        Seconds from the first packet of sound to the first frame, where the file has no time of that.
    shown : callable
        What players do with a stored picture.
    but : dict
        Facts of the output that differ from those of the file.
    unless_said : dict
        Facts that may get lost, by the pattern of the warning that must say so then.
    options, settings : tuple, dict
        Of `run` and of the encoder.
    """

    what: str
    file: File
    to: str = ".mkv"
    cli: bool | None = False
    says: tuple[str, ...] = ()
    may_say: str = ""
    refused: str = ""
    times: tuple[Fraction, ...] | None = None
    frames: tuple[int, int] | None = None
    end: Fraction | None = None
    gap: Fraction | None = None
    shown: object = None
    but: dict = field(default_factory=dict)
    unless_said: dict = field(default_factory=dict)
    options: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)

    def __str__(self):
        return f"{self.what} to {self.to}".replace(" ", "-")


SHORT = r"cut off: the picture lacks its last \d\.\d\d s \(\d+ frames\)"
H264 = python("a.mp4", make_video, frames=12, size=corpus.SIZE, rate=Fraction(25))
FILM = f"{video('24')} {SOUND} {X264} -c:a aac"
CLIP = f"{PICTURE} {SOUND} {X264} -c:a aac"
TRANSPORT = f"{PICTURE} {SOUND} {X264} -g 12 -c:a aac"

WITH_SOUND = python("b.mkv", make_video, size=corpus.SIZE, rate=Fraction(25), audio="aac")
WMV = ffmpeg(f"{PICTURE} {SOUND} -c:v wmv2 -q:v 2 -c:a wmav2 a.wmv")
# libav's muxer could, but PyAV asks its list.
LATE_PICTURE = r"left out of .*: the 0\.04\d s from the start of the sound to that of the picture$"
"""AVI has no time for its first frame but its start."""

NO_WMA = (
    r"out\.mkv: a \.mkv file cannot hold the clip's wmav2 sound \(stream 1\): choose \.avi, "
    r"or drop it with (--no-audio|keep_audio=False)$"
)
LONG_LAST = python("a.mp4", corpus.clip, times=(0, 40, 90, 200), last=800, options={"bf": "0"})

RATES_AND_STARTS = [
    Row(
        "24 fps film, sound first",
        ffmpeg(f"{FILM} a.mkv"),
        ".mp4",
        None,
        times=tuple(Fraction(round(1000 * i / 24 + 21) - 21, 1000) for i in range(24)),
    ),
    Row("24 fps film, sound first", ffmpeg(f"{FILM} a.mkv"), ".mkv", True),
    Row("24 fps film, sound first", ffmpeg(f"{FILM} a.mkv"), ".mov"),
    Row("23.976 fps", ffmpeg(f"{video('24000/1001')} {SOUND} {X264} -c:a aac a.mp4"), ".mp4", True),
    Row("29.97 fps", ffmpeg(f"{video('30000/1001')} {SOUND} {X264} -c:a aac a.mkv"), ".mp4"),
    Row("59.94 fps", ffmpeg(f"{video('60000/1001')} {X264} a.mp4"), ".mkv"),
    Row("120 fps", ffmpeg(f"{video('120', '0.5')} {X264} a.mp4"), ".mp4"),
    Row("120 fps", ffmpeg(f"{video('120', '0.5')} {X264} a.mkv"), ".mkv"),
    Row("1 fps", ffmpeg(f"{video('1', '4')} {X264} a.mp4"), ".mp4", end=Fraction(4)),
    Row("uneven times", python("a.mp4", corpus.clip, times=(0, 40, 90, 200, 210, 450, 1000)), ".mp4"),
    Row("uneven times", python("a.mkv", corpus.clip, times=(0, 40, 90, 200, 210, 450, 1000)), ".mkv", True),
    Row("uneven times", python("a.mkv", corpus.clip, times=(0, 40, 90, 200, 210, 450, 1000)), ".mp4", True),
    Row("uneven times", python("a.webm", corpus.clip, times=(0, 33, 66, 101, 400), codec="libvpx-vp9"), ".webm"),
    Row(
        "uneven times on a fine clock",
        python("a.mp4", corpus.clip, times=(0, 3003, 6007, 9009, 15015, 90001), clock=Fraction(1, 90_000)),
        ".mp4",
    ),
    Row("long last frame", LONG_LAST, ".mp4", None, end=Fraction(1)),
    Row("long last frame", LONG_LAST, ".mkv", end=Fraction(1)),
    Row("long last frame", python("a.mkv", corpus.clip, times=(0, 40, 90, 200), last=800), ".mp4", end=Fraction(1)),
    Row("one frame", python("a.mp4", corpus.clip, times=(0,), last=40), ".mp4", end=Fraction(40, 1000)),
    Row("one frame", python("a.mkv", corpus.clip, times=(0,), last=40), ".mp4", True),
    Row("sound starts later", ffmpeg(f"{PICTURE} -itsoffset 0.3 {SOUND} {X264} -c:a aac a.mp4"), ".mp4", True),
    Row("sound starts later", ffmpeg(f"{PICTURE} -itsoffset 0.3 {SOUND} {X264} -c:a aac a.mkv"), ".mp4"),
    Row("sound starts earlier", ffmpeg(f"-itsoffset 0.3 {PICTURE} {SOUND} {X264} -c:a aac a.mp4"), ".mp4", None),
    Row("sound starts earlier", ffmpeg(f"-itsoffset 0.31 {PICTURE} {SOUND} {X264} -c:a aac a.mkv"), ".mkv"),
    Row("sound is longer", ffmpeg(f"{PICTURE} {tone('2.5')} {X264} -c:a aac a.mp4"), ".mp4"),
    Row("sound is shorter", ffmpeg(f"{PICTURE} {tone('0.2')} {X264} -c:a aac a.mkv"), ".mkv"),
    Row("starts at 2 s", ffmpeg(f"{CLIP} -output_ts_offset 2 a.mkv"), ".mkv"),
    Row(
        "begins before 0",
        ffmpeg(f"{CLIP} -avoid_negative_ts disabled -output_ts_offset -0.1 a.mkv"),
        ".mp4",
        times=steady(25, 25),
        gap=Fraction(21, 1000),
        may_say="time",
    ),
]

CUTS_AND_STAMPS = [
    Row(
        "cut without a key frame: an edit list",
        ffmpeg(f"{CLIP} full.mp4", "-ss 0.5 -i full.mp4 -c copy a.mp4"),
        ".mp4",
        True,
        times=steady(25, 12),
    ),
    Row("edit list that ends early", ffmpeg(f"{CLIP} full.mp4", "-i full.mp4 -t 0.44 -c copy a.mp4"), ".mp4"),
    Row("B-frames without an edit list", ffmpeg(f"{CLIP} -use_editlist 0 a.mp4"), ".mp4"),
    Row("B-frames with negative offsets", ffmpeg(f"{CLIP} -movflags negative_cts_offsets a.mov"), ".mov"),
    Row("transport stream", ffmpeg(f"{TRANSPORT} a.ts"), ".mp4", None),
    Row("transport stream", ffmpeg(f"{TRANSPORT} a.ts"), ".mkv"),
    Row("transport stream that starts at 10 h", ffmpeg(f"{TRANSPORT} -output_ts_offset 36000 a.ts"), ".mp4"),
    Row(
        "transport stream whose clock wraps",
        ffmpeg(f"{TRANSPORT} -output_ts_offset 95441.8 a.ts"),
        ".mp4",
        times=steady(25, 25),
    ),
    Row("program stream", ffmpeg(f"{PICTURE} {SOUND} {MPEG2} -bf 2 -c:a mp2 a.mpg"), ".mkv"),
    Row(
        "program stream",
        ffmpeg(f"{PICTURE} {SOUND} {MPEG2} -bf 2 -c:a mp2 a.mpg"),
        ".mp4",
        True,
        but={"streams": ("mpeg2video", "mp3")},
    ),
    Row("AVI with B-frames", ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -bf 2 -c:a libmp3lame a.avi"), ".mp4", gap=ANY),
    Row(
        "AVI with a pyramid of B-frames",
        ffmpeg(f"{PICTURE} {SOUND} {X264} -c:a libmp3lame a.avi"),
        ".mp4",
        True,
        times=steady(25, 25),
        gap=ANY,
        may_say=r"a\.avi: .*time",
    ),
    Row(
        "AVI with dropped frames",
        ffmpeg(f"{PICTURE} {SOUND} -vf select='not(between(n\\,8\\,12))' -fps_mode vfr {MPEG4} -c:a mp2 a.avi"),
        ".mp4",
        times=tuple(Fraction(i, 25) for i in range(25) if not 8 <= i <= 12),
        but={"streams": ("mpeg4", "mp3")},
    ),
    Row(
        "raw H.264", ffmpeg(f"{PICTURE} {X264} a.h264"), ".mp4", True, times=steady(25, 25), may_say=r"a\.h264: .*time"
    ),
    Row("raw H.264 of 30 fps", ffmpeg(f"{video('30')} {X264} a.h264"), times=steady(30, 30), may_say=r"\.h264: .*time"),
    Row("raw MPEG-4", ffmpeg(f"{PICTURE} {MPEG4} -bf 2 -f m4v a.mpeg4"), ".mp4"),
    Row("raw VP9", ffmpeg(f"{PICTURE} -c:v libvpx-vp9 -deadline realtime -crf 10 -b:v 0 a.ivf"), ".webm"),
    Row(
        "raw HEVC",
        ffmpeg(f"{PICTURE} -c:v libx265 -preset ultrafast -x265-params log-level=error:crf=10 a.hevc"),
        ".mp4",
        times=steady(25, 25),
        may_say=r"a\.hevc: .*time",
    ),
    Row(
        "joined clips whose stamps go back",
        ffmpeg(
            f"{PICTURE} {X264} one.mp4",
            "-f concat -i list.txt -c copy a.mp4",
            list="file one.mp4\noutpoint 0.9\nfile one.mp4\ninpoint 0.5\nfile one.mp4\n",
        ),
        ".mp4",
        None,
        says=(r"a\.mp4: the time stamps of 15 frames go back or repeat, first at frame 25: ",),
        times=ANY,
    ),
    Row(
        "joined clips whose stamps overlap",
        ffmpeg(
            f"{PICTURE} {X264} one.mp4",
            "-f concat -i list.txt -c copy a.mkv",
            list="file one.mp4\nduration 0.9\nfile one.mp4\n",
        ),
        says=(r"a\.mkv: the time stamps of 2 frames go back or repeat, first at frame 25: ",),
        times=ANY,
    ),
    Row(
        "the same stamp twice",
        python(
            "a.mkv",
            corpus.remuxed,
            source=python("b.mkv", corpus.clip, codec="ffv1"),
            change=corpus.repeated("video", 5),
        ),
        says=(r"a\.mkv: the time stamp of 1 frame goes back or repeats, first at frame 5: ",),
        times=ANY,
    ),
    Row(
        "transport streams joined as bytes",
        then(ffmpeg(f"{TRANSPORT} a.ts"), lambda data: data + data),
        ".mp4",
        None,
        may_say=r"a\.ts: .*time",
        times=(*steady(25, 25), *(Fraction(1024, 1000) + time for time in steady(25, 25))),
    ),
    Row("a gap of an hour", python("a.mkv", corpus.clip, times=(0, 40, 80, 3_600_000, 3_600_040)), ".mp4"),
    Row(
        "a gap of an hour on a fine clock",
        python("a.mp4", corpus.clip, times=(0, 3600, 7200, 90_000 * 3600), clock=Fraction(1, 90_000)),
        ".mp4",
    ),
    Row("Flash", ffmpeg(f"{CLIP} -ar 44100 a.flv"), ".mp4", True),
    Row("fragments", ffmpeg(f"{CLIP} -movflags frag_keyframe+empty_moov -g 10 a.mp4"), ".mp4"),
    Row(
        "Ogg",
        ffmpeg(f"{PICTURE} {SOUND} -c:v libtheora -q:v 9 -c:a libvorbis a.ogv"),
        but={"streams": ("h264", "vorbis")},
    ),
    Row(
        "Sorenson in Flash",
        ffmpeg(f"{PICTURE} {tone(rate=44_100)} -c:v flv1 -q:v 2 -c:a libmp3lame a.flv"),
        ".mkv",
        but={"streams": ("h264", "mp3")},
    ),
    Row("MPEG-1", ffmpeg(f"{PICTURE} {SOUND} -c:v mpeg1video -q:v 2 -c:a mp2 a.mpg"), ".mkv", True),
    Row(
        "H.263 of a phone",
        ffmpeg(f"{video(size='128x96')} {SOUND} -c:v h263 -q:v 2 -c:a aac a.3gp"),
        ".mkv",
        but={"streams": ("h264", "aac")},
    ),
    Row("Matroska of a stream, without a duration", ffmpeg(f"{CLIP} -live 1 a.mkv"), ".mp4"),
    Row(
        "WebM of a browser, without a duration",
        ffmpeg(f"{PICTURE} {SOUND} -c:v libvpx -crf 8 -b:v 9M -c:a libopus -live 1 a.webm"),
        ".mkv",
        True,
    ),
    # AVI begins with its first frame.
    Row("Windows Media", WMV, ".avi", gap=ANY, says=(LATE_PICTURE,)),
    Row("Windows Media", WMV, ".avi", True, gap=ANY, says=(LATE_PICTURE,)),
    Row("Windows Media", WMV, ".mkv", True, refused=NO_WMA),
    Row(
        "MXF",
        ffmpeg(f"{PICTURE} {SOUND} {MPEG2} -c:a pcm_s16le a.mxf"),
        ".mov",
        but={"streams": ("mpeg2video", "pcm_s16le", "data"), "languages": ANY, "flags": ANY},
    ),
    Row("NUT", ffmpeg(f"{PICTURE} {SOUND} {X264} -c:a mp2 a.nut"), ".mkv"),
    Row(
        "GIF, long last delay",
        python("a.gif", corpus.images, delays=(100, 100, 100, 900)),
        ".mp4",
        None,
        end=Fraction(6, 5),
    ),
    Row(
        "GIF that is shown twice",
        python("a.gif", corpus.images, delays=(100, 100, 200), loop=2),
        ".gif",
        end=Fraction(2, 5),
    ),
    Row(
        "APNG that is shown twice",
        python("a.png", corpus.images, delays=(100, 100, 200), loop=2),
        ".apng",
        end=Fraction(2, 5),
    ),
    Row("GIF, uneven delays", python("a.gif", corpus.images, delays=(100, 250, 40, 110)), ".mkv", end=Fraction(1, 2)),
    Row(
        "WebP, long last delay",
        python("a.webp", corpus.images, delays=(100, 100, 100, 900)),
        ".mp4",
        end=Fraction(6, 5),
    ),
    Row(
        "APNG, long last delay",
        python("a.apng", corpus.images, delays=(100, 100, 100, 900)),
        ".mp4",
        end=Fraction(6, 5),
    ),
    Row("APNG, long last delay", python("a.png", corpus.images, delays=(100, 300, 900)), ".apng", end=Fraction(13, 10)),
]

ADPCM = f"{PICTURE} {tone(rate=44_100)} {MPEG4} -c:a adpcm_ima_wav"
STEREO = "-f lavfi -i sine=300:r=48000:d=1 -f lavfi -i sine=500:r=48000:d=1"
UNKNOWN_SOUND = then(ffmpeg(f"{CLIP} a.mkv"), corpus.replaced(b"A_AAC", b"A_XYZ"))
UNKNOWN_TEXT = then(
    python("a.mkv", make_rich, extras=Extras(subtitles=(("subrip", "eng"),))),
    corpus.replaced(b"S_TEXT/UTF8", b"S_TEXT/ABCD"),
)

SOUND_ROWS = [
    *(
        Row(codec, ffmpeg(f"{PICTURE} {SOUND} {X264} -c:a {encoder} a{source}"), to)
        for codec, encoder, source, to in [
            ("AC-3", "ac3", ".mp4", ".mp4"),
            ("E-AC-3", "eac3", ".mkv", ".mp4"),
            ("DTS", "dca -strict -2", ".mkv", ".mkv"),
            ("DTS", "dca -strict -2", ".ts", ".mp4"),
            ("MP2", "mp2", ".ts", ".mkv"),
            ("MP3", "libmp3lame", ".mp4", ".mkv"),
            ("FLAC", "flac", ".mkv", ".mp4"),
            ("ALAC", "alac", ".mov", ".mp4"),
            ("16-bit PCM", "pcm_s16le", ".mov", ".mkv"),
            ("24-bit PCM", "pcm_s24le", ".mkv", ".mov"),
            ("Vorbis", "libvorbis", ".mkv", ".mkv"),
            ("Opus", "libopus", ".mkv", ".mp4"),
            ("Opus", "libopus", ".mp4", ".mkv"),
        ]
    ),
    Row("Vorbis", ffmpeg(f"{PICTURE} {SOUND} -c:v libvpx -crf 8 -b:v 9M -c:a libvorbis a.webm"), ".webm", True),
    Row("MP3", ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a libmp3lame a.avi"), ".avi"),
    Row("ADPCM", ffmpeg(f"{ADPCM} a.avi"), ".avi"),
    Row("ADPCM", ffmpeg(f"{ADPCM} a.avi"), ".mkv", True, refused=r"adpcm_ima_wav sound \(stream 1\): choose \.avi, or"),
    Row("WMA", ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a wmav2 a.mkv"), ".mkv", None, refused=NO_WMA),
    Row("WMA", ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a wmav2 a.mkv"), ".avi", gap=ANY, says=(LATE_PICTURE,)),
    Row(
        "ADPCM",
        ffmpeg(f"{ADPCM} a.avi"),
        ".webm",
        refused=r"out\.webm: a \.webm file cannot hold the clip's adpcm_ima_wav sound \(stream 1\): choose ",
    ),
    Row("PCM", ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a pcm_s16le a.avi"), ".avi"),
    Row(
        "AAC",
        ffmpeg(f"{CLIP} a.mp4"),
        ".webm",
        True,
        refused=r"out\.webm: a \.webm file cannot hold the clip's aac sound \(stream 1\): choose \.mkv, or ",
    ),
    Row("AAC", ffmpeg(f"{CLIP} a.mkv"), ".avi", gap=ANY, but={"sound": ANY}),
    Row(
        "two sounds",
        ffmpeg(
            f"{PICTURE} {STEREO} {X264} -map 0 -map 1 -map 2 -c:a aac -metadata:s:a:0 language=eng "
            "-metadata:s:a:1 language=jpn -disposition:a:0 0 -disposition:a:1 default a.mkv"
        ),
        ".mp4",
        None,
    ),
    Row(
        "flags of streams",
        ffmpeg(
            f"{PICTURE} {STEREO} {X264} -map 0 -map 1 -map 2 -c:a aac -disposition:a:0 default+original "
            "-disposition:a:1 comment a.mkv"
        ),
    ),
    Row(
        "two pictures",
        ffmpeg(f"{PICTURE} {video(size='64x48')} {SOUND} {X264} -map 0 -map 1 -map 2 -c:a aac a.mkv"),
        ".mkv",
        None,
    ),
    Row(
        "two pictures",
        ffmpeg(f"{PICTURE} {video(size='64x48')} {SOUND} -c:v mpeg4 -q:v 2 -map 0 -map 1 -map 2 -c:a libopus a.mkv"),
        ".webm",
        says=(r"left out of .*: video stream 1 \(mpeg4\)$",),
        but={"streams": ("vp9", "opus"), "languages": ANY, "flags": ANY},
    ),
    Row(
        "unknown sound",
        UNKNOWN_SOUND,
        ".mkv",
        None,
        says=(r"left out of .*: audio stream 1, whose codec is unknown$",),
        gap=ANY,
        but={"streams": ("h264",), "sound": ANY, "languages": (), "flags": ()},
    ),
    Row(
        "unknown sound",
        UNKNOWN_SOUND,
        ".mp4",
        True,
        says=(r"left out of .*: audio stream 1, whose codec is unknown$",),
        gap=ANY,
        but={"streams": ("h264",), "sound": ANY, "languages": ANY, "flags": ANY},
    ),
    Row(
        "unknown subtitles",
        UNKNOWN_TEXT,
        ".mkv",
        says=(r"left out of .*: unknown subtitles$",),
        but={"streams": ("h264",), "languages": (), "flags": ()},
    ),
    Row(
        "unknown subtitles",
        UNKNOWN_TEXT,
        ".mp4",
        True,
        says=(r"left out of .*: unknown subtitles$",),
        but={"streams": ("h264",), "languages": (), "flags": ()},
    ),
    Row(
        "the same decoding time twice in the sound",
        python("a.mkv", corpus.remuxed, source=WITH_SOUND, change=corpus.repeated("audio", 9)),
        ".mp4",
        True,
    ),
    Row(
        "the same decoding time twice in the sound",
        python("a.mkv", corpus.remuxed, source=WITH_SOUND, change=corpus.repeated("audio", 9)),
    ),
    Row(
        "a damaged packet of sound",
        then(ffmpeg(f"{CLIP} b.mkv"), corpus.noise_in_packet("audio", 20), name="a.mkv"),
        ".mp4",
    ),
    Row(
        "a damaged packet of AAC in a transport stream",
        then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.noise_in_packet("audio", 16)),
        ".mp4",
        None,
        may_say=r"a\.ts",
        but={"sound": ANY},
    ),
]

DAMAGE = [
    Row(
        "Matroska cut at 96.5 %",
        then(ffmpeg(f"{video('25', '4')} {tone('4')} {X264} -g 25 -c:a aac a.mkv"), corpus.cut(0.965)),
        ".mp4",
        None,
        says=(rf"a\.mkv: {SHORT}",),
        frames=(90, 99),
    ),
    Row(
        "Matroska cut at half",
        then(ffmpeg(f"{CLIP} -g 10 a.mkv"), corpus.cut(0.5)),
        says=(rf"a\.mkv: {SHORT}",),
        frames=(8, 17),
    ),
    Row(
        "MP4 cut at 60 %, its index first",
        then(ffmpeg(f"{CLIP} -movflags +faststart a.mp4"), corpus.cut(0.6)),
        ".mp4",
        None,
        says=(rf"a\.mp4: {SHORT}",),
        frames=(10, 20),
    ),
    Row(
        "MP4 without its index",
        then(ffmpeg(f"{CLIP} a.mp4"), corpus.cut(0.9)),
        refused=r"a\.mp4: cannot be read as a video",
    ),
    Row(
        "fragments cut at 70 %",
        then(ffmpeg(f"{CLIP} -movflags frag_keyframe+empty_moov -g 8 a.mp4"), corpus.cut(0.7)),
        ".mp4",
        may_say=rf"a\.mp4: ({SHORT}|1 frame is damaged)",
        frames=(8, 20),
    ),
    Row(
        "transport stream cut in a picture",
        then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.cut_after_packets(0.6)),
        ".mp4",
        True,
        may_say=rf"a\.ts: ({SHORT}|1 frame is damaged)",
        frames=(12, 20),
    ),
    Row(
        "transport stream cut in a packet",
        then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.cut(0.601)),
        ".mp4",
        may_say=rf"a\.ts: ({SHORT}|1 frame is damaged)",
        frames=(12, 20),
    ),
    Row(
        "program stream cut at 60 %",
        then(ffmpeg(f"{PICTURE} {SOUND} {MPEG2} -c:a mp2 a.mpg"), corpus.cut(0.6)),
        ".mkv",
        may_say=rf"a\.mpg: ({SHORT}|1 frame is damaged)",
        frames=(10, 24),
    ),
    Row(
        "AVI cut at 60 %",
        then(ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a mp2 a.avi"), corpus.cut(0.6)),
        ".mp4",
        True,
        says=(rf"a\.avi: {SHORT}",),
        may_say=r"damaged",
        but={"streams": ("mpeg4", "mp3")},
        frames=(10, 20),
    ),
    Row(
        "WebM cut at 70 %",
        then(ffmpeg(f"{PICTURE} {SOUND} -c:v libvpx -crf 8 -b:v 9M -c:a libopus a.webm"), corpus.cut(0.7)),
        ".webm",
        says=(rf"a\.webm: {SHORT}",),
        frames=(10, 22),
    ),
    Row(
        "Flash cut at 60 %",
        then(ffmpeg(f"{CLIP} -ar 44100 a.flv"), corpus.cut(0.6)),
        ".mp4",
        True,
        says=(rf"a\.flv: {SHORT}",),
        frames=(10, 20),
    ),
    Row("no picture", ffmpeg(f"{SOUND} -c:a aac a.mp4"), refused=r"a\.mp4: there is no video stream"),
    Row(
        "a cover alone",
        ffmpeg(f"{SOUND} {PICTURE} -frames:v 1 -c:v png -c:a aac -disposition:v attached_pic a.m4a"),
        refused=r"a\.m4a: there is no video stream",
    ),
    Row(
        "transport stream, 3.5 % missing",
        then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.cut(0.965)),
        ".mp4",
        True,
        may_say=rf"a\.ts: ({SHORT}|1 frame is damaged)",
        frames=(20, 25),
    ),
    Row(
        "MP4 cut at 97 %, its index first",
        then(ffmpeg(f"{CLIP} -movflags +faststart a.mp4"), corpus.cut(0.97)),
        ".mkv",
        says=(r"a\.mp4: cut off: the picture .*, audio stream 1 lacks its last 0\.\d\d s: copy",),
        frames=(22, 24),
    ),
    Row(
        "nothing but a header",
        then(ffmpeg(f"{CLIP} a.mkv"), corpus.cut(0.03)),
        refused=r"a\.mkv: its video stream has no frames$",
    ),
    Row("sound that ends early", then(ffmpeg(f"{PICTURE} {tone('0.4')} {X264} -c:a aac a.mp4"), name="a.mp4"), ".mp4"),
    Row(
        "begins without a key frame",
        then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.without_first_packets(40)),
        ".mp4",
        True,
        says=(r"a\.ts: \d frames of \d\d cannot be decoded$",),
        frames=(12, 25),
        but={"sound": ANY},
    ),
    Row(
        "noise in a picture",
        then(ffmpeg(f"{PICTURE} {MPEG4} a.avi"), corpus.noise(0.5, 60)),
        ".mp4",
        None,
        says=(r"a\.avi: 1 frame is damaged",),
    ),
    Row(
        "an undecodable picture",
        then(ffmpeg(f"{PICTURE} {X264} -g 6 -bf 0 b.mkv"), corpus.noise_in_packet("video", 9, 64), name="a.mkv"),
        ".mp4",
        None,
        says=(r"a\.mkv: 1 frame is damaged, the first is frame 9$",),
        frames=(20, 25),
        times=ANY,
    ),
    Row("begins in a packet", then(ffmpeg(f"{TRANSPORT} a.ts"), corpus.between(bytes(100), b"")), ".mp4"),
    Row("zeros after MP4", then(H264, corpus.between(b"", bytes(5000))), ".mp4", True),
    Row("zeros after Matroska", then(ffmpeg(f"{CLIP} a.mkv"), corpus.between(b"", bytes(5000))), ".mkv"),
    Row(
        "junk after AVI",
        then(ffmpeg(f"{PICTURE} {SOUND} {MPEG4} -c:a mp2 a.avi"), corpus.between(b"", b"junk" * 999)),
        ".mp4",
        but={"streams": ("mpeg4", "mp3")},
    ),
]


def matrix(a, b, c, d):
    """Display matrix of PyAV: 16.16 fixed-point numbers, 2.30 in the last column."""
    one = 1 << 16
    return [round(a * one), round(b * one), 0, round(c * one), round(d * one), 0, 0, 0, 1 << 30]


def turned(times):
    return lambda image: np.rot90(image, times)


def mirrored(image):
    return image[:, ::-1]


COS, SIN = 0.866, 0.5
ORIENTATIONS = [
    *(
        Row(what, python("a.mp4", corpus.clip, matrix=matrix(*numbers), aspect=aspect), to, cli, shown=shown, but=but)
        for what, numbers, shown, to, cli, aspect, but in [
            ("turned by a quarter to the right", (0, 1, -1, 0), turned(-1), ".mp4", None, None, {}),
            ("turned by a half", (-1, 0, 0, -1), turned(2), ".mkv", True, None, {}),
            ("turned by a quarter to the left", (0, -1, 1, 0), turned(1), ".mov", False, None, {}),
            ("mirrored left to right", (-1, 0, 0, 1), mirrored, ".mp4", True, None, {}),
            ("mirrored top to bottom", (1, 0, 0, -1), lambda image: image[::-1], ".mp4", False, None, {}),
            ("transposed", (0, 1, 1, 0), lambda image: image.swapaxes(0, 1), ".mp4", None, None, {}),
            (
                "transposed the other way",
                (0, -1, -1, 0),
                lambda image: np.rot90(image, 2).swapaxes(0, 1),
                ".mp4",
                False,
                None,
                {},
            ),
            (
                "turned, wide pixels",
                (0, 1, -1, 0),
                turned(-1),
                ".mp4",
                False,
                Fraction(4, 3),
                {"aspect": Fraction(3, 4)},
            ),
        ]
    ),
    Row(
        "turned by 30 degrees",
        python("a.mp4", corpus.clip, matrix=matrix(COS, SIN, -SIN, COS)),
        ".mp4",
        None,
        says=(r"left out of .*: a turn by 30 degrees$",),
    ),
    Row("wide pixels", python("a.mp4", corpus.clip, aspect=Fraction(4, 3)), ".mkv"),
    Row("narrow pixels", python("a.mkv", corpus.clip, aspect=Fraction(8, 9)), ".mp4", True),
    Row("wide pixels in MPEG-2", ffmpeg(f"{PICTURE} -vf setsar=16/15 {MPEG2} a.mpg"), ".mp4"),
]

TOP = "-vf setfield=tff -flags +ilme+ildct"
BOTTOM = "-vf setfield=bff -flags +ilme+ildct"
PICTURES = [
    Row(
        "interlaced H.264, top first",
        ffmpeg(f"{PICTURE} {TOP} {X264} -x264-params tff=1 a.mp4"),
        ".mp4",
        may_say="interlaced|fields",
    ),
    Row(
        "interlaced H.264, top first",
        ffmpeg(f"{PICTURE} {TOP} {X264} -x264-params tff=1 a.mp4"),
        ".mp4",
        True,
        says=("interlaced",),
    ),
    Row(
        "interlaced H.264, bottom first",
        ffmpeg(f"{PICTURE} {BOTTOM} {X264} -x264-params bff=1 a.mkv"),
        may_say="interlaced|fields",
    ),
    Row(
        "interlaced MPEG-2",
        ffmpeg(f"{PICTURE} {SOUND} {TOP} {MPEG2} -c:a mp2 a.ts"),
        ".mkv",
        True,
        says=("interlaced",),
    ),
    Row(
        "interlaced ProRes",
        ffmpeg(f"{PICTURE} {TOP} -c:v prores_ks -pix_fmt yuv422p10le a.mov"),
        ".mov",
        may_say="interlaced|fields",
    ),
    # A lossless codec knows no fields: the file says how they follow each other.
    Row("interlaced FFV1", ffmpeg(f"{PICTURE} -vf setfield=bff -c:v ffv1 -field_order bb a.mkv"), ".mkv"),
    Row("interlaced FFV1", ffmpeg(f"{PICTURE} -vf setfield=tff -c:v ffv1 -field_order tt a.mkv"), ".mp4"),
    Row(
        "DV",
        ffmpeg("-f lavfi -i testsrc2=s=720x576:r=25:d=0.2 -c:v dvvideo -pix_fmt yuv420p -an a.dv"),
        ".avi",
        may_say="interlaced|fields",
    ),
    *(
        Row(what, python(name, corpus.clip, codec=codec, pix_fmt=pix_fmt, tags=tags, options=options), to, cli)
        for what, name, codec, pix_fmt, tags, options, to, cli in [
            ("HDR10", "a.mp4", "libx265", "yuv420p10le", ColorTags(9, 1, 9, 16), corpus.HDR10_HEVC, ".mp4", None),
            ("HDR10", "a.mkv", "libx265", "yuv420p10le", ColorTags(9, 1, 9, 16), corpus.HDR10_HEVC, ".mkv", True),
            (
                "HDR10 in H.264",
                "a.mp4",
                "libx264",
                "yuv420p10le",
                ColorTags(9, 1, 9, 16),
                corpus.HDR10_H264,
                ".mp4",
                False,
            ),
            (
                "HDR10 in AV1",
                "a.mkv",
                "libsvtav1",
                "yuv420p10le",
                ColorTags(9, 1, 9, 16),
                corpus.HDR10_AV1,
                ".mkv",
                False,
            ),
            ("HLG", "a.mp4", "libx265", "yuv420p10le", ColorTags(9, 1, 9, 18), corpus.HEVC, ".mp4", True),
            (
                "BT.2020 in AV1",
                "a.mkv",
                "libsvtav1",
                "yuv420p10le",
                ColorTags(9, 1, 9, 14),
                {"preset": "12"},
                ".webm",
                False,
            ),
            ("BT.709", "a.mp4", "libx264", "yuv420p", ColorTags(1, 1, 1, 1), {}, ".mov", False),
            ("full range", "a.mp4", "libx264", "yuvj420p", ColorTags(1, 2, 1, 1), {}, ".mp4", True),
            ("untagged", "a.mkv", "libx264", "yuv420p", ColorTags(), {}, ".mp4", False),
            ("10 bits", "a.mkv", "libx264", "yuv420p10le", ColorTags(1, 1, 1, 1), {}, ".mp4", False),
            ("12 bits", "a.mkv", "libx265", "yuv422p12le", ColorTags(1, 1, 1, 1), corpus.HEVC, ".mkv", False),
            ("gray", "a.mp4", "libx264", "gray", ColorTags(), {}, ".mp4", False),
            ("4:4:4", "a.mp4", "libx264", "yuv444p", ColorTags(1, 1, 1, 1), {}, ".mp4", False),
            ("RGB in H.264", "a.mkv", "libx264rgb", "rgb24", ColorTags(), {}, ".mp4", True),
            ("GBR in FFV1", "a.mkv", "ffv1", "gbrp10le", ColorTags(), {"crf": "0"}, ".mkv", False),
        ]
    ),
    Row(
        "HDR10 to another codec",
        python(
            "a.mp4",
            corpus.clip,
            codec="libx265",
            pix_fmt="yuv420p10le",
            tags=ColorTags(9, 1, 9, 16),
            options=corpus.HDR10_HEVC,
        ),
        ".mkv",
        options=("--codec", "ffv1"),
        settings={"codec": "ffv1"},
        but={"streams": ("ffv1",)},
        unless_said={"hdr": "left out of .*: the mastering display and light levels of HDR10$"},
    ),
    Row("raw pictures", ffmpeg(f"{PICTURE} -c:v rawvideo -pix_fmt bgr24 a.avi"), ".avi"),
    Row("Ut Video", ffmpeg(f"{PICTURE} -c:v utvideo -pix_fmt gbrp a.avi"), ".avi"),
    Row("JPEG 2000", ffmpeg(f"{PICTURE} -c:v jpeg2000 -pix_fmt yuv422p a.mov"), ".mov"),
    Row(
        "another pixel format in the middle",
        ffmpeg(
            f"{PICTURE} {X264} one.ts",
            f"{PICTURE} {X264} -pix_fmt yuv444p -output_ts_offset 1.08 two.ts",
            "-i concat:one.ts|two.ts -c copy a.ts",
        ),
        ".mp4",
        times=steady(25, 50),
        may_say="time",
    ),
    Row("Motion JPEG, full range", ffmpeg(f"{PICTURE} -c:v mjpeg -q:v 2 -pix_fmt yuvj422p a.avi"), ".avi"),
    Row("Motion JPEG, full range", ffmpeg(f"{PICTURE} -c:v mjpeg -q:v 2 -pix_fmt yuvj422p a.mov"), ".mov"),
    Row("odd size", ffmpeg(f"{video(size='97x81')} -c:v libvpx-vp9 -deadline realtime -crf 8 -b:v 0 a.webm"), ".webm"),
    Row(
        "odd size in 4:2:0 to H.264",
        ffmpeg(f"{video(size='97x81')} -c:v ffv1 -pix_fmt yuv420p a.mkv"),
        ".mp4",
        None,
        settings={"codec": "h264"},
        options=("--codec", "h264"),
        but={"streams": ("h264",)},
    ),
    Row("odd size, MPEG-4", ffmpeg(f"{video(size='97x81')} {MPEG4} a.avi"), ".mp4"),
    Row(
        "cropped by its header",
        ffmpeg(f"{PICTURE} {X264} -bsf:v h264_metadata=crop_left=4:crop_right=4:crop_bottom=2 a.mp4"),
        ".mp4",
    ),
    Row(
        "another size in the middle",
        ffmpeg(
            f"{PICTURE} {X264} one.ts", f"{video(size='64x48')} {X264} two.ts", "-i concat:one.ts|two.ts -c copy a.ts"
        ),
        ".mp4",
        True,
        refused=r"a\.ts: frame 25 has another size",
    ),
]

SEE_THROUGH = [
    *(
        Row(
            what, python(name, corpus.clip, codec=codec, pix_fmt=pix_fmt, alpha=True, options=options), to, cli, but=but
        )
        for what, name, codec, pix_fmt, options, to, cli, but in [
            ("transparent VP9", "a.webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}, ".webm", None, {}),
            (
                "transparent VP8",
                "a.webm",
                "libvpx",
                "yuva420p",
                {"auto-alt-ref": "0", "b": "5M"},
                ".webm",
                False,
                {"colors": ANY},
            ),
            ("transparent ProRes", "a.mov", "prores_ks", "yuva444p10le", {}, ".mov", True, {}),
            ("QuickTime Animation", "a.mov", "qtrle", "argb", {}, ".mov", False, {}),
            ("transparent FFV1", "a.mkv", "ffv1", "yuva420p", {}, ".mkv", True, {}),
            ("transparent PNG in QuickTime", "a.mov", "png", "rgba", {}, ".mov", False, {}),
        ]
    ),
    Row(
        "transparent VP9",
        python(
            "a.webm", corpus.clip, codec="libvpx-vp9", pix_fmt="yuva420p", alpha=True, options={"auto-alt-ref": "0"}
        ),
        ".mkv",
        True,
    ),
    Row(
        "transparent ProRes",
        python("a.mov", corpus.clip, codec="prores_ks", pix_fmt="yuva444p10le", alpha=True),
        ".mp4",
        None,
        says=("transparency is left out",),
        but={"alpha": [], "streams": ("h264",)},
    ),
    Row("transparent GIF", python("a.gif", corpus.images, delays=(100, 100, 300), alpha=True), ".gif"),
    Row(
        "transparent WebP",
        python("a.webp", corpus.images, delays=(100, 100, 300), alpha=True),
        ".mov",
        True,
        end=Fraction(1, 2),
        options=("--codec", "qtrle", "--pix-fmt", "argb"),
    ),
    Row(
        "transparent APNG",
        python("a.png", corpus.images, delays=(100, 100, 300), alpha=True),
        ".mp4",
        says=("transparency is left out",),
        end=Fraction(1, 2),
        but={"alpha": []},
    ),
]

SIX = (("subrip", "eng"), ("ass", "spa"))
BESIDES = [
    Row(
        "time code track",
        ffmpeg(f"{PICTURE} {SOUND} {X264} -timecode 01:00:00:00 -c:a aac a.mov"),
        ".mov",
        True,
        may_say=r"left out.*(time ?code|data)",
        but={"streams": ANY, "languages": ANY, "flags": ANY},
    ),
    Row(
        "telemetry",
        python("a.ts", corpus.with_data, codec="klv"),
        ".mp4",
        None,
        unless_said={"streams": r"left out of .*: data stream 1$"},
    ),
    Row(
        "telemetry of an action camera",
        then(python("a.mp4", corpus.with_data, codec="bin_data"), name="a.mp4"),
        ".mp4",
        True,
        unless_said={"streams": r"left out of .*: data stream 1$"},
    ),
    Row("chapters, font, cover, texts", python("a.mkv", make_rich, extras=Extras(SIX, True, True, True)), ".mkv", None),
    Row(
        "chapters and a font",
        python("a.mkv", make_rich, extras=Extras((), True, True)),
        ".mp4",
        True,
        says=(r"left out of .*: 1 attachment$",),
        but={"streams": ("h264", "data"), "languages": (), "flags": ()},
    ),
    Row("cover", python("a.mp4", make_rich, extras=Extras(cover=True)), ".mp4"),
    Row(
        "cover",
        python("a.mp4", make_rich, extras=Extras(cover=True)),
        ".webm",
        True,
        says=(r"left out of .*: a cover picture$",),
        but={"streams": ("vp9",), "languages": (), "flags": ()},
    ),
    Row(
        "MOV text",
        python("a.mp4", make_rich, extras=Extras((("mov_text", "fra"),))),
        ".mkv",
        but={"streams": ("h264", "subrip")},
    ),
    Row(
        "SubRip",
        python("a.mkv", make_rich, extras=Extras((("subrip", "fra"),))),
        ".mp4",
        but={"streams": ("h264", "mov_text")},
    ),
    Row(
        "ASS, forced",
        python("a.mkv", make_rich, extras=Extras((("ass", "spa"),))),
        ".mov",
        unless_said={"flags": "forced"},
        but={"streams": ("h264", "mov_text")},
    ),
    Row("WebVTT", python("a.mkv", make_rich, extras=Extras((("webvtt", "fra"),))), ".mkv"),
    Row("DVD subtitles", python("a.mkv", corpus.with_bitmaps, codec="dvd_subtitle"), ".mkv"),
    Row(
        "DVD subtitles",
        python("a.mkv", corpus.with_bitmaps, codec="dvd_subtitle"),
        ".webm",
        True,
        says=(r"left out of .* dvd_subtitle subtitles$",),
        but={"streams": ("vp9",), "languages": (), "flags": ()},
    ),
    Row(
        "DVB subtitles",
        python("a.ts", corpus.with_bitmaps, codec="dvb_subtitle"),
        ".mp4",
        says=(r"left out of .* dvb_subtitle subtitles$",),
        but={"streams": ("h264",), "languages": (), "flags": ()},
    ),
    Row("DVB subtitles", python("a.ts", corpus.with_bitmaps, codec="dvb_subtitle"), ".mkv"),
    Row(
        "closed captions",
        then(ffmpeg(f"{PICTURE} {X264} -bf 0 a.h264"), corpus.with_captions),
        ".mp4",
        None,
        unless_said={"captions": "left out of .*: closed captions$"},
        times=steady(25, 25),
        may_say=r"a\.h264: .*time",
    ),
    Row("two eyes", ffmpeg(f"{PICTURE} {X264} -metadata:s:v stereo_mode=left_right a.mkv")),
    Row("a title in other letters", ffmpeg(f"{CLIP} -metadata title='Ünïcode — 日本' a.mp4"), ".mkv"),
    Row(
        "a name with line break and colon",
        File(
            "a\n:b %03d [1].mkv",
            lambda folder: (
                make_video(folder / "x.mkv", size=corpus.SIZE).rename(folder / "a\n:b %03d [1].mkv") and None
            ),
        ),
        ".mp4",
        True,
    ),
]

ROWS = [*RATES_AND_STARTS, *CUTS_AND_STAMPS, *SOUND_ROWS, *DAMAGE, *ORIENTATIONS, *PICTURES, *SEE_THROUGH, *BESIDES]
# A row for both ways is two tests.
CASES = [(row, cli) for row in ROWS for cli in ((False, True) if row.cli is None else (row.cli,))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Path of a file of the corpus, which is made once."""
    paths = {}

    def path_of(file):
        if file not in paths:
            if file.ffmpeg and not HAS_FFMPEG:
                pytest.skip("ffmpeg is needed to make this file")
            folder = tmp_path_factory.mktemp("corpus")
            file.make(folder)
            paths[file] = folder / file.name
        return paths[file]

    return path_of


@pytest.fixture(scope="module")
def looked_at():
    """Facts of a file that was made, looked up once."""
    known = {}
    return lambda path: known.get(path) or known.setdefault(path, facts(path))


def copied(row, source, target):
    """What is said, and the error, when a file goes through the package."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            write_clip(target, read_clip(source), settings=EncoderSettings(**row.settings))
        except MediaError as error:
            return [str(each.message) for each in said], str(error)
    return [str(each.message) for each in said], None


def run(row, source, target, capsys):
    """The same through the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code = main(["run", str(source), "-o", str(target), *BOX, *row.options])
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("segs-detailer: ") for line in lines), lines
    said = [line.removeprefix("segs-detailer: warning: ") for line in lines if ": warning: " in line]
    errors = [line.removeprefix("segs-detailer: error: ") for line in lines if ": error: " in line]
    assert code == (2 if errors else 0)
    assert len(said) + len(errors) == len(lines), lines
    return said, errors[0] if errors else None


@pytest.mark.parametrize(("row", "cli"), CASES, ids=[f"{row}{'-run' if cli else ''}" for row, cli in CASES])
def test_corpus(row, cli, made, looked_at, tmp_path, capsys):
    source = made(row.file)
    target = tmp_path / f"out{row.to}"
    said, error = run(row, source, target, capsys) if cli else copied(row, source, target)
    if row.refused:
        assert error is not None
        assert re.search(row.refused, error), error
        assert list(tmp_path.iterdir()) == []
        return
    assert error is None, error
    before, after = looked_at(source), facts(target)
    said, lost = said_to_be_lost(row, said)
    problems = [*wrong_words(row, said), *wrong_times(row, before, after), *wrong_pictures(row, before, after)]
    problems += [*wrong_facts(row, before, after, lost)]
    assert not problems, "\n".join(problems)


BEFOREHAND = {
    "unknown sound": "an output like output.mkv cannot hold audio stream 1, whose codec is unknown",
    "telemetry": "an output like output.mp4 cannot hold data stream 1",
    "closed captions": "an output like output.mp4 cannot hold closed captions",
    "turned by 30 degrees": "an output like output.mp4 cannot hold a turn by 30 degrees",
    "interlaced H.264, top first": "the clip is interlaced: subjects are sampled across its fields",
    "Matroska cut at half": "cut off: the picture lacks its last",
    "joined clips whose stamps go back": "the time stamps of 15 frames go back or repeat",
}
"""What `plan` says of files of the corpus."""


@pytest.mark.parametrize("what", BEFOREHAND)
def test_plan_says_beforehand_what_will_be_lost(what, made, capsys):
    source = made(next(row.file for row in ROWS if row.what == what))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["plan", str(source), *BOX[:-1]]) == 0
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count(BEFOREHAND[what]) == 1


def said_to_be_lost(row, said):
    """The other warnings, and the facts that are said to be lost."""
    lost = {name for name, pattern in row.unless_said.items() if any(re.search(pattern, text) for text in said)}
    rest = [text for text in said if not any(re.search(row.unless_said[name], text) for name in lost)]
    return rest, lost


def wrong_words(row, said):
    rest = list(said)
    for pattern in row.says:
        found = [text for text in rest if re.search(pattern, text)]
        if len(found) != 1:
            yield f"{len(found)} warnings like {pattern!r} in {said}"
        rest = [text for text in rest if text not in found]
    rest = [text for text in rest if not (row.may_say and re.search(row.may_say, text))]
    if rest:
        yield f"said: {rest}"


def slack(before, after):
    """Largest difference of times: none where the new clock has all ticks of the old one, else the coarser tick."""
    return 0 if (before / after).denominator == 1 else max(before, after)


def wrong_times(row, before, after):
    count = len(after.times)
    least, most = row.frames or ((len(row.times),) * 2 if isinstance(row.times, tuple) else (len(before.times),) * 2)
    if not least <= count <= most:
        yield f"{count} frames instead of {least} to {most}"
        return
    if any(b <= a for a, b in pairwise(after.times)):
        yield f"times do not rise: {shown_times(after.times)}"
    if row.times is ANY:
        if abs((after.times[-1] - after.times[0]) - (before.times[-1] - before.times[0])) > Fraction(1, 4):
            yield f"the last frame is at {float(after.times[-1])}"
        return
    wanted = row.times or tuple(time - before.times[0] for time in before.times)
    found = [time - after.times[0] for time in after.times]
    largest = max(abs(a - b) for a, b in zip(wanted, found, strict=False))
    if largest > slack(before.tick, after.tick):
        yield f"times are off by {float(largest):.5f} s: {shown_times(found)} instead of {shown_times(wanted)}"
    if row.end is not None and (
        after.end is None or abs(after.end - after.times[0] - row.end) > max(before.tick, after.tick)
    ):
        yield f"ends at {after.end and float(after.end - after.times[0])} instead of {float(row.end)}"
    if row.gap is not ANY and before.sound and after.sound:
        yield from _wrong_gap(row, before, after)


def _wrong_gap(row, before, after):
    """Sound and picture are as far apart as they were; packets that players pass over may be left out."""
    old, new = before.sound[0], after.sound[0]
    first = next(number for number, packet in enumerate(old) if not packet.passed_over)
    same = next((packet for packet in new if packet.data == old[first].data), new[0])
    wanted = row.gap if before.times[0] is None else before.times[0] - old[first].time
    found = after.times[0] - same.time
    allowed = max(slack(before.tick, after.tick), slack(before.sound_tick, after.sound_tick))
    if abs(found - wanted) > allowed:
        yield f"the picture starts {float(found):.5f} s after the sound instead of {float(wanted):.5f}"


def shown_times(times):
    return " ".join(f"{float(time):.4g}" for time in times[:30])


def wrong_pictures(row, before, after):
    """Every picture at its place: encoders and the box of the command line change them a little."""
    if row.frames is not None or len(before.frames) != len(after.frames):
        return
    for index, (old, new) in enumerate(zip(before.frames, after.frames, strict=True)):
        wanted = row.shown(old) if row.shown else old
        if wanted.shape != new.shape:
            yield f"frame {index} is {new.shape} instead of {wanted.shape}"
            return
        error = np.abs(wanted.astype(int) - new)
        if before.alpha:
            # There is nothing to see of what is wholly transparent.
            error = error * (before.alpha[index][..., None] > 0)
        error = error.mean()
        if error > 8:
            yield f"frame {index} is another picture: {error:.1f}"
            return


_COMPARED = ("streams", "languages", "flags", "aspect", "colors", "interlaced", "turned", "hdr", "chapters", "title")
_COMPARED = (*_COMPARED, "stereo", "captions", "loop")
_NOT_OF_IMAGES = ("streams", "colors")


def wrong_facts(row, before, after, lost):
    is_video, was_video = bool(after.streams), bool(before.streams)
    for name in _COMPARED:
        if (name in _NOT_OF_IMAGES and not was_video) or (name == "loop" and (was_video or is_video)) or name in lost:
            continue
        wanted = row.but.get(name, False if name == "turned" else getattr(before, name))
        found = getattr(after, name)
        if name == "flags" and wanted is not ANY and row.to in (".mp4", ".mov"):
            wanted, found = _as_in_mp4(before, wanted), _as_in_mp4(before, found)
        if wanted is not ANY and found != wanted:
            yield f"{name}: {found} instead of {wanted}"
    if "sound" not in row.but:
        yield from _wrong_sound(before, after)
    if "alpha" not in row.but and "alpha" not in lost:
        yield from _wrong_alpha(before, after)


def _wrong_sound(before, after):
    """Every packet is there, byte by byte; those that players pass over may be left out."""
    if len(before.sound) != len(after.sound):
        yield f"{len(after.sound)} sounds instead of {len(before.sound)}"
        return
    for old, new in zip(before.sound, after.sound, strict=True):
        everything, found = (b"".join(packet.data for packet in packets) for packets in (old, new))
        heard = b"".join(packet.data for packet in old if not packet.passed_over)
        if heard not in found or found not in everything:
            yield f"{len(new)} packets of sound, {len(found)} bytes, instead of {len(old)}, {len(everything)} bytes"


def _wrong_alpha(before, after):
    if len(before.alpha) != len(after.alpha):
        yield f"{len(after.alpha)} transparent frames instead of {len(before.alpha)}"
    elif any(np.abs(a.astype(int) - b).mean() > 4 for a, b in zip(before.alpha, after.alpha, strict=True)):
        yield "transparency is another one"


def _as_in_mp4(before, flags):
    """MP4 has one track of a kind switched on where no track is the default one."""
    default = av.stream.Disposition.default
    if any(each & default for each in before.flags):
        return flags
    return tuple(each & ~default for each in flags)
