"""Linear probes, trained to the minimum of a convex objective by Newton's method.

`text_probe` (as LP++, Huang et al. 2024, and SS-Text, Silva-Rodriguez et al. 2025) keeps
the prototypes' answer as an offset and learns what to add; `medfocus enroll` trains the
same head on the device, and `tests/vectors/heads` holds the two together.
"""

from __future__ import annotations

import numpy as np

from bundling.head import softmax

GRADIENT = 1e-9
"""Newton's method ends below this length of the gradient."""


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """One weight an image; each class that has images weighs alike, together 1."""
    counts = np.bincount(labels, minlength=classes)
    return 1 / (np.count_nonzero(counts) * counts[labels])


def cross_entropy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Weighted sum of the negative log probabilities of the truths."""
    top = logits.max(1)
    total = np.log(np.exp(logits - top[:, None]).sum(1)) + top
    return float(weights @ (total - logits[np.arange(len(labels)), labels]))


def fit_probe(
    offset: np.ndarray, x: np.ndarray, labels: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """`C [K, D]` and `c [K]` that minimise the class-balanced mean cross-entropy of
    `offset + x C^T + c` plus `penalty / 2 |C|^2`.

    `c` is not penalised, so one may add a number to all of it; as the start is 0, the
    answer is the one whose sum is 0."""
    classes, size = offset.shape[1], x.shape[1]
    weights, truth = balanced_weights(labels, classes), np.eye(classes)[labels]
    design = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    theta = np.zeros((classes, size + 1))
    ridge = np.append(np.full(size, penalty), 0.0)

    def objective(theta: np.ndarray) -> float:
        loss = cross_entropy(offset + design @ theta.T, labels, weights)
        return loss + 0.5 * float((ridge * theta**2).sum())

    for _ in range(100):
        p = softmax(offset + design @ theta.T)
        gradient = ((p - truth) * weights[:, None]).T @ design + ridge * theta
        if np.linalg.norm(gradient) < GRADIENT:
            break
        step = np.linalg.solve(hessian(p, weights, design, ridge), gradient.ravel())
        step, slope = step.reshape(theta.shape), float(step @ gradient.ravel())
        length, before = 1.0, objective(theta)
        # At the minimum the objective no longer tells a better step from a worse one.
        while length > 1e-4 and objective(theta - length * step) > before - 1e-4 * length * slope:
            if slope < 1e-13:
                break
            length /= 2
        theta = theta - length * step
    return theta[:, :size], theta[:, size]


def hessian(
    p: np.ndarray, weights: np.ndarray, design: np.ndarray, ridge: np.ndarray
) -> np.ndarray:
    """Of the objective, class by class; made invertible along the direction in which all
    of `c` moves alike, where the gradient is 0."""
    classes, width = p.shape[1], design.shape[1]
    blocks = np.empty((classes, width, classes, width))
    for a in range(classes):
        for b in range(a, classes):
            curve = weights * p[:, a] * ((a == b) - p[:, b])
            block = design.T @ (design * curve[:, None])
            blocks[a, :, b], blocks[b, :, a] = block, block
        blocks[a, :, a] += np.diag(ridge)
    blocks[:, -1, :, -1] += 1 / classes
    return blocks.reshape(classes * width, classes * width)
