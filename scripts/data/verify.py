"""Whether two images are the same picture: the one is laid over the other and compared.

The map between them comes from matched places (or from one of the eight ways to turn a
square); what decides is how alike the fine structure is where both show something. Two
slices of one head, or two chests, lie over each other well only in the coarse.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .features import SIDE, Features, mirrored, root

RATIO = 0.82
"""Distance of the best match by that of the second best, at most (Lowe 2004)."""
MATCHES = 7
INLIERS = 7
TOLERANCE = 4.0
"""Pixels that a place may lie off the map."""
OVERLAP = 0.3
"""Share of the picture that both must show."""
FINE = 0.65
"""Correlation of the fine structure from which two images are one picture, or slices of one
patient side by side: of the proofs tried, few lie between 0.6 and 0.7."""


@dataclass(frozen=True)
class Proof:
    """How alike two images are at their best."""

    inliers: int
    overlap: float
    fine: float

    @property
    def same(self) -> bool:
        return self.overlap >= OVERLAP and self.fine >= FINE


NOTHING = Proof(0, 0.0, 0.0)


def fine_structure(picture: np.ndarray) -> np.ndarray:
    """What is left without the coarse: places 2 to 8 pixels of 256 wide, float32."""
    values = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)
    return values - cv2.GaussianBlur(values, (0, 0), 3.0)


def laid_over(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> tuple[float, float]:
    """Overlap, and correlation of the fine structure, of the second half-size picture seen
    through `matrix` (from its pixels at full size to the first one's) and the first."""
    size = first.shape[::-1]
    half = matrix * np.array([[1, 1, 0.5], [1, 1, 0.5]])
    moved = cv2.warpAffine(second, half, size, flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones_like(second), half, size, flags=cv2.INTER_NEAREST)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8)) > 0
    overlap = float(inside.mean())
    if overlap < OVERLAP:
        return overlap, 0.0
    a, b = (fine_structure(picture)[inside] for picture in (first, moved))
    a, b = a - a.mean(), b - b.mean()
    # Clipped, so that a marker or a text that only one of them has does not decide.
    a, b = (np.clip(x, -3 * x.std(), 3 * x.std()) for x in (a, b))
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return overlap, float((a * b).sum()) / max(length, 1e-6)


def matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Index pairs `[M, 2]` of descriptors that are each other's best by far."""
    alike = root(first) @ root(second).T
    if min(alike.shape) < 2:
        return np.zeros((0, 2), int)
    order = np.argpartition(-alike, 1, axis=1)[:, :2]
    top = np.take_along_axis(alike, order, 1)
    best = np.where(top[:, 0] >= top[:, 1], order[:, 0], order[:, 1])
    distance = np.sqrt(np.maximum(2 - 2 * np.sort(top, axis=1)[:, ::-1], 0))
    rows = np.arange(len(first))
    clear = distance[:, 0] < RATIO * distance[:, 1]
    mutual = alike.argmax(0)[best] == rows
    kept = clear & mutual
    return np.stack([rows[kept], best[kept]], axis=1)


def by_places(features: Features, first: int, second: int, mirror: bool) -> Proof:
    """The proof by matched places."""
    a = features.descriptors[first, : features.counts[first]]
    b = features.descriptors[second, : features.counts[second]]
    pairs = matches(a, mirrored(b) if mirror else b)
    if len(pairs) < MATCHES:
        return NOTHING
    to = features.places[first, pairs[:, 0]]
    at = features.places[second, pairs[:, 1]].copy()
    picture = features.halves[second]
    if mirror:
        at[:, 0] = SIDE - 1 - at[:, 0]
        picture = np.ascontiguousarray(picture[:, ::-1])
    cv2.setRNGSeed(1)
    matrix, inside = cv2.estimateAffine2D(
        at, to, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=300
    )
    if matrix is None or inside.sum() < INLIERS or not sane(matrix):
        return NOTHING
    overlap, fine = laid_over(features.halves[first], picture, matrix)
    return Proof(int(inside.sum()), overlap, fine)


def sane(matrix: np.ndarray) -> bool:
    """Neither turned over nor stretched beyond what copies are."""
    scales = np.linalg.svd(matrix[:, :2], compute_uv=False)
    whole = bool(scales[1] > 0.25 and scales[0] < 4 and scales[0] < 1.8 * scales[1])
    return whole and float(np.linalg.det(matrix[:, :2])) > 0
