"""Crops and pastes at turned places: against an oracle in float64, and as inverses of each other."""

from __future__ import annotations

import re

import numpy as np
import pytest
from arrays import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from segs_detailer import _native, ops
from segs_detailer.errors import InvalidArgumentError

DTYPES = ("float32", "float16", "uint8")
FULL = {"float32": 1.0, "float16": 1.0, "uint8": 255.0}
CROP_TOLERANCE = {"float32": 4e-6, "float16": 6e-4, "uint8": 0.502}
PASTE_TOLERANCE = {"float32": 5e-6, "float16": 1.2e-3, "uint8": 1.002}


def taps(places, kernel):
    """The samples around places, `(n, taps)`, and their weights."""
    reach = 3 if kernel == "lanczos" else 1
    start = np.floor(places).astype(int)
    offsets = np.arange(1 - reach, reach + 1)
    distance = offsets - (places - start)[:, None]
    weights = np.sinc(distance) * np.sinc(distance / 3) if kernel == "lanczos" else 1 - np.abs(distance)
    return start[:, None] + offsets, weights / weights.sum(1, keepdims=True)


def sampled(image, x, y, kernel, outside):
    """An image `(h, w, c)` at places `(n,)`; beyond it lies its edge, or a value."""
    height, width = image.shape[:2]
    columns, across = taps(x, kernel)
    rows, down = taps(y, kernel)
    values = image.astype(np.float64)[rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None]]
    if outside is not None:
        beyond = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None]
        values = np.where(beyond[..., None], outside, values)
    return np.einsum("nr,nt,nrtc->nc", down, across, values)


def turned_by(x, y, degrees):
    angle = np.deg2rad(degrees)
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def cropped(frame, place, fill=None):
    """One frame's crop, as `crop_frames` says it."""
    x1, y1, x2, y2, degrees = place
    height, width = round(y2 - y1), round(x2 - x1)
    y, x = (axis.ravel() for axis in np.mgrid[:height, :width])
    x, y = turned_by(x + 0.5 - width / 2, y + 0.5 - height / 2, degrees)
    full = FULL[str(frame.dtype)]
    outside = None if fill is None else np.floor(fill * full + 0.5) if full > 1 else fill
    values = sampled(frame, x + (x1 + x2) / 2 - 0.5, y + (y1 + y2) / 2 - 0.5, "lanczos", outside)
    return values.clip(0, full).reshape(height, width, -1)


def pasted(frame, crop, mask, place, alpha=1.0):
    """One frame with a crop in it, as `paste` says it, and how much of the crop shows in each pixel."""
    x1, y1, x2, y2, degrees = place
    y, x = (axis.ravel() for axis in np.mgrid[: frame.shape[0], : frame.shape[1]])
    x, y = turned_by(x + 0.5 - (x1 + x2) / 2, y + 0.5 - (y1 + y2) / 2, -degrees)
    x, y = x + crop.shape[1] / 2 - 0.5, y + crop.shape[0] / 2 - 0.5
    values = sampled(crop, x, y, "lanczos", None).clip(0, FULL[str(frame.dtype)])
    weights = sampled(mask[..., None], x, y, "linear", 0.0) * alpha
    shape = frame.shape[:2]
    weights, values = weights.reshape(*shape, 1), values.reshape(*shape, -1)
    return (1 - weights) * frame + weights * values, weights


COORDINATE = st.one_of(st.integers(-20, 25), st.integers(-20 * 16, 25 * 16).map(lambda v: v / 16), st.floats(-20, 25))
ANGLE = st.one_of(st.integers(-8, 8).map(lambda v: 45 * v), st.floats(-400, 400))
PLACE = st.tuples(COORDINATE, COORDINATE, ANGLE)


def placed(place, size):
    x, y, angle = place
    return (x, y, x + size[1], y + size[0], angle)


