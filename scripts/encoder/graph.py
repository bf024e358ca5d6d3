"""Step `graph`: the student as the graph that a bundle holds.

Two outputs: `embedding`, and `patches` in the embedding's space, from which evidence is
made. The blurs are folded into plain convolutions, and the weights are int8 by output
channel (`starter.export`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from starter.export import write_graph

from .encoders import student
from .tower import Halving, Tower
from .views import folder


def folded(layer: Halving) -> nn.Module:
    """The same as one plain convolution, its norm and ReLU."""
    inner = layer.convolution
    plain = nn.Conv2d(inner.in_channels, inner.out_channels, 5, 2, 2, bias=layer.last)
    with torch.no_grad():
        plain.weight.copy_(layer.kernel())
        if layer.last:
            plain.bias.copy_(inner.bias)
            return plain
    return nn.Sequential(plain, layer.norm, nn.ReLU())


def fold(tower: Tower) -> Tower:
    """`tower` itself, with nothing but plain convolutions in its stem."""
    layers = [folded(one) if isinstance(one, Halving) else one for one in tower.stem]
    tower.stem = nn.Sequential(*layers)
    return tower.eval()


def write(tower: Tower, path: Path) -> None:
    """The graph at `path`, for any number of pictures; its float form beside it."""
    side = tower.config.input_size
    outputs = ["embedding", "patches"]
    write_graph(
        fold(tower),
        {"pixels": torch.zeros(2, 3, side, side)},
        outputs,
        {name: {0: "batch"} for name in ("pixels", *outputs)},
        path,
    )


def run(arguments: argparse.Namespace) -> None:
    path = folder(arguments.work, arguments.run)
    weights = arguments.weights or path / "student.safetensors"
    out = arguments.out or path / "image_encoder.onnx"
    write(student(weights).tower, out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help="default: the student of this run")
    parser.add_argument("--out", type=Path, help="default: image_encoder.onnx beside them")
