"""When frames are shown, where files say it badly, and how packets get their times back."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from video_files import make_video

from segs_detailer.video.file_length import missing_bytes
from segs_detailer.video.frame_times import FrameClock, frame_times
from segs_detailer.video.packet_stamps import PacketStamps, Rising
from segs_detailer.video.packets import PacketTimes


def packets(*stamps, keys=(0,), duration=10):
    return [PacketTimes(stamp, duration, place in keys) for place, stamp in enumerate(stamps)]


@pytest.mark.parametrize(
    ("given", "times", "corrected"),
    [
        (packets(0, 10, 20), (0, 10, 20, 30), ()),
        # Frames that are decoded before those that are shown first.
        (packets(0, 30, 10, 20), (0, 10, 20, 30, 40), ()),
        # Two clips that overlap by two frames: the second begins with a key frame.
        (packets(0, 10, 20, 10, 20, 30, keys=(0, 3)), (0, 10, 20, 21, 22, 30, 40), (3, 4)),
        # An open group: frames that are shown before a key frame come after it, and nothing is wrong.
        (packets(0, 10, 40, 20, 30, keys=(0, 2)), (0, 10, 20, 30, 40, 50), ()),
        (packets(5, 5, 5), (5, 6, 7, 17), (1, 2)),
        # No stamps at all, at the start, and in the middle.
        (packets(None, None, None), (0, 10, 20, 30), ()),
        (packets(None, None, 20, 30), (0, 10, 20, 30, 40), ()),
        (packets(0, None, 20, 30), (0, 10, 20, 30, 40), ()),
        # The last frame says how long it is.
        (packets(0, 10, duration=90), (0, 10, 100), ()),
        (packets(0, 10, duration=0), (0, 10, 20), ()),
        (packets(), (0,), ()),
    ],
)
def test_times_rise_strictly_and_no_frame_is_dropped(given, times, corrected):
    found = frame_times(given, 10)
    assert found.times == times
    assert found.corrected == corrected


def test_frames_without_stamps_before_the_first_one_that_has_one_follow_the_packets():
    clock = FrameClock(10, (0, 10, 20))
    assert [clock.time(stamp) for stamp in (None, None, 20, None)] == [0, 10, 20, 30]


class FakePacket:
    def __init__(self, pts, dts, time_base=Fraction(1, 25)):
        self.pts, self.dts, self.time_base, self.duration = pts, dts, time_base, 1


def test_packets_get_the_times_of_their_frames():
    stamps = PacketStamps(Fraction(1, 25))
    times = [7, 20, 21, 100, 180, 500]
    assert [stamps.add(start, end) for start, end in itertools.pairwise(times)] == [0, 1, 2, 3, 4]
    clock = Fraction(1, 1000)
    found = []
    # As an encoder gives them that looks two frames ahead.
    for pts, dts in ((0, -2), (3, -1), (1, 0), (2, 1), (4, 2)):
        packet = FakePacket(pts, dts)
        stamps.apply(packet, clock)
        assert packet.time_base == clock
        found.append((packet.pts, packet.dts, packet.duration))
    assert [(pts, duration) for pts, _, duration in found] == [(7, 13), (100, 80), (20, 1), (21, 79), (180, 320)]
    decoded = [dts for _, dts, _ in found]
    assert decoded == sorted(set(decoded))
    assert all(dts <= pts for pts, dts, _ in found)


def test_frames_of_one_tick_are_told_apart_on_a_coarse_clock():
    stamps = PacketStamps(Fraction(1, 25))
    for start in (3, 3, 3, 9):
        stamps.add(start, start)
    found = []
    for number in range(4):
        packet = FakePacket(number, number)
        stamps.apply(packet, Fraction(1, 1000))
        found.append(packet.pts)
    assert found == [3, 4, 5, 9]


def test_decoding_times_that_repeat_are_moved_on():
    rising = Rising()
    given = [FakePacket(stamp, stamp) for stamp in (0, 5, 5, 4, 9)]
    for packet in given:
        rising(packet)
    assert [packet.dts for packet in given] == [0, 5, 6, 7, 9]
    assert all(packet.pts >= packet.dts for packet in given)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_files_say_what_they_lack(tmp_path, suffix):
    whole = make_video(tmp_path / f"a{suffix}", codec="mpeg4")
    data = whole.read_bytes()
    assert missing_bytes(whole) == 0
    (tmp_path / "cut").write_bytes(data[:-100])
    assert missing_bytes(tmp_path / "cut") == 100
    (tmp_path / "more").write_bytes(data + b"garbage")
    assert not missing_bytes(tmp_path / "more")


def test_files_that_do_not_say_how_long_they_are(tmp_path):
    data = make_video(tmp_path / "a.mkv").read_bytes()
    for number, other in enumerate((b"", b"\x1a", data[:20], b"RIFF" + bytes(20), b"\0\0\0\0mdat")):
        (tmp_path / f"{number}.mkv").write_bytes(other)
        assert missing_bytes(tmp_path / f"{number}.mkv") is None
    # A live stream does not know how long it will be.
    start = data.index(b"\x18\x53\x80\x67") + 4
    (tmp_path / "live.mkv").write_bytes(data[:start] + b"\x01" + b"\xff" * 7 + data[start + 8 :])
    assert missing_bytes(tmp_path / "live.mkv") is None
