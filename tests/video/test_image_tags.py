"""What pictures carry beside 8-bit red, green and blue: depth, transparency, profiles, resolution, EXIF, texts."""

from __future__ import annotations

import functools
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.video import EncoderSettings, read_clip, write_clip
from segs_detailer.video.image_files import load_image
from segs_detailer.video.image_tags import tags_of
from segs_detailer.video.transparency import with_depth

SIZE = (20, 30)
GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep_png(path, samples, color_type, *extra):
    """A PNG of 16 bits as other programs write it."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def noise(*shape):
    return np.random.default_rng(1).integers(0, 65536, (*SIZE, *shape)).astype(np.uint16)


@functools.cache
def profile(name="Display P3", space=b"RGB "):
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[16:20] = space
    return bytes(made).replace("sRGB built-in".encode("utf-16-be"), name.ljust(13).encode("utf-16-be"))


def samples_of(frame):
    return np.rint(frame * 65535).astype(np.uint16)


# Depth and transparency


@pytest.mark.parametrize("color_type", [GRAY, RGB, GRAY_ALPHA, RGBA])
def test_sixteen_bits_and_their_alpha_are_read_and_written(tmp_path, color_type):
    (tmp_path / "in").mkdir()
    count = {GRAY: 1, RGB: 3, GRAY_ALPHA: 2, RGBA: 4}[color_type]
    samples = noise(count)
    deep_png(tmp_path / "in" / "a.png", samples, color_type)
    clip = read_clip(tmp_path / "in")
    color = np.broadcast_to(samples[..., :1], (*SIZE, 3)) if count < 3 else samples[..., :3]
    assert np.array_equal(samples_of(clip.frames[0]), color)
    if color_type in (GRAY, RGB):
        assert clip.alpha is None
    else:
        assert clip.alpha.dtype == np.uint16
        assert np.array_equal(clip.alpha[0], samples[..., -1])
    for name in ("out/", "f_%d.tiff"):
        write_clip(f"{tmp_path}/{name}", clip)
        again = read_clip(f"{tmp_path}/{name}".rstrip("/"))
        assert np.array_equal(again.frames, clip.frames)
        assert (again.alpha is None and clip.alpha is None) or np.array_equal(again.alpha, clip.alpha)
    # Where there are 8 bits, the nearest of them.
    write_clip(tmp_path / "f_%d.webp", clip)
    bytes_alone = read_clip(tmp_path / "f_%d.webp")
    if clip.alpha is not None:
        shown = bytes_alone.alpha[0] > 0
        assert np.array_equal(bytes_alone.alpha[0], np.rint(clip.alpha[0] / 257).astype(np.uint8))
        assert np.abs(bytes_alone.frames[0] - clip.frames[0])[shown].max() < 0.6 / 255


@pytest.mark.parametrize("color_type", [GRAY, RGB])
def test_transparent_color_of_sixteen_bits(tmp_path, color_type):
    samples = noise(3 if color_type == RGB else 1)
    samples[:5] = samples[0, 0]
    key = chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes())
    _, alpha = load_image(deep_png(tmp_path / "a.png", samples, color_type, key))
    assert alpha.dtype == np.uint16
    assert not alpha[:5].any()
    assert (alpha[5:] == 65535).all()


def test_opaque_alpha_is_none(tmp_path):
    samples = noise(4)
    samples[..., 3] = 65535
    assert load_image(deep_png(tmp_path / "a.png", samples, RGBA))[1] is None


def test_tiff_with_colors_that_are_multiplied_by_alpha(tmp_path):
    samples = noise(4) | 0x8000
    clip = read_clip(deep_png(tmp_path / "a.png", samples, RGBA))
    write_clip(tmp_path / "a.tiff", clip)
    written = (tmp_path / "a.tiff").read_bytes()
    # The tag that says what alpha is: not multiplied here, multiplied in the copy.
    entry = struct.pack("<HHI", 338, 3, 1)
    assert written.count(entry) == 1
    (tmp_path / "b.tiff").write_bytes(written.replace(entry + b"\2\0", entry + b"\1\0"))
    color, alpha = load_image(tmp_path / "b.tiff")
    expected = np.minimum(np.rint(samples[..., :3] * (65535 / samples[..., 3:])), 65535)
    assert np.abs(color.astype(int) - expected).max() <= 1
    assert np.array_equal(alpha, samples[..., 3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bits(tmp_path, orientation):
    samples = noise(4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = deep_png(tmp_path / "a.png", samples, RGBA, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    plain = Image.fromarray((samples[..., :3] >> 8).astype(np.uint8))
    plain.save(tmp_path / "b.png", exif=exif)
    color, alpha = load_image(path)
    assert np.array_equal((color >> 8).astype(np.uint8), load_image(tmp_path / "b.png")[0])
    assert alpha.shape == color.shape[:2]


@pytest.mark.parametrize("pix_fmt", ["yuva444p10le", "gbrap12le", "rgba64be", "yuva420p"])
def test_deep_transparency_goes_through_video(tmp_path, pix_fmt):
    bits = {"yuva444p10le": 10, "gbrap12le": 12, "rgba64be": 16, "yuva420p": 8}[pix_fmt]
    clip = read_clip(deep_png(tmp_path / "a.png", noise(4), RGBA))
    codec, suffix = ("png", ".mov") if bits == 16 else ("ffv1", ".mkv")
    write_clip(tmp_path / f"a{suffix}", clip, settings=EncoderSettings(codec=codec, pix_fmt=pix_fmt))
    first = read_clip(tmp_path / f"a{suffix}")
    assert first.alpha.dtype == (np.uint16 if bits > 8 else np.uint8)
    top = (1 << bits) - 1
    nearest = np.rint(clip.alpha[0] / 65535 * top)
    assert np.array_equal(np.rint(first.alpha[0] / np.iinfo(first.alpha.dtype).max * top), nearest)
    write_clip(tmp_path / f"b{suffix}", first)
    assert np.array_equal(read_clip(tmp_path / f"b{suffix}").alpha, first.alpha)
    if bits > 8:
        write_clip(f"{tmp_path}/out/", first)
        again = read_clip(tmp_path / "out")
        assert again.info.bits == 16
        assert np.array_equal(again.alpha, first.alpha)


def test_depths_of_alpha():
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(with_depth(every, np.uint16), every * np.uint16(257))
    assert np.array_equal(with_depth(with_depth(every, np.uint16), np.uint8), every)
    assert with_depth(np.array([127, 129, 65535], np.uint16), np.uint8).tolist() == [0, 1, 255]


def test_transparency_that_a_picture_cannot_have_is_said_once(tmp_path):
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        Image.new("RGBA", SIZE[::-1], (9, 9, 9, 99)).save(tmp_path / "in" / f"{number}.png")
    with pytest.warns(UserWarning, match=r"transparency is left out, which \.jpg images do not have") as said:
        write_clip(tmp_path / "f_%d.jpg", read_clip(tmp_path / "in"))
    assert len(said) == 1


# Colors


@pytest.mark.parametrize("mode", ["P", "LA", "PA"])
def test_palettes_and_gray_with_transparency(tmp_path, mode):
    image = Image.new("P", SIZE[::-1], 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.paste(0, (0, 0, 5, 5))
    options = {"transparency": 0}
    if mode != "P":
        image, options = image.convert("RGBA"), {}
        image.putalpha(Image.new("L", SIZE[::-1], 128))
        image = image.convert("LA")
    image.save(tmp_path / "a.png", **options)
    color, alpha = load_image(tmp_path / "a.png")
    assert color.shape == (*SIZE, 3)
    assert sorted(set(alpha.ravel().tolist())) == ([0, 255] if mode == "P" else [128])


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_colors_of_print_are_said(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.tiff"
    if mode == "CMYK":
        Image.new("CMYK", SIZE[::-1], (0, 255, 255, 0)).save(tmp_path / name, quality=95)
    else:
        screen, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        red = Image.new("RGB", SIZE[::-1], (255, 0, 0))
        ImageCms.profileToProfile(red, screen, lab, outputMode="LAB").save(tmp_path / name)
    with pytest.warns(UserWarning, match=f"is a picture in {mode}, which is read, and written, in RGB"):
        clip = read_clip(tmp_path / name)
    red, green, blue = clip.frames[0].mean(axis=(0, 1))
    assert red > 0.8
    assert green < 0.2 > blue


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_32_bits_are_refused(tmp_path, mode):
    Image.new(mode, SIZE[::-1], 1).save(tmp_path / "a.tiff")
    with pytest.raises(MediaError, match="expected 8 or 16 bits per sample, got 32"):
        read_clip(tmp_path / "a.tiff")


# Profiles and what else is said


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jpg", ".webp"])
def test_profile_and_resolution_are_kept(tmp_path, bits, suffix):
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif[0x0112] = 3
    texts = PngInfo()
    texts.add_text("workflow", '{"1": "漢"}')
    texts.add_text("prompt", "a face")
    options = {"icc_profile": profile(), "dpi": (300, 300), "exif": exif, "pnginfo": texts}
    Image.new("RGB", SIZE[::-1], (9, 99, 199)).save(tmp_path / "in" / "1.png", **options)
    if bits == 16:
        data = (tmp_path / "in" / "1.png").read_bytes()
        kept = [
            chunk(data[place : place + 4], data[place + 4 : place + 4 + size])
            for place, size in chunks_of(data)
            if data[place : place + 4] not in (b"IHDR", b"IDAT", b"IEND")
        ]
        deep_png(tmp_path / "in" / "1.png", noise(3), RGB, *kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = read_clip(tmp_path / "in")
        write_clip(tmp_path / f"f_%d{suffix}", clip)
    with Image.open(tmp_path / f"f_1{suffix}") as image:
        assert image.info["icc_profile"] == profile()
        if suffix != ".webp":
            assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]
        if suffix != ".tiff":
            assert image.getexif().get(0x0110) == "a camera"
        assert image.getexif().get(0x0112) in (None, 1)
        if suffix == ".png":
            assert (image.text["workflow"], image.text["prompt"]) == ('{"1": "漢"}', "a face")
    assert read_clip(tmp_path / f"f_1{suffix}").info.size == SIZE


def chunks_of(data):
    place = 8
    while place < len(data):
        size = struct.unpack(">I", data[place : place + 4])[0]
        yield place + 4, size
        place += size + 12


@pytest.mark.parametrize(("name", "space"), [("Display P3", b"RGB "), ("Gray gamma", b"GRAY")])
def test_profile_that_is_lost_is_said_once(tmp_path, name, space):
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "in" / f"{number}.png", icc_profile=profile(name, space))
    clip = read_clip(tmp_path / "in")
    for target in ("a.mkv", "a.gif", "f_%d.bmp") if space == b"RGB " else ("f_%d.png",):
        with pytest.warns(
            UserWarning, match=f"left out of .*, which cannot hold it: the color profile {name}"
        ) as warned:
            write_clip(tmp_path / target, clip)
        assert len(warned) == 1


def test_srgb_is_what_is_taken_for_granted(tmp_path):
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png", icc_profile=plain)
    assert tags_of(tmp_path / "a.png").profile_name == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_clip(tmp_path / "a.mkv", read_clip(tmp_path / "a.png"))
    assert tags_of(tmp_path / "none.png").profile == b""


def test_deep_pictures_on_the_command_line(tmp_path):
    (tmp_path / "in").mkdir()
    samples = noise(4)
    deep_png(tmp_path / "in" / "1.png", samples, RGBA)
    box = ["--feather", "0", "--bbox", "4,4,14,14", "--guide-size", "64", "--max-size", "64", "-q", "--no-cache"]
    assert main(["run", str(tmp_path / "in"), "-o", f"{tmp_path}/out/", *box]) == 0
    color, alpha = load_image(tmp_path / "out" / "1.png")
    assert np.array_equal(alpha, samples[..., 3])
    assert np.array_equal(color[0], samples[0, :, :3])
