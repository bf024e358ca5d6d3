"""Measures regions against what was outlined, and sums them up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from segmenter.scoring import Interval, mean_interval, overlap

from .ask import Answer, Way, deepest
from .outlines import Outlined, plane

FIGURES = ("iou", "dice", "covered", "hit", "right", "refused")


@dataclass(frozen=True)
class Row:
    """One image asked about in one way."""

    file: str
    exam: str
    source: str
    group: str
    prompt: str
    style: str
    outlined_by: str
    """`mask` or `boxes`; with boxes overlap is with the filled boxes, and small for that."""
    iou: float
    dice: float
    covered: float
    """Share of what was outlined that the region holds."""
    hit: float
    """Pointing: whether the region's deepest place lies in what was outlined."""
    predicted_iou: float
    right: float
    """Whether the answered class is the true one; not a number where that is not known."""
    refused: float


@dataclass(frozen=True)
class Sum:
    """Mean and interval of each figure over the images of one kind."""

    exam: str
    source: str
    outlined_by: str
    prompt: str
    style: str
    images: int
    groups: int
    figures: dict[str, Interval | None]


def measured(image: Outlined, answer: Answer, way: Way) -> Row:
    """One image's figures."""
    real = plane(image, answer.region.shape)
    iou, dice, covered = overlap(answer.region, real)
    hit = False
    if answer.region.any():
        column, row = deepest(answer.region)
        hit = bool(real[row, column])
    right = float(answer.label == image.label) if image.label else float("nan")
    return Row(
        image.file.name,
        image.exam,
        image.source,
        image.group,
        way.prompt,
        way.style,
        "boxes" if image.mask is None else "mask",
        iou,
        dice,
        covered,
        float(hit),
        answer.predicted_iou,
        right,
        float(answer.is_refused),
    )


def sums(rows: Iterable[Row]) -> list[Sum]:
    """By exam and way over all sources, then by source."""
    cells: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in rows:
        for source in dict.fromkeys(("", row.source)):
            key = (row.exam, source, row.outlined_by, row.prompt, row.style)
            cells.setdefault(key, []).append(row)
    return [summed(key, members) for key, members in sorted(cells.items())]


def summed(key: tuple[str, str, str, str, str], members: list[Row]) -> Sum:
    """One line of the table."""
    groups = [row.group for row in members]
    figures: dict[str, Interval | None] = {}
    for name in FIGURES:
        values = np.array([asdict(row)[name] for row in members])
        known = np.isfinite(values)
        of = [group for group, is_known in zip(groups, known, strict=True) if is_known]
        figures[name] = mean_interval(values[known], of) if of else None
    return Sum(*key, len(members), len(set(groups)), figures)
