"""Encoders of video: which one, with which pixel format and which options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from segs_detailer._native import cpu_has_avx512
from segs_detailer.errors import InvalidArgumentError, MediaError, unknown_name
from segs_detailer.video.color import sample_bits
from segs_detailer.video.hardware import hardware_encoders, hardware_kind, software_formats
from segs_detailer.video.muxer_trial import Nowhere
from segs_detailer.video.packets import import_av

if TYPE_CHECKING:
    from pathlib import Path

    from av.codec import Codec
    from av.container import OutputContainer

    from segs_detailer.video.clip import ClipInfo
    from segs_detailer.video.frame_metadata import HdrMetadata

__all__ = ["ALPHA_BESIDE", "EncoderSettings", "EncodingPlan", "plan_encoding"]

ALPHA_BESIDE = ("libvpx", "libvpx-vp9")
"""Encoders that put transparency beside their packets."""

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
# Encoders that write closed captions of their own accord where frames come as they were decoded, and only there.
_CAPTIONING_ENCODERS = ("libx264", "libx264rgb", "libx265", "mpeg2video")
# libsvtav1 tells of itself on the terminal; errors alone, unless the user has set this variable of its own.
_SVT_LOG, _SVT_ERRORS = "SVT_LOG", "1"
# Quantizers of the encoders that have no constant quality.
_QUANTIZERS = (1, 3)
_QUANTIZER_ENCODERS = (
    *("mpeg4", "mpeg2video", "mpeg1video", "msmpeg4", "msmpeg4v2", "mjpeg", "amv"),
    *("wmv1", "wmv2", "flv", "h261", "h263", "h263p", "rv10", "rv20"),
)
_TRIAL_SIDE = 64
# Formats that have a place for transparency beside packets.
_WITH_ALPHA_BESIDE = ("matroska", "webm")
# Frames per second that an encoder is told. Packets get their true times afterwards, so that it need not be exact;
# MPEG-4 part 2 stores both numbers in 16 bits, MPEG-1 and 2 know only those of a table.
_MOST_RATE_TERMS = 65_535
_MPEG_RATES = tuple(
    Fraction(*terms)
    for terms in ((24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1))
)
_MPEG_ENCODERS = ("mpeg1video", "mpeg2video")
_LEAST_RATE = Fraction(1, 1000)
# Encoders that work on fields where they are told to.
_LOSSLESS_ENCODERS = ("ffv1", "utvideo", "huffyuv", "ffvhuff", "rawvideo", "v210", "png", "qtrle")
_FIELD_ENCODERS = ("libx264", "libx264rgb", "mpeg2video", "mpeg4", "prores_ks", "dnxhd")


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
    copy_untouched : bool
        Stretches of the clip may go over as they are: parameters of the codec then lie in the stream.
    """

    codec: str | None = None
    crf: float | None = None
    pix_fmt: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    copy_untouched: bool = False


@dataclass(frozen=True, slots=True)
class EncodingPlan:
    """How a clip is encoded.

    Parameters
    ----------
    encoder : Codec
        The encoder.
    pix_fmt : str
        Pixel format of the frames that it gets.
    rate : Fraction
        Frames per second that it is told.
    options : dict
        Its options.
    quantizers : (int, int) or None
        Least and most quantizer, of encoders that have no constant quality.
    by_rate : bool
        The encoder has neither constant quality nor quantizers, and needs a bit rate.
    lost : tuple of str
        What of the picture it cannot write.
    """

    encoder: Codec
    pix_fmt: str
    rate: Fraction
    options: dict[str, str]
    quantizers: tuple[int, int] | None
    lost: tuple[str, ...]
    by_rate: bool = False


