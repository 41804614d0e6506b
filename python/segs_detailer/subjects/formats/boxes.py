"""Boxes per frame as a table (CSV) or as JSON."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segs_detailer.errors import InvalidArgumentError
from segs_detailer.subjects.boxes import check_frame_size
from segs_detailer.subjects.formats.fields import (
    box_of,
    dict_of,
    list_of,
    number_of,
    shape_of,
    shot_of,
    text_of,
    whole_of,
)
from segs_detailer.subjects.formats.new_files import new_file, write_json
from segs_detailer.subjects.sightings import Sighting, frames_needed, gather
from segs_detailer.subjects.track import Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from segs_detailer.subjects.track import Shape, Track

__all__ = ["is_boxes", "parse_boxes", "parse_table", "write_boxes", "write_table"]

_COLUMNS = ("frame", "id", "label", "x1", "y1", "x2", "y2", "confidence")
_ANGLE = "angle"
# Other names of the same columns. Of several the one before comes first: names before numbers of classes.
_ALIASES = {
    "frame_index": "frame",
    "frame_id": "frame",
    "frame_idx": "frame",
    "track_id": "id",
    "tracker_id": "id",
    "object_id": "id",
    "name": "label",
    "class_name": "label",
    "class": "label",
    "rotation": "angle",
    "score": "confidence",
    "conf": "confidence",
    "xmin": "x1",
    "ymin": "y1",
    "xmax": "x2",
    "ymax": "y2",
    "x_min": "x1",
    "y_min": "y1",
    "x_max": "x2",
    "y_max": "y2",
    "w": "width",
    "h": "height",
}
_CORNERS = ("x1", "y1", "x2", "y2")
_EXTENTS = ("x", "y", "width", "height")


_RANKS = {name: rank for rank, name in enumerate(_ALIASES, start=1)}


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """Give fields the usual names; of several with one meaning the first counts that says anything."""
    lower = {key.strip().lower(): value for key, value in fields.items()}
    chosen: dict[str, Any] = {}
    for key in sorted(lower, key=lambda key: _RANKS.get(key, 0)):
        name, value = _ALIASES.get(key, key), lower[key]
        if chosen.get(name) in (None, ""):
            chosen[name] = value
    return chosen


def parse_table(text: str, *, size: tuple[int, int] | None, frame_count: int | None) -> Tracks:
    """Make tracks of a table with a line for each box.

    The first line names the columns, in any order: `frame` (from 0), `x1,y1,x2,y2` or `x,y,width,height`, and if they
    are known `id`, `label`, `confidence` and `angle`: by how many degrees the subject in the box is turned clockwise.
    Columns of other names are passed over.

    Parameters
    ----------
    text : str
        The table, with commas, semicolons or tabs between the columns.
    size : (int, int) or None
        Height and width of the frames: a table does not say.
    frame_count : int or None
        Number of frames; None ends the clip with the last box.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something in it is not as it must be.
    """
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    header: list[str] = []
    sightings: list[Sighting] = []
    try:
        header = [name.strip().lower() for name in next(rows)]
        _check_header(header)
        sightings += [_row(header, row, f"line {rows.line_num}") for row in rows if row]
    except csv.Error as error:
        raise InvalidArgumentError(f"line {rows.line_num}", "a line of a table", f"a fault ({error})") from error
    return _gathered(sightings, size, frame_count, "size: a table does not say the size of the frames")


def _check_header(header: list[str]) -> None:
    names = {_ALIASES.get(name, name) for name in header}
    has_box = set(_CORNERS) <= names or set(_EXTENTS) <= names
    if "frame" not in names or not has_box:
        expected = (
            "names of columns: frame, x1, y1, x2, y2 (or x, y, width, height), and id, label, confidence, angle "
            "if known"
        )
        raise InvalidArgumentError("line 1", expected, ", ".join(header))
    known = [name for name in header if _ALIASES.get(name, name) in (*_COLUMNS, _ANGLE, *_EXTENTS)]
    twice = [name for name in dict.fromkeys(known) if known.count(name) > 1]
    if twice:
        raise InvalidArgumentError("line 1", "each column once", f"{twice[0]} {known.count(twice[0])} times")


def _row(header: list[str], row: list[str], place: str) -> Sighting:
    if len(row) != len(header):
        raise InvalidArgumentError(place, f"{len(header)} columns", f"{len(row)}")
    fields = _renamed({name: value.strip() for name, value in zip(header, row, strict=True)})
    for name in ("frame", "id", "confidence", _ANGLE, *_CORNERS, *_EXTENTS):
        if fields.get(name, "") == "":
            fields.pop(name, None)
        else:
            fields[name] = _number(fields[name], f"{place}: {name}")
    if fields.get("label") == "":
        del fields["label"]
    return _sighting(fields, f"{place}: ")


def _number(text: str, place: str) -> float:
    try:
        return number_of(float(text), place)
    except ValueError as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(place, "a number", repr(text)) from None


def is_boxes(content: Any) -> bool:
    """Whether parsed JSON holds boxes per frame: tracks with boxes, or a list of boxes with frames."""
    if isinstance(content, dict):
        return "tracks" in content
    return isinstance(content, list) and all(isinstance(entry, dict) and "image_id" not in entry for entry in content)


def parse_boxes(content: Any, *, size: tuple[int, int] | None, frame_count: int | None) -> Tracks:
    """Make tracks of parsed JSON.

    Either what `write_boxes` writes, or a list of objects, one for each box, with the names that a table has as its
    columns; `box` or `bbox`, `[x1, y1, x2, y2]`, may stand for four of them.

    Parameters
    ----------
    content : dict or list
        The file.
    size : (int, int) or None
        Height and width of the frames, where the file does not say.
    frame_count : int or None
        Number of frames, where the file does not say; None ends the clip with the last box.

    Raises
    ------
    InvalidArgumentError, InvalidTypeError
        Something in it is not as it must be.
    """
    unknown = "size: the file does not say the size of the frames"
    if isinstance(content, list):
        sightings = [_sighting(_renamed(dict_of(v, f"[{i}]")), f"[{i}].") for i, v in enumerate(content)]
        return _gathered(sightings, size, frame_count, unknown)
    fields = dict_of(content, "JSON")
    if "width" in fields or "height" in fields:
        sides = [whole_of(fields.get(name), name, minimum=1) for name in ("height", "width")]
        size = check_frame_size("height, width", sides)
    if "frames" in fields:
        frame_count = whole_of(fields["frames"], "frames")
    sightings = []
    traits: dict[int, tuple[tuple[int, int] | None, Shape]] = {}
    for index, value in enumerate(list_of(fields.get("tracks"), "tracks")):
        place = f"tracks[{index}]"
        track = dict_of(value, place)
        own = {key: track[key] for key in ("id", "label") if track.get(key) is not None}
        own["id"] = whole_of(own.get("id", index + 1), f"{place}.id")
        traits[own["id"]] = shot_of(track.get("shot"), f"{place}.shot"), shape_of(track.get("shape"), f"{place}.shape")
        for row, item in enumerate(list_of(track.get("boxes"), f"{place}.boxes")):
            entry = dict_of(item, f"{place}.boxes[{row}]")
            sightings.append(_sighting({**_renamed(entry), **own}, f"{place}.boxes[{row}]."))
    found = _gathered(sightings, size, frame_count, unknown)
    tracks = [replace(track, shot=traits[track.id][0], shape=traits[track.id][1]) for track in found.tracks]
    return replace(found, tracks=tuple(tracks))


def _sighting(fields: dict[str, Any], prefix: str) -> Sighting:
    box = fields.get("box", fields.get("bbox"))
    if box is not None:
        corners = box_of(box, f"{prefix}box")
    elif all(name in fields for name in _CORNERS):
        corners = box_of([fields[name] for name in _CORNERS], f"{prefix}x1, y1, x2, y2")
    else:
        values = [fields.get(name) for name in _EXTENTS]
        corners = box_of(values, f"{prefix}x, y, width, height", with_size=True)
    number, label, confidence = fields.get("id"), fields.get("label"), fields.get("confidence")
    angle = fields.get(_ANGLE)
    return Sighting(
        whole_of(fields.get("frame"), f"{prefix}frame"),
        corners,
        "object" if label is None else text_of(label, f"{prefix}label"),
        None if number is None else whole_of(number, f"{prefix}id"),
        1.0 if confidence is None else number_of(confidence, f"{prefix}confidence"),
        None,
        prefix.rstrip(".: "),
        None if angle is None else number_of(angle, f"{prefix}{_ANGLE}"),
    )


def _gathered(sightings: list[Sighting], size: tuple[int, int] | None, frame_count: int | None, unknown: str) -> Tracks:
    if size is None:
        place, reason = unknown.split(": ", 1)
        raise InvalidArgumentError(place, "a width and height", f"none ({reason})")
    tracks = gather(sightings)
    return Tracks(size, frames_needed(tracks) if frame_count is None else frame_count, tracks)


def write_table(path: Path, tracks: Tracks) -> None:
    """Write a table with a line for each box, frame by frame; with a column of angles where any is known."""
    has_angles = any(track.angles is not None for track in tracks)
    rows = [
        (frame, track.id, track.label, *box, confidence, *([angle] if has_angles else []))
        for track in tracks
        for frame, box, confidence, angle in _sightings(track)
    ]
    rows.sort(key=lambda row: row[:2])
    with new_file(path) as place, place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*_COLUMNS, _ANGLE) if has_angles else _COLUMNS)
        writer.writerows(tuple(_short(value) for value in row) for row in rows)


def write_boxes(path: Path, tracks: Tracks) -> None:
    """Write size, number of frames, and the boxes of each track, with its shot and shape if known, as JSON."""
    height, width = tracks.frame_size
    entries = [
        {
            "id": track.id,
            "label": track.label,
            **({} if track.shot is None else {"shot": track.shot}),
            **({} if track.shape == "box" else {"shape": track.shape}),
            "boxes": [
                {
                    "frame": frame,
                    "box": [_short(value) for value in box],
                    "confidence": confidence,
                    **({} if angle is None else {_ANGLE: _short(angle)}),
                }
                for frame, box, confidence, angle in _sightings(track)
            ],
        }
        for track in tracks
    ]
    write_json(path, {"width": width, "height": height, "frames": tracks.frame_count, "tracks": entries})


def _sightings(track: Track) -> Iterator[tuple[int, list[float], float, float | None]]:
    """Yield frame, box, confidence and angle of each sighting; None for an angle that is not known."""
    angles = [math.nan] * len(track.frames) if track.angles is None else track.angles.tolist()
    columns = (track.frames.tolist(), track.boxes.tolist(), track.confidence.tolist(), angles)
    for frame, box, confidence, angle in zip(*columns, strict=True):
        yield frame, box, confidence, None if math.isnan(angle) else angle


def _short(value: Any) -> Any:
    """Whole numbers without a point; others in the digits that bring back the same float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
