"""Outlier channels evened out between a LayerNorm and the linear layers behind it.

A channel that is far larger than the rest takes the int8 steps of its whole row. It is
made smaller in the norm's gain and bias and larger, by the same factor, in the weights
(SmoothQuant, Xiao et al. 2023, arXiv 2211.10438, with alpha = 1/2). The factors are
powers of two, so the float graph computes the same to the last bit.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from .calibrate import Flow

PASSES_CHANNELS = {"Reshape", "Transpose", "Pad", "Slice"}
"""Between the norm and a linear layer these move tokens about, never channels."""
LARGEST_FACTOR = 64.0


def smooth(model: onnx.ModelProto, flow: Flow) -> int:
    """Evens out every LayerNorm whose readers are all linear layers, in the graph and in
    what was seen flow through it; gives their number."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    count = 0
    for norm in graph.node:
        if norm.op_type != "LayerNormalization":
            continue
        readers = _linear_readers(graph, norm.output[0], flow)
        if not readers:
            continue
        factors = _factors(
            flow.largest[norm.output[0]],
            [numpy_helper.to_array(weights[name]) for name in readers],
        )
        for name in norm.input[1:]:
            _replace(weights[name], numpy_helper.to_array(weights[name]) / factors)
        for name in readers:
            _replace(weights[name], numpy_helper.to_array(weights[name]) * factors[:, None])
            flow.rows[name] = flow.rows[name] / factors
        count += 1
    return count


def _linear_readers(graph: onnx.GraphProto, tensor: str, flow: Flow) -> list[str]:
    """The weights that `tensor` meets; none where anything else reads it too."""
    readers = []
    if any(output.name == tensor for output in graph.output):
        return []
    for node in graph.node:
        if tensor not in node.input:
            continue
        if node.op_type in PASSES_CHANNELS:
            further = _linear_readers(graph, node.output[0], flow)
            if not further:
                return []
            readers += further
        elif node.op_type == "MatMul" and node.input[1] in flow.rows:
            readers.append(node.input[1])
        else:
            return []
    return readers


def _factors(activations: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """By how much each channel shrinks: `sqrt(largest activation / largest weight)`, as a
    power of two, around a mean of one."""
    largest = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
    exponents = 0.5 * np.log2(np.maximum(activations, 1e-6) / np.maximum(largest, 1e-6))
    exponents -= np.median(exponents)
    limit = np.log2(LARGEST_FACTOR)
    return 2.0 ** np.rint(np.clip(exponents, -limit, limit)).astype(np.float32)


def _replace(tensor: onnx.TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
