"""The head's formula (`src/triage/head.rs`) in numpy, for one pair of embeddings or many.

A head is the dictionary of tensors that its safetensors file holds. `blend` and the
cache are optional: a head without them answers as heads always did.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

CACHE = ("cache.keys", "cache.values", "cache.alpha", "cache.beta")
Tensors = dict[str, np.ndarray]


def plain(prototypes: np.ndarray, scale: float) -> Tensors:
    """A head of prototypes alone: nothing was trained."""
    classes, size = prototypes.shape
    return {
        "prototypes": prototypes,
        "fusion.weight": np.zeros((size, 2 * size)),
        "fusion.bias": np.zeros(size),
        "classifier.weight": np.zeros((classes, size)),
        "classifier.bias": np.zeros(classes),
        "logit_scale": np.array([scale]),
        "temperature": np.array([1.0]),
    }


def unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1 along the last axis."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def query(whole: np.ndarray, focused: np.ndarray) -> np.ndarray:
    """What is compared with the prototypes where nothing was trained."""
    return unit(0.5 * (whole + focused))


def zero_shot(head: Mapping[str, np.ndarray], q: np.ndarray) -> np.ndarray:
    """The prototypes' own answer."""
    return head["logit_scale"][0] * q @ head["prototypes"].T


def cached(head: Mapping[str, np.ndarray], q: np.ndarray) -> np.ndarray:
    """Tip-Adapter's key-value cache (Zhang et al. 2022): what the nearest cases were."""
    nearness = np.exp(-head["cache.beta"][0] * (1 - q @ head["cache.keys"].T))
    return head["cache.alpha"][0] * nearness @ head["cache.values"]


def logits(head: Mapping[str, np.ndarray], whole: np.ndarray, focused: np.ndarray) -> np.ndarray:
    """Logits `[..., K]` of unit embeddings `[..., D]`, before the temperature."""
    q = query(whole, focused)
    joined = np.concatenate([whole, focused], axis=-1)
    moved = joined @ head["fusion.weight"].T + head["fusion.bias"]
    fused = unit(0.5 * (whole + focused) + moved)
    trained = zero_shot(head, fused)
    trained = trained + fused @ head["classifier.weight"].T + head["classifier.bias"]
    if CACHE[0] in head:
        trained = trained + cached(head, q)
    if "blend" not in head:
        return trained
    blend = head["blend"][0]
    return (1 - blend) * zero_shot(head, q) + blend * trained


def probabilities(
    head: Mapping[str, np.ndarray], whole: np.ndarray, focused: np.ndarray
) -> np.ndarray:
    """Calibrated probabilities `[..., K]`."""
    return softmax(logits(head, whole, focused) / head["temperature"][0])


def softmax(values: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    powers = np.exp((values - values.max(-1, keepdims=True)).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)
