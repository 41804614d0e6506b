"""Encoders in hardware: no machine that runs these tests needs one. Names, settings and messages are held."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.video import encoders
from segs_detailer.video.encoders import EncoderSettings
from segs_detailer.video.hardware import hardware_encoders, hardware_kind, software_formats
from segs_detailer.video.reading import open_clip
from segs_detailer.video.writing import open_output

av = pytest.importorskip("av")


@pytest.fixture
def info(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(np.full((96, 160, 3), 90 * index, np.uint8)).save(folder / f"{index}.png")
    return open_clip(folder).info


@pytest.mark.parametrize(
    ("encoder", "crf", "expected"),
    [
        ("h264_nvenc", None, {"preset": "p5", "tune": "hq", "rc": "vbr", "b": "0", "cq": "19"}),
        ("hevc_nvenc", 23, {"preset": "p5", "tune": "hq", "rc": "vbr", "b": "0", "cq": "23"}),
        ("av1_qsv", 25, {"preset": "slow", "global_quality": "25"}),
        ("h264_amf", 0, {"quality": "quality", "rc": "cqp", "qp_i": "0", "qp_p": "0"}),
        ("h264_videotoolbox", None, {}),
    ],
)
def test_quality_goes_by_each_makers_own_name(encoder, crf, expected):
    assert encoders._encoder_options(encoder, EncoderSettings(crf=crf)) == expected


@pytest.mark.parametrize(
    ("encoder", "crf", "message"),
    [
        ("h264_nvenc", 0, "crf: expected 1 to 51 for h264_nvenc, got 0"),
        ("hevc_videotoolbox", 20, "crf: expected no value: hevc_videotoolbox has no constant quality, got 20"),
    ],
)
def test_quality_that_it_does_not_have_is_refused(encoder, crf, message):
    with pytest.raises(InvalidArgumentError, match=message):
        encoders._encoder_options(encoder, EncoderSettings(crf=crf))


def test_no_codec_means_hardware_unless_it_is_named():
    assert hardware_kind("libx264") is None
    names = {name for found in encoders._ENCODERS.values() for name in found}
    assert not any(hardware_kind(name) for name in names)


def test_frames_in_a_devices_memory_are_no_choice():
    for name in hardware_encoders("h264"):
        encoder = av.codec.Codec(name, "w")
        assert not {"cuda", "qsv", "amf", "d3d11", "vaapi"} & set(software_formats(encoder))


def test_one_that_this_machine_lacks_says_which_there_are(tmp_path, info, monkeypatch):
    name = next((each for each in hardware_encoders("h264") if each.endswith("_nvenc")), None)
    if name is None:
        pytest.skip("PyAV was built without NVENC")
    monkeypatch.setattr(encoders, "_begins", lambda *_: False)
    real = encoders._refusal
    monkeypatch.setattr(
        encoders, "_refusal", lambda name, *rest: "no device" if hardware_kind(name) else real(name, *rest)
    )
    expected = (
        "codec: expected an encoder that this machine has, such as libx264, got 'h264_nvenc', which cannot be opened "
        r"here \(no device\)"
    )
    with pytest.raises(InvalidArgumentError, match=expected):
        open_output(tmp_path / "out.mp4", info, settings=EncoderSettings(codec=name))
    assert not (tmp_path / "out.mp4").exists()


def test_a_stand_in_is_encoded_with(tmp_path, info, monkeypatch):
    """With a maker's own names for an encoder that every build has: frames go through as through any other."""
    from segs_detailer.video import hardware

    kind = hardware.HardwareKind({"preset": "ultrafast"}, ("qp",))
    monkeypatch.setitem(hardware._KINDS, "x264", kind)
    with open_output(tmp_path / "out.mp4", info, settings=EncoderSettings(codec="libx264", crf=30)) as sink:
        for index in range(2):
            sink.write(np.full((96, 160, 3), 0.25, np.float32), *info.times[index : index + 2])
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 2
