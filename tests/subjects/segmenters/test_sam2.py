"""SAM 2.1 and EdgeTAM: masks are those of the library's own sessions, and what is held does not grow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from find_models import SIDE, moving_squares, save_segmenter
from segs_detailer.errors import ModelError
from segs_detailer.subjects.segmenters import open_segmenter
from segs_detailer.subjects.segmenters.pictures import mask_of_logits, normalized, reduced
from tensors_held import bytes_held

pytest.importorskip("transformers")

SIZE = (72, 96)
BOX = (10.0, 20.0, 34.0, 44.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module", params=["sam2_video", "edgetam_video"])
def segmenter(request, tmp_path_factory):
    return open_segmenter(save_segmenter(tmp_path_factory.mktemp(request.param), kind=request.param), device="cpu")


def library_masks(session, pictures, numbers, *, reverse=False):
    """Masks of a session of the library that keeps everything, and the session."""
    state = session.new_state()
    own = state.obj_id_to_idx(1)
    scale = [SIDE / SIZE[1], SIDE / SIZE[0]]
    corners = torch.tensor([[[[BOX[0], BOX[1]], [BOX[2], BOX[3]]]]]) * torch.tensor(scale)
    labels = torch.tensor([[[2, 3]]], dtype=torch.int32)
    state.add_point_inputs(own, numbers[0], {"point_coords": corners, "point_labels": labels})
    state.obj_with_new_inputs = [1]
    masks = []
    with torch.inference_mode():
        for number in numbers:
            pixels = normalized(pictures[number], MEAN, STD, torch.device("cpu"), torch.float32)
            out = session.network(state, frame=pixels, frame_idx=number, reverse=reverse)
            masks.append(mask_of_logits(out.pred_masks[0, 0], SIZE))
    return masks, state


def test_what_is_let_go_changes_no_mask(segmenter):
    session = segmenter.begin(SIZE)
    pictures = [session.picture(frame) for frame in moving_squares(60)]
    subject, mask = session.prompt(0, pictures[0], BOX)
    masks, held = [mask], []
    for number in range(1, 60):
        masks.append(subject.follow(number, pictures[number]))
        held.append(bytes_held(subject._state))
    expected, state = library_masks(session, pictures, range(60))
    assert masks == expected
    assert len({hash(mask) for mask in masks}) > 10
    # From the moment on when it remembers as much as it looks back.
    assert len(set(held[20:])) == 1
    assert bytes_held(state) > 50 * held[-1]


def test_a_subject_is_followed_backwards(segmenter):
    session = segmenter.begin(SIZE)
    pictures = [session.picture(frame) for frame in moving_squares(12)]
    subject, mask = session.prompt(11, pictures[11], BOX)
    before = subject.turned()
    masks = [mask, *(before.follow(number, pictures[number]) for number in range(10, -1, -1))]
    assert masks == library_masks(session, pictures, range(11, -1, -1), reverse=True)[0]


def test_subjects_do_not_touch_each_other(segmenter):
    """Each has the masks that it has alone, whoever comes and goes beside it."""
    frames = moving_squares(8)
    session = segmenter.begin(SIZE)
    pictures = [session.picture(frame) for frame in frames]
    alone, mask = session.prompt(0, pictures[0], BOX)
    expected = [mask, *(alone.follow(number, pictures[number]) for number in range(1, 8))]
    session = segmenter.begin(SIZE)
    first, mask = session.prompt(0, pictures[0], BOX)
    masks, other = [mask], None
    for number in range(1, 8):
        masks.append(first.follow(number, pictures[number]))
        if number == 3:
            other, _ = session.prompt(number, pictures[number], (50, 10, 90, 60))
        elif other is not None and number < 6:
            other.follow(number, pictures[number])
    assert masks == expected


def test_a_new_shot_knows_nothing_of_the_last(segmenter):
    """Frames of two sessions may have the same numbers."""
    first, second = (moving_squares(1, seed=seed)[0] for seed in (1, 2))
    session = segmenter.begin(SIZE)
    _, mask = session.prompt(0, session.picture(first), BOX)
    session = segmenter.begin(SIZE)
    _, other = session.prompt(0, session.picture(second), BOX)
    session = segmenter.begin(SIZE)
    assert session.prompt(0, session.picture(second), BOX)[1] == other
    assert mask != other


def test_weights_that_were_let_go_are_loaded_again(segmenter):
    def mask():
        session = segmenter.begin(SIZE)
        return session.prompt(0, session.picture(moving_squares(1)[0]), BOX)[1]

    before = mask()
    segmenter.release()
    assert segmenter._network is None
    assert mask() == before


def test_numbers_that_are_not_finite_are_an_error(segmenter):
    session = segmenter.begin(SIZE)
    network = session.network

    def broken(*args, **options):
        out = network(*args, **options)
        out.pred_masks[:] = torch.nan
        return out

    session.network = broken
    broken.dtype, broken.config = network.dtype, network.config
    with pytest.raises(ModelError, match="not finite"):
        session.prompt(0, session.picture(moving_squares(1)[0]), BOX)


def test_masks_lie_where_the_logits_are():
    logits = torch.full((18, 24), -3.0)
    logits[5:11, 3:9] = 3.0
    mask = mask_of_logits(logits, SIZE)
    assert mask.place == (12, 20, 36, 44)
    assert mask_of_logits(torch.full((18, 24), -1.0), SIZE).empty


def test_pictures_are_those_of_the_librarys_processor():
    pytest.importorskip("torchvision")
    from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor

    processor = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
    [frame] = moving_squares(1, size=(200, 300))
    picture = np.rint(frame * 255).astype(np.uint8)
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    own = normalized(reduced(frame, SIDE), MEAN, STD, torch.device("cpu"), torch.float32)
    errors = (own - expected).abs()
    # One step of a byte where the library rounds in integers.
    assert float(errors.max()) <= 1.01 / 255 / min(STD)
    assert float(errors.mean()) < 1e-3
