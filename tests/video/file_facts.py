"""What is in a video file, as libav alone sees it: nothing here uses the package that is tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from PIL import Image

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_IMAGES = (".gif", ".png", ".apng", ".webp")
# Headers say the order of the fields in several ways, and progressive by saying nothing.
_FIELDS = {2: "top first", 4: "top first", 3: "bottom first", 5: "bottom first"}
_PROGRESSIVE = (False, "progressive")


@dataclass(frozen=True)
class SoundPacket:
    """One packet, without headers that belong to the container.

    Parameters
    ----------
    time : Fraction or None
        Seconds.
    data : bytes
        Its content.
    passed_over : bool
        An edit list says that it is not heard.
    """

    time: Fraction | None
    data: bytes
    passed_over: bool


@dataclass
class Facts:
    """One file.

    Parameters
    ----------
    streams : tuple of str
        Codecs: the picture's, then those of each kind of stream in their order; `?` where libav does not know one.
    languages, flags : tuple
        Of each of these streams but the first, which is the picture, and data.
    pix_fmt : str
        Pixel format; empty for images.
    tick, sound_tick : Fraction
        Clocks of the picture and of the first sound.
    times : list of Fraction
        Seconds at which each frame is shown, as the decoder says.
    end : Fraction or None
        Seconds at which the last frame ends, where the file says.
    frames, alpha : list of ndarray
        `(H, W, 3)` and `(H, W)` uint8, as stored; no alpha where there is none.
    sound : list of list of SoundPacket
        The packets of each sound.
    chapters : list of tuple
        Title, start and end in milliseconds.
    title : str or None
        Of the file.
    stereo : str or None
        How the pictures for two eyes lie in a frame.
    aspect : Fraction
        Of a pixel.
    colors : tuple of int
        Matrix, range, primaries, transfer.
    interlaced : tuple
        Whether the first frame is, and the order of the fields in the header of the stream.
    turned : bool
        A display matrix asks players to turn or mirror the picture.
    hdr : tuple or None
        Numbers of the mastering display, and content light levels.
    captions : bool
        There are closed captions in the picture's stream.
    loop : int or None
        How often an animation is shown.
    """

    streams: tuple = ()
    languages: tuple = ()
    flags: tuple = ()
    pix_fmt: str = ""
    tick: Fraction = Fraction(1, 1000)
    sound_tick: Fraction = Fraction(0)
    times: list = field(default_factory=list)
    end: Fraction | None = None
    frames: list = field(default_factory=list)
    alpha: list = field(default_factory=list)
    sound: list = field(default_factory=list)
    chapters: list = field(default_factory=list)
    title: str | None = None
    stereo: str | None = None
    aspect: Fraction = Fraction(1)
    colors: tuple = ()
    interlaced: tuple = _PROGRESSIVE
    turned: bool = False
    hdr: tuple | None = None
    captions: bool = False
    loop: int | None = None


def facts(path):
    """Look at everything in a file."""
    if path.suffix in _IMAGES:
        return _of_images(path)
    found = Facts()
    with av.open(f"file:{path}") as container:
        picture = _picture(container)
        found.tick = picture.time_base
        found.aspect = picture.sample_aspect_ratio or Fraction(1)
        found.stereo = picture.metadata.get("stereo_mode")
        found.title = container.metadata.get("title")
        streams = sorted(container.streams, key=lambda stream: (stream is not picture, _place(stream), stream.type))
        found.streams = tuple(_name(stream) for stream in streams)
        others = [stream for stream in streams[1:] if stream.type != "data"]
        found.languages = tuple(_language(stream) for stream in others)
        found.flags = tuple(Disposition(stream.disposition) for stream in others)
        found.chapters = [
            (each["metadata"].get("title"), *(round(each[end] * each["time_base"] * 1000) for end in ("start", "end")))
            for each in container.chapters()
        ]
        index, sounds = picture.index, [stream.index for stream in container.streams.audio]
        found.sound_tick = container.streams[sounds[0]].time_base if sounds else Fraction(0)
        found.end = _end(container, picture)
    _sounds(path, sounds, found)
    _frames(path, index, found)
    return found


def _of_images(path):
    found = Facts()
    with Image.open(path) as image:
        start = 0
        found.loop = image.info.get("loop")
        for number in range(image.n_frames):
            image.seek(number)
            rgba = np.asarray(image.convert("RGBA"))
            found.times.append(Fraction(int(start), 1000))
            found.frames.append(rgba[..., :3])
            found.alpha.append(rgba[..., 3])
            start += image.info["duration"]
        found.end = Fraction(int(start), 1000)
    if all((alpha == 255).all() for alpha in found.alpha):
        found.alpha = []
    return found


def _picture(container):
    return next(stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)


def _place(stream):
    return 2 if stream.type == "attachment" else 1 if stream.disposition & Disposition.attached_pic else 0


def _name(stream):
    if stream.type in ("data", "attachment"):
        return stream.type
    context = stream.codec_context
    name = context.codec.canonical_name if context is not None else "?"
    return f"{name} cover" if stream.disposition & Disposition.attached_pic else name


def _language(stream):
    language = stream.metadata.get("language")
    return None if language == "und" else language


def _end(container, stream):
    text = stream.metadata.get("DURATION", "")
    if text:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    if stream.duration is None or container.format.name.startswith("matroska"):
        return None
    return (stream.duration + (stream.start_time or 0)) * stream.time_base


def _sounds(path, indexes, found):
    packets = {index: [] for index in indexes}
    with av.open(f"file:{path}") as container:
        wanted = [container.streams[index] for index in indexes]
        for packet in container.demux(wanted) if wanted else ():
            if packet.size:
                time = None if packet.pts is None else packet.pts * packet.time_base
                packets[packet.stream_index].append(SoundPacket(time, _without_adts(packet), packet.is_discard))
    found.sound = [packets[index] for index in indexes]


def _without_adts(packet):
    """Data of a packet; a transport stream repeats a header before each packet of AAC."""
    data = bytes(packet)
    context = packet.stream.codec_context
    if context is None or context.name != "aac" or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return data
    return data[7 if data[1] & 1 else 9 :]


def _decoded(container, stream):
    """Frames; packets that cannot be decoded are passed over, as players do."""
    decoder = stream.codec_context
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if decoder.name in _ALPHA_DECODERS and tags.get("alpha_mode") == "1":
        decoder = av.CodecContext.create(_ALPHA_DECODERS[decoder.name], "r")
    decoder.thread_count = 1
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        try:
            yield from decoder.decode(packet if packet.size else None)
        except av.FFmpegError:
            continue


def _frames(path, index, found):
    with av.open(f"file:{path}") as container:
        stream = container.streams[index]
        for frame in _decoded(container, stream):
            if not found.frames:
                _form(frame, stream, found)
            if found.frames and found.frames[0].shape[:2] != (frame.height, frame.width):
                return
            found.times.append(None if frame.pts is None else frame.pts * stream.time_base)
            found.frames.append(frame.to_ndarray(format="rgb24"))
            found.captions |= frame.side_data.get(SideData.A53_CC) is not None
            if any(component.is_alpha for component in frame.format.components):
                found.alpha.append(frame.to_ndarray(format="rgba")[..., 3])


def _form(frame, stream, found):
    context = stream.codec_context
    found.pix_fmt = frame.format.name
    is_rgb = frame.format.is_rgb
    # Where nothing is said, YUV is of limited range and RGB of full range.
    color_range = int(frame.color_range) or (2 if is_rgb else 1)
    matrix = 0 if is_rgb else int(frame.colorspace)
    found.colors = (matrix, color_range, context.color_primaries, context.color_trc)
    found.interlaced = (bool(frame.interlaced_frame), _FIELDS.get(int(context.field_order), "progressive"))
    found.hdr = _hdr(frame)
    matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
    found.turned = matrix is not None and tuple(np.frombuffer(bytes(matrix), "<i4")[[0, 1, 3, 4]]) != (
        65536,
        0,
        0,
        65536,
    )


def _hdr(frame):
    """Primaries, white point and luminance of the mastering display; content light levels."""
    display = frame.side_data.get(SideData.MASTERING_DISPLAY_METADATA)
    light = frame.side_data.get(SideData.CONTENT_LIGHT_LEVEL)
    if display is None and light is None:
        return None
    numbers = np.frombuffer(bytes(display)[:80], "<i4").reshape(10, 2) if display is not None else np.empty((0, 2))
    levels = np.frombuffer(bytes(light)[:8], "<u4") if light is not None else ()
    # Codecs keep them with another precision.
    return tuple(round(float(a / b), 3) for a, b in numbers), tuple(int(level) for level in levels)
