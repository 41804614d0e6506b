"""What words name, found in single frames: detectors of transformers that take a text."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.subjects.association import Detection, suppress
from segs_detailer.subjects.finders.filtering import DetectionFilter
from segs_detailer.subjects.finders.finder import Detector, check_frame
from segs_detailer.subjects.hub_models import quiet_libraries
from segs_detailer.subjects.phrases import check_phrases

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects.hub_models import HubModel

__all__ = ["WORD_DETECTORS", "GroundingDinoDetector", "Owlv2Detector", "WordDetector"]

# Boxes of one phrase that share more of their union are one thing, seen twice.
_MOST_OVERLAP = 0.6
_GPU_BATCH = 4
# Tokens that stand between phrases: beginning, end, and what ends a sentence.
_SEPARATORS = ("[CLS]", "[SEP]", ".", "?")


class WordDetector(Detector):
    """Finds what phrases name.

    Parameters
    ----------
    model : HubModel
        What `read_model` gave; the weights are loaded with the first frame.
    words : iterable of str
        Phrases, such as `"left hand"`. They are the labels of what is found.
    confidence : float or None
        Least score; None is the model's usual one.
    min_size : float or None
        Least length of a box's longer side, in pixels of the frame.

    Raises
    ------
    InvalidArgumentError
        A phrase that cannot be looked for; a value out of range.
    """

    usual_confidence = 0.25

    def __init__(
        self,
        model: HubModel,
        words: Iterable[str],
        *,
        confidence: float | None = None,
        min_size: float | None = None,
    ) -> None:
        self._source = model
        self._words = check_phrases("words", words)
        least = self.usual_confidence if confidence is None else confidence
        self._filter = DetectionFilter(least, None, min_size)
        self._model: Any = None
        self._processor = self._read_processor()

    @property
    def names(self) -> tuple[str, ...]:
        """The phrases."""
        return self._words

    @property
    def batch(self) -> int:
        """One frame at a time on the CPU, some on a GPU."""
        return 1 if self._source.device.type == "cpu" else _GPU_BATCH

    @property
    def confidence(self) -> float:
        """Least score."""
        return self._filter.confidence

    @property
    def identity(self) -> tuple[str, ...]:
        """Files, number format and kind of device."""
        return self._source.identity

    def release(self) -> None:
        """Let go of the weights."""
        self._model = None

    def detect(self, frames: Sequence[NDArray[np.float32]]) -> list[list[Detection]]:
        """Find what the phrases name; see `Detector.detect`.

        Raises
        ------
        InvalidTypeError
            A frame has another shape or dtype.
        ModelError
            The weights cannot be loaded, or the model gives numbers that are not finite.
        """
        if len(frames) == 0:
            return []
        import torch

        sizes = [check_frame(frame) for frame in frames]
        if self._model is None:
            self._model = self._load()
        pictures = [np.rint(frame.clip(0, 1) * 255).astype(np.uint8) for frame in frames]
        with torch.inference_mode(), quiet_libraries():
            # (B, N, 4) corners in pixels, and (B, N, phrases) scores.
            boxes, scores = self._look(pictures)
        if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
            raise ModelError(f"{self._source.folder}: gives numbers that are not finite: take float32 as `dtype`")
        return [
            self._chosen(own.double().cpu().numpy(), of_words.double().cpu().numpy(), size)
            for own, of_words, size in zip(boxes, scores, sizes, strict=True)
        ]

    @abstractmethod
    def _read_processor(self) -> Any:
        """Read what prepares frames and phrases, and check the phrases."""

    @abstractmethod
    def _load(self) -> Any:
        """Load the weights."""

    @abstractmethod
    def _look(self, pictures: list[NDArray[np.uint8]]) -> tuple[Any, Any]:
        """Run the network on frames `(H, W, 3)`: corners in pixels, and the score of each phrase."""

    def _chosen(
        self, boxes: NDArray[np.float64], scores: NDArray[np.float64], size: tuple[int, int]
    ) -> list[Detection]:
        """Each box under its likeliest phrase, where that is likely enough."""
        best = scores.argmax(axis=1)
        sure = scores.max(axis=1)
        rows = [row for row in np.argsort(-sure, kind="stable") if sure[row] >= self._filter.confidence]
        found: list[Detection] = []
        for index, word in enumerate(self._words):
            of_word = [
                Detection((x1, y1, x2, y2), float(sure[row]), word)
                for row in rows
                if best[row] == index
                for x1, y1, x2, y2 in [boxes[row].tolist()]
            ]
            found += suppress(of_word, most=_MOST_OVERLAP)
        return self._filter.inside(found, size)


class GroundingDinoDetector(WordDetector):
    """Grounding DINO and MM Grounding DINO: a sentence of phrases, and for each box a score of each of its tokens."""

    def _read_processor(self) -> Any:
        processor = self._source.part("GroundingDinoProcessor")
        self._tokens = processor.tokenizer(self._text, return_tensors="pt")
        self._places = self._phrase_places(processor.tokenizer)
        return processor

    @property
    def _text(self) -> str:
        bare = [word.strip(".? ").lower() for word in self._words]
        for word, text in zip(self._words, bare, strict=True):
            if not text or "." in text or "?" in text:
                raise InvalidArgumentError("words", "phrases without full stops and question marks", repr(word))
        return " ".join(f"{text}." for text in bare)

    def _phrase_places(self, tokenizer: Any) -> list[list[int]]:
        """Places of the tokens of each phrase."""
        places: list[list[int]] = [[]]
        names = tokenizer.convert_ids_to_tokens(self._tokens["input_ids"][0].tolist())
        most = self._source.config.max_text_len
        if len(names) > most:
            raise InvalidArgumentError("words", f"at most {most} tokens in all", f"{len(names)}")
        for place, name in enumerate(names):
            if name not in _SEPARATORS:
                places[-1].append(place)
            elif places[-1]:
                places.append([])
        places = [own for own in places if own]
        if len(places) != len(self._words):
            raise InvalidArgumentError("words", "phrases of words that the model can read", repr(self._words))
        return places

    def _load(self) -> Any:
        prefix = "MM" if self._source.kind.startswith("mm") else ""
        # Its deformable attention mixes in float32 whatever the weights are.
        dtype = self._source.torch_dtype(on_gpu="float32")
        return self._source.weights(f"{prefix}GroundingDinoForObjectDetection", dtype)

    def _look(self, pictures: list[NDArray[np.uint8]]) -> tuple[Any, Any]:
        import torch

        device = self._source.device
        images = self._processor.image_processor(images=pictures, return_tensors="pt")
        tokens = {name: value.expand(len(pictures), -1).to(device) for name, value in self._tokens.items()}
        outputs = self._model(
            pixel_values=images["pixel_values"].to(device, self._model.dtype),
            pixel_mask=images["pixel_mask"].to(device),
            **tokens,
        )
        scores = outputs.logits.float().sigmoid()
        of_words = torch.stack([scores[..., own].amax(dim=-1) for own in self._places], dim=-1)
        height, width = pictures[0].shape[:2]
        x, y, w, h = outputs.pred_boxes.float().unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)
        return corners * corners.new_tensor([width, height, width, height]), of_words


class Owlv2Detector(WordDetector):
    """OWLv2: for each place of the frame a box, and a score of each phrase."""

    usual_confidence = 0.2

    def _read_processor(self) -> Any:
        processor = self._source.part("Owlv2Processor")
        most = self._source.config.text_config.max_position_embeddings
        # The sentence that such models are trained with.
        texts = [f"a photo of {word}" for word in self._words]
        for word, text in zip(self._words, texts, strict=True):
            length = len(processor.tokenizer(text)["input_ids"])
            if length > most:
                raise InvalidArgumentError("words", f"phrases of at most {most} tokens", repr(word))
        self._tokens = processor.tokenizer(texts, padding="max_length", max_length=most, return_tensors="pt")
        return processor

    def _load(self) -> Any:
        return self._source.weights("Owlv2ForObjectDetection", self._source.torch_dtype(on_gpu="float32"))

    def _look(self, pictures: list[NDArray[np.uint8]]) -> tuple[Any, Any]:
        import torch

        device = self._source.device
        images = self._processor.image_processor(images=pictures, return_tensors="pt")
        count = len(pictures)
        outputs = self._model(
            pixel_values=images["pixel_values"].to(device, self._model.dtype),
            # Phrases of one frame after those of the other.
            input_ids=self._tokens["input_ids"].repeat(count, 1).to(device),
            attention_mask=self._tokens["attention_mask"].repeat(count, 1).to(device),
        )
        # Frames are filled up to squares below or on the right, so shares are of the longer side.
        side = max(pictures[0].shape[:2])
        x, y, w, h = outputs.pred_boxes.float().unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1) * side
        return corners, outputs.logits.float().sigmoid()


WORD_DETECTORS: dict[str, type[WordDetector]] = {
    "grounding-dino": GroundingDinoDetector,
    "mm-grounding-dino": GroundingDinoDetector,
    "owlv2": Owlv2Detector,
}
"""Detectors by the `model_type` of their configuration."""
