"""What verify finds in clips of which the faults are known, and what it does not find in good ones."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.subjects import Mask, Track, Tracks, write_tracks
from segs_detailer.verify import FrameChecker, VerifySettings, subjects_of, verify_clips
from segs_detailer.verify.flow import measure_flicker
from segs_detailer.verify.subjects import Area
from segs_detailer.video import EncoderSettings, open_clip, read_clip, write_clip

SIZE = (144, 192)
COUNT = 24
FACE = 56
ENTRY, EXIT = 6, 19
"""First frame of the track, and the frame after its last."""


def texture(rng, size, blur):
    # Like nature, more light and dark than color: encoders keep little of that.
    noise = rng.random((*size, 1)).astype(np.float32) + 0.1 * rng.random((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    smooth = (smooth - smooth.mean()) / smooth.std()
    return (0.5 + 0.14 * smooth).clip(0.05, 0.95).astype(np.float32)


def place(frame):
    return 20 + 4 * frame, 40 + frame


@pytest.fixture(scope="module")
def truth():
    """Input frames, the detail that a good run adds to the subject, and the subject's mask in each frame."""
    rng = np.random.default_rng(5)
    ground, face = texture(rng, SIZE, 2.5), texture(rng, (FACE, FACE), 2.0)
    rows, columns = np.mgrid[:FACE, :FACE] - (FACE - 1) / 2
    disc = (rows**2 + columns**2 < (FACE / 2 - 1) ** 2).astype(np.float32)
    detail = cv2.GaussianBlur(rng.standard_normal((FACE, FACE, 3)).astype(np.float32), (0, 0), 1.0)
    detail *= 0.05 / detail.std()
    frames = np.repeat(ground[None], COUNT, axis=0)
    masks = np.zeros((COUNT, *SIZE), bool)
    added = np.zeros_like(frames)
    for index in range(COUNT):
        x, y = place(index)
        window = (index, slice(y, y + FACE), slice(x, x + FACE))
        frames[window] += (face - frames[window]) * disc[..., None]
        masks[window] = disc > 0
        added[window] = detail * disc[..., None]
    return frames, added, masks


def ramp(index, length=4):
    """Share of the detail that is there: it comes and goes over some frames."""
    return float(np.clip(min((index - ENTRY + 1) / length, (EXIT - index) / length), 0, 1))


@pytest.fixture
def good(truth):
    frames, added, _ = truth
    weights = np.array([ramp(index) for index in range(COUNT)], np.float32)
    return (frames + weights[:, None, None, None] * added).clip(0, 1)


@pytest.fixture
def segments(truth):
    _, _, masks = truth
    seen = list(range(ENTRY, EXIT))
    shapes = [Mask.from_pixels(masks[index]) for index in seen]
    return Tracks(SIZE, COUNT, (Track(3, "face", seen, [mask.place for mask in shapes], 1.0, shapes),))


def check(before, after, segments=None, **settings):
    chosen = VerifySettings(**settings)
    subjects = None if segments is None else subjects_of(segments, SIZE, COUNT)
    checker = FrameChecker(SIZE, subjects, chosen)
    for old, new in zip(before, after, strict=True):
        checker.add(old, new)
    return checker.report("in", "out")


def kinds(report):
    return [finding.kind for finding in report.findings]


def only(report, kind):
    assert kinds(report) == [kind], report.findings
    return report.findings[0]


# Good clips


def test_detail_that_moves_with_its_subject_and_comes_by_a_ramp_passes(truth, good, segments):
    report = check(truth[0], good, segments)
    assert report.passed, report.findings
    assert report.surroundings.psnr is None
    assert report.surroundings.changed == 0
    subject = report.subjects[0]
    assert (subject.id, subject.label, subject.first, subject.last) == (3, "face", ENTRY, EXIT - 1)
    assert 6 < subject.strength < 14
    assert subject.detail > 1.05
    assert subject.flicker < 1.3


