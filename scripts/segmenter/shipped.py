"""The segmenter of a bundle, read back from its int8 graphs so that it can be trained further.

The names of the nodes say which weight is whose. The encoder's position embedding is one
constant in the graph, the sum of two parameters: both are found again by least squares.
`segmenter` refuses graphs whose answers the weights do not give again.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor

from starter.from_bundle import weights
from starter.segmenter import Hiera, Segmenter

from .model import Prompted, begun

ALIKE = 0.999
"""Correlation of embedding and masks with the graphs', at least."""
POSITION = "/encoder/trunk/Constant_output_0"


def linear(graph: onnx.GraphProto, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of linear layers, which the exporter renamed, by the names of their nodes."""
    found = {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            name = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
            found[f"{name}.weight"] = values[node.input[1]].T
    return found


def positions(trunk: Hiera, wanted: np.ndarray) -> dict[str, Tensor]:
    """The two parameters whose sum is `wanted [1, C, H, W]`: both enter linearly."""
    side, window = wanted.shape[-1], trunk.pos_embed_window.shape[-1]
    coarse = trunk.pos_embed.shape[-1]
    basis = torch.eye(coarse**2).reshape(coarse**2, 1, coarse, coarse)
    smooth = F.interpolate(basis, size=(side, side), mode="bicubic").flatten(1)
    tiles = torch.eye(window**2).reshape(window**2, window, window)
    tiled = tiles.tile(1, side // window, side // window).flatten(1)
    matrix = torch.cat([smooth, tiled]).T.numpy()
    solved, *_ = np.linalg.lstsq(matrix, wanted[0].reshape(wanted.shape[1], -1).T, rcond=None)
    parts = torch.from_numpy(solved.T.astype(np.float32))
    channels = wanted.shape[1]
    return {
        "pos_embed": parts[:, : coarse**2].reshape(1, channels, coarse, coarse),
        "pos_embed_window": parts[:, coarse**2 :].reshape(1, channels, window, window),
    }


def constants(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The decoder's tokens and embeddings, which the exporter made constants without names:
    the four kinds of point in their order, the one with a channel axis, the fixed tokens."""
    points = sorted((n for n in values if n.startswith("onnx::Mul_")), key=lambda n: int(n[10:]))
    no_mask = next(v for name, v in values.items() if name.startswith("onnx::Add_"))
    found = {
        "prompt.point_embeddings": np.stack([values[name] for name in points]),
        "prompt.no_mask": no_mask.reshape(-1),
    }
    width = found["prompt.no_mask"].size
    tokens = next(v for v in values.values() if v.shape == (1, 2 + 4, width))[0]
    split = np.split(tokens, [1, 2])
    names = ("object_token", "iou_token", "mask_tokens")
    return found | dict(zip(names, split, strict=True))


def segmenter(bundle: Path) -> Prompted:
    """The segmenter of a bundle that `starter export` wrote."""
    manifest = tomllib.loads((bundle / "bundle.toml").read_text())["segmenter"]
    model = Prompted()
    state: dict[str, Tensor] = {}
    for part, prefix in (("encoder", ""), ("decoder", "decoder.")):
        graph = onnx.load(str(bundle / manifest[part])).graph
        values = weights(graph)
        named = values | linear(graph, values)
        if part == "decoder":
            named |= constants(values)
        state |= {f"{prefix}{name}": torch.tensor(value) for name, value in named.items()}
        if part == "encoder":
            found = positions(model.encoder.trunk, values[POSITION])
            state |= {f"encoder.trunk.{name}": value for name, value in found.items()}
    mine = Segmenter().state_dict()
    model.load_state_dict({name: state[name].reshape(mine[name].shape) for name in mine}, False)
    begun(model)
    check(model.eval(), bundle, manifest)
    return model


@torch.no_grad()
def check(model: Segmenter, bundle: Path, manifest: dict[str, str]) -> None:
    """Refuses weights that answer otherwise than the graphs they were read from."""
    side = model.config.input_size
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    corners, labels = torch.tensor([[[30.0, 40.0], [150.0, 160.0]]]), torch.tensor([[2, 3]])
    sessions = [
        onnxruntime.InferenceSession(str(bundle / manifest[p]), providers=["CPUExecutionProvider"])
        for p in ("encoder", "decoder")
    ]
    maps = sessions[0].run(None, {"pixels": pixels.numpy()})
    named = dict(zip(("embedding", "stride4", "stride8"), maps, strict=True))
    prompt = {"points": corners.numpy(), "labels": labels.float().numpy()}
    wanted = [maps[0], sessions[1].run(None, named | prompt)[0]]
    mine = model.encoder(pixels)
    found = [mine[0], model.decoder(*mine, corners, labels)[0]]
    for one, two in zip(found, wanted, strict=True):
        alike = np.corrcoef(one.flatten().numpy(), two.flatten())[0, 1]
        if alike < ALIKE:
            raise SystemExit(f"{bundle}: its segmenter was not read back, correlation {alike:.4f}")
