"""Puts the gate and the guards into a bundle, and measures how well they hold.

`gate.json` holds their thresholds: `train_gate` chose those of the graph, the others are
chosen here on the training images, and the table of `docs/gate.md` is on the validation
images by the built program itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.numpy import save_file

from bundling.exams import EXAMS
from bundling.manifest import reseal
from bundling.manifest import write as write_manifest

from . import data
from .train_gate import KINDS, SETTINGS, SIDE, Gate

LABELS = {"chest": "chest radiograph", "brain": "brain MRI slice", "breast": "breast ultrasound"}
VIEWS = {"covid3": ["PA", "AP"], "lung_tb2": ["PA", "AP"]}
GRAPH = "gate/kinds.onnx"
ENCODER_SIDE = 128
SHRINKAGE = 0.1
"""Share of the mean variance that is added to the diagonal of the covariance."""


def settings() -> dict:
    return json.loads(SETTINGS.read_text())


def tables() -> list[str]:
    """The lines of `[gate]`; none before there is a gate."""
    if "sharpness_from" not in settings():
        return []
    chosen = settings()
    lines = [
        "",
        "[gate]",
        f'graph = "{GRAPH}"',
        f"input_size = {SIDE}",
        "mean = 0.5",
        "std = 0.25",
        f"coloured_up_to = {chosen['coloured_up_to']}",
        f"brightness = {chosen['brightness']}",
        f"contrast_from = {chosen['contrast_from']}",
        f"content_from = {chosen['content_from']}",
    ]
    for kind in KINDS:
        lines += [
            "",
            "[[gate.kinds]]",
            f'name = "{kind}"',
            f'label = "{LABELS[kind]}"',
            f"accept_from = {chosen['accept_from'][kind]}",
            f"sharpness_from = {chosen['sharpness_from'][kind]}",
        ]
    return lines


def exam_lines() -> dict[str, list[str]]:
    """What every exam's table says of the gate and of its guard."""
    lines: dict[str, list[str]] = {}
    for task in EXAMS:
        kind = next(kind for kind, tasks in KINDS.items() if task in tasks)
        lines[task] = [f'kind = "{kind}"'] if tables() else []
        if task in VIEWS:
            lines[task].append("views = " + json.dumps(VIEWS[task]))
        up_to = settings().get("guard_up_to", {}).get(task)
        if up_to is not None:
            lines[task].append(f'guard = {{ file = "guards/{task}.safetensors", up_to = {up_to} }}')
    return lines


def whole_embeddings(bundle: Path, images: Path, rows: list[data.Row], cache: Path) -> np.ndarray:
    """Unit embeddings `[N, D]` of whole images by the bundle's image encoder."""
    if cache.exists():
        return np.load(cache)
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(str(bundle / "image_encoder.onnx"), options)
    made = []
    for row in rows:
        grey = data.read_grey(images / row.file, ENCODER_SIDE).astype(np.float32) / 255
        pixels = np.repeat(((grey - 0.5) / 0.25)[None, None], 3, axis=1)
        vector = session.run(None, {"pixels": pixels})[0][0]
        made.append(vector / np.linalg.norm(vector))
    np.save(cache, np.stack(made))
    return np.load(cache)


def guard_of(embeddings: np.ndarray, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Class means and the inverse of the shared covariance."""
    means = np.stack([embeddings[classes == k].mean(0) for k in range(classes.max() + 1)])
    apart = embeddings - means[classes]
    covariance = apart.T @ apart / len(apart)
    covariance += np.eye(len(covariance)) * SHRINKAGE * np.trace(covariance) / len(covariance)
    return {
        "means": means.astype(np.float32),
        "precision": np.linalg.inv(covariance).astype(np.float32),
    }


def distances(guard: dict[str, np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    """The formula of `src/triage/guard.rs`."""
    apart = embeddings[None] - guard["means"][:, None]
    return np.einsum("kni,ij,knj->kn", apart, guard["precision"], apart).min(0)


def sharpness(image: Image.Image) -> float:
    """The formula of `src/gate/measures.rs`."""
    luma = np.asarray(image.resize((128, 128), Image.Resampling.BILINEAR), np.float32) / 255
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float(np.abs(4 * luma[1:-1, 1:-1] - around).mean() / max(luma.std(), 1e-6))


def run(arguments: argparse.Namespace) -> None:
    from .export import manifest, write_graph

    bundle, work = arguments.bundle, arguments.work
    rows = data.load_rows(arguments.images)
    validation = data.load_split(arguments.split)
    training = [i for i, row in enumerate(rows) if row.sha256 not in validation]
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    chosen = settings() | {
        "coloured_up_to": 0.08,
        "brightness": [0.04, 0.85],
        "contrast_from": 0.07,
        "content_from": 0.25,
        "sharpness_from": {},
        "guard_up_to": {},
    }
    generator = np.random.default_rng(3)
    for kind, tasks in KINDS.items():
        mine = [i for i in training if rows[i].task in tasks]
        mine = generator.choice(mine, min(len(mine), 600), replace=False)
        sharp = [sharpness(Image.fromarray(pixels[i])) for i in mine]
        chosen["sharpness_from"][kind] = round(0.9 * float(np.quantile(sharp, 0.002)), 3)
    embeddings = whole_embeddings(bundle, arguments.images, rows, work / "whole.npy")
    (bundle / "guards").mkdir(exist_ok=True)
    for task in EXAMS:
        mine = [i for i in training if rows[i].task == task]
        classes = np.array([rows[i].class_index for i in mine])
        guard = guard_of(embeddings[mine], classes)
        save_file(guard, bundle / f"guards/{task}.safetensors")
        far = float(np.quantile(distances(guard, embeddings[mine]), 0.99))
        chosen["guard_up_to"][task] = round(arguments.slack * far, 1)
    SETTINGS.write_text(json.dumps(chosen, indent=1) + "\n")
    net = Gate()
    net.load_state_dict(torch.load(work / "gate.pt", weights_only=True))
    (bundle / GRAPH).parent.mkdir(exist_ok=True)
    (work / "graphs").mkdir(exist_ok=True)
    graph = work / "graphs/kinds.onnx"
    inputs = {"pixels": torch.zeros(1, 1, SIDE, SIDE)}
    write_graph(net, inputs, ["kinds"], {}, graph)
    (bundle / GRAPH).write_bytes(graph.read_bytes())
    from .clip import ClipConfig
    from .segmenter import Segmenter

    write_manifest(bundle, manifest(ClipConfig(), Segmenter()))
    reseal(bundle)
    print(json.dumps(chosen, indent=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slack", type=float, default=2.0, help="guard: times the 99 % distance")
