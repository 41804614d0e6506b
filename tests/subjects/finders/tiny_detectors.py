"""Detectors in ONNX files, made by hand: they find plain red, green and blue squares on gray.

Each class is a color. A convolution says for each pixel how much of the color is there. Each cell of a grid has a box
of a fixed size about its center, and its score is the mean over that box. The outputs are laid out as in real exports.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COLORS = np.eye(3, dtype=np.float32)
NAMES = ("red", "green", "blue")
GRAY = 0.4
_OPSET = 17
_IR = 8


def _constant(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def _grid(size, cell):
    """Centers of the cells, `(1, 2, N)` as x and y, row by row."""
    rows, columns = size[0] // cell, size[1] // cell
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    return np.stack([x.ravel(), y.ravel()])[None] * cell + cell / 2


def _save(path, nodes, constants, inputs, outputs, metadata):
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def yolo(
    path,
    *,
    layout="v8",
    size=(96, 128),
    cell=8,
    box=24,
    names=NAMES,
    named=True,
    batch=1,
    dtype=np.float32,
    extra_columns=0,
    segments=False,
    metadata=None,
):
    """Save a detector of the layout of YOLOv5, YOLOv8 or one with suppression inside ("v5", "v8", "end2end").

    One that segments has the colors at a quarter of the size as prototypes, and the scores as coefficients.
    """
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    classes = len(names)
    weights = (1.5 * COLORS[:classes] - 0.5)[:, :, None, None]
    centers = _grid(size, cell)
    count = centers.shape[2]
    sides = np.full((1, 2, count), box, np.float32)
    boxes = np.concatenate([centers, sides], axis=1)
    corners = np.concatenate([centers - box / 2, centers + box / 2], axis=1).transpose(0, 2, 1)
    constants = [
        _constant("weights", weights.astype(dtype)),
        _constant("low", np.array(0, dtype)),
        _constant("high", np.array(1, dtype)),
        _constant("flat", np.array([0, classes, -1])),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["colors"]),
        helper.make_node(
            "AveragePool",
            ["colors"],
            ["cells"],
            kernel_shape=[box, box],
            strides=[cell, cell],
            pads=[(box - cell) // 2] * 4,
            count_include_pad=1,
        ),
        helper.make_node("Clip", ["cells", "low", "high"], ["clipped"]),
        helper.make_node("Reshape", ["single" if layout == "end2end" else "clipped", "flat"], ["scores"]),
    ]
    if layout == "end2end":
        most = min(20, count)
        constants += [
            _constant("corners", np.repeat(corners, batch, axis=0).astype(dtype)),
            _constant("most", np.array([most])),
            _constant("tail", np.zeros((batch, most, extra_columns), dtype)),
        ]
        nodes[3:3] = [
            # Only what is the most of its surroundings stays.
            helper.make_node("MaxPool", ["clipped"], ["most_around"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
            helper.make_node("Equal", ["clipped", "most_around"], ["is_most"]),
            helper.make_node("Cast", ["is_most"], ["share"], to=kind),
            helper.make_node("Mul", ["clipped", "share"], ["single"]),
        ]
        nodes += [
            helper.make_node("ReduceMax", ["scores"], ["best"], axes=[1], keepdims=0),
            helper.make_node("ArgMax", ["scores"], ["kind"], axis=1, keepdims=0),
            helper.make_node("TopK", ["best", "most"], ["values", "places"], axis=1),
            helper.make_node("GatherElements", ["kind", "places"], ["chosen"], axis=1),
            helper.make_node("Cast", ["chosen"], ["labels"], to=kind),
            _constant_node("last", np.array([2])),
            helper.make_node("Unsqueeze", ["values", "last"], ["value_column"]),
            helper.make_node("Unsqueeze", ["labels", "last"], ["label_column"]),
            _constant_node("first", np.array([1])),
            _constant_node("kinds", np.array([1, classes, 1])),
            _constant_node("four", np.array([1, 1, 4])),
            helper.make_node("Unsqueeze", ["places", "last"], ["place_column"]),
            helper.make_node("Tile", ["place_column", "four"], ["place_rows"]),
            helper.make_node("GatherElements", ["corners", "place_rows"], ["chosen_corners"], axis=1),
            helper.make_node("Unsqueeze", ["places", "first"], ["place_row"]),
            helper.make_node("Tile", ["place_row", "kinds"], ["place_rows_of_kinds"]),
            helper.make_node("GatherElements", ["scores", "place_rows_of_kinds"], ["chosen_scores"], axis=2),
            helper.make_node("Transpose", ["chosen_scores"], ["coefficients"], perm=[0, 2, 1]),
            helper.make_node(
                "Concat",
                ["chosen_corners", "value_column", "label_column", "tail", *(["coefficients"] if segments else [])],
                ["output0"],
                axis=2,
            ),
        ]
        shape = [batch, most, 6 + extra_columns + (classes if segments else 0)]
    else:
        constants += [
            _constant("boxes", np.repeat(boxes, batch, axis=0).astype(dtype)),
            _constant("tail", np.zeros((batch, extra_columns, count), dtype)),
            _constant("sure", np.full((batch, 1, count), 0.9, dtype)),
        ]
        parts = ["boxes", "sure", "scores", "tail"] if layout == "v5" else ["boxes", "scores", "tail"]
        parts += ["scores"] if segments else []
        columns = 4 + (layout == "v5") + classes + extra_columns + (classes if segments else 0)
        nodes.append(
            helper.make_node("Concat", parts, ["columns" if layout == "v5" else "output0"], axis=1),
        )
        if layout == "v5":
            nodes.append(helper.make_node("Transpose", ["columns"], ["output0"], perm=[0, 2, 1]))
        shape = [batch, count, columns] if layout == "v5" else [batch, columns, count]
    notes = {"names": str(dict(enumerate(names))), "stride": "32"} if named else {}
    outputs = [helper.make_tensor_value_info("output0", kind, shape)]
    if segments:
        constants.append(_constant("level", np.array(0.5, dtype)))
        nodes += [
            helper.make_node("AveragePool", ["colors"], ["quarter"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Sub", ["quarter", "level"], ["output1"]),
        ]
        outputs.append(helper.make_tensor_value_info("output1", kind, [batch, classes, size[0] // 4, size[1] // 4]))
        notes |= {"task": "segment", "end2end": str(layout == "end2end")}
    inputs = [helper.make_tensor_value_info("images", kind, [batch, 3, *size])]
    return _save(path, nodes, constants, inputs, outputs, {**notes, **(metadata or {})})


def _constant_node(name, values):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values))


def flexible_yolo(path, *, metadata=None, names=NAMES):
    """Save a detector `(1, 4 + C, 1)` for any number of pictures of any size: one box, of the share 1 / 4 of the input.

    Its score is the mean of the color over the whole picture.
    """
    classes = len(names)
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "order"], ["sides_int"]),
        helper.make_node("Cast", ["sides_int"], ["sides"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["sides", "shares"], ["box"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"]),
        helper.make_node("Concat", ["count", "column"], ["repeats"], axis=0),
        helper.make_node("Expand", ["box_row", "repeats"], ["boxes"]),
        helper.make_node("Conv", ["images", "weights"], ["colors"]),
        helper.make_node("ReduceMean", ["colors"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["means", "two"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    nodes.insert(4, helper.make_node("Reshape", ["box", "row"], ["box_row"]))
    constants = [
        _constant("order", np.array([3, 2, 3, 2])),
        _constant("shares", np.array([0.5, 0.5, 0.25, 0.25], np.float32)),
        _constant("row", np.array([1, 4, 1])),
        _constant("zero", np.array([0])),
        _constant("two", np.array([2])),
        _constant("column", np.array([4, 1])),
        _constant("weights", (1.5 * COLORS[:classes] - 0.5)[:, :, None, None]),
    ]
    return _save(
        path,
        nodes,
        constants,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4 + classes, 1])],
        {"names": str(dict(enumerate(names))), **(metadata or {})},
    )


def yunet(path, *, size=(96, 128), cell=8, faces=(((40.0, 24.0, 30.0, 36.0), 0.95),), points=None):
    """Save a network with YuNet's outputs that gives the same faces `((x, y, width, height), score)` for any picture.

    `points` are five `(x, y)`, the same for all of them; without, they lie in one place.

    The outputs are decoded by OpenCV: for a cell at column c and row r of the grid of stride s, the center is
    `(c + dx, r + dy) * s`, the size `exp(w) * s`, `exp(h) * s`, and the score the root of class times objectness.
    """
    constants, nodes, outputs = [], [], []
    values = {}
    for stride in (8, 16, 32):
        rows, columns = size[0] // stride, size[1] // stride
        cells = rows * columns
        part = {
            "cls": np.zeros((1, cells, 1), np.float32),
            "obj": np.zeros((1, cells, 1), np.float32),
            "bbox": np.zeros((1, cells, 4), np.float32),
            "kps": np.zeros((1, cells, 10), np.float32),
        }
        if stride == cell:
            for (x, y, width, height), score in faces:
                center = np.array([x + width / 2, y + height / 2]) / stride
                column, row = np.floor(center).astype(int)
                index = row * columns + column
                part["cls"][0, index] = part["obj"][0, index] = score
                part["bbox"][0, index, :2] = center - [column, row]
                part["bbox"][0, index, 2:] = np.log(np.array([width, height]) / stride)
                if points is not None:
                    part["kps"][0, index] = (np.array(points) / stride - [column, row]).ravel()
        values[stride] = part
    for kind in ("cls", "obj", "bbox", "kps"):
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            array = values[stride][kind]
            # OpenCV wants every output to depend on the input.
            constants += [_constant(f"{name}_values", array), _constant(f"{name}_none", np.zeros(1, np.float32))]
            nodes += [
                helper.make_node("Mul", ["picture", f"{name}_none"], [f"{name}_nothing"]),
                helper.make_node("Add", [f"{name}_nothing", f"{name}_values"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(array.shape)))
    constants.append(_constant("one", np.array([1, 1, 1])))
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("ReduceMean", ["pooled"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["mean", "one"], ["picture"]),
        *nodes,
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *size])]
    return _save(path, nodes, constants, inputs, outputs, {})


def picture(squares, size=(96, 128), ground=GRAY):
    """Gray frame with squares `(color, x, y, side)`."""
    frame = np.full((*size, 3), ground, np.float32)
    for color, x, y, side in squares:
        frame[y : y + side, x : x + side] = COLORS[NAMES.index(color)]
    return frame
