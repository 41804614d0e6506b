"""Files with arbitrary damage are read, or refused in one line that names them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segs_detailer.errors import MediaError
from segs_detailer.subjects import Mask, Track, Tracks, read_tracks, write_tracks

SIZE = (9, 12)
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
FORMS = [("a.json", "coco"), ("a.json", "coco-counts"), ("a.json", "coco-polygons"), ("a.json", "boxes")]
FILES = [*FORMS, ("a.csv", "csv"), ("a.npz", "npz"), ("a.safetensors", "safetensors")]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([0, 1, 10**400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner),
    max_leaves=5,
)


def clip():
    soft = Mask.from_pixels(np.arange(25, dtype=np.uint8).reshape(5, 5) * 10, (2, 2))
    boxes = [[1, 1, 5, 5], [2, 2, 6, 6.5]]
    first = Track(1, "face", [0, 2], boxes, [0.5, 1], [Mask.filled((1, 1, 5, 5)), soft])
    return Tracks(SIZE, 3, (first, Track(2, "hand", [1], [[0, 0, 3, 3]])))


def attempt(path):
    refusal = ""
    try:
        read_tracks(path, size=SIZE)
    except MediaError as error:
        refusal = str(error)
    assert not refusal or refusal.startswith(f"{path}: ")
    assert "\n" not in refusal


def nodes(tree, path=()):
    """Paths of all values in parsed JSON."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from nodes(value, (*path, key))


@pytest.mark.parametrize(("name", "form"), FORMS)
@many
@given(data=st.data())
def test_json_with_another_value_somewhere(tmp_path, name, form, data):
    path = tmp_path / name
    write_tracks(path, clip(), format=form)
    tree = [json.loads(path.read_text(encoding="utf-8"))]
    place = data.draw(st.sampled_from(sorted(nodes(tree), key=repr)[1:]))
    changed = copy.deepcopy(tree)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()) and len(place) > 1:
        del parent[place[-1]]
    else:
        parent[place[-1]] = data.draw(values)
    path.write_text(json.dumps(changed[0]), encoding="utf-8")
    attempt(path)


@pytest.mark.parametrize(("name", "form"), FILES)
@many
@given(data=st.data())
def test_bytes_that_changed_or_are_missing(tmp_path, name, form, data):
    path = tmp_path / name
    write_tracks(path, clip(), format=form)
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    attempt(path)
