"""Crop regions that move: everything that takes a crop region takes a path, frame by frame."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detailer_run import run_of
from fake_sampler import FakeSampler, clip, constant, identity, pipe_of, segment, segs_of, smooth_clip
from segs_detailer.comfyui.preview import draw_segments, preview_segments
from segs_detailer.crop_path import CropPath, place_of, region_at
from segs_detailer.detailer import ControlNetWrapper, SegmentWarning, detail_frames, with_control_net
from segs_detailer.detailer.batches import batch_segments
from segs_detailer.detailer.crops import cut_stack
from segs_detailer.detailer.pasting import paste_segs
from segs_detailer.errors import InvalidArgumentError
from segs_detailer.models.info import Geometry
from segs_detailer.nodes import SEGSPaste
from segs_detailer.segs import check_segs, scale_match

FRAMES = 5
SIDE = 16


def path_of(step=(4, 2), start=(3, 5), frames=FRAMES, side=SIDE, alpha=None):
    """A path of squares along a straight line."""
    corners = np.array(start) + np.arange(frames)[:, None] * np.array(step)
    return CropPath(np.concatenate([corners, corners + side], axis=1), alpha)


def moving(path, **changes):
    height, width = path.size
    return segment(path, bbox=tuple(path), mask=np.ones((height, width), np.float32))._replace(**changes)


def detail(frames, *segments, repaint=identity, geometry=None, **settings):
    settings = {"guide_size": 8, "steps": 1, "feather": 0, "noise_mask_feather": 0, **settings}
    sampler = FakeSampler(repaint, geometry=geometry)
    return detail_frames(
        frames, segs_of(frames, *segments), pipe_of(sampler, *settings.pop("conditioning", ())), **settings
    ), sampler


def cut(frames, path):
    return torch.stack(
        [frame[y1:y2, x1:x2] for frame, (x1, y1, x2, y2) in zip(frames, path.regions.astype(int), strict=True)]
    )


class TestIdentity:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
    def test_in_whole_pixels_not_a_bit_changes(self, dtype):
        frames = clip(FRAMES)
        frames = (frames * 255).to(dtype) if dtype == torch.uint8 else frames.to(dtype)
        path = path_of()
        result, sampler = detail(frames, moving(path))
        assert torch.equal(result.frames, frames)
        assert sampler.encoded[0].shape == (FRAMES, SIDE, SIDE, 3)
        [seg] = result.segs[1]
        assert seg.crop_region is path
        expected = cut(frames, path).float() / (255 if dtype == torch.uint8 else 1)
        np.testing.assert_array_equal(seg.cropped_image, expected.numpy())

    def test_scaled_up_and_back(self):
        frames = smooth_clip(FRAMES)
        result, sampler = detail(frames, moving(path_of()), guide_size=64)
        assert sampler.encoded[0].shape == (FRAMES, 64, 64, 3)
        torch.testing.assert_close(result.frames, frames, atol=1e-2, rtol=0)

    @pytest.mark.parametrize(("inset", "error"), [(0, 0.03), (3, 2e-3)])
    def test_between_pixels_within_the_interpolation_error(self, inset, error):
        """Along the crop's own border there are no pixels beyond it to interpolate with."""
        frames = smooth_clip(FRAMES)
        path = path_of(step=(3.3, 1.7), start=(3.25, 5.5))
        assert not path.is_whole
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[inset : SIDE - inset, inset : SIDE - inset] = 1
        result, _ = detail(frames, moving(path, cropped_mask=mask))
        torch.testing.assert_close(result.frames, frames, atol=error, rtol=0)
        outside = torch.ones(FRAMES, 48, 64, dtype=torch.bool)
        for index, (x1, y1, x2, y2) in enumerate(path.regions):
            outside[index, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
        assert torch.equal(result.frames[outside], frames[outside])

    def test_whole_numbers_are_given_as_such(self):
        assert place_of(path_of()).dtype == np.int64
        assert place_of((1, 2, 3, 4)) == (1, 2, 3, 4)


class TestPasting:
    def test_each_frame_is_painted_where_its_region_is(self):
        frames, path = clip(FRAMES), path_of()
        result, _ = detail(frames, moving(path), repaint=constant(0.25))
        expected = frames.clone()
        for frame, (x1, y1, x2, y2) in zip(expected, path.regions.astype(int), strict=True):
            frame[y1:y2, x1:x2] = 0.25
        torch.testing.assert_close(result.frames, expected, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("in_place", [False, True])
    def test_the_paths_alpha_weighs_each_frame(self, in_place):
        alpha = np.array([0, 0.25, 1, 0.5, 0], np.float32)
        frames, path = clip(FRAMES), path_of(alpha=alpha)
        before = frames.clone()
        result, _ = detail(frames, moving(path), repaint=constant(0.25), in_place=in_place)
        for index, (x1, y1, x2, y2) in enumerate(path.regions.astype(int)):
            expected = before[index].clone()
            part = expected[y1:y2, x1:x2]
            expected[y1:y2, x1:x2] = (1 - alpha[index]) * part + alpha[index] * 0.25
            torch.testing.assert_close(result.frames[index], expected, atol=1e-6, rtol=0)
        assert torch.equal(result.frames[0], before[0])

    def test_masks_and_feather_go_along(self):
        frames, path = torch.zeros(FRAMES, 48, 64, 3), path_of()
        mask = np.zeros((SIDE, SIDE), np.float32)
        mask[4:12, 4:12] = 1
        result, _ = detail(frames, moving(path, cropped_mask=mask), repaint=constant(1.0), feather=2)
        patches = cut(result.frames, path)
        assert float(patches[0].max()) > 0.9
        assert 0 < float(patches[0][4, 4, 0]) < 1
        torch.testing.assert_close(patches, patches[:1].expand_as(patches), atol=1e-6, rtol=0)

    def test_regions_that_pass_the_edge_are_clipped(self):
        frames, path = clip(FRAMES), path_of(step=(20, 0), start=(-24, 36))
        result, _ = detail(frames, moving(path), repaint=constant(0.25))
        assert torch.equal(result.frames[0], frames[0])  # wholly outside
        torch.testing.assert_close(result.frames[2, 36:, 16:32], torch.full((12, 16, 3), 0.25), atol=1e-6, rtol=0)
        assert torch.equal(result.frames[2, :36], frames[2, :36])

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            (path_of(start=(100, 0)), "its crop region holds no pixel of the frames"),
            (path_of(alpha=np.zeros(FRAMES)), "it is shown in no frame"),
        ],
        ids=["out", "hidden"],
    )
    def test_what_is_never_seen_is_left_with_a_warning(self, path, reason):
        frames = clip(FRAMES)
        with pytest.warns(SegmentWarning, match=reason):
            result, sampler = detail(frames, moving(path))
        assert result.frames is frames
        assert sampler.jobs == []

    @pytest.mark.parametrize("count", [1, FRAMES])
    def test_the_paste_node(self, count):
        frames, reference, path = clip(FRAMES), clip(count, seed=3), path_of()
        crops = torch.full((count, SIDE, SIDE, 3), 0.25)
        [pasted] = SEGSPaste.doit(frames, segs_of(frames, moving(path, cropped_image=crops)), feather=0)
        torch.testing.assert_close(cut(pasted, path), crops.expand(FRAMES, -1, -1, -1), atol=1e-6, rtol=0)
        [pasted] = SEGSPaste.doit(frames, segs_of(frames, moving(path)), feather=0, ref_image_opt=reference)
        assert torch.equal(cut(pasted, path), cut(reference.expand(FRAMES, -1, -1, -1), path))


