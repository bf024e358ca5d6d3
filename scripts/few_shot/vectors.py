"""Writes `tests/vectors/heads/heads.json`: heads of every form on made-up embeddings, what
they answer, and a text probe trained on them. The Rust tests must come to the same.

`PYTHONPATH=scripts python -m few_shot.vectors [FILE]`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from bundling import head
from bundling.head import Tensors

from .probe import fit_probe

FILE = Path(__file__).resolve().parents[2] / "tests/vectors/heads/heads.json"
SEED, COUNT, SIZE, CLASSES = 20261126, 40, 16, 3
PENALTY, SCALE = 0.02, 12.5
ABOUT = (
    "Heads on unit embeddings: logits before the temperature, probabilities after it. "
    "text_probe minimises sum_i w_i (-log softmax(s P q_i + C q_i + c)[y_i]) + penalty/2 |C|^2 "
    "with w_i = 1 / (classes * images of y_i's class), q = unit((whole + focused) / 2), c not "
    "penalised and of sum 0. Made by scripts/few_shot/vectors.py."
)


def embeddings(
    random: np.random.Generator, centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and unit embeddings that lean towards their class."""
    labels = np.arange(COUNT) ** 2 % 7 % CLASSES
    whole = head.unit(centres[labels] + 1.5 * random.normal(size=(COUNT, SIZE)))
    focused = head.unit(whole + 0.15 * random.normal(size=(COUNT, SIZE)))
    return labels, whole.round(6), focused.round(6)


def forms(
    random: np.random.Generator, prototypes: np.ndarray, labels: np.ndarray, q: np.ndarray
) -> dict[str, Tensors]:
    """A head of every form that a file may have."""
    zero = head.plain(prototypes, SCALE)
    fusion = zero | {
        "fusion.weight": 0.2 * random.normal(size=(SIZE, 2 * SIZE)),
        "fusion.bias": 0.1 * random.normal(size=SIZE),
        "classifier.weight": random.normal(size=(CLASSES, SIZE)),
        "classifier.bias": random.normal(size=CLASSES),
        "temperature": np.array([1.7]),
    }
    cache = {
        "cache.keys": q[::4],
        "cache.values": np.eye(CLASSES)[labels[::4]],
        "cache.alpha": np.array([2.5]),
        "cache.beta": np.array([5.5]),
    }
    return {
        "prototypes": zero,
        "fusion": fusion,
        "cache": zero | cache | {"temperature": np.array([0.8])},
        "blended": fusion | {"blend": np.array([0.35])},
        "fusion_cache_blended": fusion | cache | {"blend": np.array([0.6])},
        "blend_of_none": fusion | cache | {"blend": np.array([0.0])},
    }


def rounded(tensors: Tensors) -> Tensors:
    """With six places, so that float32 and float64 start from the same numbers."""
    return {name: values.round(6) for name, values in tensors.items()}


def plain_lists(tensors: Tensors) -> dict[str, list]:
    return {name: values.tolist() for name, values in tensors.items()}


def document() -> dict[str, object]:
    random = np.random.default_rng(SEED)
    centres = random.normal(size=(CLASSES, SIZE))
    labels, whole, focused = embeddings(random, centres)
    q = head.query(whole, focused)
    prototypes = head.unit(centres + random.normal(size=centres.shape))
    made = forms(random, prototypes, labels, q)
    heads = {name: rounded(tensors) for name, tensors in made.items()}
    probe = dict(heads["prototypes"])
    weight, bias = fit_probe(head.zero_shot(probe, q), q, labels, PENALTY)
    heads["text_probe"] = probe | {"classifier.weight": weight, "classifier.bias": bias}
    answers = {}
    for name, tensors in heads.items():
        answers[name] = {
            "tensors": plain_lists(tensors),
            "logits": head.logits(tensors, whole, focused).round(8).tolist(),
            "probabilities": head.probabilities(tensors, whole, focused).round(8).tolist(),
        }
    return {
        "about": ABOUT,
        "penalty": PENALTY,
        "labels": labels.tolist(),
        "whole": whole.tolist(),
        "focused": focused.tolist(),
        "heads": answers,
    }


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document(), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
