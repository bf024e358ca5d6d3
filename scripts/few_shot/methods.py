"""The rows of the experiment: how a head is trained on a few labelled embeddings.

Each method has a grid of settings; `choose.py` picks one on the training images. What of
them the device's head can hold stands in `docs/few-shot.md`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product

import numpy as np

from bundling import head
from bundling.head import Tensors

from .descend import Arrays, descend, loss_and_slope, unit_and_back
from .probe import balanced_weights, fit_probe
from .sample import Exam, Predictor, Sample, Setting

CACHE_LIMIT = 256
"""Keys that a cache holds at most: the device keeps them in a head of some 130 kB."""


class Method(ABC):
    """One row: its name, the settings to choose from, and the training."""

    name: str
    grid: tuple[Setting, ...] = ({},)
    """The first is taken where there are too few images to choose."""
    blends: tuple[float, ...] = (1.0,)
    """Shares of the trained answer, the rest being the prototypes' own."""

    @abstractmethod
    def fit(self, exam: Exam, sample: Sample, setting: Setting) -> Predictor:
        """Trains; never looks at anything but `sample`."""


class ZeroShot(Method):
    """The prototypes' own answer; nothing is trained."""

    name = "zero_shot"

    def fit(self, exam: Exam, sample: Sample, setting: Setting) -> Predictor:
        return lambda s: exam.alike(s.query)


class InHead(Method):
    """A method whose answer a head file can hold (`src/triage/head.rs`)."""

    @abstractmethod
    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        """Trains; those tensors of the head that are not as in one of prototypes alone."""

    def fit(self, exam: Exam, sample: Sample, setting: Setting) -> Predictor:
        made = head.plain(exam.prototypes, exam.scale) | self.tensors(exam, sample, setting)
        return lambda s: head.logits(made, s.whole, s.focused)


class LinearProbe(InHead):
    """Logistic regression on the embeddings, without the text side."""

    name = "linear_probe"
    grid = tuple({"penalty": p} for p in (0.01, 0.1, 0.001, 0.0001, 0.00001))

    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        offset = np.zeros((len(sample), exam.classes))
        weight, bias = fit_probe(offset, sample.query, sample.labels, setting["penalty"])
        # The head adds the prototypes' answer, so it is taken away here.
        weight = weight - exam.scale * exam.prototypes
        return {"classifier.weight": weight, "classifier.bias": bias}


class TextProbe(InHead):
    """The same on top of the prototypes' answer, blended with it: what `medfocus enroll`
    trains."""

    name = "text_probe"
    grid = LinearProbe.grid
    blends = (1.0, 0.75, 0.5, 0.25, 0.0)

    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        q = sample.query
        weight, bias = fit_probe(exam.alike(q), q, sample.labels, setting["penalty"])
        return {"classifier.weight": weight, "classifier.bias": bias}


class TipAdapter(InHead):
    """A key-value cache of the training images (Zhang et al. 2022); nothing is trained."""

    name = "tip_adapter"
    grid = tuple(
        {"alpha": a, "beta": b} for a, b in product((3.0, 1.0, 10.0, 30.0), (5.5, 1.0, 20.0))
    )

    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        return cache_tensors(*cache_of(exam, sample), setting)


class TipAdapterF(InHead):
    """The cache with its keys trained."""

    name = "tip_adapter_f"
    grid = tuple({"alpha": a, "beta": b} for a, b in product((3.0, 10.0), (5.5,)))
    steps = 20

    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        keys, values = cache_of(exam, sample)
        alpha, beta = setting["alpha"], setting["beta"]
        q, labels = sample.query, sample.labels
        weights = balanced_weights(labels, exam.classes)
        base = exam.alike(q)

        def objective(arrays: Arrays) -> tuple[float, Arrays]:
            near = np.exp(-beta * (1 - q @ arrays[0].T))
            loss, slope = loss_and_slope(base + alpha * near @ values, labels, weights)
            return loss, [(alpha * beta * (slope @ values.T) * near).T @ q]

        (keys,) = descend(objective, [keys], self.steps)
        return cache_tensors(keys, values, setting)


