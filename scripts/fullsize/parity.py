"""Holds our graphs against the PyTorch originals, stage by stage: the float graph and the
int8 graph in onnxruntime, and the int8 graph in medfocus itself.

With trained checkpoints the figures must pass the gates, or this ends non-zero; with
random weights only the float graph must, since a random network amplifies what a trained
one forgives."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from safetensors.numpy import load_file, save_file

from bundling.exams import EXAMS
from bundling.head import unit
from bundling.prompts import Tokenizer, text_prompts
from bundling.reference import session, single_mask

from . import bundle, clip, export, random_weights, sam2, sizes
from .bundle import ROOT
from .checkpoint import CheckpointError, read
from .original import OriginalClip, OriginalSam2

GATES = {"cosine_mean": 0.995, "cosine_min": 0.98, "top1_agreement": 0.98, "mask_iou": 0.97}
"""Of the int8 graph with trained weights."""
FLOAT_COSINE = 0.9999
"""Of the float graph with any weights: it is the same network."""
AT_A_TIME = 16
STEADY_FROM = 0.98
MODELS = [*clip.CONFIGS, *(f"sam2-hiera-tiny-{side}" for side in sam2.SIDES)]

EPILOG = """\
examples:
  scripts/parity --random clip-vit-base-patch16 --images ../shared/data/images --json
  scripts/parity --clip clip-vit-base-patch16 --sam2 sam2-hiera-tiny --images DIR
  scripts/parity --random sam2-hiera-tiny-1024 --images DIR --count 20
"""


@dataclass(frozen=True)
class Figures:
    """One stage against the original, over all images."""

    cosine_mean: float
    cosine_min: float
    """Of embeddings: CLIP's, or the segmenter's at stride 16."""
    top1_agreement: float
    """CLIP: share of the exams answered alike by the prototypes. SAM2: share of the
    images where the same of the three masks is thought best."""
    mask_iou: float | None
    """Mean IoU of the masks at threshold 0; CLIP makes none."""
    mask_iou_min: float | None = None
    predicted_iou_error: float | None = None
    """Mean error of the predicted IoU."""
    ms: float | None = None
    """Median milliseconds an image: the encoder, and SAM2's decoder with it."""


@dataclass(frozen=True)
class Run:
    """What one stage made of every image."""

    embeddings: list[np.ndarray]
    answers: list[object]
    """CLIP: classes by exam. SAM2: the best of the three masks."""
    masks: list[np.ndarray] | None = None
    predicted_iou: list[float] | None = None
    ms: list[float] | None = None


