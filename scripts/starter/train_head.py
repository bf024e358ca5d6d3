"""Trains the fusion head of each exam and calibrates its temperature.

The head is that of `src/triage/head.rs`. It starts as the prototypes' own answer
(zero weights) and is trained with L = lambda Lc + (1 - lambda) Le on embeddings of
the training images; how far it may go is chosen by cross-validation, so that it is
used only as far as it helps. The temperature is fitted on the validation split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from . import data
from .clip import Clip, ClipConfig
from .train_clip import LAMBDA, Texts, balanced_accuracy, boxes_of, embed, region_masks

PENALTIES = [1.0, 0.1, 0.01]
"""Weight decays that cross-validation chooses from."""
STEPS = 150


class Head(nn.Module):
    """The fusion head; see `src/triage/head.rs` for the formula."""

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


def choose_penalty(
    whole: Tensor, focused: Tensor, real: Tensor, prototypes: Tensor, scale: float
) -> float | None:
    """The weight decay with the best five-fold balanced accuracy; `None` where no
    trained head beats the prototypes."""
    folds = np.random.default_rng(7).integers(5, size=len(real))

    def score(penalty: float | None) -> float:
        predicted = np.zeros(len(real), int)
        for fold in range(5):
            mine = torch.from_numpy(folds == fold)
            head = Head(prototypes, scale)
            if penalty is not None:
                rest = ~mine
                parts = (whole[rest], focused[rest], real[rest])
                head = fit(*parts, prototypes, scale, penalty)
            with torch.no_grad():
                answer = head(whole[mine], focused[mine])[0].argmax(1)
            predicted[folds == fold] = answer.numpy()
        return balanced_accuracy(predicted, real.numpy())

    choices: list[float | None] = [None, *PENALTIES]
    return max(choices, key=score)


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


def run(arguments: argparse.Namespace) -> None:
    work: Path = arguments.work
    torch.manual_seed(0)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    validation = data.load_split(arguments.split)
    boxes = boxes_of(region_masks(work, pixels))
    model = Clip(ClipConfig(), {t: len(labels) for t, labels in data.TASKS.items()})
    model.load_state_dict(torch.load(work / "clip.pt", weights_only=True))
    model.eval()
    texts, side = Texts(arguments.vocabulary), model.config.input_size
    scale = float(model.log_scale.exp().clamp(max=50))
    (work / "heads").mkdir(exist_ok=True)
    record = {}
    for task in data.EXAMS:
        mine = np.array([i for i, r in enumerate(rows) if r.task == task])
        real = torch.tensor([rows[i].class_index for i in mine])
        held = torch.tensor([rows[i].sha256 in validation for i in mine])
        whole = embed(model, pixels[mine], None, side)
        focused = embed(model, pixels[mine], boxes[mine], side)
        prototypes = texts.prototypes(model, task)
        train = (whole[~held], focused[~held], real[~held], prototypes, scale)
        penalty = choose_penalty(*train)
        head = Head(prototypes, scale) if penalty is None else fit(*train, penalty)
        with torch.no_grad():
            logits = head(whole[held], focused[held])[0]
        temperature = fit_temperature(logits, real[held])
        probabilities = (logits / temperature).softmax(1).numpy()
        record[task] = {
            "weight_decay": penalty,
            "temperature": round(temperature, 4),
            "balanced_accuracy": round(
                balanced_accuracy(probabilities.argmax(1), real[held].numpy()), 4
            ),
            "ece": round(calibration_error(probabilities, real[held].numpy()), 4),
        }
        print(task, json.dumps(record[task]), flush=True)
        tensors = {
            "prototypes": prototypes,
            "fusion.weight": head.fusion.weight.detach(),
            "fusion.bias": head.fusion.bias.detach(),
            "classifier.weight": head.classifier.weight.detach(),
            "classifier.bias": head.classifier.bias.detach(),
            "logit_scale": torch.tensor([scale]),
            "temperature": torch.tensor([temperature]),
        }
        save_file(
            {name: t.float().contiguous() for name, t in tensors.items()},
            work / "heads" / f"{task}.safetensors",
        )
    (work / "heads.json").write_text(json.dumps(record, indent=1) + "\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[3]
    vocabulary = root / "shared/data/clip/bpe_simple_vocab_16e6.txt.gz"
    parser.add_argument("--vocabulary", type=Path, default=vocabulary)
