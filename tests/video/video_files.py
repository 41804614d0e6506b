"""Video files that tests make: smooth colors that move, in any format, with all that files carry."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from segs_detailer._native import cpu_has_avx512
from segs_detailer.video import ColorTags
from segs_detailer.video.color import RgbToFrame

CHAPTERS = (("Beginning", 0, 400), ("End", 400, 1000))
"""Title, start and end in milliseconds."""

LINES = (("Hello there", 0, 300), ("Bye", 500, 900))
"""Text, start and end in milliseconds."""

FONT = b"not really a font" * 20


def picture(index, height=48, width=64):
    """Smooth colors that move, so that encoders have little to lose."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin((x + 3 * index) / 9), np.sin((y + index) / 7), np.cos((x + y) / 11)]
    return (0.5 + 0.4 * np.stack(waves, axis=-1)).astype(np.float32)


def encoder_options(codec):
    """The same file each time: with AVX-512, x264 reads memory that was never set."""
    options = {"crf": "8"}
    if codec == "libx264" and cpu_has_avx512():
        options["x264-params"] = "asm=AVX2"
    return options


def make_video(
    path,
    *,
    frames=12,
    size=(48, 64),
    rate=Fraction(24),
    codec="libx264",
    pix_fmt="yuv420p",
    color=None,
    audio=None,
    times=None,
    aspect=None,
    options=None,
    rotation=None,
):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={**encoder_options(codec), **(options or {})})
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        tags = color or ColorTags()
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if times is not None:
            context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        sound = None
        if audio is not None:
            sound = container.add_stream(audio, rate=48_000, layout="mono")
        convert = RgbToFrame(tags, pix_fmt)
        for index in range(frames):
            frame = convert(picture(index, *size))
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if sound is not None:
            count = int(48_000 * frames / rate)
            tone = (0.1 * np.sin(np.arange(count) / 20)).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate = 48_000
            if audio == "libopus":
                samples = av.AudioFrame.from_ndarray(tone, format="flt", layout="mono")
                samples.sample_rate = 48_000
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
        container.mux(stream.encode(None))
    return path


def audio_bytes(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@dataclass(frozen=True)
class Extras:
    """What a file carries beside picture and sound.

    Parameters
    ----------
    subtitles : tuple
        Codec and language of each subtitle stream; all have the same lines.
    chapters, attachment, cover : bool
        Whether there are such.
    """

    subtitles: tuple[tuple[str, str], ...] = ()
    chapters: bool = False
    attachment: bool = False
    cover: bool = False


_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    b"MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def _line(codec, number, text):
    data = text.encode()
    if codec == "mov_text":
        return len(data).to_bytes(2, "big") + data
    return b"%d,0,Default,,0,0,0,,%s" % (number, data) if codec == "ass" else data


def _cover_bytes():
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def make_rich(path, extras, *, frames=24, audio=None, start=0, title="A film"):
    """Video of one second with `extras`; `start` in milliseconds moves everything."""
    clock = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": title, "comment": "kept", "artist": "Somebody"})
        video = container.add_stream("libx264", rate=24, options=encoder_options("libx264"))
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.time_base = clock
        video.metadata["language"] = "fra"
        sound = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        if sound is not None:
            sound.metadata["language"] = "deu"
        streams = []
        for codec, language in extras.subtitles:
            stream = container.add_stream(codec)
            stream.codec_context.subtitle_header = _ASS_HEADER
            stream.metadata["language"] = language
            stream.disposition = av.stream.Disposition.forced.value if language == "spa" else 0
            stream.time_base = clock
            streams.append((codec, stream))
        if extras.attachment:
            container.add_attachment("font.ttf", "application/x-truetype-font", FONT)
        cover = None
        if extras.cover and container.format.name == "matroska":
            container.add_attachment("cover.png", "image/png", _cover_bytes())
        elif extras.cover:
            cover = container.add_mux_stream("png", width=16, height=16)
            cover.disposition = av.stream.Disposition.attached_pic.value
        if extras.chapters:
            container.set_chapters(
                [
                    {"id": n, "start": a + start, "end": b + start, "time_base": clock, "metadata": {"title": name}}
                    for n, (name, a, b) in enumerate(CHAPTERS, start=1)
                ]
            )
        container.start_encoding()
        if cover is not None:
            _mux(container, cover, _cover_bytes(), 0, 0, clock)
        for codec, stream in streams:
            for number, (text, first, end) in enumerate(LINES):
                _mux(container, stream, _line(codec, number, text), first + start, end - first, clock)
        convert = RgbToFrame(ColorTags(), "yuv420p")
        for index in range(frames):
            frame = convert(picture(index))
            frame.pts, frame.time_base = round(start + 1000 * index / 24), clock
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 2000 * frames), np.float32), "fltp", "mono")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 48 * start, Fraction(1, 48_000)
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    return path


_packets = []
"""Some versions of PyAV read the data of a packet only when others are written after it."""


def _mux(container, stream, data, start, duration, clock):
    packet = av.Packet(data)
    _packets.append((packet, data))
    packet.stream = stream
    packet.pts = packet.dts = start
    packet.duration, packet.time_base = duration, clock
    container.mux(packet)


def subtitle_lines(path, number=0):
    """Text, start and end in milliseconds of each line of a subtitle stream."""
    lines = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        codec = stream.codec_context.codec.canonical_name
        for packet in container.demux(stream):
            data = bytes(packet)
            if codec == "mov_text":
                data = data[2:]
            elif codec == "ass":
                data = data.split(b",", 8)[-1]
            if data:
                start = round(packet.pts * packet.time_base * 1000)
                lines.append((data.decode(), start, start + round(packet.duration * packet.time_base * 1000)))
    return tuple(lines)


def chapters_of(path):
    """Title, start and end in milliseconds of each chapter."""
    with av.open(str(path)) as container:
        return tuple(
            (each["metadata"].get("title"), *(round(each[end] * each["time_base"] * 1000) for end in ("start", "end")))
            for each in container.chapters()
        )
