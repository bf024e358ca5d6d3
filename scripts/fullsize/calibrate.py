"""What flows through a float graph on real images: the largest value of each channel
behind every LayerNorm, and samples of what each large weight is multiplied with.

Smoothing and the sensitivity report are made from these; nothing here changes a graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from bundling.quantise import quantisable
from bundling.reference import session

ROWS = 256
"""Rows of each layer's input that are kept of one image, evenly spaced."""


@dataclass
class Flow:
    """What was seen of the tensors of one graph."""

    largest: dict[str, np.ndarray] = field(default_factory=dict)
    """Largest magnitude by channel of each LayerNorm's output."""
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    """Rows `[N, K]` that met each weight, by its name; a convolution's rows are the
    patches under its kernel."""


Feed = dict[str, np.ndarray]


def watch(model: onnx.ModelProto, feeds: Iterable[Feed]) -> Flow:
    """Runs the graph on every feed and keeps what is needed."""
    weights = quantisable(model.graph)
    norms = [n.output[0] for n in model.graph.node if n.op_type == "LayerNormalization"]
    layers = {
        node.input[1]: node
        for node in model.graph.node
        if node.op_type in ("MatMul", "Conv") and node.input[1] in weights
    }
    given = {tensor.name for tensor in model.graph.input}
    watched = sorted({*norms, *(node.input[0] for node in layers.values())} - given)
    runner = session(_with_outputs(model, watched).SerializeToString())
    flow, rows = Flow(), {name: [] for name in layers}
    for feed in feeds:
        values = feed | dict(zip(watched, runner.run(watched, feed), strict=True))
        for name in norms:
            value = np.abs(values[name]).reshape(-1, values[name].shape[-1]).max(axis=0)
            flow.largest[name] = np.maximum(flow.largest.get(name, 0), value)
        for weight, node in layers.items():
            rows[weight].append(_rows(node, values[node.input[0]]))
    flow.rows = {name: np.concatenate(parts) for name, parts in rows.items() if parts}
    return flow


def _rows(node: onnx.NodeProto, value: np.ndarray) -> np.ndarray:
    """Some of the rows that `value` gives this MatMul or Conv, evenly spaced."""
    if node.op_type == "Conv":
        value = _patches(node, value)
    value = value.reshape(-1, value.shape[-1])
    return value[:: -(-len(value) // ROWS)]


def _patches(node: onnx.NodeProto, planes: np.ndarray) -> np.ndarray:
    """What lies under the kernel at every place of `[1, C, H, W]`: `[H', W', C k k]`."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    (kernel, _), (stride, _), pad = (
        attributes["kernel_shape"],
        attributes["strides"],
        attributes["pads"][0],
    )
    padded = np.pad(planes[0], ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    windows = windows[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)
    return windows.reshape(*windows.shape[:2], -1)


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with these tensors as its only outputs."""
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    del watching.graph.output[:]
    watching.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    return watching
