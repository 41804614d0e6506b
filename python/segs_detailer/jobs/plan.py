"""What a run does, before it does it: tracks, crops, sizes, pieces, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segs_detailer.crop_path import place_of, quad_at
from segs_detailer.detailer.denoise_by_size import FrameDenoise
from segs_detailer.detailer.settings import DetailerSettings
from segs_detailer.detailer.subject_settings import SubjectName, SubjectSettings
from segs_detailer.segs import SEG
from segs_detailer.subjects.mask_filter import filtered_part
from segs_detailer.subjects.path import path_of_clip
from segs_detailer.subjects.shapes import track_masks
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segs_detailer.crop_path import CropPath
    from segs_detailer.jobs.pieces import Piece
    from segs_detailer.jobs.used_settings import UsedSetting
    from segs_detailer.segs import Box
    from segs_detailer.subjects.mask_filter import MaskFilter
    from segs_detailer.subjects.selection import Step
    from segs_detailer.subjects.settings import CropSettings
    from segs_detailer.subjects.track import Track
    from segs_detailer.video.clip import ClipInfo

__all__ = ["ChosenTrack", "ClipPlan", "DiskPlan", "MemoryPlan", "TrackPlan"]


@dataclass(frozen=True, slots=True)
class ChosenTrack:
    """A track to detail, and how it is cropped.

    Parameters
    ----------
    track : Track
        The subject. Its id is the number that users know it by, from 1.
    crop : CropSettings
        How its crop follows it.
    """

    track: Track
    crop: CropSettings


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """One track: where it is cropped, at which size it is worked on, and in which pieces.

    Parameters
    ----------
    index : int
        Place in the plan, from 0.
    track : Track
        The subject.
    span : (int, int)
        First frame in which anything is pasted, and the frame after the last.
    path : CropPath
        Region and alpha of each frame of `span`.
    bbox : (int, int, int, int)
        Box of the subject for the guide size, in the frame of the tuple that `path` is.
    size : (int, int)
        Height and width of the crops while they are worked on.
    scaled : bool
        False where that is the crops' own size.
    pieces : tuple of Piece
        In the order of their frames. Where the subject is away for long, there are none.
    crop : CropSettings
        How the path was made.
    masks : MaskFilter
        What is done to the masks.
    frame_size : (int, int)
        Height and width of the clip's frames.
    frame_count : int
        Number of the clip's frames.
    own : SubjectSettings
        What the subject has otherwise than the others.
    used : tuple of UsedSetting
        Settings that its own LoRAs recommend.
    detail : DetailerSettings
        How it is repainted: all settings that there are.
    denoise : tuple of float or None
        How far each frame of `span` is repainted, where that is by the subject's size.
    windows : int or None
        Context windows of a motion model over all pieces; None for models without, and as long as there are no pieces.
    """

    index: int
    track: Track
    span: tuple[int, int]
    path: CropPath
    bbox: Box
    size: tuple[int, int]
    scaled: bool
    pieces: tuple[Piece, ...]
    crop: CropSettings
    masks: MaskFilter
    frame_size: tuple[int, int]
    frame_count: int
    own: SubjectSettings = field(default_factory=SubjectSettings)
    used: tuple[UsedSetting, ...] = ()
    detail: DetailerSettings = field(default_factory=DetailerSettings)
    denoise: tuple[float, ...] | None = None
    windows: int | None = None

    @property
    def name(self) -> SubjectName:
        """What it is known by."""
        return SubjectName(self.number, self.track.label, self.track.identity)

    @property
    def denoise_range(self) -> tuple[float, float] | None:
        """How much of it is repainted, at least and at most; None where `sigma_start` says it."""
        if self.detail.sigma_start is not None:
            return None
        values = self.denoise or (self.detail.sampling.denoise,)
        return min(values), max(values)

    @property
    def seen(self) -> int:
        """Number of the frames of its span in which it was found."""
        first, end = self.span
        frames = self.track.frames
        return int(((frames >= first) & (frames < end)).sum())

    @property
    def moves(self) -> bool:
        """Whether its crop moves or turns."""
        path = self.path
        return bool((path.regions != path.regions[0]).any() or (path.angles != path.angles[0]).any())

    @property
    def turns(self) -> bool:
        """Whether its crop is turned, so that the subject stands upright in it."""
        return self.path.is_turned

    @property
    def number(self) -> int:
        """What users call it, wherever tracks have numbers: the same whichever others are detailed."""
        return self.track.id

    @property
    def label(self) -> str:
        """What it is."""
        return self.track.label

    @property
    def identity(self) -> str:
        """Who or what it is; empty where that is not known."""
        return self.track.identity

    @property
    def seg(self) -> SEG:
        """The track as a segment of the clip, without masks."""
        confidence = self.track.confidence
        mean = float(confidence.mean()) if len(confidence) else 1.0
        return SEG(None, None, mean, tuple(self.path), self.bbox, self.track.label)  # type: ignore[arg-type]

    @property
    def scale(self) -> float:
        """How much larger the crops are while they are worked on."""
        return self.size[1] / self.path.size[1]

    def region(self, frame: int) -> tuple[float, float, float, float]:
        """`(x1, y1, x2, y2)` of the crop, as if it were not turned, in a frame of the clip, within `span`."""
        x1, y1, x2, y2 = self.path.regions[frame - self.span[0]].tolist()
        return x1, y1, x2, y2

    def angle(self, frame: int) -> float:
        """Degrees by which the crop is turned clockwise about its middle in a frame of the clip, within `span`."""
        return float(self.path.angles[frame - self.span[0]])

    def place(self, frame: int) -> NDArray[Any]:
        """Return where the crop lies in one frame, as `crop_frames` and `paste_` take it."""
        place: NDArray[Any] = place_of(self.path.part(frame - self.span[0], frame - self.span[0] + 1))
        return place

    def quad(self, frame: int) -> list[tuple[float, float]]:
        """Corners of the crop as it is turned, from its own top left clockwise, in a frame within `span`."""
        return quad_at(self.path, frame - self.span[0])

    def alpha(self, frame: int) -> float:
        """How much is pasted in a frame of the clip; 0 outside `span`."""
        first, end = self.span
        return float(self.path.alpha[frame - first]) if first <= frame < end else 0.0

    def masks_of(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Make the masks of some frames of the clip, within `span`.

        Parameters
        ----------
        start, stop : int
            First frame, and the frame after the last.

        Returns
        -------
        ndarray
            `(stop - start, h, w)` uint8, in the crop's size.
        """
        whole = path_of_clip(self.path, self.span[0], self.frame_count)

        def drawn(low: int, high: int) -> NDArray[np.uint8]:
            return track_masks(self.track, whole, low, high, self.frame_size, self.crop)

        return filtered_part(drawn, start, stop, self.frame_count, self.masks)

    def detail_of(self, piece: Piece) -> DetailerSettings:
        """How a piece is repainted: by the subject's size in its frames, where that is asked for."""
        if self.denoise is None:
            return self.detail
        first = self.span[0]
        return self.detail.with_denoise(*FrameDenoise.of(self.denoise[piece.low - first : piece.high - first]))

    def with_pieces(self, pieces: tuple[Piece, ...]) -> TrackPlan:
        """Return the same plan, cut into other pieces."""
        return replace(self, pieces=pieces)

    def pieces_at(self, frame: int) -> list[Piece]:
        """Pieces that have a share in a frame: one, two where they cross-fade, none where the track is away."""
        return [piece for piece in self.pieces if piece.low <= frame < piece.high and piece.weight(frame) > 0]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of memory that a run takes at most.

    Parameters
    ----------
    program : int
        The interpreter and the libraries.
    models : int
        Models in the computer's own memory.
    streams : int
        Decoders, encoders and the frames in them.
    sampling : int
        The largest piece, or group of pieces, while it is sampled.
    accelerator : int
        Bytes on a GPU: its weights, and what they compute for the largest piece, as the family estimates it; no part of
        the total, and held to no limit. 0 where nothing works there.
    held : int
        Decoded frames that wait for their pieces, where the clip is read once for crops and output; 0 where it is read
        twice.
    """

    program: int
    models: int
    streams: int
    sampling: int
    accelerator: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """Everything together."""
        return self.program + self.models + self.streams + self.sampling + self.held


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """Bytes on disk, beside the output.

    Parameters
    ----------
    crops : int
        Crops at once, at most.
    results : int
        Sampled crops.
    """

    crops: int
    results: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.crops + self.results


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """What a run does.

    Parameters
    ----------
    info : ClipInfo
        The clip.
    tracks : tuple of TrackPlan
        Its tracks.
    groups : tuple of tuple of Piece
        All pieces, in the order in which they are sampled; those of one group together.
    memory : MemoryPlan
        Memory that it takes.
    owners : tuple of int
        Indices of the tracks in the order in which they own pixels that several cover.
    warnings : tuple of str
        What a user should know before; without a full stop.
    disk : DiskPlan
        Disk that it takes.
    done : int
        Pieces whose results are in the cache.
    nothing_found : str
        Why there is no track, where there is none.
    used : tuple of UsedSetting
        Settings that a model may recommend, as they hold, and why; empty for one without networks.
    start : str
        Which noise level the run starts from, where that says something.
    found : tuple of Track
        All that was found; their ids are their numbers.
    steps : tuple of Step
        What each criterion left that says which of them are meant; empty where all are.
    held_frames : int
        Decoded frames that wait for their pieces at most; 0 where the clip is read twice.
    copied_frames : int
        Frames that an output like the clip would take over as they are, where that is asked for.
    """

    info: ClipInfo
    tracks: tuple[TrackPlan, ...]
    groups: tuple[tuple[Piece, ...], ...]
    memory: MemoryPlan
    owners: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    disk: DiskPlan = DiskPlan(0, 0)
    done: int = 0
    nothing_found: str = ""
    used: tuple[UsedSetting, ...] = ()
    start: str = ""
    found: tuple[Track, ...] = ()
    steps: tuple[Step, ...] = ()
    held_frames: int = 0
    copied_frames: int = 0

    @property
    def reads_once(self) -> bool:
        """Whether frames are held until their pieces are sampled, so that the clip is decoded only once."""
        return self.held_frames > 0

    def is_touched(self, frame: int) -> bool:
        """Whether something is pasted into a frame."""
        return any(track.alpha(frame) > 0 and track.pieces_at(frame) for track in self.tracks)

    @property
    def selected(self) -> Tracks:
        """The tracks that are meant, for a file: a run over it does the same."""
        kept = tuple(track for track in self.found if not self.steps or track.id in self.steps[-1].leaves)
        count = max((track.span[1] for track in kept), default=0)
        return Tracks(self.info.size, max(self.info.frames, count), kept)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces, in the order in which they are sampled."""
        return tuple(piece for group in self.groups for piece in group)
