"""Models that hear a clip while they repaint it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

import tiny_ltx
from segs_detailer import BasicPipe, detail_clip
from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.jobs.sound import ClipSound
from segs_detailer.models.registry import sampler_for
from segs_detailer.video.reading import open_clip
from segs_detailer.video.samples import read_samples

RATE, FRAMES, SIDE = 25, 30, 64


def write_clip(path, *, sound=True, channels=2, begins=0.6):
    """A clip of noise that is silent until some second, and then sounds at 500 Hz."""
    times = np.arange(round(FRAMES / RATE * 44100)) / 44100
    tone = np.where(times >= begins, 0.5 * np.sin(2 * np.pi * 500 * times), 0).astype(np.float32)
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=RATE)
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        if sound:
            audio = container.add_stream("pcm_f32le", rate=44100, layout="stereo" if channels == 2 else "mono")
            frame = av.AudioFrame.from_ndarray(
                np.tile(tone[:, None], (1, channels)).reshape(1, -1), format="flt", layout=audio.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        for _ in range(FRAMES):
            pixels = rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    return path


def loudness(samples, start, stop, rate):
    part = samples[:, round(start * rate) : round(stop * rate)]
    return float(np.sqrt((part**2).mean()))


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_those_of_their_time(tmp_path, channels):
    path = write_clip(tmp_path / "in.mkv", channels=channels)
    samples = read_samples(path, 16000, 0.0, 1.2)
    assert samples.shape == (2, 19200)
    assert np.array_equal(samples[0], samples[1])
    assert loudness(samples, 0, 0.59, 16000) < 1e-3
    assert loudness(samples, 0.61, 1.15, 16000) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    # A stretch is that of the whole, and what lies outside the clip is silent.
    late = read_samples(path, 16000, 0.5, 1.0)
    assert late.shape == (2, 16000)
    assert np.abs(late[:, : 16000 * 6 // 10] - samples[:, 8000 : 8000 + 16000 * 6 // 10]).max() < 0.02
    assert loudness(late, 0.75, 1.0, 16000) == 0
    early = read_samples(path, 16000, -0.4, 1.2)
    assert loudness(early, 0, 0.99, 16000) < 1e-3
    assert loudness(early, 1.01, 1.2, 16000) > 0.3


def test_files_without_sound_are_one_clear_line(tmp_path):
    path = write_clip(tmp_path / "in.mkv", sound=False)
    with pytest.raises(MediaError, match=r"in\.mkv: there is no sound to follow"):
        read_samples(path, 16000, 0, 1)
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(b"\x1aE\xdf\xa3" + bytes(50))
    with pytest.raises(MediaError, match=r"damaged\.mkv: the sound cannot be read"):
        read_samples(damaged, 16000, 0, 1)


def test_sound_goes_with_the_frames_of_a_piece(tmp_path):
    info = open_clip(write_clip(tmp_path / "in.mkv")).info
    pipe = BasicPipe.from_pipe(tiny_ltx.make_pipeline())
    sound = ClipSound.of(info, sampler_for(*pipe[:3]).info)
    part = sound.between(10, 20)
    assert part.rate == 16000
    assert part.samples.shape == (2, 6400)
    assert loudness(part.samples.numpy(), 0, 0.19, 16000) < 1e-3
    assert loudness(part.samples.numpy(), 0.21, 0.4, 16000) > 0.3


OPTIONS = {"bbox": [(0, 0, SIDE, SIDE)], "crop_factor": 1.0, "guide_size": SIDE, "max_size": SIDE, "steps": 1}
OPTIONS |= {"denoise": 0.5, "no_cache": True, "sampler_name": "euler", "scheduler": "simple", "cfg": 1.0}


def test_a_run_lets_the_model_hear_the_clip(tmp_path):
    source = write_clip(tmp_path / "in.mkv")
    pipe = BasicPipe.from_pipe(tiny_ltx.make_pipeline(), prompt="a face")
    calls, heard = [], []
    pipe.model.transformer.register_forward_pre_hook(lambda module, args, given: calls.append(given), with_kwargs=True)
    encode = pipe.vae.ears.encode
    pipe.vae.ears.encode = lambda sound, seconds: heard.append((sound, seconds)) or encode(sound, seconds)
    detail_clip(source, tmp_path / "silent.mkv", pipe, **OPTIONS)
    assert [call["isolate_modalities"] for call in calls] == [True]
    assert calls[0]["fps"] == RATE
    detail_clip(source, tmp_path / "heard.mkv", pipe, follow_sound=True, **OPTIONS)
    [(sound, seconds)] = heard
    # 30 frames are lengthened to 33.
    assert seconds == pytest.approx(33 / RATE)
    assert loudness(sound.samples.numpy(), 0.61, 1.15, 16000) > 0.3
    assert not calls[-1]["isolate_modalities"]
    assert calls[-1]["audio_num_frames"] == 33
    silent, loud = (open_clip(tmp_path / name) for name in ("silent.mkv", "heard.mkv"))
    assert silent.info.audio_streams == loud.info.audio_streams == 1
    pixels = [np.stack([frame.to_ndarray(format="rgb24") for frame in av.open(str(tmp_path / name)).decode(video=0)])
              for name in ("silent.mkv", "heard.mkv")]  # fmt: skip
    assert not np.array_equal(*pixels)


def test_what_cannot_be_heard_is_refused(tmp_path, capfd):
    pipe = BasicPipe.from_pipe(tiny_ltx.make_pipeline(), prompt="a face")
    silent = write_clip(tmp_path / "silent.mkv", sound=False)
    with pytest.raises(InvalidArgumentError, match=r"follow_sound: expected a clip with sound, got .*silent\.mkv"):
        detail_clip(silent, tmp_path / "out.mkv", pipe, follow_sound=True, **OPTIONS)
    source = write_clip(tmp_path / "in.mkv")
    with pytest.raises(InvalidArgumentError, match="follow_sound: expected a model that hears, such as LTX-2"):
        detail_clip(source, tmp_path / "out.mkv", BasicPipe.preview(), follow_sound=True, bbox=[(0, 0, 40, 40)])
    assert main(["run", str(source), "-o", str(tmp_path / "out.mkv"), "--bbox=0,0,40,40", "--follow-sound"]) != 0
    assert "--follow-sound: expected a model for it: add --model, got none" in capfd.readouterr().err
    assert not (tmp_path / "out.mkv").exists()
