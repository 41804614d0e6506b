"""Faces as MediaPipe's meshes, drawn of ellipses: points where its topology has them, and FACE_LANDMARKS of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377]
OVAL += [152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
# From the corner of the eye at its side of the face, below, to the inner one, and above back.
RIGHT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
LEFT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
OUTER_LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
INNER_LIPS = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
RIGHT_BROW = ([46, 53, 52, 65, 55], [70, 63, 105, 66, 107])
LEFT_BROW = ([276, 283, 282, 295, 285], [300, 293, 334, 296, 336])
RIGHT_IRIS, LEFT_IRIS = [469, 470, 471, 472], [474, 475, 476, 477]
BRIDGE = [168, 6, 197, 195, 5, 4, 1, 19, 94, 2]
TIP = [98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4, 45, 220, 115, 48, 64]

# Centers and half axes in shares of the face's half axes.
PARTS = {
    "left_eye": ((0.42, -0.25), (0.2, 0.09)),
    "right_eye": ((-0.42, -0.25), (0.2, 0.09)),
    "lips": ((0.0, 0.5), (0.36, 0.16)),
}
IRIS_RADIUS = 0.07


def ring(points):
    return list(zip(points, [*points[1:], points[0]], strict=True))


def line(points):
    return list(pairwise(points))


SETS = {
    "face_oval": frozenset(ring(OVAL)),
    "left_eye": frozenset(ring(LEFT_EYE)),
    "right_eye": frozenset(ring(RIGHT_EYE)),
    "lips": frozenset([*ring(OUTER_LIPS), *ring(INNER_LIPS)]),
    "left_eyebrow": frozenset(line(LEFT_BROW[0]) + line(LEFT_BROW[1])),
    "right_eyebrow": frozenset(line(RIGHT_BROW[0]) + line(RIGHT_BROW[1])),
    "irises": frozenset(ring(RIGHT_IRIS) + ring(LEFT_IRIS)),
    "nose": frozenset([*line(BRIDGE), *ring(TIP)]),
}


def mesh_of(middle, axes, angle=0.0):
    """Points `(478, 2)` of a face with these half axes, turned clockwise by so many degrees."""
    mesh = np.zeros((478, 2))

    def around(points, place, radii, first, turn=1):
        angles = first + turn * np.linspace(0, 2 * np.pi, len(points), endpoint=False)
        mesh[points] = np.array(place) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii

    around(OVAL, (0, 0), (1, 1), -np.pi / 2)
    around(RIGHT_EYE, *PARTS["right_eye"], np.pi, -1)
    around(LEFT_EYE, *PARTS["left_eye"], 0.0)
    around(OUTER_LIPS, *PARTS["lips"], np.pi, -1)
    around(INNER_LIPS, (0.0, 0.5), (0.25, 0.05), np.pi, -1)
    for side, (below, above), iris in ((1, LEFT_BROW, LEFT_IRIS), (-1, RIGHT_BROW, RIGHT_IRIS)):
        x = side * np.linspace(0.7, 0.15, 5)
        mesh[below] = np.stack([x, np.full(5, -0.45)], axis=1)
        mesh[above] = np.stack([x, np.full(5, -0.55)], axis=1)
        around(iris, (side * 0.42, -0.25), (IRIS_RADIUS, IRIS_RADIUS), 0.0)
    mesh[BRIDGE] = np.stack([np.zeros(10), np.linspace(-0.3, 0.2, 10)], axis=1)
    around([point for point in TIP if point not in (2, 4)], (0.0, 0.1), (0.2, 0.15), 0.0)
    turn = np.deg2rad(angle)
    matrix = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    return np.array(middle) + (mesh * axes) @ matrix


def face_of(mesh, score=0.9):
    """As MediaPipe Face Landmarker gives a face; what nobody asks for is left out."""
    return {
        "bbox_xyxy": np.concatenate([mesh.min(axis=0), mesh.max(axis=0)]).astype(np.float32),
        "landmarks_xy": mesh.astype(np.float32),
        "landmarks_3d": np.zeros((len(mesh), 3), np.float32),
        "blendshapes": {},
        "presence": 1.0,
        "score": score,
    }


def landmarks_of(frames, size):
    """FACE_LANDMARKS of the meshes of each frame."""
    faces = [[face_of(mesh) for mesh in meshes] for meshes in frames]
    return {"frames": faces, "image_size": size, "connection_sets": SETS}


def ellipse(size, middle, axes):
    """Where an ellipse is."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return ((x - middle[0]) / axes[0]) ** 2 + ((y - middle[1]) / axes[1]) ** 2 < 1
