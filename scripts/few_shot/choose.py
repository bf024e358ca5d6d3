"""A method's setting and temperature, chosen on the training images alone by folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bundling.head import softmax

from .methods import Method
from .metrics import balanced_accuracy
from .probe import balanced_weights, cross_entropy
from .sample import Exam, Predictor, Sample, Setting

FOLDS = 4
MOST = 160
"""Images that a setting is chosen on, the same share of each class; all are trained on."""
TEMPERATURES = np.geomspace(0.1, 20, 60)


@dataclass(frozen=True)
class Chosen:
    """What the folds say."""

    setting: Setting
    blend: float = 1.0
    temperature: float = 1.0


@dataclass(frozen=True)
class Tried:
    """A choice, and its answers to images that it was not trained on."""

    chosen: Chosen
    logits: np.ndarray
    loss: float
    """Class-balanced mean log loss, before the temperature."""


def choose(method: Method, exam: Exam, sample: Sample) -> Chosen:
    """The setting with the least log loss on folds that were not trained on, among those
    that answer no worse than the prototypes; the method's first where a class has only
    one image."""
    if min(np.bincount(sample.labels, minlength=exam.classes)) < 2 or method.grid == ({},):
        return Chosen(method.grid[0])
    part = thinned(sample, exam.classes)
    found = tried(method, exam, part, folds(part.labels), method.blends)
    best = min(found, key=lambda one: one.loss, default=None)
    if best is None:
        return Chosen(method.grid[0])
    return replace(best.chosen, temperature=temperature(best.logits, part.labels))


def tried(
    method: Method, exam: Exam, sample: Sample, place: np.ndarray, blends: tuple[float, ...]
) -> Iterator[Tried]:
    """Every setting and blend that answers no worse than the prototypes, by folds."""
    zero = exam.alike(sample.query)
    weights = balanced_weights(sample.labels, exam.classes)
    floor = balanced_accuracy(zero.argmax(1) == sample.labels, sample.labels)
    for setting in method.grid:
        trained = unseen(method, exam, sample, place, setting)
        for blend in blends:
            logits = (1 - blend) * zero + blend * trained
            right = logits.argmax(1) == sample.labels
            if balanced_accuracy(right, sample.labels) >= floor:
                loss = cross_entropy(logits, sample.labels, weights)
                yield Tried(Chosen(setting, blend), logits, loss)


def fitted(method: Method, exam: Exam, sample: Sample, chosen: Chosen) -> Predictor:
    """Probabilities of any sample, from a head trained on all of this one."""
    trained = method.fit(exam, sample, chosen.setting)

    def probabilities(s: Sample) -> np.ndarray:
        logits = trained(s)
        if chosen.blend != 1.0:
            logits = (1 - chosen.blend) * exam.alike(s.query) + chosen.blend * logits
        return softmax(logits / chosen.temperature)

    return probabilities


def thinned(sample: Sample, classes: int) -> Sample:
    """The first images of each class, `MOST` together at most."""
    if len(sample) <= MOST:
        return sample
    share = MOST / len(sample)
    places = [np.flatnonzero(sample.labels == c) for c in range(classes)]
    return sample.take(np.concatenate([p[: max(round(share * len(p)), 2)] for p in places]))


def folds(labels: np.ndarray) -> np.ndarray:
    """A fold for each image, so that each class is spread over all of them. The images of a
    draw come in the order of their hashes, so this depends on nothing else."""
    place = np.zeros(len(labels), int)
    for c in np.unique(labels):
        mine = np.flatnonzero(labels == c)
        place[mine] = np.arange(len(mine)) % FOLDS
    return place


def unseen(
    method: Method, exam: Exam, sample: Sample, place: np.ndarray, setting: Setting
) -> np.ndarray:
    """Logits of each image by a head that was not trained on its fold."""
    logits = np.zeros((len(sample), exam.classes))
    for fold in np.unique(place):
        mine = place == fold
        rest = sample.take(~mine)
        logits[mine] = method.fit(exam, rest, setting)(sample.take(mine))
    return logits


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature scaling (Guo et al. 2017) on answers of folds that were not trained on; of
    the images as they come, since calibration is not about balanced classes."""
    even = np.full(len(labels), 1 / len(labels))
    return float(min(TEMPERATURES, key=lambda t: cross_entropy(logits / t, labels, even)))
