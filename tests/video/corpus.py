"""Video files of every kind, a few frames each, as cameras, editors and other tools write them.

A `File` is a recipe: nothing is made before a test asks for it. `ffmpeg(...)` runs the program of that name,
`python(...)` calls a function that uses PyAV or Pillow, and `then(...)` changes the bytes of another file: cuts, noise,
patched headers.
"""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from video_files import encoder_options, picture

from segs_detailer.video import ColorTags
from segs_detailer.video.color import RgbToFrame

SIZE = (80, 96)
"""Height and width: just larger than the box of the command line."""

HAS_FFMPEG = bool(shutil.which("ffmpeg"))


@dataclass(frozen=True)
class File:
    """One file that can be made.

    Parameters
    ----------
    name : str
        Its name.
    make : callable
        Makes it in the folder that it is given.
    ffmpeg : bool
        The program ffmpeg is needed.
    """

    name: str
    make: Callable[[Path], None]
    ffmpeg: bool = False


def video(rate="25", seconds="1", size="96x80"):
    """Arguments of ffmpeg for a moving picture."""
    return f"-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds}"


def tone(seconds="1", rate=48_000, hertz=440):
    """Arguments of ffmpeg for a sound."""
    return f"-f lavfi -i sine={hertz}:r={rate}:d={seconds}"


PICTURE = video()
SOUND = tone()
X264 = "-c:v libx264 -preset veryfast -crf 10 -pix_fmt yuv420p -threads 1"
MPEG2 = "-c:v mpeg2video -q:v 2"
MPEG4 = "-c:v mpeg4 -q:v 2"
HEVC = {"preset": "ultrafast", "x265-params": "log-level=error"}
HDR10_HEVC = {
    "preset": "ultrafast",
    "x265-params": "log-level=error:hdr10=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
}
HDR10_H264 = {
    "x264-params": "asm=AVX2:cll=1000,400:"
    "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
}
HDR10_AV1 = {
    "preset": "12",
    "svtav1-params": "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005)"
    ":content-light=1000,400",
}


