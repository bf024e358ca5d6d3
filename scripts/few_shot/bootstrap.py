"""How sure a figure is: 95 % intervals from resampled test images and seeds.

Images are drawn again within their class, so that no class is ever without one, and the
same draws serve every method: a difference of two is therefore paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import metrics

RESAMPLES = 1000
Draws = Callable[[np.ndarray], np.ndarray]
"""A figure of each resample, `[RESAMPLES]`, from probabilities `[N, K]`."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval."""

    mean: float
    low: float
    high: float

    def text(self, factor: float = 100, places: int = 1) -> str:
        low, high = (f"{factor * v:.{places}f}" for v in (self.low, self.high))
        return f"{factor * self.mean:.{places}f} [{low}, {high}]"


class Bootstrap:
    """The resamples of one test set."""

    def __init__(self, labels: np.ndarray, seed: int = 0) -> None:
        self.labels = labels
        self.generator = np.random.default_rng(seed)
        self.counts = np.zeros((RESAMPLES, len(labels)))
        for c in np.unique(labels):
            mine = np.flatnonzero(labels == c)
            drawn = self.generator.integers(len(mine), size=(RESAMPLES, len(mine)))
            for resample, picks in enumerate(drawn):
                self.counts[resample, mine] = np.bincount(picks, minlength=len(mine))
        # The same seeds of every method in each resample.
        self.places = self.generator.random((RESAMPLES, 64))

    def over_seeds(self, draws: np.ndarray) -> np.ndarray:
        """Draws `[seeds, RESAMPLES]` with the seeds drawn again as well."""
        seeds = len(draws)
        picks = (self.places[:, :seeds] * seeds).astype(int)
        return np.take_along_axis(draws.T, picks, axis=1).mean(1)

    def estimate(self, mean: float, draws: np.ndarray) -> Estimate:
        low, high = np.quantile(self.over_seeds(draws), [0.025, 0.975])
        return Estimate(mean, float(low), float(high))

    def accuracy(self, probabilities: np.ndarray) -> np.ndarray:
        right = probabilities.argmax(1) == self.labels
        return self.counts @ right / len(self.labels)

    def balanced_accuracy(self, probabilities: np.ndarray) -> np.ndarray:
        right = probabilities.argmax(1) == self.labels
        sizes = np.bincount(self.labels)
        share = 1 / (np.count_nonzero(sizes) * sizes[self.labels])
        return self.counts @ (right * share)

    def macro_auroc(self, probabilities: np.ndarray) -> np.ndarray:
        areas = []
        for c in np.unique(self.labels):
            mine = self.labels == c
            ours, others = probabilities[mine, c][:, None], probabilities[~mine, c][None]
            above = (ours > others) + 0.5 * (ours == others)
            area = ((self.counts[:, mine] @ above) * self.counts[:, ~mine]).sum(1)
            areas.append(area / above.size)
        return np.mean(areas, axis=0)

    def ece(self, probabilities: np.ndarray) -> np.ndarray:
        top, right = probabilities.max(1), probabilities.argmax(1) == self.labels
        place = np.minimum((top * metrics.BINS).astype(int), metrics.BINS - 1)
        apart = np.eye(metrics.BINS)[place] * (top - right)[:, None]
        return np.abs(self.counts @ apart).sum(1) / len(self.labels)

    def of(self, column: str) -> Draws:
        return getattr(self, column)
