"""Encoders for few-shot experiments: the reduced CLIP pre-trained without one exam.

The starter's own encoder has seen the labels of every exam, so a head that is trained on a
few of them is no few-shot head. Here it is trained four times from scratch, each time
without any image or label of one exam, without the near-duplicates of its images that
other tasks hold, and without a task that asks the same question (`SAME_QUESTION`). What
comes of it is a bundle an exam, `EXAM/bundle` under `--out`: this image encoder, the text tower's
prototypes of the exam that was left out (its words stand in no text that was trained on,
so they know little), and the shipped segmenter, which no class label ever reached. Beside
naming what it is shown, this encoder must describe it; `describe.py` says why.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from bundling import known_answers
from bundling.head import Tensors, plain
from bundling.manifest import exam_tables, focus_table, reseal
from bundling.manifest import write as write_manifest
from bundling.reference import Reference, upsample

from . import data
from .clip import Clip, ClipConfig
from .describe import CLASS_SHARE, Describer
from .export import STYLE, graph_tables, write_image_encoder
from .sampler import MASK_SIDE, Sampler
from .segmenter import Segmenter
from .train_clip import LAMBDA, Pictures, Plan, Texts, add_vocabulary, fit
from .train_head import save as save_head

SAME_QUESTION = {"covid3": ["cxr_extra"]}
"""Tasks that are left out with an exam: `cxr_extra` has COVID-19 and pneumonia too."""
STYLES = {"none": 0.4, "crop": 0.3, "overlay": 0.12, "blur": 0.1, "cutout": 0.08}
"""Shares of the focus styles: more alike than the starter's, since they are compared."""
DESCRIBED = 1000
"""Images by which the description is scaled."""
SEGMENTER = ("segmenter_encoder.onnx", "segmenter_decoder.onnx")


def region_masks(bundle: Path, pixels: np.ndarray, cache: Path) -> np.ndarray:
    """The bundle's own whole-box masks, uint8 `[N, MASK_SIDE, MASK_SIDE]`; made once."""
    if cache.exists():
        masks = np.load(cache)
        if len(masks) == len(pixels):
            return masks
    reference = Reference(bundle)
    side = reference.segmenter["input_size"]
    masks = np.zeros((len(pixels), MASK_SIDE, MASK_SIDE), np.uint8)
    for i, picture in enumerate(pixels):
        small = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
        planes = np.repeat(np.asarray(small, np.float32)[None] / 255, 3, axis=0)
        logits, _ = reference.segment(planes)
        masks[i] = upsample(logits, MASK_SIDE, MASK_SIDE)
    np.save(cache, masks)
    return masks


def tasks_without(exam: str) -> dict[str, list[str]]:
    """The tasks that are trained on where `exam` is left out."""
    gone = {exam, *SAME_QUESTION.get(exam, [])}
    return {task: labels for task, labels in data.TASKS.items() if task not in gone}


def pictures_without(
    exam: str, rows: list[data.Row], groups: np.ndarray, validation: set[str]
) -> tuple[set[int], list[int]]:
    """Which images are trained on, and which of the other exams are held back."""
    tasks = tasks_without(exam)
    hidden = {groups[i] for i, row in enumerate(rows) if row.task == exam}
    seen = {i for i, row in enumerate(rows) if row.task in tasks and groups[i] not in hidden}
    held = {i for i in seen if rows[i].sha256 in validation}
    return seen - held, sorted(held)


class CompactTexts(Texts):
    """Texts whose tokens are numbered anew, only those that any text prompt has: the
    embeddings of 49408 tokens, nearly all unused, cost a tenth of a training step."""

    def __init__(self, vocabulary: Path, tasks: dict[str, list[str]]) -> None:
        super().__init__(vocabulary, data.TASKS)
        used = torch.cat(self.tokens).unique()
        self.vocabulary = len(used)
        # Sorted, so that the end mark still has the highest number.
        every = {
            pair: torch.searchsorted(used, t)
            for pair, t in zip(self.classes, self.tokens, strict=True)
        }
        super().__init__(vocabulary, tasks)
        self.tokens = [every[pair] for pair in self.classes]


