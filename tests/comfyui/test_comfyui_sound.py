"""Models of pictures and sound, grids of frames, and pictures with an axis for time, in the sampling backend."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import comfy_server
import pytest
import torch

from processes import PATIENCE
from segs_detailer.comfyui.audio import GraphSound, audio_of, make_audio
from segs_detailer.comfyui.backend import mask_support
from segs_detailer.comfyui.backend.grid import FrameGrid, pixels_per_latent
from segs_detailer.comfyui.backend.hearing import empty_latents, sound_latents
from segs_detailer.comfyui.backend.streams import from_pack, nested, to_pack
from segs_detailer.comfyui.backend.traits import ModelTraits, check_hears
from segs_detailer.comfyui.backend.vae import GraphVAE
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.info import FramePacking
from segs_detailer.models.latent_layout import frame_latents

IN_COMFYUI = pytest.mark.skipif(not os.environ.get(comfy_server.VARIABLE), reason=comfy_server.REASON)
NO_STREAMS = "this ComfyUI knows no latents of pictures and sound"


@pytest.fixture(scope="module")
def results():
    done = subprocess.run(
        [comfy_server.comfy_python(), str(Path(__file__).parent / "in_comfyui_sound.py")],
        env=comfy_server.comfy_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture
def checked(results):
    """What a check gave; it is skipped where this ComfyUI has no such models."""

    def of(name):
        if name not in results:
            pytest.skip(NO_STREAMS)
        return results[name]

    return of


@IN_COMFYUI
def test_sound_is_held_and_the_video_outside_the_mask_kept(checked):
    (case,) = checked("ltx")
    assert case["nested"] == "NestedTensor"
    assert case["sound_held"] < 1e-6
    for name in ("repainted", "without_sound", "held", "generated"):
        outside, inside = case[name]
        assert outside == 0, name
        assert inside > 0.5, name
    # The pictures alone are shown while it works.
    assert case["pictures"] == [[1, 128, 2, 3, 2]] * 2
    assert case["grid"] == [1, 9, 9, 17]


@IN_COMFYUI
def test_pictures_follow_the_sound(checked):
    (case,) = checked("ltx")
    assert case["by_sound"] > 0.05
    assert case["by_mode"] > 0.05
    assert case["sound_again"] == 0
    # A refiner goes on where the base stopped, of both streams.
    assert case["refined"] == 0
    # Without sound the model paints as ComfyUI's own KSampler does.
    assert case["as_comfyui"] < 1e-6


@IN_COMFYUI
def test_callbacks_of_newer_releases_give_the_same(checked):
    assert checked("newer_callback") == [{"same": True}]


@IN_COMFYUI
def test_rules_for_the_noise_are_for_the_pictures_alone(checked):
    for case in checked("pack_noise"):
        is_fixed = case["kind"] == "fixed"
        assert case["as_without"] == 0, case
        assert (case["start"] < 1e-6) == is_fixed, case
        assert (case["steps"] < 1e-6) == is_fixed, case
        # The sound starts from the same noise whatever the rule.
        assert case["sound"] == pytest.approx(1, abs=0.1), case
        assert case["sound_steps"] > 0.005, case
        if case["kind"] != "per-frame":
            assert case["steps_as_without"] == 0, case
    assert len({case["sound_start"] for case in checked("pack_noise")}) == 1


@IN_COMFYUI
def test_masks_that_the_model_reads_are_not_released_one_after_the_other(checked):
    (case,) = checked("soft_masks")
    assert case["same"]
    assert case["lines"] == [
        "LTXAV reads the noise mask itself: soft edges are repainted in part, not one after the other"
    ]


@IN_COMFYUI
def test_what_does_not_go_with_the_sound_is_refused(checked):
    (case,) = checked("refusals")
    hearing = "(LTX-2 with sound or MiniMax H3)"
    assert case == {
        "deaf": f"InvalidArgumentError: audio_opt: expected a model of pictures and sound {hearing}, got QwenImage",
        "no_model": "InvalidArgumentError: audio_opt: expected a MODEL of pictures and sound in the basic_pipe "
        f"{hearing}, got a str",
        "dummy": "nothing",
        "other": "InvalidTypeError: audio_opt: expected what Audio for Detailer gives, got str",
        "wrong_vae": "InvalidTypeError: audio_vae: expected the audio VAE of LTX-2, got a VAE",
        "rate": "InvalidArgumentError: frame_rate: expected 24, as the conditioning says, for the sound too, got 25",
        "same_rate": "nothing",
        "two": "InvalidArgumentError: audio_opt: expected no sound beside latents that have their own, got some",
    }


@IN_COMFYUI
def test_frames_through_the_node_with_sound(checked):
    (case,) = checked("through_the_node")
    assert case["frames"] == [10, 96, 64, 3]
    assert case["by_sound"] > 0.001
    assert case["kept"]
    # Two segments hear the same.
    assert case["encoded"] == 1


@IN_COMFYUI
def test_the_interface_of_minimax_h3(results):
    (case,) = results["h3"]
    if "absent" in case:
        assert case["absent"] == f"ModelError: {NO_STREAMS}: update it"
        return
    assert case["grid"] == [5, 5, 22, 22, 39, 124]
    # Its tokens hold 2 x 2 latents of 16 pixels.
    assert case["multiple"] == 32
    assert case["packing"] == [1, 4, 4, 4, 4, 1, 4]
    assert case["latents"] == [1, 24, 7, 4, 4]
    assert case["decoded"] == [22, 64, 64, 3]
    # 22 of 24 frames are 37 of 40 latents of sound, also where none is given.
    assert case["shapes"] == [[1, 24, 7, 4, 4], [1, 32, 2, 37]]
    assert case["sound"] == [1, 32, 2, 37]
    # The mask has the first five frames: those of two latents.
    assert case["changed"] == [True] * 2 + [False] * 5
    assert case["outside"]
    assert case["by_sound"] > 0.01
    assert case["fast"] > 0.001
    assert case["lines"][0].endswith("lips follow it less than in ComfyUI 0.35")
    assert case["lines"][1:] == [
        "MiniMax H3 knows 24 frames per second: of a clip of 30 it hears the sound at 0.80 times its speed"
    ]
    assert case["wrong_vae"].startswith(
        "InvalidTypeError: audio_vae: expected the audio VAE of MiniMax H3, got a Audio"
    )


@IN_COMFYUI
def test_a_release_that_gets_masks_of_minimax_h3_wrong(checked):
    cases = checked("h3_masks")
    if not cases:
        pytest.skip(NO_STREAMS)
    (case,) = cases
    assert case["scales"] == "nothing"
    assert case["does_not"].startswith("ModelError: ComfyUI ")
    assert case["does_not"].endswith("as a grid or as mush: update ComfyUI to 0.35 or later")
    assert case["lines"] == []


@IN_COMFYUI
def test_each_frame_is_a_picture_to_qwen_image(results):
    (case,) = results["qwen"]
    assert case["grid"] == [1, 2, 3]
    assert case["clip"] == 5
    assert case["latents"] == case["shape"] == [3, 16, 1, 4, 4]
    assert case["alone"] < 1e-5
    assert case["decoded"] == [3, 32, 32, 3]
    assert case["kept_frame"] < 1e-5
    assert case["outside"] < 1e-5
    assert case["changed"] > 0.1
    assert case["as_alone"] < 1e-5
    assert case["fixed"] < 1e-5
    assert case["preview"] == [3, 4, 4, 3]


# Without ComfyUI


@pytest.mark.parametrize(
    ("latents_of", "frames_of", "numbers", "counts"),
    [
        (lambda f: (f + 3) // 4, lambda t: t * 4 - 3, (4, 1, 1), (1, 4, 4)),
        (lambda f: (f + 7) // 8, lambda t: t * 8 - 7, (8, 1, 1), (1, 8, 8)),
        (lambda f: f // 4, lambda t: t * 4, (4, 0, 4), (4, 4, 4)),
        (None, lambda t: t * 6 - 5, (6, 1, 1), (1, 6, 6)),
        # MiniMax H3 and its small decoder: a single frame is a picture, and no clip.
        (
            lambda f: max(1, (f - 5) // 17 * 5 + 2) if f > 1 else 1,
            lambda t: max(1, (t - 2) // 5 * 17 + 5),
            (17, 5, 5),
            (1, 4, 4, 4, 4, 1, 4, 4, 4, 4),
        ),
        (
            lambda f: max(1, (f - 1) // 17 * 5 + 2) if f > 1 else 1,
            lambda t: max(1, (t - 2) // 5 * 17 + 5),
            (17, 5, 5),
            (1, 4, 4, 4, 4, 1),
        ),
    ],
    ids=["wan", "ltx", "no picture first", "one rule", "h3", "h3 decoder"],
)
def test_grids_found_by_trial(latents_of, frames_of, numbers, counts):
    grid = FrameGrid.of(latents_of, frames_of)
    assert (grid.step, grid.offset, grid.least) == numbers
    assert grid.packing.counts(len(counts)) == counts
    for frames in range(grid.least, 200, grid.step):
        latents = grid.packing.latents(frames)
        assert frames_of(latents) == frames


def test_frames_without_a_rule_are_refused():
    with pytest.raises(ModelError, match=r"numbers of frames follow no rule: 1, 4, 9, 16"):
        FrameGrid.of(None, lambda latents: latents**2)


@pytest.mark.parametrize(
    ("down", "up", "side"),
    [
        (8, 8, 8),
        (None, None, 8),
        (None, 16, 16),
        (lambda pixels: pixels // 16, lambda latents: latents * 16, 16),
        (lambda pixels: -(-pixels // 32), lambda latents: latents * 32, 32),
        (lambda pixels: pixels // 32, None, 32),
        (lambda pixels: pixels // 14, 14, 14),
    ],
)
def test_sides_given_as_functions(down, up, side):
    assert pixels_per_latent(down, up, 8) == side


def test_sides_without_a_way_back_are_refused():
    with pytest.raises(ModelError, match="no size of up to 256 pixels"):
        pixels_per_latent(lambda pixels: pixels // 4, lambda latents: latents * 5, 8)


class ClipVAE:
    """What of ComfyUI's VAE of clips counts here; it notes how many frames come at once."""

    downscale_ratio = (lambda frames: (frames + 3) // 4, lambda pixels: pixels // 16, lambda pixels: pixels // 16)
    upscale_ratio = (lambda latents: latents * 4 - 3, lambda latents: latents * 16, lambda latents: latents * 16)

    def __init__(self):
        self.at_once = []

    def encode(self, pixels):
        self.at_once.append(len(pixels))
        return torch.zeros((1, 16, (len(pixels) + 3) // 4, pixels.shape[1] // 16, pixels.shape[2] // 16))

    def decode(self, latents):
        return torch.zeros((len(latents), latents.shape[2] * 4 - 3, latents.shape[3] * 16, latents.shape[4] * 16, 3))


def test_a_vae_of_clips_for_a_model_of_pictures():
    inner = ClipVAE()
    vae = GraphVAE(inner, of_pictures=True)
    assert vae.geometry.frames_for(3) == 3
    assert vae.geometry.size_multiple == 16
    latents = vae.encode(torch.zeros((3, 32, 48, 3)))
    assert latents.shape == (3, 16, 1, 2, 3)
    assert inner.at_once == [1, 1, 1]
    assert vae.decode(latents).shape == (3, 32, 48, 3)
    clips = GraphVAE(inner, token=2)
    assert clips.geometry.size_multiple == 32
    assert clips.encode(torch.zeros((5, 32, 48, 3))).shape == (1, 16, 2, 2, 3)


def test_latents_of_pictures_with_an_axis_for_time_lie_in_order():
    latents = torch.arange(12.0).reshape(3, 4, 1, 1, 1)
    stack = frame_latents(latents, (3, 8, 8))
    assert torch.equal(stack, latents[:, :, 0])
    # One of them is a clip of one frame.
    assert torch.equal(frame_latents(latents[:1], (1, 8, 8), FramePacking(lead=(1,), cycle=(4,))), latents[:1, :, 0])


def test_packs_come_apart_as_they_were_put_together():
    streams = [torch.rand(2, 3, 4, 5), torch.rand(2, 6, 7)]
    pack = to_pack(streams)
    assert pack.shape == (2, 1, 60 + 42)
    for stream, again in zip(streams, from_pack(pack, [each.shape for each in streams]), strict=True):
        assert torch.equal(stream, again)
    assert to_pack(streams[:1]) is streams[0]
    assert nested(streams[:1]) is streams[0]


@pytest.mark.skipif(bool(os.environ.get(comfy_server.VARIABLE)), reason="ComfyUI may be importable")
def test_streams_need_a_comfyui_that_knows_them():
    with pytest.raises(ModelError, match=NO_STREAMS):
        nested([torch.zeros(1), torch.zeros(1)])


class Ears:
    """What of the audio VAE of LTX-2 counts here: 25 latents per second, the loudness of 640 samples each."""

    sample_rate = 16000
    latents_per_second = 25.0

    def __init__(self, lost=0):
        self.heard = []
        self.lost = lost

    def num_of_latents_from_frames(self, frames, frame_rate):
        return -(-round(frames * 25 * 1000) // round(frame_rate * 1000))

    def encode(self, audio):
        wave = audio["waveform"]
        assert audio["sample_rate"] == self.sample_rate
        self.heard.append(wave)
        count = wave.shape[2] // 640 - self.lost
        loud = wave[:, :, : count * 640].reshape(1, 2, count, 640).square().mean(3).sqrt()
        return loud[:, :1, :, None].expand(1, 8, count, 16)


class NewerEars:
    """The same, as newer programs have it: the network within their own VAE class."""

    audio_sample_rate = 16000

    def __init__(self):
        self.first_stage_model = Ears()

    def encode(self, waveform):
        return self.first_stage_model.encode({"waveform": waveform.movedim(-1, 1), "sample_rate": 16000})


def audio(wave, rate):
    return {"waveform": wave.expand(1, 1, -1), "sample_rate": rate}


def loud_in_the_second_half(rate, seconds=2.0):
    time = torch.arange(round(rate * seconds)) / rate
    return torch.sin(2 * torch.pi * 200 * time) * (time >= seconds / 2)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("vae", [Ears, NewerEars])
def test_sound_of_the_frames_seconds(rate, vae):
    (sound,) = make_audio(audio(loud_in_the_second_half(rate), rate), vae(), 24.0, "hold")
    latents = sound_latents(sound, 49, "ltx")
    assert latents.shape == (1, 8, 52, 16)
    heard = latents[0, 0, :, 0]
    assert heard[:24].abs().max() < 0.01
    assert heard[26:49] == pytest.approx(torch.full((23,), 0.5**0.5), abs=0.01)
    # The clip has one frame more than two seconds: there is silence.
    assert heard[51] < 0.02


def test_sound_of_another_pace_for_a_model_of_24_frames_per_second():
    class H3Ears:
        first_stage_model = None
        audio_sample_rate = 32000

        def encode(self, waveform):
            count = waveform.shape[1] // 800
            loud = waveform[:, : count * 800].reshape(1, count, 800, 2).square().mean(2).sqrt()
            return loud.permute(0, 2, 1)[:, None].expand(1, 32, 2, count)

    # Two seconds of 48 frames each are 4 seconds of 24: what begins in the middle still does.
    (sound,) = make_audio(audio(loud_in_the_second_half(32000), 32000), H3Ears(), 48.0, "generate")
    latents = sound_latents(sound, 96, "h3")
    assert latents.shape == (1, 32, 2, 160)
    heard = latents[0, 0, 0]
    assert heard[:78].max() < 0.02
    assert heard[82:158].min() > 0.6
    assert not sound.is_held


def test_silent_streams_have_the_length_of_the_frames():
    assert empty_latents(124).shape == (1, 32, 2, 207)
    assert not empty_latents(5).any()


def test_a_vae_that_hears_too_little_is_refused():
    (sound,) = make_audio(audio(torch.zeros(16000), 16000), Ears(lost=4), 25.0, "hold")
    with pytest.raises(ModelError, match="audio_vae: 17 frames need 17 latents of sound, it gave 15"):
        sound_latents(sound, 17, "ltx")


def test_a_vae_of_something_else_is_refused():
    class Pictures:
        def encode(self, value):
            return value

    (sound,) = make_audio(audio(torch.zeros(16000), 16000), Pictures(), 25.0, "hold")
    with pytest.raises(InvalidTypeError, match="audio_vae: expected the audio VAE of LTX-2, got a Pictures"):
        sound_latents(sound, 17, "ltx")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"audio": None}, InvalidTypeError, r"^audio: expected AUDIO, with waveform and sample_rate"),
        (
            {"audio": {"waveform": torch.zeros(2, 1, 9), "sample_rate": 16000}},
            ValueError,
            "one waveform",
        ),
        ({"audio_vae": None}, InvalidTypeError, r"^audio_vae: expected the VAE of the model's sound"),
        ({"frame_rate": 0.0}, InvalidArgumentError, r"^frame_rate: expected a number from 1 to 240, got 0"),
        ({"mode": "held"}, InvalidArgumentError, r"^mode: expected one of hold, generate, got 'held'"),
    ],
)
def test_what_the_node_refuses(changes, error, message):
    inputs = {"audio": audio(torch.zeros(1, 1, 16000), 16000), "audio_vae": Ears(), "frame_rate": 24.0, "mode": "hold"}
    with pytest.raises(error, match=message):
        make_audio(**{**inputs, **changes})