class TestSegs:
    def test_checking_keeps_the_path(self):
        frames = clip(FRAMES)
        segs = segs_of(frames, moving(path_of()))
        assert check_segs(segs) is segs
        copied = pickle.loads(pickle.dumps(segs[1][0].crop_region))
        assert copied == segs[1][0].crop_region

    @pytest.mark.parametrize("count", [1, FRAMES - 1, FRAMES + 1])
    def test_a_path_through_another_number_of_frames_is_refused(self, count):
        frames, segs = clip(count), segs_of(clip(count), moving(path_of()))
        message = rf"^segs\[1\]\[0\]\.crop_region: expected a path through {count} frames, got one through {FRAMES}"
        with pytest.raises(InvalidArgumentError, match=message):
            detail(frames, *segs[1])
        with pytest.raises(InvalidArgumentError, match=message):
            preview_segments(frames, segs)

    def test_scale_match_scales_every_region_and_keeps_one_size(self):
        alpha = np.linspace(0, 1, FRAMES)
        path = path_of(step=(3, 1), alpha=alpha)
        masks = np.random.default_rng(0).random((FRAMES, SIDE, SIDE), dtype=np.float32)
        size, [seg] = scale_match(((48, 64), [moving(path, cropped_mask=masks)]), (FRAMES, 72, 128, 3))
        assert size == (72, 128)
        assert isinstance(seg.crop_region, CropPath)
        assert seg.crop_region.size == (24, 32)
        assert seg.crop_region.is_whole
        expected = np.trunc(path.regions[:, :2] * (2, 1.5))
        np.testing.assert_array_equal(seg.crop_region.regions[:, :2], expected)
        np.testing.assert_array_equal(seg.crop_region.alpha, alpha.astype(np.float32))
        assert seg.cropped_mask.shape == (FRAMES, 24, 32)

    def test_frames_of_another_size_are_detailed(self):
        frames = clip(FRAMES, 96, 128)
        path = path_of()
        segs = (48, 64), [moving(path)]
        result = detail_frames(
            frames, segs, pipe_of(FakeSampler(constant(0.25))), guide_size=8, steps=1, feather=0, noise_mask_feather=0
        )
        for frame, (x1, y1, x2, y2) in zip(result.frames, (path.regions * 2).astype(int), strict=True):
            torch.testing.assert_close(frame[y1:y2, x1:x2], torch.full((32, 32, 3), 0.25), atol=1e-6, rtol=0)


