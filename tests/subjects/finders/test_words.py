"""Detectors that take words: what they see, what they give back, and how a clip is searched with them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from find_models import moving_squares, save_grounding_dino, save_owlv2, save_segmenter
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, ModelError
from segs_detailer.subjects import Detection, Track
from segs_detailer.subjects.finders import Detector, FollowSettings, find_tracks, open_word_finder
from segs_detailer.subjects.finders.word_finder import WordFinder, filled_between
from segs_detailer.subjects.finders.words import WORD_DETECTORS
from segs_detailer.subjects.hub_models import read_model

pytest.importorskip("transformers")

WORDS = ["person", "left hand"]
MAKERS = {
    "grounding-dino": save_grounding_dino,
    "mm-grounding-dino": lambda folder: save_grounding_dino(folder, kind="mm-grounding-dino"),
    "owlv2": save_owlv2,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in MAKERS.items()}


def detector(folder, words=WORDS, **options):
    model = read_model(folder, WORD_DETECTORS, argument="find_model", device="cpu")
    return WORD_DETECTORS[model.kind](model, words, **options)


def library_result(folder, frame):
    """Boxes and scores as the library's own processor gives them."""
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    is_owl = "Owl" in type(processor).__name__
    text = [[f"a photo of {word}" for word in WORDS]] if is_owl else [WORDS]
    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    picture = np.rint(frame * 255).astype(np.uint8)
    padding = {"padding": "max_length", "max_length": 32} if is_owl else {}
    inputs = processor(images=[picture], text=text, return_tensors="pt", **padding)
    with torch.no_grad():
        outputs = model(**inputs)
    options = {} if is_owl else {"input_ids": inputs["input_ids"]}
    sizes = [frame.shape[:2]]
    [found] = processor.post_process_grounded_object_detection(outputs, threshold=0.0, target_sizes=sizes, **options)
    return found["boxes"].numpy(), found["scores"].numpy()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [(72, 128), (120, 64)])
@pytest.mark.parametrize("kind", MAKERS)
def test_boxes_are_those_of_the_librarys_own_processor(folders, kind, size):
    [frame] = moving_squares(1, size=size)
    boxes, scores = library_result(folders[kind], frame)
    [found] = detector(folders[kind], confidence=1e-6).detect([frame])
    assert found
    height, width = size
    clipped = np.clip(boxes, 0, [width, height, width, height])
    for each in found:
        errors = np.abs(clipped - np.array(each.box)).max(axis=1)
        assert errors.min() < 1e-2
        # Grounding DINO's own score counts full stops too.
        assert each.score <= scores[errors.argmin()] + 1e-4
        assert kind != "owlv2" or each.score == pytest.approx(scores[errors.argmin()], abs=1e-4)
        assert each.label in WORDS


def test_a_box_has_the_phrase_whose_token_is_likeliest(folders):
    """And its place is a share of the frame's sides."""
    finder = detector(folders["grounding-dino"])
    # [CLS] person . left hand . [SEP]
    logits = torch.full((1, 3, 32), -9.0)
    logits[0, 0, 4], logits[0, 1, 1], logits[0, 2, 5] = 2.0, 1.0, 5.0
    centers = torch.tensor([[[0.5, 0.5, 0.2, 0.5], [0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])
    finder._model = lambda **_: SimpleNamespace(logits=logits, pred_boxes=centers)
    finder._model.dtype = torch.float32
    [found] = finder.detect([np.zeros((80, 100, 3), np.float32)])
    # The third has only a full stop.
    assert [(each.label, each.box) for each in found] == [
        ("left hand", pytest.approx((40, 20, 60, 60))),
        ("person", pytest.approx((0, 0, 50, 40))),
    ]
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-2)))


