"""Step `graphs`: the three graphs that a bundle holds (image encoder, mask decoder, mask
prompt), with int8 weights, and how far their masks are from those of the weights.

Names and shapes are those of `starter.export`, so that a bundle takes them as they are; the
third is the manifest's `mask_prompt`. The comparison asks every case held back by its box,
by a point and without any prompt: the mean IoU with what people drew may differ by `APART`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from data.listing import read
from encoder import pixels
from starter.export import Interpolated, write_graph
from starter.segmenter import Segmenter

from . import outlines
from .figures import Asker, asked, cases, measured
from .model import Prompted, load
from .scenes import Stage

APART = 0.01
WAYS = ("box", "point", "whole")
NAMES = ("segmenter_encoder", "segmenter_decoder", "segmenter_mask_prompt")


class Dense(nn.Module):
    """The mask prompt as the runtime adds it to the embedding."""

    def __init__(self, model: Prompted) -> None:
        super().__init__()
        self.model = model

    def forward(self, logits: Tensor) -> Tensor:
        return self.model.dense(logits)


def write(model: Prompted, folder: Path) -> None:
    """The graphs at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    side, width = model.config.input_size, model.config.d_model
    paths = [folder / f"{name}.onnx" for name in NAMES]
    logits = torch.zeros(1, 1, side // 4, side // 4)
    write_graph(Dense(model), {"mask": logits}, ["dense"], {}, paths[2])
    write_graph(
        model.decoder,
        {
            "embedding": torch.zeros(1, width, side // 16, side // 16),
            "stride4": torch.zeros(1, width // 8, side // 4, side // 4),
            "stride8": torch.zeros(1, width // 4, side // 8, side // 8),
            "points": torch.zeros(1, 2, 2),
            "labels": torch.tensor([[2.0, 3.0]]),
        },
        ["masks", "predicted_iou", "object_score"],
        {"points": {1: "count"}, "labels": {1: "count"}},
        paths[1],
    )
    # Last: it fixes the encoder's position embedding.
    write_graph(
        Interpolated(model.encoder, side),
        {"pixels": torch.zeros(1, 3, side, side)},
        ["embedding", "stride4", "stride8"],
        {},
        paths[0],
    )
    for path in paths:
        path.with_suffix(".float.onnx").unlink()
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


class OfGraphs(Segmenter):
    """Encoder and decoder that are graphs; asked like the model."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        sessions = [
            onnxruntime.InferenceSession(
                str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"]
            )
            for name in NAMES[:2]
        ]
        self.encoder = Graph(sessions[0])  # type: ignore[assignment]
        self.decoder = Graph(sessions[1])  # type: ignore[assignment]


class Graph(nn.Module):
    """A graph, called with its inputs in their order."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        super().__init__()
        self.session = session

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [i.name for i in self.session.get_inputs()]
        feeds = {n: x.float().contiguous().numpy() for n, x in zip(names, inputs, strict=True)}
        return tuple(torch.from_numpy(x) for x in self.session.run(None, feeds))


@torch.no_grad()
def compared(model: Segmenter, graphs: Segmenter, stage: Stage, held: list[int]) -> bool:
    """Prints both mean IoUs by way; whether they are near enough."""
    near = True
    mine = cases(stage, held)
    for n, way in enumerate(WAYS):
        pairs = []
        for case in mine:
            if case.what == "box":
                continue
            entry, pair = stage.entries[case.place], []
            for one in (model, graphs):
                asker = Asker(one, np.array(stage.grey[case.place]))
                answer = asked(asker, case, way, np.random.default_rng((case.place, n)))
                pair.append(measured(case, entry, way, answer).iou)
            pairs.append(pair)
        one, two = np.array(pairs).mean(axis=0)
        near = near and abs(one - two) <= APART
        each = np.abs(np.diff(np.array(pairs), axis=1)).mean()
        print(f"{way}: IoU {one:.4f}, int8 {two:.4f}, an answer moves by {each:.4f}")
    return near


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    folder = arguments.out or arguments.work / "graphs"
    write(load(arguments.weights), folder)
    entries = read(arguments.list)
    grey = pixels.load(arguments.images, entries, arguments.work)
    stage = Stage(entries, grey, outlines.load(arguments.images, entries, arguments.work))
    held = [i for i, entry in enumerate(entries) if entry.held]
    if not compared(load(arguments.weights), OfGraphs(folder), stage, held):
        raise SystemExit(f"{folder}: int8 and float differ by more than {APART} IoU")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    weights = root / "models/training/segmenter-stage5.safetensors"
    parser.add_argument("--weights", type=Path, default=weights)
    parser.add_argument("--out", type=Path, help="default: graphs under --work")
