"""Trains the reduced CLIP on whole and focused images: L = lambda Lc + (1 - lambda) Le.

Lc is the symmetric contrastive loss between images and text prompts (several
images of a class share its text, so each row may have several positives); Le is
the cross-entropy of a linear classifier for the image's own task. Half of the
images are focused on the segmenter's region, in every focus style, so that the
device may show either. Validation images are never trained on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bundling.prompts import Tokenizer, text_prompts

from . import data
from .clip import Clip, ClipConfig
from .describe import Describer
from .sampler import MASK_SIDE, Batch, Sampler, boxes_of
from .segmenter import Segmenter
from .train_segmenter import pixels_to_input, whole_box_masks

LAMBDA = 0.3
SMOOTHING = 0.05
MIXUP_SHARE = 0.4
"""Share of the steps whose images are mixed within their task (Zhang et al. 2018)."""


def region_masks(work: Path, pixels: np.ndarray) -> np.ndarray:
    """The segmenter's whole-box masks, uint8 `[N, MASK_SIDE, MASK_SIDE]`; made once."""
    path = work / "regions.npy"
    if not path.exists():
        segmenter = Segmenter()
        segmenter.load_state_dict(torch.load(work / "segmenter.pt", weights_only=True))
        segmenter.eval()
        logits, _, _ = whole_box_masks(segmenter, torch.from_numpy(pixels), MASK_SIDE)
        np.save(path, (logits > 0).to(torch.uint8).numpy())
    return np.load(path)


class Texts:
    """Tokenised text prompts of every class of these tasks."""

    def __init__(self, vocabulary: Path, tasks: dict[str, list[str]] = data.TASKS) -> None:
        tokenizer = Tokenizer(vocabulary)
        self.tasks = tasks
        self.classes = [(t, label) for t, labels in tasks.items() for label in labels]
        self.tokens = [
            torch.tensor([tokenizer.encode(text) for text in text_prompts(*pair)])
            for pair in self.classes
        ]
        self.first = {
            task: next(i for i, p in enumerate(self.classes) if p[0] == task) for task in tasks
        }

    def sample(self, random: np.random.Generator) -> Tensor:
        """One text prompt a class."""
        return torch.stack([t[random.integers(len(t))] for t in self.tokens])

    @torch.no_grad()
    def prototypes(self, model: Clip, task: str) -> Tensor:
        """Mean unit text embedding of each class of a task, unit length again."""
        first, count = self.first[task], len(self.tasks[task])
        means = [
            F.normalize(model.text(self.tokens[i]), dim=1).mean(0)
            for i in range(first, first + count)
        ]
        return F.normalize(torch.stack(means), dim=1)


