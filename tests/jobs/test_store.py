"""Pixels in files."""

from __future__ import annotations

import numpy as np
import pytest

from segs_detailer.errors import MediaError
from segs_detailer.jobs.store import PixelFile, sample_dtype, to_floats, to_samples


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_samples_are_rounded_and_come_back(bits):
    dtype = sample_dtype(bits)
    white = np.iinfo(dtype).max
    assert dtype.itemsize == (1 if bits == 8 else 2)
    values = np.linspace(-0.1, 1.1, 997, dtype=np.float32)
    back = to_floats(to_samples(values, dtype))
    assert back.dtype == np.float32
    assert np.abs(back - values.clip(0, 1)).max() <= 0.501 / white
    every = np.arange(white + 1, dtype=dtype)
    assert np.array_equal(to_samples(to_floats(every), dtype), every)


def test_frames_are_appended_and_read_one_by_one(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65535, (5, 4, 6, 3), np.uint16)
    file = PixelFile(tmp_path / "a.pixels", 5, (4, 6), np.dtype(np.uint16))
    for frame in pixels[:4]:
        file.append(frame[:, ::-1][:, ::-1])
    assert not file.is_complete
    file.append(pixels[4])
    assert file.is_complete
    assert np.array_equal(file.read(0, 5), pixels)
    assert np.array_equal(file.read(2, 4), pixels[2:4])
    with pytest.raises(MediaError, match="cut off"):
        file.read(4, 6)
    file.remove()
    file.remove()
    assert not file.is_complete


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    pixels = np.zeros((2, 4, 6, 4), np.uint8)
    file = PixelFile(tmp_path / "deep" / "a.pixels", 2, (4, 6), np.dtype(np.uint8), channels=4)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("segs_detailer.jobs.store.os.fsync", full)
        with pytest.raises(MediaError, match=r"No space left on device.: choose another folder as `cache`"):
            file.write(pixels)
    assert list((tmp_path / "deep").iterdir()) == []
    file.write(pixels)
    assert file.is_complete
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.pixels"]
