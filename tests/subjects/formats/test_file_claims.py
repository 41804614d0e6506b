"""Files that claim more than they should unpack to are refused before they are unpacked."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from segs_detailer.cli.main import main
from segs_detailer.errors import InvalidArgumentError, MediaError
from segs_detailer.subjects import Mask, Track, Tracks, read_tracks, write_tracks
from segs_detailer.subjects.formats import archive, claims
from segs_detailer.subjects.outlines import fill

HUGE = 600 * 10**6
ROOM = 300 << 20
"""Memory that reading may take beyond the interpreter and the libraries, which are loaded before."""

CHILD = """
import resource, sys
from segs_detailer.errors import MediaError
from segs_detailer.subjects import read_tracks, write_tracks
import numpy, PIL.Image, safetensors.numpy
status = open("/proc/self/status").read()
held = int(next(line for line in status.splitlines() if line.startswith("VmSize:")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]), -1))
try:
    print(read_tracks(sys.argv[1], size=(64, 64)).describe())
except MediaError as error:
    print("refused:", error)
"""


def read_in_little_memory(path, room=ROOM):
    """Read segments in a process that may not take more memory; return what it says."""
    command = [sys.executable, "-c", CHILD, str(path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")


def one():
    mask = Mask.from_pixels(np.eye(8, dtype=bool), (3, 4))
    return Tracks((64, 64), 2, (Track(1, "face", [0, 1], [[3, 4, 11, 12]] * 2, 1.0, [mask, mask]),))


def member(shape, dtype, *, version=1):
    """Return the header of an array."""
    file = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == 1 else np.lib.format.write_array_header_2_0
    write(file, {"shape": shape, "fortran_order": False, "descr": np.dtype(dtype).str})
    return file.getvalue()


def bomb(tmp_path, name, head, size, **header):
    """Write an archive in which one array is so many bytes, all 0, which takes less than a hundredth of that."""
    write_tracks(tmp_path / "good.npz", one())
    with np.load(tmp_path / "good.npz") as stored:
        arrays = dict(stored)
    fields = json.loads(arrays["header"].tobytes()) | header
    arrays["header"] = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    arrays.pop(name, None)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **arrays)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as stored,
        stored.open(f"{name}.npy", "w") as file,
    ):
        file.write(head)
        zeros = bytes(1 << 24)
        for start in range(0, size, len(zeros)):
            file.write(zeros[: size - start])
    assert path.stat().st_size < 5 << 20
    return path


@needs_proc
@pytest.mark.parametrize(
    ("name", "head", "header", "text"),
    [
        ("mask_data", member((HUGE,), "u1"), {}, f"mask_data: expected 8 bytes, got {HUGE}"),
        ("header", member((HUGE,), "u1"), {}, f"header: expected at most 16777216 bytes, got {HUGE}"),
        ("frames", member((HUGE // 8,), "i8"), {}, r"frames: expected shape (2,), got shape (75000000,)"),
        ("mask_soft", member((HUGE,), "u1"), {}, f"mask_soft: expected 1 values, got {HUGE}"),
        # It lies about its size.
        ("mask_data", member((8,), "u1"), {}, "damaged, or another file"),
        # Nobody asks for it.
        ("other", member((HUGE,), "u1"), {}, "64x64, 2 frames, 1 track (1 with masks)"),
    ],
)
def test_archives_are_held_against_their_headers_first(tmp_path, name, head, header, text):
    assert text in read_in_little_memory(bomb(tmp_path, name, head, HUGE, **header))


@needs_proc
def test_a_header_of_an_array_is_not_longer_than_arrays_have(tmp_path):
    head = member((8,), "u1", version=2)
    text = read_in_little_memory(bomb(tmp_path, "mask_data", head[:8] + struct.pack("<I", HUGE), HUGE))
    assert "damaged, or another file" in text


def test_a_track_is_in_no_more_frames_than_a_clip_has(tmp_path):
    path = bomb(tmp_path, "frames", member((2,), "i8"), 16, tracks=[{"frames": 10**12}])
    with pytest.raises(MediaError, match=r"tracks\[0\].frames: expected at most 4194304 frames, got 1000000000000"):
        read_tracks(path)


def test_the_limit_holds_for_reading_and_writing(tmp_path, monkeypatch):
    for name in ("a.npz", "a.safetensors"):
        write_tracks(tmp_path / name, one())
    monkeypatch.setattr(archive, "MAX_UNPACKED", 200)
    for name in ("a.npz", "a.safetensors"):
        assert read_tracks(tmp_path / name) == one()
    monkeypatch.setattr(archive, "MAX_UNPACKED", 100)
    for name in ("a.npz", "a.safetensors"):
        with pytest.raises(MediaError, match=rf"{name}: arrays: expected at most 100 bytes in all .*, got 1"):
            read_tracks(tmp_path / name)
        with pytest.raises(InvalidArgumentError, match="arrays: expected at most 100 bytes in all"):
            write_tracks(tmp_path / f"new-{name}", one())
        assert not (tmp_path / f"new-{name}").exists()


@needs_proc
def test_safetensors_are_not_read_beyond_what_is_wanted(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    write_tracks(tmp_path / "a.safetensors", one())
    with safe_open(tmp_path / "a.safetensors", framework="np") as opened:
        metadata = opened.metadata()
    arrays = load_file(tmp_path / "a.safetensors") | {"mask_data": np.zeros(100 << 20, np.uint8)}
    save_file(arrays, tmp_path / "b.safetensors", metadata)
    text = read_in_little_memory(tmp_path / "b.safetensors", 200 << 20)
    assert "mask_data: expected 8 bytes, got 104857600" in text


def coco(*annotations, side=64, **image):
    images = [{"id": 1, "height": side, "width": side, "frame_index": 0, **image}]
    entries = [{"id": i, "image_id": 1, "category_id": 1, **entry} for i, entry in enumerate(annotations)]
    return {"images": images, "categories": [{"id": 1, "name": "a"}], "annotations": entries}


def runs(counts, side=64):
    return {"segmentation": {"size": [side, side], "counts": counts}}


@needs_proc
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (coco(runs([0, 10**12])), "counts: expected runs from 0 to 4096 pixels, got 0 to 1000000000000"),
        (coco(runs([0, 4096] * 3)), "counts: expected runs of 4096 pixels in all, 64x64, got 12288"),
        (coco(runs([0, 10**30])), "counts: expected a list of whole numbers"),
        (
            coco(runs([0, 1 << 60], 1 << 30), side=1 << 30),
            "frames of at most 268435456 pixels, got 1073741824x1073741824",
        ),
        (coco({"bbox": [1, 1, 9, 9]}, frame_index=10**12), "expected a frame from 0 to 4194303, got 1000000000000"),
        (coco({"bbox": [1, 1, 9, 9]}, frame_index=(1 << 22) - 1), "64x64, 4194304 frames, 1 track"),
        (
            {"width": 64, "height": 64, "frames": 10**12, "tracks": []},
            "frame_count: expected a whole number from 0 to 1073741824, got 1000000000000",
        ),
        ([{"frame": 10**400, "box": [1, 1, 9, 9]}], "frame: expected a finite number"),
    ],
)
def test_json_that_claims_too_much(tmp_path, content, text):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    assert text in read_in_little_memory(path)


@needs_proc
def test_json_that_is_nested_or_has_huge_numbers(tmp_path):
    path = tmp_path / "a.json"
    for content in ("[" * 10**6, '{"a":' * 10**6, "9" * 10**6):
        path.write_text(content)
        assert f"refused: {path}: expected " in read_in_little_memory(path)


@needs_proc
@pytest.mark.parametrize(("frame", "text"), [(10**12, "frame from 0 to 4194303"), ((1 << 22) - 1, "4194304 frames")])
def test_a_table_with_a_late_frame(tmp_path, frame, text):
    path = tmp_path / "a.csv"
    path.write_text(f"frame,x1,y1,x2,y2\n0,1,1,9,9\n{frame},1,1,9,9\n")
    assert text in read_in_little_memory(path)


@needs_proc
def test_polygons_over_a_large_frame_take_little_more_than_its_pixels(tmp_path):
    side = 8192
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco({"segmentation": [[0, 0, side, 0, side, side, 0, side]]}, side=side)))
    assert "8192x8192, 1 frame, 1 track" in read_in_little_memory(path)


def test_polygons_are_the_same_in_parts(monkeypatch):
    corners = np.random.default_rng(5).uniform(-10, 90, (40, 2))
    whole = fill([corners], (80, 70))
    for at_once in (1, 200, 1000):
        monkeypatch.setattr("segs_detailer.subjects.outlines._AT_ONCE", at_once)
        assert fill([corners], (80, 70)) == whole


def test_masks_of_few_bytes_are_limited_together(tmp_path, monkeypatch):
    whole = [{**runs([0, 4096]), "track_id": i} for i in range(4)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco(*whole)))
    Image.fromarray(np.arange(1, 65, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(claims, "MAX_UNPACKED", 3 * 512)
    with pytest.raises(
        MediaError, match=r"annotations\[3\]: expected masks of at most 1536 bytes in all, got 2048 bytes"
    ):
        read_tracks(path)
    monkeypatch.setattr(claims, "MAX_UNPACKED", 50)
    with pytest.raises(MediaError, match="expected masks of at most 50 bytes in all"):
        read_tracks(tmp_path / "a.png", format="davis")


def png_of(width, height):
    """Return a PNG that claims a size, and holds nothing of it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@needs_proc
@pytest.mark.parametrize("form", ["masks", "davis"])
def test_pictures_that_claim_too_many_pixels(tmp_path, form):
    path = tmp_path / "a.png"
    path.write_bytes(png_of(60_000, 60_000))
    text = read_in_little_memory(path)
    assert f"{path}: cannot be read (it claims to have 3600000000 pixels: no more than " in text
    with pytest.raises(MediaError, match="it claims to have 3600000000 pixels"):
        read_tracks(path, format=form)


def test_masks_out_of_proportion_to_the_frames(tmp_path, capsys):
    Image.new("RGB", (32, 24)).save(tmp_path / "clip.png")
    Image.new("L", (8192, 4104), 255).save(tmp_path / "mask.png")
    assert main(["plan", str(tmp_path / "clip.png"), "--mask", str(tmp_path / "mask.png"), "-q"]) == 2
    assert "at most 16 times the pixels of the frames, which are 32x24, got 8192x4104" in capsys.readouterr().err
