"""Writes the bundle: graphs (int8 weights), heads, manifest with every hash.

Graphs go out as ONNX, are folded by onnxruntime's basic level (tract wants constant
shapes), and have their larger weights turned into int8 with one scale an output
channel, read back by `DequantizeLinear`: any runtime reads the same file.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from . import data, focus, known_answers
from .clip import Clip, ClipConfig
from .prompts import text_prompts
from .segmenter import Segmenter

VERSION = "0.1.0"
QUANTISE_FROM = 2048
"""Weights with fewer values than this stay in float: they save nothing."""

TITLES = {
    "covid3": "COVID-19, viral pneumonia or neither on a chest radiograph",
    "lung_tb2": "Signs of tuberculosis on a chest radiograph",
    "brain4": "Kind of brain tumour on a T1 contrast MRI slice",
    "breast3": "Lesion on a breast ultrasound image",
}
SOURCES = {
    "covid3": (["CR", "DX"], ["CHEST"]),
    "lung_tb2": (["CR", "DX"], ["CHEST"]),
    "brain4": (["MR"], ["BRAIN", "HEAD"]),
    "breast3": (["US"], ["BREAST"]),
}
CLASSES = {
    "covid": ("COVID-19", "urgent"),
    "viral_pneumonia": ("Viral pneumonia", "priority"),
    "tuberculosis": ("Tuberculosis", "urgent"),
    "glioma": ("Glioma", "urgent"),
    "meningioma": ("Meningioma", "priority"),
    "pituitary": ("Pituitary tumour", "priority"),
    "notumor": ("No tumour", "routine"),
    "benign": ("Benign lesion", "priority"),
    "malignant": ("Malignant lesion", "urgent"),
    "normal": ("Normal", "routine"),
}


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


def quantise_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Large weights as symmetric int8 with one scale an output channel."""
    graph, axes = model.graph, weight_axes(model.graph)
    kept, before = [], []
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        axis = axes.get(tensor.name)
        if axis is None or value.size < QUANTISE_FROM or value.ndim < 2:
            kept.append(tensor)
            continue
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.abs(value).max(axis=others) / 127
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        codes = np.clip(np.rint(value / scale.reshape(shape)), -127, 127).astype(np.int8)
        name = tensor.name
        kept += [
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
                axis=axis,
            )
        )
    nodes = before + list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    assert all(t.data_type != TensorProto.DOUBLE for t in graph.initializer)
    return model


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


def quoted(values: list[str]) -> str:
    return "[" + ", ".join(f'"{v}"' for v in values) + "]"


def manifest(config: ClipConfig, segmenter: Segmenter, files: dict[str, str]) -> str:
    """The text of `bundle.toml`."""
    tint = ", ".join(str(v) for v in focus.TINT)
    lines = [
        "# The starter bundle: a demonstration, never for care. Made by scripts/starter;",
        "# model-card.md says from what, how well it does and where it fails.",
        "format = 1",
        'name = "starter"',
        f'version = "{VERSION}"',
        'intended_use = "demonstration"',
        'known_answers = "known_answers/answers.json"',
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
        "[focus]",
        f'style = "{known_answers.STYLE}"',
        f"crop_margin = {focus.CROP_MARGIN}",
        f"crop_minimum = {focus.CROP_MINIMUM}",
        f"tint = [{tint}]",
        f"tint_alpha = {focus.TINT_ALPHA}",
        f"blur_sigma = {focus.BLUR_SIGMA}",
    ]
    for task, labels in data.EXAMS.items():
        modalities, parts = SOURCES[task]
        lines += [
            "",
            "[[exams]]",
            f'name = "{task}"',
            f'title = "{TITLES[task]}"',
            f"modalities = {quoted(modalities)}",
            f"body_parts = {quoted(parts)}",
            f'head = "heads/{task}.safetensors"',
            "review_below = 0.6",
        ]
        for label in labels:
            title, level = CLASSES[label]
            lines += [
                "",
                "[[exams.classes]]",
                f'name = "{label}"',
                f'label = "{title}"',
                f'triage_level = "{level}"',
                "text_prompts = [",
                *(f'  "{text}",' for text in text_prompts(task, label)),
                "]",
            ]
    lines += ["", "[files]", *(f'"{name}" = "{digest}"' for name, digest in sorted(files.items()))]
    return "\n".join(lines) + "\n"


def seal(bundle: Path, config: ClipConfig, segmenter: Segmenter) -> None:
    """Writes `bundle.toml` over whatever files the bundle holds now."""
    names = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != "bundle.toml")
    files = {
        p.relative_to(bundle).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in names
    }
    (bundle / "bundle.toml").write_text(manifest(config, segmenter, files))


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
        write_graph(
            UnitFree(clip.image),
            {"pixels": torch.zeros(2, 3, config.input_size, config.input_size)},
            ["embedding"],
            {"pixels": {0: "batch"}, "embedding": {0: "batch"}},
            graphs / "image_encoder.onnx",
        )
        (bundle / "heads").mkdir(parents=True, exist_ok=True)
        for name in ("segmenter_encoder", "segmenter_decoder", "image_encoder"):
            (bundle / f"{name}.onnx").write_bytes((graphs / f"{name}.onnx").read_bytes())
        for task in data.EXAMS:
            head = f"heads/{task}.safetensors"
            (bundle / head).write_bytes((work / head).read_bytes())
        known_answers.write(bundle, arguments.phantoms)
    seal(bundle, config, segmenter)
    total = sum(p.stat().st_size for p in bundle.rglob("*") if p.is_file())
    print(f"{bundle}: {total / 1e6:.2f} MB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    phantoms = Path(__file__).resolve().parents[2] / "tests/phantoms"
    parser.add_argument("--phantoms", type=Path, default=phantoms)
    parser.add_argument("--seal-only", action="store_true", help="only write the hashes again")
