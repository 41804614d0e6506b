"""How often thresholds are wrong about who is who, on pictures of known people.

    python benches/identity_errors.py PEOPLE/ --model sface.onnx --yunet yunet.onnx

PEOPLE has a folder for each person, or thing, with pictures of it. Without --model and --yunet both are fetched;
--model may also be a vision model of transformers, which looks at whole pictures.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segs_detailer.subjects import SFaceEmbedder, Track, VisionEmbedder, link_tracks
from segs_detailer.video import read_clip
from segs_detailer.video.sequences import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segs_detailer.subjects import Embedder

THRESHOLDS = (0.2, 0.25, 0.3, 0.363, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Errors:
    """What one threshold does.

    Parameters
    ----------
    threshold : float
        The cosine.
    missed : float
        Share of pairs of one person that are not taken for the same.
    wrong : float
        Share of pairs of two people that are.
    linked : float
        Share of pairs of one person that `link_tracks` links.
    wrong_links : int
        Pairs of two people that it links.
    """

    threshold: float
    missed: float
    wrong: float
    linked: float
    wrong_links: int


def errors_at(vectors: NDArray[np.float32], names: Sequence[str], threshold: float) -> Errors:
    """Count the errors of a threshold, on `(n, d)` vectors of length 1 and whose each is."""
    alike = vectors @ vectors.T
    people = np.array(names)
    same = people[:, None] == people[None]
    pairs = np.triu(np.ones_like(same), 1)
    # As if each picture was a track of a shot of its own.
    tracks = [Track(number, "face", [number], [(0, 0, 9, 9)]) for number in range(1, len(names) + 1)]
    found = link_tracks(tracks, dict(enumerate(vectors, start=1)), threshold)
    groups = np.array([track.identity for track in found])
    linked = (groups[:, None] == groups[None]) & pairs
    return Errors(
        threshold,
        missed=float((alike < threshold)[same & pairs].mean()),
        wrong=float((alike >= threshold)[~same & pairs].mean()),
        linked=float(linked[same & pairs].mean()),
        wrong_links=int(linked[~same].sum()),
    )


def vectors_of(folder: Path, embedder: Embedder) -> tuple[NDArray[np.float32], list[str]]:
    """Make vectors of all pictures in which something is found, with the names of their folders."""
    vectors, names = [], []
    left_out: Counter[str] = Counter()
    for person, path in pictures(folder):
        vector = embedder.embed_picture(read_clip(path).frames[0])
        if vector is None:
            left_out[person] += 1
        else:
            vectors.append(vector)
            names.append(person)
    if left_out:
        print(f"no face in {left_out.total()} pictures of {', '.join(left_out)}")
    if len(set(names)) < 2 or len(set(names)) == len(names):
        raise SystemExit(f"{folder}: expected folders of at least two people, one of them with two pictures")
    return np.stack(vectors), names


def pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the pictures of each person."""
    for person in sorted(each for each in folder.iterdir() if each.is_dir()):
        for path in sorted(person.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield person.name, path


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("people", type=Path, metavar="PEOPLE")
    parser.add_argument("--model", help="a file of SFace, or a folder or hub id of a vision model")
    parser.add_argument("--yunet", help="a file of YuNet")
    args = parser.parse_args(argv)
    is_vision = args.model is not None and not args.model.endswith(".onnx")
    embedder = VisionEmbedder(args.model) if is_vision else SFaceEmbedder(args.model, yunet=args.yunet)
    vectors, names = vectors_of(args.people, embedder)
    print(f"{len(names)} pictures of {len(set(names))}")
    print("threshold  missed  wrong    linked  wrong links")
    for threshold in sorted({*THRESHOLDS, embedder.threshold, embedder.link_threshold}):
        each = errors_at(vectors, names, threshold)
        print(f"{threshold:9.3f}  {each.missed:6.1%}  {each.wrong:7.3%}  {each.linked:6.1%}  {each.wrong_links:11d}")


if __name__ == "__main__":
    main()
