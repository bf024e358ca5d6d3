"""Writes `tests/vectors/reference.json`: what Python makes of the phantoms.

For each phantom the float path of the paper's pipeline in PyTorch and Pillow:
resized pixels, mask, focused pictures, embeddings and logits, as short digests
(sums and samples) that the Rust tests compare with. The weights are those of the
shipped int8 graphs, read back to float, so that only the arithmetic differs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file
from scipy import ndimage

from . import data, focus
from .phantoms import PHANTOMS

MEAN, STD = 0.5, 0.25
SPECK = 0.1
SURE = 4.0


def sample(values: np.ndarray) -> dict[str, object]:
    """Every so many values of an array, and its mean."""
    flat = values.astype(np.float64).ravel()
    step = max(len(flat) // 64, 1)
    return {
        "step": step,
        "mean": round(float(flat.mean()), 7),
        "values": [round(float(v), 6) for v in flat[::step]],
    }


def resize(path: Path, side: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Planes `[3, side, side]` in 0 to 1 by Pillow's antialiased bilinear filter."""
    with Image.open(path) as image:
        small = image.convert("L").resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.repeat(np.asarray(small, np.float32)[None] / 255, 3, axis=0)


def clean(logits: np.ndarray) -> np.ndarray:
    """Islands and holes smaller than `SPECK` of the region change sides."""
    inside = logits > 0
    smallest = int(np.ceil(inside.sum() * SPECK))
    out = logits.copy()
    for part, value in ((inside, -SURE), (~inside, SURE)):
        labels, count = ndimage.label(part)
        for number in range(1, count + 1):
            if (labels == number).sum() < smallest:
                out[labels == number] = value
    return out


def runs(mask: np.ndarray) -> list[int]:
    """Row by row, alternating lengths of outside and inside; the first is outside."""
    flat = np.concatenate([[False], mask.ravel()])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def upsample(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(logits)[None, None]
    return F.interpolate(tensor, size=(height, width), mode="bilinear")[0, 0].numpy() > 0


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def head_logits(head: dict[str, np.ndarray], whole: np.ndarray, focused: np.ndarray) -> np.ndarray:
    joined = np.concatenate([whole, focused])
    mixed = 0.5 * (whole + focused) + head["fusion.weight"] @ joined + head["fusion.bias"]
    fused = unit(mixed)
    alike = head["logit_scale"][0] * head["prototypes"] @ fused
    return alike + head["classifier.weight"] @ fused + head["classifier.bias"]


def session(path: Path) -> onnxruntime.InferenceSession:
    """The graph as it is written: onnxruntime's extended optimisations move an
    embedding by some 5e-4."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(arguments: argparse.Namespace) -> None:
    bundle: Path = arguments.bundle
    names = ("segmenter_encoder", "segmenter_decoder", "image_encoder")
    encoder, decoder, tower = (session(bundle / f"{name}.onnx") for name in names)
    segment_side, side = encoder.get_inputs()[0].shape[2], tower.get_inputs()[0].shape[2]
    cases = {}
    for name in PHANTOMS:
        path = arguments.phantoms / f"{name}.png"
        with Image.open(path) as image:
            width, height = image.size
        pixels = resize(path, segment_side)
        maps = encoder.run(None, {"pixels": ((pixels - MEAN) / STD)[None]})
        box = np.array([[[0, 0], [segment_side, segment_side]]], np.float32)
        labels = np.array([[2, 3]], np.float32)
        keys = ("embedding", "stride4", "stride8")
        inputs = dict(zip(keys, maps, strict=True)) | {"points": box, "labels": labels}
        masks, iou, _ = decoder.run(None, inputs)
        logits = clean(masks[0, 0])
        mask = upsample(logits, height, width)
        small = upsample(logits, side, side)
        whole = resize(path, side)
        pictures = {"none": whole}
        ys, xs = np.nonzero(mask)
        corners = (xs.min() / width, ys.min() / height)
        corners += ((xs.max() + 1) / width, (ys.max() + 1) / height)
        x0, y0, x1, y1 = focus.crop_box(*(float(v) for v in corners))
        crop = (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        pictures["crop"] = resize(path, side, crop)
        for style in ("overlay", "blur", "cutout"):
            painted = focus.paint(
                style,
                torch.from_numpy(whole)[None],
                torch.from_numpy(small.astype(np.float32))[None, None],
            )
            pictures[style] = painted[0].numpy()
        embeddings = {}
        for style, picture in pictures.items():
            batch = ((np.stack([whole, picture]) - MEAN) / STD).astype(np.float32)
            embeddings[style] = unit(tower.run(None, {"pixels": batch})[0])
        exams = {}
        for task in data.EXAMS:
            head = load_file(bundle / f"heads/{task}.safetensors")
            exams[task] = {
                style: [round(float(v), 6) for v in head_logits(head, *pair)]
                for style, pair in embeddings.items()
            }
        cases[name] = {
            "segmenter_input": sample(pixels),
            "mask_area": int(mask.sum()),
            "focus_mask": runs(small),
            "predicted_iou": round(float(iou[0, 0]), 6),
            "pictures": {style: sample(picture) for style, picture in pictures.items()},
            "embeddings": {style: sample(pair[1]) for style, pair in embeddings.items()},
            "logits": exams,
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(cases, indent=1) + "\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--phantoms", type=Path, default=root / "tests/phantoms")
    parser.add_argument("--out", type=Path, default=root / "tests/vectors/reference.json")
