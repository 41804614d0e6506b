"""What lies over whole frames in the conditioning: cut to the segment, left out, or refused; never silently wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, segment, segs_of
from segs_detailer.crop_path import CropPath
from segs_detailer.detailer import detail_and_paste
from segs_detailer.detailer.canvas import Canvas, Placed
from segs_detailer.detailer.conditioning import ConditioningWarning, crop_conditioning, warn_about_conditioning
from segs_detailer.errors import InvalidArgumentError, ModelError
from segs_detailer.models.info import FramePacking
from segs_detailer.ops.frames import crop_frames

FRAME = (64, 96)
REGION = (16, 8, 48, 40)
PICTURES = FramePacking()
PACKING = FramePacking(lead=(1,), cycle=(4,))


def ramp(*shape, step=8):
    """Values that say where they lie: x in pixels of the frame in the first channel, y in the second."""
    height, width = shape[-2:]
    values = torch.zeros(shape)
    x = (torch.arange(width) + 0.5) * step
    y = (torch.arange(height) + 0.5)[:, None] * step
    values[:, 0] = x.expand(height, width) if values.ndim == 4 else x.expand(shape[2], height, width)
    values[:, 1] = y.expand(height, width) if values.ndim == 4 else y.expand(shape[2], height, width)
    return values


def placed(region=REGION, *, frames=1, scale=2, packing=PICTURES, **changes):
    size = (region[3] - region[1]) * scale, (region[2] - region[0]) * scale
    settings = {
        "order": list(range(frames)),
        "size": size,
        "latent_size": (size[0] // 8, size[1] // 8),
        "packing": packing,
    }
    return Placed(region, FRAME, **{**settings, **changes})


def cut(where=None, **details):
    [[_, changed]] = crop_conditioning([["embedding", details]], placed() if where is None else where)
    return changed


def moving(*corners, side=32):
    return CropPath([(x, y, x + side, y + side) for x, y in corners])


# Latents


def test_latents_are_cut_to_the_size_of_the_segments_own():
    latents = ramp(1, 16, 8, 12)
    found = cut(concat_latent_image=latents)["concat_latent_image"]
    assert found.shape == (1, 16, 8, 8)
    # At twice the fineness of the frame: a latent every four pixels.
    torch.testing.assert_close(found[0, 0, 3, 1:-1], 16 + 4 * (torch.arange(8)[1:-1] + 0.5))
    torch.testing.assert_close(found[0, 1, 1:-1, 3], 8 + 4 * (torch.arange(8)[1:-1] + 0.5))


def test_outside_the_frame_the_edge_goes_on():
    found = cut(placed((-32, 0, 32, 64), scale=1), concat_latent_image=ramp(1, 2, 8, 12))["concat_latent_image"]
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([4.0] * 5 + [12.0, 20.0, 28.0]))


def test_a_segment_of_the_whole_frame_gets_them_as_they_are():
    latents = ramp(1, 16, 8, 12)
    whole = placed((0, 0, 96, 64), scale=1)
    assert cut(whole, concat_latent_image=latents)["concat_latent_image"] is latents


def test_latents_of_a_clip_follow_a_crop_that_moves():
    path = moving(*[(8 * frame, 0) for frame in range(9)])
    latents = ramp(1, 16, 3, 8, 12)
    where = placed(path, frames=9, packing=PACKING, scale=1)
    found = cut(where, pose_video_latent=latents)["pose_video_latent"]
    assert found.shape == (1, 16, 3, 4, 4)
    # The first latent holds frame 0, the others four frames each: those in their middle are 2 and 6.
    torch.testing.assert_close(found[0, 0, :, 0, 0], torch.tensor([4.0, 8 * 2 + 4, 8 * 6 + 4]))


def test_frames_that_were_added_lie_where_their_originals_do():
    path = moving((0, 0), (8, 0), (40, 0))
    where = placed(path, order=[0, 1, 2, 1, 0], scale=1)
    found = cut(where, concat_mask=ramp(5, 2, 8, 12))["concat_mask"]
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([4.0, 12, 44, 12, 4]))
    # One for all frames becomes one for each.
    found = cut(where, concat_mask=ramp(1, 2, 8, 12))["concat_mask"]
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([4.0, 12, 44, 12, 4]))


def test_a_crop_that_turns_is_cut_as_frames_are():
    y, x = np.mgrid[:64, :96] / 30
    picture = torch.from_numpy(np.sin(x + 0.4 * y)).float()[None, None]
    path = CropPath([(20, 10, 60, 50)], angles=[30.0])
    found = cut(placed(path, scale=1, latent_size=(40, 40)), concat_latent_image=picture)["concat_latent_image"]
    expected = crop_frames(picture.movedim(1, -1).contiguous(), np.array([[20, 10, 60, 50, 30.0]]))[..., 0]
    torch.testing.assert_close(found[:, 0], expected, atol=5e-3, rtol=0)


def test_masks_of_pixels_keep_the_fineness_of_pixels():
    mask = torch.zeros((1, 1, *FRAME))
    mask[..., 16:24, 24:40] = 1
    found = cut(concat_mask=mask)["concat_mask"]
    assert found.shape == (1, 1, 64, 64)
    assert found[0, 0, 18:30, 18:46].min() == 1
    assert found[0, 0, :14].max() == found[0, 0, 34:].max() == 0


def test_latents_of_another_aspect_lie_over_the_middle_of_the_frames():
    # As ComfyUI makes them: the middle square of the frames, 64 x 64 pixels.
    latents = ramp(1, 2, 8, 8)
    found = cut(placed((48, 0, 56, 8), scale=1), concat_latent_image=latents)["concat_latent_image"]
    assert found[0, :, 0, 0].tolist() == [48 - 16 + 4, 4]


def test_motion_of_before_lies_where_the_clip_begins():
    path = moving((0, 0), (24, 0))
    found = cut(placed(path, frames=2, scale=1), reference_motion=ramp(1, 2, 4, 8, 12))["reference_motion"]
    torch.testing.assert_close(found[0, 0, :, 0, 0], torch.full((4,), 4.0))


def test_frames_of_vace_are_lists_and_their_masks_hold_pixels():
    frames = [ramp(1, 32, 2, 8, 12)]
    pixels = torch.zeros((1, 1, 2, *FRAME))
    pixels[..., 16:32, 24:40] = 1
    tiles = pixels.view(1, 2, 8, 8, 12, 8).permute(0, 3, 5, 1, 2, 4).flatten(1, 2)
    where = placed(frames=5, packing=PACKING, scale=1)
    changed = cut(where, vace_frames=frames, vace_mask=[tiles], vace_strength=[0.5])
    assert [tuple(each.shape) for each in changed["vace_frames"]] == [(1, 32, 2, 4, 4)]
    assert changed["vace_strength"] == [0.5]
    [mask] = changed["vace_mask"]
    back = mask.view(1, 8, 8, 2, 4, 4).permute(0, 3, 4, 1, 5, 2).reshape(1, 1, 2, 32, 32)
    torch.testing.assert_close(back, pixels[..., 8:40, 16:48])


def test_frames_of_vace_with_reference_pictures_are_refused_by_name():
    where = placed(frames=5, packing=PACKING)
    with pytest.raises(
        InvalidArgumentError, match=r"conditioning\['vace_frames'\]: expected 2 latents.*reference.*got 3"
    ):
        cut(where, vace_frames=[torch.zeros((1, 32, 3, 8, 12))])


def test_whole_pictures_and_numbers_are_kept():
    details = {
        "reference_latents": [torch.zeros((1, 16, 8, 12))],
        "clip_vision_output": object(),
        "guidance": 3.5,
        "frame_rate": 24,
        "minimax_refs": [{"kind": "image"}],
        "time_dim_concat": torch.zeros((1, 16, 1, 8, 8)),
    }
    entry = ["embedding", details]
    assert crop_conditioning([entry], placed())[0] is entry
    with pytest.raises(InvalidArgumentError, match=r"time_dim_concat.*: expected latents of \(8, 8\), made for 64 x"):
        cut(time_dim_concat=torch.zeros((1, 16, 1, 8, 12)))


def test_what_a_run_sets_itself_is_never_passed_on():
    assert cut(latent_shapes=[(1, 2)], denoise_mask=torch.zeros(1), guidance=2.0) == {"guidance": 2.0}


def test_guides_of_whole_frames_are_left_out_and_named():
    sound = torch.zeros((1, 32, 2, 8))
    details = {
        "keyframe_idxs": torch.zeros((1, 3, 96, 2)),
        "guide_attention_entries": [{}],
        "minimax_keyframes": [
            {"resolved_frame_index": 3, "latent": torch.zeros((1, 24, 1, 8, 12)), "audio_latent": sound},
            {"resolved_frame_index": 0, "latent": torch.zeros((1, 24, 1, 8, 12))},
        ],
        "frame_rate": 25,
    }
    changed = cut(**details)
    assert changed.keys() == {"minimax_keyframes", "frame_rate"}
    assert changed["minimax_keyframes"] == [{"resolved_frame_index": 3, "audio_latent": sound}]
    message = "guide_attention_entries, keyframe_idxs, minimax_keyframes cannot be cut to segments and is left out"
    with pytest.warns(ConditioningWarning, match=message):
        warn_about_conditioning([[["embedding", details]]], FRAME)


def test_what_looks_like_pictures_of_the_frame_is_named_once_in_a_run():
    frames = clip(height=64, width=96)
    details = {"depth_of_mine": torch.zeros((1, 16, 8, 12)), "style_of_mine": torch.zeros((1, 16, 8, 8))}
    run = run_of(FakeSampler(), positive=[["embedding", details]], negative=[["embedding", details]])
    with pytest.warns(ConditioningWarning) as said:
        detail_and_paste(frames, segs_of(frames, segment(), segment((40, 20, 60, 50))), run)
    [message] = [str(warning.message) for warning in said]
    assert message.startswith("conditioning of whole frames: depth_of_mine is not known, looks like")


def test_a_conditioning_of_text_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_conditioning([[["embedding", {"pooled_output": torch.zeros((1, 8))}]], "placeholder", [3]], FRAME)


# Areas


def test_an_area_becomes_shares_of_the_segment():
    # 32 pixels high, 40 wide, at y 16 and x 24.
    assert cut(area=(4, 5, 2, 3))["area"] == ("percentage", 0.75, 0.75, 0.25, 0.25)
    area = ("percentage", 0.5, 5 / 12, 0.25, 0.25)
    assert cut(area=area)["area"] == ("percentage", pytest.approx(0.75), pytest.approx(0.75), 0.25, 0.25)
    changed = cut(area=("percentage", 1.0, 0.5, 5 / 12, 0.0, 0.25, 0.25))["area"]
    assert changed == ("percentage", 1.0, pytest.approx(0.75), pytest.approx(0.75), 0.0, 0.25, 0.25)


def test_entries_of_other_places_are_left_out_unless_there_is_no_other():
    here, there, everywhere = (["a", {"area": (8, 4, 0, 0)}], ["b", {"area": (8, 2, 0, 10)}], ["c", {}])
    kept = crop_conditioning([here, there, everywhere], placed())
    assert [entry[0] for entry in kept] == ["a", "c"]
    assert crop_conditioning([there], placed()) == [["b", {}]]


def test_an_area_under_a_crop_that_moves_becomes_a_mask():
    path = moving((0, 0), (16, 8))
    changed = cut(placed(path, frames=2), area=(2, 2, 2, 3), strength=0.5)
    assert "area" not in changed
    assert changed["strength"] == 0.5
    frames = torch.zeros((2, *FRAME))
    frames[:, 16:32, 24:40] = 1
    assert torch.equal(changed["mask"], torch.stack([frames[0, :32, :32], frames[1, 8:40, 16:48]]))


# ControlNets of the graph


class Control:
    """As much of ComfyUI's ControlBase as is touched here."""

    def __init__(self, hint, previous=None, extra=()):
        self.cond_hint_original, self.previous_controlnet, self.extra_concat_orig = hint, previous, list(extra)

    def copy(self):
        return Control(self.cond_hint_original, extra=self.extra_concat_orig)

    def set_previous_controlnet(self, previous):
        self.previous_controlnet = previous