def plan_encoding(settings: EncoderSettings, info: ClipInfo, container: OutputContainer, path: Path) -> EncodingPlan:
    """Choose how to encode a clip.

    Parameters
    ----------
    settings : EncoderSettings
        What the user wants.
    info : ClipInfo
        The clip; what the user does not say follows it.
    container : OutputContainer
        Where the video goes.
    path : Path
        The output's name, for messages.

    Raises
    ------
    InvalidArgumentError, MediaError
        It cannot be encoded so.
    """
    name = container.format.name
    for encoder in _candidates(settings, info, container):
        plan = _plan(settings, info, encoder, name)
        if _muxes(plan, info, name):
            return plan
    if settings.codec is not None:
        _check_opens(encoder, plan, info)
        raise MediaError(f"{path}: a {path.suffix} file cannot hold {settings.codec}: choose .mkv or another codec")
    raise MediaError(f"{path}: no encoder for {path.suffix} files is available: choose .mp4 or .mkv")


def _check_opens(encoder: Codec, plan: EncodingPlan, info: ClipInfo) -> None:
    """Refuse an encoder in hardware that this machine does not have, and say which ones it has.

    Raises
    ------
    InvalidArgumentError
        It cannot be opened.
    """
    if hardware_kind(encoder.name) is None:
        return
    reason = _refusal(encoder.name, plan.pix_fmt, info, plan.rate, plan.options)
    if reason is None:
        return
    codec = encoder.canonical_name
    others = [found.name for found in map(_find_encoder, (*_encoder_names(codec), *hardware_encoders(codec))) if found]
    here = [name for name in others if name != encoder.name and _is_here(name, info, plan.rate)]
    expected = f"an encoder that this machine has, such as {', '.join(here)}" if here else "an encoder of this machine"
    raise InvalidArgumentError("codec", expected, f"{encoder.name!r}, which cannot be opened here ({reason})")


def _is_here(name: str, info: ClipInfo, rate: Fraction) -> bool:
    av = import_av()
    encoder = av.codec.Codec(name, "w")
    formats = software_formats(encoder)
    pix_fmt = next((each for each in (info.pix_fmt, "yuv420p", "nv12") if each in formats), None)
    return _opens(encoder, pix_fmt or (formats or ["yuv420p"])[0], info, rate)


def _plan(settings: EncoderSettings, info: ClipInfo, encoder: Codec, format_name: str) -> EncodingPlan:
    """Plan to encode a clip with one encoder."""
    pix_fmt = _choose_pix_fmt(settings, info, encoder)
    rgb_encoder = _find_encoder("libx264rgb")
    if encoder.name == "libx264" and info.codec == "h264" and info.pix_fmt == "gbrp" and rgb_encoder:
        encoder, pix_fmt = rgb_encoder, "rgb24"
    if encoder.name == "libsvtav1":
        os.environ.setdefault(_SVT_LOG, _SVT_ERRORS)
    if encoder.name in ALPHA_BESIDE and format_name not in _WITH_ALPHA_BESIDE:
        pix_fmt = pix_fmt.replace("yuva", "yuv")
    rate = _encoder_rate(info.rate, encoder.name)
    pix_fmt = _fitting_format(settings, info, encoder, pix_fmt, rate)
    options = _encoder_options(encoder.name, settings)
    lost = list(info.not_carried)
    if info.interlacing is not None:
        if encoder.name in _FIELD_ENCODERS:
            options["flags"] = "+ildct" if encoder.name == "prores_ks" else "+ildct+ilme"
            options["field_order"] = info.interlacing.name
        elif encoder.name in _LOSSLESS_ENCODERS:
            # They know no fields, and need not: the file says how they follow each other.
            options["field_order"] = info.interlacing.name
        else:
            lost.append("the order of its fields")
    if info.hdr is not None:
        lost += _add_hdr(options, info.hdr, encoder.name)
    if encoder.name == "libvpx" and "yuva" in pix_fmt:
        # It refuses frames that are never shown beside transparency.
        options["auto-alt-ref"] = "0"
    quantizers = _QUANTIZERS if encoder.name in _QUANTIZER_ENCODERS else None
    kind = hardware_kind(encoder.name)
    by_rate = kind is not None and not kind.quality
    options = {**options, **_merged(options, settings.options)}
    return EncodingPlan(encoder, pix_fmt, rate, options, quantizers, tuple(lost), by_rate)


