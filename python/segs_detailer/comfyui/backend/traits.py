"""What of a graph's model decides how it is sampled.

Classes are known by name: older programs lack some of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from segs_detailer.errors import InvalidArgumentError

__all__ = ["HEARING", "Hears", "ModelTraits", "check_hears"]

Hears: TypeAlias = Literal["ltx", "h3"]
"""Whose layout the sound of a model of pictures and sound has."""

HEARING = "LTX-2 with sound or MiniMax H3"
"""Models that hear, for messages."""

_HEARS: dict[str, Hears] = {"LTXAV": "ltx", "MiniMaxH3": "h3"}
_PICTURES = ("Anima", "CosmosT2IPredict2", "Krea2", "QwenImage")
"""Models of pictures whose VAE is one of clips."""

_TIMES_BY_RATE = ("LTXAV", "LTXV")
"""Models that are told the frame rate."""


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What a model is, as far as sampling asks.

    Parameters
    ----------
    name : str
        Its class, for messages.
    hears : {"ltx", "h3"} or None
        Whose layout the latents of its sound have; None for a model without sound.
    of_pictures : bool
        Whether each frame is a picture of its own to it, whatever its VAE could do.
    reads_mask : bool
        Whether the noise mask is a condition to it: it takes masked latents to be as noisy as the mask says.
    told_rate : bool
        Whether it is told the frame rate.
    token : int
        Latents in a token along each side, where masks and sizes go by tokens.
    """

    name: str
    hears: Hears | None = None
    of_pictures: bool = False
    reads_mask: bool = False
    told_rate: bool = False
    token: int = 1

    @classmethod
    def of(cls, patcher: Any) -> ModelTraits:
        """Read the traits of a `ModelPatcher`."""
        model = getattr(patcher, "model", None)
        names = _class_names(model)
        hears = next((_HEARS[name] for name in names if name in _HEARS), None)
        return cls(
            name=names[0],
            hears=hears,
            of_pictures=any(
                name in _PICTURES for name in (*names, *_class_names(getattr(model, "model_config", None)))
            ),
            reads_mask=hears is not None or _has_own_timesteps(model),
            told_rate=any(name in _TIMES_BY_RATE for name in names),
            token=int(getattr(getattr(model, "diffusion_model", None), "patch_size", (1,))[-1]) if hears == "h3" else 1,
        )

    @property
    def needs_sound(self) -> bool:
        """Whether its latents are never those of pictures alone."""
        return self.hears == "h3"


def check_hears(traits: ModelTraits) -> None:
    """Refuse sound for a model that makes pictures alone.

    Raises
    ------
    InvalidArgumentError
        It does.
    """
    if traits.hears is None:
        raise InvalidArgumentError("audio_opt", f"a model of pictures and sound ({HEARING})", traits.name)


def _class_names(value: object) -> list[str]:
    return [each.__name__ for each in type(value).__mro__]


def _has_own_timesteps(model: object) -> bool:
    """Whether a model makes timesteps of its own: that is what masks are read for."""
    bases = [each for each in type(model).__mro__ if "process_timestep" in vars(each)]
    return len(bases) > 1
