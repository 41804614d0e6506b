"""Latents of the sound that stands beside a segment's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from segs_detailer.comfyui.backend.telling import tell_once
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.models.sound import Sound

if TYPE_CHECKING:
    from torch import Tensor

    from segs_detailer.comfyui.audio import GraphSound
    from segs_detailer.comfyui.backend.traits import Hears
    from segs_detailer.models.interface import Conditioning

__all__ = ["check_frame_rate", "empty_latents", "sound_latents"]

_TIME_AXIS: dict[Hears, int] = {"ltx": 2, "h3": 3}

# What MiniMax H3 was made for.
_H3_FRAME_RATE, _H3_LATENTS_PER_SECOND, _H3_SAMPLE_RATE = 24, 40, 32000
_H3_CHANNELS, _H3_SIDES = 32, 2

_SPARE_LATENTS = 2
"""Latents more than are needed that are heard, as encoders drop what does not fill their last one."""

_SAME_SPEED = 0.002
"""Change of speed that is none: 23.976 frames per second are 24."""

_AUDIBLE_SPEED = 0.05
"""Change of speed that is worth a word: that between film and television is below it."""

_FINEST_RATIO = 1000
"""Largest denominator of the ratio of two sample rates: a minute is off by less than a tenth of a millisecond."""

_TAIL = 20
"""Share of a second of silence after what is resampled."""


@dataclass(frozen=True, slots=True)
class _Ears:
    """How a VAE hears a number of frames: latents in all and per second, samples per second.

    `speed` is by how much faster than it is the sound is heard, where the model knows one frame rate only.
    """

    count: int
    per_second: float
    rate: int
    speed: float = 1.0


def sound_latents(sound: GraphSound, frames: int, hears: Hears) -> Tensor:
    """Encode what is heard while some frames pass by.

    Parameters
    ----------
    sound : GraphSound
        It begins with the first frame. What it lacks at its end is silence.
    frames : int
        Frames, those that were added to suit the model too.
    hears : {"ltx", "h3"}
        Whose VAE it is.

    Returns
    -------
    Tensor
        `(1, 8, T, bins)` for LTX-2, `(1, 32, 2, T)` for MiniMax H3, float32.

    Raises
    ------
    InvalidTypeError
        The VAE is not that of the model's sound.
    ModelError
        The VAE gave too few latents.
    """
    ears = _h3_ears(sound, frames) if hears == "h3" else _ltx_ears(sound, frames)
    seconds = (ears.count + _SPARE_LATENTS) / ears.per_second
    # What is heard later need not be resampled.
    heard = sound.stretch(0.0, seconds * ears.speed + 1 / ears.per_second)
    latents = _encoded(sound.audio_vae, _resampled(heard, ears).stretch(0.0, seconds))
    _check_layout(latents, hears, sound.audio_vae)
    axis = _TIME_AXIS[hears]
    if latents.shape[axis] < ears.count:
        raise ModelError(
            f"audio_vae: {frames} frames need {ears.count} latents of sound, it gave {latents.shape[axis]}"
        )
    return latents.narrow(axis, 0, ears.count).float().cpu().contiguous()


def empty_latents(frames: int) -> Tensor:
    """Return latents of sound for MiniMax H3, which makes pictures only beside sound: `(1, 32, 2, T)` zeros."""
    return torch.zeros(1, _H3_CHANNELS, _H3_SIDES, _h3_count(frames))


def check_frame_rate(conditioning: Conditioning, frame_rate: float) -> None:
    """Compare the sound's frame rate with the one that conditioning brings for the pictures.

    Raises
    ------
    InvalidArgumentError
        They differ: sound and pictures would not pass by together.
    """
    for entry in conditioning if isinstance(conditioning, (list, tuple)) else ():
        known = entry[1].get("frame_rate")
        if known is not None and abs(float(known) - frame_rate) > _SAME_SPEED * frame_rate:
            expected = f"{float(known):g}, as the conditioning says, for the sound too"
            raise InvalidArgumentError("frame_rate", expected, f"{frame_rate:g}")


def _ltx_ears(sound: GraphSound, frames: int) -> _Ears:
    vae = sound.audio_vae
    # Newer programs have the network in their own VAE class.
    rules: Any = vae if hasattr(vae, "num_of_latents_from_frames") else getattr(vae, "first_stage_model", None)
    if not hasattr(rules, "num_of_latents_from_frames"):
        raise InvalidTypeError("audio_vae", "the audio VAE of LTX-2", _name(vae))
    return _Ears(
        count=max(int(rules.num_of_latents_from_frames(frames, sound.frame_rate)), 1),
        per_second=float(rules.latents_per_second),
        rate=int(rules.sample_rate),
    )


def _h3_ears(sound: GraphSound, frames: int) -> _Ears:
    speed = sound.frame_rate / _H3_FRAME_RATE
    if abs(speed - 1) < _SAME_SPEED:
        speed = 1.0
    elif abs(speed - 1) > _AUDIBLE_SPEED:
        tell_once(
            f"MiniMax H3 knows {_H3_FRAME_RATE} frames per second: of a clip of {sound.frame_rate:g} it hears the "
            f"sound at {1 / speed:.2f} times its speed"
        )
    rate = int(getattr(sound.audio_vae, "audio_sample_rate", _H3_SAMPLE_RATE))
    return _Ears(_h3_count(frames), _H3_LATENTS_PER_SECOND, rate, 1 / speed)


def _h3_count(frames: int) -> int:
    return max(round(frames / _H3_FRAME_RATE * _H3_LATENTS_PER_SECOND), 1)


def _resampled(sound: Sound, ears: _Ears) -> Sound:
    """Bring sound to the VAE's rate, and to the speed at which it is heard."""
    ratio = Fraction(sound.rate * ears.speed / ears.rate).limit_denominator(_FINEST_RATIO)
    if ratio == 1:
        return Sound(sound.samples, ears.rate)
    # The spectrum is cut off, or continued with nothing. It wraps: silence keeps the end from the beginning.
    parts = -(-(sound.samples.shape[1] + sound.rate // _TAIL) // ratio.numerator)
    before, after = parts * ratio.numerator, parts * ratio.denominator
    spectrum = torch.fft.rfft(sound.samples, before)
    return Sound(torch.fft.irfft(spectrum[:, : after // 2 + 1], after) * (after / before), ears.rate)


def _encoded(vae: Any, sound: Sound) -> Tensor:
    waveform = sound.stereo()[None]
    if hasattr(vae, "first_stage_model"):
        latents: Tensor = vae.encode(waveform.movedim(1, -1))
    else:
        latents = vae.encode({"waveform": waveform, "sample_rate": sound.rate})
    return latents


def _check_layout(latents: Tensor, hears: Hears, vae: Any) -> None:
    is_known = latents.ndim == 4 and len(latents) == 1
    if hears == "h3":
        is_known = is_known and tuple(latents.shape[1:3]) == (_H3_CHANNELS, _H3_SIDES)
    if not is_known:
        whose = {"ltx": "LTX-2", "h3": "MiniMax H3"}[hears]
        raise InvalidTypeError(
            "audio_vae", f"the audio VAE of {whose}", f"{_name(vae)}, latents {tuple(latents.shape)}"
        )


def _name(value: object) -> str:
    return f"a {type(value).__name__}"
