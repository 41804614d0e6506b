"""What a plan knows of models with weights, and runs of a motion model in several pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_models
from segs_detailer import BasicPipe
from segs_detailer.cli.main import main
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.jobs import ChosenTrack, ClipRun, ModelTraits, StreamSizes
from segs_detailer.jobs.memory import program_bytes, sampling_bytes
from segs_detailer.jobs.planning import plan_tracks
from segs_detailer.models.windows import ContextWindows
from segs_detailer.subjects import CropSettings, Track
from segs_detailer.video import open_clip

SIZE = (40, 48)
COUNT = 44


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return tiny_models.save_checkpoint(root / "sd"), tiny_models.save_motion_adapter(root / "motion", max_frames=8)


def load(folders, **options):
    return BasicPipe.from_pretrained(
        folders[0],
        motion_adapter=folders[1],
        prompt="a",
        device="cpu",
        windows=ContextWindows(length=8, overlap=2),
        **options,
    )


def test_traits_of_a_motion_model(folders):
    pipe = load(folders)
    traits = ModelTraits.of(pipe)
    assert (traits.reach, traits.window, traits.networks, traits.on_cpu, traits.on_gpu) == (None, 8, True, True, False)
    unet = sum(part.nbytes for part in pipe.model.unet.parameters())
    assert unet < traits.weights < 20 * unet
    # The same weights are counted once, those of a refiner come on top.
    assert ModelTraits.of(pipe, pipe).weights == traits.weights
    assert ModelTraits.of(pipe, load(folders)).weights > 1.4 * traits.weights
    assert traits.activations((64, 64), 8) < traits.activations((128, 64), 8)
    nothing = ModelTraits.of(BasicPipe.preview())
    assert (nothing.reach, nothing.weights, nothing.networks, nothing.activations((512, 512), 64)) == (1, 0, False, 0)


def test_activations_of_pieces_that_are_sampled_together(folders):
    motion = ModelTraits.of(load(folders))
    plain = ModelTraits.of(BasicPipe.from_pretrained(folders[0], prompt="a", device="cpu"))
    assert (motion.window, plain.window) == (8, None)
    size = (64, 64)
    # A window of each piece is in a motion network at once; the decoder, which takes most of one, takes them in turn.
    network = motion.activations(size, 8, 100)
    assert motion.activations(size, 8, 200) == 2 * network > motion.activations(size, 8)
    assert motion.activations(size, 40, 100) == network
    assert motion.activations(size, 8, 1) == motion.activations(size, 8, 2) == plain.activations(size, 8, 200)
    # Frames of all pieces together fill a plain network's batch, and no more.
    network = BasicPipe.from_pretrained(folders[0], prompt="a", device="cpu")
    network.model.take_frames_at_once(500)
    wide = ModelTraits.of(network)
    assert wide.activations(size, 100, 2) == 2 * wide.activations(size, 100)
    assert wide.activations(size, 100, 50) == wide.activations(size, 500)


def test_as_many_pieces_are_sampled_together_as_there_is_room_for(clip, folders):
    info = open_clip(clip).info
    traits = ModelTraits.of(load(folders))
    boxes = [(2 + 15 * place, 10, 12 + 15 * place, 20) for place in range(3)]
    tracks = [Track(place, "a", range(COUNT), [box] * COUNT) for place, box in enumerate(boxes, start=1)]
    chosen = [ChosenTrack(track, CropSettings(crop="fixed", crop_factor=1)) for track in tracks]
    base = program_bytes(traits) + traits.weights + StreamSizes(SIZE[0] * SIZE[1]).bytes
    crops = [(10, 10)] * 3

    def together(limit):
        detail = DetailerSettings(guide_size=16, max_size=16, batch_segments=4)
        plan = plan_tracks(info, chosen, detail, traits, max_ram=limit)
        assert plan.memory.total <= limit
        return {len(group) for group in plan.groups}

    detail = DetailerSettings(guide_size=16, max_size=16)
    [side] = {max(plan.size) for plan in plan_tracks(info, chosen, detail, traits).tracks}
    least = [sampling_bytes(18, (10, 10), (side, side), traits, crops[:count]) for count in range(3)]
    assert sorted(least) == least
    assert together(base + least[2]) == {3}
    assert together(base + least[1]) == {2, 1}
    assert together(base + least[0]) == {1}
    with pytest.raises(InvalidArgumentError, match="max_ram"):
        together(base + traits.activations((side, side), 1))


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 255, (*SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{index:02d}.png")
    return tmp_path / "in"


def test_a_motion_model_runs_in_pieces_that_pass_over_to_each_other(clip, folders, tmp_path, monkeypatch):
    starts, runs, chunks = [], [], []
    from segs_detailer.detailer import detail_frames

    def watched(*arguments, **options):
        starts.append(arguments[3].noise_start)
        chunks.append(arguments[2].model.vae.chunk)
        return detail_frames(*arguments, **options)

    class Kept(ClipRun):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            runs.append((self, arguments[2]))

    monkeypatch.setattr("segs_detailer.detailer.api.detail_frames", watched)
    monkeypatch.setattr("segs_detailer.jobs.run.ClipRun", Kept)
    traits = ModelTraits.of(load(folders))
    room = sampling_bytes(30, (16, 16), (16, 16), traits)
    limit = program_bytes(traits) + traits.weights + StreamSizes(SIZE[0] * SIZE[1]).bytes + room
    command = [
        "run",
        str(clip),
        "-o",
        f"{tmp_path}/out/",
        "--overwrite",
        "--bbox",
        "10,10,26,26",
        "--crop-factor",
        "1",
        "-q",
    ]
    command += ["--guide-size", "16", "--max-size", "16", "--steps", "1", "--device", "cpu", "--context-length", "8"]
    command += ["--model", str(folders[0]), "--motion-adapter", str(folders[1]), "--max-ram", f"{limit / 10**6 + 0.1}M"]
    assert main(command) == 0
    [(run, settings)] = runs
    pieces = run.plan.pieces
    assert len(pieces) == 2
    assert all(piece.fades and piece.frames >= 16 for piece in pieces)
    assert starts == [piece.low for piece in pieces]
    # The VAE takes what the limit has room for, not what the machine has; the caller's own is left alone.
    assert [1 <= chunk <= 8 for chunk in chunks] == [True, True]
    assert settings.detailing.pipe.vae.chunk is None
    before = np.stack([np.asarray(Image.open(path)) for path in sorted(clip.iterdir())])
    after = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").glob("*.png"))])
    assert (before != after)[:, 12:24, 12:24].any(axis=(1, 2, 3)).all()


def test_too_little_memory_for_the_weights_is_said_before_frames_are_read(clip, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("segs_detailer.models.info._weights", lambda _: iter([_Large]))
    command = [
        "run",
        str(clip),
        "-o",
        f"{tmp_path}/out/",
        "--overwrite",
        "--bbox",
        "10,10,26,26",
        "--model",
        str(folders[0]),
    ]
    assert main([*command, "--motion-adapter", str(folders[1]), "--device", "cpu", "-q"]) == 2
    assert "--max-ram: expected at least 9." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class _Large:
    """Weights that no test would make."""

    nbytes = 8 * 10**9

    device = torch.device("cpu")
