"""Which images are held back: as many as possible of those that always were, and every
group on one side.

Validation images of `scripts/starter/split.json` and of the second folder's own `split` are
the beginning. A group that stands on both sides goes to training whole: what the shipped
encoder was trained on is never held back, so that its figures and a new encoder's are of the
same images. Where that leaves a large source of a class nearly without (the films that were
for pre-training only), groups are drawn until it has enough.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from .manifest import Image

TRAIN, VALIDATION = "train", "val"


def began(images: list[Image], held: set[str]) -> list[str]:
    """The sides before groups were looked at."""
    return [VALIDATION if i.sha256 in held or i.split == "val" else TRAIN for i in images]


def assign(before: list[str], groups: np.ndarray) -> list[str]:
    """The side of every image: a group's that is held back whole, or training."""
    sides: dict[int, set[str]] = {}
    for side, group in zip(before, groups.tolist(), strict=True):
        sides.setdefault(group, set()).add(side)
    return [VALIDATION if sides[group] == {VALIDATION} else TRAIN for group in groups.tolist()]


LARGE = 100
FEWEST, WANTED = 0.08, 0.15
"""Shares of a large source's images of a class: below the first, groups are drawn until the
second is reached."""
LARGEST_GROUP = 20


def topped_up(sides: list[str], groups: np.ndarray, cells: list[str]) -> list[str]:
    """The sides with enough held back of every large cell (a source's images of one class;
    empty for an image that has no class). The draw is seeded by
    the cell's size, so that nothing but the images decides."""
    drawn, size = list(sides), Counter(groups.tolist())
    for cell, count in sorted(Counter(cells).items()):
        mine = [i for i, name in enumerate(cells) if name == cell]
        held = sum(drawn[i] == VALIDATION for i in mine)
        if not cell or count < LARGE or held >= FEWEST * count:
            continue
        order = sorted({int(groups[i]) for i in mine if size[int(groups[i])] <= LARGEST_GROUP})
        order = np.random.default_rng(count).permutation(order).tolist()
        inside = Counter(int(groups[i]) for i in mine)
        chosen: set[int] = set()
        while order and held < WANTED * count:
            group = order.pop()
            chosen.add(group)
            held += inside[group]
        drawn = [
            VALIDATION if int(group) in chosen else side
            for group, side in zip(groups, drawn, strict=True)
        ]
    return drawn
