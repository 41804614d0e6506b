from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch

import tiny_models
from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.sd import vae as vae_module
from segs_detailer.models.sd.vae import FrameVAE


@pytest.fixture(scope="module")
def network():
    return tiny_models.make_vae()


@pytest.fixture
def frames():
    return torch.rand(5, 48, 64, 3, generator=torch.Generator().manual_seed(5))


def test_encoding_takes_the_mode(network, frames):
    latents = FrameVAE(network).encode(frames)
    with torch.no_grad():
        expected = network.encode(frames.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    assert latents.shape == (5, 4, 6, 8)
    torch.testing.assert_close(latents, expected)


def test_decoding_gives_clamped_frames(network):
    latents = 20 * torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(1))
    frames = FrameVAE(network).decode(latents)
    assert frames.shape == (2, 48, 64, 3)
    assert frames.dtype == torch.float32
    assert frames.is_contiguous()
    assert float(frames.min()) >= 0
    assert float(frames.max()) <= 1
    with torch.no_grad():
        expected = (network.decode(latents).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    torch.testing.assert_close(frames, expected)


@pytest.mark.parametrize("chunk", [1, 2, 5, 9])
def test_chunks_do_not_change_the_result(network, frames, chunk):
    vae, whole = FrameVAE(network, chunk=chunk), FrameVAE(network, chunk=100)
    latents = whole.encode(frames)
    torch.testing.assert_close(vae.encode(frames), latents)
    torch.testing.assert_close(vae.decode(latents), whole.decode(latents))


def test_scaling_and_back(network):
    vae = FrameVAE(network)
    latents = torch.randn(1, 4, 2, 2)
    torch.testing.assert_close(vae.to_model(latents), latents * 0.18215)
    torch.testing.assert_close(vae.from_model(vae.to_model(latents)), latents)


def test_full_precision_decodes_in_float32_and_goes_back():
    network = tiny_models.make_vae()
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    network.to(torch.bfloat16)
    rounded = tiny_models.make_vae()
    rounded.load_state_dict({name: weight.float() for name, weight in network.state_dict().items()})
    vae = FrameVAE(network)
    exact = vae.decode(latents, full_precision=True)
    torch.testing.assert_close(exact, FrameVAE(rounded).decode(latents))
    assert network.dtype == torch.bfloat16
    assert not torch.equal(vae.decode(latents), exact)


@pytest.mark.parametrize("shape", [(5, 48, 60, 3), (5, 48, 64, 4), (48, 64, 3), (0, 48, 64, 3)])
def test_frames_that_do_not_fit_are_refused(network, shape):
    with pytest.raises(InvalidArgumentError, match="frames: expected"):
        FrameVAE(network).encode(torch.zeros(shape))


def test_chunk_is_at_least_one_frame(network):
    with pytest.raises(InvalidArgumentError, match="chunk: expected at least 1, got 0"):
        FrameVAE(network, chunk=0)


def test_infinities_are_not_taken_for_black_and_white():
    network = tiny_models.make_vae()
    picture = torch.zeros(1, 3, 32, 32)
    picture[0, :, 0, :3] = torch.tensor([float("inf"), -float("inf"), float("nan")])
    network.decode = lambda latents: SimpleNamespace(sample=picture)
    frames = FrameVAE(network).decode(torch.zeros(1, 4, 4, 4))
    assert frames[0, 0, :3].isnan().all()
    assert (frames[0, 1:] == 0.5).all()


def test_encoding_that_overflows_in_half_precision_is_done_in_float32(frames):
    network = tiny_models.make_vae().to(torch.bfloat16)
    dtypes = []

    def overflow(module, args, output):
        dtypes.append(output.dtype)
        return output if output.dtype == torch.float32 else output * float("inf")

    network.encoder.register_forward_hook(overflow)
    latents = FrameVAE(network).encode(frames)
    assert latents.isfinite().all()
    assert dtypes == [torch.bfloat16, torch.float32]
    assert network.dtype == torch.bfloat16


# Memory


class SmallMemoryVAE:
    """Runs out of memory above `room` frames."""

    dtype = torch.float32
    device = torch.device("cpu")
    config = SimpleNamespace(block_out_channels=(1, 1))

    def __init__(self, room):
        self.room = room
        self.sizes = []

    def decode(self, latents):
        self.sizes.append(len(latents))
        if len(latents) > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        return SimpleNamespace(sample=latents[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_out_of_memory_halves_the_chunk():
    network = SmallMemoryVAE(room=2)
    latents = torch.rand(7, 4, 2, 2)
    with pytest.warns(UserWarning, match=r"out of memory while decoding: going on with \d frame"):
        frames = FrameVAE(network, chunk=6).decode(latents)
    assert network.sizes == [6, 3, 1, 1, 1, 1, 1, 1, 1]
    assert frames.shape == (7, 4, 4, 3)
    torch.testing.assert_close(frames[:, ::2, ::2], latents[:, :3].movedim(1, -1) / 2 + 0.5)


def test_out_of_memory_where_the_network_knows_no_tiles_is_raised():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        FrameVAE(SmallMemoryVAE(room=0), chunk=1).decode(torch.rand(2, 4, 2, 2))


class Tight:
    """A tiny VAE whose halves run out of memory on pictures of more latents than `room`."""

    def __init__(self, room):
        self.network = tiny_models.make_vae()
        self.inside: list[tuple[int, int]] = []
        self.room = room
        self.network.encoder.register_forward_pre_hook(lambda module, args: self.watch(args[0], 8))
        self.network.decoder.register_forward_pre_hook(lambda module, args: self.watch(args[0], 1))

    def watch(self, batch, factor):
        latents = batch.shape[0] * batch.shape[2] * batch.shape[3] // factor**2
        if latents > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        self.inside.append((batch.shape[2] // factor, batch.shape[3] // factor))


@pytest.mark.parametrize("way", ["encoding", "decoding"])
def test_out_of_memory_goes_on_with_single_frames_and_then_in_tiles(way):
    tight = Tight(room=70)
    vae = FrameVAE(tight.network, chunk=2)
    pictures = torch.rand(2, 128, 160, 3, generator=torch.Generator().manual_seed(0))
    # Trained, so to say, on pictures of 64 pixels, which are its own tiles.
    tiled = FrameVAE(tiny_models.make_vae())
    latents = tiled.encode(pictures)
    tiled.vae.enable_tiling()
    with pytest.warns(UserWarning, match="out of memory") as told:
        result = vae.encode(pictures) if way == "encoding" else vae.decode(latents)
    assert [str(warning.message) for warning in told] == [
        f"out of memory while {way}: going on with 1 frame(s) at once",
        f"out of memory while {way} one frame: going on in tiles of 64 pixels",
    ]
    assert {height for height, _ in tight.inside} == {8, 4}
    assert {width for _, width in tight.inside} == {8, 2}
    torch.testing.assert_close(result, tiled.encode(pictures) if way == "encoding" else tiled.decode(latents))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = FrameVAE(tight.network, chunk=1)
        again.encode(pictures) if way == "encoding" else again.decode(latents)


def test_tiles_become_smaller_while_memory_runs_out():
    tight = Tight(room=64)
    with pytest.warns(UserWarning, match="out of memory while decoding one frame") as told:
        FrameVAE(tight.network, chunk=1).decode(torch.rand(1, 4, 32, 24))
    assert [str(warning.message).split("tiles of ")[1] for warning in told] == ["128 pixels", "64 pixels"]
    assert max(tight.inside) == (8, 8)


def test_out_of_memory_in_the_smallest_tiles_is_raised():
    tight = Tight(room=10)
    with pytest.warns(UserWarning, match="tiles of 64 pixels"), pytest.raises(torch.cuda.OutOfMemoryError):
        FrameVAE(tight.network, chunk=1).decode(torch.rand(1, 4, 16, 16))


def test_tiles_of_ones_own_size():
    tight = Tight(room=64)
    vae = FrameVAE(tight.network)
    vae.work_in_tiles(64)
    pictures = torch.rand(1, 96, 64, 3)
    vae.decode(vae.encode(pictures))
    assert max(tight.inside) == (8, 8)
    for side in (0, 32, 72):
        expected = f"vae_tile: expected a multiple of 32 of at least 64, got {side}"
        with pytest.raises(InvalidArgumentError, match=expected):
            vae.work_in_tiles(side)
    with pytest.raises(ModelError, match="a SmallMemoryVAE cannot work in tiles"):
        FrameVAE(SmallMemoryVAE(1)).work_in_tiles(64)


@pytest.mark.parametrize(("room", "chunk"), [(None, 8), (10**12, 8), (1, 1), (1_400_000, 2)])
def test_chunks_follow_the_free_memory(room, chunk, monkeypatch):
    # The tiny VAE's second block is 4 wide; a frame takes 8 maps of 64 x 64 x 4 float32 values.
    monkeypatch.setattr(vae_module, "free_memory", lambda device: room)
    network = tiny_models.make_vae()
    sizes = []
    network.encoder.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    FrameVAE(network).encode(torch.zeros(10, 64, 64, 3))
    assert max(sizes) == chunk
