"""What is tested on, and which images a head is trained on: all by hashes, so that the same
images give the same split everywhere, in whatever order they come.

Near-duplicates never straddle the two, and few-shot draws take them last.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from starter import data

from .images import Labelled
from .refused import Refused

TEST_SHARE = 0.2
LISTED_FROM = 0.1
"""A list of hashes is the test set where it names at least this share of the images."""


@dataclass(frozen=True)
class Amount:
    """How much is trained on: a share of each class in per cent, or so many of each."""

    fraction: float | None = None
    shots: int | None = None

    def of(self, count: int) -> int:
        """Images of a class that has `count`."""
        wanted = self.shots if self.fraction is None else round(self.fraction / 100 * count)
        return min(max(wanted or 0, 1), count)

    def key(self) -> dict[str, float]:
        """The row's key."""
        return {"shots": self.shots} if self.fraction is None else {"fraction": self.fraction}


def near_duplicates(images: list[Labelled]) -> np.ndarray:
    """A group number for each image, as the starter's split was grouped."""
    side = (data.DUPLICATE_SIDE, data.DUPLICATE_SIDE)
    greys = (Image.fromarray(data.read_grey(image.path)) for image in images)
    return data.duplicate_groups(np.stack([np.asarray(grey.resize(side)) for grey in greys]))


def rank(seed: str, sha256: str) -> str:
    """Where a hash stands in the order that a seed makes."""
    return hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()


def test_set(
    images: list[Labelled], groups: np.ndarray, listed: Path | None, classes: int
) -> np.ndarray:
    """Which images are tested on and never trained on: those of the list, or `TEST_SHARE` of
    each class by their hashes."""
    known = set(json.loads(listed.read_text())["validation_sha256"]) if listed else set()
    chosen = np.array([image.sha256 in known for image in images])
    if chosen.mean() < LISTED_FROM:
        chosen = by_hashes(images, groups)
    chosen = np.isin(groups, groups[chosen])
    labels = np.array([image.label for image in images])
    for part, name in ((chosen, "test"), (~chosen, "training")):
        if len(np.unique(labels[part])) < classes:
            raise Refused(f"the {name} part lacks a class: too many near-duplicates")
    return chosen


def by_hashes(images: list[Labelled], groups: np.ndarray) -> np.ndarray:
    labels = np.array([image.label for image in images])
    first = {g: min(images[i].sha256 for i in np.flatnonzero(groups == g)) for g in set(groups)}
    chosen: set[int] = set()
    for label in np.unique(labels):
        members = groups[labels == label]
        wanted, taken = round(TEST_SHARE * len(members)), 0
        for group in sorted(set(members), key=lambda g: rank("test", first[g])):
            if taken >= max(wanted, 1):
                break
            chosen.add(int(group))
            taken += int((members == group).sum())
    return np.isin(groups, list(chosen))


def draw(
    images: list[Labelled], groups: np.ndarray, test: np.ndarray, amount: Amount, seed: int
) -> np.ndarray:
    """Indices of the training images, class by class: the first of an order that the seed
    makes, so that a larger draw holds the smaller ones."""
    chosen: list[int] = []
    for label in sorted({image.label for image in images}):
        mine = [i for i, image in enumerate(images) if image.label == label and not test[i]]
        mine.sort(key=lambda i: rank(str(seed), images[i].sha256))
        seen: set[int] = set()
        fresh, copies = [], []
        for i in mine:
            (copies if groups[i] in seen else fresh).append(i)
            seen.add(int(groups[i]))
        chosen += (fresh + copies)[: amount.of(len(mine))]
    return np.array(chosen)
