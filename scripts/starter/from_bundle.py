"""The image tower of a bundle, read back from its graph so that it can be trained further.

The graph holds int8 weights (`DequantizeLinear` gives them back within half a step of their
scale) and convolutions that batch norms were folded into, so the tower that comes of it has
biases instead of batch norms: it does in training what it does on the device. The order of
the nodes says which weight is whose, since the exporter renames most; `image_tower` refuses
a graph whose answer it does not give again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import nn

from .clip import ClipConfig, ImageTower

ALIKE = 0.9999
"""Cosine between the tower's embedding and the graph's, at least."""


def weights(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Every constant by the name that nodes read it under, int8 ones as floats."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        codes, scale, zero = (values[name] for name in node.input)
        axis = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if i == axis else 1 for i in range(codes.ndim)]
        whole = codes.astype(np.float32) - zero.astype(np.float32).reshape(shape)
        values[node.output[0]] = whole * scale.reshape(shape)
    return values


def without_norms(tower: ImageTower) -> ImageTower:
    """The tower as the folded graph has it: biases in place of batch norms."""
    for module in list(tower.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d) and child.bias is None:
                child.bias = nn.Parameter(torch.zeros(child.out_channels))
    return tower


def image_tower(bundle: Path, config: ClipConfig) -> ImageTower:
    """The tower of a bundle that `starter export` or `starter leave_one_out` wrote; of the
    kind whose graph ends before the last projection, `config.embedding` is its width."""
    manifest = tomllib.loads((bundle / "bundle.toml").read_text())
    path = bundle / manifest["image_encoder"]["graph"]
    graph = onnx.load(str(path)).graph
    values = weights(graph)
    tower = without_norms(ImageTower(config))
    found = {name.removeprefix("tower."): values[name] for name in values if name[:6] == "tower."}
    found |= dict(placed(tower, graph, values))
    tower.load_state_dict({name: torch.tensor(found[name]) for name in tower.state_dict()})
    check(tower.eval(), path, config.input_size)
    return tower


def placed(
    tower: ImageTower, graph: onnx.GraphProto, values: dict[str, np.ndarray]
) -> list[tuple[str, np.ndarray]]:
    """The weights that the exporter renamed: of convolutions and linear layers, which stand
    in the graph in the order in which the tower has them."""
    names = dict.fromkeys(tower.state_dict())
    kinds = {"Conv": nn.Conv2d, "MatMul": nn.Linear}
    pairs: list[tuple[str, np.ndarray]] = []
    for kind, layer in kinds.items():
        layers = [name for name, module in tower.named_modules() if isinstance(module, layer)]
        nodes = [n for n in graph.node if n.op_type == kind and n.input[1] in values]
        for name, node in zip(layers, nodes, strict=True):
            weight = values[node.input[1]]
            pairs.append((f"{name}.weight", weight if kind == "Conv" else weight.T))
            if kind == "Conv" and f"{name}.bias" in names:
                pairs.append((f"{name}.bias", values[node.input[2]]))
    return pairs


def check(tower: ImageTower, path: Path, side: int) -> None:
    """Refuses a tower that answers otherwise than the graph it was read from."""
    pixels = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        alike = F.cosine_similarity(tower(pixels), torch.from_numpy(wanted)).min().item()
    if alike < ALIKE:
        raise SystemExit(f"{path}: its tower could not be read back, cosine {alike:.6f}")