def _muxes(plan: EncodingPlan, info: ClipInfo, format_name: str) -> bool:
    """Ask the muxer of a format whether it takes what an encoder gives: a file is begun to nowhere."""
    # Small frames are quick; some encoders take only some sizes.
    return any(_begins(plan, size, format_name) for size in ((_TRIAL_SIDE, _TRIAL_SIDE), info.size))


def _begins(plan: EncodingPlan, size: tuple[int, int], format_name: str) -> bool:
    av = import_av()
    try:
        with av.open(Nowhere(), "w", format=format_name) as container:
            stream = container.add_stream(plan.encoder.name, rate=plan.rate)
            stream.height, stream.width = size
            stream.pix_fmt = plan.pix_fmt
            stream.codec_context.options = dict(plan.options)
            container.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _encoder_rate(rate: Fraction, encoder: str) -> Fraction:
    if encoder in _MPEG_ENCODERS:
        return min(_MPEG_RATES, key=lambda each: abs(each - rate))
    simple = max(rate.limit_denominator(1001), _LEAST_RATE)
    return simple if max(simple.as_integer_ratio()) <= _MOST_RATE_TERMS else Fraction(round(simple))


def _merged(options: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    """Return the user's options; lists of an encoder's own parameters go behind ours, so that the user's count."""
    return {
        name: f"{options[name]}:{value}" if name.endswith("-params") and name in options else value
        for name, value in given.items()
    }


# How encoders are told of HDR10: their option, its names for both, and what of ST 2086's units makes one of theirs.
_HDR_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll", 1, 1),
    "libx265": ("x265-params", "master-display", "max-cll", 1, 1),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", 50_000, 10_000),
}


def _add_hdr(options: dict[str, str], hdr: HdrMetadata, encoder: str) -> list[str]:
    """Add static HDR metadata to an encoder's options; return what it cannot write."""
    if encoder not in _HDR_PARAMETERS:
        return ["the mastering display and light levels of HDR10"]
    option, display_name, light_name, color_units, light_units = _HDR_PARAMETERS[encoder]
    parameters = [options[option]] if option in options else []
    if hdr.has_display:

        def pair(values: tuple[int, int] | None, units: int) -> str:
            return "({},{})".format(*(_number(value, units) for value in values or ()))

        places = (("G", hdr.green), ("B", hdr.blue), ("R", hdr.red), ("WP", hdr.white))
        display = "".join(name + pair(values, color_units) for name, values in places)
        parameters.append(f"{display_name}={display}L{pair(hdr.luminance, light_units)}")
    if hdr.light is not None:
        parameters.append(f"{light_name}={hdr.light[0]},{hdr.light[1]}")
    if encoder == "libx265":
        parameters.append("hdr10=1")
    options[option] = ":".join(parameters)
    return []


def _number(value: int, units: int) -> str:
    return str(value) if units == 1 else f"{value / units:.6g}"


def _fitting_format(settings: EncoderSettings, info: ClipInfo, encoder: Codec, pix_fmt: str, rate: Fraction) -> str:
    """Return a format that the encoder takes for the clip's size: with full chroma where odd sides need that."""
    if not _has_odd_side(info) or _opens(encoder, pix_fmt, info, rate):
        return pix_fmt
    offered = software_formats(encoder)
    bits = _bits(pix_fmt)
    full = [
        name for name in offered if _has_full_chroma(name) and _bits(name) >= bits and _opens(encoder, name, info, rate)
    ]
    height, width = info.size
    if settings.pix_fmt is not None or not full:
        hint = f", such as {full[0]}" if full else ""
        raise InvalidArgumentError(
            "pix_fmt", f"a format that {encoder.name} has for {width}x{height}{hint}", repr(pix_fmt)
        )
    return min(full, key=_bits)