def test_numbers_that_are_not_finite_are_an_error(folders):
    finder = detector(folders["owlv2"])
    boxes = torch.full((1, 3, 4), torch.nan)
    finder._model = lambda **_: SimpleNamespace(logits=torch.zeros(1, 3, 2), pred_boxes=boxes)
    finder._model.dtype = torch.float32
    with pytest.raises(ModelError, match="not finite"):
        finder.detect([np.zeros((80, 100, 3), np.float32)])


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ("person", InvalidTypeError, "expected phrases, got 'person'"),
        ([], InvalidArgumentError, "at least one phrase"),
        ([" "], InvalidArgumentError, "none that is empty"),
        (["Person", "person "], InvalidArgumentError, "no two are the same"),
        (["a. b"], InvalidArgumentError, "without full stops"),
        (["person " * 40], InvalidArgumentError, "at most 32 tokens"),
    ],
)
def test_phrases_that_cannot_be_looked_for(folders, words, error, text):
    with pytest.raises(error, match=text):
        detector(folders["grounding-dino"], words)


def test_phrases_that_are_too_long_for_owl(folders):
    with pytest.raises(InvalidArgumentError, match="phrases of at most 32 tokens, got 'personpersonperson"):
        detector(folders["owlv2"], ["person" * 10])


def test_models_that_cannot_be_used(tmp_path, folders):
    other = save_segmenter(tmp_path / "sam2")
    with pytest.raises(ModelError, match="is a model of type sam2_video, and `find_model` takes grounding-dino"):
        open_word_finder(WORDS, other)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        open_word_finder(WORDS, tmp_path)
    with pytest.raises(InvalidArgumentError, match="find_model: expected a folder or a hub id, got the file"):
        open_word_finder(WORDS, other / "config.json")
    with pytest.raises(InvalidArgumentError, match=r"or a name of `models list`, got 'dino'"):
        open_word_finder(WORDS, "dino")
    with pytest.raises(InvalidArgumentError, match="dtype: expected one of auto, float32"):
        open_word_finder(WORDS, folders["owlv2"], dtype="int8")
    with pytest.raises(InvalidArgumentError, match="device"):
        open_word_finder(WORDS, folders["owlv2"], device="tpu?")
    (other / "model.safetensors").write_bytes(b"broken")
    from segs_detailer.subjects.segmenters import open_segmenter

    with pytest.raises(ModelError, match="cannot be loaded"):
        open_segmenter(other).begin((72, 96))


def test_a_finder_by_words_finds_tracks_in_a_clip(folders):
    finder = open_word_finder(WORDS, folders["grounding-dino"], every=4, confidence=0.01, device="cpu")
    tracks = find_tracks(moving_squares(9), finder, FollowSettings(min_share=0, min_frames=1))
    assert tracks
    assert {track.label for track in tracks} <= set(WORDS)
    assert all(track.frames.tolist() == [0, 4, 8] for track in tracks if len(track.frames) == 3)
    assert finder.identity
    assert not finder.gives_masks


class Square(Detector):
    """Finds what is bright, and remembers how many frames it was shown."""

    names = ("square",)
    batch = 2

    def __init__(self):
        self.seen = 0

    def detect(self, frames):
        self.seen += len(frames)
        found = []
        for frame in frames:
            y, x = np.nonzero(frame[..., 0] > 0.8)
            box = (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1)) if len(x) else None
            found.append([Detection(box, 0.9, "square")] if box else [])
        return found


def test_some_frames_of_each_shot_are_looked_at():
    frames = moving_squares(14) + [1 - frame for frame in moving_squares(13, seed=5)]
    shown = Square()
    tracks = WordFinder(shown, every=5).find(frames)
    assert shown.seen == 3 + 3
    first = tracks[0]
    assert first.shot == (0, 14)
    assert first.frames.tolist() == [0, 5, 10]
    assert first.boxes[:, 0].tolist() == [10, 15, 20]
    assert all(track.shot == (14, 27) and set(track.frames) <= {14, 19, 24} for track in tracks[1:])


def test_boxes_between_looks_lie_on_the_way():
    track = Track(1, "x", [0, 4, 20], [(0, 0, 10, 10), (8, 4, 18, 14), (8, 4, 18, 14)], [1.0, 0.5, 0.5])
    filled = filled_between(track, 4)
    assert filled.frames.tolist() == [0, 1, 2, 3, 4, 20]
    assert filled.boxes[1].tolist() == [2, 1, 12, 11]
    assert filled.confidence[2] == 0.75
    assert filled_between(track, 1) is track


def test_every_is_a_number_of_frames():
    with pytest.raises(InvalidArgumentError, match="every"):
        WordFinder(Square(), every=0)
