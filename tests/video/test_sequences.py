"""Which pictures are the frames of a clip, and in which order."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image
from video_files import make_video

from segs_detailer.cli.main import main
from segs_detailer.errors import MediaError
from segs_detailer.subjects import read_tracks
from segs_detailer.video import open_clip, read_clip, write_clip
from segs_detailer.video.sequences import NumberedName, find_images, is_pattern, label_of

SIZE = (24, 32)


def pictures(folder, *names, size=SIZE, darkest=0):
    """Pictures whose gray levels tell them apart, in the order of their names."""
    folder.mkdir(exist_ok=True)
    for level, name in enumerate(names):
        Image.new("L", size[::-1], darkest + 10 * level).save(folder / name)
    return folder


def names_of(path, **options):
    return [file.name for file in find_images(path, **options).files]


@pytest.mark.parametrize(
    ("there", "left_out"),
    [
        (["0001.png", "0002.png", "metadata.png"], ["metadata.png"]),
        (["AnimateDiff_00001.png", "AnimateDiff_00002.png", "AnimateDiff-meta.png"], ["AnimateDiff-meta.png"]),
        (["f_1.png", "f_2.png", "f_3.png", "f_3_old.png", "mask_1.png"], ["f_3_old.png", "mask_1.png"]),
        (["ComfyUI_00001_.png", "ComfyUI_00002_.png", "cover.jpg"], ["cover.jpg"]),
    ],
)
def test_what_is_not_numbered_is_no_frame_and_is_named_once(tmp_path, there, left_out):
    folder = pictures(tmp_path / "in", *there)
    with pytest.warns(UserWarning, match="left out") as said:
        info = open_clip(folder).info
    assert info.names == tuple(name for name in there if name not in left_out)
    assert len(said) == 1
    assert all(name in str(said[0].message) for name in left_out)
    # A numbered name says what is meant.
    pattern = there[0].replace("00001", "%05d").replace("0001", "%04d").replace("_1", "_%d")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_clip(folder / pattern).info.names == info.names


@pytest.mark.parametrize(
    "there",
    [
        ["1.png", "2.png", "10.png"],
        ["8.png", "09.png", "10.png"],
        ["0001.png", "0002.jpg", "0003.png"],
        ["take2_v3_0009.png", "take2_v3_0010.png"],
        ["0001_v2.png", "0002_v2.png"],
        ["frame_1_t0.033.png", "frame_2_t0.067.png", "frame_3_t0.100.png"],
        ["shot1_1.png", "shot1_2.png", "shot2_3.png", "shot2_4.png"],
        # None of these is a number of a frame.
        ["anna.png", "bea.png", "metadata.png"],
        ["anna.png", "bea.png", "clara7.png"],
        ["scene2_dog.png", "scene10_cat.png"],
        ["IMG_20240101_235958.jpg", "IMG_20240102_000004.jpg", "IMG_20240102_091500.jpg"],
        ["1700000000123.png", "1700000000456.png", "1700000002000.png"],
        ["face.jpg", "face.png"],
        ["²1.png", "²2.png"],
    ],
)
def test_order_of_names(tmp_path, there):
    sequence = ["1.png", "2.png", "10.png"]
    folder = pictures(tmp_path / "in", *reversed(there))
    (folder / ".0000.png").write_bytes(b"hidden")
    (folder / "notes.txt").write_text("no picture")
    (folder / "0000.png").mkdir()
    found = find_images(folder, fill_gaps=there == sequence)
    assert list(dict.fromkeys(found.files)) == [folder / name for name in there]
    assert found.left_out == ()


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (["a_1.png", "a_2.png", "b_1.png", "b_2.png", "b_3.png"], r"several numbered series .*as in b_%d\.png"),
        (["0001.png", "0002.png", "0001_mask.png", "0002_mask.png"], r"several numbered series"),
        (["shot1_01.png", "shot1_02.png", "shot2_01.png"], r"shot1_01\.png and shot2_01\.png would be one frame"),
        (["1.png", "01.png", "2.png"], r"01\.png and 1\.png would be one frame|1\.png and 01\.png would be one frame"),
        (["0001.png", "0001.jpg", "0002.png"], r"0001\.jpg and 0001\.png would be one frame.*as in %04d\.jpg"),
    ],
)
def test_two_series_are_refused_with_a_reason(tmp_path, there, message):
    with pytest.raises(MediaError, match=message):
        open_clip(pictures(tmp_path / "in", *there))


@pytest.mark.parametrize(
    ("there", "missing", "span"),
    [
        (["0001.png", "0002.png", "0004.png"], "0003.png", "from 1 to 4:"),
        (["f1.png", "f2.png", "f10.png"], "f3.png", "from 1 to 10, as are 6 more:"),
        (["008_x.png", "009_x.png", "011_x.png"], "010_x.png", "from 8 to 11:"),
        (["a0.jpg", "a2.png", "meta.png"], "a1.jpg", "from 0 to 2:"),
    ],
)
@pytest.mark.parametrize("way", ["folder", "wildcard"])
def test_hole_is_an_error_or_is_filled(tmp_path, there, missing, span, way):
    folder = pictures(tmp_path / "in", *there)
    path = folder if way == "folder" else folder / "*.*"
    with pytest.raises(MediaError, match=rf"in/{missing}: missing in a sequence that runs {span}"):
        find_images(path)
    found = find_images(path, fill_gaps=True)
    assert missing in found.names
    assert not (folder / missing).exists()
    assert len(found.files) == len(found.names) > len(set(found.files))
    assert found.first_number == int("".join(filter(str.isdigit, there[0])))


def test_frame_before_is_shown_again(tmp_path):
    folder = pictures(tmp_path / "in", "0003.png", "0004.png", "0007.png")
    for path in (folder, folder / "%04d.png", folder / "*.png"):
        clip = read_clip(open_clip(path, fill_gaps=True))
        assert np.rint(clip.frames[:, 0, 0, 0] * 255).tolist() == [0, 10, 10, 10, 20]
        assert clip.info.names == tuple(f"{number:04d}.png" for number in range(3, 8))
    write_clip(f"{tmp_path}/out/", clip)
    assert open_clip(tmp_path / "out" / "%04d.png").info.first_number == 3
    write_clip(tmp_path / "f%d.png", clip)
    assert names_of(tmp_path / "f%d.png") == [f"f{number}.png" for number in range(3, 8)]


def test_numbers_far_apart_are_not_filled(tmp_path):
    with pytest.raises(MediaError, match="too much to fill"):
        find_images(pictures(tmp_path / "in", "1.png", "2000000.png", "3.png"), fill_gaps=True)


@pytest.mark.parametrize("name", ["100%done.png", "my%20dance.png", "50%d.png", "a[1].png", "what?.png", "100%%d.png"])
def test_file_that_is_there_is_read_as_it_is(tmp_path, name):
    pictures(tmp_path / "in", name)
    assert names_of(tmp_path / "in" / name) == [name]
    assert open_clip(tmp_path / "in" / name).info.frames == 1
    assert read_tracks(tmp_path / "in" / name).frame_count == 1


@pytest.mark.parametrize("name", ["100%done.mp4", "my%20dance.mp4", "100%%d.mp4"])
def test_word_with_a_percent_sign_is_no_numbered_name(tmp_path, name):
    clip = read_clip(make_video(tmp_path / "a.mp4"))
    write_clip(tmp_path / name, clip)
    assert open_clip(tmp_path / name).info.frames == 12


def test_numbered_names():
    from pathlib import Path

    name = NumberedName.of(Path("100%%_%04d_.png"))
    assert name == NumberedName("100%_", "_.png", 4)
    assert (name.name(7), name.number("100%_0007_.png"), name.number("100%_7_.png")) == ("100%_0007_.png", 7, None)
    assert NumberedName.of(Path("a%d.png")) == NumberedName("a", ".png")
    assert NumberedName.of(Path("a%20d.png")) == NumberedName("a", ".png", 20)
    assert not is_pattern(Path("a%dark.png"))
    assert [label_of(Path(each)) for each in ("x/face_%04d.png", "x/%d.png", "x/face_*.png")] == ["face", "", "face"]
    with pytest.raises(MediaError, match="expected one number"):
        NumberedName.of(Path("%d_%d.png"))


def test_mask_pictures_follow_the_same_rule(tmp_path):
    folder = pictures(tmp_path / "masks", "0001.png", "0002.png", "0004.png", darkest=200)
    with pytest.raises(MediaError, match=r"0003\.png: missing in a sequence that runs from 1 to 4"):
        read_tracks(folder)
    assert read_tracks(folder, fill_gaps=True).frame_count == 4
    pictures(folder, "0003.png", "x-meta.png", darkest=200)
    with pytest.warns(UserWarning, match=r"x-meta\.png is not one of the numbered pictures"):
        assert read_tracks(folder).frame_count == 4


@pytest.mark.parametrize("option", ["--mask", "--segs"])
def test_holes_on_the_command_line(tmp_path, capsys, option):
    frames = pictures(tmp_path / "in", "1.png", "2.png", "4.png")
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in (1, 3, 4):
        Image.new("L", SIZE[::-1], 255).save(masks / f"{number}.png")
    given = [str(frames), option, str(masks), "--guide-size", "64", "--max-size", "64", "-q", "--no-cache"]
    assert main(["run", *given, "-o", f"{tmp_path}/out/"]) == 2
    assert "in/3.png: missing in a sequence that runs from 1 to 4: --fill-gaps shows" in capsys.readouterr().err
    assert main(["run", *given, "-o", f"{tmp_path}/out/", "--fill-gaps"]) == 0
    assert names_of(tmp_path / "out") == [f"{number}.png" for number in (1, 2, 3, 4)]
    assert main(["plan", *given, "--fill-gaps"]) == 0
    assert main(["preview", *given[:-1], "-o", str(tmp_path / "sheet.png"), "--fill-gaps"]) == 0
    assert main(["verify", str(frames), str(tmp_path / "out"), option, str(masks), "-q", "--fill-gaps"]) in (0, 1)
    (tmp_path / "list.txt").write_text(f"{frames} {option} {masks} -o {tmp_path}/batched/\n")
    assert main(["batch", str(tmp_path / "list.txt"), "-o", str(tmp_path), "--fill-gaps", *given[3:]]) == 0
    assert len(names_of(tmp_path / "batched")) == 4