def ffmpeg(*commands, **texts):
    """File made by runs of ffmpeg, the arguments of each in one text; the last word of the last one is its name.

    `texts` are files that the commands read, by name without suffix.
    """

    def make(folder):
        for name, text in texts.items():
            (folder / f"{name}.txt").write_text(text)
        for command in commands:
            done = subprocess.run(
                ["ffmpeg", "-nostdin", "-v", "error", "-y", *shlex.split(command)],
                cwd=folder,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            if "Unknown encoder" in done.stderr:
                pytest.skip(f"this ffmpeg cannot make the file: {done.stderr.splitlines()[0]}")
            assert done.returncode == 0, f"{command}: {done.stderr}"

    return File(shlex.split(commands[-1])[-1], make, ffmpeg=True)


def python(name, write, **options):
    """File made by `write(path, **options)`."""
    return File(name, lambda folder: write(folder / name, **options))


def then(file, *changes, name=None):
    """The bytes of another file after `changes`, each a function from bytes to bytes."""

    def make(folder):
        (folder / "before").mkdir()
        file.make(folder / "before")
        data = (folder / "before" / file.name).read_bytes()
        for change in changes:
            data = change(data)
        (folder / (name or file.name)).write_bytes(data)

    return File(name or file.name, make, file.ffmpeg)


# Changes of bytes


def cut(share):
    """Keep the first part of a file."""
    return lambda data: data[: round(len(data) * share)]


def cut_after_packets(share):
    """Keep the first part of a transport stream, up to the end of a packet of it."""
    return lambda data: data[: round(len(data) * share) // 188 * 188]


def without_first_packets(number):
    """A transport stream as a receiver sees it that was switched on a little later."""
    return lambda data: data[188 * number :]


def between(before, after):
    """Bytes around the file that are no part of it."""
    return lambda data: before + data + after


def replaced(old, new):
    """Other bytes of the same length at each place of `old`."""
    assert len(old) == len(new)

    def change(data):
        assert old in data
        return data.replace(old, new)

    return change


def noise(place, length, seed=0):
    """Noise at a share of the file's length."""

    def change(data):
        start = round(len(data) * place)
        return data[:start] + np.random.default_rng(seed).bytes(length) + data[start + length :]

    return change


def noise_in_packet(kind, number, length=32):
    """Noise at the beginning of a packet of the first stream of a kind, or of the next one that is not in pieces."""

    def change(data):
        with av.open(io.BytesIO(data)) as container:
            stream = next(stream for stream in container.streams if stream.type == kind)
            packets = [bytes(packet)[:length] for packet in container.demux(stream) if packet.size > length]
        begin = next(begin for begin in packets[number:] if data.count(begin) == 1)
        return data.replace(begin, np.random.default_rng(number).bytes(length))

    return change


# Files that only PyAV can make


def shades(index, size=SIZE):
    """Colors that move and corners that tell which side is up."""
    image = picture(index, *size)
    height, width = size
    image[: height // 3, : width // 3] = (0.9, 0.1, 0.1)
    image[: height // 3, -(width // 3) :] = (0.1, 0.8, 0.1)
    image[-(height // 3) :, : width // 3] = (0.1, 0.1, 0.9)
    return image


def clip(
    path,
    *,
    times=tuple(range(0, 480, 40)),
    clock=Fraction(1, 1000),
    codec="libx264",
    pix_fmt="yuv420p",
    size=SIZE,
    options=None,
    tags=None,
    matrix=None,
    container_options=None,
    last=None,
    alpha=False,
    aspect=None,
):
    """Frames at `times`, in units of `clock`; `last` is the last frame's duration."""
    tags = tags or ColorTags()
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options={**encoder_options(codec), **(options or {})})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.time_base, context.thread_count = clock, 1
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        convert = RgbToFrame(tags, pix_fmt)
        durations = dict(zip(times, (b - a for a, b in pairwise((*times, times[-1] + (last or 1)))), strict=True))
        for index, time in enumerate(times):
            frame = _see_through(index, size, pix_fmt) if alpha else convert(shades(index, size))
            frame.pts, frame.time_base = time, clock
            _mux(container, stream.encode(frame), durations, clock)
        _mux(container, stream.encode(None), durations, clock)


def _mux(container, packets, durations, clock):
    for packet in packets:
        # Encoders lose how long a frame is shown.
        packet.duration = round(durations[round(packet.pts * packet.time_base / clock)] * clock / packet.time_base)
        container.mux(packet)


def _see_through(index, size, pix_fmt):
    """Frame whose transparency falls from left to right."""
    rgba = np.empty((*size, 4), np.uint8)
    rgba[..., :3] = np.rint(shades(index, size) * 255)
    rgba[..., 3] = np.linspace(0, 255, size[1]).astype(np.uint8)
    return av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pix_fmt)


def remuxed(path, *, source, change, options=None):
    """Packets of another file, after `change(packet, number of it in its stream)`, which may return None to drop it."""
    folder = path.parent / "source"
    folder.mkdir()
    source.make(folder)
    counts = {}
    with av.open(str(folder / source.name)) as old, av.open(str(path), "w", container_options=options or {}) as new:
        copies = {
            stream.index: new.add_stream_from_template(stream)
            for stream in old.streams
            if stream.type in ("video", "audio")
        }
        for packet in old.demux(list(old.streams)):
            if packet.size == 0 or packet.stream_index not in copies:
                continue
            number = counts[packet.stream_index] = counts.get(packet.stream_index, -1) + 1
            index = packet.stream_index
            changed = change(packet, number)
            if changed is None:
                continue
            changed.stream = copies[index]
            new.mux(changed)


def repeated(kind, number):
    """Change for `remuxed`: a packet of a stream of that kind has the time of the one before it."""
    before = {}

    def change(packet, count):
        if packet.stream.type == kind and count == number:
            packet.pts, packet.dts = before["pts"], before["dts"]
        elif packet.stream.type == kind:
            before["pts"], before["dts"] = packet.pts, packet.dts
        return packet

    return change


def images(path, *, delays, loop=0, alpha=False):
    """GIF, APNG or WebP whose frames last `delays` milliseconds."""
    frames = []
    for index in range(len(delays)):
        pixels = np.rint(shades(index) * 255).astype(np.uint8)
        if alpha:
            opacity = np.where(np.arange(SIZE[1]) < SIZE[1] // 2, 0, 255).astype(np.uint8)
            pixels = np.dstack([pixels, np.broadcast_to(opacity, SIZE)])
        frames.append(Image.fromarray(pixels))
    given = {"save_all": True, "append_images": frames[1:], "duration": list(delays), "loop": loop}
    if path.suffix == ".webp":
        given["lossless"] = True
    kind = {".gif": "GIF", ".webp": "WEBP"}.get(path.suffix, "PNG")
    frames[0].save(path, kind, **given)


_CAPTION = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x2c\xff"


def with_captions(data):
    """A raw H.264 stream with a closed caption (ATSC A/53) before each picture."""
    message = bytes((6, 4, len(_CAPTION))) + _CAPTION + b"\x80"
    out, at = b"", 0
    for place in _pictures(data):
        out, at = out + data[at:place] + b"\x00\x00\x00\x01" + message, place
    return out + data[at:]


def _pictures(data):
    """Places of the start codes before the first slice of each picture of a raw H.264 stream."""
    places, at = [], data.find(b"\x00\x00\x01")
    while at >= 0:
        kind = data[at + 3] & 31
        # The first bit of a slice's header is 1 where it begins a picture.
        if kind in (1, 5) and data[at + 4] & 128:
            places.append(at - 1 if at and data[at - 1] == 0 else at)
        at = data.find(b"\x00\x00\x01", at + 3)
    return places


def with_bitmaps(path, *, codec):
    """Video with subtitles that are pictures; libav looks at none of their bytes when it copies them."""
    _with_packets(path, lambda container: container.add_mux_stream(codec), b"a picture")


def with_data(path, *, codec):
    """Video with a stream of data, as cameras write their telemetry."""
    _with_packets(path, lambda container: container.add_data_stream(codec), b"telemetry")


def _with_packets(path, add_stream, content):
    """Video with a second stream that `add_stream` makes, of a packet for each frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=encoder_options("libx264"))
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        other = add_stream(container)
        convert = RgbToFrame(ColorTags(), "yuv420p")
        for index in range(12):
            packet = av.Packet(content + b" %d" % index)
            packet.stream, packet.time_base = other, Fraction(1, 25)
            packet.pts = packet.dts = index
            packet.duration = 1
            container.mux(packet)
            container.mux(stream.encode(convert(shades(index))))
        container.mux(stream.encode(None))
