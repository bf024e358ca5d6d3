"""Which image is shown next: by exam, then by class, then by source.

So a class that only one collection has many of is not that collection's, and a small source
is seen more often than its number says (by the root of it).
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from data.listing import Entry
from data.meanings import EXAMS, KIND_OF_EXAM

SHARES = {"covid3": 0.17, "lung_tb2": 0.19, "brain4": 0.27, "breast3": 0.2, "other": 0.17}
"""Of the exams, and of images that answer none of them."""
UNSURE = 0.5
"""How often an image is shown of which only a set of classes is known, beside a class."""
GROWTH = 0.5
"""Power of the number of a source's images by which it is drawn."""


def weights(entries: list[Entry], trained: list[int]) -> np.ndarray:
    """The chance of each image of the list; zero for those that are not trained on."""
    chance = np.zeros(len(entries))
    cells: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i in trained:
        entry = entries[i]
        for exam, classes in entry.answers.items():
            cells[exam, "|".join(classes), entry.source].append(i)
        if not entry.answers:
            cells["other", entry.kind, entry.source].append(i)
    for exam in (*EXAMS, "other"):
        mine = {key: members for key, members in cells.items() if key[0] == exam}
        labels = {label for _, label, _ in mine}
        worth = {label: UNSURE if "|" in label else 1.0 for label in labels}
        total = sum(worth.values())
        for label in labels:
            sources = [(key, members) for key, members in mine.items() if key[1] == label]
            sizes = np.array([len(members) for _, members in sources]) ** GROWTH
            for (_, members), share in zip(sources, sizes / sizes.sum(), strict=True):
                chance[members] += SHARES[exam] * worth[label] / total * share / len(members)
    return chance / chance.sum()


def kinds(entries: list[Entry], trained: list[int]) -> list[str]:
    """The kinds of image that are told apart: those of the exams first."""
    seen = {entries[i].kind for i in trained}
    first = list(dict.fromkeys(KIND_OF_EXAM.values()))
    return first + sorted(seen - set(first))