def cache_of(exam: Exam, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Keys and one-hot values, the same number of each class where there are too many."""
    if len(sample) > CACHE_LIMIT:
        most = CACHE_LIMIT // exam.classes
        places = [np.flatnonzero(sample.labels == c)[:most] for c in range(exam.classes)]
        sample = sample.take(np.concatenate(places))
    return sample.query, np.eye(exam.classes)[sample.labels]


def cache_tensors(keys: np.ndarray, values: np.ndarray, setting: Setting) -> Tensors:
    numbers = {f"cache.{name}": np.array([setting[name]]) for name in ("alpha", "beta")}
    return {"cache.keys": keys, "cache.values": values} | numbers


class ClipAdapter(Method):
    """A bottleneck of two layers on the embedding, mixed with it (Gao et al. 2021)."""

    name = "clip_adapter"
    grid = tuple({"ratio": r, "penalty": p} for r, p in product((0.6, 0.2), (0.001, 0.0001)))
    steps = 25
    seed = 0

    def fit(self, exam: Exam, sample: Sample, setting: Setting) -> Predictor:
        size = exam.prototypes.shape[1]
        random = np.random.default_rng(self.seed)
        start = [
            random.normal(scale=(2 / size) ** 0.5, size=shape)
            for shape in ((size // 4, size), (size, size // 4))
        ]
        ratio, penalty = setting["ratio"], setting["penalty"]
        q, labels = sample.query, sample.labels
        weights = balanced_weights(labels, exam.classes)

        def objective(arrays: Arrays) -> tuple[float, Arrays]:
            down, up = arrays
            hidden = np.maximum(q @ down.T, 0)
            u, back = unit_and_back((1 - ratio) * q + ratio * np.maximum(hidden @ up.T, 0))
            loss, slope = loss_and_slope(exam.alike(u), labels, weights)
            loss += 0.5 * penalty * sum(float((a**2).sum()) for a in arrays)
            moved = ratio * back(exam.scale * slope @ exam.prototypes) * (hidden @ up.T > 0)
            inner = (moved @ up) * (hidden > 0)
            return loss, [inner.T @ q + penalty * down, moved.T @ hidden + penalty * up]

        down, up = descend(objective, start, self.steps)

        def answer(s: Sample) -> np.ndarray:
            moved = np.maximum(np.maximum(s.query @ down.T, 0) @ up.T, 0)
            u, _ = unit_and_back((1 - ratio) * s.query + ratio * moved)
            return exam.alike(u)

        return answer


class MedFocus(InHead):
    """The paper's objective on the fusion head: L = lambda Lc + (1 - lambda) Le, where Lc
    compares the fused embedding with the prototypes and Le is the classifier's."""

    name = "medfocus"
    grid = (
        *({"lambda": share, "penalty": 0.03} for share in (0.3, 0.0, 0.7, 1.0)),
        {"lambda": 0.3, "penalty": 0.003},
    )
    steps = 20

    def __init__(self, share: float | None = None) -> None:
        """With `share` lambda is no choice, for the sweep over it."""
        if share is not None:
            self.name = f"medfocus_lambda_{share:g}"
            self.grid = tuple({"lambda": share, "penalty": p} for p in (0.03, 0.003))

    def tensors(self, exam: Exam, sample: Sample, setting: Setting) -> Tensors:
        size, classes = exam.prototypes.shape[1], exam.classes
        share, penalty = setting["lambda"], setting["penalty"]
        # What is learnt of `fusion` lies where the samples lie: fewer numbers, same answer.
        _, lengths, axes = np.linalg.svd(sample.joined, full_matrices=False)
        axes = axes[lengths > 1e-9]
        joined, labels = sample.joined @ axes.T, sample.labels
        middle = 0.5 * (sample.whole + sample.focused)
        weights = balanced_weights(labels, classes)
        sp = exam.scale * exam.prototypes

        def objective(arrays: Arrays) -> tuple[float, Arrays]:
            fusion, shift, classifier, bias = arrays
            u, back = unit_and_back(middle + joined @ fusion.T + shift)
            alike = u @ sp.T
            lc, slope_c = loss_and_slope(alike, labels, weights)
            le, slope_e = loss_and_slope(alike + u @ classifier.T + bias, labels, weights)
            slope_c, slope_e = share * slope_c, (1 - share) * slope_e
            size_of = float((fusion**2).sum() + (classifier**2).sum())
            value = share * lc + (1 - share) * le + 0.5 * penalty * size_of
            moved = back((slope_c + slope_e) @ sp + slope_e @ classifier)
            return value, [
                moved.T @ joined + penalty * fusion,
                moved.sum(0),
                slope_e.T @ u + penalty * classifier,
                slope_e.sum(0),
            ]

        start = [np.zeros(s) for s in ((size, len(axes)), (size,), (classes, size), (classes,))]
        fusion, shift, classifier, bias = descend(objective, start, self.steps)
        # With lambda = 1 the classifier was never trained, and is still zero.
        return {
            "fusion.weight": fusion @ axes,
            "fusion.bias": shift,
            "classifier.weight": classifier,
            "classifier.bias": bias,
        }


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        ZeroShot(),
        LinearProbe(),
        TextProbe(),
        TipAdapter(),
        TipAdapterF(),
        ClipAdapter(),
        MedFocus(),
    )
}
SWEEP = tuple(MedFocus(share) for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0))
"""The paper's lambda, from cross-entropy alone to the contrastive loss alone."""
