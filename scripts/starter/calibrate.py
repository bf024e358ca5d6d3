"""What makes a head's answer honest, from images that its training never saw: temperature,
prediction sets and what later answers are compared with (`src/triage/sets.rs`,
`src/triage/reference.rs`).

One number is fitted to all of these images, the temperature; whatever is measured or set
beside it is on cross-fitted probabilities: those of each image come of a temperature that
the image had no part in.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from scipy.optimize import minimize_scalar

from bundling.head import Tensors, softmax
from few_shot.probe import cross_entropy

COVERAGES = (0.8, 0.9, 0.95, 0.99)
STATED = 0.9
"""The coverage that findings state; with this many cases of each class it is of each class."""
FOLDS = 20
STEPS = 10
"""Of the shares that later answers are compared with."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature scaling (Guo et al. 2017): the minimum of the cross-entropy."""
    even = np.full(len(labels), 1 / len(labels))

    def loss(log_temperature: float) -> float:
        return cross_entropy(logits / math.exp(log_temperature), labels, even)

    found = minimize_scalar(loss, bounds=(math.log(0.1), math.log(20)), method="bounded")
    return math.exp(found.x)


def folds(names: list[str], labels: np.ndarray, count: int = FOLDS) -> np.ndarray:
    """A part for each image by its hash, each class spread over all of them."""
    ranks = np.array([hashlib.sha256(f"part:{name}".encode()).hexdigest() for name in names])
    place = np.zeros(len(labels), int)
    for c in np.unique(labels):
        mine = np.flatnonzero(labels == c)
        place[mine[np.argsort(ranks[mine])]] = np.arange(len(mine)) % count
    return place


def cross_fitted(logits: np.ndarray, labels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Probabilities of each image at the temperature of the others."""
    p = np.zeros_like(logits)
    for fold in np.unique(place):
        mine = place == fold
        p[mine] = softmax(logits[mine] / fit_temperature(logits[~mine], labels[~mine]))
    return p


def cases_needed(coverage: float) -> int:
    """The least number of cases that allow a coverage."""
    return math.ceil(1 / (1 - coverage) - 1e-9) - 1


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The `ceil((n + 1) coverage)`-th least score; 1, which all are within, of too few."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0


def sets(p: np.ndarray, labels: np.ndarray, coverages: tuple[float, ...] = COVERAGES) -> Tensors:
    """Split conformal thresholds on `1 - p` of the true class; for each class as well, where
    each has cases enough for the stated coverage. No coverage is given that the number of
    cases, of each class then, does not allow."""
    scores, counts = 1 - p[np.arange(len(p)), labels], np.bincount(labels, minlength=p.shape[1])
    by_class = counts.min() >= cases_needed(STATED)
    fewest = counts.min() if by_class else len(labels)
    levels = [c for c in coverages if fewest >= cases_needed(c)]
    tensors = {
        "conformal.levels": np.array(levels),
        "conformal.thresholds": rounded_up(np.array([threshold(scores, c) for c in levels])),
    }
    if by_class:
        own = [scores[labels == k] for k in range(len(counts))]
        each = np.array([[threshold(of_class, c) for of_class in own] for c in levels])
        tensors["conformal.class_thresholds"] = rounded_up(each)
    return tensors


def rounded_up(values: np.ndarray) -> np.ndarray:
    """In single precision, never less: rounding must not take a case out of its own set."""
    near = values.astype(np.float32)
    above = np.nextafter(near, np.float32(2))
    return np.minimum(np.where(near < values, above, near), np.float32(1))


def members(tensors: Tensors, p: np.ndarray, coverage: float) -> np.ndarray:
    """Which classes are in the set of each image, `[N, K]`."""
    at = int(np.argmin(np.abs(tensors["conformal.levels"] - coverage)))
    limits = tensors.get("conformal.class_thresholds", tensors["conformal.thresholds"])
    return 1 - p <= limits[at]


def coverage_of(
    p: np.ndarray, labels: np.ndarray, place: np.ndarray, coverage: float
) -> tuple[int, float]:
    """How many images' sets hold their class, and how many classes a set has on average;
    by thresholds of the other parts."""
    hits, size = 0, 0
    for fold in np.unique(place):
        mine = place == fold
        inside = members(sets(p[~mine], labels[~mine], (coverage,)), p[mine], coverage)
        hits += int(inside[np.arange(mine.sum()), labels[mine]].sum())
        size += int(inside.sum())
    return hits, size / len(labels)


def binomial_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `n`."""
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def reference(p: np.ndarray, guard_shares: np.ndarray) -> Tensors:
    """How the answers are spread, of the images that the guard lets pass."""
    passed = guard_shares <= 1
    p, guard_shares = p[passed], guard_shares[passed]

    def shares(steps: np.ndarray, count: int) -> np.ndarray:
        return np.bincount(np.minimum(steps, count - 1), minlength=count) / len(p)

    return {
        "reference.top": shares((p.max(1) * STEPS).astype(int), STEPS),
        "reference.classes": shares(p.argmax(1), p.shape[1]),
        "reference.guard": shares((guard_shares * STEPS).astype(int), STEPS),
        "reference.cases": np.array([float(len(p))]),
    }
