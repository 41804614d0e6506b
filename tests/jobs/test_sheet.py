"""Sheets of tracks: what they show, which frames are looked at, and what a page holds."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from segs_detailer import open_clip, plan_clip
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs import write_sheet
from segs_detailer.jobs.sheet import Strip, draw_strips, sheet_picture
from segs_detailer.subjects import Track, Tracks, write_tracks
from segs_detailer.subjects.moments import best_moments, qualities, sharpness, spread_moments
from segs_detailer.subjects.track import TRACK_COLORS
from segs_detailer.video import frames_at

COUNT = 30
SIZE = (64, 96)
EVIL = '<script>alert("1")</script> & more'


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A striped square at the left, sharp in every fifth frame; nothing else."""
    folder = tmp_path_factory.mktemp("clip") / "in"
    folder.mkdir()
    for index in range(COUNT):
        pixels = np.full((*SIZE, 3), 40, np.uint8)
        contrast = 200 if index % 5 == 0 else 30
        pixels[10:40, 10:40] = 40 + contrast * (np.arange(30) // 3 % 2)[None, :, None]
        pixels[:, 60:] = (200, 10, 10)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    square = Track(1, "square", range(COUNT), [(10, 10, 40, 40)] * COUNT, 0.5)
    edge = Track(4, EVIL, range(4), [(70, 20, 110, 60)] * 4, 0.25, identity="A")
    write_tracks(folder.parent / "t.npz", Tracks(SIZE, COUNT, (square, edge)))
    return folder


@pytest.fixture(scope="module")
def plan(clip):
    return plan_clip(clip, segs=str(clip.parent / "t.npz"), tracks=1, no_cache=True)


def test_pictures_are_the_sharpest_of_all_of_its_life(clip, plan):
    told = []
    square, edge = draw_strips(open_clip(clip), plan, lambda *done: told.append(done))
    assert [each.frame for each in square.thumbnails] == [0, 5, 10, 15, 20, 25]
    assert square.thumbnails[1].seconds == pytest.approx(5 / 24)
    assert [each.frame for each in edge.thumbnails] == [0, 1, 2, 3]
    assert (square.is_meant, edge.is_meant) == (True, False)
    # Three of each sixth are looked at, and all four of the other track.
    assert told[-1] == (19, 19)
    pixels = np.array(edge.thumbnails[0].image)
    # What is outside the frame is dark, the rest is what is there.
    assert pixels[64, 30].tolist() == [200, 10, 10]
    assert pixels[64, 120].max() < 40


def test_a_picture_shows_numbers_and_colors(clip, plan, tmp_path):
    strips = draw_strips(open_clip(clip), plan)
    picture = np.array(sheet_picture(strips, plan))
    for place, number in enumerate((1, 4)):
        assert picture[6 + 134 * place + 60, 8].tolist() == list(TRACK_COLORS[number - 1])
    bright, dimmed = picture[6 + 40, 262:390].max(), picture[140 + 64, 270].max()
    assert bright > 200 > dimmed
    for name in ("s.png", "s.jpg", "s.webp"):
        write_sheet(tmp_path / name, open_clip(clip), plan)
        with Image.open(tmp_path / name) as image:
            assert image.size == picture.shape[1::-1]
    with pytest.raises(InvalidArgumentError, match=r"sheet: expected a picture or a page \(.png"):
        write_sheet(tmp_path / "s.txt", open_clip(clip), plan)


def test_a_page_holds_everything_in_itself(clip, plan, tmp_path):
    write_sheet(tmp_path / "s.html", open_clip(clip), plan)
    text = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more" in text
    for part in ("frames 0-29, seen in 30", "30x30 px (size 30)", "score 0.50", "not selected", "<code>1</code>"):
        assert part in text
    assert set(re.findall(r'(?:src|href)="([^;]*)', text)) == {"data:image/jpeg"}
    images = [base64.b64decode(data) for data in re.findall(r"base64,([^\"]*)", text)]
    assert [Image.open(io.BytesIO(image)).size for image in images] == [(128, 128)] * 10


def test_many_tracks_stand_in_columns(plan):
    strips = [Strip(Track(number, "a", [0], [(0, 0, 9, 9)]), is_meant=True) for number in range(1, 100)]
    width, height = sheet_picture(strips, plan).size
    assert width > 2 * 1000
    assert height < 41 * 140
    assert sheet_picture([], plan).size[1] > 40


def test_plan_writes_sheets(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["plan", str(clip), "--segs", str(clip.parent / "t.npz"), "--no-cache"]
    assert main([*command, "--sheet", "a.html", "--sheet"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "in_tracks.png"}
    assert "wrote in_tracks.png: pictures of 2 tracks" in capsys.readouterr().out
    assert main([*command, "--sheet", "b.txt"]) == 2
    assert "--sheet: expected a picture or a page" in capsys.readouterr().err
    assert main([*command, "--sheet", "b.png", "--sheet", "b.png"]) == 2
    assert "--sheet: expected a file of its own, got b.png" in capsys.readouterr().err
    assert main([*command, "--sheet", "b.png", "--tracks", "9"]) == 2
    assert not (tmp_path / "b.png").exists()
    empty = ["plan", str(clip), "--segs", "e.npz", "--no-cache", "--sheet", "e.png", "--sheet", "e.html", "-q"]
    write_tracks("e.npz", Tracks(SIZE, COUNT, ()))
    assert main(empty) == 0
    assert "holds no track" in (tmp_path / "e.html").read_text()


def test_only_what_is_wanted_is_read(clip):
    source = open_clip(clip)
    read = []

    class Watched:
        info = source.info

        def pictures(self):
            for number, picture in enumerate(source.pictures()):
                read.append(number)
                yield picture

    assert [number for number, _ in frames_at(Watched(), (7, 3, 3))] == [3, 7]
    assert read == list(range(8))
    assert [number for number, _ in frames_at(source, (29, 99, 2))] == [2, 29]
    assert list(frames_at(Watched(), ())) == []
    assert np.array_equal(next(frames_at(source, (5,)))[1], list(frames_at(Watched(), range(9)))[5][1])


def test_where_a_subject_is_seen_best():
    sizes = np.array([10, 40, 20, 40, 40, 40.0])
    boxes = np.stack([np.full(6, 5.0), np.full(6, 5.0), 5 + sizes, 5 + sizes], axis=1)
    boxes[3] -= 30  # mostly outside
    # Eyes, nose, and the corners of a mouth: from the front, and from the side in the last.
    face = np.array([(10, 10), (30, 10), (20, 20), (12, 30), (28, 30)], float)
    landmarks = np.stack([face] * 6)
    landmarks[5, 2] = (30, 20)
    landmarks[2] = np.nan
    track = Track(1, "face", range(6), boxes, [1, 1, 1, 1, 0.5, 1], landmarks=landmarks)
    quality = qualities(track, SIZE)
    assert np.argmax(quality) == 1
    assert quality[1] / quality[4] == pytest.approx(2)
    assert quality[[0, 2, 3, 5]].max() < quality[1] / 3
    assert spread_moments(track, SIZE, 2, 2) == [[1, 0], [4, 5]]
    assert spread_moments(Track(1, "a", [], []), SIZE, 3) == []
    assert best_moments(track, SIZE, 2) == [1, 4]
    # A tilted head is one from the front.
    turn = np.array([(0.6, 0.8), (-0.8, 0.6)])
    tilted = Track(1, "face", range(6), boxes, [1, 1, 1, 1, 0.5, 1], landmarks=landmarks @ turn)
    assert np.allclose(qualities(tilted, SIZE), quality)


def test_sharpness():
    rng = np.random.default_rng(1)
    noise = rng.random((40, 40, 3), np.float32)
    soft = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 4
    assert sharpness(noise) > 2 * sharpness(soft) > 0
    assert sharpness(noise[:2]) == 0
