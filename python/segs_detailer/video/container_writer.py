"""Writing video files through PyAV, with all that goes along with the picture in the clip they were made from."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from .._native import cpu_has_avx512
from ..errors import InvalidArgumentError, MediaError
from .colour import RgbToFrame, sample_bits
from .companions import Companions
from .container_reader import import_av
from .partial import PartialFile
from .transparency import has_alpha, set_alpha

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from av.codec import Codec
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from .clip import ClipInfo

__all__ = ["ContainerSink", "EncoderSettings", "can_write_container"]

# Encoder for each codec that can be written, in the order of preference.
_ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264",),
    "hevc": ("libx265",),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx",),
    "av1": ("libsvtav1", "libaom-av1"),
    "prores": ("prores_ks",),
    "gif": (),
}
_FALLBACK_ENCODER = "libx264"
# Constant quality that is hard to tell from the input, and its place in each encoder's own scale.
_DEFAULT_CRF = {
    "libx264": 16,
    "libx264rgb": 16,
    "libx265": 18,
    "libvpx-vp9": 22,
    "libvpx": 8,
    "libsvtav1": 20,
    "libaom-av1": 20,
}
_CRF_RANGE = {
    "libx264": 51,
    "libx264rgb": 51,
    "libx265": 51,
    "libvpx-vp9": 63,
    "libvpx": 63,
    "libsvtav1": 63,
    "libaom-av1": 63,
}
# With AVX-512, the look-ahead of x264 (core 165 and before) reads memory that was never set where a row of macroblocks
# is no multiple of its vectors: the same frames give other files from one time to the next.
_X264_WITHOUT_AVX512 = "asm=AVX2"
_ENCODER_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "fast"},
    "libx264rgb": {"preset": "fast"},
    "libx265": {"preset": "medium", "x265-params": "log-level=error"},
    "libvpx-vp9": {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "libvpx": {"b": "50M", "deadline": "good", "cpu-used": "4"},
    "libsvtav1": {"preset": "8"},
    "libaom-av1": {"cpu-used": "6", "row-mt": "1"},
}
# libsvtav1 tells of itself on the terminal; errors alone, unless the user has set this variable of its own.
_SVT_LOG, _SVT_ERRORS = "SVT_LOG", "1"
# Quantiser range of the encoders that have no constant quality.
_QUANTISER_RANGE = (1, 3)
_QUANTISER_ENCODERS = ("mpeg4", "mjpeg", "mpeg2video", "mpeg1video", "msmpeg4", "flv")
# MPEG-4 part 2 stores the denominator of its time base in 16 bits.
_MPEG4_CLOCK = 65_535
_HEVC_APPLE_TAG = "hvc1"


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How a video file is encoded.

    Parameters
    ----------
    codec : str or None
        Name of a codec or of an encoder, such as `h264` or `libx265`; None keeps the input's codec where the file can
        hold it.
    crf : float or None
        Constant quality in the encoder's own scale, smaller is better; None is close to lossless to the eye.
    pix_fmt : str or None
        Pixel format; None keeps the input's where the encoder has it.
    options : dict
        More options of the encoder, by its own names.
    threads : int
        Encoder threads; 0 leaves the number to the encoder.
    """

    codec: str | None = None
    crf: float | None = None
    pix_fmt: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    threads: int = 0


def can_write_container(path: Path) -> bool:
    """Whether the suffix of `path` names a video format that can be written."""
    av = import_av()
    try:
        container_format = av.ContainerFormat(_format_name(path), "w")
    except ValueError:
        return False
    return bool(container_format.is_output)


_FORMAT_OF_SUFFIX = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".apng": "apng",
}


def _format_name(path: Path) -> str:
    return _FORMAT_OF_SUFFIX.get(path.suffix.lower(), "")


def _encoder_names(codec: str) -> tuple[str, ...]:
    return _ENCODERS.get(codec, (codec,))


def _find_encoder(name: str) -> Codec | None:
    av = import_av()
    for candidate in _encoder_names(name):
        try:
            encoder: Codec = av.codec.Codec(candidate, "w")
        except (av.codec.codec.UnknownCodecError, ValueError):
            continue
        if encoder.type == "video":
            return encoder
    return None


def _choose_encoder(settings: EncoderSettings, info: ClipInfo, container: OutputContainer, path: Path) -> Codec:
    supported = container.supported_codecs
    if settings.codec is not None:
        encoder = _find_encoder(settings.codec)
        if encoder is None:
            usual = {name for names in _ENCODERS.values() for name in names} | {"ffv1", "mjpeg", "mpeg4"}
            known = ", ".join(sorted(name for name in usual if _find_encoder(name) is not None))
            raise InvalidArgumentError("codec", f"a video encoder, such as {known}", repr(settings.codec))
        if supported and encoder.canonical_name not in supported:
            raise MediaError(
                f"{path}: a {path.suffix} file cannot hold {encoder.canonical_name}: choose .mkv or another codec"
            )
        return encoder
    wanted = [info.codec or "h264", container.default_video_codec, "h264", "vp9"]
    for name in wanted:
        encoder = _find_encoder(name)
        if encoder is not None and (not supported or encoder.canonical_name in supported):
            return encoder
    raise MediaError(f"{path}: no encoder for {path.suffix} files is available: choose .mp4 or .mkv")


