"""Writes `tests/vectors/windows`: two Hiera blocks of the full-size exporter on a map whose
sides their windows do not divide, one of them pooling, and what onnxruntime makes of them.

SAM2's third and fourth stages are so at 512 and 1024; the starter's windows divide evenly.
Run from the repository root: `scripts/with-python requirements-export.txt -m window_block`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

from fullsize.graph import Graph
from fullsize.sam2 import Block, _block

OUT = Path(__file__).resolve().parents[1] / "tests/vectors/windows"
SIDE = 10
BLOCKS = (
    Block(width_in=16, width=16, heads=2, window=4, pools=False),
    Block(width_in=16, width=32, heads=2, window=4, pools=True),
)


class RandomWeights(dict[str, np.ndarray]):
    """Weights that are made when they are asked for, of the shape that their block needs."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)

    def draw(self, name: str, block: Block) -> None:
        shapes = {
            "layer_norm1": (block.width_in,),
            "attn.qkv": (3 * block.width, block.width_in),
            "attn.proj": (block.width, block.width),
            "layer_norm2": (block.width,),
            "mlp.proj_in": (4 * block.width, block.width),
            "mlp.proj_out": (block.width, 4 * block.width),
            "proj": (block.width, block.width_in),
        }
        for layer, shape in shapes.items():
            scale, centre = (0.2, 1.0) if len(shape) == 1 else (shape[1] ** -0.5, 0.0)
            weight = self.random.standard_normal(shape) * scale + centre
            bias = self.random.standard_normal(shape[0]) * 0.5
            self[f"{name}.{layer}.weight"] = weight.astype(np.float32)
            self[f"{name}.{layer}.bias"] = bias.astype(np.float32)


def main() -> None:
    graph, weights = Graph("windows"), RandomWeights(5)
    x = graph.input("tokens", (1, SIDE, SIDE, BLOCKS[0].width_in))
    for i, block in enumerate(BLOCKS):
        weights.draw(f"blocks.{i}", block)
        x = _block(graph, x, weights, f"blocks.{i}", block)
    graph.output(x, "y")
    tokens = np.random.default_rng(6).standard_normal((1, SIDE, SIDE, BLOCKS[0].width_in)).round(3)
    OUT.mkdir(parents=True, exist_ok=True)
    graph.save(OUT / "blocks.onnx")
    session = onnxruntime.InferenceSession(OUT / "blocks.onnx")
    (y,) = session.run(None, {"tokens": tokens.astype(np.float32)})
    reference = {"tokens": tokens.ravel().tolist(), "y": [round(float(v), 5) for v in y.ravel()]}
    (OUT / "reference.json").write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    main()
