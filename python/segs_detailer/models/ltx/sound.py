"""What LTX-2 hears: sound as a spectrogram, encoded by its audio VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.device import execution_device

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from segs_detailer.models.sound import Sound

__all__ = ["LtxEars"]

_WINDOW = 1024
_FLOOR = 1e-5
"""Window of the spectrogram in samples, and its least magnitude: as the audio VAE was trained."""


class LtxEars:
    """The audio VAE of LTX-2, as far as it is needed to hear.

    Parameters
    ----------
    audio_vae : diffusers.AutoencoderKLLTX2Audio
        The network.
    """

    def __init__(self, audio_vae: Any) -> None:
        self.audio_vae = audio_vae

    @property
    def rate(self) -> int:
        """Samples per second that it takes."""
        return int(self.audio_vae.config.sample_rate)

    def tokens(self, seconds: float) -> int:
        """Tokens of a stretch of sound; at least one."""
        config = self.audio_vae.config
        per_second = config.sample_rate / config.mel_hop_length / self.audio_vae.temporal_compression_ratio
        return max(round(float(seconds * per_second)), 1)

    @torch.no_grad()
    def encode(self, sound: Sound, seconds: float) -> Tensor:
        """Latents of the first seconds of a sound, clean and normalized, as the transformer takes them.

        Parameters
        ----------
        sound : Sound
            At the rate of `rate`; what is missing at its end is silence.
        seconds : float
            How much of it.

        Returns
        -------
        Tensor
            `(1, tokens, C)` float32, on the network's device.

        Raises
        ------
        InvalidArgumentError
            It is of another rate.
        """
        if sound.rate != self.rate:
            expected = f"{self.rate} samples per second, as the model hears (resample it)"
            raise InvalidArgumentError("sound", expected, str(sound.rate))
        count = self.tokens(seconds)
        frames = count * int(self.audio_vae.temporal_compression_ratio)
        # One hop for each frame of the spectrogram, the first of them in the middle of its window.
        samples = sound.stretch(0.0, frames * int(self.audio_vae.config.mel_hop_length) / sound.rate).stereo()
        spectrogram = torch.from_numpy(np.stack([self._spectrogram(channel) for channel in samples.cpu().numpy()]))
        place = execution_device(self.audio_vae)
        encoded = self.audio_vae.encode(spectrogram[None, :, :frames].to(place, self.audio_vae.dtype))
        latents: Tensor = encoded.latent_dist.mode()
        packed = latents[:, :, :count].float().transpose(1, 2).flatten(2)
        mean: Tensor = self.audio_vae.latents_mean.to(place, torch.float32)
        std: Tensor = self.audio_vae.latents_std.to(place, torch.float32)
        return (packed - mean) / std

    def _spectrogram(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log magnitudes of mel bands, `(frames, bands)`."""
        from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

        config = self.audio_vae.config
        bands = mel_filter_bank(
            num_frequency_bins=_WINDOW // 2 + 1,
            num_mel_filters=config.mel_bins,
            min_frequency=0.0,
            max_frequency=config.sample_rate / 2,
            sampling_rate=config.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        made: NDArray[np.float32] = spectrogram(
            samples,
            window_function(_WINDOW, "hann"),
            frame_length=_WINDOW,
            hop_length=config.mel_hop_length,
            power=1.0,
            mel_filters=bands,
            mel_floor=_FLOOR,
            log_mel="log",
        )
        return made.T
