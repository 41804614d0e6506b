"""Segments as pictures and videos of masks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image
from random_tracks import clips

from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.subjects import Mask, Track, Tracks, read_tracks, write_tracks

SIZE = (12, 16)
few = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)


def track(number, label, place, frames=(0, 1)):
    mask = Mask.filled(place)
    return Track(number, label, list(frames), [place] * len(frames), 1.0, [mask] * len(frames))


def two():
    return Tracks(SIZE, 3, (track(3, "face", (1, 1, 6, 6)), track(9, "hand", (4, 4, 10, 9), frames=[1, 2])))


def only(folder, *names):
    # Beside them lies the note of what was written.
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == sorted(names)


def save(path, pixels, mode=None):
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    image.convert(mode).save(path) if mode else image.save(path)


def relabelled(segments, made):
    """The same tracks in other frames, with the names and numbers that `made` gives from theirs."""
    parts = [Track(*made(s), s.frames, s.boxes, 1.0, s.masks) for s in segments.tracks]
    return Tracks(segments.frame_size, segments.frame_count, tuple(parts))


# Gray pictures


@few
@given(clips(masks="all", boxes="extent", tracks=2))
def test_folders_of_pictures_keep_levels_and_ids(tmp_path_factory, segments):
    folder = tmp_path_factory.mktemp("masks")
    write_tracks(folder / "out", segments)
    back = read_tracks(folder / "out")
    if len(segments.tracks) == 1:
        assert back == relabelled(segments, lambda s: (1, "out"))
    else:
        assert back == relabelled(segments, lambda s: (s.id, re.sub(r"[^\w-]+", "-", s.label).strip("-")))


def test_names_of_pictures(tmp_path):
    write_tracks(tmp_path / "many", two())
    only(tmp_path, "many")
    only(tmp_path / "many", "003_face", "009_hand")
    only(tmp_path / "many" / "003_face", "00000.png", "00001.png", "00002.png")
    single = Tracks(SIZE, 2, (track(3, "face", (1, 1, 6, 6)),))
    write_tracks(tmp_path / "m_%03d.png", single)
    assert {"m_000.png", "m_001.png"} < {path.name for path in tmp_path.iterdir()}
    assert read_tracks(tmp_path / "m_%03d.png").tracks[0].label == "m"
    assert read_tracks(f"{tmp_path}/m_*.png") == read_tracks(tmp_path / "m_%03d.png")
    write_tracks(tmp_path / "face.png", Tracks(SIZE, 1, (track(3, "face", (1, 1, 6, 6), frames=[0]),)))
    assert read_tracks(tmp_path / "face.png").tracks == (track(1, "face", (1, 1, 6, 6), frames=[0]),)


def test_boxes_are_painted_as_far_as_they_lie_in_the_frame(tmp_path):
    boxes = [[-4, 2.5, 3.5, 6], [50, 50, 60, 60]]
    write_tracks(tmp_path / "out", Tracks(SIZE, 2, (Track(1, "face", [0, 1], boxes),)))
    (found,) = read_tracks(tmp_path / "out").tracks
    assert found.masks == (Mask.filled((0, 2, 4, 6)),)


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        (lambda m: m.astype(np.uint8) * 255, None),
        (lambda m: m.astype(np.uint8) * 255, "1"),
        (lambda m: m.astype(np.uint8) * 255, "RGB"),
        (lambda m: m.astype(np.uint8) * 255, "LA"),
        (lambda m: m.astype(np.uint16) * 65535, None),
    ],
)
def test_pictures_of_other_kinds(tmp_path, make, mode):
    shown = np.zeros(SIZE, bool)
    shown[2:5, 3:9] = True
    save(tmp_path / "in" / "mask-1.png", make(shown), mode)
    assert read_tracks(tmp_path / "in").tracks[0].masks == (Mask.filled((3, 2, 9, 5)),)


def test_tiff_of_32_bits(tmp_path):
    save(tmp_path / "in" / "mask.tif", np.array([[0, 65535], [70000, 0]], np.int32))
    assert read_tracks(tmp_path / "in").tracks[0].masks[0].pixels().tolist() == [[0, 255], [255, 0]]


def test_a_palette_of_grays_is_gray(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png")
    assert read_tracks(tmp_path / "a.png").tracks[0].masks[0].pixels().tolist() == [[0, 255], [255, 0]]


def test_a_sequence_with_a_hole(tmp_path):
    for number in (0, 1, 3):
        save(tmp_path / "in" / f"{number:05d}.png", np.zeros(SIZE, np.uint8))
    for path in (tmp_path / "in", tmp_path / "in" / "%05d.png", f"{tmp_path}/in/*.png"):
        with pytest.raises(MediaError, match=r"00002\.png: missing in a sequence that runs from 0 to 3"):
            read_tracks(path)


def test_track_with_sequences_that_differ(tmp_path):
    write_tracks(tmp_path / "out", two())
    (tmp_path / "out" / "009_hand" / "00002.png").unlink()
    with pytest.raises(MediaError, match="009_hand: expected 3 pictures of 16x12, as in 003_face, got 2 of 16x12"):
        read_tracks(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "text"), [(b"", "it is empty"), (b"GIF89a?", "not an image, or damaged"), (None, "not an image")]
)
@pytest.mark.parametrize("form", ["masks", "davis"])
def test_pictures_that_are_damaged(tmp_path, content, text, form):
    file = tmp_path / "in" / "00000.png"
    save(file, np.random.default_rng(0).integers(0, 255, SIZE).astype(np.uint8))
    file.write_bytes(file.read_bytes()[:90] if content is None else content)
    with pytest.raises(MediaError, match=rf"00000\.png: cannot be read .{text}"):
        read_tracks(tmp_path / "in", format=form)


@pytest.mark.parametrize("form", ["masks", "davis"])
def test_pictures_of_several_sizes(tmp_path, form):
    save(tmp_path / "in" / "a.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "in" / "b.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(MediaError, match=r"b\.png: expected 4x4 as the first of the sequence, got 5x4"):
        read_tracks(tmp_path / "in", format=form)


def test_folders_without_pictures(tmp_path):
    for name in ("in", "in/empty"):
        (tmp_path / name).mkdir()
        with pytest.raises(MediaError, match="no image files there"):
            read_tracks(tmp_path / "in")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a_%04d.png", "expected a folder for 2 tracks"),
        ("a.png", "expected a folder for 2 tracks"),
        ("taken", r"taken: holds 003_face/00009\.png that no run wrote, .*: choose another folder"),
        ("file", "is a file: name a folder"),
    ],
)
def test_places_where_several_track_cannot_go(tmp_path, name, text):
    (tmp_path / "taken" / "003_face").mkdir(parents=True)
    Image.new("L", SIZE[::-1]).save(tmp_path / "taken" / "003_face" / "00009.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match=text):
        write_tracks(tmp_path / name, two(), format="masks")
    only(tmp_path, "taken", "file")
    only(tmp_path / "taken", "003_face")


def test_places_where_one_track_cannot_go(tmp_path):
    single = Tracks(SIZE, 2, (track(3, "face", (1, 1, 6, 6)),))
    with pytest.raises(MediaError, match=r"one image cannot hold 2 frames: write to .*a_%05d\.png"):
        write_tracks(tmp_path / "a.png", single)
    with pytest.raises(MediaError, match=r"expected a \.png, which loses nothing, got \.jpg"):
        write_tracks(tmp_path / "a_%d.jpg", single)
    with pytest.raises(MediaError, match="at least one track"):
        write_tracks(tmp_path / "out", Tracks(SIZE, 2))
    only(tmp_path)


@pytest.mark.parametrize("form", ["masks", "davis"])
def test_a_sequence_that_cannot_be_finished_leaves_nothing(tmp_path, form, monkeypatch):
    done = []

    def fail_later(self, path, **_):
        done.append(path)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr(Image.Image, "save", fail_later)
    with pytest.raises(MediaError, match=r"out: cannot be written .No space left on device"):
        write_tracks(tmp_path / "out", two(), format=form)
    only(tmp_path)


# Palette pictures


@few
@given(clips(masks="all", boxes="extent", soft=False, tracks=1))
def test_palette_pictures_keep_hard_masks_and_ids(tmp_path_factory, segments):
    folder = tmp_path_factory.mktemp("davis")
    write_tracks(folder / "out", segments, format="davis")
    assert read_tracks(folder / "out", format="davis") == relabelled(segments, lambda s: (s.id, f"object {s.id}"))


def test_palette_pictures_have_one_index_for_each_track(tmp_path):
    write_tracks(tmp_path / "out", two(), format="davis")
    with Image.open(tmp_path / "out" / "00001.png") as image:
        assert image.mode == "P"
        pixels = np.asarray(image)
        colors = np.array(image.getpalette()).reshape(-1, 3)
    expected = np.zeros(SIZE, np.uint8)
    expected[1:6, 1:6], expected[4:9, 4:10] = 3, 9
    assert np.array_equal(pixels, expected)
    assert len(np.unique(colors, axis=0)) == 256
    assert not colors[0].any()
    # Colors of a palette are enough to tell them.
    segments = read_tracks(tmp_path / "out")
    assert [(s.id, s.label, s.frames.tolist()) for s in segments.tracks] == [
        (3, "object 3", [0, 1]),
        (9, "object 9", [1, 2]),
    ]


def test_ids_that_are_no_index_are_counted_anew(tmp_path):
    segments = Tracks(SIZE, 1, (track(0, "a", (0, 0, 2, 2), [0]), track(700, "b", (5, 5, 7, 7), [0])))
    write_tracks(tmp_path / "a.png", segments, format="davis")
    assert [s.id for s in read_tracks(tmp_path / "a.png").tracks] == [1, 2]


def test_too_many_track_for_a_palette(tmp_path):
    tracks = [track(number, "a", (0, 0, 2, 2), [0]) for number in range(256)]
    with pytest.raises(InvalidArgumentError, match="tracks: expected at most 255 for palette pictures, got 256"):
        write_tracks(tmp_path / "out", Tracks(SIZE, 1, tuple(tracks)), format="davis")
    only(tmp_path)


def test_gray_pictures_of_indices(tmp_path):
    save(tmp_path / "in" / "0.png", np.array([[0, 1], [2, 2]], np.uint8))
    first, second = read_tracks(tmp_path / "in", format="davis").tracks
    assert (first.id, first.masks) == (1, (Mask.filled((1, 0, 2, 1)),))
    assert (second.id, second.masks) == (2, (Mask.filled((0, 1, 2, 2)),))


def test_colors_are_no_indices(tmp_path):
    save(tmp_path / "in" / "0.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(MediaError, match=r"0\.png: expected indices of a palette, got an image of mode RGB"):
        read_tracks(tmp_path / "in", format="davis")


# Videos


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_lossless_videos_keep_all_levels(tmp_path, suffix):
    levels = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)
    mask = Mask.from_pixels(levels)
    write_tracks(tmp_path / f"a{suffix}", Tracks(SIZE, 3, (Track(5, "x", [1], [mask.place], 1.0, [mask]),)))
    segments = read_tracks(tmp_path / f"a{suffix}")
    assert segments == Tracks(SIZE, 3, (Track(1, "a", [1], [mask.place], 1.0, [mask]),))
    only(tmp_path, f"a{suffix}")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_other_videos_keep_shapes(tmp_path, suffix):
    write_tracks(tmp_path / f"a{suffix}", two())
    segments = read_tracks(tmp_path / f"a{suffix}")
    assert (segments.frame_size, segments.frame_count) == (SIZE, 3)
    (found,) = segments.tracks
    assert found.frames.tolist() == [0, 1, 2]
    expected = np.zeros((3, *SIZE), bool)
    expected[:2, 1:6, 1:6] = expected[1:, 4:9, 4:10] = True
    for mask, shown in zip(found.masks, expected, strict=True):
        out = np.zeros(SIZE, np.uint8)
        mask.paint(out)
        assert np.array_equal(out >= 128, shown)


def test_videos_with_odd_sides(tmp_path):
    for name in ("a.mkv", "a.mp4"):
        write_tracks(tmp_path / name, Tracks((9, 11), 2, (track(1, "a", (1, 1, 6, 6)),)))
        assert read_tracks(tmp_path / name).frame_size == (9, 11)


def test_animations_are_masks(tmp_path):
    frames = [Image.fromarray(np.full((4, 6), level, np.uint8)) for level in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    (found,) = read_tracks(tmp_path / "a.gif").tracks
    assert (found.frames.tolist(), found.masks) == ([1], (Mask.filled((0, 0, 6, 4)),))


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 20])
def test_videos_that_are_none(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(MediaError, match=r"a\.mp4: "):
        read_tracks(tmp_path / "a.mp4")


def test_videos_that_cannot_be_written(tmp_path):
    with pytest.raises(MediaError, match="at least one frame"):
        write_tracks(tmp_path / "a.mkv", Tracks(SIZE, 0))
    with pytest.raises(MediaError, match=r"a\.gif: expected a video file \(\.mkv, .*got \.gif"):
        write_tracks(tmp_path / "a.gif", two())
    only(tmp_path)


def test_a_video_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("segs_detailer.subjects.formats.mask_video._planes", fail)
    with pytest.raises(KeyboardInterrupt):
        write_tracks(tmp_path / "a.mkv", two())
    only(tmp_path)
