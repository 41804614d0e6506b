"""One table: files that are damaged, empty, huge or odd give one clear line, and nothing is left behind."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from video_files import make_video, picture

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.video import open_clip, read_clip, write_clip

RNG = np.random.default_rng(0)


def png_header(width, height):
    """PNG that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


def image_bytes(kind, count=1, size=(40, 56)):
    images = [Image.fromarray((picture(n, *size) * 255).astype(np.uint8)) for n in range(count)]
    buffer = io.BytesIO()
    images[0].save(buffer, kind, **({"save_all": True, "append_images": images[1:]} if count > 1 else {}))
    return buffer.getvalue()


def huge_gif():
    data = bytearray(image_bytes("GIF"))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


def deep_png():
    return cv2.imencode(".png", RNG.integers(0, 65535, (64, 64, 3), dtype=np.uint16))[1].tobytes()


def video_bytes(folder, suffix=".mp4", **options):
    path = make_video(folder / f"whole{suffix}", **{"frames": 40, "size": (96, 128), **options})
    data = path.read_bytes()
    path.unlink()
    return data


def half(data, share=0.5):
    return data[: int(share * len(data))]


def flipped(data):
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 255
    return bytes(damaged)


def sound_alone(folder):
    path = folder / "sound.mka"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 48_000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


SUBTITLES = b"1\n00:00:00,000 --> 00:00:01,000\nNobody here\n\n"

TOO_MANY_PIXELS = r"it claims to have \d+ pixels: no more than \d+ are opened"

# Name, what makes its content, and what is said.
BAD_FILES = [
    ("empty.mp4", lambda _: b"", "the file is empty"),
    ("empty.png", lambda _: b"", "it is empty"),
    ("empty.gif", lambda _: b"", "the file is empty"),
    ("text.mp4", lambda _: b"not a clip\n" * 99, "cannot be read as a video"),
    ("text.png", lambda _: b"not a clip\n" * 99, "not an image, or damaged"),
    ("zeros.mkv", lambda _: bytes(9000), "cannot be read as a video"),
    ("noise.mp4", lambda _: RNG.bytes(9000), "cannot be read as a video"),
    ("start.mkv", lambda f: half(video_bytes(f, ".mkv"), 0.02), "no frames|cannot be read"),
    ("cut.mp4", lambda f: half(video_bytes(f, ".mp4")), "cannot be read as a video"),
    ("cut.png", lambda _: half(image_bytes("PNG")), "not an image, or damaged"),
    ("flipped.png", lambda _: flipped(image_bytes("PNG")), "not an image, or damaged"),
    ("deep.png", lambda _: half(deep_png()), "not an image, or damaged"),
    ("cut.jpg", lambda _: half(image_bytes("JPEG")), "not an image, or damaged"),
    ("cut.tif", lambda _: half(image_bytes("TIFF")), "not an image, or damaged"),
    ("cut.webp", lambda _: half(image_bytes("WEBP", 4)), "not an image, or damaged"),
    ("cut.gif", lambda _: half(image_bytes("GIF", 4)), "damaged after frame"),
    ("cut.apng", lambda _: half(image_bytes("PNG", 4)), "damaged after frame"),
    ("huge.png", lambda _: png_header(60_000, 60_000), r"it claims to have \d+ pixels: no more than \d+ are opened"),
    (
        "largest.png",
        lambda _: png_header(0x7FFFFFFF, 0x7FFFFFFF),
        r"it claims to have \d+ pixels: no more than \d+ are opened",
    ),
    ("nothing.png", lambda _: png_header(0, 0), "not an image, or damaged"),
    ("huge.gif", lambda _: huge_gif(), "not one frame of it could be decoded"),
    ("sound.mp4", sound_alone, "there is no video stream in it"),
    ("subtitles.mp4", lambda _: SUBTITLES, "there is no video stream in it"),
    ("video.png", lambda f: video_bytes(f), "not an image, or damaged"),
    ("playlist.mp4", lambda _: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "cannot be read as a video"),
]


@pytest.fixture(params=BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def bad(request, tmp_path):
    name, content, message = request.param
    data = content(tmp_path)
    path = tmp_path / name
    path.write_bytes(data)
    return path, message


def test_bad_file_is_one_clear_error(bad):
    path, message = bad
    with pytest.raises(MediaError, match=message) as caught:
        read_clip(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_bad_file_on_the_command_line_is_one_line_and_leaves_nothing(bad, capfd):
    path, _ = bad
    assert main(["run", str(path), "-o", str(path.parent / "out.mp4"), "--bbox", "1,1,20,20", "--quiet"]) == 2
    # Of the process, not only of Python: libraries have their own way to the terminal.
    out, err = capfd.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"segs-detailer: error: {path}")
    assert out == ""
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# Names that another kind of file has

WRONG_NAMES = [("a.mkv", ".mp4"), ("a.mp4", ".mkv"), ("a.mp4", ".gif"), ("a.webm", ".mov"), ("a.mp4", "")]


@pytest.mark.parametrize(("name", "suffix"), WRONG_NAMES)
def test_video_under_a_wrong_name_is_read_for_what_it_is(tmp_path, name, suffix):
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    path = make_video(tmp_path / name, codec=codec).rename(tmp_path / f"renamed{suffix}")
    assert read_clip(path).frames.shape == (12, 48, 64, 3)


def test_picture_under_the_name_of_a_video_is_one_frame(tmp_path):
    (tmp_path / "a.mp4").write_bytes(image_bytes("PNG"))
    assert read_clip(tmp_path / "a.mp4").frames.shape == (1, 40, 56, 3)


@pytest.mark.parametrize("name", ["a:b.mp4", "http:x.mkv", "with space.mp4", "-o.mp4", "frame_%03d.mp4", "ä[1]?.mp4"])
def test_names_that_mean_something_elsewhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "plain.mkv").rename(tmp_path / name)
    clip = read_clip(name)
    assert len(clip.frames) == 12
    if "%" not in name:
        write_clip(f"out {name}", clip)
        assert open_clip(tmp_path / f"out {name}").info.frames == 12


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files here")
def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="is not a file"):
        open_clip(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(MediaError, match="no such file"):
        open_clip(tmp_path / "link.mp4")


# Damage in the middle


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("seed", range(6))
def test_damage_anywhere_is_an_error_a_warning_or_harmless(tmp_path, suffix, seed):
    """Bytes are overwritten at random places: no crash, no frame that is not a number, no message of two lines."""
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    data = bytearray(video_bytes(tmp_path, suffix, codec=codec, frames=24))
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data) - 40, 1 + seed // 2):
        data[place : place + 40] = rng.bytes(40)
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(data)
    failure = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            clip = read_clip(path)
        except MediaError as error:
            failure = str(error)
    if failure is not None:
        assert failure.startswith(str(path))
        assert "\n" not in failure
    else:
        assert np.isfinite(clip.frames).all()
        assert len(clip.info.times) == len(clip.frames) + 1
    assert all(str(warning.message).startswith(str(path)) for warning in said)