def compare(original: Run, ours: Run) -> Figures:
    """The figures of `ours` against `original`."""
    pairs = zip(original.embeddings, ours.embeddings, strict=True)
    cosines = [cosine(a, b) for a, b in pairs]
    alike = [
        np.mean(np.asarray(a) == np.asarray(b))
        for a, b in zip(original.answers, ours.answers, strict=True)
    ]
    ious = errors = None
    if original.masks is not None:
        ious = [iou(a, b) for a, b in zip(original.masks, ours.masks, strict=True)]
        errors = np.abs(np.subtract(original.predicted_iou, ours.predicted_iou))
    return Figures(
        cosine_mean=round(float(np.mean(cosines)), 6),
        cosine_min=round(float(np.min(cosines)), 6),
        top1_agreement=round(float(np.mean(alike)), 4),
        mask_iou=None if ious is None else round(float(np.mean(ious)), 4),
        mask_iou_min=None if ious is None else round(float(np.min(ious)), 4),
        predicted_iou_error=None if errors is None else round(float(np.mean(errors)), 5),
        ms=None if ours.ms is None else round(float(np.median(ours.ms)), 1),
    )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks; two empty ones are the same."""
    either = (a | b).sum()
    return float((a & b).sum() / either) if either else 1.0


# CLIP


class ClipParity:
    """CLIP's image encoder and prototypes."""

    def __init__(self, folder: Path, made: bundle.Request) -> None:
        self.made, self.folder = made, folder
        self.original = OriginalClip(made.clip, made.config)
        self.heads = {task: load_file(folder / f"heads/{task}.safetensors") for task in EXAMS}

    def inputs(self, images: list[Path]) -> bundle.Feeds:
        return bundle.preprocessed(images, self.made.config.side, clip.MEAN, clip.STD)

    def original_prototypes(self) -> dict[str, np.ndarray]:
        tokenizer, context = Tokenizer(self.made.vocabulary), self.made.config.context
        prototypes = {}
        for task, labels in EXAMS.items():
            texts = [[tokenizer.encode(t, context) for t in text_prompts(task, x)] for x in labels]
            means = [unit(self.original.embed_tokens(np.array(t))).mean(axis=0) for t in texts]
            prototypes[task] = unit(np.stack(means))
        return prototypes

    def run_original(self, feeds: bundle.Feeds) -> Run:
        prototypes = self.original_prototypes()
        rows = [self.original.embed_images(feed["pixels"])[0] for feed in feeds]
        return Run(rows, [answers(row, prototypes) for row in rows])

    def prototype_cosine(self) -> float:
        """The least cosine between the bundle's prototypes and the original's."""
        pairs = self.original_prototypes().items()
        return min(
            cosine(a, b)
            for task, rows in pairs
            for a, b in zip(rows, self.heads[task]["prototypes"], strict=True)
        )

    def run_onnx(self, graph: Path | bytes, feeds: bundle.Feeds) -> Run:
        runner, rows, ms = session(graph), [], []
        for feed in feeds:
            since = time.perf_counter()
            rows.append(runner.run(None, feed)[0][0])
            ms.append((time.perf_counter() - since) * 1e3)
        return self.as_run(rows, ms)

    def float_graphs(self) -> list[bytes]:
        graph = clip.image_encoder(self.made.clip.weights, self.made.config)
        return [graph.model().SerializeToString()]

    def int8_graphs(self) -> list[Path]:
        return [self.folder / "image_encoder.onnx"]

    def run_graphs(self, graphs: list[Path | bytes], feeds: bundle.Feeds) -> Run:
        return self.run_onnx(graphs[0], feeds)

    def run_medfocus(self, feeds: bundle.Feeds) -> Run:
        named = ({"image_encoder.pixels": feed["pixels"]} for feed in feeds)
        outputs = list(in_medfocus(self.folder, named))
        rows = [output["image_encoder.embedding"][0] for output in outputs]
        return self.as_run(rows, [float(output["image_encoder.ms"][0]) for output in outputs])

    def as_run(self, rows: list[np.ndarray], ms: list[float] | None = None) -> Run:
        prototypes = {task: head["prototypes"] for task, head in self.heads.items()}
        return Run(rows, [answers(row, prototypes) for row in rows], ms=ms)

    def more(self, feeds: bundle.Feeds) -> dict[str, float]:
        return {"prototype_cosine_min": round(self.prototype_cosine(), 6)}


def answers(embedding: np.ndarray, prototypes: dict[str, np.ndarray]) -> list[int]:
    """The class that each exam's prototypes answer."""
    return [int(np.argmax(rows @ unit(embedding))) for rows in prototypes.values()]


# SAM2


