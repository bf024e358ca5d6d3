"""A full-size bundle: graphs, heads, known answers, reports and manifest in one folder.

Everything follows from the checkpoints and the images that it is calibrated on: a second
run writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from bundling import known_answers, manifest
from bundling.quantise import quantise_weights
from bundling.reference import normalised, resize, session

from . import calibrate, clip, prototypes, sam2, sensitivity, sizes, smooth
from .checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "models"
PHANTOMS = ROOT / "tests/phantoms"

ALWAYS_FLOAT = ["visual_projection"]
"""The final projection: little work, and its error would be the answer's."""
REPORT = "quantisation.json"
TOLERANCE = {"probability": 0.05, "area_fraction": 0.01, "predicted_iou": 0.02}
"""Of the known answers, which come from float arithmetic on the int8 weights: CLIP's
temperature multiplies what int8 rows change in an embedding by a hundred."""
STYLE = "crop"
TRAINED = "from these checkpoints; model-card.md says what that means."
RANDOM = "from RANDOM weights: its answers mean nothing."

Feeds = list[dict[str, np.ndarray]]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What a bundle is made from."""

    template: str
    """Name of its folder under `models`."""
    segmenter: Checkpoint
    clip: Checkpoint
    config: clip.ClipConfig
    segmenter_size: int
    vocabulary: Path
    images: list[Path]
    """What smoothing and the sensitivity report are measured on."""
    refinements: int
    """How often the decoder is asked again with its own mask."""
    sizes: sizes.Table | None
    """What was measured of other sizes."""
    random: bool
    """The weights are random, and the bundle says so."""


def write(request: Request, out: Path, progress: Progress) -> None:
    """Writes the bundle; `out` appears only when it is whole."""
    making = out.with_name(f"{out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    report = _write_graphs(request, making, progress)
    (making / REPORT).write_text(json.dumps(report, indent=1) + "\n")
    progress("prototypes from the text prompts")
    encoder = prototypes.TextEncoder(request.clip.weights, request.config, request.vocabulary)
    scale = float(np.exp(request.clip.weights["logit_scale"]))
    prototypes.write_heads(encoder, scale, making / "heads")
    lines = _manifest(request, report)
    progress("known answers")
    manifest.write(making, lines)
    known_answers.write(making, PHANTOMS, TOLERANCE)
    shutil.copyfile(TEMPLATES / request.template / "model-card.md", making / "model-card.md")
    manifest.write(making, lines)
    shutil.rmtree(out, ignore_errors=True)
    making.rename(out)


def _write_graphs(request: Request, folder: Path, progress: Progress) -> dict[str, dict]:
    """Writes the four graphs; gives the sensitivity report of those that are int8."""
    weights, side = request.segmenter.weights, request.segmenter_size
    encoder = sam2.image_encoder(weights, side).model()
    decoder = sam2.mask_decoder(weights, side).model()
    # A few thousand weights: int8 would save nothing.
    sam2.mask_prompt(weights, side).save(folder / "segmenter_mask_prompt.onnx")
    pixels = preprocessed(request.images, side, sam2.MEAN, sam2.STD)
    progress("segmenter on the calibration images")
    questions = whole_box_questions(encoder, pixels, side)
    tower = clip.image_encoder(request.clip.weights, request.config).model()
    pictures = preprocessed(request.images, request.config.side, clip.MEAN, clip.STD)
    report = {}
    for name, model, feeds in (
        ("segmenter_encoder", encoder, pixels),
        ("segmenter_decoder", decoder, questions),
        ("image_encoder", tower, pictures),
    ):
        progress(f"int8 weights of {name}")
        report[name] = _quantise(model, feeds, folder / f"{name}.onnx")
    return report


def preprocessed(images: list[Path], side: int, mean: tuple, std: tuple) -> Feeds:
    """Each image as the device gives it to a graph of `side` pixels."""
    part = {"mean": mean, "std": std}
    return [{"pixels": normalised(resize(path, side), part)[None]} for path in images]


def whole_box_questions(encoder: onnx.ModelProto, pixels: Feeds, side: int) -> Feeds:
    """What the decoder is asked for each image: the encoder's maps and the box of the
    whole image, closed as SAM2 closes it."""
    runner = session(encoder.SerializeToString())
    names = ("embedding", "stride4", "stride8")
    box = {
        "points": np.array([[[0, 0], [side, side], [0, 0]]], np.float32),
        "labels": np.array([[2, 3, -1]], np.float32),
    }
    return [dict(zip(names, runner.run(None, feed), strict=True)) | box for feed in pixels]


def _quantise(model: onnx.ModelProto, feeds: Feeds, path: Path) -> dict:
    """Smooths, measures, chooses what stays in float and writes; gives the report."""
    flow = calibrate.watch(model, feeds)
    smoothed = smooth.smooth(model, flow)
    layers = sensitivity.measure(model, flow)
    kept = sensitivity.kept_in_float(layers, ALWAYS_FLOAT)
    quantise_weights(model, [f"{name}.weight" for name in kept])
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {
        "smoothed_norms": smoothed,
        "float_layers": kept,
        "layers": [asdict(layer) for layer in layers],
    }


def _manifest(request: Request, report: dict[str, dict]) -> list[str]:
    """The lines of `bundle.toml`: the template with what this run knows."""
    template = string.Template((TEMPLATES / request.template / "bundle.toml.in").read_text())
    values = {
        "origin": RANDOM if request.random else TRAINED,
        "intended_use": "demonstration" if request.random else "research",
        "segmenter_size": request.segmenter_size,
        "refinements": request.refinements,
        "segmenter_sizes": "\n".join(sizes.comments(request.sizes)),
        "segmenter_sha256": _sha256(request.segmenter.path),
        "clip_sha256": _sha256(request.clip.path),
        "segmenter_mean": list(sam2.MEAN),
        "segmenter_std": list(sam2.STD),
        "clip_mean": list(clip.MEAN),
        "clip_std": list(clip.STD),
        "segmenter_float_layers": manifest.strings(
            report["segmenter_encoder"]["float_layers"]
            + report["segmenter_decoder"]["float_layers"]
        ),
        "clip_float_layers": manifest.strings(report["image_encoder"]["float_layers"]),
    }
    head = template.substitute(values).rstrip("\n").split("\n")
    return [*head, "", *manifest.focus_table(STYLE), *manifest.exam_tables()]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
