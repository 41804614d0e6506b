"""What image files say beside their pixels, and what becomes of it: color profile, resolution, EXIF, texts."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ImageTags", "exif_of", "tags_of", "to_rgb"]

_ORIENTATION = 0x0112
_PIXELS_PER_METER = 39.3701
_HEADER = 33
"""Bytes of a PNG file's signature and first chunk."""


@dataclass(frozen=True, slots=True)
class ImageTags:
    """What a picture says of itself.

    Parameters
    ----------
    profile : bytes
        ICC profile of the colors; empty where there is none, and colors are sRGB.
    dpi : tuple of float or None
        Pixels per inch, across and down.
    exif : bytes
        EXIF without the orientation, which the pixels have.
    texts : dict
        Texts of a PNG file, such as a workflow.
    """

    profile: bytes = b""
    dpi: tuple[float, float] | None = None
    exif: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def profile_name(self) -> str:
        """Name of the profile; empty where it says no more than what is taken for granted."""
        if not self.profile:
            return ""
        try:
            name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(self.profile))).strip()
        except (ImageCms.PyCMSError, OSError, ValueError):
            return "without a name"
        return "" if "srgb" in name.lower() else name or "without a name"

    @property
    def rgb_profile(self) -> bytes:
        """The profile, where pictures of red, green and blue can have it."""
        return self.profile if self.profile[16:20] == b"RGB " else b""

    def options(self, suffix: str) -> dict[str, Any]:
        """Return what Pillow's `save` takes of it for such a file."""
        options: dict[str, Any] = {}
        if self.rgb_profile and suffix != ".bmp":
            options["icc_profile"] = self.rgb_profile
        if self.dpi is not None and suffix != ".webp":
            options["dpi"] = self.dpi
        if self.exif and suffix in (".png", ".jpg", ".jpeg", ".webp"):
            options["exif"] = self.exif
        if self.texts and suffix == ".png":
            options["pnginfo"] = self._png_texts()
        return options

    def add_to_png(self, data: bytes) -> bytes:
        """Return a PNG file with all of it."""
        chunks = []
        if self.rgb_profile:
            chunks.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(self.rgb_profile)))
        if self.dpi is not None:
            across, down = (round(value * _PIXELS_PER_METER) for value in self.dpi)
            chunks.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
        if self.exif:
            chunks.append(_chunk(b"eXIf", self.exif.removeprefix(b"Exif\0\0")))
        chunks += [_chunk(name, content) for name, content, *_ in self._png_texts().chunks]
        return data[:_HEADER] + b"".join(chunks) + data[_HEADER:]

    def _png_texts(self) -> PngInfo:
        info = PngInfo()
        for name, text in self.texts.items():
            info.add_text(name, text)
        return info


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF of a picture that is not TIFF, as far as it is known before pixels are decoded."""
    exif = Image.Exif()
    if image.info.get("exif"):
        exif.load(image.info["exif"])
    return exif


def tags_of(path: Path) -> ImageTags:
    """Read what a picture says of itself; nothing where it cannot be read."""
    try:
        with Image.open(path) as image:
            info = image.info
            exif = exif_of(image)
            exif.pop(_ORIENTATION, None)
            dpi = info.get("dpi")
            return ImageTags(
                profile=info.get("icc_profile") or b"",
                dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
                exif=exif.tobytes() if exif else b"",
                texts=_texts(info) if image.format == "PNG" else {},
            )
    except (OSError, ValueError, TypeError, SyntaxError, struct.error, zlib.error):
        return ImageTags()


def _texts(info: dict[Any, Any]) -> dict[str, str]:
    return {str(name): text for name, text in info.items() if isinstance(text, str)}


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture in red, green and blue; of inks and of CIE Lab by their profiles."""
    if image.mode not in ("CMYK", "LAB"):
        return image.convert("RGB")
    own = image.info.get("icc_profile")
    # A profile that cannot be used says nothing.
    with suppress(ImageCms.PyCMSError, OSError):
        lab = ImageCms.createProfile("LAB") if image.mode == "LAB" else None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(own)) if own else lab
        if profile is not None:
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGB")