class Sam2Parity:
    """SAM2's encoder and decoder on the box of the whole image, as the device asks."""

    NAMES = ("embedding", "stride4", "stride8")

    def __init__(self, folder: Path, made: bundle.Request) -> None:
        self.made, self.folder, self.side = made, folder, made.segmenter_size
        self.original = OriginalSam2(made.segmenter, self.side)
        self.box = {
            "points": np.array([[[0, 0], [self.side, self.side], [0, 0]]], np.float32),
            "labels": np.array([[2, 3, -1]], np.float32),
        }

    def inputs(self, images: list[Path]) -> bundle.Feeds:
        return bundle.preprocessed(images, self.side, sam2.MEAN, sam2.STD)

    def run_original(self, feeds: bundle.Feeds) -> Run:
        box = (0.0, 0.0, float(self.side), float(self.side))
        found = []
        for feed in feeds:
            found.append(self.original.ask(self.original.encode(feed["pixels"]), box=box))
        return Run(
            [x.embedding for x in found],
            [int(np.argmax(x.iou)) for x in found],
            [x.single > 0 for x in found],
            [x.single_iou for x in found],
        )

    def float_graphs(self) -> list[bytes]:
        weights = self.made.segmenter.weights
        graphs = (sam2.image_encoder(weights, self.side), sam2.mask_decoder(weights, self.side))
        return [graph.model().SerializeToString() for graph in graphs]

    def int8_graphs(self) -> list[Path]:
        return [self.folder / "segmenter_encoder.onnx", self.folder / "segmenter_decoder.onnx"]

    def run_graphs(self, graphs: list[Path | bytes], feeds: bundle.Feeds) -> Run:
        encoder, decoder = (session(graph) for graph in graphs)
        found, ms = [], []
        for feed in feeds:
            since = time.perf_counter()
            maps = dict(zip(self.NAMES, encoder.run(None, feed), strict=True))
            masks, predicted, _ = decoder.run(None, maps | self.box)
            ms.append((time.perf_counter() - since) * 1e3)
            found.append((maps["embedding"], masks[0], predicted[0]))
        return as_segmenter_run(found, ms)

    def run_medfocus(self, feeds: bundle.Feeds) -> Run:
        box = {f"segmenter.{name}": value for name, value in self.box.items()}
        named = ({"segmenter.pixels": feed["pixels"]} | box for feed in feeds)
        found, ms = [], []
        for output in in_medfocus(self.folder, named):
            parts = (output[f"segmenter.{x}"] for x in ("embedding", "masks", "predicted_iou"))
            embedding, masks, predicted = parts
            found.append((embedding, masks[0], predicted[0]))
            times = (output[f"segmenter.{graph}_ms"][0] for graph in ("encoder", "decoder"))
            ms.append(float(sum(times)))
        return as_segmenter_run(found, ms)

    def more(self, feeds: bundle.Feeds) -> dict[str, float]:
        """Points and masks as prompts, in the float graphs, on the first images: the
        largest difference of a logit, as a share of the largest logit."""
        encoder, decoder = (session(graph) for graph in self.float_graphs())
        prompt = session(
            sam2.mask_prompt(self.made.segmenter.weights, self.side).model().SerializeToString()
        )
        asked = [(0.4 * self.side, 0.6 * self.side, 1), (0.1 * self.side, 0.2 * self.side, 0)]
        points = {
            "points": np.array([[[x, y] for x, y, _ in asked] + [[0, 0]]], np.float32),
            "labels": np.array([[label for *_, label in asked] + [-1]], np.float32),
        }
        worst = {"points": 0.0, "points_and_mask": 0.0}
        for feed in feeds[:4]:
            original = self.original.encode(feed["pixels"])
            maps = dict(zip(self.NAMES, encoder.run(None, feed), strict=True))
            masks = decoder.run(None, maps | points)[0]
            wanted = self.original.ask(original, points=asked)
            worst["points"] = max(worst["points"], apart(wanted.masks, masks[0, 1:]))
            logits = wanted.masks[0]
            maps["embedding"] = (
                maps["embedding"] + prompt.run(None, {"mask": logits[None, None]})[0]
            )
            masks = decoder.run(None, maps | points)[0]
            wanted = self.original.ask(original, points=asked, mask=logits)
            worst["points_and_mask"] = max(
                worst["points_and_mask"], apart(wanted.masks, masks[0, 1:])
            )
        return {f"float_logit_difference_{name}": float(f"{v:.2g}") for name, v in worst.items()}


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(a).max())


def as_segmenter_run(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], ms: list[float] | None = None
) -> Run:
    """A run from embedding, all four masks and their predicted IoU of each image."""
    chosen = [single_mask(predicted, masks, STEADY_FROM) for _, masks, predicted in found]
    return Run(
        [embedding for embedding, *_ in found],
        [int(np.argmax(predicted[1:])) for *_, predicted in found],
        [masks[c] > 0 for c, (_, masks, _) in zip(chosen, found, strict=True)],
        [float(predicted[c]) for c, (*_, predicted) in zip(chosen, found, strict=True)],
        ms,
    )


# medfocus


