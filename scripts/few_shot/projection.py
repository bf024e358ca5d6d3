"""The one row here that trains the encoder: its last projection (ProLIP, Fahes et al. 2025).

The other ways of training an encoder further (LoRA, all of it) need its weights in PyTorch:
`starter/adapt.py` has them.
"""

from __future__ import annotations

import numpy as np

from .descend import Arrays, descend, loss_and_slope, unit_and_back
from .methods import Method
from .probe import balanced_weights
from .sample import Exam, Predictor, Sample, Setting


class ProLip(Method):
    """The projection from features to embeddings, pulled back to what it was."""

    name = "prolip"
    grid = tuple({"penalty": p} for p in (0.1, 1.0, 0.01))
    steps = 20

    def __init__(self, projection: np.ndarray) -> None:
        # Embeddings are of unit length, so the scale is free: with this one a penalty means
        # the same for every encoder.
        self.projection = projection / np.linalg.norm(projection) * len(projection) ** 0.5

    def fit(self, exam: Exam, sample: Sample, setting: Setting) -> Predictor:
        penalty, start = setting["penalty"], self.projection
        whole, focused = sample.features[:, 0], sample.features[:, 1]
        weights = balanced_weights(sample.labels, exam.classes)

        def objective(arrays: Arrays) -> tuple[float, Arrays]:
            (projection,) = arrays
            z_whole, back_whole = unit_and_back(whole @ projection.T)
            z_focused, back_focused = unit_and_back(focused @ projection.T)
            q, back = unit_and_back(0.5 * (z_whole + z_focused))
            loss, slope = loss_and_slope(exam.alike(q), sample.labels, weights)
            moved = 0.5 * back(exam.scale * slope @ exam.prototypes)
            gradient = back_whole(moved).T @ whole + back_focused(moved).T @ focused
            apart = projection - start
            loss += 0.5 * penalty * float((apart**2).sum())
            return loss, [gradient + penalty * apart]

        (projection,) = descend(objective, [start], self.steps)

        def answer(s: Sample) -> np.ndarray:
            z_whole, z_focused = (unit_and_back(s.features[:, i] @ projection.T)[0] for i in (0, 1))
            return exam.alike(unit_and_back(0.5 * (z_whole + z_focused))[0])

        return answer
