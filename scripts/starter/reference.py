"""The whole method in Python on a finished bundle: Pillow, onnxruntime, PyTorch.

It reads the shipped graphs and heads, so only the arithmetic differs from the
device's. The known answers and the test vectors come from here; nothing here may
call the Rust program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file
from scipy import ndimage

from . import data, focus

SPECK = 0.1
SURE = 4.0
MEAN, STD = 0.5, 0.25


def resize(path: Path, side: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Planes `[3, side, side]` in 0 to 1 by Pillow's antialiased bilinear filter."""
    with Image.open(path) as image:
        small = image.convert("L").resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.repeat(np.asarray(small, np.float32)[None] / 255, 3, axis=0)


def normalised(pixels: np.ndarray) -> np.ndarray:
    return ((pixels - MEAN) / STD).astype(np.float32)


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


def upsample(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(logits)[None, None]
    return F.interpolate(tensor, size=(height, width), mode="bilinear")[0, 0].numpy() > 0


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def head_logits(head: dict[str, np.ndarray], whole: np.ndarray, focused: np.ndarray) -> np.ndarray:
    """The formula of `src/triage/head.rs`, before the temperature."""
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


@dataclass(frozen=True)
class Case:
    """What one image becomes on its way."""

    segmenter_input: np.ndarray
    mask: np.ndarray
    """In the image's own pixels, truths `[height, width]`."""
    focus_mask: np.ndarray
    """At the image encoder's input size."""
    predicted_iou: float
    pictures: dict[str, np.ndarray]
    """By focus style, `[3, side, side]` in 0 to 1."""
    embeddings: dict[str, np.ndarray]
    """By focus style, `[2, D]`: whole and focused, of unit length."""
    logits: dict[str, dict[str, np.ndarray]]
    """By exam and focus style."""


class Reference:
    """A bundle, run in Python."""

    def __init__(self, bundle: Path) -> None:
        names = ("segmenter_encoder", "segmenter_decoder", "image_encoder")
        self.encoder, self.decoder, self.tower = (session(bundle / f"{n}.onnx") for n in names)
        self.segment_side: int = self.encoder.get_inputs()[0].shape[2]
        self.side: int = self.tower.get_inputs()[0].shape[2]
        self.heads = {task: load_file(bundle / f"heads/{task}.safetensors") for task in data.EXAMS}

    def segment(self, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        """Cleaned logits and predicted IoU of the single mask for the whole-image box."""
        maps = self.encoder.run(None, {"pixels": normalised(pixels)[None]})
        inputs = dict(zip(("embedding", "stride4", "stride8"), maps, strict=True))
        corners = [[[0, 0], [self.segment_side, self.segment_side]]]
        inputs["points"] = np.array(corners, np.float32)
        inputs["labels"] = np.array([[2, 3]], np.float32)
        masks, iou, _ = self.decoder.run(None, inputs)
        return clean(masks[0, 0]), float(iou[0, 0])

    def pictures(self, path: Path, mask: np.ndarray, focus_mask: np.ndarray) -> dict:
        """What each focus style shows."""
        (height, width), whole = mask.shape, resize(path, self.side)
        shown = {"none": whole, "crop": whole}
        ys, xs = np.nonzero(mask)
        if len(ys):
            corners = [xs.min() / width, ys.min() / height]
            corners += [(xs.max() + 1) / width, (ys.max() + 1) / height]
            x0, y0, x1, y1 = focus.crop_box(*(float(v) for v in corners))
            box = (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
            shown["crop"] = resize(path, self.side, box)
        for style in ("overlay", "blur", "cutout"):
            inside = torch.from_numpy(focus_mask.astype(np.float32))[None, None]
            shown[style] = focus.paint(style, torch.from_numpy(whole)[None], inside)[0].numpy()
        return shown

    def embed(self, batch: np.ndarray) -> np.ndarray:
        """Unit embeddings `[B, D]` of pictures `[B, 3, side, side]` in 0 to 1."""
        return unit(self.tower.run(None, {"pixels": normalised(batch)})[0])

    def read(self, path: Path) -> Case:
        """The whole way of one image file."""
        with Image.open(path) as image:
            width, height = image.size
        pixels = resize(path, self.segment_side)
        logits, iou = self.segment(pixels)
        mask = upsample(logits, height, width)
        focus_mask = upsample(logits, self.side, self.side)
        pictures = self.pictures(path, mask, focus_mask)
        embeddings = {
            style: self.embed(np.stack([pictures["none"], picture]))
            for style, picture in pictures.items()
        }
        answers = {
            task: {style: head_logits(head, *pair) for style, pair in embeddings.items()}
            for task, head in self.heads.items()
        }
        return Case(pixels, mask, focus_mask, iou, pictures, embeddings, answers)

    def probabilities(self, case: Case, task: str, style: str) -> np.ndarray:
        """Calibrated probabilities, in the order of the exam's classes."""
        scaled = case.logits[task][style] / self.heads[task]["temperature"][0]
        powers = np.exp((scaled - scaled.max()).astype(np.float64))
        return powers / powers.sum()
