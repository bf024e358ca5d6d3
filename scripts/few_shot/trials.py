"""The experiment on one exam: every method, focus style, amount and seed, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from .choose import choose, fitted
from .embeddings import Readings, progress
from .images import Labelled
from .methods import SWEEP, Method
from .metrics import figures
from .sample import Exam, Sample
from .split import Amount, draw

EVERY_STYLE = ("zero_shot", "linear_probe", "text_probe", "medfocus")
"""Methods that are tried with every focus style, at shares of the images; all else is tried
with none and with the bundle's own style only."""
SWEPT = (5, 10)
"""Per cent of the training images with which lambda is swept."""


@dataclass(frozen=True)
class Trial:
    """One head to train and to test."""

    method: Method
    style: str
    amount: Amount
    seed: int


@dataclass
class Outcome:
    """The rows, and what each answered on the test images."""

    rows: list[dict] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Setup:
    """One exam's images, their embeddings and the fixed split."""

    name: str
    exam: Exam
    images: list[Labelled]
    groups: np.ndarray
    test: np.ndarray
    readings: Readings
    features: Readings | None
    """What the encoder's last projection reads, where a bundle that tells is given."""
    own_style: str

    def sample(self, style: str) -> Sample:
        labels = np.array([image.label for image in self.images])
        features = None
        if self.features is not None and style in self.features.focused:
            pair = self.features.whole, self.features.focused[style]
            features = np.stack(pair, axis=1)
        return Sample(self.readings.whole, self.readings.focused[style], labels, features)


def planned(
    own_style: str, styles: list[str], methods: list[Method], amounts: list[Amount], seeds: range
) -> Iterator[Trial]:
    """Every trial that is asked for."""
    for style, method in product(styles, methods):
        central = style in ("none", own_style)
        if method.name == "zero_shot":
            yield Trial(method, style, Amount(fraction=0), 0)
        elif central or method.name in EVERY_STYLE:
            chosen = [a for a in amounts if central or a.shots is None]
            yield from (Trial(method, style, a, seed) for a, seed in product(chosen, seeds))


def sweep(style: str, amounts: list[Amount], seeds: range) -> Iterator[Trial]:
    """The trials over lambda."""
    for method in SWEEP:
        for amount in amounts:
            if amount.fraction in SWEPT:
                for seed in seeds:
                    yield Trial(method, style, amount, seed)


def run(setup: Setup, trials: list[Trial]) -> Outcome:
    """Trains and tests every head."""
    outcome = Outcome()
    for number, trial in enumerate(trials, 1):
        row, probabilities = one(setup, trial)
        outcome.rows.append(row)
        outcome.probabilities.append(probabilities)
        progress("heads", number, len(trials))
    return outcome


def one(setup: Setup, trial: Trial) -> tuple[dict, np.ndarray]:
    """One head's row, and its probabilities of the test images."""
    every = setup.sample(trial.style)
    test = every.take(setup.test)
    learnt = np.zeros(0, int)
    if trial.method.name != "zero_shot":
        learnt = draw(setup.images, setup.groups, setup.test, trial.amount, trial.seed)
    train = every.take(learnt)
    chosen = choose(trial.method, setup.exam, train)
    probabilities = fitted(trial.method, setup.exam, train, chosen)(test)
    row = {
        "exam": setup.name,
        "method": trial.method.name,
        "focus": trial.style,
        **trial.amount.key(),
        "seed": trial.seed,
        **figures(probabilities, test.labels),
        "n_train": len(learnt),
        "n_test": len(test),
        "setting": chosen.setting,
        "blend": chosen.blend,
        "temperature": round(chosen.temperature, 4),
    }
    return row, probabilities
