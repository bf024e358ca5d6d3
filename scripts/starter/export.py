"""Writes the bundle: graphs (int8 weights), heads, manifest with every hash.

Graphs go out as ONNX, are folded by onnxruntime's basic level (to constant shapes),
and have their larger weights turned into int8 with one scale an output
channel, read back by `DequantizeLinear`: any runtime reads the same file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from bundling import known_answers
from bundling.head import plain
from bundling.manifest import exam_tables, focus_table, reseal
from bundling.manifest import write as write_manifest
from bundling.quantise import quantise_weights

from . import data, gate
from .clip import Clip, ClipConfig
from .segmenter import Segmenter
from .train_clip import Texts, add_vocabulary
from .train_head import save as save_head

VERSION = "0.1.0"
STYLE = "crop"


class Interpolated(nn.Module):
    """The segmenter's encoder with its position embedding worked out beforehand."""

    def __init__(self, encoder: nn.Module, side: int) -> None:
        super().__init__()
        self.encoder = encoder
        with torch.no_grad():
            position = encoder.trunk.position(side // 4, side // 4).clone()
        encoder.trunk.position = lambda h, w: position  # type: ignore[method-assign]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.encoder(pixels)


def write_graph(
    model: nn.Module,
    inputs: dict[str, Tensor],
    outputs: list[str],
    open_axes: dict[str, dict[int, str]],
    path: Path,
) -> None:
    raw, folded = path.with_suffix(".raw.onnx"), path.with_suffix(".folded.onnx")
    torch.onnx.export(
        model.eval(),
        tuple(inputs.values()),
        str(raw),
        input_names=list(inputs),
        output_names=outputs,
        dynamic_axes=open_axes,
        opset_version=17,
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(
        str(raw),
        options,
        providers=["CPUExecutionProvider"],
        # It would put a Reshape on either side of every linear layer.
        disabled_optimizers=["MatMulAddFusion"],
    )
    float_path = path.with_suffix(".float.onnx")
    onnx.save(onnx.load(str(folded)), str(float_path))
    onnx.save(quantise_weights(onnx.load(str(folded))), str(path))
    raw.unlink()
    folded.unlink()


def fold_norms(model: nn.Module) -> None:
    """Checks that batch norms are in inference form; onnxruntime folds them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert not module.training


class UnitFree(nn.Module):
    """The image tower under the name of its input."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tower(pixels)


def write_image_encoder(clip: Clip, path: Path) -> None:
    """The image tower's graph, for any number of pictures."""
    side = clip.config.input_size
    write_graph(
        UnitFree(clip.image),
        {"pixels": torch.zeros(2, 3, side, side)},
        ["embedding"],
        {"pixels": {0: "batch"}, "embedding": {0: "batch"}},
        path,
    )


ABOUT = [
    "# The starter bundle: a demonstration, never for care. Made by scripts/starter;",
    "# model-card.md says from what, how well it does and where it fails.",
]


def manifest(config: ClipConfig, segmenter: Segmenter) -> list[str]:
    """The lines of `bundle.toml`, without the hashes."""
    return [
        *ABOUT,
        *graph_tables("starter", config, segmenter),
        *focus_table(STYLE),
        *gate.tables(),
        *exam_tables(gate.exam_lines()),
    ]


def graph_tables(name: str, config: ClipConfig, segmenter: Segmenter) -> list[str]:
    """The manifest's lines up to the graphs, with an empty one after them."""
    return [
        "format = 1",
        f'name = "{name}"',
        f'version = "{VERSION}"',
        'intended_use = "demonstration"',
        f'known_answers = "{known_answers.FILE}"',
        "",
        "[segmenter]",
        'encoder = "segmenter_encoder.onnx"',
        'decoder = "segmenter_decoder.onnx"',
        f"input_size = {segmenter.config.input_size}",
        f"width = {segmenter.config.d_model}",
        "mean = [0.5, 0.5, 0.5]",
        "std = [0.25, 0.25, 0.25]",
        '# "box" (the whole image), "center", or { grid = N }',
        'prompt = "box"',
        "",
        "[image_encoder]",
        'graph = "image_encoder.onnx"',
        f"input_size = {config.input_size}",
        f"embedding = {config.embedding}",
        "mean = [0.5, 0.5, 0.5]",
        "std = [0.25, 0.25, 0.25]",
        "",
    ]


def run(arguments: argparse.Namespace) -> None:
    bundle, work = arguments.bundle, arguments.work
    segmenter, config = Segmenter(), ClipConfig()
    if not arguments.seal_only:
        segmenter.load_state_dict(torch.load(work / "segmenter.pt", weights_only=True))
        segmenter.eval()
        clip = Clip(config, {t: len(labels) for t, labels in data.TASKS.items()})
        clip.load_state_dict(torch.load(work / "clip.pt", weights_only=True))
        clip.eval()
        fold_norms(clip)
        graphs = work / "graphs"
        graphs.mkdir(exist_ok=True)
        side, width = segmenter.config.input_size, segmenter.config.d_model
        write_graph(
            Interpolated(segmenter.encoder, side),
            {"pixels": torch.zeros(1, 3, side, side)},
            ["embedding", "stride4", "stride8"],
            {},
            graphs / "segmenter_encoder.onnx",
        )
        write_graph(
            segmenter.decoder,
            {
                "embedding": torch.zeros(1, width, side // 16, side // 16),
                "stride4": torch.zeros(1, width // 8, side // 4, side // 4),
                "stride8": torch.zeros(1, width // 4, side // 8, side // 8),
                "points": torch.zeros(1, 2, 2),
                "labels": torch.tensor([[2.0, 3.0]]),
            },
            ["masks", "predicted_iou", "object_score"],
            {"points": {1: "count"}, "labels": {1: "count"}},
            graphs / "segmenter_decoder.onnx",
        )
        write_image_encoder(clip, graphs / "image_encoder.onnx")
        for name in ("segmenter_encoder", "segmenter_decoder", "image_encoder"):
            (bundle / f"{name}.onnx").write_bytes((graphs / f"{name}.onnx").read_bytes())
        texts, scale = Texts(arguments.vocabulary), float(clip.log_scale.exp().clamp(max=50))
        for task in data.EXAMS:
            head = plain(texts.prototypes(clip, task).numpy(), scale)
            save_head(head, bundle / f"heads/{task}.safetensors")
        record = {n: json.loads((work / f"{n}.json").read_text()) for n in ("segmenter", "clip")}
        arguments.training.write_text(json.dumps(record, indent=1) + "\n")
        write_manifest(bundle, manifest(config, segmenter))
    known_answers.write(bundle, arguments.phantoms)
    reseal(bundle)
    total = sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file())
    print(f"{bundle}: {total / 1e6:.2f} MB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seal-only", action="store_true", help="only known answers and hashes")
    add_vocabulary(parser)
