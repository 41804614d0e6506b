from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import tiny_models
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.sampling.diffusers.vae import FrameVAE


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


class SmallMemoryVAE:
    """Runs out of memory above `room` frames, and on every whole frame until it tiles where `room` is 0."""

    dtype = torch.float32
    device = torch.device("cpu")
    config = SimpleNamespace(block_out_channels=(1, 1))

    def __init__(self, room):
        self.room = room
        self.use_tiling = False
        self.sizes = []

    def enable_tiling(self):
        self.use_tiling = True

    def decode(self, latents):
        self.sizes.append(len(latents))
        if len(latents) > self.room and not self.use_tiling:
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


def test_out_of_memory_with_one_frame_works_in_tiles():
    network = SmallMemoryVAE(room=0)
    with pytest.warns(UserWarning, match="going on in tiles"):
        frames = FrameVAE(network, chunk=1).decode(torch.rand(2, 4, 2, 2))
    assert network.use_tiling
    assert len(frames) == 2


def test_out_of_memory_in_tiles_is_raised():
    network = SmallMemoryVAE(room=0)
    network.use_tiling = True
    network.decode = lambda latents: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("no room"))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        FrameVAE(network, chunk=1).decode(torch.rand(2, 4, 2, 2))
