"""How much each layer loses as int8: the report that chooses which stay in float.

Each linear layer and convolution is computed from the same float rows twice: in float, and as the
device does, with int8 weights (one scale an output channel) and int8 rows (one scale a
row). Nothing here changes a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from bundling.quantise import codes_and_scales

from .calibrate import Flow

FLOAT_BELOW_DB = 20.0
"""A layer whose signal is less than this above its int8 error stays in float: an error
of a tenth of the signal."""


@dataclass(frozen=True)
class Layer:
    """One linear layer, or a convolution as the product that it is."""

    name: str
    shape: tuple[int, int]
    """Inputs (a convolution's are those under its kernel) and outputs."""
    cosine: float
    """Between the float and the int8 result, all rows as one vector."""
    sqnr_db: float
    """Signal over quantisation noise, in decibels."""


def measure(model: onnx.ModelProto, flow: Flow) -> list[Layer]:
    """Every watched layer, in the graph's order."""
    return [
        _layer(tensor.name, numpy_helper.to_array(tensor), flow.rows[tensor.name])
        for tensor in model.graph.initializer
        if tensor.name in flow.rows
    ]


def _layer(name: str, weight: np.ndarray, rows: np.ndarray) -> Layer:
    if weight.ndim == 4:
        weight = weight.reshape(len(weight), -1).T
    wanted = rows @ weight
    codes, scales = codes_and_scales(weight, 1)
    found = _rows_as_int8(rows) @ (codes.astype(np.float32) * scales)
    a, b = (x.ravel().astype(np.float64) for x in (wanted, found))
    noise = np.square(a - b).sum()
    sqnr = 10 * np.log10(np.square(a).sum() / noise) if noise > 0 else np.inf
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    layer = name.removesuffix(".weight")
    return Layer(layer, weight.shape, round(float(cosine), 5), round(float(sqnr), 1))


def _rows_as_int8(rows: np.ndarray) -> np.ndarray:
    """Rows after the device's quantisation: symmetric, by the row's largest magnitude."""
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    scale = np.where(scale > 0, scale, 1)
    return np.rint(rows / scale) * scale


def kept_in_float(layers: list[Layer], always: list[str]) -> list[str]:
    """Names of the layers that stay in float, in the report's order."""
    return [x.name for x in layers if x.name in always or x.sqnr_db < FLOAT_BELOW_DB]
