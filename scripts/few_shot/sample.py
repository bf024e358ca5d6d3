"""What every method is given: unit embeddings with labels, and the exam's prototypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bundling import head

Predictor = Callable[["Sample"], np.ndarray]
"""Logits `[N, K]` of a sample, whose labels it never looks at."""
Setting = dict[str, float]
"""One choice of a method's hyperparameters."""


@dataclass(frozen=True)
class Exam:
    """The text side: prototypes `[K, D]` and the scale of their answer."""

    prototypes: np.ndarray
    scale: float

    @property
    def classes(self) -> int:
        return len(self.prototypes)

    def alike(self, u: np.ndarray) -> np.ndarray:
        """Logits of unit vectors by the prototypes."""
        return self.scale * u @ self.prototypes.T


@dataclass(frozen=True)
class Sample:
    """Some images: whole and focused embeddings `[N, D]`, labels `[N]`."""

    whole: np.ndarray
    focused: np.ndarray
    labels: np.ndarray
    features: np.ndarray | None = None
    """What the encoder's last projection reads, `[N, 2, F]`, where that is known."""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def query(self) -> np.ndarray:
        return head.query(self.whole, self.focused)

    @cached_property
    def joined(self) -> np.ndarray:
        return np.concatenate([self.whole, self.focused], axis=1)

    def take(self, which: np.ndarray) -> Sample:
        """Some of the images, by indices or truths."""
        return replace(
            self,
            whole=self.whole[which],
            focused=self.focused[which],
            labels=self.labels[which],
            features=None if self.features is None else self.features[which],
        )
