"""Trains the fusion head of each exam on a bundle's own embeddings and calibrates it.

A bundle in, the same bundle with better heads out: the built program reads the images, so
that a head is fitted to what the device will see. A head starts as the prototypes' own
answer (zero weights; see `src/triage/head.rs` for the formula) and is trained with
L = lambda Lc + (1 - lambda) Le on the training images. It replaces the prototypes' answer
only where cross-validation finds it better beyond chance; the encoder has seen these
images, and a head that merely fits what the encoder remembers does worse on new ones. The
temperature is fitted on the validation split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bundling import known_answers
from bundling.manifest import reseal

from . import data, device
from .train_clip import LAMBDA, balanced_accuracy

PENALTIES = [1.0, 0.1, 0.01]
"""Weight decays that cross-validation chooses from."""
STEPS = 150


class Head(nn.Module):
    """The fusion head; without training, the prototypes' own answer."""

    def __init__(self, prototypes: Tensor, scale: float) -> None:
        super().__init__()
        classes, size = prototypes.shape
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("scale", torch.tensor(scale))
        self.fusion = nn.Linear(2 * size, size)
        self.classifier = nn.Linear(size, classes)
        for layer in (self.fusion, self.classifier):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, whole: Tensor, focused: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([whole, focused], dim=1)
        fused = F.normalize(0.5 * (whole + focused) + self.fusion(joined), dim=1)
        alike = self.scale * fused @ self.prototypes.T
        return alike + self.classifier(fused), alike


def fit(
    whole: Tensor, focused: Tensor, real: Tensor, prototypes: Tensor, scale: float, penalty: float
) -> Head:
    """A head trained on these unit embeddings with classes weighted alike."""
    head = Head(prototypes, scale)
    weight = 1 / torch.bincount(real, minlength=len(prototypes)).clamp(min=1).float()
    weight = weight / weight.mean()
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=penalty)
    for _ in range(STEPS):
        logits, alike = head(whole, focused)
        lc = F.cross_entropy(alike, real, weight)
        le = F.cross_entropy(logits, real, weight, label_smoothing=0.05)
        optimiser.zero_grad()
        (LAMBDA * lc + (1 - LAMBDA) * le).backward()
        optimiser.step()
    return head.eval()


def gain(right: np.ndarray, before: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """By how much balanced accuracy grows from answers `before` to `right` (truths an
    image), and the standard error of that paired difference."""
    counts = np.bincount(real)
    share = len(real) / (np.count_nonzero(counts) * counts[real])
    difference = share * (right.astype(float) - before.astype(float))
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(real)))


def choose_penalty(
    whole: Tensor, focused: Tensor, real: Tensor, prototypes: Tensor, scale: float
) -> float | None:
    """The weight decay whose five-fold answers gain most over the prototypes' own;
    `None` where no gain exceeds its standard error."""
    folds = np.random.default_rng(7).integers(5, size=len(real))

    def right(penalty: float) -> np.ndarray:
        answers = np.zeros(len(real), int)
        for fold in range(5):
            mine = torch.from_numpy(folds == fold)
            parts = (whole[~mine], focused[~mine], real[~mine])
            head = fit(*parts, prototypes, scale, penalty)
            answers[folds == fold] = answer(head, whole[mine], focused[mine])
        return answers == real.numpy()

    before = answer(Head(prototypes, scale), whole, focused) == real.numpy()
    best, highest = None, 0.0
    for penalty in PENALTIES:
        more, error = gain(right(penalty), before, real.numpy())
        if more > max(error, highest):
            best, highest = penalty, more
    return best


@torch.no_grad()
def answer(head: Head, whole: Tensor, focused: Tensor) -> np.ndarray:
    """Class numbers."""
    return head(whole, focused)[0].argmax(1).numpy()


def fit_temperature(logits: Tensor, real: Tensor) -> float:
    """Temperature scaling (Guo et al. 2017): the minimum of the cross-entropy."""
    grid = torch.logspace(-1, 1.3, 200)
    return float(min(grid, key=lambda t: F.cross_entropy(logits / t, real).item()))


def calibration_error(probabilities: np.ndarray, real: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the answered class over equal-width bins."""
    top, right = probabilities.max(1), probabilities.argmax(1) == real
    place = np.minimum((top * bins).astype(int), bins - 1)
    gaps = [
        abs(top[place == b].mean() - right[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    return float(sum(gaps))


def train(
    whole: Tensor, focused: Tensor, real: Tensor, held: Tensor, prototypes: Tensor, scale: float
) -> tuple[Head, float, dict[str, float | None]]:
    """One exam's head, its temperature, and how it does on the validation split."""
    parts = (whole[~held], focused[~held], real[~held], prototypes, scale)
    penalty = choose_penalty(*parts)
    head = Head(prototypes, scale) if penalty is None else fit(*parts, penalty)
    with torch.no_grad():
        logits = head(whole[held], focused[held])[0]
    temperature = fit_temperature(logits, real[held])
    probabilities = (logits / temperature).softmax(1).numpy()
    answers, truth = probabilities.argmax(1), real[held].numpy()
    figures = {
        "weight_decay": penalty,
        "temperature": round(temperature, 4),
        "balanced_accuracy": round(balanced_accuracy(answers, truth), 4),
        "ece": round(calibration_error(probabilities, truth), 4),
    }
    return head, temperature, figures


def save(head: Head, temperature: float, path: Path) -> None:
    """The file that `src/triage/head.rs` reads."""
    tensors = {
        "prototypes": head.prototypes,
        "fusion.weight": head.fusion.weight.detach(),
        "fusion.bias": head.fusion.bias.detach(),
        "classifier.weight": head.classifier.weight.detach(),
        "classifier.bias": head.classifier.bias.detach(),
        "logit_scale": head.scale.reshape(1),
        "temperature": torch.tensor([temperature]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: t.float().contiguous() for name, t in tensors.items()}, path)


def run(arguments: argparse.Namespace) -> None:
    bundle: Path = arguments.bundle
    torch.manual_seed(0)
    rows, embeddings = device.readings(arguments)
    pairs = torch.from_numpy(embeddings)
    validation = data.load_split(arguments.split)
    for task in data.EXAMS:
        mine = torch.tensor([row.task == task for row in rows])
        real = torch.tensor([row.class_index for row in rows if row.task == task])
        held = torch.tensor([row.sha256 in validation for row in rows if row.task == task])
        path = bundle / f"heads/{task}.safetensors"
        before = load_file(path)
        whole, focused = pairs[mine].unbind(1)
        scale = float(before["logit_scale"][0])
        head, temperature, figures = train(whole, focused, real, held, before["prototypes"], scale)
        save(head, temperature, path)
        print(task, json.dumps(figures), flush=True)
    known_answers.write(bundle, arguments.phantoms)
    reseal(bundle)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It needs no more than every step does."""
