"""Weights as int8: symmetric, one scale an output channel, read back to float by
`DequantizeLinear`, so that any runtime reads the same file and medfocus multiplies the
integers themselves.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

QUANTISE_FROM = 2048
"""Weights with fewer values than this stay in float: they save nothing."""


def weight_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Output-channel axis of each weight that a Conv, ConvTranspose, MatMul or Gemm reads."""
    axes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            axes[node.input[1]] = 0 if node.op_type == "Conv" else 1
        elif node.op_type == "MatMul":
            axes[node.input[1]] = 1
        elif node.op_type == "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
    return axes


def quantisable(graph: onnx.GraphProto) -> dict[str, int]:
    """Output-channel axis of each weight that is large enough, in the graph's order."""
    axes = weight_axes(graph)
    return {
        tensor.name: axes[tensor.name]
        for tensor in graph.initializer
        if tensor.name in axes and len(tensor.dims) >= 2 and np.prod(tensor.dims) >= QUANTISE_FROM
    }


def codes_and_scales(value: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes of `value`'s shape and one float32 scale a channel of `axis`."""
    others = tuple(i for i in range(value.ndim) if i != axis)
    scale = np.abs(value).max(axis=others) / 127
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(value.ndim)]
    codes = np.clip(np.rint(value / scale.reshape(shape)), -127, 127).astype(np.int8)
    return codes, scale


def quantise_weights(model: onnx.ModelProto, kept: Collection[str] = ()) -> onnx.ModelProto:
    """The model with its large weights, but for those named in `kept`, as int8."""
    graph, axes = model.graph, quantisable(model.graph)
    tensors, before = [], []
    for tensor in graph.initializer:
        name = tensor.name
        if name not in axes or name in kept:
            tensors.append(tensor)
            continue
        codes, scale = codes_and_scales(numpy_helper.to_array(tensor), axes[name])
        tensors += [
            numpy_helper.from_array(codes, f"{name}.int8"),
            numpy_helper.from_array(scale, f"{name}.scale"),
            numpy_helper.from_array(np.zeros_like(scale, np.int8), f"{name}.zero"),
        ]
        before.append(
            helper.make_node(
                "DequantizeLinear",
                [f"{name}.int8", f"{name}.scale", f"{name}.zero"],
                [name],
                name=f"{name}.dequantize",
                axis=axes[name],
            )
        )
    nodes = before + list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
    return model