class TestAround:
    def test_a_hook_that_moves_the_edges_moves_them_in_all_frames(self):
        class Wider:
            def post_crop_region(self, w, h, item_bbox, crop_region):
                assert type(crop_region) is tuple
                x1, y1, x2, y2 = crop_region
                return x1 - 2, y1, x2 + 2, y2 + 1

        frames, path = clip(FRAMES), path_of(start=(8, 5))
        result, _ = detail(frames, moving(path), repaint=constant(0.25), hook=Wider())
        [seg] = result.segs[1]
        np.testing.assert_array_equal(seg.crop_region.regions, path.regions + np.array([-2, 0, 2, 1]))
        # What was not in the old region is not painted.
        assert torch.equal(result.frames[1, :, : int(path.regions[1, 0])], frames[1, :, : int(path.regions[1, 0])])
        torch.testing.assert_close(
            cut(result.frames, path), torch.full((FRAMES, SIDE, SIDE, 3), 0.25), atol=1e-6, rtol=0
        )

    def test_conditioning_masks_are_cut_frame_by_frame(self):
        frames, path = clip(FRAMES), path_of()
        one, each = torch.rand(48, 64), torch.rand(FRAMES, 48, 64)
        conditioning = [["p", {"mask": one}]], [["n", {"mask": each}]]
        # The model wants more frames: masks are lengthened with them.
        _, sampler = detail(
            frames, moving(path), conditioning=conditioning, geometry=Geometry(size_multiple=8, min_frames=7)
        )
        [job] = sampler.jobs
        order = [0, 1, 2, 3, 4, 3, 2]
        for entries, masks in ((job.positive, one.expand(FRAMES, -1, -1)), (job.negative, each)):
            assert torch.equal(entries[0][1]["mask"], cut(masks, path)[order])

    def test_conditioning_masks_whose_number_does_not_fit_are_refused(self):
        with pytest.raises(InvalidArgumentError, match=r"expected 1 or 5 masks, for a crop region that moves"):
            detail(clip(FRAMES), moving(path_of()), conditioning=([["p", {"mask": torch.rand(2, 48, 64)}]], []))

    @pytest.mark.parametrize("count", [1, FRAMES])
    def test_control_images_are_cut_frame_by_frame(self, count):
        frames, picture, path = clip(FRAMES), clip(count, seed=4), path_of()
        wrapper = ControlNetWrapper(controlnet=object(), control_image=picture)
        _, [seg] = with_control_net(segs_of(frames, moving(path)), wrapper)
        result, _ = detail(frames, seg, conditioning=([["p", {}]], [["n", {}]]))
        [image] = result.cnet_images
        torch.testing.assert_close(image, cut(picture.expand(FRAMES, -1, -1, -1), path))

    def test_segments_are_sampled_together_where_they_never_meet(self):
        run = run_of(FakeSampler(geometry=Geometry(size_multiple=8, takes_clips=True)), batch_segments=8)
        frames = clip(FRAMES)
        ahead, behind = path_of(step=(8, 0), start=(16, 0)), path_of(step=(8, 0), start=(0, 0))
        # One follows the other: each is where the other was, but never at once.
        assert batch_segments([moving(ahead), moving(behind)], frames, run, pasted=True) == [[0, 1]]
        crossing = path_of(step=(-8, 0), start=(32, 0))
        assert batch_segments([moving(behind), moving(crossing)], frames, run, pasted=True) == [[0], [1]]
        fixed = segment((0, 32, 16, 48))
        assert batch_segments([moving(behind), fixed], frames, run, pasted=True) == [[0, 1]]
        assert batch_segments([moving(behind), segment((60, 10, 76, 26))], frames, run, pasted=True) == [[0, 1]]
        assert batch_segments([moving(behind), segment((40, 10, 56, 26))], frames, run, pasted=True) == [[0], [1]]

    def test_together_they_come_out_as_alone(self):
        def darker(pixels, job):
            return pixels * 0.5

        frames = clip(FRAMES)
        segs = [
            moving(path_of(step=(8, 0), start=(16, 0), alpha=np.linspace(0.2, 1, FRAMES))),
            moving(path_of(step=(8, 0), start=(0, 0))),
        ]
        given = {"color_match": 0.5, "vae_correction": True, "geometry": Geometry(size_multiple=8, takes_clips=True)}
        alone, one = detail(frames, *segs, repaint=darker, **given)
        together, other = detail(frames, *segs, repaint=darker, batch_segments=2, **given)
        assert [job.clips for job in one.jobs] == [1, 1]
        assert [job.clips for job in other.jobs] == [2]
        torch.testing.assert_close(together.frames, alone.frames, atol=1e-6, rtol=0)
        assert not torch.equal(alone.frames, frames)

    def test_the_preview_draws_each_frame_as_it_is(self):
        frames = np.zeros((FRAMES, 48, 64, 3), np.float32)
        path = path_of(step=(8, 0), start=(0, 4), alpha=[1, 1, 1, 1, 0])
        seg = moving(path, bbox=(4, 8, 12, 16))
        drawn = [np.asarray(draw_segments(frame, [seg], index, FRAMES)) for index, frame in enumerate(frames)]
        shown = [np.flatnonzero((picture[19] > 100).any(-1)) for picture in drawn]
        # The lower edge of the region.
        assert [int(columns[0]) for columns in shown[:4]] == [0, 8, 16, 24]
        assert len(shown[4]) == 0

    def test_a_region_of_one_frame(self):
        path = path_of(step=(0.75, 0), start=(2, 3))
        assert region_at(path, 1) == (3, 3, 19, 19)
        assert region_at(path, 99) == (5, 3, 21, 19)
        assert region_at((1, 2, 3, 4), 7) == (1, 2, 3, 4)