def _choose_pix_fmt(settings: EncoderSettings, info: ClipInfo, encoder: Codec) -> str:
    from av.video.format import VideoFormat

    offered = [pixel_format.name for pixel_format in encoder.video_formats or []]
    if settings.pix_fmt is not None:
        if offered and settings.pix_fmt not in offered:
            raise InvalidArgumentError(
                "pix_fmt", f"one of {encoder.name}'s: {', '.join(offered)}", repr(settings.pix_fmt)
            )
        return settings.pix_fmt
    source = info.pix_fmt or "yuv420p"
    if not offered or source in offered:
        wanted = source
    else:
        preferred = ["yuv420p", "yuv422p", "yuv444p", *offered]
        if info.bits > 8:
            preferred = ["yuv420p10le", "yuv422p10le", "yuv444p10le", *preferred]
        if VideoFormat(source).is_rgb:
            preferred = ["rgb24", "gbrp10le" if info.bits > 8 else "gbrp", "bgr0", *preferred]
        possible = [name for name in preferred if name in offered]
        wanted = _alike(source, possible) or possible[0]
    if info.kind != "video" and _has_odd_side(info) and "yuv444p" in offered:
        # Only full chroma can show an odd size in every player.
        return "yuv444p"
    return wanted


def _alike(source: str, possible: list[str]) -> str | None:
    """First format with the chroma and the transparency of a YUV one, and 10 bits or more where that has them."""
    from av.video.format import VideoFormat

    def kind(pixel_format: VideoFormat) -> tuple[object, ...]:
        chroma = pixel_format.chroma_width(64), pixel_format.chroma_height(64)
        return pixel_format.is_rgb, len(pixel_format.components), chroma

    wanted = VideoFormat(source)
    least = min(10, sample_bits(wanted))
    formats = [VideoFormat(name) for name in possible] if not wanted.is_rgb else []
    alike = [each for each in formats if kind(each) == kind(wanted) and sample_bits(each) >= least]
    return min(alike, key=sample_bits).name if alike else None


def _has_odd_side(info: ClipInfo) -> bool:
    return any(side % 2 for side in info.size)