def in_medfocus(folder: Path, feeds: Iterator[dict]) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of the example program `stages` for every feed, some at a time."""
    build = ["cargo", "build", "--release", "--quiet", "--example", "stages"]
    subprocess.run(build, cwd=ROOT, check=True)
    program = ROOT / "target/release/examples/stages"
    with tempfile.TemporaryDirectory(dir=ROOT / ".work") as work:
        while files := [
            _written(feed, Path(work) / f"{i}.safetensors")
            for i, feed in zip(range(AT_A_TIME), feeds, strict=False)
        ]:
            subprocess.run([program, folder, *files], check=True)
            for file in files:
                yield load_file(f"{file}.out")
                Path(f"{file}.out").unlink()


def _written(feed: dict[str, np.ndarray], path: Path) -> Path:
    save_file({name: np.ascontiguousarray(value) for name, value in feed.items()}, path)
    return path


# The command


def arguments() -> argparse.Namespace:
    parser = export.parser_of("scripts/parity", __doc__, EPILOG)
    parser.add_argument("--random", choices=MODELS, help="random weights of this architecture")
    parser.add_argument(
        "--segmenter-size", type=int, choices=sam2.SIDES, default=1024, help="with --sam2"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="real images")
    parser.add_argument(
        "--count", type=int, default=200, help="images, evenly chosen (default: %(default)s)"
    )
    parser.add_argument(
        "--sizes",
        action="store_true",
        help=f"SAM2 at every size against itself at 1024; with --sam2, writes models/{sizes.FILE}",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    parser.add_argument(
        "--no-medfocus", action="store_true", help="leave the Rust program out: no cargo here"
    )
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    try:
        if asked.sizes:
            print(json.dumps(measure_sizes(asked), indent=None if asked.json else 1))
            return
        reports = run(asked)
    except (CheckpointError, export.UsageError) as error:
        sys.exit(f"error: {error}")
    for report in reports:
        print(json.dumps(report) if asked.json else table(report))
    if not all(report["passed"] for report in reports):
        sys.exit(1)


def run(asked: argparse.Namespace) -> list[dict]:
    """One report for each model that was asked for."""
    if asked.random:
        return [report(asked, asked.random)]
    models = []
    if asked.clip:
        models.append(export.clip_name(asked.clip))
    if asked.sam2:
        models.append(f"sam2-hiera-tiny-{asked.segmenter_size}")
    if not models:
        raise export.UsageError("name --clip DIR, --sam2 DIR or --random NAME")
    return [report(asked, model) for model in models]


def report(asked: argparse.Namespace, model: str) -> dict:
    """Makes the model's bundle and compares every stage."""
    progress = export.Steps()
    torch.manual_seed(0)
    progress(f"a bundle with {model}")
    request, folder = made(asked, model)
    parity = (ClipParity if model in clip.CONFIGS else Sam2Parity)(folder, request)
    feeds = parity.inputs(chosen(asked.images, asked.count))
    progress(f"the original on {len(feeds)} images")
    original = parity.run_original(feeds)
    stages = {}
    progress("float graph in onnxruntime")
    stages["float_onnxruntime"] = compare(original, parity.run_graphs(parity.float_graphs(), feeds))
    progress("int8 graph in onnxruntime")
    stages["int8_onnxruntime"] = compare(original, parity.run_graphs(parity.int8_graphs(), feeds))
    if not asked.no_medfocus:
        progress("int8 graph in medfocus")
        stages["int8_medfocus"] = compare(original, parity.run_medfocus(feeds))
    last = list(stages)[-1]
    figures = asdict(stages[last])
    gates = {name: gate for name, gate in GATES.items() if figures[name] is not None}
    passed = stages["float_onnxruntime"].cosine_min >= FLOAT_COSINE
    if not asked.random:
        passed = passed and all(figures[name] >= gate for name, gate in gates.items())
    return {
        "model": model,
        "weights": f"random, seed {random_weights.SEED}" if asked.random else "trained",
        "reference": f"PyTorch {torch.__version__}, transformers {transformers.__version__}, "
        "float32",
        "images": len(feeds),
        "stage": last,
        **{name: figures[name] for name in GATES},
        "stages": {name: asdict(stage) for name, stage in stages.items()},
        **parity.more(feeds),
        "bytes": {path.name: path.stat().st_size for path in parity.int8_graphs()},
        "gates": gates if not asked.random else {"float cosine_min": FLOAT_COSINE},
        "passed": passed,
        "onnxruntime": onnxruntime.__version__,
    }


