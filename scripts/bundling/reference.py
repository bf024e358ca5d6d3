"""The whole method in Python on a finished bundle: Pillow, numpy and onnxruntime.

It reads the shipped manifest, graphs and heads, so only the arithmetic differs from the
device's. The known answers and the test vectors come from here; nothing here may call
the Rust program.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from safetensors.numpy import load_file
from scipy import ndimage

from . import focus, head

SPECK = 0.1
SURE = 4.0
STABILITY_OFFSET = 0.05
"""Of the two thresholds by which SAM2 judges its single mask."""


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
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        small = np.flatnonzero(sizes < smallest)
        out[np.isin(labels, small[small > 0])] = value
    return out


def upsample(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Truths `[height, width]`: bilinear between pixel centres, edges repeated."""

    def axis(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        step = np.float32(source / target)
        at = np.maximum((np.arange(target, dtype=np.float32) + 0.5) * step - 0.5, 0)
        first = np.minimum(at.astype(int), source - 1)
        return first, np.minimum(first + 1, source - 1), at - first

    top, bottom, down = axis(logits.shape[0], height)
    left, right, across = axis(logits.shape[1], width)
    rows = (1 - down)[:, None] * logits[top] + down[:, None] * logits[bottom]
    return (1 - across) * rows[:, left] + across * rows[:, right] > 0


def session(graph: Path | bytes) -> onnxruntime.InferenceSession:
    """The graph as it is written: onnxruntime's extended optimisations move an
    embedding by some 5e-4."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # One thread: its helpers spin while they wait, and take the cores from everything else.
    options.intra_op_num_threads = 1
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def stability(logits: np.ndarray) -> float:
    """IoU of a mask's two versions just above and just below the threshold."""
    wide = (logits > -STABILITY_OFFSET).sum()
    return float((logits > STABILITY_OFFSET).sum() / wide) if wide else 1.0


def single_mask(iou: np.ndarray, masks: np.ndarray, steady_from: float | None) -> int:
    """Which of the four masks answers a box: SAM2 takes the best of the others where the
    single mask is not steady; without `steady_from` the single mask always answers."""
    if steady_from is None or stability(masks[0]) >= steady_from:
        return 0
    return 1 + int(np.argmax(iou[1:]))


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
    """A bundle, run in Python. `styles` limits the work to these focus styles."""

    def __init__(self, bundle: Path, styles: list[str] = focus.STYLES) -> None:
        manifest = tomllib.loads((bundle / "bundle.toml").read_text())
        self.segmenter, self.image = manifest["segmenter"], manifest["image_encoder"]
        self.style: str = manifest["focus"]["style"]
        self.styles = styles
        graphs = (self.segmenter["encoder"], self.segmenter["decoder"], self.image["graph"])
        self.encoder, self.decoder, self.tower = (session(bundle / name) for name in graphs)
        self.refinements: int = self.segmenter.get("refinements", 0)
        if self.refinements:
            self.mask_prompt = session(bundle / self.segmenter["mask_prompt"])
        self.heads = {exam["name"]: load_file(bundle / exam["head"]) for exam in manifest["exams"]}
        assert self.segmenter["prompt"] == "box", "only the whole-image box is known here"

    def segment(self, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        """Cleaned logits and predicted IoU of the mask for the whole-image box."""
        side = self.segmenter["input_size"]
        maps = self.encoder.run(None, {"pixels": normalised(pixels, self.segmenter)[None]})
        inputs = dict(zip(("embedding", "stride4", "stride8"), maps, strict=True))
        points, labels = [[0, 0], [side, side]], [2, 3]
        if self.segmenter.get("pads_boxes", False):
            points, labels = [*points, [0, 0]], [*labels, -1]
        inputs["points"] = np.array([points], np.float32)
        inputs["labels"] = np.array([labels], np.float32)
        logits, iou = self.ask(inputs)
        embedding = inputs["embedding"]
        for _ in range(self.refinements):
            dense = self.mask_prompt.run(None, {"mask": logits[None, None]})[0]
            logits, iou = self.ask(inputs | {"embedding": embedding + dense})
        return clean(logits), iou

    def ask(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
        """Logits and predicted IoU of the mask that answers."""
        masks, iou, _ = self.decoder.run(None, inputs)
        chosen = single_mask(iou[0], masks[0], self.segmenter.get("single_mask_from"))
        return masks[0, chosen], float(iou[0, chosen])

    def pictures(self, path: Path, mask: np.ndarray, focus_mask: np.ndarray) -> dict:
        """What each focus style shows, and the whole image as `none`."""
        side = self.image["input_size"]
        (height, width), whole = mask.shape, resize(path, side)
        shown = {"none": whole}
        ys, xs = np.nonzero(mask)
        if "crop" in self.styles:
            shown["crop"] = whole
        if "crop" in self.styles and len(ys):
            corners = [xs.min() / width, ys.min() / height]
            corners += [(xs.max() + 1) / width, (ys.max() + 1) / height]
            x0, y0, x1, y1 = focus.crop_box(*(float(v) for v in corners))
            box = (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
            shown["crop"] = resize(path, side, box)
        for style in ("overlay", "blur", "cutout"):
            if style in self.styles:
                shown[style] = focus.paint(style, whole, focus_mask)
        return shown

    def embed(self, batch: np.ndarray) -> np.ndarray:
        """Unit embeddings `[B, D]` of pictures `[B, 3, side, side]` in 0 to 1."""
        return head.unit(self.tower.run(None, {"pixels": normalised(batch, self.image)})[0])

    def read(self, path: Path) -> Case:
        """The whole way of one image file."""
        with Image.open(path) as image:
            width, height = image.size
        side = self.image["input_size"]
        pixels = resize(path, self.segmenter["input_size"])
        logits, iou = self.segment(pixels)
        mask = upsample(logits, height, width)
        focus_mask = upsample(logits, side, side)
        pictures = self.pictures(path, mask, focus_mask)
        embeddings = {
            style: self.embed(np.stack([pictures["none"], picture]))
            for style, picture in pictures.items()
        }
        answers = {
            task: {style: head.logits(tensors, *pair) for style, pair in embeddings.items()}
            for task, tensors in self.heads.items()
        }
        return Case(pixels, mask, focus_mask, iou, pictures, embeddings, answers)

    def probabilities(self, case: Case, task: str, style: str) -> np.ndarray:
        """Calibrated probabilities, in the order of the exam's classes."""
        return head.softmax(case.logits[task][style] / self.heads[task]["temperature"][0])


def normalised(pixels: np.ndarray, part: dict) -> np.ndarray:
    """Pixels in 0 to 1 as the manifest's `part` wants them."""
    mean, std = (np.array(part[key], np.float32).reshape(3, 1, 1) for key in ("mean", "std"))
    return ((pixels - mean) / std).astype(np.float32)
