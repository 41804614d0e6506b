"""What masks in files mean: pictures of every kind, animations and videos, for `--mask` and for `--segs`."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.subjects import Mask, Track, Tracks, read_tracks, write_tracks
from segs_detailer.subjects.formats.mask_tracks import mask_tracks
from segs_detailer.subjects.from_masks import MaskSettings
from segs_detailer.video import ClipInfo, open_clip

SIZE = (48, 64)
BOX = (20, 12, 44, 34)
ON = np.zeros(SIZE, np.uint8)
ON[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
LABELS = ON.copy()
LABELS[12:34, 34:56] = 2
WHITE = ON * np.uint8(255)
COLUMNS = np.arange(SIZE[1], dtype=np.uint8)[None].repeat(SIZE[0], 0)


def with_alpha(color, alpha):
    return np.dstack([color if color.ndim == 3 else np.repeat(color[..., None], 3, 2), alpha])


def palette(pixels, *colors, **options):
    image = Image.fromarray(pixels)
    image.putpalette([part for color in colors for part in color])
    image.info.update(options)
    return image


def clip(count=1):
    return ClipInfo(Path("clip"), "images", SIZE, tuple(range(count + 1)), Fraction(1, 24), Fraction(24))


def tracks(path, *, count=1, **changes):
    """What `--mask` finds."""
    options = {
        "crop_factor": 1.0,
        "combined": False,
        "bbox_fill": False,
        "contour_fill": False,
        "drop_size": 4,
        "label": "mask",
        "follow": True,
        "max_gap": 5,
    }
    settings = MaskSettings(**{**options, **changes})
    return mask_tracks(open_clip(path), clip(count), settings, labels="give --mask-labels")


def drawn(track, index=0):
    pixels = np.zeros(SIZE, np.uint8)
    track.masks[index].paint(pixels)
    return pixels


def both(path, count=1):
    """The only track that `--mask` and that `--segs` find."""
    [of_mask], [of_segs] = tracks(path, count=count), read_tracks(path).tracks
    return of_mask, of_segs


# One mask in every form: white is where the box is, and nothing is said

FORMS = {
    "white.png": WHITE,
    "one.png": ON,
    "bits.png": ON > 0,
    "white of 16 bits.png": ON.astype(np.uint16) * np.uint16(65535),
    "one of 16 bits.png": ON.astype(np.uint16),
    "one.bmp": ON,
    "ones in color.png": np.repeat(ON[..., None], 3, 2),
    "red.png": WHITE[..., None] * np.array([1, 0, 0], np.uint8),
    "float one.tif": ON.astype(np.float32),
    "float bytes.tif": WHITE.astype(np.float32),
    "float white of 16 bits.tif": ON.astype(np.float32) * 65535,
    "int32 one.tif": ON.astype(np.int32),
    "int32 bytes.tif": WHITE.astype(np.int32),
    "int32 white of 16 bits.tif": ON.astype(np.int32) * 65535,
    "alpha of white.png": with_alpha(np.full(SIZE, 255, np.uint8), WHITE),
    "alpha of black.png": with_alpha(np.zeros(SIZE, np.uint8), WHITE),
    "alpha of a color.png": with_alpha(np.full((*SIZE, 3), (9, 80, 30), np.uint8), WHITE),
    "alpha of one.png": with_alpha(np.zeros(SIZE, np.uint8), ON),
    "black drawn on nothing.png": with_alpha(255 - WHITE, WHITE),
    "alpha all over.png": with_alpha(WHITE, np.full(SIZE, 128, np.uint8)),
    "nothing to be seen.png": with_alpha(WHITE, np.zeros(SIZE, np.uint8)),
    "gray and alpha.png": np.dstack([np.zeros(SIZE, np.uint8), WHITE]),
    "white over black by alpha.png": with_alpha(WHITE, np.maximum(WHITE, COLUMNS)),
    "palette.png": palette(ON, (0, 0, 0), (255, 255, 255)),
    "palette the other way.png": palette(1 - ON, (255, 255, 255), (0, 0, 0)),
    "transparent color of a palette.png": palette(ON, (255, 255, 255), (0, 0, 0), transparency=0),
    "transparent gray.png": palette(ON, (7, 7, 7), (7, 7, 7), transparency=0),
}


def save(path, pixels):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path)


@pytest.mark.parametrize("name", FORMS)
def test_white_is_white_in_every_form(tmp_path, name):
    save(tmp_path / name, FORMS[name])
    for track in both(tmp_path / name):
        np.testing.assert_array_equal(drawn(track), WHITE)


def test_color_and_alpha_that_both_say_something_are_laid_over_black(tmp_path):
    save(tmp_path / "m.png", with_alpha(WHITE, COLUMNS * np.uint8(3)))
    for track in both(tmp_path / "m.png"):
        np.testing.assert_array_equal(drawn(track), ON * COLUMNS * np.uint8(3))
    # Told over all pictures: one alone would be white all over where it is to be seen.
    (tmp_path / "s").mkdir()
    save(tmp_path / "s" / "0.png", with_alpha(np.full(SIZE, 255, np.uint8), COLUMNS))
    save(tmp_path / "s" / "1.png", np.repeat(WHITE[..., None], 3, 2))
    [track] = read_tracks(tmp_path / "s").tracks
    np.testing.assert_array_equal(drawn(track, 0), COLUMNS)
    np.testing.assert_array_equal(drawn(track, 1), WHITE)


def test_alpha_of_16_bits(tmp_path):
    path = tmp_path / "m.png"
    pixels = np.zeros((*SIZE, 4), np.uint16)
    pixels[..., 3] = ON * np.uint16(65535)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    for track in both(path):
        np.testing.assert_array_equal(drawn(track), WHITE)


def write_video(path, frames, codec, pix_fmt, *, full=None, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pix_fmt
        for pixels in frames:
            layers = [pixels, np.full((SIZE[0] // 2, SIZE[1]), 128, np.uint8)] if pix_fmt == "yuv420p" else [pixels]
            frame = av.VideoFrame.from_ndarray(np.concatenate(layers), format=pix_fmt)
            if full is not None:
                frame.color_range = stream.codec_context.color_range = 2 if full else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def animation(path, frames):
    first, *others = [Image.fromarray(pixels) for pixels in frames]
    first.save(path, save_all=True, append_images=others, duration=40)
    return path


SEQUENCE = [ON * 0, ON, np.roll(ON, 4, 1)]
"""Its first frame says nothing."""


def forms_of_ones(folder):
    (folder / "s").mkdir()
    for number, pixels in enumerate(SEQUENCE):
        save(folder / "s" / f"{number}.png", pixels)
    return [
        folder / "s",
        folder / "s" / "%d.png",
        animation(folder / "a.gif", SEQUENCE),
        write_video(folder / "a.mkv", SEQUENCE, "ffv1", "gray"),
    ]


def test_sequences_of_zero_and_one(tmp_path):
    for path in forms_of_ones(tmp_path):
        for track in both(path, count=3):
            assert track.frames.tolist() == [1, 2]
            assert all(mask.bits().all() and not mask.soft for mask in track.masks)
        for follow in (True, False):
            [track] = tracks(path, count=3, follow=follow)
            np.testing.assert_array_equal(drawn(track, 1), SEQUENCE[2] * np.uint8(255))


def test_animations_keep_what_alpha_says(tmp_path):
    frames = [Image.fromarray(with_alpha(np.zeros(SIZE, np.uint8), np.roll(WHITE, 4 * n, 1))) for n in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    [track] = tracks(tmp_path / "a.png", count=3)
    np.testing.assert_array_equal(drawn(track, 2), np.roll(WHITE, 8, 1))


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_noise_of_jpeg_is_black(tmp_path, quality):
    Image.fromarray(WHITE).save(tmp_path / "m.jpg", quality=quality)
    for track in both(tmp_path / "m.jpg"):
        pixels = drawn(track)
        # What rings is within its block of 8 pixels, and there it is faint.
        assert (np.abs(pixels.astype(int) - WHITE) > 40).mean() < 0.01
        assert np.abs(track.boxes[0] - BOX).max() <= 8
    Image.fromarray(np.repeat(WHITE[..., None], 3, 2)).save(tmp_path / "m.webp", quality=quality)
    for track in both(tmp_path / "m.webp"):
        assert np.abs(track.boxes[0] - BOX).max() <= 8


# What is named


def found_with_warning(path, text, count=1):
    """The tracks that `--mask` and `--segs` find, each with one warning."""
    found = []
    for call in (lambda: tracks(path, count=count), lambda: read_tracks(path).tracks):
        with pytest.warns(UserWarning, match=text) as caught:
            found.append(call())
        assert len(caught) == 1
        assert str(path) in str(caught[0].message)
    return found


@pytest.mark.parametrize(
    ("name", "pixels", "text"),
    [
        ("labels.png", LABELS, "the highest value is 2, where white is 255"),
        ("labels of 16 bits.png", LABELS.astype(np.uint16) * np.uint16(300), "highest value is 600, .* is 65535"),
        ("bytes in 16 bits.png", WHITE.astype(np.uint16), "the highest value is 255, where white is 65535"),
        ("gray.png", np.where(ON, 255, 40).astype(np.uint8), "the background is 40 of 255 and not black"),
        ("inverted.png", 255 - WHITE, "white is all around the frame, and is repainted: invert the masks"),
        ("faint alpha.png", with_alpha(WHITE * 0, ON * np.uint8(9)), "the highest value is 9"),
        ("colors.png", np.eye(3, dtype=np.uint8)[LABELS] * np.uint8(255) * (LABELS > 0)[..., None], "its colors"),
    ],
)
def test_strange_pictures_are_named(tmp_path, name, pixels, text):
    save(tmp_path / name, pixels)
    found_with_warning(tmp_path / name, text)


def test_a_palette_of_colors_is_one_mask_unless_asked(tmp_path):
    # Some of its colors are darker than half, one is gray.
    save(tmp_path / "m.png", palette(LABELS, (0, 0, 0), (64, 0, 0), (128, 128, 128)))
    with pytest.warns(UserWarning, match="its colors seem to tell subjects apart.* give --mask-labels"):
        [track] = tracks(tmp_path / "m.png")
    np.testing.assert_array_equal(drawn(track), (LABELS > 0) * np.uint8(255))
    first, second = tracks(tmp_path / "m.png", labels=True)
    np.testing.assert_array_equal(drawn(first), (LABELS == 1) * np.uint8(255))
    np.testing.assert_array_equal(drawn(second), (LABELS == 2) * np.uint8(255))
    # As read_tracks has them without being asked.
    assert [t.masks for t in read_tracks(tmp_path / "m.png").tracks] == [first.masks, second.masks]


def test_a_palette_that_could_show_colors_and_does_not_is_gray(tmp_path):
    web = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)]
    save(tmp_path / "m.png", palette(ON, *web))
    for track in both(tmp_path / "m.png"):
        np.testing.assert_array_equal(drawn(track), WHITE)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"), [("ffv1", "gray", {}), ("libx264", "yuv420p", {"crf": "30", "full": True})]
)
def test_limited_range_that_is_not_tagged(tmp_path, codec, pix_fmt, options):
    frames = [np.where(np.roll(ON, 4 * number, 1), 235, 16).astype(np.uint8) for number in range(3)]
    path = write_video(tmp_path / "m.mkv", frames, codec, pix_fmt, **options)
    for [track] in found_with_warning(path, "black is 16 and white 235, as in video of limited range", count=3):
        assert track.frames.tolist() == [0, 1, 2]
        assert np.abs(track.boxes - [np.add(BOX, (4 * n, 0, 4 * n, 0)) for n in range(3)]).max() <= 6
        assert drawn(track)[20, 30] >= 253
        assert drawn(track)[5, 5] == 0
    [fixed] = tracks_quietly(path, count=3, follow=False)
    assert drawn(fixed)[5, 5] == 0
    # Tagged, it needs no word.
    if codec == "libx264":
        tagged = write_video(tmp_path / "t.mkv", frames, codec, pix_fmt, crf="30", full=False)
        both(tagged, count=3)


def tracks_quietly(path, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tracks(path, **changes)


def test_ones_in_lossy_video_are_noise(tmp_path):
    frames = [ON + np.uint8(2)] * 3
    path = write_video(tmp_path / "m.mp4", frames, "libx264", "yuv420p", full=True, crf="1")
    found_with_warning(path, "no value reaches 8 of 255, .* taken for noise of compression", count=3)
    assert tracks_quietly(path, count=3) == []


@pytest.mark.parametrize(
    ("pixels", "text"),
    [
        (ON.astype(np.float32) - 1, "expected finite levels from 0, got -1 to 0"),
        (np.full(SIZE, np.nan, np.float32), "expected finite levels from 0, got nan to nan"),
    ],
)
def test_floats_that_are_no_levels(tmp_path, pixels, text):
    save(tmp_path / "m.tif", pixels)
    for call in (tracks, read_tracks):
        with pytest.raises(MediaError, match=rf"m\.tif: {text}"):
            call(tmp_path / "m.tif")


def test_what_is_written_here_means_what_it_says(tmp_path):
    """Levels come back that would mean something else, or be named, in another program's file."""
    for level in (1, 12, 255):
        masks = [Mask.from_pixels(np.full(SIZE, level, np.uint8)), Mask.from_pixels(ON * np.uint8(level))]
        track = Track(1, "out", [0, 1], [mask.place for mask in masks], 1.0, masks)
        folder = tmp_path / str(level) / "out"
        folder.parent.mkdir()
        write_tracks(folder, Tracks(SIZE, 2, (track,)))
        assert read_tracks(folder).tracks == (track,)
        np.testing.assert_array_equal(drawn(tracks(folder, count=2)[0]), np.full(SIZE, level))


