"""What is heard while the crops of a piece pass by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.video.samples import read_samples

if TYPE_CHECKING:
    from segs_detailer.models.info import ModelInfo
    from segs_detailer.models.sound import Sound
    from segs_detailer.video.clip import ClipInfo

__all__ = ["ClipSound"]


@dataclass(frozen=True, slots=True)
class ClipSound:
    """The sound of a clip, for a model that hears.

    Parameters
    ----------
    clip : ClipInfo
        The clip.
    rate : int
        Samples per second that the model takes.
    """

    clip: ClipInfo
    rate: int

    @classmethod
    def of(cls, clip: ClipInfo, model: ModelInfo) -> ClipSound:
        """Find the sound of a clip.

        Raises
        ------
        InvalidArgumentError
            The model hears nothing, or there is nothing to hear.
        """
        if model.sound_rate is None:
            expected = "a model that hears, such as LTX-2 with its audio_vae"
            raise InvalidArgumentError("follow_sound", expected, model.family)
        if not clip.audio_streams:
            raise InvalidArgumentError("follow_sound", "a clip with sound", f"{clip.path}, which has none")
        return cls(clip, model.sound_rate)

    def between(self, low: int, high: int) -> Sound:
        """Return what is heard from frame `low` up to `high`."""
        import torch

        from segs_detailer.models.sound import Sound

        start, end = (float(self.clip.times[place] * self.clip.time_base) for place in (low, high))
        return Sound(torch.from_numpy(read_samples(self.clip.path, self.rate, start, end - start)), self.rate)