@pytest.fixture(params=["scalar", "best"])
def level(request):
    """The code for one level of the processor."""
    before = _native.cpu_level()
    if request.param == "scalar":
        _native.set_cpu_level("scalar")
    yield request.param
    _native.set_cpu_level(before)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 75), st.integers(1, 75)),
    places=st.lists(PLACE, min_size=2, max_size=2),
    dtype=st.sampled_from(DTYPES),
    fill=st.sampled_from([None, 0.0, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_turned_crops_are_interpolated_at_their_own_places(shape, size, places, dtype, fill):
    frames = frames_of(1, shape, dtype)
    table = [placed(place, size) for place in places[: shape[0]]]
    got = ops.crop_frames(frames, table, fill=fill)
    assert got.dtype == frames.dtype
    for frame, crop, place in zip(frames, got, table, strict=True):
        np.testing.assert_allclose(crop.astype(np.float64), cropped(frame, place, fill), atol=CROP_TOLERANCE[dtype])


@given(
    place=PLACE,
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    dtype=st.sampled_from(DTYPES),
    counts=st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2])),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_turned_pastes_are_interpolated_and_change_no_bit_outside_the_mask(place, size, dtype, counts, alpha):
    frames = frames_of(2, (2, 15, 17, 3), dtype)
    crops = frames_of(3, (counts[0], *size, 3), dtype)
    masks = (frames_of(4, (counts[1], *size)) * 2 - 0.5).clip(0, 1)
    place = placed(place, size)
    got = ops.paste(frames, crops, masks, place, alpha=alpha)
    for index, frame in enumerate(frames):
        crop, mask = (stack[index if len(stack) > 1 else 0] for stack in (crops, masks))
        expected, weights = pasted(frame, crop, mask, place, alpha)
        np.testing.assert_allclose(got[index].astype(np.float64), expected, atol=PASTE_TOLERANCE[dtype])
        hidden = np.broadcast_to(weights == 0, frame.shape)
        np.testing.assert_array_equal(got[index][hidden], frame[hidden])
    in_place = frames.copy()
    assert ops.paste_(in_place, crops, masks, place, alpha=alpha) is in_place
    np.testing.assert_array_equal(in_place, got)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", [0, 0.0, 360, -720.0])
def test_a_full_turn_or_none_is_the_place_itself_to_the_bit(dtype, angle):
    frames, crops = frames_of(5, (2, 20, 22, 3), dtype), frames_of(6, (2, 7, 8, 3), dtype)
    mask = frames_of(7, (7, 8))
    for x in (3, 3.25):
        place = (x, 4, x + 8, 11)
        turned = (*place, angle)
        np.testing.assert_array_equal(ops.crop_frames(frames, turned), ops.crop_frames(frames, place))
        np.testing.assert_array_equal(ops.paste(frames, crops, mask, turned), ops.paste(frames, crops, mask, place))
    # Beside a frame that is turned, one that is not is copied as ever.
    table = [(3, 4, 11, 11, angle), (3, 4, 11, 11, 20)]
    np.testing.assert_array_equal(ops.crop_frames(frames, table)[0], frames[0, 4:11, 3:11])


def test_what_leans_stands_upright_in_its_crop():
    y, x = np.mgrid[:80, :80] + 0.5
    for angle in (30, -75, 170):
        # A lamp above the middle of what is turned clockwise.
        up = np.sin(np.deg2rad(angle)), -np.cos(np.deg2rad(angle))
        lamp = np.exp(-((x - 40 - 20 * up[0]) ** 2 + (y - 40 - 20 * up[1]) ** 2) / 18).astype(np.float32)
        crop = ops.crop_frames(lamp[None, :, :, None], (15, 10, 65, 70, angle))[0, ..., 0]
        assert np.unravel_index(crop.argmax(), crop.shape) in {(9, 24), (9, 25), (10, 24), (10, 25)}


def smooth(shape):
    """Waves of 12 pixels in several directions, as in soft parts of a picture."""
    height, width, channels = shape[1:]
    y, x = np.mgrid[:height, :width]
    ways = [(np.cos(c), np.sin(c)) for c in range(channels)]
    planes = [0.5 + 0.4 * np.sin(2 * np.pi * (across * x + down * y) / 12) for across, down in ways]
    return np.broadcast_to(np.stack(planes, -1), shape).astype(np.float32).copy()


