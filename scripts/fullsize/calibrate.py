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
    """Rows `[N, K]` that met each MatMul's weight, by the weight's name."""


Feed = dict[str, np.ndarray]


def watch(model: onnx.ModelProto, feeds: Iterable[Feed]) -> Flow:
    """Runs the graph on every feed and keeps what is needed."""
    weights = quantisable(model.graph)
    norms = [n.output[0] for n in model.graph.node if n.op_type == "LayerNormalization"]
    inputs = {
        node.input[1]: node.input[0]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in weights
    }
    watched = sorted({*norms, *inputs.values()})
    runner = session(_with_outputs(model, watched).SerializeToString())
    flow, rows = Flow(), {name: [] for name in inputs}
    for feed in feeds:
        values = dict(zip(watched, runner.run(watched, feed), strict=True))
        for name in norms:
            value = np.abs(values[name]).reshape(-1, values[name].shape[-1]).max(axis=0)
            flow.largest[name] = np.maximum(flow.largest.get(name, 0), value)
        for weight, name in inputs.items():
            value = values[name].reshape(-1, values[name].shape[-1])
            rows[weight].append(value[:: -(-len(value) // ROWS)])
    flow.rows = {name: np.concatenate(parts) for name, parts in rows.items() if parts}
    return flow


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with these tensors as its only outputs."""
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    del watching.graph.output[:]
    watching.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    return watching