def contrastive(image: Tensor, text: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE where images of one class share one text; `target` is the
    share of each text in each image, `[B, texts]`."""
    logits = scale * image @ text.T
    to_text = F.cross_entropy(logits, target, label_smoothing=SMOOTHING)
    present = target.sum(0) > 0.5
    positive = target.T[present]
    positive = positive / positive.sum(1, keepdim=True)
    to_image = -(F.log_softmax(logits.T[present], dim=1) * positive).sum(1)
    return 0.5 * (to_text + to_image.mean() / 4)


@dataclass(frozen=True)
class Mix:
    """Which image is mixed into each one, and how much of the first stays."""

    partner: Tensor
    keep: float

    @classmethod
    def draw(cls, tasks: Tensor, random: np.random.Generator) -> Mix:
        """Partners of the same task, so that each image still has one classifier."""
        partner = np.arange(len(tasks))
        if random.random() >= MIXUP_SHARE:
            return cls(torch.from_numpy(partner), 1.0)
        for task in tasks.unique().tolist():
            mine = np.flatnonzero(tasks.numpy() == task)
            partner[mine] = random.permutation(mine)
        return cls(torch.from_numpy(partner), float(random.beta(0.8, 0.8)))

    def __call__(self, x: Tensor) -> Tensor:
        return x if self.keep == 1.0 else self.keep * x + (1 - self.keep) * x[self.partner]


def objective(
    model: Clip,
    texts: Texts,
    batch: Batch,
    random: np.random.Generator,
    bfloat16: bool = False,
    describer: Describer | None = None,
) -> Tensor:
    """L = lambda Lc + (1 - lambda) Le, and beside it the description's loss where there is a
    describer; the towers in bfloat16 where that is wanted."""
    tasks = batch.tasks
    mix = Mix.draw(tasks, random)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        feature = model.image((mix(batch.image) - 0.5) / 0.25)
        text = model.text(texts.sample(random))
    feature, text = feature.float(), F.normalize(text.float(), dim=1)
    names = list(texts.tasks)
    index = torch.tensor([texts.first[names[t]] for t in tasks.tolist()]) + batch.classes
    target = mix(F.one_hot(index, len(text)).float())
    scale = model.log_scale.exp().clamp(max=50)
    lc = contrastive(F.normalize(feature, dim=1), text, target, scale)
    le = feature.new_zeros(())
    for number, name in enumerate(names):
        mine = tasks == number
        if mine.any():
            first, count = texts.first[name], len(texts.tasks[name])
            le = le + F.cross_entropy(
                model.classifiers[name](feature[mine]),
                target[mine, first : first + count],
                label_smoothing=SMOOTHING,
                reduction="sum",
            )
    loss = LAMBDA * lc + (1 - LAMBDA) * le / len(tasks)
    if describer is None:
        return loss
    described = describer.loss(F.normalize(feature, dim=1), mix(describer.target(batch.clean)))
    return describer.class_share * loss + described


@torch.no_grad()
def embed(model: Clip, pixels: np.ndarray, boxes: np.ndarray | None, side: int) -> Tensor:
    """Unit embeddings of whole images (or of the boxes), resized as the device does."""
    result = []
    for start in range(0, len(pixels), 64):
        image = torch.from_numpy(pixels[start : start + 64]).unsqueeze(1).float() / 255
        if boxes is None:
            image = F.interpolate(image, size=(side, side), mode="bilinear", antialias=True)
        else:
            parts = []
            for one, box in zip(image, boxes[start : start + 64], strict=True):
                x0, y0, x1, y1 = (box * one.shape[-1]).round().astype(int)
                part = one[None, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
                size = (side, side)
                parts.append(F.interpolate(part, size=size, mode="bilinear", antialias=True))
            image = torch.cat(parts)
        result.append(F.normalize(model.image(pixels_to_input(image)), dim=1))
    return torch.cat(result)


def balanced_accuracy(predicted: np.ndarray, real: np.ndarray) -> float:
    """Mean recall over the classes."""
    return float(np.mean([(predicted[real == c] == c).mean() for c in np.unique(real)]))


def validate(
    model: Clip,
    texts: Texts,
    rows: list[data.Row],
    pixels: np.ndarray,
    boxes: np.ndarray,
    held: list[int],
    side: int,
) -> dict[str, float]:
    """Balanced accuracy by exam from prototypes: whole image, crop, and both."""
    model.eval()
    figures: dict[str, float] = {}
    for task in texts.tasks.keys() & data.EXAMS.keys():
        mine = np.array([i for i in held if rows[i].task == task])
        real = np.array([rows[i].class_index for i in mine])
        prototypes = texts.prototypes(model, task)
        whole = embed(model, pixels[mine], None, side)
        crop = embed(model, pixels[mine], boxes[mine], side)
        for name, mix in (("whole", whole), ("crop", crop), ("both", whole + crop)):
            predicted = (mix @ prototypes.T).argmax(1).numpy()
            figures[f"{task}_{name}"] = round(balanced_accuracy(predicted, real), 4)
    model.train()
    return figures


@dataclass(frozen=True)
class Plan:
    """How long and how fast it is trained."""

    steps: int
    batch: int
    seed: int
    rate: float
    averaging: float = 0.998
    """Of the weights' running average, which is what is kept."""
    small: float = 2 / 3
    """Share of the steps on pictures of 96 pixels, before those of the true size."""
    bfloat16: bool = False
    """The towers in bfloat16 while training: faster where the processor has it."""


@dataclass(frozen=True)
class Pictures:
    """All images, their regions, and which of them are trained on and which are held back."""

    rows: list[data.Row]
    pixels: np.ndarray
    masks: np.ndarray
    kept: set[int]
    held: list[int]


def fit(
    model: Clip,
    texts: Texts,
    pictures: Pictures,
    sampler: Sampler,
    plan: Plan,
    weights: Path,
    describer: Describer | None = None,
) -> dict[str, float]:
    """Trains `model` and writes its running average to `weights`; gives how that does on
    the images held back, by `validate`."""
    torch.manual_seed(plan.seed)
    generator = torch.Generator().manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    boxes = boxes_of(pictures.masks)
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.averaging),
        use_buffers=True,
    )
    learnt = [*model.parameters(), *(describer.parameters() if describer else ())]
    optimiser = torch.optim.AdamW(learnt, lr=plan.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=plan.rate, total_steps=plan.steps, pct_start=0.08
    )
    begin = time.monotonic()
    figures: dict[str, float] = {}
    for step in range(1, plan.steps + 1):
        side = 96 if step < plan.small * plan.steps else model.config.input_size
        batch = sampler.batch(plan.batch, side, random, generator)
        loss = objective(model, texts, batch, random, plan.bfloat16, describer)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if step % 100 == 0 or step == 10:
            spent = time.monotonic() - begin
            print(f"step {step}/{plan.steps} loss {loss.item():.4f} {spent:.0f} s", flush=True)
        if step % 1000 == 0 or step == plan.steps:
            size = model.config.input_size if step == plan.steps else side
            held = (pictures.rows, pictures.pixels, boxes, pictures.held)
            figures = validate(average.module, texts, *held, size)
            print(json.dumps(figures), flush=True)
            torch.save(average.module.state_dict(), weights)
    return figures


