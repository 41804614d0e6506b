"""Sound for the detailing nodes, so that mouths fit what is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from segs_detailer.checks import number, shown
from segs_detailer.comfyui.inputs import float_input
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, unknown_name
from segs_detailer.models.sound import Sound
from segs_detailer.nodes.declaration import COMBO, Input, Node, Output

__all__ = ["AUDIO", "AUDIO_NODES", "MODES", "GraphSound", "audio_of", "make_audio"]

AUDIO = "SEGS_DETAILER_AUDIO"
"""Type of the sockets."""

MODES = ("hold", "generate")
"""What becomes of the sound: it stays as it is, or is made anew with the pictures, and thrown away."""

_LEAST_RATE, _HIGHEST_RATE = 1.0, 240.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GraphSound(Sound):
    """Sound with what a graph's model needs to hear it. It begins with the clip's first frame.

    Parameters
    ----------
    samples, rate
        See `Sound`.
    audio_vae : object
        The VAE of the model's sound.
    frame_rate : float
        Frames per second of the clip.
    mode : {"hold", "generate"}
        See `MODES`.
    """

    audio_vae: Any
    frame_rate: float
    mode: str = MODES[0]

    @property
    def is_held(self) -> bool:
        """Whether the sound stays as it is."""
        return self.mode == MODES[0]


def make_audio(audio: Any, audio_vae: Any, frame_rate: float, mode: str) -> tuple[GraphSound]:
    """Bind a sound to its VAE and to the clip's frames.

    Parameters
    ----------
    audio : dict
        ComfyUI's AUDIO: `waveform`, `(1, channels, n)`, and `sample_rate`.
    audio_vae : object
        The VAE of the model's sound.
    frame_rate : float
        Frames per second of the clip, 1 to 240.
    mode : {"hold", "generate"}
        See `MODES`.

    Returns
    -------
    tuple of GraphSound
        For `audio_opt` of the detailing nodes.

    Raises
    ------
    InvalidTypeError, InvalidArgumentError
        No sound or no VAE; a frame rate out of range, or another mode.
    """
    if not isinstance(audio, Mapping) or not isinstance(audio.get("waveform"), Tensor) or "sample_rate" not in audio:
        raise InvalidTypeError("audio", "AUDIO, with waveform and sample_rate", shown(audio))
    waveform = audio["waveform"]
    if waveform.ndim != 3 or len(waveform) != 1 or not waveform.shape[1]:
        raise InvalidArgumentError("audio", "one waveform (1, channels, n)", f"shape {tuple(waveform.shape)}")
    if not hasattr(audio_vae, "encode"):
        raise InvalidTypeError("audio_vae", "the VAE of the model's sound", shown(audio_vae))
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    sound = GraphSound(
        samples=waveform[0].detach().float().cpu(),
        rate=int(audio["sample_rate"]),
        audio_vae=audio_vae,
        frame_rate=number("frame_rate", frame_rate, least=_LEAST_RATE, most=_HIGHEST_RATE),
        mode=mode,
    )
    return (sound,)


def audio_of(value: Any) -> GraphSound | None:
    """Check what stands on `audio_opt`.

    Raises
    ------
    InvalidTypeError
        It is something else.
    """
    if value is None or isinstance(value, GraphSound):
        return value
    raise InvalidTypeError("audio_opt", "what Audio for Detailer gives", type(value).__name__)


AUDIO_NODES: tuple[Node, ...] = (
    Node(
        id="SegsDetailerAudio",
        display_name="Audio for Detailer",
        description="Lets a model that makes pictures and sound together (LTX-2, MiniMax H3) hear the clip while it "
        "repaints, so that mouths fit what is said.",
        search_aliases=("lip sync", "lip-sync", "talking", "sound", "soundtrack", "LTXVAudioVAEEncode"),
        inputs=(
            Input(
                name="audio", type="AUDIO", tooltip="The clip's sound; it begins with the first frame of image_frames."
            ),
            Input(name="audio_vae", type="VAE", tooltip="The VAE of the model's sound."),
            float_input("frame_rate", "Frames per second of the clip.", 24.0, _LEAST_RATE, _HIGHEST_RATE, 0.001),
            Input(
                name="mode",
                type=COMBO,
                tooltip="hold: the sound stays as it is, and the pictures follow it. generate: it is made anew from "
                "this one together with the pictures, as far as denoise says, and thrown away.",
                choices=lambda: MODES,
            ),
        ),
        outputs=(Output(name="audio_opt", type=AUDIO, tooltip="For audio_opt of the detailing nodes."),),
        function=make_audio,
    ),
)
"""What makes sound heard."""
