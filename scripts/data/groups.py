"""Groups of images that must stand on one side of the split: copies of one picture, and
pictures of one patient or series where that is known."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from PIL import Image as Picture

from .candidates import all_pairs, content, turn, unit
from .features import Features
from .manifest import Image
from .progress import Progress
from .verify import Proof, by_places, laid_over

CORRELATION = 0.95
CORRELATION_SIDE = 48
"""The rule of `scripts/starter/split.json`, which still holds beside the new ones."""
NIH = re.compile(r"/(\d{8})_\d{3}\.png$")


class Groups:
    """Union-find over the numbers of the images."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self.parent[max(a, b)] = min(a, b)

    def numbers(self) -> np.ndarray:
        """The lowest member of each image's group."""
        return np.array([self.root(i) for i in range(len(self.parent))])


def known_series(images: list[Image]) -> Iterable[tuple[int, int]]:
    """Pairs of one patient or series, as manifests and file names tell."""
    first: dict[str, int] = {}
    for i, image in enumerate(images):
        patient = NIH.search("/" + image.path)
        for name in (image.series, f"nih {patient[1]}" if patient else ""):
            if name:
                yield first.setdefault(name, i), i


def by_correlation(pixels: np.ndarray) -> Iterable[tuple[int, int]]:
    """Pairs whose whole pictures correlate above `CORRELATION`."""
    size = (CORRELATION_SIDE, CORRELATION_SIDE)
    small = np.stack([np.asarray(Picture.fromarray(p).resize(size)) for p in pixels])
    flat = unit(small)
    for start in range(0, len(flat), 512):
        alike = flat[start : start + 512] @ flat.T
        for i, j in np.argwhere(alike > CORRELATION):
            if start + i < j:
                yield start + int(i), int(j)


def turned_matrix(way: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """From the second picture's pixels to the first's, where what the second shows, turned
    by `way`, is what the first shows."""

    def box(picture: np.ndarray) -> np.ndarray:
        top, left, bottom, right = content(picture)
        return np.array([[right - left, 0, left], [0, bottom - top, top], [0, 0, 1]], float)

    # A small picture's corners are turned as the picture is.
    corners = np.stack(np.meshgrid([0, 1], [0, 1]), axis=-1).astype(float)
    moved = turn(np.moveaxis(corners, -1, 0), way)
    at, to = np.moveaxis(moved, 0, -1).reshape(4, 2), corners.reshape(4, 2)
    solved, *_ = np.linalg.lstsq(np.c_[at, np.ones(4)], to, rcond=None)
    unit_map = np.vstack([solved.T, [0, 0, 1]])
    return (box(first) @ unit_map @ np.linalg.inv(box(second)))[:2]


def copies(features: Features) -> list[tuple[int, int]]:
    """Pairs that are the same picture, proved one by one."""
    by_word, by_thumbnail = all_pairs(features)
    proved: list[tuple[int, int]] = []
    with Progress("proofs", len(by_word) + len(by_thumbnail)) as progress:
        for pair in sorted(by_word):
            if by_places(features, *pair).same:
                proved.append((pair.first, pair.second))
            progress.step()
        for first, second, way in sorted(by_thumbnail):
            matrix = turned_matrix(way, features.pixels[first], features.pixels[second])
            laid = laid_over(features.halves[first], features.halves[second], matrix)
            if Proof(0, *laid).same:
                proved.append((first, second))
            progress.step()
    return proved
