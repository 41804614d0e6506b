"""Every format: what it brings back, what it reads from elsewhere, and what it says of files that are wrong."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_tracks import clips

from segs_detailer.crop_path import CropPath
from segs_detailer.errors import InvalidArgumentError, InvalidTypeError, MediaError, MissingDependencyError
from segs_detailer.segs import SEG
from segs_detailer.subjects import (
    FORMATS,
    CropSettings,
    Mask,
    Track,
    Tracks,
    read_tracks,
    tracks_from_segs,
    tracks_to_segs,
    write_tracks,
)

# Each example writes the same file anew.
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def one(label="face", **more):
    masks = [Mask.filled((1, 1, 3, 3)), None]
    return Tracks((5, 6), 3, (Track(2, label, [0, 2], [[1, 1, 3, 3], [0, 0, 2.5, 2]], [0.5, 1], masks, **more),))


def only(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


# SEGS files


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
@same_folder
@given(clips(known=True), st.booleans())
def test_segs_files_keep_everything(tmp_path, name, segments, has_region):
    if has_region:
        parts = [replace(track, crop_region=(-3, 0, 9, 9), bbox=(0, 0, 2, 2)) for track in segments.tracks]
        segments = Tracks(segments.frame_size, segments.frame_count, tuple(parts))
    write_tracks(tmp_path / name, segments)
    assert read_tracks(tmp_path / name) == segments
    only(tmp_path, name)


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
@same_folder
@given(clips(), st.data())
def test_segs_files_keep_shots_shapes_and_crops_that_move(tmp_path, name, segments, data):
    count = segments.frame_count
    parts = []
    for track in segments.tracks:
        corners = data.draw(st.lists(st.integers(-40, 40), min_size=2 * count, max_size=2 * count))
        corners = np.reshape(corners, (count, 2)) / data.draw(st.sampled_from([1, 8]))
        path = CropPath(np.concatenate([corners, corners + np.array((9, 7))], axis=1), np.linspace(0, 1, count))
        region = data.draw(st.sampled_from([None, path, (0, 0, 9, 7)]))
        shot = data.draw(st.sampled_from([None, (0, count), (0, count + 9)]))
        shape = data.draw(st.sampled_from(["box", "ellipse"]))
        parts.append(replace(track, crop_region=region, bbox=(1, 1, 2, 2), shot=shot, shape=shape))
    segments = replace(segments, tracks=tuple(parts))
    write_tracks(tmp_path / name, segments)
    found = read_tracks(tmp_path / name)
    assert found == segments
    assert [type(track.crop_region) for track in found.tracks] == [type(track.crop_region) for track in parts]


def test_files_of_before_tracks_had_shots_are_read(tmp_path):
    write_tracks(tmp_path / "new.npz", one())
    with np.load(tmp_path / "new.npz") as archive:
        arrays = {key: array for key, array in archive.items() if not key.startswith("path_")}
    header = json.loads(arrays["header"].tobytes())
    for track in header["tracks"]:
        for key in ("shot", "shape", "path_frames"):
            del track[key]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(tmp_path / "old.npz", **arrays)
    assert read_tracks(tmp_path / "old.npz") == one()


def test_boxes_keep_shots_and_shapes(tmp_path):
    tracks = (
        Track(3, "face", [1, 2], [[0, 0, 4, 4]] * 2, shot=(1, 9), shape="ellipse"),
        Track(4, "hand", [0], [[1, 1, 3, 3]]),
    )
    write_tracks(tmp_path / "a.json", Tracks((9, 9), 9, tracks), format="boxes")
    assert read_tracks(tmp_path / "a.json").tracks == tracks
    content = json.loads((tmp_path / "a.json").read_text())
    assert "shot" not in content["tracks"][1]
    content["tracks"][1]["shape"] = "star"
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(MediaError, match=r"tracks\[1\].shape: expected 'box' or 'ellipse', got 'star'"):
        read_tracks(tmp_path / "a.json")
    content["tracks"][1] = {"id": 4, "label": "hand", "shot": [1], "boxes": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(MediaError, match=r"tracks\[1\].shot: expected \[first frame, frame after the last\]"):
        read_tracks(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_segs_come_back_from_a_file(tmp_path, name):
    masks = np.zeros((3, 4, 5), np.uint8)
    masks[0, 1:3], masks[2, 0, 0] = 255, 77
    segs = (
        (9, 9),
        [SEG(None, masks, 0.7, (2, 3, 7, 7), (3, 4, 6, 6), "A"), SEG(None, None, 1.0, (0, 0, 2, 2), (0, 0, 1, 1), "B")],
    )
    write_tracks(tmp_path / name, tracks_from_segs(segs))
    size, (first, second) = tracks_to_segs(read_tracks(tmp_path / name), settings=CropSettings.as_given())
    assert size == (9, 9)
    assert first[2:] == segs[1][0][2:]
    assert np.array_equal(first.cropped_mask, masks)
    assert second.cropped_mask.min() == 255


def test_a_mask_of_many_frames_is_in_the_file_once(tmp_path):
    mask = Mask.from_pixels(np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8))
    track = Track(1, "face", list(range(200)), [[0, 0, 300, 300]] * 200, 1.0, [mask] * 200)
    write_tracks(tmp_path / "a.npz", Tracks((300, 300), 200, (track,)))
    assert (tmp_path / "a.npz").stat().st_size < 200_000
    found = read_tracks(tmp_path / "a.npz").tracks[0]
    assert all(other is found.masks[0] for other in found.masks)


def stored(tmp_path, **changes):
    """Write a SEGS file with some of its arrays exchanged (None: left out), and return its path."""
    write_tracks(tmp_path / "good.npz", one())
    with np.load(tmp_path / "good.npz") as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    for name, value in changes.items():
        if name in arrays:
            arrays[name] = value
        else:
            header[name] = value
    if "header" not in changes:
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"header": None}, "a NumPy archive of tracks, got one without their header"),
        ({"header": np.frombuffer(b"{", np.uint8)}, "header: expected JSON"),
        ({"header": np.frombuffer(b"[]", np.uint8)}, "header: expected format 'segs-detailer segments'"),
        ({"version": 2}, "version: expected 1, got 2"),
        ({"frame_size": [5]}, "frame_size: expected"),
        ({"frame_size": [5, 1 << 30]}, "at most 268435456 pixels"),
        ({"frame_count": 1}, "track 2: frames: expected numbers below 1"),
        ({"frame_count": "many"}, "frame_count: expected a number"),
        ({"tracks": 1}, "tracks: expected a list"),
        ({"tracks": [1]}, r"tracks\[0\]: expected an object"),
        ({"tracks": [{"id": 1, "label": "a", "frames": 3}]}, r"frames: expected shape \(3,\)"),
        ({"tracks": [{"id": -1, "label": "a", "frames": 2}]}, r"tracks\[0\].id: expected a whole number"),
        ({"tracks": [{"id": 1, "frames": 2}]}, r"tracks\[0\].label: expected text"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "bbox": [2, 0, 1, 1]}]}, "bbox: expected"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "crop_region": [1, 0, 1, 1]}]}, "crop_region: expected"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "shot": [1, 1]}]}, "shot: expected a whole number from 2"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "shape": "star"}]}, "shape: expected 'box' or 'ellipse'"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "path_frames": 2}]}, r"path_regions: expected shape \(2, 4\)"),
        ({"tracks": [{"id": 1, "label": "", "frames": 2, "path_frames": "2"}]}, "path_frames: expected a number"),
        ({"boxes": None}, "boxes: expected an array of float64, got none"),
        ({"boxes": np.zeros((2, 3))}, r"boxes: expected shape \(2, 4\)"),
        ({"boxes": np.zeros((2, 4), np.float32)}, "boxes: expected float64, got float32"),
        ({"boxes": np.full((2, 4), np.nan)}, "finite numbers"),
        ({"frames": np.array([0, 0])}, "got 0 after 0"),
        ({"mask_index": np.array([0, 1])}, "mask_index: expected 2 numbers from -1 to 0"),
        ({"mask_index": np.array([0])}, "mask_index: expected 2 numbers"),
        (
            {"mask_places": np.array([[1, 1, 9, 3]])},
            r"mask_places: expected places in the frame .*, got \[1, 1, 9, 3\]",
        ),
        ({"mask_places": np.array([[3, 1, 1, 3]])}, "mask_places"),
        ({"mask_soft": np.zeros(2, np.uint8)}, "mask_soft: expected 1 values, got 2"),
        ({"mask_soft": np.uint8(0)}, "mask_soft: expected shape"),
        ({"mask_data": np.zeros(5, np.uint8)}, "mask_data: expected 1 bytes, got 5"),
    ],
)
def test_segs_files_that_do_not_fit_together(tmp_path, changes, text):
    path = stored(tmp_path, **changes)
    with pytest.raises(MediaError, match=text) as caught:
        read_tracks(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickles_are_never_read(tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], object)
    np.savez(tmp_path / "a.npz", header=trap)
    with pytest.raises(MediaError, match=r"a\.npz: expected a NumPy archive.*Python objects, which may run code"):
        read_tracks(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(MediaError, match=r"b\.npz: expected a NumPy archive"):
        read_tracks(tmp_path / "b.npz")
    (tmp_path / "c.pkl").write_bytes(b"")
    with pytest.raises(MediaError, match=r"c\.pkl: expected \.npz.*may hold code, which is never read"):
        read_tracks(tmp_path / "c.pkl")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_truncated_segs_files(tmp_path, name):
    path = tmp_path / name
    write_tracks(path, one())
    whole = path.read_bytes()
    for length in (0, 1, 7, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(MediaError, match=f"{name}: expected"):
            read_tracks(path)


def test_archives_of_other_things(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name in ("array.npz", "text.npz"):
        with pytest.raises(MediaError, match=f"{name}: expected a NumPy archive of tracks"):
            read_tracks(tmp_path / name)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(MediaError, match="got some without their header"):
        read_tracks(tmp_path / "weights.safetensors")


def test_safetensors_are_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(MissingDependencyError, match="safetensors is not installed"):
        write_tracks(tmp_path / "a.safetensors", one())
    only(tmp_path)


# COCO


@pytest.mark.parametrize("form", ["coco", "coco-counts", "coco-polygons"])
@same_folder
@given(clips(soft=False))
def test_coco_keeps_hard_masks_boxes_ids_and_labels(tmp_path, form, segments):
    write_tracks(tmp_path / "a.json", segments, format=form)
    assert read_tracks(tmp_path / "a.json") == segments


def test_coco_says_what_it_must(tmp_path):
    write_tracks(tmp_path / "a.json", one())
    content = json.loads((tmp_path / "a.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    assert content["categories"] == [{"id": 1, "name": "face"}]
    first, second = content["annotations"]
    assert first["segmentation"] == {"size": [5, 6], "counts": "6230>"}
    assert (first["bbox"], first["area"], first["track_id"], first["image_id"]) == ([1, 1, 2, 2], 4, 2, 1)
    assert (second["bbox"], second["area"], second["image_id"]) == ([0, 0, 2.5, 2], 5, 3)
    assert "segmentation" not in second
    write_tracks(tmp_path / "b.json", one(), format="coco-polygons")
    first = json.loads((tmp_path / "b.json").read_text())["annotations"][0]
    assert first["segmentation"] == [[1, 1, 3, 1, 3, 3, 1, 3]]
    write_tracks(tmp_path / "c.json", one(), format="coco-counts")
    first = json.loads((tmp_path / "c.json").read_text())["annotations"][0]
    assert first["segmentation"] == {"size": [5, 6], "counts": [6, 2, 3, 2, 17]}


def coco(*annotations, **changes):
    images = [{"id": 10 * n, "height": 5, "width": 6, "file_name": f"{n}.jpg"} for n in (3, 1, 2)]
    return {"images": images, "annotations": list(annotations), "categories": [{"id": 4, "name": "cat"}], **changes}


def entry(**changes):
    return {"id": 1, "image_id": 10, "category_id": 4, "bbox": [1, 1, 2, 3], **changes}


def saved(tmp_path, content):
    path = tmp_path / "in.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_coco_of_other_tools(tmp_path):
    rle = {"size": [5, 6], "counts": [0, 30]}
    annotations = [
        entry(image_id=20, attributes={"track_id": 3}, segmentation=[[0, 0, 2, 0, 2, 2], [4, 4, 6, 4, 6, 5, 4, 5]]),
        entry(image_id=10, instance_id=3, bbox=[], segmentation=rle, score=0.25),
        entry(image_id=30, object_id=8, category_id=9, segmentation=[], iscrowd=0),
    ]
    segments = read_tracks(saved(tmp_path, coco(*annotations)))
    first, second = segments.tracks
    assert (segments.frame_size, segments.frame_count) == ((5, 6), 3)
    assert (first.id, first.label, first.frames.tolist(), first.confidence.tolist()) == (3, "cat", [0, 1], [0.25, 1.0])
    assert first.masks[0] == Mask.filled((0, 0, 6, 5))
    assert first.boxes.tolist() == [[0, 0, 6, 5], [1, 1, 3, 4]]
    expected = np.zeros((5, 6), np.uint8)
    expected[0, 1], expected[4, 4:6] = 255, 255
    expected[0, 0:2], expected[1, 1] = 255, 255
    out = np.zeros((5, 6), np.uint8)
    first.masks[1].paint(out)
    # Centers on the slope belong to the triangle or not; all others are as drawn.
    assert np.array_equal(out[2:], expected[2:])
    assert out[0, 1] == 255
    assert (second.id, second.label, second.masks) == (8, "9", (None,))


def test_coco_without_track_ids_is_linked(tmp_path):
    annotations = [entry(image_id=10 * n, bbox=[n, 1, 3, 3]) for n in (1, 2, 3)]
    (found,) = read_tracks(saved(tmp_path, coco(*annotations))).tracks
    assert found.frames.tolist() == [0, 1, 2]
    assert found.boxes[:, 0].tolist() == [1, 2, 3]


def test_coco_results(tmp_path):
    rle = {"size": [5, 6], "counts": "0n0"}
    path = saved(tmp_path, [entry(image_id=2, score=0.5, segmentation=rle), entry(image_id=3, score=0.5)])
    segments = read_tracks(path, size=(5, 6), frame_count=9)
    assert (segments.frame_size, segments.frame_count) == ((5, 6), 9)
    assert segments == read_tracks(path, frame_count=9)
    assert segments.tracks[0].frames.tolist() == [2, 3]
    assert segments.tracks[0].masks == (Mask.filled((0, 0, 6, 5)), None)


IMAGE = {"id": 1, "height": 5, "width": 6}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (coco(entry(image_id=11)), r"annotations\[0\].image_id: expected the id of one of the images, got 11"),
        (coco(entry(image_id=None)), r"annotations\[0\].image_id: expected a number, got None"),
        (coco(entry(image_id=True)), "expected a number, got True"),
        (coco(entry(bbox=[1, 2, 3])), r"bbox: expected \[x, y, width, height\], got 3 values"),
        (coco(entry(bbox=[1, 2, -3, 1])), "a width and height of at least 0"),
        (coco(entry(bbox="1,2,3,4")), r"bbox: expected \[x, y, width, height\], got '1,2,3,4'"),
        (coco(entry(score="high")), "score: expected a number"),
        (coco(entry(track_id=1.5)), "track_id: expected a whole number"),
        (coco(entry(track_id=1), entry(track_id=1)), r"annotations\[1\]: expected each id once in a frame"),
        (coco(entry(segmentation=[[1, 2, 3, 4]])), r"segmentation\[0\]: expected .* three corners, got 4 numbers"),
        (coco(entry(segmentation=[1, 2, 3, 4, 5, 6])), r"segmentation\[0\]: expected a list of x, y"),
        (coco(entry(segmentation=[[1, 2, 3, 4, 5, 1e30]])), "coordinate"),
        (coco(entry(segmentation="mask")), "segmentation: expected polygons, or runs"),
        (coco(entry(segmentation={"counts": [30]})), r"segmentation.size: expected \[height, width\]"),
        (coco(entry(segmentation={"size": [6, 5], "counts": [30]})), r"size: expected the image's, \[5, 6\]"),
        (coco(entry(segmentation={"size": [5, 6], "counts": [31]})), "counts: expected runs"),
        (coco(entry(segmentation={"size": [5, 6], "counts": "~"})), "counts: expected runs as the COCO API packs"),
        (coco(entry(segmentation={"size": [5, 6]})), "counts: expected a list of whole numbers"),
        (coco("annotation"), r"annotations\[0\]: expected an object"),
        (coco(annotations={}), "annotations: expected a list"),
        (coco(images=[]), "images: expected at least one"),
        (coco(images=None), "images: expected a list"),
        (coco(images=[{"id": 1}]), r"images\[0\].height: expected a number"),
        (coco(images=[IMAGE, {**IMAGE, "id": 2, "width": 7}]), r"images\[1\]: expected 6x5 as the first.*got 7x5"),
        (coco(images=[IMAGE, IMAGE]), "no two are the same, got id 1 2 times"),
        (coco(images=[{**IMAGE, "width": 1 << 29}]), "at most 268435456 pixels"),
        (coco(categories=[{"id": 1}]), r"categories\[0\].name: expected text"),
        (coco(videos=[]), "videos: expected images, one for each frame, got the YouTube-VIS form"),
        ([entry()], "size: expected the size of the frames, which results do not say"),
        ([entry(), "x"], r"\[1\]: expected an object"),
        ('{"images": [', "expected JSON, got a fault at line 1, column 13"),
        ("[" * 100_000, "expected JSON"),
        ("", "it is empty"),
        ("{}", "got JSON of neither kind"),
        ("[1]", "got JSON of neither kind"),
    ],
)
def test_json_that_is_wrong(tmp_path, content, text):
    path = saved(tmp_path, content)
    with pytest.raises(MediaError, match=text) as caught:
        read_tracks(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# Boxes


@same_folder
@given(clips(masks="none"))
def test_boxes_as_json_keep_all_but_masks(tmp_path, segments):
    write_tracks(tmp_path / "a.json", segments, format="boxes")
    assert read_tracks(tmp_path / "a.json") == segments


@same_folder
@given(clips(masks="none"))
def test_a_table_keeps_boxes(tmp_path, segments):
    write_tracks(tmp_path / "a.csv", segments)
    assert read_tracks(tmp_path / "a.csv", size=segments.frame_size, frame_count=segments.frame_count) == segments


@pytest.mark.parametrize(
    "text",
    [
        "frame,x1,y1,x2,y2,id,label,confidence\n0,1,1,3,3,2,face,0.5\n2,0,0,2.5,2,2,face,1\n",
        "Frame_Index; track_id; class; x; y; w; h; score; color\n0;2;face;1;1;2;2;.5;red\n\n2;2;face;0;0;2.5;2;;\n",
        "\ufeffconf\txmin\tymin\txmax\tymax\tframe\tname\tobject_id\r\n0.5\t1\t1\t3\t3\t0\tface\t2.0\r\n"
        "1e0\t0\t0\t2.5\t2\t2\tface\t2\r\n",
    ],
)
def test_tables_of_other_tools(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    segments = read_tracks(tmp_path / "a.csv", size=(5, 6))
    plain = one()
    bare = Track(2, "face", [0, 2], plain.tracks[0].boxes, [0.5, 1])
    assert segments == Tracks((5, 6), 3, (bare,))


@pytest.mark.parametrize(
    ("columns", "values", "label"),
    [
        ("class,name", "0,face", "face"),
        ("name,class", "face,0", "face"),
        ("class_id,class_name,class", "0,face,0", "face"),
        ("name,label,class", "other,face,0", "face"),
        ("class,name", "face,", "face"),
        ("class,name,class_name", "0,,face", "face"),
        ("class", "7", "7"),
    ],
)
def test_of_several_columns_of_one_meaning_the_first_that_says_anything_counts(tmp_path, columns, values, label):
    (tmp_path / "a.csv").write_text(f"frame,x1,y1,x2,y2,{columns}\n0,1,1,3,3,{values}\n")
    [track] = read_tracks(tmp_path / "a.csv", size=(5, 6)).tracks
    assert track.label == label


def test_other_columns_may_be_there_twice_as_well(tmp_path):
    header = "frame_id,frame,track_id,id,score,confidence,x_min,xmin,x1,y1,x2,y2,x,y,width,height,,\n"
    (tmp_path / "a.csv").write_text(f"{header}9,2,8,4,0.1,0.5,9,9,1,1,3,3,1,1,2,2,,\n")
    [track] = read_tracks(tmp_path / "a.csv", size=(5, 6)).tracks
    assert (track.id, track.frames.tolist(), track.confidence.tolist()) == (4, [2], [0.5])
    assert track.boxes.tolist() == [[1, 1, 3, 3]]
    boxes = [{"frame": 2, "class": 0, "name": "face", "xmin": 1, "x1": 0, "y1": 1, "x2": 3, "y2": 3}]
    (tmp_path / "a.json").write_text(json.dumps(boxes))
    [track] = read_tracks(tmp_path / "a.json", size=(5, 6)).tracks
    assert (track.label, track.boxes.tolist()) == ("face", [[0, 1, 3, 3]])


def test_a_table_without_ids_and_labels_is_linked(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x,y,width,height\n0,0,0,4,4\n1,1,0,4,4\n1,50,50,4,4\n")
    first, second = read_tracks(tmp_path / "a.csv", size=(60, 60)).tracks
    assert (first.id, first.label, first.frames.tolist()) == (1, "object", [0, 1])
    assert (second.id, second.frames.tolist()) == (2, [1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("1,2,3,4,5\n", "line 1: expected names of columns: frame, x1.*got 1, 2, 3, 4, 5"),
        ("frame,x1,y1,x2\n", "line 1: expected names of columns"),
        ("frame,x1,y1,x2,y2,x1\n0,1,1,3,3,1\n", "line 1: expected each column once, got x1 2 times"),
        ("frame,x1,y1,x2,y2\n0,1,1,3\n", "line 2: expected 5 columns, got 4"),
        ("frame,x1,y1,x2,y2\n0,1,1,3,wide\n", "line 2: y2: expected a number, got 'wide'"),
        ("frame,x1,y1,x2,y2\n0,1,1,3,nan\n", "line 2: y2: expected a finite number"),
        ("frame,x1,y1,x2,y2\n0,1,1,3,\n", "line 2: x, y, width, height: expected a number, got None"),
        ("frame,x1,y1,x2,y2\n0,3,1,1,3\n", "line 2: x1, y1, x2, y2: expected .*x1 <= x2"),
        ("frame,x1,y1,x2,y2\n0.5,1,1,3,3\n", "line 2: frame: expected a whole number"),
        ("frame,x1,y1,x2,y2\n-1,1,1,3,3\n", "line 2: frame: expected a whole number of at least 0"),
        ("frame,x1,y1,x2,y2\n99999999999,1,1,3,3\n", "line 2: expected a frame from 0 to 4194303"),
        ("frame,x1,y1,x2,y2,id\n0,1,1,3,3,1\n0,1,1,3,3,1\n", "line 3: expected each id once in a frame"),
        ('frame,x1,y1,x2,y2\n0,"1,1,3,3\n', "line 2: expected a line of a table"),
        ("frame,x1,y1,x2,y2\n9,1,1,3,3\n", "track 1: frames: expected numbers below 4"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(MediaError, match=message) as caught:
        read_tracks(path, size=(5, 6), frame_count=4)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"frame\xff\xfe")
    with pytest.raises(MediaError, match="expected text in UTF-8, got other bytes at 5"):
        read_tracks(tmp_path / "a.csv", size=(5, 6))


def test_a_table_does_not_say_the_size(tmp_path):
    write_tracks(tmp_path / "a.csv", one())
    with pytest.raises(MediaError, match=r"a\.csv: size: expected a width and height, got none"):
        read_tracks(tmp_path / "a.csv")


def test_a_list_of_boxes(tmp_path):
    boxes = [
        {"frame": 0, "bbox": [1, 1, 3, 3], "track_id": 2, "class": "face", "score": 0.5},
        {"frame": 2, "x": 0, "y": 0, "w": 2.5, "h": 2, "id": 2, "label": "face"},
    ]
    segments = read_tracks(saved(tmp_path, boxes), size=(5, 6))
    assert segments.tracks[0].boxes.tolist() == one().tracks[0].boxes.tolist()
    assert segments.tracks[0].confidence.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"tracks": []}, "size: expected a width and height, got none"),
        ({"tracks": [], "width": 6}, "height: expected a number, got None"),
        ({"tracks": {}, "width": 6, "height": 5}, "tracks: expected a list"),
        ({"tracks": [{"boxes": 1}], "width": 6, "height": 5}, r"tracks\[0\].boxes: expected a list"),
        ({"tracks": [{"boxes": [{"frame": 0}]}], "width": 6, "height": 5}, r"boxes\[0\].x, y, width, height"),
        ({"tracks": [{"boxes": [{"box": [0, 0, 1, 1]}]}], "width": 6, "height": 5}, r"boxes\[0\].frame: expected"),
        ({"tracks": [], "width": 6, "height": 5, "frames": -1}, "frames: expected a whole number"),
        ([{"frame": 0, "box": [0, 0, 1, 1]}], "size: expected a width and height"),
        ([{"frame": 0, "box": [0, 0, 1]}], r"\[0\].box: expected \[x1, y1, x2, y2\], got 3 values"),
    ],
)
def test_boxes_that_are_wrong(tmp_path, content, text):
    path = saved(tmp_path, content)
    with pytest.raises(MediaError, match=text):
        read_tracks(path)


# All of them


def test_names_say_the_format(tmp_path):
    with pytest.raises(MediaError, match=r"a.xml: files of type .xml cannot be written: use .npz, .safetensors"):
        write_tracks(tmp_path / "a.xml", one())
    with pytest.raises(InvalidArgumentError, match=r"format: expected one of npz.*got 'coc' \(did you mean coco"):
        write_tracks(tmp_path / "a.json", one(), format="coc")
    with pytest.raises(InvalidTypeError, match="format: expected text"):
        read_tracks(tmp_path / "a.json", format=3)
    with pytest.raises(InvalidTypeError, match="tracks: expected Tracks"):
        write_tracks(tmp_path / "a.json", tracks_to_segs(one(), settings=CropSettings.as_given()))
    (tmp_path / "a.xml").write_text("<x/>")
    with pytest.raises(MediaError, match=r"a\.xml: expected \.npz.*got a file of type \.xml"):
        read_tracks(tmp_path / "a.xml")
    assert set(FORMATS) == {
        "npz",
        "safetensors",
        "coco",
        "coco-counts",
        "coco-polygons",
        "boxes",
        "csv",
        "masks",
        "davis",
        "video",
    }


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.json", "a.csv", "a.mkv", "a.png", "m_%04d.png", "*.png"])
def test_files_that_are_not_there(tmp_path, name):
    with pytest.raises(MediaError, match=r"no such file|no file has such a name|no image files there"):
        read_tracks(tmp_path / name, size=(4, 4))


@pytest.mark.parametrize("form", ["npz", "safetensors", "csv", "coco", "boxes"])
def test_named_formats_read_files_that_are_not_there(tmp_path, form):
    with pytest.raises(MediaError, match=r"a\.x: no such file"):
        read_tracks(tmp_path / "a.x", format=form, size=(4, 4))


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.json", "a.csv"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, name, monkeypatch):
    write_tracks(tmp_path / name, one())
    before = (tmp_path / name).read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(MediaError, match=f"{name}: cannot be written .No space left on device"):
        write_tracks(tmp_path / name, one("hand"))
    only(tmp_path, name)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.json", "a.csv", "a.mkv"])
def test_folders_that_are_not_there_are_not_made(tmp_path, name):
    with pytest.raises(MediaError, match="no such folder to write to"):
        write_tracks(tmp_path / "missing" / name, one())
    only(tmp_path)


@pytest.mark.parametrize(("size", "frames"), [((0, 4), 1), ((4, 4), 0)])
def test_sizes_that_cannot_be(tmp_path, size, frames):
    write_tracks(tmp_path / "a.csv", one())
    with pytest.raises(InvalidArgumentError, match="expected a whole number from 1"):
        read_tracks(tmp_path / "a.csv", size=size, frame_count=frames)


def test_an_archive_with_a_password_is_one_line(tmp_path):
    path = tmp_path / "locked.npz"
    np.savez(path, boxes=np.zeros((1, 4)))
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in the header of the file and in the directory, says that it is encrypted.
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"locked\.npz: expected a NumPy archive of tracks"):
        read_tracks(path)