def train(arguments: argparse.Namespace) -> None:
    work = arguments.work
    torch.manual_seed(arguments.seed)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    validation = data.load_split(arguments.split)
    kept = {i for i, row in enumerate(rows) if row.sha256 not in validation}
    held = [i for i in range(len(rows)) if i not in kept]
    pictures = Pictures(rows, pixels, region_masks(work, pixels), kept, held)
    sampler = Sampler(rows, pixels, pictures.masks, kept, data.TASKS)
    model = Clip(ClipConfig(), {t: len(labels) for t, labels in data.TASKS.items()})
    before = {"steps": 0, "seconds": 0}
    if arguments.go_on:
        model.load_state_dict(torch.load(work / "clip.pt", weights_only=True))
        before = json.loads((work / "clip.json").read_text())
    plan = Plan(arguments.steps, arguments.batch, arguments.seed, arguments.rate)
    begin = time.monotonic()
    figures = fit(model, Texts(arguments.vocabulary), pictures, sampler, plan, work / "clip.pt")
    record = {
        "steps": before["steps"] + plan.steps,
        "batch": plan.batch,
        "seed": plan.seed,
        "lambda": LAMBDA,
        "seconds": before["seconds"] + round(time.monotonic() - begin),
        **figures,
    }
    (work / "clip.json").write_text(json.dumps(record, indent=1) + "\n")


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """Where CLIP's byte-pair vocabulary lies."""
    scripts = Path(__file__).resolve().parents[1]
    vocabulary = scripts / "vocabulary/bpe_simple_vocab_16e6.txt.gz"
    parser.add_argument("--vocabulary", type=Path, default=vocabulary)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--go-on", action="store_true", help="start from the weights of before")
    add_vocabulary(parser)


def run(arguments: argparse.Namespace) -> None:
    train(arguments)