def there_and_back(frames):
    """The largest and the root mean square change of turned crops that are pasted back untouched."""
    count = len(frames)
    x, y = 20.0 + 0.37 * np.arange(count), 18.0 + 0.19 * np.arange(count)
    places = np.stack([x, y, x + 48, y + 40, 23.0 * np.arange(count) + 5], axis=1)
    mask = np.zeros((40, 48), np.float32)
    mask[6:-6, 6:-6] = 1
    crops = ops.crop_frames(frames, places)
    back = ops.paste(frames, crops, mask, places)
    change = np.abs(back.astype(np.float64) - frames.astype(np.float64))
    inside = ops.paste(np.zeros(frames.shape, np.float32), np.ones(crops.shape, np.float32), mask, places) > 0
    assert not change[~inside].any()
    return change.max(), np.sqrt((change[inside] ** 2).mean())


@pytest.mark.usefixtures("level")
def test_there_and_back_is_within_the_limits_of_places_between_pixels():
    largest, mean = there_and_back(smooth((16, 84, 92, 3)))
    # Twice what a shift has at most: where all pixels have one weight, what the filter misses there it misses back the
    # other way. The mean has the same limit.
    assert largest < 0.007
    assert mean < 0.0012
    _, mean = there_and_back(frames_of(12, (16, 84, 92, 3)))
    assert 0.01 < mean < 0.15
    largest, _ = there_and_back((smooth((16, 84, 92, 3)) * 255).round().astype(np.uint8))
    assert largest <= 2


def test_a_plain_area_stays_plain():
    frames = np.full((8, 60, 64, 3), 0.3, np.float32)
    places = np.array([(13 + i / 8, 15 + i / 7, 33 + i / 8, 35 + i / 7, 40 * i + 1) for i in range(8)])
    crops = ops.crop_frames(frames, places)
    np.testing.assert_allclose(crops, 0.3, atol=1e-6)
    np.testing.assert_allclose(ops.paste(frames, crops, None, places), 0.3, atol=1e-6)


@pytest.mark.parametrize("fill", [None, 0.25])
@pytest.mark.parametrize("how", ["permuted", "reversed", "columns"])
@given(place=PLACE)
@settings(max_examples=15, deadline=None)
def test_frames_whose_rows_have_gaps(place, how, fill):
    frames = {
        "permuted": lambda: frames_of(8, (2, 3, 19, 21)).transpose(0, 2, 3, 1),
        "reversed": lambda: frames_of(8, (2, 19, 21, 3))[::-1, ::-1],
        "columns": lambda: frames_of(8, (2, 19, 42, 3))[:, :, ::2],
    }[how]()
    packed = np.array(frames, order="C")
    place = placed(place, (5, 6))
    crops = ops.crop_frames(packed, place, fill=fill)
    # The box that is copied lies elsewhere, and places within it are rounded otherwise.
    np.testing.assert_allclose(ops.crop_frames(frames, place, fill=fill), crops, atol=2e-6)
    stamp, mask = frames_of(9, (2, 5, 6, 3)), frames_of(10, (5, 6))
    expected = ops.paste(packed, stamp, mask, place)
    np.testing.assert_allclose(ops.paste(frames, stamp, mask, place), expected, atol=2e-6)
    np.testing.assert_allclose(ops.paste_(frames, stamp, mask, place), expected, atol=2e-6)


def test_tensors_are_worked_on_as_arrays_are():
    torch = pytest.importorskip("torch")
    frames, place = frames_of(13, (2, 30, 32, 3)), (4, 5, 20, 21, 33.0)
    crops = ops.crop_frames(torch.from_numpy(frames), torch.tensor(place))
    np.testing.assert_array_equal(crops.numpy(), ops.crop_frames(frames, place))
    pasted_back = ops.paste(torch.from_numpy(frames), crops, None, place, alpha=0.5)
    np.testing.assert_array_equal(pasted_back.numpy(), ops.paste(frames, crops.numpy(), None, place, alpha=0.5))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((0, 0, 4, 4, np.nan), "region: expected finite coordinates, got nan"),
        ((0, 0, 4, 4, 1e12), "region: expected |coordinate| <= 1073741824"),
        ((0, 0, 4, 4, 5, 6), "region: expected (x1, y1, x2, y2), or one per frame, got shape (6,)"),
    ],
)
def test_places_that_cannot_be_used(place, message):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        ops.crop_frames(np.zeros((1, 8, 8, 3), np.float32), place)