def test_what_stands_on_the_socket():
    (sound,) = make_audio(audio(torch.zeros(1, 1, 160), 16000), Ears(), 24, "hold")
    assert isinstance(sound, GraphSound)
    assert audio_of(sound) is sound
    assert audio_of(None) is None
    with pytest.raises(InvalidTypeError, match=r"^audio_opt: expected what Audio for Detailer gives, got dict"):
        audio_of({})


class Base:
    def process_timestep(self, timestep):
        return timestep


def patcher_of(name, *, own=False, **attributes):
    body = {"process_timestep": Base.process_timestep} if own else {}
    return type("Patcher", (), {"model": type(name, (Base,), {**body, **attributes})()})


def test_traits_by_class_and_by_what_it_does():
    assert ModelTraits.of(patcher_of("WAN21")) == ModelTraits(name="WAN21")
    assert ModelTraits.of(patcher_of("LTXV", own=True)) == ModelTraits(name="LTXV", reads_mask=True, told_rate=True)
    assert ModelTraits.of(patcher_of("LTXAV", own=True)) == ModelTraits(
        name="LTXAV", hears="ltx", reads_mask=True, told_rate=True
    )
    assert ModelTraits.of(patcher_of("QwenImage")).of_pictures
    config = type("CosmosT2IPredict2", (), {})()
    assert ModelTraits.of(patcher_of("CosmosPredict2", model_config=config)).of_pictures
    network = type("Network", (), {"patch_size": (1, 2, 2)})()
    h3 = ModelTraits.of(patcher_of("MiniMaxH3", diffusion_model=network))
    assert h3 == ModelTraits(name="MiniMaxH3", hears="h3", reads_mask=True, token=2)
    assert h3.needs_sound
    with pytest.raises(InvalidArgumentError, match=r"^audio_opt: expected a model of pictures and sound .*, got WAN21"):
        check_hears(ModelTraits(name="WAN21"))


@pytest.mark.parametrize(("version", "masks"), [("0.34.0", "wrong"), ("0.35.0", "right"), ("0.40.1", "right")])
def test_masks_by_version_where_the_network_does_not_answer(monkeypatch, version, masks):
    class Network:
        def forward(self, *arguments, **options):
            raise KeyError("another pack's option")

    monkeypatch.setattr(mask_support, "_version_text", lambda: version)
    model = type("MiniMaxH3", (), {"_denoise_mask_conds": None, "diffusion_model": Network()})()
    assert mask_support.h3_masks(model) == masks
