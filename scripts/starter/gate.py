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
import torch
from PIL import Image
from safetensors.numpy import save_file

from bundling.exams import EXAMS
from bundling.manifest import reseal
from bundling.manifest import write as write_manifest

from . import data, device
from .train_gate import KINDS, SETTINGS, SIDE, Gate

LABELS = {"chest": "chest radiograph", "brain": "brain MRI slice", "breast": "breast ultrasound"}
VIEWS = {"covid3": ["PA", "AP"], "lung_tb2": ["PA", "AP"]}
GRAPH = "gate/kinds.onnx"
LAYOUTS = "gate/layouts.safetensors"
FILM = {"anatomy_from": 0.7, "rim": 0.1, "uniform_within": 12}
"""How the film is found in its picture. A head takes at least 0.73 of its film's side in 95 %
of the brain slices: such pictures stay as they are, since leaving their own margins out changed
one answer in twelve. Without a rim a head fills its film as it does in no training image, and
the answers change."""
ASPECT = {"chest": [0.66, 1.6], "brain": [0.62, 1.65], "breast": [0.62, 1.65]}
"""Width over height of whole films. Chest films of other hospitals keep to 0.75 to 1.52 but for
one in 200; of the slices of a head, without their margins, one in 100 is narrower than 0.67."""
UNUSUAL = {"brain": 0.9, "breast": 0.9}
"""The chance of being whole that a film of another shape needs: wide ultrasound pictures and
narrow heads are made, and two of a kind have the same shape."""
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
    if "whole_from" in chosen:
        lines.append(f'layouts = "{LAYOUTS}"')
    lines += [
        "",
        "[gate.film]",
        f"anatomy_from = {chosen['film']['anatomy_from']}",
        f"rim = {chosen['film']['rim']}",
        f"uniform_within = {chosen['film']['uniform_within']}",
    ]
    for kind in KINDS:
        lines += [
            "",
            "[[gate.kinds]]",
            f'name = "{kind}"',
            f'label = "{LABELS[kind]}"',
            f"accept_from = {chosen['accept_from'][kind]}",
            f"sharpness_from = {chosen['sharpness_from'][kind]}",
            f"aspect = {chosen['aspect'][kind]}",
        ]
        for key in ("shortest_side", "whole_from", "unusual_whole_from"):
            if kind in chosen.get(key, {}):
                lines.append(f"{key} = {chosen[key][kind]}")
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


def fit_guards(arguments: argparse.Namespace, validation: set[str]) -> dict[str, float]:
    """Writes the exams' guards, fitted to what the device reads off the training images;
    gives the largest distance that each answers."""
    rows, embeddings = device.readings(arguments)
    (arguments.bundle / "guards").mkdir(exist_ok=True)
    up_to = {}
    for task in EXAMS:
        mine = [i for i, r in enumerate(rows) if r.task == task and r.sha256 not in validation]
        whole = embeddings[mine, 0]
        guard = guard_of(whole, np.array([rows[i].class_index for i in mine]))
        save_file(guard, arguments.bundle / f"guards/{task}.safetensors")
        far = float(np.quantile(distances(guard, whole), 0.99))
        up_to[task] = round(arguments.slack * far, 1)
    return up_to


def sharpest_refused(arguments: argparse.Namespace, validation: set[str]) -> dict[str, float]:
    """By kind: the sharpness below which an image is blurred, from training images."""
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, arguments.work / "pixels.npy")
    generator = np.random.default_rng(3)
    least = {}
    for kind, tasks in KINDS.items():
        mine = [i for i, r in enumerate(rows) if r.task in tasks and r.sha256 not in validation]
        mine = generator.choice(mine, min(len(mine), 600), replace=False)
        sharp = [sharpness(Image.fromarray(pixels[i])) for i in mine]
        least[kind] = round(0.9 * float(np.quantile(sharp, 0.002)), 3)
    return least


def write_kinds(work: Path, bundle: Path) -> None:
    """The gate's graph, from the weights that `train_gate` left."""
    from .export import write_graph

    net = Gate()
    net.load_state_dict(torch.load(work / "gate.pt", weights_only=True))
    (bundle / GRAPH).parent.mkdir(exist_ok=True)
    (work / "graphs").mkdir(exist_ok=True)
    graph = work / "graphs/kinds.onnx"
    write_graph(net, {"pixels": torch.zeros(1, 1, SIDE, SIDE)}, ["kinds"], {}, graph)
    (bundle / GRAPH).write_bytes(graph.read_bytes())


def run(arguments: argparse.Namespace) -> None:
    from .clip import ClipConfig
    from .export import manifest
    from .segmenter import Segmenter

    bundle, validation = arguments.bundle, data.load_split(arguments.split)
    chosen = settings() | {
        "coloured_up_to": 0.08,
        "brightness": [0.04, 0.85],
        "contrast_from": 0.07,
        "content_from": 0.25,
        "film": FILM,
        "aspect": ASPECT,
        "unusual_whole_from": UNUSUAL,
        "sharpness_from": sharpest_refused(arguments, validation),
        "guard_up_to": fit_guards(arguments, validation),
    }
    SETTINGS.write_text(json.dumps(chosen, indent=1) + "\n")
    write_kinds(arguments.work, bundle)
    write_manifest(bundle, manifest(ClipConfig(), Segmenter()))
    reseal(bundle)
    print(json.dumps(chosen, indent=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slack", type=float, default=2.0, help="guard: times the 99 % distance")