def test_pictures_of_controlnets_are_cut_along_the_whole_chain():
    first, dummy = Control(ramp(1, 3, *FRAME, step=1)), torch.ones((1, 1, 1, 1))
    last = Control(ramp(1, 3, 128, 192, step=0.5), first, extra=[dummy])
    entries = [["a", {"control": last}], ["b", {"control": last}]]
    [[_, a], [_, b]] = crop_conditioning(entries, placed())
    assert a["control"] is b["control"] is not last
    hint = a["control"].cond_hint_original
    # At its own fineness, of which ComfyUI makes that of the network.
    assert hint.shape == (1, 3, 64, 64)
    torch.testing.assert_close(hint, last.cond_hint_original[..., 16:80, 32:96])
    assert a["control"].extra_concat_orig == [dummy]
    torch.testing.assert_close(
        a["control"].previous_controlnet.cond_hint_original, first.cond_hint_original[..., 8:40, 16:48]
    )
    assert last.cond_hint_original.shape[-1] == 192
    whole = placed((0, 0, 96, 64))
    assert crop_conditioning(entries, whole)[0][1]["control"] is last


def test_a_picture_of_another_aspect_lies_as_comfyui_would_lay_it():
    # ComfyUI takes the middle of a square picture for frames that are wider than high.
    control = Control(ramp(1, 3, 96, 96, step=1))
    hint = cut(control=control)["control"].cond_hint_original
    torch.testing.assert_close(hint, control.cond_hint_original[..., 24:56, 16:48])


