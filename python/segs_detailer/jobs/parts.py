"""Parts of a job: where subjects are looked for, how crops go, which models work, how the result is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from segs_detailer.checks import number
from segs_detailer.detailer.subject_settings import SubjectSettings, checked_loras
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError
from segs_detailer.settings import check_settings, setting, setting_like
from segs_detailer.subjects.mask_filter import MaskFilter
from segs_detailer.subjects.phrases import check_phrases
from segs_detailer.subjects.settings import CropSettings

if TYPE_CHECKING:
    from segs_detailer.subjects.track import Track

__all__ = [
    "EncodeSettings",
    "FindSettings",
    "LimitSettings",
    "ModelSettings",
    "PathSettings",
    "PromptSettings",
]

_DETECTED_GAP = 12
_DETECTED_RAMP = 4
"""Frames over which what is detected is bridged, comes and goes. What masks and files say is taken by the letter."""

_DETECTED_PASTE_GAP = 0
"""Where it was missed and still to be seen, a detected subject was followed: in what gaps are left, it was not."""


def _boxes(name: str, value: Any) -> tuple[tuple[float, float, float, float], ...]:
    expected = "boxes (x1, y1, x2, y2) in pixels"
    if isinstance(value, str) or not all(isinstance(box, (tuple, list)) and len(box) == 4 for box in value):
        raise InvalidTypeError(name, expected, repr(value))
    return tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in ([number(name, side) for side in box] for box in value))


def _labels(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not value or not all(isinstance(label, str) for label in value):
        raise InvalidTypeError(name, "labels", repr(value))
    return tuple(value)


def _words(name: str, value: Any) -> tuple[str, ...]:
    return check_phrases(name, value) if value != () else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FindSettings:
    """Where the subjects are: boxes, then masks, then tracks of a file, then what is detected, then what words name.

    Where nothing is named, faces are looked for.
    """

    detect: str | None = setting(
        None,
        help="what to look for: face, by YuNet, which is fetched once; cascades, which find fewer faces and need no "
        "model; or a model file: YuNet or a YOLO export (.onnx), or YOLO's .pt",
        default_text="face, where nothing else is named",
    )
    detect_labels: tuple[str, ...] | None = setting(
        None, help="labels that the detector is to report", default_text="all that it knows", check=_labels
    )
    detect_confidence: float | None = setting(
        None,
        help="smallest score that counts, of models",
        above=0,
        maximum=1,
        default_text="0.7 for YuNet, 0.25 for YOLO",
    )
    words: tuple[str, ...] = setting(
        (),
        help='what to look for in words, such as "left hand", by a model of transformers; may be given several times',
        check=_words,
    )
    find_model: str | None = setting(
        None,
        help="what looks for words: Grounding DINO, MM Grounding DINO, OWLv2 or SAM 3 video; a folder, a hub id, or a "
        "name of `segs-detailer models list`",
        default_text="grounding-dino, which is fetched once",
    )
    find_confidence: float | None = setting(
        None,
        help="smallest score of what words name",
        above=0,
        maximum=1,
        default_text="0.25 for Grounding DINO, 0.2 for OWLv2, SAM 3's own",
    )
    find_every: int | None = setting(
        None,
        help="look for words in every Nth frame of a shot",
        minimum=1,
        default_text="5, or 1 without masks",
    )
    refine_masks: str | None = setting(
        None,
        help="draw masks of what is found as boxes, by a video segmenter: SAM 2.1 or EdgeTAM; a folder, a hub id, or a "
        "name of `segs-detailer models list`; none leaves boxes",
        default_text="sam2.1-tiny for what words name, else none",
    )
    mask: str | None = setting(
        None,
        help="masks: an image, a video, a folder or a numbered name; one mask, or one per frame. "
        "Where there are only 0 and 1, 1 is white; a shape in the transparency of an image counts. Another size than "
        "the clip's is scaled",
    )
    bbox: tuple[tuple[float, float, float, float], ...] = setting(
        (), help="a box in pixels; may be given several times", check=_boxes
    )
    segs: str | None = setting(
        None,
        help="segments of a file: .npz, .safetensors, COCO .json, boxes (.csv, .json), mask pictures or video. Another "
        "size than the clip's is scaled; segments of one frame serve for all",
    )
    drop_size: int = setting(10, help="leave out what is not larger than this", minimum=0, unit="px")
    min_face: float | None = setting(
        None, help="smallest face", above=0, unit="px", default_text="a 16th of the height"
    )
    detect_every: int | None = setting(
        None,
        help="look at one of N frames, follow what is in those between, and look there, too, where that fails",
        minimum=1,
        maximum=10_000,
        default_text="6 for YuNet, else 1",
        unit="frames",
    )
    min_share: float = setting(
        0.3, help="a face counts if found in this share of its frames, 0 to 1", minimum=0, maximum=1
    )
    face_mask: Literal["ellipse", "box"] | None = setting(
        None, help="shape of masks", default_text="ellipse for faces, else box"
    )
    link_shots: bool = setting(
        False,
        help="tell by what they look like which tracks are one person or thing, also after a cut: identities A, B, ...",
    )
    identity_model: str | None = setting(
        None,
        help="what tells subjects apart: a file of SFace (.onnx), for faces; or a vision model of transformers, for "
        "all, by folder or hub id",
        default_text="SFace for faces, facebook/dinov2-small for all else",
    )
    identity_threshold: float | None = setting(
        None,
        help="how alike what counts as the same must be: a cosine",
        minimum=-1,
        maximum=1,
        default_text="0.363 for SFace, 0.6 for vision models; to link tracks 0.45 and 0.75",
    )
    mask_labels: bool = setting(
        False,
        help="values in the mask are numbers of subjects, 0 for none: each number, index of a palette or color is one",
    )
    combined: bool = setting(False, help="take everything in the mask as one subject")
    bbox_fill: bool = setting(False, help="repaint the whole box around each object in the mask")
    contour_fill: bool = setting(False, help="fill the outlines of the objects in the mask")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def names_subjects(self) -> bool:
        """Whether it says where subjects are, or what to look for."""
        return bool(self.bbox or self.words) or any(value is not None for value in (self.detect, self.mask, self.segs))

    @property
    def detector(self) -> str | None:
        """What looks for subjects; None where they are known."""
        return self.detect if self.names_subjects else "face"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """How crops and masks go through the clip.

    As `CropSettings`, but for what depends on how a subject was found: None leaves that open.
    """

    crop: Literal["follow", "fixed"] | None = setting_like(
        CropSettings,
        "crop",
        default=None,
        default_text="follow; fixed for boxes, a single mask, and segments that have a crop region",
    )
    crop_factor: float = setting_like(
        CropSettings, "crop_factor", help="size of the crop, in sizes of the subject's box; SEGS files have their own"
    )
    aspect: float | None = setting_like(CropSettings, "aspect")
    smoothing: float = setting_like(CropSettings, "smoothing")
    subpixel: bool = setting_like(CropSettings, "subpixel")
    upright: bool = setting_like(CropSettings, "upright")
    ramp: int | None = setting_like(
        CropSettings,
        "ramp",
        default=None,
        default_text="4 for what is detected, also where it was saved, 0 for masks, boxes and files",
    )
    max_gap: int | None = setting_like(
        CropSettings,
        "max_gap",
        default=None,
        default_text="12 for what is detected, also where it was saved, 0 for files",
    )
    paste_gap: int | None = setting_like(
        CropSettings,
        "paste_gap",
        default=None,
        default_text="0 for what is detected, else 2",
    )
    size_gate: float | None = setting_like(CropSettings, "size_gate")
    mask_median: int = setting_like(MaskFilter, "median")
    mask_dilate: int = setting_like(MaskFilter, "dilate")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def detected(self) -> CropSettings:
        """How the crop of a subject goes that was detected."""
        return self._settled(_DETECTED_RAMP, _DETECTED_GAP, _DETECTED_PASTE_GAP)

    @property
    def longest_gap(self) -> int:
        """Frames for which a subject may be away until it counts as another."""
        return _DETECTED_GAP if self.max_gap is None else self.max_gap

    def given(self, track: Track) -> CropSettings:
        """How the crop of a subject goes that was named.

        One that has a region stays there, unless told otherwise; one of which a finder noted the shot that it is in
        was detected, and saved.
        """
        if track.shot is not None and track.crop_region is None:
            return self.detected
        crop = self._settled(0, 0, CropSettings().paste_gap)
        stays = track.crop_region is not None and self.crop is None and self.aspect is None
        return replace(crop, crop="fixed") if stays else crop

    @property
    def masks(self) -> MaskFilter:
        """What is done to the masks."""
        return MaskFilter(median=self.mask_median, dilate=self.mask_dilate)

    def _settled(self, ramp: int, max_gap: int, paste_gap: int) -> CropSettings:
        return CropSettings(
            crop=self.crop or "follow",
            crop_factor=self.crop_factor,
            aspect=self.aspect,
            smoothing=self.smoothing,
            subpixel=self.subpixel,
            upright=self.upright,
            ramp=ramp if self.ramp is None else self.ramp,
            max_gap=max_gap if self.max_gap is None else self.max_gap,
            paste_gap=paste_gap if self.paste_gap is None else self.paste_gap,
            size_gate=self.size_gate,
        )


def _adapter(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidTypeError(name, "a str or None", type(value).__name__)
    if not value.endswith(".safetensors"):
        raise InvalidArgumentError(name, "a .safetensors file, or OWNER/NAME/.../FILE.safetensors on a hub", value)
    return value


def _slices(name: str, value: Any) -> int | str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if value not in ("auto", "max") and not is_count:
        raise InvalidArgumentError(name, '"auto", "max" or a whole number of at least 1', repr(value))
    checked: int | str = value
    return checked


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What loads the models, and nothing else: clips with equal ones share what was loaded.

    Without a model the subjects are sharpened: a preview of segments, sizes and seams.
    """

    model: str | None = setting(
        None,
        help="checkpoint in diffusers' layout, of any family: a folder or a hub id; or a .safetensors file of Stable "
        "Diffusion, or a .safetensors or .gguf file with a transformer of Wan",
    )
    model_config: str | None = setting(
        None,
        help="configuration of a model of one file, in diffusers' layout: a folder; for Wan also a hub id",
        default_text="none; for Wan its makers' own, told from the file",
    )
    transformer_2: str | None = setting(None, help="file of the second transformer of Wan 2.2's pair, for low noise")
    vae: str | None = setting(None, help="file of Wan's VAE", default_text="that of the configuration")
    conditioning_scale: float | None = setting(
        None, help="how much VACE keeps to the clip and to the pictures of the subjects", minimum=0, default_text="1"
    )
    shift: float | None = setting(
        None,
        help="shift of the noise levels, of models of flow matching: larger ones repaint more at the same denoise",
        above=0,
        default_text="the checkpoint's",
    )
    motion_adapter: str | None = setting(
        None,
        help="AnimateDiff motion module: a folder, hub id or .safetensors file; without one frames are independent",
    )
    lora: tuple[tuple[str, float], ...] = setting(
        (),
        help="LoRA or motion LoRA of the model, and its weight (default: 1); may be given more than once",
        check=checked_loras,
    )
    ip_adapter: str | None = setting(
        None,
        help="IP-Adapter, which looks at pictures of the subjects (reference): a .safetensors file, or a hub id and "
        "the file in it, such as h94/IP-Adapter/models/ip-adapter_sd15.safetensors",
        check=_adapter,
    )
    ip_adapter_scale: float = setting(1.0, help="how much the IP-Adapter counts", minimum=0)
    image_encoder: str | None = setting(
        None,
        help="the IP-Adapter's image encoder: a folder, or a hub id and the folder in it, such as "
        "h94/IP-Adapter/models/image_encoder",
        default_text="the model's",
    )
    refiner_model: str | None = setting(None, help="checkpoint that does the last steps")
    refiner_motion_adapter: str | None = setting(None, help="the refiner's motion module")
    as_comfyui: bool = setting(
        False,
        help="mask and refiner as in ComfyUI with Impact Pack to the letter, where the default improves on them",
    )
    comfyui_version: Literal["0.8", "0.3"] = setting(
        "0.8", help="whose noise between steps is drawn: 0.3 stands for ComfyUI before 0.7, 0.8 for all later ones"
    )
    device: str = setting("auto", help="auto, cpu, cuda, cuda:1, mps, xpu, ...")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = setting(
        "auto", help="number format of the models", default_text="float16 on a GPU, else float32"
    )
    context_length: int | None = setting(
        None, help="frames of a context window", minimum=1, default_text="16, or the module's"
    )
    context_overlap: int | None = setting(
        None, help="frames that windows share", minimum=0, default_text="a quarter of a window"
    )
    context_stride: int | None = setting(None, help="above 1, more windows over every 2nd, 4th, ... frame", minimum=1)
    context_order: Literal["uniform", "looped", "static"] | None = setting(
        None, help="how windows move", default_text="uniform"
    )
    context_weights: Literal["pyramid", "linear", "flat"] | None = setting(
        None, help="how windows are blended", default_text="pyramid"
    )
    free_noise: bool = setting(False, help="windows start from the same noise, shuffled")
    min_frames: int | None = setting(
        None, help="lengthen shorter clips by running back and forth", minimum=1, default_text="1"
    )
    vae_chunk: int | None = setting(
        None,
        help="frames that go through the VAE at once",
        minimum=1,
        default_text="as many as fit the free memory",
    )
    vae_tile: int | None = setting(None, help="let the VAE work on tiles of this size", minimum=1, unit="px")
    attention_slicing: Any = setting(  # noqa: RUF009 - the value is immutable
        None,
        help="heads of attention at once: auto (half), max (one) or N",
        check=lambda name, value: None if value is None else _slices(name, value),
    )
    offload: Literal["model", "sequential", "group"] | None = setting(
        None,
        help="keep the models in the processor's memory, and bring them to the GPU one by one, layer by layer, or by "
        "groups of blocks",
    )
    offload_type: Literal["block_level", "leaf_level"] | None = setting(
        None, help="what groups are of", default_text="block_level"
    )
    num_blocks_per_group: int | None = setting(None, help="blocks in a group", minimum=1, default_text="1")
    use_stream: bool = setting(False, help="bring the next group while the present one works")
    storage_dtype: Literal["float8_e4m3fn", "float8_e5m2"] | None = setting(
        None, help="keep the weights of a video model's transformer in 8 bits, and cast them layer by layer"
    )
    quantization: Literal["bitsandbytes_4bit", "bitsandbytes_8bit", "torchao"] | None = setting(
        None, help="quantize a video model's transformer while it is loaded"
    )
    no_guidance_batch: bool = setting(False, help="prompt and negative prompt apart: half the memory, slower")
    frame_batch: int | None = setting(
        None, help="frames at once of a model without motion module", minimum=1, default_text="8"
    )
    channels_last: bool = setting(False, help="memory layout that many GPUs prefer")
    compile: bool = setting(False, help="compile the model: the first step takes minutes")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """What all subjects show, but for what single ones have otherwise: see `SubjectSettings`.

    Parameters
    ----------
    prompt, negative_prompt : str
        Of all subjects.
    reference : tuple of str
        Pictures of them, for models that look at some: with an IP-Adapter, or VACE.
    refiner_prompt, refiner_negative_prompt : str or None
        The refiner's own; None takes those of the model.
    no_reference : bool
        Show a model that keeps to pictures (VACE) none of subjects for which no `reference` is named, in place of the
        best frame of their track.
    follow_sound : bool
        Whether the model hears the clip.
    """

    prompt: str = setting("", help="what the subjects show")
    negative_prompt: str = setting("", help="what they must not show")
    reference: tuple[str, ...] = setting_like(
        SubjectSettings,
        "reference",
        help="a picture of the subjects, for an IP-Adapter or another model that looks at some; may be given more than "
        "once",
    )
    refiner_prompt: str | None = setting(None, help="the refiner's own prompt", default_text="the model's")
    refiner_negative_prompt: str | None = setting(None, help="likewise", default_text="the model's")
    no_reference: bool = setting(
        False, help="show VACE no picture of a subject where none is named; else it sees the best frame of the track"
    )
    follow_sound: bool = setting(
        False, help="let the model hear the clip's sound, so that mouths follow it (LTX-2 with its audio VAE)"
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def texts(self) -> tuple[str, ...]:
        """All prompts."""
        return (self.prompt, self.negative_prompt, *self.of_refiner)

    @property
    def of_refiner(self) -> tuple[str, str]:
        """The refiner's prompt and negative prompt."""
        own, base = (self.refiner_prompt, self.refiner_negative_prompt), (self.prompt, self.negative_prompt)
        return (base[0] if own[0] is None else own[0], base[1] if own[1] is None else own[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """How a video is written."""

    codec: str | None = setting(
        None,
        help="h264, hevc, vp9, av1, prores, ffv1, ..., or an encoder by its name, such as h264_nvenc",
        default_text="the input's",
    )
    crf: float | None = setting(None, help="constant quality in the encoder's scale, smaller is better")
    pix_fmt: str | None = setting(None, help="pixel format", default_text="the input's")
    no_audio: bool = setting(False, help="leave the sound out")
    copy_untouched: bool = setting(
        False,
        help="copy groups of pictures in which nothing is pasted as they are, without encoding them: needs an output "
        "of the input's codec and pixel format, in .mp4, .mov or .mkv",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def is_default(self) -> bool:
        """Whether nothing is asked for."""
        return replace(self, copy_untouched=False) == EncodeSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a run may take, and what it keeps."""

    max_ram: int = setting(
        4 * 10**9, help="memory that all of it may take, whatever the clip's length, in bytes", minimum=1
    )
    cache: str | None = setting(
        None,
        help="keep what is done there, so that a run that was stopped goes on",
        default_text="the user's cache folder",
    )
    no_cache: bool = setting(False, help="keep nothing")
    threads: int | None = setting(None, help="processor threads", minimum=1, default_text="all")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.no_cache and self.cache:
            raise InvalidArgumentError("cache", "a cache: leave out `no_cache`", "`no_cache`")
