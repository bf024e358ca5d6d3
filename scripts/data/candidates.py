"""Pairs of images that may be copies of each other: cheap, generous, proved by nobody yet.

Two ways find them. Words: every descriptor is put into the nearest of some thousand cells,
and images with alike histograms of rare cells are candidates, turned and cropped ones too;
mirrored ones by the mirrored descriptors. Thumbnails: the correlation of small pictures over
the eight ways to turn and mirror a square, for pictures with few places.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image as Picture

from .features import Features, mirrored, root
from .progress import Progress

WORDS = 3000
SAMPLE = 60_000
"""Descriptors that the words are made from."""
NEAREST = 10
"""Candidates an image by each way."""
THUMBNAIL = 24
ALIKE = 0.85
"""Correlation of thumbnails from which a pair is looked at."""
SEED = 20261130


class Pair(NamedTuple):
    """Image `second` may be `first`, mirrored or not."""

    first: int
    second: int
    mirror: bool


def words(features: Features) -> np.ndarray:
    """Centres `[WORDS, 128]` of the cells: four rounds of k-means on a sample."""
    random = np.random.default_rng(SEED)
    real = np.flatnonzero(features.counts)
    rows = random.choice(real, SAMPLE)
    places = (random.random(SAMPLE) * features.counts[rows]).astype(int)
    sample = root(features.descriptors[rows, places])
    centres = sample[random.permutation(SAMPLE)[:WORDS]]
    for _ in range(4):
        nearest = (sample @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        full = np.bincount(nearest, minlength=WORDS) > 0
        centres[full] = sums[full]
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres


def histograms(features: Features, centres: np.ndarray, mirror: bool) -> np.ndarray:
    """How often each image has each word, `[N, WORDS]`."""
    counted = np.zeros((len(features.counts), len(centres)), np.float32)
    for i, count in enumerate(features.counts):
        descriptors = features.descriptors[i, :count]
        if mirror:
            descriptors = mirrored(descriptors)
        np.add.at(counted[i], (root(descriptors) @ centres.T).argmax(1), 1)
    return counted


def weigh(counted: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """Unit vectors in which rare words count more (tf-idf)."""
    weighed = np.sqrt(counted) * rarity
    return weighed / np.maximum(np.linalg.norm(weighed, axis=1, keepdims=True), 1e-6)


def by_words(features: Features) -> set[Pair]:
    """For each image the `NEAREST` by words, as it is and mirrored."""
    centres = words(features)
    plain = histograms(features, centres, mirror=False)
    rarity = np.log(len(plain) / (1 + (plain > 0).sum(0)))
    known, pairs = weigh(plain, rarity), set()
    for mirror in (False, True):
        asked = weigh(histograms(features, centres, mirror), rarity) if mirror else known
        for start in range(0, len(known), 512):
            alike = asked[start : start + 512] @ known.T
            alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
            best = np.argpartition(-alike, NEAREST, axis=1)[:, :NEAREST]
            for row, columns in enumerate(best):
                for column in columns:
                    a, b = sorted((start + row, int(column)))
                    pairs.add(Pair(a, b, mirror))
    return pairs


def unit(pictures: np.ndarray) -> np.ndarray:
    """Flat rows without mean and of length 1: their products are correlations."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def content(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is shown within a dark border."""
    rows, columns = (picture.max(axis=axis) > 24 for axis in (1, 0))
    if rows.sum() < 32 or columns.sum() < 32:
        return 0, 0, *picture.shape
    top, left = int(rows.argmax()), int(columns.argmax())
    bottom, right = len(rows) - rows[::-1].argmax(), len(columns) - columns[::-1].argmax()
    return top, left, int(bottom), int(right)


def trimmed(picture: np.ndarray) -> np.ndarray:
    """A picture without the dark border around what it shows."""
    top, left, bottom, right = content(picture)
    return picture[top:bottom, left:right]


def thumbnails(pixels: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Small pictures `[N, side, side]` of what each shows."""

    def small(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Picture.fromarray(picture).resize((side, side)))

    return np.stack([small(trimmed(picture)) for picture in pixels])


def by_thumbnails(pixels: np.ndarray) -> set[tuple[int, int, int]]:
    """Pairs, and which of the eight ways to turn the second shows the first."""
    small = thumbnails(pixels)
    known, found = unit(small), set()
    for way in range(8):
        asked = known if way == 0 else unit(turn(small, way))
        for start in range(0, len(known), 512):
            alike = known[start : start + 512] @ asked.T
            alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
            best = np.argpartition(-alike, NEAREST, axis=1)[:, :NEAREST]
            rows, columns = np.nonzero(np.take_along_axis(alike, best, 1) > ALIKE)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                found.add((start + row, int(best[row, column]), way))
    return found


def turn(pictures: np.ndarray, way: int) -> np.ndarray:
    """`[..., S, S]` turned by `way % 4` quarters, then mirrored from 4 on."""
    turned = np.rot90(pictures, way % 4, axes=(-2, -1))
    return turned[..., ::-1] if way >= 4 else turned


def all_pairs(features: Features) -> tuple[set[Pair], set[tuple[int, int, int]]]:
    """What both ways find."""
    with Progress("candidates", 2) as progress:
        by_word = by_words(features)
        progress.step()
        by_thumbnail = by_thumbnails(features.pixels)
        progress.step()
    return by_word, by_thumbnail