def test_pictures_of_controlnets_follow_a_crop_that_moves():
    path = moving((0, 0), (16, 8))
    where = placed(path, order=[0, 1, 0])
    for count in (1, 2):
        hint = cut(where, control=Control(ramp(count, 3, *FRAME, step=1)))["control"].cond_hint_original
        torch.testing.assert_close(hint[:, 0, 0, 0], torch.tensor([0.5, 16.5, 0.5]))
    with pytest.raises(InvalidArgumentError, match=r"conditioning\['control'\]: expected 1 or 2 pictures.*got 3"):
        cut(where, control=Control(ramp(3, 3, *FRAME)))


# In a run


def test_the_detailer_cuts_for_base_and_refiner():
    frames = clip(height=64, width=96)
    latents = ramp(1, 16, 8, 12)
    sampler, refiner = FakeSampler(), FakeSampler()
    entry = [["embedding", {"concat_latent_image": latents}]]
    run = run_of(
        sampler,
        positive=entry,
        negative=entry,
        refiner=(refiner, None, None, entry, entry),
        refiner_ratio=0.5,
        batch_segments=4,
    )
    regions = [(16, 8, 48, 40), (56, 8, 88, 40)]
    detail_and_paste(frames, segs_of(frames, *map(segment, regions)), run)
    # What belongs to a place keeps segments apart.
    assert len(sampler.jobs) == 2
    for job, region in zip(sampler.jobs, regions, strict=True):
        for side in (job.positive, job.negative, job.refiner.positive, job.refiner.negative):
            found = side[0][1]["concat_latent_image"]
            assert found.shape == (1, 16, 8, 8)
            assert float(found[0, 0, 4, 4]) == region[0] + 18


def test_a_canvas_says_how_fine_it_is():
    assert Canvas(torch.zeros((1, 1, 8, 12))).scale(FRAME) == 1 / 8
    assert not Canvas(torch.zeros((1, 1, 8, 12))).holds_pixels(FRAME)
    assert Canvas(torch.zeros((1, 1, 64, 96))).holds_pixels(FRAME)


def test_a_model_that_was_shown_whole_frames_is_refused_by_name():
    class Shown(FakeSampler):
        of_whole_frames = ("MiniMaxH3FunControlPatch",)

    frames = clip(height=64, width=96)
    with pytest.raises(ModelError, match="has MiniMaxH3FunControlPatch, with pictures of the whole frame"):
        detail_and_paste(frames, segs_of(frames, segment()), run_of(Shown()))
    whole = segment((0, 0, 96, 64))
    sampler = Shown()
    detail_and_paste(frames, segs_of(frames, whole), run_of(sampler))
    assert len(sampler.jobs) == 1
