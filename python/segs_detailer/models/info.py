"""What a model says of itself: sizes, names, memory, and the settings that its makers would choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.device import execution_device
from segs_detailer.models.samplers.registry import SAMPLERS
from segs_detailer.models.schedules import SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from segs_detailer.models.windows import ContextWindows

__all__ = ["Activations", "FramePacking", "Geometry", "MemoryModel", "ModelInfo", "Recommended"]

Activations: TypeAlias = Callable[[tuple[int, int], int, int], int]
"""`(size, frames, clips) -> bytes`: what networks need beside their weights for clips of that height and width."""


@dataclass(frozen=True, slots=True)
class FramePacking:
    """How many frames each latent of a clip holds.

    Parameters
    ----------
    lead : tuple of int
        Frames of the first latents.
    cycle : tuple of int
        Frames of those that follow, over and over again.

    Raises
    ------
    InvalidArgumentError
        A latent without frames, or an empty cycle.

    Examples
    --------
    A VAE that packs the first frame alone and then four to a latent:

    >>> FramePacking(lead=(1,), cycle=(4,)).counts(3)
    (1, 4, 4)

    One that packs groups of 17 frames as 1, 4, 4, 4, 4, for clips of `17 n + 5` frames:

    >>> FramePacking(lead=(1, 4), cycle=(4, 4, 4, 1, 4)).counts(7)
    (1, 4, 4, 4, 4, 1, 4)
    """

    lead: tuple[int, ...] = ()
    cycle: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not self.cycle or min((*self.lead, *self.cycle)) < 1:
            raise InvalidArgumentError("packing", "latents of at least one frame each", f"{self.lead}, {self.cycle}")

    def counts(self, latents: int) -> tuple[int, ...]:
        """Frames that each of so many latents holds."""
        repeats = -(-max(latents - len(self.lead), 0) // len(self.cycle))
        return (*self.lead, *self.cycle * repeats)[:latents]

    def frames(self, latents: int) -> int:
        """Frames that so many latents hold together."""
        return sum(self.counts(latents))

    def latents(self, frames: int) -> int | None:
        """Latents that hold so many frames; None where their last one would not be full."""
        lead = sum(self.lead)
        counts = self.counts(len(self.lead) + len(self.cycle) * (-(-max(frames - lead, 0) // sum(self.cycle))))
        held = 0
        for number, count in enumerate(counts):
            if held >= frames:
                return number if held == frames else None
            held += count
        return len(counts) if held == frames else None

    def latents_before(self, frame: int) -> int:
        """Latents of whole cycles before a frame: where the latents of a piece begin that begins at that frame."""
        return frame // sum(self.cycle) * len(self.cycle)

    def latent_of_frames(self, latents: int) -> list[int]:
        """Index of the latent that holds each frame of so many latents."""
        return [index for index, count in enumerate(self.counts(latents)) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes that a model can take, and what of a clip it sees together.

    Parameters
    ----------
    size_multiple : int
        Width and height of the frames are multiples of this many pixels.
    frame_step, frame_offset : int
        The number of frames is `frame_step * n + frame_offset`; `4` and `1` for video VAEs that pack four frames.
    min_frames : int
        Fewest frames that the model handles well.
    takes_clips : bool
        Whether `sample` takes several clips of one size at once, `SampleJob.clips`.
    max_frames : int or None
        Most frames that the model takes at once, a number that `frames_for` gives; None for any.
    trained_frames : int or None
        Frames of the longest clips that it was trained on: runs from file to file are cut in pieces of that many, where
        memory has room for more. None for a model that does as well with longer ones.
    max_side : int or None
        Most pixels that a side may have; None for any.
    packing : FramePacking or None
        How many frames each latent holds; None: one each, or what the shape of the latents tells.
    reach : int or None
        Frames on each side that influence a frame: a long clip may be run in pieces that overlap by this many. None for
        a model that looks at all of them.
    windows : ContextWindows or None
        How the model divides what it sees of longer clips; None for one without windows.

    Raises
    ------
    InvalidArgumentError
        The packing does not fit the numbers of frames.
    """

    size_multiple: int = 1
    frame_step: int = 1
    frame_offset: int = 0
    min_frames: int = 1
    takes_clips: bool = False
    max_frames: int | None = None
    trained_frames: int | None = None
    max_side: int | None = None
    packing: FramePacking | None = None
    reach: int | None = None
    windows: ContextWindows | None = None

    def __post_init__(self) -> None:
        packing = self.packing
        # Pieces begin at whole steps: there the latents of the clip must begin a cycle.
        if packing is not None and (
            self.frame_step % sum(packing.cycle) or packing.latents(self.frame_offset or self.frame_step) is None
        ):
            expected = f"latents that hold {self.frame_step} n + {self.frame_offset} frames"
            raise InvalidArgumentError("packing", expected, f"{packing.lead}, {packing.cycle}")

    @property
    def window(self) -> int | None:
        """Frames that the model sees at once, of clips that are longer; None where there are no windows."""
        return None if self.windows is None else self.windows.length

    def frames_for(self, frames: int) -> int:
        """Smallest number of frames the model takes that is not below `frames`."""
        wanted = max(frames, self.min_frames) - self.frame_offset
        return -(-wanted // self.frame_step) * self.frame_step + self.frame_offset

    def within(self, other: Geometry) -> Geometry:
        """Return the same geometry for a model that shares its latents with another, within the limits of both."""
        return replace(
            self,
            max_frames=_lower(self.max_frames, other.max_frames),
            trained_frames=_lower(self.trained_frames, other.trained_frames),
            max_side=_lower(self.max_side, other.max_side),
            reach=None if self.reach is None or other.reach is None else self.reach + other.reach,
        )


def _lower(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


_NOT_SETTINGS = ("shift", "reasons")
"""What of a recommendation is no setting of the detailer."""


def _no_activations(size: tuple[int, int], frames: int, clips: int) -> int:
    del size, frames, clips
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class MemoryModel:
    """Memory that a model takes, beside the frames and their latents. By default there are no networks, and it is none.

    Parameters
    ----------
    networks : tuple of torch.nn.Module
        All networks of the model, text encoders and VAE among them. They are looked at when they are asked about, as
        they may move.
    activations : callable
        See `Activations`: what the networks need while they work, wherever they are.
    coming : tuple of torch.nn.Module
        Outlines, on the device "meta", of networks that are not read yet and will lie on the accelerator.
    """

    networks: tuple[torch.nn.Module, ...] = ()
    activations: Activations = _no_activations
    coming: tuple[torch.nn.Module, ...] = ()

    def beside(self, other: MemoryModel) -> MemoryModel:
        """Memory of two models that work one after the other; networks that both have count once."""

        def larger(size: tuple[int, int], frames: int, clips: int) -> int:
            return max(self.activations(size, frames, clips), other.activations(size, frames, clips))

        return MemoryModel((*self.networks, *other.networks), larger, (*self.coming, *other.coming))

    @property
    def weights(self) -> int:
        """Bytes of weights that lie in the computer's own memory."""
        # Weights on "meta" are those that are brought to the GPU layer by layer: they lie in memory as well.
        return sum(part.nbytes for part in self._tensors() if part.device.type in ("cpu", "meta"))

    @property
    def accelerator(self) -> int:
        """Bytes of weights on the accelerator at once, at most: those that lie there, and the largest that is brought.

        Of a network that comes in parts, all of it is counted.
        """
        there = sum(part.nbytes for part in self._tensors() if part.device.type not in ("cpu", "meta"))
        there += sum(part.nbytes for network in self.coming for part in _weights(network))
        brought = [network for network in self.networks if _is_brought(network)]
        return there + max((sum(part.nbytes for part in _weights(network)) for network in brought), default=0)

    @property
    def on_accelerator(self) -> bool:
        """Whether a GPU, or the like, holds weights: then the networks work there."""
        return any(part.device.type not in ("cpu", "meta") for part in self._tensors())

    def _tensors(self) -> Iterator[torch.Tensor]:
        """Weights and buffers, each once."""
        found = {id(part): part for network in self.networks for part in _weights(network)}
        yield from found.values()


def _is_brought(network: torch.nn.Module) -> bool:
    """Whether offload hooks bring a network to an accelerator while it works."""
    parts = list(_weights(network))
    if not parts or any(part.device.type not in ("cpu", "meta") for part in parts):
        return False
    return execution_device(network).type not in ("cpu", "meta")


def _weights(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """Settings of the detailer that suit a family, by the names of `DetailerSettings`; None: the detailer's default.

    Parameters
    ----------
    steps, cfg, sampler_name, scheduler, denoise, guide_size, max_size
        See `DetailerSettings`.
    shift : float or None
        Shift of a flow's noise levels. It belongs to the model and not to the detailer: this is the one that the model
        was loaded with.
    reasons : tuple of (str, str)
        Names of settings, and what they are recommended for, where that is not the family as a whole.
    """

    steps: int | None = None
    cfg: float | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    denoise: float | None = None
    guide_size: float | None = None
    max_size: float | None = None
    shift: float | None = None
    reasons: tuple[tuple[str, str], ...] = ()

    def settings(self) -> dict[str, Any]:
        """List the settings of the detailer for which there is a recommendation, by their names."""
        named = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _NOT_SETTINGS}
        return {name: value for name, value in named.items() if value is not None}

    def changed_by(self, other: Recommended, reason: str) -> Recommended:
        """Return these with those of `other` in their place, and what that is for."""
        values = other.settings()
        return replace(self, **values, reasons=(*self.reasons, *((name, reason) for name in values)))

    def reason(self, name: str, family: str) -> str:
        """Say what a setting is recommended for: the family unless something else says more."""
        return dict(self.reasons).get(name, family)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a model says of itself.

    Parameters
    ----------
    family : str
        Name of its family, for messages.
    geometry : Geometry
        Sizes and numbers of frames.
    sampler_names, scheduler_names : tuple of str
        Samplers and schedules that it takes; by default all of this package.
    conditioning : frozenset of str
        Options of conditioning entries that it honors.
    prompts : bool
        Whether `Sampler.conditioning` encodes text.
    memory : MemoryModel
        What it takes of the memory.
    recommended : Recommended
        Settings that suit it.
    references : bool
        Whether it keeps to pictures of a subject that `Sampler.with_image_prompt` shows it, without any adapter: then
        it is shown the best frame where the user names none.
    sound_rate : int or None
        Samples per second of the sound that it hears, in stereo; None for a model that hears nothing.
    note : str or None
        What a user must be told about every result of it.
    """

    family: str
    geometry: Geometry = Geometry()
    sampler_names: tuple[str, ...] = field(default_factory=lambda: tuple(SAMPLERS))
    scheduler_names: tuple[str, ...] = field(default_factory=lambda: tuple(SCHEDULES))
    conditioning: frozenset[str] = frozenset()
    prompts: bool = False
    references: bool = False
    memory: MemoryModel = MemoryModel()
    recommended: Recommended = Recommended()
    sound_rate: int | None = None
    note: str | None = None
