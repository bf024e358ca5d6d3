"""Checkpoints with random weights of the true architectures, for tests and figures on
machines that have no trained ones.

Their statistics resemble trained weights where that is hard for a quantiser: some
channels of the LayerNorm gains and of the MLP inputs are far larger than the rest. Each
tensor has its own generator, so a checkpoint does not depend on the order of its
tensors. Nothing made from them means anything about an image.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from . import clip, sam2
from .checkpoint import FILE

SEED = 20261124
"""Of every tensor, and in the name of each folder: another one where a line below
changes."""
OUTLIERS = 0.01
"""Share of the channels that are outliers."""
OUTLIER_GAIN = 8.0
EMBEDDING = re.compile(r"(embed|embedding|token|tokens)\.weight$")
"""A learned vector or a table of them, where other matrices are linear layers."""


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A tensor of every shape, float32."""
    return {name: _tensor(name, shape) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return _values(generator, name, shape).astype(np.float32)


def _values(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "logit_scale":
        return np.array(np.log(100.0))
    if "norm" in name or "layrnorm" in name:
        return _norm(generator, name, shape)
    if name.endswith("bias"):
        return 0.05 * generator.standard_normal(shape)
    if name.endswith("positional_embedding"):
        return generator.standard_normal(shape)
    if len(shape) == 4 and name.endswith("weight"):
        return generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    if len(shape) == 2 and not EMBEDDING.search(name):
        return _linear(generator, shape)
    return 0.3 * generator.standard_normal(shape)


def _norm(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("bias"):
        return 0.1 * generator.standard_normal(shape)
    gain = np.exp(0.25 * generator.standard_normal(shape))
    gain[_outliers(generator, shape[0])] *= OUTLIER_GAIN
    return gain


def _linear(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """`[out, in]`: rows of uneven size, and a few that are twice as large: the MLP's inner
    channels that they make are the next layer's outliers."""
    rows = np.exp(0.3 * generator.standard_normal((shape[0], 1)))
    matrix = rows * generator.standard_normal(shape) / np.sqrt(shape[1])
    matrix[_outliers(generator, shape[0])] *= 2
    return matrix


def _outliers(generator: np.random.Generator, width: int) -> np.ndarray:
    return generator.permutation(width)[: max(1, round(OUTLIERS * width))]


def folder(parent: Path, name: str) -> Path:
    """The checkpoint folder of this name under `parent`, as `transformers` would save it;
    made where it is not there yet."""
    target = parent / f"{name}-{SEED}"
    if name in clip.CONFIGS:
        patch = clip.CONFIGS[name].patch
        shapes = clip.shapes(clip.CONFIGS[name])
        config = {"model_type": "clip", "vision_config": {"patch_size": patch}}
    else:
        shapes, config = sam2.shapes(), {"model_type": "sam2"}
    config["medfocus_random_seed"] = SEED
    if not (target / FILE).is_file():
        making = target.with_name(f"{target.name}.making")
        making.mkdir(parents=True, exist_ok=True)
        (making / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file(weights(shapes), making / FILE)
        making.rename(target)
    return target
