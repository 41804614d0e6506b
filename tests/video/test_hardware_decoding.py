"""Decoding on a device, with stand-ins: no machine that runs these tests need have one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")
hwaccel = pytest.importorskip("av.codec.hwaccel")

from segs_detailer.cli.main import main  # noqa: E402
from segs_detailer.errors import InvalidArgumentError  # noqa: E402
from segs_detailer.video import container_reader, open_clip, packets, read_clip  # noqa: E402
from segs_detailer.video.container_reader import ContainerSource  # noqa: E402


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mkv"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(6):
            pixels = random.integers(0, 256, (96, 96), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def device(monkeypatch):
    """A device that decodes everything, and hands frames back as devices do: with their chroma in one plane."""
    opened = []

    def open_on_device(path, name):
        opened.append(name)
        return packets.open_input(path)

    decoded = ContainerSource._decoded
    decoded_from = ContainerSource._decoded_from

    def on_device(self, *arguments, **options):
        for frame in decoded(self, *arguments, **options):
            yield frame.reformat(format="nv12") if self._hwaccel else frame

    def from_key(self, *arguments):
        for number, frame in decoded_from(self, *arguments):
            yield number, frame.reformat(format="nv12") if self._hwaccel else frame

    monkeypatch.setattr(container_reader, "open_on_device", open_on_device)
    monkeypatch.setattr(ContainerSource, "_decoded", on_device)
    monkeypatch.setattr(ContainerSource, "_decoded_from", from_key)
    return opened


def planes(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def test_what_a_device_hands_back_is_the_same_clip(clip, device):
    source = open_clip(clip, hwaccel="cuda")
    assert source.info == open_clip(clip).info
    np.testing.assert_allclose(read_clip(source).frames, read_clip(clip).frames, atol=2 / 255)
    assert set(device) == {"cuda"}


def test_a_run_decodes_on_the_device_and_keeps_the_files_format(clip, device, tmp_path):
    out = tmp_path / "out.mkv"
    box = ["--bbox", "40,24,60,44", "--crop-factor", "1", "--feather", "0", "--quiet"]
    assert main(["run", str(clip), "-o", str(out), "--hwaccel", "vaapi", *box]) == 0
    assert len(device) > 1
    assert open_clip(out).info.pix_fmt == "yuv420p"
    for before, after in zip(planes(clip), planes(out), strict=True):
        # Luma above the subject.
        np.testing.assert_array_equal(after[:20], before[:20])


def test_a_device_of_another_build(clip, monkeypatch, capsys):
    monkeypatch.setattr(hwaccel, "hwdevices_available", lambda: ["cuda", "qsv"])
    with pytest.raises(InvalidArgumentError, match="hwaccel: expected cuda, qsv, with which PyAV is built here, got"):
        open_clip(clip, hwaccel="vaapi")
    assert main(["run", str(clip), "-o", "out.mkv", "--hwaccel", "cud", "--bbox", "1,1,40,40"]) == 2
    assert "--hwaccel: expected cuda, qsv" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("no stream is compatible"), PermissionError(1, "Operation not permitted")]
)
def test_a_device_that_is_not_there_is_no_reason_to_decode_in_software(clip, monkeypatch, error):
    monkeypatch.setattr(hwaccel, "hwdevices_available", lambda: ["cuda"])
    plain = av.open

    def opened(*arguments, **options):
        if "hwaccel" in options:
            assert options["hwaccel"].allow_software_fallback is False
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(InvalidArgumentError, match=r"hwaccel: expected a device of this machine .* got cuda \("):
        open_clip(clip, hwaccel="cuda")


def test_pictures_are_decoded_in_software(tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(InvalidArgumentError, match="hwaccel: expected none for pictures"):
        open_clip(tmp_path / "frames", hwaccel="cuda")