def test_an_unchanged_clip_passes(truth, segments):
    report = check(truth[0], truth[0], segments)
    assert report.passed
    assert report.subjects[0].strength == 0
    assert report.subjects[0].flicker == pytest.approx(1, abs=0.3)


def test_without_masks_the_changed_area_is_reported(truth, good):
    report = check(truth[0], good)
    assert report.passed
    assert not report.surroundings.masked
    frame = report.surroundings.worst_frame
    x, y = place(frame)
    box = np.array(report.surroundings.worst_box)
    assert np.abs(box - (x, y, x + FACE, y + FACE)).max() <= 8
    assert report.subjects[0].label == "everything"
    assert 0 < report.surroundings.changed < FACE**2 / (SIZE[0] * SIZE[1])


# Faults


def test_a_paste_at_the_wrong_place_is_found(truth, good, segments):
    frames, added, _ = truth
    wrong = good.copy()
    wrong[10] = (frames[10] + np.roll(added[10], (-34, 60), axis=(0, 1))).clip(0, 1)
    report = check(frames, wrong, segments)
    finding = next(item for item in report.findings if item.kind == "outside")
    assert finding.frames == (10,)
    assert report.surroundings.worst_frame == 10
    x, y = place(10)
    assert np.abs(np.array(report.surroundings.worst_box[:2]) - (x + 60, y - 34)).max() <= 24


def test_one_pixel_outside_is_found_where_nothing_else_differs(truth, good, segments):
    wrong = good.copy()
    wrong[12, 5, 180] += 2 / 255
    assert only(check(truth[0], wrong, segments), "outside").frames == (12,)


