"""All weights that are fetched by name, with their licenses."""

from __future__ import annotations

from dataclasses import replace

from segs_detailer.errors import unknown_name
from segs_detailer.hub.weights import PinnedFile, Repository, Weights

__all__ = [
    "ANIME_FACE",
    "DINOV2",
    "GROUNDING_DINO",
    "NEEDED_FILES",
    "SAM2",
    "SFACE",
    "VIDEO_MODELS",
    "WEIGHTS",
    "YUNET",
    "named_weights",
]

YUNET = PinnedFile(
    name="yunet",
    repository="opencv/face_detection_yunet",
    file="face_detection_yunet_2023mar.onnx",
    revision="3cc26e7f1014a5ee5d74a42acee58bafc9d0a310",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    size=232_589,
    license="MIT",
    use="finds faces",
)
"""Finds faces; run by OpenCV."""

SFACE = PinnedFile(
    name="sface",
    repository="opencv/face_recognition_sface",
    file="face_recognition_sface_2021dec.onnx",
    revision="3d7082438a6e4551e840c9b2bb60b71e8da4b524",
    sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    size=38_696_353,
    license="Apache-2.0",
    use="tells people apart by their faces",
)
"""Tells people apart by their faces; run by OpenCV."""

DINOV2 = Repository(
    name="dinov2",
    repository="facebook/dinov2-small",
    size=88_000_000,
    license="Apache-2.0",
    use="tells things apart by what they look like",
    patterns=("*.json", "*.safetensors"),
)
"""Tells things apart by what they look like; run by transformers."""

ANIME_FACE = PinnedFile(
    name="anime-face",
    repository="deepghs/anime_face_detection",
    file="face_detect_v1.4_n/model.onnx",
    revision="784dc4c0bb692351ddcdbe6131a050b17d3025d5",
    sha256="fd860b650a4377046842c3cd80d01b0b408bdfbdb4acee5759630f82c6ef04a9",
    size=12_102_558,
    license="MIT",
    use="finds faces in animation",
)
"""Finds faces in animation; a YOLOv8 export, run by ONNX Runtime."""

_PARTS = ("*.json", "*/*.safetensors", "*/*.txt", "*/*.model")
"""The parts of a pipeline in diffusers' layout, without the files at its root that hold the same for other programs."""

_VIDEO_MODELS = {
    "Apache-2.0": {
        "wan2.1-1.3b": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "wan2.1-14b": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
        "wan2.2-a14b": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        "wan2.2-5b": "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        "vace-1.3b": "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
        "vace-14b": "Wan-AI/Wan2.1-VACE-14B-diffusers",
    },
    "LTX-2 Community": {
        "ltx-2": "Lightricks/LTX-2",
        "ltx-2.3": "diffusers/LTX-2.3-Diffusers",
        "ltx-2.5": "Lightricks/LTX-2.5-Diffusers",
    },
    "Tencent Hunyuan Community": {
        "hunyuanvideo-1.5": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
    },
}
"""Repositories by license and name."""

VIDEO_MODELS = tuple(
    Repository(name=name, repository=repository, license=terms, use="repaints clips", patterns=_PARTS)
    for terms, repositories in _VIDEO_MODELS.items()
    for name, repository in repositories.items()
)
"""Models that repaint; run by diffusers, and given to it by their repositories."""

NEEDED_FILES = ("*.json", "*.safetensors", "*.txt")
"""Configuration, weights and words of a model of transformers; none of them is a pickle."""

GROUNDING_DINO = Repository(
    name="grounding-dino",
    repository="IDEA-Research/grounding-dino-tiny",
    size=690_000_000,
    license="Apache-2.0",
    use="finds what words name",
    patterns=NEEDED_FILES,
)
"""Finds what words name; run by transformers. Sizes of repositories are rounded."""

SAM2 = Repository(
    name="sam2.1-tiny",
    repository="facebook/sam2.1-hiera-tiny",
    size=156_000_000,
    license="Apache-2.0",
    use="draws masks of tracks",
    patterns=NEEDED_FILES,
)
"""Draws masks of tracks; run by transformers."""

_OTHERS = (
    ("mm-grounding-dino", "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", 692, GROUNDING_DINO),
    ("owlv2", "google/owlv2-base-patch16-ensemble", 620, GROUNDING_DINO),
    ("sam2.1-small", "facebook/sam2.1-hiera-small", 184, SAM2),
    ("sam2.1-base", "facebook/sam2.1-hiera-base-plus", 323, SAM2),
    ("sam2.1-large", "facebook/sam2.1-hiera-large", 898, SAM2),
    ("edgetam", "yonigozlan/EdgeTAM-hf", 56, SAM2),
)

_SAM3 = Repository(
    name="sam3",
    repository="facebook/sam3",
    size=3_440_000_000,
    license="SAM License; given on request",
    use="finds what words name, with masks",
    patterns=NEEDED_FILES,
)

WEIGHTS: tuple[Weights, ...] = (
    YUNET,
    SFACE,
    ANIME_FACE,
    DINOV2,
    GROUNDING_DINO,
    SAM2,
    *(replace(like, name=name, repository=source, size=size * 10**6) for name, source, size, like in _OTHERS),
    _SAM3,
    *VIDEO_MODELS,
)
"""All of them."""


def named_weights(name: str) -> Weights:
    """Find weights by their short name or by their repository on the hub.

    Parameters
    ----------
    name : str
        Such as `yunet` or `opencv/face_detection_yunet`; the case does not matter.

    Raises
    ------
    InvalidArgumentError
        There are none of this name.

    Examples
    --------
    >>> from segs_detailer.hub import named_weights
    >>> named_weights("yunet").file
    'face_detection_yunet_2023mar.onnx'
    """
    for weights in WEIGHTS:
        if name.lower() in (weights.name.lower(), weights.repository.lower()):
            return weights
    raise unknown_name("name", name, [weights.name for weights in WEIGHTS])