def leave_out(
    exam: str, pictures: Pictures, arguments: argparse.Namespace, folder: Path
) -> dict[str, object]:
    """Trains without `exam`, writes weights and record into `folder`; gives the record."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = tasks_without(exam)
    texts = CompactTexts(arguments.vocabulary, tasks)
    plan = Plan(
        arguments.steps,
        arguments.batch,
        arguments.seed,
        arguments.rate,
        averaging=0.995,
        small=0.8,
        bfloat16=not arguments.float32,
    )
    torch.manual_seed(plan.seed)
    config = ClipConfig(vocabulary=texts.vocabulary)
    model = Clip(config, {task: len(labels) for task, labels in tasks.items()})
    sampler = Sampler(pictures.rows, pictures.pixels, pictures.masks, pictures.kept, tasks, STYLES)
    some = np.random.default_rng(plan.seed).choice(sorted(pictures.kept), DESCRIBED)
    describer = (
        None if arguments.classes_alone else Describer(pictures.pixels[some], config.embedding)
    )
    begin = time.monotonic()
    figures = fit(model, texts, pictures, sampler, plan, folder / "clip.pt", describer)
    record = {
        "left_out": sorted(data.TASKS.keys() - tasks.keys()),
        "images": len(pictures.kept),
        "steps": plan.steps,
        "batch": plan.batch,
        "seed": plan.seed,
        "lambda": LAMBDA,
        "class_share": 1.0 if arguments.classes_alone else CLASS_SHARE,
        "seconds": round(time.monotonic() - begin),
        **figures,
    }
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def write_bundles(exam: str, arguments: argparse.Namespace, folder: Path) -> None:
    """`bundle`, with the prototypes of the exam that was left out, and `features`, whose
    encoder ends before its last projection: with that projection beside it, an experiment
    may train it further."""
    tasks, texts = tasks_without(exam), CompactTexts(arguments.vocabulary, data.TASKS)
    config = ClipConfig(vocabulary=texts.vocabulary)
    clip = Clip(config, {task: len(labels) for task, labels in tasks.items()})
    clip.load_state_dict(torch.load(folder / "clip.pt", weights_only=True))
    clip.eval()
    scale = float(clip.log_scale.detach().exp().clamp(max=50))
    prototypes = texts.prototypes(clip, exam)
    write_bundle(exam, clip, plain(prototypes.numpy(), scale), arguments, folder / "bundle")
    save_file({"weight": clip.image.projection.weight.detach()}, folder / "projection.safetensors")
    clip.image.projection = torch.nn.Identity()
    clip.config = replace(config, embedding=config.width)
    # Its head is never asked; a bundle must have one of the right size.
    widened = torch.nn.functional.pad(prototypes, (0, config.width - config.embedding))
    write_bundle(exam, clip, plain(widened.numpy(), scale), arguments, folder / "features")


def write_bundle(
    exam: str, clip: Clip, head: Tensors, arguments: argparse.Namespace, bundle: Path
) -> None:
    """A bundle of one exam: this head and this encoder behind the shipped segmenter."""
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    for graph in SEGMENTER:
        shutil.copyfile(arguments.bundle / graph, bundle / graph)
    graph = bundle.with_name("image_encoder.onnx")
    write_image_encoder(clip, graph)
    shutil.copyfile(graph, bundle / graph.name)
    save_head(head, bundle / f"heads/{exam}.safetensors")
    lines = [
        "# For experiments only: its encoder never saw this exam. Made by scripts/starter.",
        *graph_tables(f"without-{exam}", clip.config, Segmenter()),
        *focus_table(STYLE),
        *exam_tables(exams=[exam]),
    ]
    write_manifest(bundle, lines)
    known_answers.write(bundle, arguments.phantoms)
    reseal(bundle)


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    work, out = arguments.work, arguments.out or arguments.work / "leave-one-out"
    out.mkdir(parents=True, exist_ok=True)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    masks = region_masks(arguments.bundle, pixels, out / "regions.npy")
    groups, validation = data.duplicate_groups(pixels), data.load_split(arguments.split)
    for exam in arguments.exams:
        if not arguments.export_only:
            kept, held = pictures_without(exam, rows, groups, validation)
            print(f"without {exam}: {len(kept)} images, {arguments.steps} steps", flush=True)
            pictures = Pictures(rows, pixels, masks, kept, held)
            print(json.dumps(leave_out(exam, pictures, arguments, out / exam)), flush=True)
        write_bundles(exam, arguments, out / exam)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exams", nargs="+", choices=data.EXAMS, default=list(data.EXAMS))
    parser.add_argument("--out", type=Path, help="default: WORK/leave-one-out")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--threads", type=int, default=1, help="of one training; run two beside")
    parser.add_argument("--float32", action="store_true", help="the towers in float32, slower")
    parser.add_argument("--classes-alone", action="store_true", help="without the description")
    parser.add_argument("--export-only", action="store_true", help="bundles from kept weights")
    add_vocabulary(parser)
