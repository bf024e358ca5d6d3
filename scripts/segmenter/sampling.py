"""Which image is shown next: by what is outlined in it and by whom, then by source (by the
root of its size), so that the few outlines of people are seen often enough."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from data.listing import Entry

from .outlines import BOX, HUMAN, MODEL, ROUGH, Outlines

DRAWN, GRAFTED = "drawn", "grafted"
WAYS = ("", DRAWN, GRAFTED)
"""What is done to an image before it is worn: nothing, blobs drawn on it, another's lesion set
into it."""
SHARES: dict[tuple[str, str], float] = {
    ("breast", HUMAN): 0.24,
    ("breast", MODEL): 0.02,
    ("breast", "empty"): 0.03,
    ("brain", HUMAN): 0.16,
    ("brain", MODEL): 0.10,
    ("brain", BOX): 0.05,
    ("brain", "empty"): 0.03,
    ("chest", ROUGH): 0.09,
    ("chest", BOX): 0.12,
    ("chest", "organ"): 0.06,
    ("chest", "empty"): 0.03,
    ("photo_of_monitor", BOX): 0.01,
    (DRAWN, ""): 0.06,
    (GRAFTED, "brain"): 0.14,
    (GRAFTED, "breast"): 0.08,
}
GROWTH = 0.5


def cell(entries: list[Entry], outlines: Outlines, i: int) -> tuple[str, str] | None:
    """What the image teaches, or nothing."""
    kind = entries[i].kind
    if outlines.makers[i]:
        return kind, str(outlines.makers[i])
    if kind == "chest" and outlines.organs[i] >= 0:
        return kind, "organ"
    return (kind, "empty") if outlines.empty[i] else None


def weights(entries: list[Entry], outlines: Outlines) -> np.ndarray:
    """`[WAYS, N]`: the chance of each image of the list to be shown in each way; zero for all
    that is held back."""
    members: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, entry in enumerate(entries):
        if entry.held:
            continue
        found = cell(entries, outlines, i)
        if found in SHARES:
            members[found][entry.source].append(i)
        if not outlines.makers[i]:
            members[DRAWN, ""][entry.kind].append(i)
        if outlines.empty[i] and (GRAFTED, entry.kind) in SHARES:
            members[GRAFTED, entry.kind][entry.source].append(i)
    chance = np.zeros((len(WAYS), len(entries)))
    for found, sources in members.items():
        sizes = np.array([len(places) for places in sources.values()]) ** GROWTH
        for places, share in zip(sources.values(), sizes / sizes.sum(), strict=True):
            row = WAYS.index(found[0]) if found[0] in WAYS else 0
            chance[row, places] += SHARES[found] * share / len(places)
    return chance / chance.sum()
