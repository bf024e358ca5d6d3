"""Minimising an objective of several arrays, with gradients worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import minimize

from bundling.head import softmax

from .probe import cross_entropy

Arrays = list[np.ndarray]
Objective = Callable[[Arrays], tuple[float, Arrays]]
"""Value and gradients."""


def descend(objective: Objective, start: Sequence[np.ndarray], steps: int) -> Arrays:
    """L-BFGS from `start`: no learning rate to choose, and the same answer every time."""
    shapes = [a.shape for a in start]
    cuts = np.cumsum([a.size for a in start])[:-1]

    def split(flat: np.ndarray) -> Arrays:
        return [a.reshape(s) for a, s in zip(np.split(flat, cuts), shapes, strict=True)]

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradients = objective(split(flat))
        return value, np.concatenate([g.ravel() for g in gradients])

    flat = np.concatenate([np.asarray(a, float).ravel() for a in start])
    found = minimize(value_and_slope, flat, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return split(found.x)


def loss_and_slope(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """Weighted cross-entropy, and its gradient by the logits."""
    p = softmax(logits)
    p[np.arange(len(labels)), labels] -= 1
    return cross_entropy(logits, labels, weights), p * weights[:, None]


def unit_and_back(v: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Rows of unit length, and how a gradient by them becomes one by `v`."""
    length = np.linalg.norm(v, axis=1, keepdims=True)
    u = v / length
    return u, lambda g: (g - (g * u).sum(1, keepdims=True) * u) / length