class ContainerSink:
    """Writes one video file; leaving it with an exception leaves no file.

    Parameters
    ----------
    path : Path
        The file; its suffix says the format.
    info : ClipInfo
        The clip that the frames come from: size, times, codec, pixel format and colour are taken from it, and
        subtitles, chapters, attachments and metadata of its file are copied, see `Companions`.
    settings : EncoderSettings
        How to encode.
    keep_audio : bool
        Copy the audio streams of `info.path` too, packet by packet.

    Raises
    ------
    MediaError
        The file cannot be made, or cannot hold the sound.
    """

    def __init__(self, path: Path, info: ClipInfo, settings: EncoderSettings, *, keep_audio: bool = True) -> None:
        self._path = path
        self._info = info
        self._partial = PartialFile(path)
        self._companions: Companions | None = None
        self._lost_alpha = False
        self._container: OutputContainer | None = None
        with contextlib.ExitStack() as undo:
            # Whatever stops it, Ctrl-C too, nothing half-made remains.
            undo.callback(self._abort)
            self._open(settings, keep_audio=keep_audio)
            undo.pop_all()

    def _open(self, settings: EncoderSettings, *, keep_audio: bool) -> None:
        av = import_av()
        try:
            faststart = {"movflags": "+faststart"} if self._path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
            self._container = av.open(
                f"file:{self._partial.path}", "w", format=_format_name(self._path) or None, container_options=faststart
            )
            self._stream = self._add_video(self._container, settings)
            if self._info.kind == "video":
                self._companions = Companions(
                    self._info.path, self._container, self._stream, self._path, keep_audio=keep_audio
                )
            self._container.start_encoding()
        except (MediaError, InvalidArgumentError):
            raise
        except (av.FFmpegError, ValueError, OSError) as error:
            raise self._write_error(error) from error

    def _write_error(self, error: Exception) -> MediaError:
        reason = getattr(error, "strerror", None) or error
        return MediaError(f"{self._path}: cannot be written ({reason}): choose another format, codec or place")

    def _add_video(self, container: OutputContainer, settings: EncoderSettings) -> VideoStream:
        encoder = _choose_encoder(settings, self._info, container, self._path)
        pix_fmt = _choose_pix_fmt(settings, self._info, encoder)
        rgb_encoder = _find_encoder("libx264rgb")
        if encoder.name == "libx264" and self._info.codec == "h264" and self._info.pix_fmt == "gbrp" and rgb_encoder:
            encoder, pix_fmt = rgb_encoder, "rgb24"
        if encoder.name == "libsvtav1":
            os.environ.setdefault(_SVT_LOG, _SVT_ERRORS)
        stream = cast("VideoStream", container.add_stream(encoder.name, rate=self._info.rate))
        context = stream.codec_context
        context.height, context.width = self._info.size
        context.pix_fmt = pix_fmt
        context.thread_count = settings.threads
        if encoder.name not in ("prores_ks",):
            context.thread_type = "AUTO"
        context.sample_aspect_ratio = self._info.sample_aspect_ratio
        self._clock = self._choose_clock(encoder.name)
        context.time_base = self._clock
        stream.time_base = self._clock
        tags = self._info.colour
        if not context.format or not context.format.is_rgb:
            context.colorspace = tags.matrix
            context.color_range = tags.range
            context.color_primaries = tags.primaries
            context.color_trc = tags.transfer
        if encoder.name == "libx265" and container.format.name in ("mp4", "mov"):
            context.codec_tag = _HEVC_APPLE_TAG
        if encoder.name in _QUANTISER_ENCODERS:
            context.qmin, context.qmax = _QUANTISER_RANGE
            context.bit_rate = self._generous_bit_rate()
        context.options = self._encoder_options(encoder.name, settings)
        self._convert = RgbToFrame(tags, pix_fmt)
        return stream

    def _choose_clock(self, encoder: str) -> Fraction:
        if self._info.constant_rate:
            return 1 / self._info.rate
        if encoder == "mpeg4" and self._info.time_base.denominator > _MPEG4_CLOCK:
            return Fraction(1, _MPEG4_CLOCK)
        return self._info.time_base

    def _generous_bit_rate(self) -> int:
        height, width = self._info.size
        return round(height * width * float(self._info.rate))

    @staticmethod
    def _encoder_options(encoder: str, settings: EncoderSettings) -> dict[str, str]:
        options = dict(_ENCODER_OPTIONS.get(encoder, {}))
        crf = settings.crf
        if crf is not None:
            worst = _CRF_RANGE.get(encoder)
            if worst is None:
                raise InvalidArgumentError("crf", f"no value: {encoder} has no constant quality", f"{crf:g}")
            if not 0 <= crf <= worst:
                raise InvalidArgumentError("crf", f"0 to {worst} for {encoder}", f"{crf:g}")
        else:
            crf = _DEFAULT_CRF.get(encoder)
        if crf is not None:
            options["crf"] = f"{crf:g}"
        if encoder in ("libx264", "libx264rgb") and cpu_has_avx512():
            options["x264-params"] = _X264_WITHOUT_AVX512
        return {**options, **settings.options}

    def write(self, pixels: NDArray[np.float32], start: int, end: int, alpha: NDArray[np.uint8] | None = None) -> None:
        """Encode one frame; see `Sink.write`. Transparency is kept by pixel formats that have it."""
        del end
        av = import_av()
        seconds = start * self._info.time_base - (self._companions.shift if self._companions is not None else 0)
        frame = self._convert(pixels)
        if alpha is not None:
            self._set_alpha(frame, alpha)
        frame.pts = round(seconds / self._clock)
        frame.time_base = self._clock
        try:
            if self._companions is not None:
                self._companions.send(seconds)
            self._mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise self._write_error(error) from error

    def _set_alpha(self, frame: VideoFrame, alpha: NDArray[np.uint8]) -> None:
        if has_alpha(frame.format):
            set_alpha(frame, alpha)
        elif not self._lost_alpha:
            self._lost_alpha = True
            name = frame.format.name
            warnings.warn(f"{self._path}: transparency is left out, which {name} video does not have", stacklevel=3)

    def _mux(self, packets: Any) -> None:
        if self._container is not None:
            self._container.mux(packets)

    def __enter__(self) -> ContainerSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abort()
            return
        av = import_av()
        with contextlib.ExitStack() as undo:
            undo.callback(self._abort)
            try:
                self._mux(self._stream.encode(None))
                if self._companions is not None:
                    self._companions.send(None)
                self._close()
                self._partial.commit()
            except (av.FFmpegError, OSError) as failure:
                raise self._write_error(failure) from failure
            undo.pop_all()

    def _close(self) -> None:
        if self._companions is not None:
            companions, self._companions = self._companions, None
            companions.close()
        if self._container is not None:
            container, self._container = self._container, None
            container.close()

    def _abort(self) -> None:
        av = import_av()
        # The reason to stop is already on its way to the caller; the file is removed whatever its end looks like.
        with contextlib.suppress(av.FFmpegError, OSError):
            self._close()
        self._partial.discard()