def test_the_margin_says_what_is_outside(truth, good, segments):
    wrong = good.copy()
    x, y = place(12)
    wrong[12, y - 12, x + FACE // 2] += 0.1
    assert check(truth[0], wrong, segments, margin=16).passed
    assert only(check(truth[0], wrong, segments, margin=0), "outside").frames == (12,)


def test_a_shift_of_the_colors_is_found(truth, good, segments):
    report = check(truth[0], (good + np.float32(3 / 255)).clip(0, 1), segments)
    assert "shifted by +3.0 levels" in " ".join(finding.text for finding in report.findings)


def test_other_frames_are_found(truth, good, segments):
    report = check(truth[0], texture(np.random.default_rng(1), SIZE, 2.5)[None].repeat(COUNT, axis=0), segments)
    assert any("differs" in finding.text for finding in report.findings if finding.kind == "outside")


def test_detail_that_is_new_in_every_frame_flickers(truth, segments):
    frames, _added, masks = truth
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(frames.shape).astype(np.float32) * np.float32(0.05)
    weights = np.array([ramp(index) for index in range(COUNT)], np.float32)[:, None, None, None]
    report = check(frames, (frames + weights * noise * masks[..., None]).clip(0, 1), segments)
    finding = next(item for item in report.findings if item.kind == "flicker")
    assert finding.subject == 3
    assert report.subjects[0].flicker > 2
    assert not {"outside", "pop", "blank"} & set(kinds(report))


def test_brightness_that_pumps_flickers(truth, good, segments):
    wrong = good.copy()
    for index in range(ENTRY + 4, EXIT - 4, 2):
        wrong[index][truth[2][index]] += 0.04
    report = check(truth[0], wrong, segments)
    assert "flicker" in kinds(report)


def test_one_frame_that_jumps_is_named(truth, good, segments):
    wrong = good.copy()
    x, y = place(12)
    face = wrong[12, y : y + FACE, x : x + FACE]
    face[...] = np.where(truth[2][12, y : y + FACE, x : x + FACE, None], face[::-1], face)
    report = check(truth[0], wrong, segments)
    jumps = [item for item in report.findings if item.kind in ("jump", "pop")]
    assert {12, 13} <= {frame for item in jumps for frame in item.frames}


@pytest.mark.parametrize(("gone", "at"), [(range(ENTRY + 4), ENTRY + 4), (range(13, COUNT), 13), (range(12, 15), 12)])
def test_detail_that_comes_or_goes_at_once_pops(truth, segments, gone, at):
    frames, added, _masks = truth
    wrong = frames + added * np.array([index not in gone for index in range(COUNT)], np.float32)[:, None, None, None]
    report = check(frames, wrong.clip(0, 1), segments)
    pops = [item for item in report.findings if item.kind == "pop"]
    assert (at,) in [item.frames for item in pops]
    assert all(item.subject == 3 for item in pops)


def test_a_cut_of_the_input_is_no_pop(truth, segments):
    frames, added, _masks = truth
    before, after = frames.copy(), (frames + added).clip(0, 1)
    rng = np.random.default_rng(9)
    other = texture(rng, SIZE, 2.5) * np.array([1.0, 0.3, 0.2], np.float32)
    outside = [index for index in range(COUNT) if not ENTRY <= index < EXIT]
    before[outside] = other
    after[outside] = other
    assert check(before, after, segments).passed


def test_black_frames_and_black_crops_are_found(truth, good, segments):
    wrong = good.copy()
    wrong[14] = 0
    assert next(i for i in check(truth[0], wrong, segments).findings if i.kind == "black").frames == (14,)
    wrong = good.copy()
    wrong[14][truth[2][14]] = 0
    report = check(truth[0], wrong, segments)
    assert next(i for i in report.findings if i.kind == "blank").frames == (14,)
    assert "black" not in kinds(report)


def test_values_that_are_no_numbers_are_found(truth, good, segments):
    wrong = good.copy()
    wrong[9, 60, 70, 1] = np.nan
    wrong[10, 60, 70, 1] = np.inf
    assert only(check(truth[0], wrong, segments), "not-finite").frames == (9, 10)


def test_a_frame_twice_is_found(truth, good):
    wrong = good.copy()
    wrong[12] = wrong[11]
    finding = next(i for i in check(truth[0], wrong).findings if i.kind == "repeated")
    assert finding.frames == (12,)


def test_pops_and_flicker_are_found_without_masks(truth, good):
    frames, added, masks = truth
    sudden = frames + added * (np.arange(COUNT) >= 12).astype(np.float32)[:, None, None, None]
    report = check(frames, sudden.clip(0, 1))
    assert [item.frames for item in report.findings if item.kind == "pop"] == [(12,)]
    noise = np.random.default_rng(2).standard_normal(frames.shape).astype(np.float32) * np.float32(0.05)
    report = check(frames, (frames + noise * masks[..., None]).clip(0, 1))
    assert "flicker" in kinds(report)
    assert report.findings[0].text.startswith("everything: ")


def test_a_subject_that_is_left_alone_is_no_fault(truth, good, segments):
    still = Track(9, "other", range(COUNT), [(150, 5, 185, 35)] * COUNT)
    both = Tracks(SIZE, COUNT, (*segments.tracks, still))
    report = check(truth[0], good, both)
    assert report.passed, report.findings
    assert report.subjects[1].strength == 0


# Tracks


def test_gaps_are_bridged(segments):
    track = segments.tracks[0]
    kept = [index for index in range(len(track.frames)) if index not in (4, 5, 6)]
    shown = Track(1, "a", track.frames[kept], track.boxes[kept], 1.0, [track.masks[index] for index in kept])
    bridged = subjects_of(Tracks(SIZE, COUNT, (shown,)), SIZE, COUNT, max_gap=3)[0]
    x, y = place(ENTRY + 5)
    rows, columns = np.nonzero(bridged.area(ENTRY + 5).inside)
    left, top = bridged.area(ENTRY + 5).place[:2]
    extent = np.array([left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1])
    assert np.abs(extent - (x, y, x + FACE, y + FACE)).max() <= 2
    assert bridged.span == (ENTRY, EXIT)
    assert bridged.area(ENTRY - 1) is None
    assert bridged.area(EXIT) is None
    apart = subjects_of(Tracks(SIZE, COUNT, (shown,)), SIZE, COUNT, max_gap=2)[0]
    assert apart.area(ENTRY + 5) is None
    assert apart.area(ENTRY + 7) is not None


def test_tracks_of_another_size_are_scaled(truth, good):
    _, _, masks = truth
    half = [Mask.from_pixels(masks[index, ::2, ::2]) for index in range(COUNT)]
    track = Track(1, "face", range(COUNT), [mask.place for mask in half], 1.0, half)
    report = check(truth[0], good, Tracks((SIZE[0] // 2, SIZE[1] // 2), COUNT, (track,)))
    assert report.passed, report.findings
    assert report.subjects[0].strength > 5


def test_a_track_of_one_frame_serves_for_all(truth, good):
    track = Track(1, "box", [0], [(0, 20, 192, 144)])
    report = check(truth[0], good, Tracks(SIZE, 1, (track,)))
    assert report.passed, report.findings
    assert (report.subjects[0].first, report.subjects[0].last) == (0, COUNT - 1)


def test_settings_out_of_range_are_refused():
    for wrong in ({"margin": -1}, {"max_flicker": 0.5}, {"max_pop": 0}, {"max_pop": float("nan")}, {"max_gap": -1}):
        with pytest.raises(InvalidArgumentError):
            VerifySettings(**wrong)


# Files


def save_images(folder, frames):
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray((frame * 255 + 0.5).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def clips(tmp_path, truth, good, segments):
    """Encode the input with loss, and make a good output of the decoded frames, also with loss."""
    source = read_clip(save_images(tmp_path / "raw", truth[0]))
    write_clip(tmp_path / "in.mp4", source, settings=EncoderSettings(codec="h264", crf=18))
    clip = read_clip(tmp_path / "in.mp4")
    clip.frames[...] = (clip.frames + (good - truth[0])).clip(0, 1)
    write_clip(tmp_path / "good.mp4", clip, settings=EncoderSettings(codec="h264", crf=23))
    write_tracks(tmp_path / "tracks.npz", segments)
    return tmp_path


def run(*args):
    return main([str(arg) for arg in args])


def test_an_encoders_noise_is_no_change(clips, capsys):
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--segs", clips / "tracks.npz") == 0
    out = capsys.readouterr().out
    assert "nothing is wrong" in out
    assert "3  face   6-18" in out
    assert "0.00% changed beyond the encoder" in out


@pytest.mark.parametrize("crf", [12, 30])
def test_a_change_outside_is_found_through_an_encoder(clips, crf, capsys):
    clip = read_clip(clips / "good.mp4")
    clip.frames[10:14, 8:32, 8:40] += 0.12 * np.sin(np.arange(32) * 1.7).astype(np.float32)[None, None, :, None]
    write_clip(clips / "bad.mp4", clip, settings=EncoderSettings(codec="h264", crf=crf))
    assert run("verify", clips / "in.mp4", clips / "bad.mp4", "--segs", clips / "tracks.npz") == 1
    out = capsys.readouterr().out
    assert "fault: outside: changed outside the masks in 10-13" in out
    assert "1 faults" in out


@pytest.mark.parametrize("crf", [12, 21])
def test_flicker_and_pops_are_found_through_an_encoder(clips, truth, crf, capsys):
    _, added, masks = truth
    rng = np.random.default_rng(8)
    clip = read_clip(clips / "in.mp4")
    for index in range(ENTRY, EXIT):
        # Not for each pixel, which an encoder would drop.
        noise = cv2.GaussianBlur(rng.standard_normal((*SIZE, 1)).astype(np.float32), (0, 0), 1.2)[..., None]
        clip.frames[index] += 0.07 * noise / noise.std() * masks[index, ..., None]
    write_clip(clips / "flickers.mp4", clip, settings=EncoderSettings(codec="h264", crf=crf))
    assert run("verify", clips / "in.mp4", clips / "flickers.mp4", "--segs", clips / "tracks.npz") == 1
    assert "fault: flicker: face 3" in capsys.readouterr().out
    clip = read_clip(clips / "in.mp4")
    clip.frames[ENTRY:EXIT] += 1.5 * added[ENTRY:EXIT]
    write_clip(clips / "pops.mp4", clip, settings=EncoderSettings(codec="h264", crf=crf))
    assert run("verify", clips / "in.mp4", clips / "pops.mp4", "--segs", clips / "tracks.npz") == 1
    out = capsys.readouterr().out
    assert f"face 3: appears at frame {ENTRY}" in out
    assert f"face 3: disappears at frame {EXIT}" in out


def test_json_says_all_that_the_table_says(clips, capsys):
    report = clips / "report.json"
    args = ("verify", clips / "in.mp4", clips / "good.mp4", "--segs", clips / "tracks.npz")
    assert run(*args, "--json", report, "-q") == 0
    assert capsys.readouterr().out == ""
    content = json.loads(report.read_text())
    assert content["passed"] is True
    assert content["frames"] == COUNT
    assert content["surroundings"]["masked"] is True
    assert content["subjects"][0]["label"] == "face"
    assert run(*args, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out) == content


def test_masks_and_boxes_say_what_may_change(clips, truth, capsys):
    save_images(clips / "masks", truth[2][..., None].repeat(3, axis=3).astype(np.float32))
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--mask", clips / "masks") == 0
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--bbox", "20,40,192,124") == 0
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--bbox", "0,0,20,20") == 1
    out = capsys.readouterr().out
    assert "1  masks" in out
    assert "fault: outside" in out


def test_other_counts_sizes_times_and_no_sound_are_faults(clips, truth):
    save_images(clips / "short", truth[0][:20])
    report = verify_clips(clips / "in.mp4", clips / "short")
    assert "holds 20 frames for the input's 24" in only(report, "count").text
    assert report.frames == 20
    save_images(clips / "small", truth[0][:, ::2, ::2])
    report = verify_clips(clips / "in.mp4", clips / "small")
    assert only(report, "size").text == "is of 96x72 pixels, the input of 192x144"
    assert report.frames == 0
    from fractions import Fraction

    slow = read_clip(open_clip(clips / "raw", rate=Fraction(12)))
    write_clip(clips / "slow.mp4", slow, settings=EncoderSettings(codec="h264", crf=18))
    assert only(verify_clips(clips / "in.mp4", clips / "slow.mp4"), "times").frames == (24,)


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_fault(clips, capsys):
    assert run("verify", clips / "in.mp4", clips / "none.mp4") == 2
    assert "none.mp4: no such file" in capsys.readouterr().err
    write_tracks(clips / "short.npz", Tracks(SIZE, 3, (Track(1, "a", [0], [(0, 0, 9, 9)]),)))
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--segs", clips / "short.npz") == 2
    assert "holds segments of 3 frames for 24 frames" in capsys.readouterr().err
    with pytest.raises(MediaError, match="hold 3 frames for 24"):
        verify_clips(clips / "in.mp4", clips / "good.mp4", tracks=Tracks(SIZE, 3))
    assert run("verify", clips / "in.mp4", clips / "good.mp4", "--max-pop", "0") == 2


def test_flicker_does_not_depend_on_what_was_measured_before():
    y, x = np.mgrid[:96, :128].astype(np.float32)
    large = [
        np.repeat(0.5 + 0.3 * np.sin((x + 2 * n) / 5)[..., None] * np.cos(y / 7)[..., None], 3, 2) for n in range(2)
    ]
    small = [np.ascontiguousarray(frame[:24, :24]) for frame in large]

    def flicker(frames):
        height, width = frames[0].shape[:2]
        area = Area((0, 0, width, height), np.ones((height, width), bool))
        return measure_flicker(tuple(frames), tuple(frames), area, 0.0)

    first = flicker(large)
    flicker(small)
    assert flicker(large) == first
