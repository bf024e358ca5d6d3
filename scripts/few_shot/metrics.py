"""The figures of a row."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

BINS = 10


def balanced_accuracy(right: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall over the classes."""
    return float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))


def macro_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the area under each one's curve against the rest."""
    areas = []
    for c in np.unique(labels):
        mine = labels == c
        ranks = rankdata(probabilities[:, c])
        positive, negative = mine.sum(), (~mine).sum()
        area = (ranks[mine].sum() - positive * (positive + 1) / 2) / (positive * negative)
        areas.append(area)
    return float(np.mean(areas))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of the answered class over equal-width bins."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((top * BINS).astype(int), BINS - 1)
    gaps = [
        abs(top[place == b].mean() - right[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    return float(sum(gaps))


def figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The columns of one row."""
    right = probabilities.argmax(1) == labels
    values = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": balanced_accuracy(right, labels),
        "macro_auroc": macro_auroc(probabilities, labels),
        "ece": calibration_error(probabilities, labels),
    }
    return {name: round(value, 5) for name, value in values.items()}
