"""What the runtime makes of the decoder's masks (`src/focus`), in numpy: which one answers,
cleaned, and how large it is at the picture's own size. The reference for the figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

CHOICE_OFFSET = 1.0
SPECK = 0.1
SURE = 4.0
AREAS = (0.005, 0.95)
"""Shares of the image outside of which a mask answers only where there is no other."""


@dataclass(frozen=True)
class Answer:
    """One mask: logits `[S, S]` and the IoU that the decoder expects of it."""

    logits: np.ndarray
    predicted: float
    score: float
    """Logit of "there is something"."""


def stability(logits: np.ndarray, offset: float = CHOICE_OFFSET) -> float:
    """IoU of the masks at thresholds above and below 0."""
    wide = float((logits > -offset).sum())
    return float((logits > offset).sum()) / wide if wide else 0.0


def choose(candidates: list[Answer]) -> Answer:
    """The highest product of predicted IoU and stability (SAM, appendix B)."""

    def rank(answer: Answer) -> float:
        quality = answer.predicted * stability(answer.logits)
        usual = AREAS[0] <= (answer.logits > 0).mean() < AREAS[1]
        return quality + float(usual)

    return max(candidates, key=rank)


def components(plane: np.ndarray) -> Iterator[np.ndarray]:
    count, labels = cv2.connectedComponents(plane.astype(np.uint8), connectivity=4)
    for n in range(1, count):
        yield labels == n


def cleaned(logits: np.ndarray) -> np.ndarray:
    """Without small islands and small holes."""
    out, inside = logits.copy(), logits > 0
    speck = np.ceil(inside.sum() * SPECK)
    for plane, value in ((inside, -SURE), (~inside, SURE)):
        for part in components(plane):
            if part.sum() < speck:
                out[part] = value
    return out


def enlarged(logits: np.ndarray, side: int) -> np.ndarray:
    """Bilinear between the middles of pixels, borders repeated."""
    return cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)