def test_frames_that_the_decoder_guessed_are_named(tmp_path):
    data = bytearray(video_bytes(tmp_path, ".avi", codec="mpeg4"))
    middle = len(data) // 2
    data[middle : middle + 60] = RNG.bytes(60)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"damaged\.avi: 1 frame is damaged, the first is frame \d+"):
        assert len(read_clip(path).frames) == 40


# Sequences with a hole, and other sizes


def sequence(folder, numbers, size=(40, 56), white=False):
    folder.mkdir()
    for number in numbers:
        pixels = np.full((*size, 3), 255, np.uint8) if white else (picture(number, *size) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    return folder


@pytest.mark.parametrize(
    ("frames", "masks", "mask_argument", "message"),
    [
        ((1, 2, 3, 4), (1, 2, 4), "masks/%04d.png", r"masks/0003\.png: missing in a sequence that runs from 1 to 4"),
        ((1, 2, 3, 4), (1, 2, 4), "masks", r"masks/0003\.png: missing in a sequence that runs from 1 to 4"),
        ((1, 2, 3, 4), (1, 2, 3), "masks", r"masks: holds 3 masks for 4 frames"),
        ((1, 2, 3, 4), (), "masks", r"masks: no image files there"),
        ((1, 2, 3, 4), (1, 2, 3, 4), "masks/%03d.png", r"masks/%03d\.png: no file has such a name"),
        ((1, 2, 4), (1, 2, 3), "masks", r"frames/0003\.png: missing in a sequence that runs from 1 to 4"),
    ],
)
def test_sequence_with_a_hole_names_what_is_missing(tmp_path, capsys, frames, masks, mask_argument, message):
    import re

    sequence(tmp_path / "frames", frames)
    sequence(tmp_path / "masks", masks, white=True)
    given = [str(tmp_path / "frames" / "%04d.png"), "--mask", str(tmp_path / mask_argument)]
    assert main(["run", *given, "-o", str(tmp_path / "out") + "/"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["frames", "masks"]


def test_damaged_picture_in_a_sequence_is_named_and_nothing_is_left(tmp_path, capsys):
    folder = sequence(tmp_path / "frames", (1, 2, 3, 4))
    (folder / "0003.png").write_bytes(half(image_bytes("PNG")))
    assert main(["run", str(folder), "-o", str(tmp_path / "out") + "/", "--bbox", "4,4,30,30", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "0003.png: cannot be read (not an image, or damaged)" in line
    assert [file.name for file in tmp_path.iterdir()] == ["frames"]


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (3, 5), (37, 51)])
@pytest.mark.parametrize("count", [1, 3])
def test_smallest_and_odd_sizes_go_through(tmp_path, size, count):
    folder = sequence(tmp_path / "in", range(count), size=size)
    clip = read_clip(folder)
    write_clip(f"{tmp_path}/out/", clip)
    assert np.array_equal(read_clip(tmp_path / "out").frames, clip.frames)
    write_clip(tmp_path / "out.mkv", clip)
    assert open_clip(tmp_path / "out.mkv").info.size == size
    assert open_clip(tmp_path / "out.mkv").info.frames == count


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_clip_of_one_frame_goes_through_the_command_line(tmp_path, size):
    pix_fmt = "yuv444p" if size[0] % 2 else "yuv420p"
    clip = make_video(tmp_path / "a.mkv", frames=1, size=size, pix_fmt=pix_fmt)
    assert main(["run", str(clip), "-o", str(tmp_path / "b.mkv"), "--bbox", "8,8,40,40", "--quiet"]) == 0
    assert open_clip(tmp_path / "b.mkv").info.frames == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mkv", "b.mkv"]


def test_disk_that_fills_up_is_said_and_nothing_is_left(tmp_path, monkeypatch):
    clip = read_clip(make_video(tmp_path / "a.mp4"))

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(MediaError, match="No space left on device"):
        write_clip(tmp_path / "b.mp4", clip)
    with pytest.raises(MediaError, match="cannot be moved to their place"):
        write_clip(f"{tmp_path}/out/", clip)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
