"""Clips in and out: nothing but the pixels may change on the way through."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from video_files import audio_bytes, make_video, picture

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.video import ColorTags, EncoderSettings, iter_frames, open_clip, open_output, read_clip, write_clip
from segs_detailer.video.color import FrameToRgb, RgbToFrame


def error_of(a, b):
    return float(np.abs(a - b).mean())


def leftovers(folder):
    return [file.name for file in folder.rglob("*") if "partial" in file.name]


# Reading


def test_reading_gives_float_frames_and_a_description(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", audio="aac"))
    assert clip.frames.dtype == np.float32
    assert clip.frames.shape == (12, 48, 64, 3)
    assert 0 <= clip.frames.min() <= clip.frames.max() <= 1
    assert error_of(clip.frames[5], picture(5)) < 0.02
    info = clip.info
    assert (info.kind, info.size, info.frames, info.rate) == ("video", (48, 64), 12, 24)
    assert (info.codec, info.pix_fmt, info.audio_streams) == ("h264", "yuv420p", 1)
    assert info.seconds == pytest.approx(0.5)
    assert "64x48, 12 frames at 24 fps, h264 yuv420p, 1 audio stream" in info.describe()


def test_frames_one_by_one_equal_the_whole(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    whole = read_clip(path).frames
    assert np.array_equal(np.stack(list(iter_frames(open_clip(path)))), whole)


def test_progress_counts_frames_and_may_cancel(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    seen = []
    read_clip(path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(1, 13)]

    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_clip(path, progress=stop)


def test_frames_are_held_once(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4"))
    assert clip.frames.flags.owndata
    assert clip.frames.flags.c_contiguous


# Round trips


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_rate_is_kept_exactly(tmp_path, rate, suffix):
    clip = read_clip(make_video(tmp_path / f"a{suffix}", rate=rate))
    assert clip.info.constant_rate
    write_clip(tmp_path / f"b{suffix}", clip)
    again = open_clip(tmp_path / f"b{suffix}").info
    assert again.rate.limit_denominator(1001) == rate
    assert (again.frames, again.size) == (12, (48, 64))


@pytest.mark.parametrize(
    ("pix_fmt", "codec"),
    [
        ("yuv420p", "libx264"),
        ("yuvj420p", "libx264"),
        ("yuv444p", "libx264"),
        ("yuv420p10le", "libx264"),
        ("yuv422p10le", "libx264"),
        ("gray", "libx264"),
        ("yuv420p", "libvpx-vp9"),
        ("gbrp", "ffv1"),
        ("yuv422p10le", "prores_ks"),
        ("yuvj420p", "mjpeg"),
        ("yuv420p", "mpeg4"),
    ],
)
def test_codec_and_pixel_format_are_kept(tmp_path, pix_fmt, codec):
    if codec == "ffv1" and pix_fmt == "gbrp":
        pix_fmt = "bgr0"
    options = {} if codec == "libx264" else {"crf": "8"}
    clip = read_clip(make_video(tmp_path / "a.mkv", pix_fmt=pix_fmt, codec=codec, options=options))
    write_clip(tmp_path / "b.mkv", clip)
    again = read_clip(tmp_path / "b.mkv")
    assert (again.info.codec, again.info.pix_fmt) == (clip.info.codec, clip.info.pix_fmt)
    assert error_of(again.frames, clip.frames) < 0.012


@pytest.mark.parametrize(
    "tags",
    [
        ColorTags(1, 1, 1, 1),
        ColorTags(6, 1, 6, 6),
        ColorTags(9, 1, 9, 14),
        ColorTags(1, 2, 1, 1),
        ColorTags(5, 2, 5, 6),
        ColorTags(),
    ],
)
def test_color_tags_and_colors_are_kept(tmp_path, tags):
    clip = read_clip(make_video(tmp_path / "a.mp4", color=tags))
    assert error_of(clip.frames[3], picture(3)) < 0.02
    write_clip(tmp_path / "b.mp4", clip)
    again = read_clip(tmp_path / "b.mp4")
    assert again.info.color == clip.info.color
    if tags.matrix != 2:
        assert again.info.color == tags
    assert error_of(again.frames, clip.frames) < 0.012


@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p"])
def test_conversion_is_the_same_every_time(pix_fmt):
    # Odd sizes: libswscale's slices of several threads would differ now and then.
    noise = np.random.default_rng(0).random((41, 51, 3), dtype=np.float32)
    frame = RgbToFrame(ColorTags(1, 1), pix_fmt)(noise)

    def samples(made):
        rows = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width] for plane in made.planes]
        return [part.tobytes() for part in rows]

    def decoded():
        pixels = np.empty_like(noise)
        FrameToRgb(ColorTags(1, 1))(frame, pixels)
        return pixels.tobytes()

    assert len({decoded() for _ in range(100)}) == 1
    assert all(samples(RgbToFrame(ColorTags(1, 1), pix_fmt)(noise)) == samples(frame) for _ in range(100))


def test_matrix_decides_the_colors(tmp_path):
    frame = RgbToFrame(ColorTags(1, 1), "yuv444p")(picture(0))
    right, wrong = np.empty((2, 48, 64, 3), np.float32)
    FrameToRgb(ColorTags(1, 1))(frame, right)
    FrameToRgb(ColorTags(6, 1))(frame, wrong)
    assert error_of(right, picture(0)) < 0.004
    assert error_of(wrong, picture(0)) > 0.01


@pytest.mark.parametrize(
    ("pix_fmt", "tags", "steps"),
    [
        ("yuv420p", ColorTags(1, 1), 255),
        ("yuv420p", ColorTags(1, 2), 255),
        ("yuvj420p", ColorTags(), 255),
        ("yuv420p10le", ColorTags(9, 1), 1023),
        ("yuv444p10le", ColorTags(1, 2), 1023),
        ("gray", ColorTags(), 255),
        ("rgb24", ColorTags(), 255),
        ("gbrp10le", ColorTags(), 1023),
        ("yuv444p16le", ColorTags(1, 1), 65535),
    ],
)
def test_gray_levels_survive_from_black_to_white(pix_fmt, tags, steps):
    levels = np.linspace(0, 1, 16, dtype=np.float32)
    pixels = np.repeat(np.repeat(levels[:, None], 4, axis=0), 32, axis=1)[..., None].repeat(3, axis=-1)
    out = np.empty_like(pixels)
    FrameToRgb(tags)(RgbToFrame(tags, pix_fmt)(pixels), out)
    middle = out[1::4]
    # Half a code value, wider by the range of limited video; 16 bits are limited by libswscale's own rounding.
    tolerance = max(0.75 * 255 / 219 / steps, 1e-4) + (0.75 / 255 if steps == 1023 else 0)
    assert np.abs(middle - levels[:, None, None]).max() < tolerance + 0.5 / 255 * ("420" in pix_fmt)
    assert out[-2].min() > 1 - 2 / 255
    assert out[1].max() < 2 / 255


def test_decoding_and_encoding_again_changes_next_to_nothing():
    """Bytes of a frame that went to float RGB and back: what a clip loses before its encoder."""
    tags = ColorTags(1, 1)
    frame = RgbToFrame(tags, "yuv420p")(picture(0, 96, 128))
    pixels = np.empty((96, 128, 3), np.float32)
    FrameToRgb(tags)(frame, pixels)
    again = RgbToFrame(tags, "yuv420p")(pixels)
    for before, after in zip(frame.planes, again.planes, strict=True):
        a, b = (
            np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width] for plane in (before, after)
        )
        difference = np.abs(a.astype(int) - b)
        assert difference.mean() < 0.05
        assert difference.max() <= 2


def test_sound_is_copied_packet_by_packet(tmp_path):
    path = make_video(tmp_path / "a.mp4", audio="aac")
    for name in ("b.mp4", "b.mkv", "b.mov"):
        write_clip(tmp_path / name, read_clip(path))
        assert audio_bytes(tmp_path / name) == audio_bytes(path)
    write_clip(tmp_path / "silent.mp4", read_clip(path), keep_audio=False)
    assert open_clip(tmp_path / "silent.mp4").info.audio_streams == 0


def test_sound_stays_in_step_when_the_file_starts_late(tmp_path):
    """Transport streams start at 1.4 s."""
    path = make_video(tmp_path / "a.ts", audio="aac")
    write_clip(tmp_path / "b.mp4", read_clip(path))
    with av.open(str(tmp_path / "b.mp4")) as container:
        starts = [float(s.start_time * s.time_base) for s in container.streams]
    assert max(starts) - min(starts) < 0.1
    assert max(starts) < 0.2


def test_sound_that_a_format_cannot_hold_is_an_error_before_anything_is_written(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", audio="aac"))
    with pytest.raises(MediaError, match="cannot hold the clip's aac sound"):
        open_output(tmp_path / "b.webm", clip.info)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4"]


def test_variable_frame_rate_keeps_the_time_of_each_frame(tmp_path):
    times = [0, 40, 80, 200, 240, 500, 540, 580]
    clip = read_clip(make_video(tmp_path / "a.mkv", frames=8, times=times))
    assert not clip.info.constant_rate
    write_clip(tmp_path / "b.mkv", clip)
    write_clip(tmp_path / "b.mp4", clip)
    for name in ("b.mkv", "b.mp4"):
        info = read_clip(tmp_path / name).info
        assert [round(float(t * info.time_base) * 1000) for t in info.times[:-1]] == times


def test_pixel_shape_is_kept(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", aspect=Fraction(4, 3)))
    assert clip.info.sample_aspect_ratio == Fraction(4, 3)
    write_clip(tmp_path / "b.mp4", clip)
    assert open_clip(tmp_path / "b.mp4").info.sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write a rotation")
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotated_clips_are_read_upright(tmp_path, degrees):
    clip = read_clip(make_video(tmp_path / "a.mp4", rotation=degrees))
    with av.open(str(tmp_path / "a.mp4")) as container:
        turns = round(next(container.decode(video=0)).rotation / 90) % 4
    upright = np.rot90(picture(0), turns)
    assert turns != 0
    assert clip.info.size == upright.shape[:2]
    assert error_of(clip.frames[0], upright) < 0.02
    write_clip(tmp_path / "b.mp4", clip)
    again = read_clip(tmp_path / "b.mp4")
    assert error_of(again.frames[0], upright) < 0.03


def test_odd_sizes_are_kept(tmp_path):
    for name in ("a.gif", "frames"):
        clip = read_clip(
            _images(tmp_path / name, size=(37, 51)) if name == "frames" else _gif(tmp_path / name, (37, 51))
        )
        write_clip(tmp_path / f"{name}.mp4", clip)
        info = open_clip(tmp_path / f"{name}.mp4").info
        assert info.size == (37, 51)
        assert info.frames == len(clip.frames)


def test_one_frame(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", frames=1))
    write_clip(tmp_path / "b.mp4", clip)
    assert open_clip(tmp_path / "b.mp4").info.frames == 1


# Images and animations


def _images(folder, *, count=4, size=(40, 56), first=1, pattern="frame_{:04d}.png"):
    folder.mkdir()
    for index in range(count):
        pixels = np.round(picture(index, *size) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / pattern.format(first + index))
    return folder


def _gif(path, size=(40, 56), durations=(40, 100, 250)):
    images = [Image.fromarray(np.round(picture(i, *size) * 255).astype(np.uint8)) for i in range(len(durations))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(durations), loop=0)
    return path


def test_folder_in_and_out_is_lossless_and_keeps_names(tmp_path):
    folder = _images(tmp_path / "in", first=7)
    clip = read_clip(folder)
    assert clip.info.frames == 4
    write_clip(f"{tmp_path}/out/", clip)
    written = [file.name for file in (tmp_path / "out").iterdir() if not file.name.startswith(".")]
    assert sorted(written) == sorted(file.name for file in folder.iterdir())
    assert np.array_equal(read_clip(tmp_path / "out").frames, clip.frames)


def test_numbered_names_and_wildcards(tmp_path):
    folder = _images(tmp_path / "in", first=9, pattern="f{}.png")
    numbered = read_clip(folder / "f%d.png", progress=None)
    wild = read_clip(folder / "f*.png")
    # Numbers count, not letters: 9 comes before 10.
    assert numbered.info.names == wild.info.names == ("f9.png", "f10.png", "f11.png", "f12.png")
    write_clip(tmp_path / "out_%03d.png", numbered)
    assert (tmp_path / "out_009.png").exists()
    assert np.array_equal(read_clip(tmp_path / "out_%03d.png").frames, numbered.frames)


def test_hole_in_a_sequence_names_the_missing_file(tmp_path):
    folder = _images(tmp_path / "in")
    (folder / "frame_0003.png").unlink()
    with pytest.raises(MediaError, match=r"frame_0003\.png: missing in a sequence that runs from 1 to 4"):
        open_clip(folder / "frame_%04d.png")


def test_image_of_another_size_is_named(tmp_path):
    folder = _images(tmp_path / "in")
    Image.new("RGB", (8, 8)).save(folder / "frame_0003.png")
    with pytest.raises(MediaError, match=r"frame_0003\.png: is 8x8, but the first of the sequence is 56x40"):
        read_clip(folder)


def test_images_to_video_at_a_rate(tmp_path):
    source = open_clip(_images(tmp_path / "in"), rate=Fraction(30000, 1001))
    write_clip(tmp_path / "b.mp4", read_clip(source))
    info = open_clip(tmp_path / "b.mp4").info
    assert (info.rate, info.frames, info.size) == (Fraction(30000, 1001), 4, (40, 56))


def test_sixteen_bit_images_keep_their_bits(tmp_path):
    import cv2

    folder = tmp_path / "in"
    folder.mkdir()
    pixels = (np.arange(40 * 56 * 3).reshape(40, 56, 3) * 9).astype(np.uint16)
    cv2.imwrite(str(folder / "a.png"), pixels[..., ::-1])
    clip = read_clip(folder)
    assert clip.info.bits == 16
    assert np.array_equal(np.round(clip.frames[0] * 65535).astype(np.uint16), pixels)
    write_clip(f"{tmp_path}/out/", clip)
    assert np.array_equal(cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


def test_transparency_is_carried_along(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rgba = np.dstack([np.round(picture(0) * 255).astype(np.uint8), np.full((48, 64), 255, np.uint8)])
    rgba[:10, :, 3] = 128
    Image.fromarray(rgba).save(folder / "a.png")
    write_clip(f"{tmp_path}/out/", read_clip(folder))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), rgba)


def test_gif_keeps_frames_and_times(tmp_path):
    clip = read_clip(_gif(tmp_path / "a.gif"))
    assert clip.info.kind == "animation"
    assert clip.info.times == (0, 40, 140, 390)
    write_clip(tmp_path / "b.gif", clip)
    again = read_clip(tmp_path / "b.gif")
    assert again.info.times == clip.info.times
    assert error_of(again.frames, clip.frames) < 0.03


def test_gif_of_equal_frames_keeps_their_number(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", frames=6, rate=Fraction(25)))
    clip.frames[:] = clip.frames[0]
    write_clip(tmp_path / "b.gif", clip)
    assert open_clip(tmp_path / "b.gif").info.times == tuple(range(0, 280, 40))


def test_gif_to_video_keeps_the_times(tmp_path):
    write_clip(tmp_path / "b.mp4", read_clip(_gif(tmp_path / "a.gif")))
    info = read_clip(tmp_path / "b.mp4").info
    assert [round(float(t * info.time_base) * 1000) for t in info.times[:-1]] == [0, 40, 140]


# Errors


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".png", ".gif"])
def test_missing_empty_and_foreign_files(tmp_path, suffix):
    with pytest.raises(MediaError, match="no such file"):
        open_clip(tmp_path / f"none{suffix}")
    with pytest.raises(MediaError, match="empty"):
        open_clip(_write(tmp_path / f"empty{suffix}", b""))
    with pytest.raises(MediaError, match="cannot be read"):
        open_clip(_write(tmp_path / f"text{suffix}", b"not a clip at all\n" * 50))


def test_empty_folder(tmp_path):
    with pytest.raises(MediaError, match="no image files there"):
        open_clip(tmp_path)


def test_wrong_extension_is_read_for_what_it_is(tmp_path):
    path = make_video(tmp_path / "a.mkv")
    path.rename(tmp_path / "a.mp4")
    assert open_clip(tmp_path / "a.mp4").info.frames == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_truncated_file_gives_what_is_left_and_says_what_is_lacking(tmp_path, suffix, share):
    path = make_video(tmp_path / f"a{suffix}", frames=60, size=(96, 128), audio="aac")
    if suffix == ".mp4":
        clip = read_clip(path)
        path = tmp_path / "faststart.mp4"
        write_clip(path, clip)
    data = path.read_bytes()
    cut = _write(tmp_path / f"cut{suffix}", data[: int(share * len(data))])
    with pytest.warns(UserWarning, match=r"cut off: the picture lacks its last \d\.\d\d s \(\d+ frames\)"):
        clip = read_clip(cut)
    assert 0 < len(clip.frames) < 60


def test_damaged_file_is_an_error_or_reads_completely(tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=40, size=(96, 128))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    broken = _write(tmp_path / "broken.mp4", bytes(data))
    failure = None
    with warnings.catch_warnings():
        # Where the decoder goes on, it may say which frames it guessed.
        warnings.simplefilter("ignore")
        try:
            frames = read_clip(broken).frames
        except MediaError as error:
            failure = str(error)
    assert (failure is not None and "broken.mp4" in failure) or np.isfinite(frames).all()


def test_sound_alone_is_no_clip(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 48_000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no video stream"):
        open_clip(path)


@pytest.mark.parametrize(
    ("source", "target"),
    [("in/%04d.png", "in/%04d.png"), ("in/*.png", "in/"), ("in/0001.png", "in/"), ("in", "in/%04d.png")],
)
def test_images_are_never_written_over_those_that_are_read(tmp_path, source, target):
    (tmp_path / "in").mkdir()
    for index in range(1, 4):
        Image.new("RGB", (8, 6), (index, 0, 0)).save(tmp_path / "in" / f"{index:04d}.png")
    before = {path: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    info = open_clip(tmp_path / source).info
    with pytest.raises(MediaError, match=r"of the input itself|is the input itself"):
        open_output(f"{tmp_path}/{target}", info)
    assert {path: path.read_bytes() for path in (tmp_path / "in").iterdir()} == before
    assert not list(tmp_path.glob(".*"))


def test_two_frames_never_become_one_file(tmp_path):
    (tmp_path / "in").mkdir()
    for suffix in ("png", "jpg"):
        Image.new("RGB", (8, 6)).save(tmp_path / "in" / f"face.{suffix}")
    info = open_clip(tmp_path / "in").info
    with pytest.raises(MediaError, match=r"two frames would be written to face\.png"):
        open_output(f"{tmp_path}/out/", info)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def clip(tmp_path):
    return read_clip(make_video(tmp_path / "in.mp4", audio="aac"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.txt", "cannot be written: use"),
        ("out.png", "one image cannot hold 12 frames"),
        ("none/out.mp4", "no such folder"),
        ("out_%03d.mp4", "name image files"),
        ("in.mp4", "is the input itself"),
    ],
)
def test_outputs_that_cannot_be_made(tmp_path, clip, name, message):
    with pytest.raises(MediaError, match=message):
        write_clip(tmp_path / name, clip)
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    "settings", [EncoderSettings(codec="nonesuch"), EncoderSettings(crf=99), EncoderSettings(pix_fmt="x")]
)
def test_encoder_settings_are_checked(tmp_path, clip, settings):
    with pytest.raises(InvalidArgumentError):
        write_clip(tmp_path / "out.mp4", clip, settings=settings)
    assert leftovers(tmp_path) == []


def test_codec_and_quality_can_be_chosen(tmp_path, clip):
    write_clip(tmp_path / "good.mp4", clip, settings=EncoderSettings(codec="hevc", crf=10))
    write_clip(tmp_path / "poor.mp4", clip, settings=EncoderSettings(crf=45))
    assert open_clip(tmp_path / "good.mp4").info.codec == "hevc"
    good, poor = (error_of(read_clip(tmp_path / f"{name}.mp4").frames, clip.frames) for name in ("good", "poor"))
    assert good < poor


def test_format_that_cannot_hold_the_codec_gets_its_own(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4"))
    write_clip(tmp_path / "b.webm", clip)
    assert open_clip(tmp_path / "b.webm").info.codec == "vp9"


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out/", "out_%02d.png"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopping_leaves_nothing_behind(tmp_path, clip, name, error):
    def stop(done, _):
        if done == 5:
            raise error

    with pytest.raises(error):
        write_clip(f"{tmp_path}/{name}", clip, progress=stop)
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_stopping_keeps_the_older_file(tmp_path, clip):
    (tmp_path / "out.mp4").write_bytes(b"older")

    def stop(done, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(tmp_path / "out.mp4", clip, progress=stop)
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    write_clip(tmp_path / "out.mp4", clip)
    assert open_clip(tmp_path / "out.mp4").info.frames == 12
    assert leftovers(tmp_path) == []


def test_folder_keeps_what_else_is_in_it(tmp_path, clip):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("keep")
    write_clip(tmp_path / "out", clip)
    assert (tmp_path / "out" / "notes.txt").read_text() == "keep"
    assert len(list((tmp_path / "out").glob("frame_*.png"))) == 12


def test_gif_frames_wait_on_disk_and_not_in_memory(tmp_path):
    clip = read_clip(make_video(tmp_path / "a.mp4", frames=2, size=(240, 320)))
    info = replace(clip.info, times=tuple(range(41)), time_base=Fraction(1, 24))
    frames = 40
    tracemalloc.start()
    with open_output(tmp_path / "b.gif", info) as sink:
        for index in range(frames):
            sink.write(clip.frames[index % 2], index, index + 1)
        held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # The sample for the palette has 3 MB at most.
    assert held < 6 << 20 < frames * 240 * 320 * 3
    assert open_clip(tmp_path / "b.gif").info.frames == frames
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "b.gif"]
