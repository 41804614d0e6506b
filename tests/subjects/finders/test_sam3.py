"""SAM 3 video: what it is given and what it gives, and that what is let go changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from find_models import moving_squares, save_sam3
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.finders import find_tracks, open_word_finder
from segs_detailer.subjects.finders.sam3 import _forget, _Shot
from tensors_held import bytes_held

pytest.importorskip("transformers")

WORDS = ["person", "left hand"]
SIZE = (72, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Subjects of a random model live long enough to be reconditioned, and others are dropped.
    return save_sam3(tmp_path_factory.mktemp("sam3"), hotstart_unmatch_thresh=15, hotstart_dup_thresh=8)


@pytest.fixture(scope="module")
def finder(folder):
    return open_word_finder(WORDS, folder, device="cpu")


def test_what_is_let_go_changes_no_mask(finder):
    """Against the library's own pass through the whole clip."""
    from transformers import Sam3VideoInferenceSession

    frames = moving_squares(26)
    network = finder.network()
    whole = Sam3VideoInferenceSession(
        video=torch.stack([finder.pixels(frame) for frame in frames]),
        video_height=SIZE[0],
        video_width=SIZE[1],
        dtype=torch.float32,
    )
    for word, tokens in finder._tokens.items():
        number = whole.add_prompt(word)
        whole.prompt_input_ids[number] = tokens["input_ids"]
        whole.prompt_attention_masks[number] = tokens["attention_mask"]
    state = finder.new_state(SIZE)
    held, dropped = [], set()
    for number, expected in enumerate(network.propagate_in_video_iterator(whole)):
        with torch.inference_mode():
            state.add_new_frame(finder.pixels(frames[number]), number)
            out = network(state, frame_idx=number)
        assert out.obj_id_to_mask.keys() == expected.obj_id_to_mask.keys()
        assert all(torch.equal(mask, expected.obj_id_to_mask[own]) for own, mask in out.obj_id_to_mask.items())
        assert out.removed_obj_ids == expected.removed_obj_ids
        dropped |= out.removed_obj_ids
        _forget(state, network, number)
        held.append(bytes_held(state))
    assert dropped
    assert max(held[20:]) <= 1.5 * max(held[:20])
    assert bytes_held(whole) > 5 * held[-1]


def test_subjects_have_masks_labels_and_shots(finder):
    frames = moving_squares(5) + [1 - frame for frame in moving_squares(4, seed=5)]
    tracks = find_tracks(frames, finder)
    assert tracks
    assert {track.label for track in tracks} <= set(WORDS)
    assert {track.shot for track in tracks} <= {(0, 5), (5, 9)}
    for track in tracks:
        assert all(mask is not None and not mask.empty for mask in track.masks)
        assert all(mask.place == tuple(box) for mask, box in zip(track.masks, track.boxes.astype(int), strict=True))
    assert finder.gives_masks


def test_what_the_model_drops_is_forgotten(finder):
    shot = _Shot(finder, 0, SIZE)
    network, seen = shot._network, set()

    def dropping(state, frame_idx):
        out = network(state, frame_idx=frame_idx)
        seen.update(out.obj_id_to_mask)
        out.removed_obj_ids = {min(seen)} if frame_idx == 1 else set()
        return out

    dropping.tracker_model = network.tracker_model
    dropping.hotstart_unmatch_thresh, dropping.hotstart_dup_thresh = 15, 8
    shot._network = dropping
    for number, frame in enumerate(moving_squares(2)):
        shot.take(number, frame)
        if number == 0:
            assert min(seen) in shot._found
    assert min(seen) not in shot._found


def test_pixels_of_one_phrase_have_one_subject(finder):
    shot = _Shot(finder, 0, SIZE)
    shot._state.obj_id_to_prompt_id.update({1: 0, 2: 0, 3: 1})
    logits = {own: torch.full((18, 24), -5.0) for own in (1, 2, 3)}
    logits[1][:, :12], logits[2][:, 6:18], logits[3][:, :12] = 5.0, 5.0, 5.0
    masks = dict(shot._masks(logits, {1: 0.4, 2: 0.9, 3: 0.1}))
    assert masks[1].place[2] <= masks[2].place[0]
    assert masks[3].place[2] > masks[2].place[0]


def test_it_looks_at_every_frame(folder):
    with pytest.raises(InvalidArgumentError, match="find_every: expected 1 for SAM 3"):
        open_word_finder(WORDS, folder, every=4)
    with pytest.raises(InvalidArgumentError, match="confidence"):
        open_word_finder(WORDS, folder, confidence=0.0)


def test_pixels_are_those_of_the_librarys_processor(finder):
    pytest.importorskip("torchvision")
    from transformers.models.sam3.image_processing_sam3 import Sam3ImageProcessor

    side = finder.network().config.image_size
    processor = Sam3ImageProcessor(size={"height": side, "width": side})
    [frame] = moving_squares(1)
    picture = np.rint(frame * 255).astype(np.uint8)
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    errors = (finder.pixels(frame) - expected).abs()
    # One step of a byte where the library rounds in integers.
    assert float(errors.max()) <= 2 / 255 / 0.5
    assert float(errors.mean()) < 1e-3
