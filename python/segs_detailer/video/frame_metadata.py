"""What frames say beside their pixels: fields, the screen that they were graded on, and what else they carry."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "STEREO",
    "FieldMarker",
    "HdrMetadata",
    "Interlacing",
    "carried_by_frames",
    "has_stereo_mode",
    "hdr_metadata_of",
    "interlacing_of",
    "side_data",
]

# libav's AVFieldOrder; the second letter of its names is not used alike by all programs.
_ORDER_NAMES = ("unknown", "progressive", "tt", "bb", "tb", "bt")
_PROGRESSIVE, _TOP_FIRST, _BOTTOM_FIRST = (0, 1), (2, 4), (3, 5)

# libav's AVMasteringDisplayMetadata: ten rationals, then whether colors and luminance are there.
_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")
# Units of SMPTE ST 2086: chromaticities in 1/50000, luminance in 1/10000 cd/m2.
_COLOR_UNITS = 50_000
_LUMINANCE_UNITS = 10_000
STEREO = "a stereo 3D layout"
"""How frames that hold the pictures of two eyes are named where that is lost."""

# What frames carry that no encoder is given here, by libav's name of its type.
_NOT_WRITTEN = {
    "A53_CC": "closed captions",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
    "ICC_PROFILE": "a color profile",
    "S12M_TIMECODE": "time codes of single frames",
    "SPHERICAL": "a spherical projection",
    "STEREO3D": STEREO,
}


@dataclass(frozen=True, slots=True)
class Interlacing:
    """Frames of two fields that were taken one after the other.

    Parameters
    ----------
    top_field_first : bool
        The field of the first, third, ... row is the earlier one.
    order : int
        libav's `AVFieldOrder`, as the file has it.
    """

    top_field_first: bool
    order: int

    @property
    def name(self) -> str:
        """The order as libav's options call it."""
        return _ORDER_NAMES[self.order]


def interlacing_of(frame: VideoFrame, context: VideoCodecContext) -> Interlacing | None:
    """Read from a decoded frame, or else from its file, how its fields follow each other; None for progressive ones."""
    # Older versions of PyAV do not tell.
    order = int(getattr(context, "field_order", 0))
    if frame.interlaced_frame:
        top = _is_top_first(frame)
        orders = _TOP_FIRST if top else _BOTTOM_FIRST
        return Interlacing(top, order if order in orders else orders[0])
    return None if order in _PROGRESSIVE else Interlacing(order in _TOP_FIRST, order)


def _is_top_first(frame: VideoFrame) -> bool:
    """Ask libavfilter, which reads the flag that PyAV does not show."""
    import av
    from av.filter import Graph

    graph = Graph()
    source = _frame_source(graph, frame)
    choose = graph.add("select", r"eq(interlace_type\,TOPFIRST)")
    sink = graph.add("buffersink")
    source.link_to(choose)
    choose.link_to(sink)
    graph.configure()
    source.push(frame)
    source.push(None)
    try:
        sink.pull()
    except (av.BlockingIOError, av.EOFError):
        return False
    return True


class FieldMarker:
    """Marks frames as interlaced for an encoder, through libavfilter: PyAV shows the flags and cannot set them.

    Parameters
    ----------
    interlacing : Interlacing
        The order of the fields.
    """

    def __init__(self, interlacing: Interlacing) -> None:
        self._mode = "tff" if interlacing.top_field_first else "bff"
        self._ends: tuple[Any, Any] | None = None
        self._graph: Any = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return the same frame with its flags."""
        if self._ends is None:
            self._ends = self._build(frame)
        source, sink = self._ends
        source.push(frame)
        marked: VideoFrame = sink.pull()
        marked.pts, marked.time_base = frame.pts, frame.time_base
        return marked

    def _build(self, frame: VideoFrame) -> tuple[Any, Any]:
        from av.filter import Graph

        # The graph must live as long as what is in it.
        self._graph = Graph()
        source = _frame_source(self._graph, frame)
        marker, sink = self._graph.add("setfield", self._mode), self._graph.add("buffersink")
        source.link_to(marker)
        marker.link_to(sink)
        self._graph.configure()
        return source, sink


def _frame_source(graph: Any, frame: VideoFrame) -> Any:
    return graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base)


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """Static metadata of HDR10, in the units of SMPTE ST 2086 and CTA-861.3.

    Parameters
    ----------
    red, green, blue, white : (int, int) or None
        Chromaticities x and y of the mastering display in 1/50000; None where they are not known.
    luminance : (int, int) or None
        Most and least luminance of the mastering display in 1/10000 cd/m2.
    light : (int, int) or None
        Most light of a pixel (MaxCLL) and of a frame in the mean (MaxFALL) in cd/m2.
    """

    red: tuple[int, int] | None = None
    green: tuple[int, int] | None = None
    blue: tuple[int, int] | None = None
    white: tuple[int, int] | None = None
    luminance: tuple[int, int] | None = None
    light: tuple[int, int] | None = None

    @property
    def has_display(self) -> bool:
        """Whether all of the mastering display is known."""
        return None not in (self.red, self.green, self.blue, self.white, self.luminance)


def side_data(frame: VideoFrame, name: str) -> bytes:
    """Return what comes with a frame under libav's name of its type; nothing where there is none."""
    items: Any = frame.side_data
    return next((bytes(items[index]) for index in range(len(items)) if items[index].type.name == name), b"")


def hdr_metadata_of(frame: VideoFrame) -> HdrMetadata | None:
    """Read the static HDR metadata that comes with a frame; None where there is none."""
    mastering = side_data(frame, "MASTERING_DISPLAY_METADATA")
    light = side_data(frame, "CONTENT_LIGHT_LEVEL")
    found: dict[str, tuple[int, int]] = {}
    if len(mastering) >= _MASTERING.size:
        *numbers, has_colors, has_luminance = _MASTERING.unpack(mastering[: _MASTERING.size])
        values = [n / d if d else 0.0 for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        if has_colors:
            colors = [round(value * _COLOR_UNITS) for value in values[:8]]
            pairs = zip(colors[::2], colors[1::2], strict=True)
            found.update(zip(("red", "green", "blue", "white"), pairs, strict=True))
        if has_luminance:
            least, most = (round(value * _LUMINANCE_UNITS) for value in values[8:])
            found["luminance"] = (most, least)
    if len(light) >= _LIGHT.size and any(_LIGHT.unpack(light[: _LIGHT.size])):
        most_light, mean_light = _LIGHT.unpack(light[: _LIGHT.size])
        found["light"] = (most_light, mean_light)
    return HdrMetadata(**found) if found else None


def has_stereo_mode(stream: VideoStream) -> bool:
    """Whether the layout of two eyes is also in the metadata, from which Matroska's muxer writes it again."""
    return any(key.lower() == "stereo_mode" for key in stream.metadata)


def carried_by_frames(frame: VideoFrame) -> tuple[str, ...]:
    """Names of what a frame carries that is not written again."""
    items: Any = frame.side_data
    present = [items[index].type.name for index in range(len(items))]
    return tuple(dict.fromkeys(_NOT_WRITTEN[name] for name in present if name in _NOT_WRITTEN))
