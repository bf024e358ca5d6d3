"""A small builder of ONNX graphs: each method adds nodes and gives their result.

Shapes are plain numbers wherever they are known and are followed through every
method, so that a tensor of the wrong shape stops the export at the layer it belongs
to. One axis may be open; it stands as `None`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9
"""The oldest that holds this opset, so that every runtime of these years reads it."""

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """A tensor that flows in the graph."""

    name: str
    shape: Shape


class Graph:
    """A graph under construction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    # The border

    def input(self, name: str, shape: Shape, open_axis: str = "batch") -> Value:
        self.inputs.append(_information(name, shape, open_axis))
        return Value(name, shape)

    def output(self, value: Value, name: str, open_axis: str = "batch") -> None:
        """`value`, which no node reads, leaves the graph under `name`."""
        last = next(node for node in self.nodes if value.name in node.output)
        last.output[list(last.output).index(value.name)] = name
        self.outputs.append(_information(name, value.shape, open_axis))

    def save(self, path: Path) -> None:
        path.write_bytes(self.model().SerializeToString(deterministic=True))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, list(self.constants.values())
        )
        return helper.make_model(
            graph,
            producer_name="medfocus",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )

    # The plain nodes

    def node(
        self, kind: str, inputs: Sequence[Value], shape: Shape, name: str, **attributes: object
    ) -> Value:
        result = Value(name, shape)
        names = [value.name for value in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return result

    def constant(self, name: str, values: np.ndarray) -> Value:
        """A constant; float64 becomes float32, as every weight is."""
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return Value(name, values.shape)

    def integers(self, name: str, values: Sequence[int]) -> Value:
        return self.constant(name, np.array(values, np.int64))

    def reshape(self, x: Value, shape: Shape, name: str) -> Value:
        """To `shape`; its open axis takes what the others leave."""
        wanted = [-1 if side is None else side for side in shape]
        assert None in shape or None in x.shape or math.prod(shape) == math.prod(x.shape), name
        return self.node("Reshape", [x, self.integers(f"{name}.shape", wanted)], shape, name)

    def transpose(self, x: Value, order: Sequence[int], name: str) -> Value:
        shape = tuple(x.shape[axis] for axis in order)
        return self.node("Transpose", [x], shape, name, perm=list(order))

    def add(self, x: Value, y: Value, name: str) -> Value:
        return self.node("Add", [x, y], _broadcast(x.shape, y.shape, name), name)

    def multiply(self, x: Value, y: Value, name: str) -> Value:
        return self.node("Mul", [x, y], _broadcast(x.shape, y.shape, name), name)

    def concatenate(self, parts: Sequence[Value], axis: int, name: str) -> Value:
        sides = [part.shape[axis] for part in parts]
        total = None if None in sides else sum(sides)
        shape = (*parts[0].shape[:axis], total, *parts[0].shape[axis + 1 :])
        return self.node("Concat", parts, shape, name, axis=axis)

    def split(self, x: Value, count: int, name: str) -> list[Value]:
        """The last axis in `count` equal parts."""
        width = x.shape[-1] // count
        parts = [Value(f"{name}.{i}", (*x.shape[:-1], width)) for i in range(count)]
        sizes = self.integers(f"{name}.sizes", [width] * count)
        self.nodes.append(
            helper.make_node(
                "Split", [x.name, sizes.name], [part.name for part in parts], name=name, axis=-1
            )
        )
        return parts

    def pad(self, x: Value, before: Sequence[int], after: Sequence[int], name: str) -> Value:
        """Zeros around `x`, so many before and after on each axis."""
        sides = zip(x.shape, before, after, strict=True)
        shape = tuple(None if side is None else side + a + b for side, a, b in sides)
        pads = self.integers(f"{name}.pads", [*before, *after])
        return self.node("Pad", [x, pads], shape, name)

    def slice(self, x: Value, axes: dict[int, tuple[int, int]], name: str) -> Value:
        """From and to which place, by axis."""
        shape = list(x.shape)
        for axis, (start, end) in axes.items():
            shape[axis] = end - start
        borders = [
            self.integers(f"{name}.starts", [start for start, _ in axes.values()]),
            self.integers(f"{name}.ends", [end for _, end in axes.values()]),
            self.integers(f"{name}.axes", list(axes)),
        ]
        return self.node("Slice", [x, *borders], tuple(shape), name)

    # The layers

    def matmul(self, x: Value, y: Value, name: str) -> Value:
        assert x.shape[-1] == y.shape[-2], f"{name}: {x.shape} by {y.shape}"
        outer = _broadcast(x.shape[:-2], y.shape[:-2], name)
        return self.node("MatMul", [x, y], (*outer, x.shape[-2], y.shape[-1]), name)

    def linear(self, x: Value, weight: np.ndarray, bias: np.ndarray | None, name: str) -> Value:
        """`x W^T + b` with PyTorch's `weight [out, in]`."""
        product = self.matmul(x, self.constant(f"{name}.weight", weight.T), f"{name}.matmul")
        return product if bias is None else self.bias(product, bias, name)

    def bias(self, x: Value, bias: np.ndarray, name: str) -> Value:
        return self.add(x, self.constant(f"{name}.bias", bias), name)

    def convolution(
        self,
        x: Value,
        weight: np.ndarray,
        bias: np.ndarray | None,
        stride: int,
        pad: int,
        name: str,
    ) -> Value:
        """Over `[B, C, H, W]` with `weight [out, in, k, k]`."""
        kernel = weight.shape[-1]
        sides = [(side + 2 * pad - kernel) // stride + 1 for side in x.shape[2:]]
        inputs = [x, self.constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        return self.node(
            "Conv",
            inputs,
            (x.shape[0], weight.shape[0], *sides),
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def max_pool(self, x: Value, name: str) -> Value:
        """2 x 2 max-pool of `[B, H, W, C]`."""
        planes = self.transpose(x, (0, 3, 1, 2), f"{name}.planes")
        batch, channels, height, width = planes.shape
        halved = (batch, channels, height // 2, width // 2)
        small = self.node(
            "MaxPool", [planes], halved, f"{name}.max", kernel_shape=[2, 2], strides=[2, 2]
        )
        return self.transpose(small, (0, 2, 3, 1), name)

    def layer_norm(
        self, x: Value, gain: np.ndarray, bias: np.ndarray, epsilon: float, name: str
    ) -> Value:
        assert x.shape[-1:] == gain.shape == bias.shape, name
        weights = [self.constant(f"{name}.gain", gain), self.constant(f"{name}.bias", bias)]
        return self.node(
            "LayerNormalization", [x, *weights], x.shape, name, axis=-1, epsilon=epsilon
        )

    def gelu(self, x: Value, name: str) -> Value:
        return self.node("Gelu", [x], x.shape, name)

    def quick_gelu(self, x: Value, name: str) -> Value:
        """CLIP's GELU: `x * sigmoid(1.702 x)`."""
        slope = self.constant(f"{name}.slope", np.float32(1.702))
        gate = self.sigmoid(self.multiply(x, slope, f"{name}.scaled"), f"{name}.gate")
        return self.multiply(x, gate, name)

    def relu(self, x: Value, name: str) -> Value:
        return self.node("Relu", [x], x.shape, name)

    def sigmoid(self, x: Value, name: str) -> Value:
        return self.node("Sigmoid", [x], x.shape, name)

    def attention(
        self, q: Value, k: Value, v: Value, heads: int, name: str, mask: np.ndarray | None = None
    ) -> Value:
        """`softmax(q k^T / sqrt(d) + mask) v` over `heads` heads of `q [B, M, C]` and
        `k, v [B, N, C]`; gives `[B, M, C]`."""
        width = q.shape[-1] // heads

        def parted(x: Value, order: tuple[int, ...], part: str) -> Value:
            shape = (x.shape[0], x.shape[1], heads, width)
            return self.transpose(
                self.reshape(x, shape, f"{name}.{part}.heads"), order, f"{name}.{part}"
            )

        queries, values = parted(q, (0, 2, 1, 3), "q"), parted(v, (0, 2, 1, 3), "v")
        scores = self.matmul(queries, parted(k, (0, 2, 3, 1), "k"), f"{name}.scores")
        scale = self.constant(f"{name}.scale", np.float32(width**-0.5))
        scores = self.multiply(scores, scale, f"{name}.scaled")
        if mask is not None:
            scores = self.add(scores, self.constant(f"{name}.mask", mask), f"{name}.masked")
        shares = self.node("Softmax", [scores], scores.shape, f"{name}.softmax", axis=-1)
        mixed = self.transpose(
            self.matmul(shares, values, f"{name}.mixed"), (0, 2, 1, 3), f"{name}.tokens"
        )
        return self.reshape(mixed, q.shape, name)


def _information(name: str, shape: Shape, open_axis: str) -> onnx.ValueInfoProto:
    sides = [open_axis if side is None else side for side in shape]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)


def _broadcast(a: Shape, b: Shape, name: str) -> Shape:
    longest = max(len(a), len(b))
    pairs = zip((1,) * (longest - len(a)) + a, (1,) * (longest - len(b)) + b, strict=True)
    sides = []
    for x, y in pairs:
        assert x == y or 1 in (x, y), f"{name}: {a} and {b} do not fit"
        sides.append(y if x == 1 else x)
    return tuple(sides)