@st.composite
def paths(draw):
    """Frames' size, and a path of any size that may pass the edges, or lie beyond them."""
    count, height, width = draw(st.integers(1, 4)), draw(st.integers(1, 20)), draw(st.integers(1, 20))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    corner = st.tuples(st.integers(-30, 30), st.integers(-30, 30))
    corners = np.array(draw(st.lists(corner, min_size=count, max_size=count)))
    alpha = draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=count, max_size=count))
    return (height, width), CropPath(np.concatenate([corners, corners + size], axis=1), alpha)


@settings(deadline=None, max_examples=60)
@given(paths(), st.integers(0, 99))
def test_any_path_in_whole_pixels(drawn, seed):
    """Identity to the bit, and a paste pixel by pixel as a loop over frames does it."""
    (height, width), path = drawn
    frames, crops = clip(path.frames, height, width, seed=seed), clip(path.frames, *path.size, seed=seed + 1)
    masks = clip(path.frames, *path.size, seed=seed + 2)[..., 0]
    seg = moving(path, cropped_mask=masks.numpy())
    same = seg._replace(cropped_image=cut_stack(frames, path), cropped_mask=None, crop_region=CropPath(path.regions))
    assert torch.equal(paste_segs(frames, segs_of(frames, same), feather=0), frames)
    pasted = paste_segs(frames, segs_of(frames, seg._replace(cropped_image=crops)), feather=0, alpha=0.5)
    expected = frames.clone()
    for index, ((x1, y1, _, _), alpha) in enumerate(zip(path.regions.astype(int), path.alpha, strict=True)):
        for y, x in np.ndindex(*path.size):
            if 0 <= y1 + y < height and 0 <= x1 + x < width:
                share = float(masks[index, y, x] * alpha * 0.5)
                expected[index, y1 + y, x1 + x] *= 1 - share
                expected[index, y1 + y, x1 + x] += share * crops[index, y, x]
    torch.testing.assert_close(pasted, expected, atol=1e-6, rtol=0)