def made(asked: argparse.Namespace, model: str) -> tuple[bundle.Request, Path]:
    """A bundle with `model`, its other half random and small where none was named."""
    parent = ROOT / ".work/random"
    is_clip = model in clip.CONFIGS
    clip_path = asked.clip
    if clip_path is None or not is_clip:
        name = model if is_clip else "clip-vit-base-patch32"
        clip_path = random_weights.folder(parent, name)
    sam2_path = asked.sam2
    if sam2_path is None or is_clip:
        sam2_path = random_weights.folder(parent, "sam2-hiera-tiny")
    name = export.clip_name(clip_path)
    request = bundle.Request(
        template=f"sam2-tiny-clip-b{clip.CONFIGS[name].patch}",
        segmenter=read(sam2_path, sam2.shapes(), "SAM2"),
        clip=read(clip_path, clip.shapes(clip.CONFIGS[name]), name),
        config=clip.CONFIGS[name],
        segmenter_size=256 if is_clip else int(model.rsplit("-", 1)[1]),
        refinements=0,
        sizes=None,
        vocabulary=asked.vocabulary,
        images=export.calibration_images(None),
        random=True,
    )
    folder = ROOT / ".work/parity" / model
    bundle.write(request, folder, export.Steps())
    return request, folder


def chosen(folder: Path, count: int) -> list[Path]:
    """`count` images of a folder, evenly spaced by name; masks are left out."""
    suffixes = (".jpg", ".jpeg", ".png")
    images = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    images = [p for p in images if "mask" not in p.as_posix().lower()]
    if not images:
        raise export.UsageError(f"{folder}: holds no image")
    places = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[i] for i in places]


def measure_sizes(asked: argparse.Namespace) -> sizes.Table:
    """The int8 segmenter at each size, in medfocus where that may be built, against the
    original at 1024 pixels: mask IoU and the time of encoder and decoder together."""
    images, largest = chosen(asked.images, asked.count), max(sam2.SIDES)
    runs, wanted = {}, None
    for side in sorted(sam2.SIDES, reverse=True):
        request, folder = made(asked, f"sam2-hiera-tiny-{side}")
        parity = Sam2Parity(folder, request)
        feeds = parity.inputs(images)
        if side == largest:
            wanted = parity.run_original(feeds)
        if asked.no_medfocus:
            runs[side] = parity.run_graphs(parity.int8_graphs(), feeds)
        else:
            runs[side] = parity.run_medfocus(feeds)
    slowest = np.median(runs[largest].ms)
    rows = [
        {
            "size": side,
            "latency_ratio": round(float(np.median(run.ms) / slowest), 4),
            "mask_iou": round(float(np.mean([*map(iou_across, wanted.masks, run.masks)])), 4),
        }
        for side, run in sorted(runs.items())
    ]
    table = {
        "weights": "trained" if asked.sam2 else "random",
        "images": len(images),
        "by": "onnxruntime" if asked.no_medfocus else "medfocus",
        "sizes": rows,
    }
    if asked.sam2:
        (bundle.TEMPLATES / sizes.FILE).write_text(json.dumps(table, indent=1) + "\n")
    return table


def iou_across(large: np.ndarray, small: np.ndarray) -> float:
    """IoU of two masks of the same image; the smaller one's pixels are repeated."""
    times = large.shape[0] // small.shape[0]
    return iou(large, small.repeat(times, axis=0).repeat(times, axis=1))


def table(report: dict) -> str:
    """The report for people."""
    lines = [f"{report['model']} ({report['weights']}) against {report['reference']}"]
    lines.append(f"{report['images']} images; passed: {report['passed']}")
    for name, figures in report["stages"].items():
        known = ", ".join(f"{k} {v}" for k, v in figures.items() if v is not None)
        lines.append(f"  {name:18} {known}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