# Numbers of subjects

NUMBERS = {
    "bytes.png": LABELS,
    "16 bits.png": LABELS.astype(np.uint16) * np.uint16(300),
    "int32.tif": LABELS.astype(np.int32) * 70000,
    "float.tif": LABELS.astype(np.float32) * 300,
    "palette.png": palette(LABELS, (0, 0, 0), (64, 0, 0), (0, 64, 0)),
    "palette of grays.png": palette(LABELS, (0, 0, 0), (255, 255, 255), (0, 0, 0)),
    "colors.png": np.array([(0, 0, 0), (0, 0, 1), (1, 0, 0)], np.uint8)[LABELS],
    "grays in color.png": np.repeat(LABELS[..., None], 3, 2),
    "transparent.png": with_alpha(np.maximum(LABELS, 1), (LABELS > 0) * np.uint8(255)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_labels_are_subjects(tmp_path, name):
    save(tmp_path / name, NUMBERS[name])
    first, second = tracks(tmp_path / name, labels=True)
    np.testing.assert_array_equal(drawn(first), (LABELS == 1) * np.uint8(255))
    np.testing.assert_array_equal(drawn(second), (LABELS == 2) * np.uint8(255))
    [boxed, _] = tracks(tmp_path / name, labels=True, bbox_fill=True)
    assert boxed.masks[0] == Mask.filled((20, 12, 34, 34))


@pytest.mark.parametrize("form", ["png", "colors", "gif", "mkv"])
def test_labels_are_followed_by_their_number(tmp_path, form):
    frames = [LABELS, LABELS * 0, np.roll(LABELS, 30, 1)[::-1].copy()]
    if form in ("png", "colors"):
        (tmp_path / "m").mkdir()
        colors = np.array([(0, 0, 0), (0, 200, 0), (200, 0, 0)], np.uint8)
        for number, pixels in enumerate(frames):
            save(tmp_path / "m" / f"{number}.png", pixels if form == "png" else colors[pixels])
        path = tmp_path / "m"
    elif form == "gif":
        path = animation(tmp_path / "m.gif", frames)
    else:
        path = write_video(tmp_path / "m.mkv", frames, "ffv1", "gray")
    for follow in (True, False):
        first, second = tracks(path, count=3, labels=True, follow=follow)
        assert (first.id, second.id) == (1, 2)
        for number, track in enumerate((first, second), start=1):
            assert track.frames.tolist() == [0, 2]
            np.testing.assert_array_equal(drawn(track, 1), (frames[2] == number) * np.uint8(255))


def test_labels_need_a_format_that_keeps_them(tmp_path):
    Image.fromarray(LABELS * np.uint8(100)).save(tmp_path / "m.jpg")
    video = write_video(tmp_path / "m.mp4", [LABELS * np.uint8(100)] * 2, "libx264", "yuv420p", crf="0")
    limited = write_video(tmp_path / "m.mkv", [LABELS * np.uint8(100)] * 2, "ffv1", "yuv420p")
    for path, count in ((tmp_path / "m.jpg", 1), (video, 2), (limited, 2)):
        with pytest.raises(MediaError, match="expected numbers of subjects in a format that keeps them, such as PNG"):
            tracks(path, count=count, labels=True)
    save(tmp_path / "m.tif", LABELS / np.float32(4))
    with pytest.raises(MediaError, match=r"m\.tif: mask 0: expected whole numbers of subjects, got fractions"):
        tracks(tmp_path / "m.tif", labels=True)


@pytest.mark.parametrize("pixels", [LABELS.astype(np.uint16) * np.uint16(300), LABELS.astype(np.int32) * 70000, ON > 0])
def test_davis_of_other_depths(tmp_path, pixels):
    path = tmp_path / ("m.tif" if pixels.dtype == np.int32 else "m.png")
    save(path, pixels)
    found = read_tracks(path, format="davis").tracks
    assert [track.id for track in found] == np.unique(pixels)[1:].tolist()
    np.testing.assert_array_equal(drawn(found[0]) > 0, pixels == pixels[20, 21])


# On the command line


def run(tmp_path, mask, *options):
    source = tmp_path / "clip"
    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        save(source / f"{number}.png", rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8))
    out = tmp_path / "out"
    sizes = [
        "--guide-size",
        "64",
        "--max-size",
        "96",
        "--drop-size",
        "4",
        "--feather",
        "0",
        "--noise-mask-feather",
        "0",
    ]
    code = main(["run", str(source), "-o", f"{out}/", "--mask", str(mask), "--no-cache", "-q", *sizes, *options])
    return code, source, out


@pytest.mark.parametrize("name", ["one.png", "alpha of black.png", "float one.tif"])
def test_run_repaints_where_the_mask_is(tmp_path, name):
    save(tmp_path / name, FORMS[name])
    code, source, out = run(tmp_path, tmp_path / name)
    assert code == 0
    changed = np.zeros(SIZE, bool)
    for number in range(2):
        with Image.open(source / f"{number}.png") as before, Image.open(out / f"{number}.png") as after:
            changed |= (np.asarray(before) != np.asarray(after)).any(axis=2)
    assert not changed[ON == 0].any()
    assert changed[ON > 0].mean() > 0.9


def test_run_takes_labels_where_asked(tmp_path, capsys):
    save(tmp_path / "m.png", LABELS)
    code, _, _ = run(tmp_path, tmp_path / "m.png", "--mask-labels", "--combined")
    assert code == 2
    assert "--mask-labels: expected subjects that are apart: leave out --combined" in capsys.readouterr().err