def _bits(pix_fmt: str) -> int:
    from av.video.format import VideoFormat

    return sample_bits(VideoFormat(pix_fmt))


def _has_full_chroma(pix_fmt: str) -> bool:
    from av.video.format import VideoFormat

    found = VideoFormat(pix_fmt)
    return (
        not found.is_rgb
        and len(found.components) >= 3
        and (found.chroma_width(64), found.chroma_height(64)) == (64, 64)
    )


def _opens(encoder: Codec, pix_fmt: str, info: ClipInfo, rate: Fraction) -> bool:
    """Ask an encoder whether it takes frames of the clip's size in a format."""
    return _refusal(encoder.name, pix_fmt, info, rate, _ENCODER_OPTIONS.get(encoder.name, {})) is None


def _refusal(name: str, pix_fmt: str, info: ClipInfo, rate: Fraction, options: dict[str, str]) -> str | None:
    """Open an encoder for frames of the clip's size, and give its reason where it cannot be."""
    av = import_av()
    context = av.CodecContext.create(name, "w")
    context.height, context.width = info.size
    context.pix_fmt = pix_fmt
    context.time_base, context.framerate = 1 / rate, rate
    context.options = dict(options)
    try:
        context.open()
    except av.FFmpegError as error:
        return str(error.strerror or error)
    return None


def _encoder_options(encoder: str, settings: EncoderSettings) -> dict[str, str]:
    kind = hardware_kind(encoder)
    options = dict(_ENCODER_OPTIONS.get(encoder, {}) if kind is None else kind.options)
    crf = settings.crf
    if crf is not None:
        worst = _CRF_RANGE.get(encoder) if kind is None else kind.worst if kind.quality else None
        if worst is None:
            raise InvalidArgumentError("crf", f"no value: {encoder} has no constant quality", f"{crf:g}")
        least = 0 if kind is None else kind.least
        if not least <= crf <= worst:
            raise InvalidArgumentError("crf", f"{least} to {worst} for {encoder}", f"{crf:g}")
    else:
        crf = _DEFAULT_CRF.get(encoder) if kind is None else kind.usual
    if crf is not None:
        options |= dict.fromkeys(("crf",) if kind is None else kind.quality, f"{crf:g}")
    if encoder in _CAPTIONING_ENCODERS:
        options["a53cc"] = "0"
    if encoder in ("libx264", "libx264rgb") and cpu_has_avx512():
        options["x264-params"] = _X264_WITHOUT_AVX512
    return options


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


def _candidates(settings: EncoderSettings, info: ClipInfo, container: OutputContainer) -> list[Codec]:
    """Return the encoder that the user wants, else those that may serve, the best first."""
    if settings.codec is not None:
        encoder = _find_encoder(settings.codec)
        if encoder is None:
            usual = {name for names in _ENCODERS.values() for name in names} | {"ffv1", "mjpeg", "mpeg4"}
            known = sorted(name for name in usual if _find_encoder(name) is not None)
            raise unknown_name("codec", settings.codec, known, expected="a video encoder, such as {}")
        return [encoder]
    names = dict.fromkeys((info.codec or "h264", container.default_video_codec, "h264", "vp9"))
    found = (_find_encoder(name) for name in names)
    return [encoder for encoder in found if encoder is not None]


def _choose_pix_fmt(settings: EncoderSettings, info: ClipInfo, encoder: Codec) -> str:
    from av.video.format import VideoFormat

    offered = software_formats(encoder)
    if settings.pix_fmt is not None:
        if offered and settings.pix_fmt not in offered:
            raise unknown_name("pix_fmt", settings.pix_fmt, offered, expected=f"one of {encoder.name}'s: {{}}")
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
