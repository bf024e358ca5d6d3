"""Writes `tests/vectors/int8`: one small graph in every int8 form of ONNX that is in
use, and what onnxruntime makes of it.

The graph has what the engine must recognise: a patch convolution, window partition,
layer norm, packed attention, GELU, residuals and a head. Run from the repository root:
`python scripts/int8_forms.py`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

OUT = Path(__file__).resolve().parents[1] / "tests/vectors/int8"
SIDE, PATCH, WIDTH, HEADS, CLASSES = 16, 4, 32, 2, 6
TOKENS = (SIDE // PATCH) ** 2


class Builder:
    """Nodes and constants of one graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[:-1]) if len(shape) == 2 else np.prod(shape[1:]))
        value = self.random.standard_normal(shape) * scale
        return self.constant(name, value.astype(np.float32))

    def vector(self, name: str, size: int, around: float = 0.0) -> str:
        value = self.random.standard_normal(size) * 0.2 + around
        return self.constant(name, value.astype(np.float32))

    def ints(self, name: str, values: list[int]) -> str:
        return self.constant(name, np.array(values, np.int64))

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        product = self.node("MatMul", [x, self.weight(f"{name}.w", inputs, outputs)], f"{name}.mm")
        return self.node("Add", [product, self.vector(f"{name}.b", outputs)], name)

    def norm(self, name: str, x: str) -> str:
        gain, shift = self.vector(f"{name}.g", WIDTH, 1.0), self.vector(f"{name}.s", WIDTH)
        return self.node("LayerNormalization", [x, gain, shift], name, axis=-1, epsilon=1e-5)

    def gelu(self, name: str, x: str) -> str:
        """As PyTorch's exporter writes it."""
        root = self.constant(f"{name}.root", np.float32(np.sqrt(2)))
        one = self.constant(f"{name}.one", np.float32(1))
        half = self.constant(f"{name}.half", np.float32(0.5))
        erf = self.node("Erf", [self.node("Div", [x, root], f"{name}.div")], f"{name}.erf")
        product = self.node("Mul", [x, self.node("Add", [erf, one], f"{name}.add")], f"{name}.mul")
        return self.node("Mul", [product, half], name)

    def attention(self, x: str) -> str:
        qkv, dim = self.linear("qkv", x, WIDTH, 3 * WIDTH), WIDTH // HEADS
        split = self.ints("qkv.sizes", [WIDTH] * 3)
        parts = [f"qkv.{p}" for p in "qkv"]
        self.nodes.append(helper.make_node("Split", [qkv, split], parts, name="split", axis=-1))
        shape = self.ints("heads", [-1, TOKENS, HEADS, dim])
        turned = {}
        for part, order in zip("qkv", ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True):
            heads = self.node("Reshape", [f"qkv.{part}", shape], f"{part}.heads")
            turned[part] = self.node("Transpose", [heads], f"{part}.turned", perm=order)
        scores = self.node("MatMul", [turned["q"], turned["k"]], "scores")
        scale = self.constant("scale", np.float32(dim**-0.5))
        soft = self.node("Softmax", [self.node("Mul", [scores, scale], "scaled")], "soft", axis=-1)
        mixed = self.node("MatMul", [soft, turned["v"]], "mixed")
        back = self.node("Transpose", [mixed], "back", perm=[0, 2, 1, 3])
        tokens = self.node("Reshape", [back, self.ints("flat", [-1, TOKENS, WIDTH])], "attended")
        return self.linear("out", tokens, WIDTH, WIDTH)

    def model(self) -> onnx.ModelProto:
        conv = self.weight("patch.w", WIDTH, 3, PATCH, PATCH)
        x = self.node(
            "Conv", ["pixels", conv, self.vector("patch.b", WIDTH)], "patch",
            kernel_shape=[PATCH] * 2, strides=[PATCH] * 2, pads=[0] * 4,
        )  # fmt: skip
        x = self.node("Reshape", [x, self.ints("rows", [-1, WIDTH, TOKENS])], "patches")
        x = self.node("Transpose", [x], "tokens", perm=[0, 2, 1])
        x = self.node("Add", [x, self.attention(self.norm("norm1", x))], "residual1")
        up = self.linear("up", self.norm("norm2", x), WIDTH, 4 * WIDTH)
        x = self.node("Add", [x, self.linear("down", self.gelu("gelu", up), 4 * WIDTH, WIDTH)], "y")
        mean = self.node("ReduceMean", [x], "mean", axes=[1], keepdims=0)
        head, bias = self.weight("head.w", CLASSES, WIDTH), self.vector("head.b", CLASSES)
        self.node("Gemm", [mean, head, bias], "logits", transB=1)
        image = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
        outputs = [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", TOKENS, WIDTH]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES]),
        ]
        graph = helper.make_graph(self.nodes, "int8", [image], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        return model


class Images(CalibrationDataReader):
    """A few random images, once."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = iter([{"pixels": image} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.images, None)


def weight_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights as int8 behind `DequantizeLinear`, one scale an output channel."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    axes = {n.input[1]: 1 if n.op_type == "MatMul" else 0 for n in model.graph.node
            if n.op_type in ("MatMul", "Gemm", "Conv")}  # fmt: skip
    kept, nodes = [], []
    for tensor in model.graph.initializer:
        value, axis = numpy_helper.to_array(tensor), axes.get(tensor.name)
        if axis is None:
            kept.append(tensor)
            continue
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = (np.abs(value).max(axis=others) / 127).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        codes = np.rint(value / scale.reshape(shape)).astype(np.int8)
        name = tensor.name
        kept += [numpy_helper.from_array(codes, f"{name}.q"),
                 numpy_helper.from_array(scale, f"{name}.scale")]  # fmt: skip
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.scale"], [name],
                                      name=f"{name}.dq", axis=axis))  # fmt: skip
    nodes += list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def forms(model: onnx.ModelProto, images: list[np.ndarray]) -> dict[str, onnx.ModelProto]:
    """The model in every form, by the form's name."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        made = {"weight_only": weight_only(model)}
        for name, kind in [("dynamic", QuantType.QInt8), ("dynamic_u8", QuantType.QUInt8)]:
            quantize_dynamic(
                source, target, per_channel=kind == QuantType.QInt8, weight_type=kind,
                op_types_to_quantize=["MatMul", "Gemm"], extra_options={"MatMulConstBOnly": True},
            )  # fmt: skip
            made[name] = onnx.load(target)
        # onnxruntime's integer convolution wants unsigned weights.
        quantize_dynamic(
            source, target, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv"]
        )
        made["dynamic_conv"] = onnx.load(target)
        for name, form, activation in [
            ("qdq_u8", QuantFormat.QDQ, QuantType.QUInt8),
            ("qdq_s8", QuantFormat.QDQ, QuantType.QInt8),
            ("qlinear", QuantFormat.QOperator, QuantType.QUInt8),
        ]:
            quantize_static(
                source, target, Images(images), quant_format=form, activation_type=activation,
                weight_type=QuantType.QInt8, per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm", "Conv", "Add"],
            )  # fmt: skip
            made[name] = onnx.load(target)
    return made


def run(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"pixels": image})


def rounded(value: np.ndarray) -> list[float]:
    return [round(float(v), 5) for v in value.ravel()]


def main() -> None:
    model = Builder(7).model()
    random = np.random.default_rng(11)
    images = [random.standard_normal((2, 3, SIDE, SIDE)).astype(np.float32) for _ in range(8)]
    image = np.round(images[0], 3)
    OUT.mkdir(parents=True, exist_ok=True)
    reference = {"pixels": rounded(image), "float": [rounded(v) for v in run(model, image)]}
    onnx.save(model, OUT / "float.onnx")
    for name, form in forms(model, images).items():
        onnx.save(form, OUT / f"{name}.onnx")
        reference[name] = [rounded(v) for v in run(form, image)]
    (OUT / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    main()
