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

from . import augment, data, focus
from .clip import Clip, ClipConfig
from .segmenter import Segmenter
from .train_segmenter import pixels_to_input, whole_box_masks

SHARE = {"covid3": 0.13, "lung_tb2": 0.2, "brain4": 0.32, "breast3": 0.22, "cxr_extra": 0.13}
"""Share of each task in a batch; within a task all classes are drawn alike."""
STYLE_SHARE = {"none": 0.45, "crop": 0.45, "overlay": 0.06, "blur": 0.02, "cutout": 0.02}
MASK_SIDE = 128
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


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """What `crop` shows for each mask, in the unit square; all of it where it is empty."""
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(masks), 1))
    for i, mask in enumerate(masks):
        ys, xs = np.nonzero(mask)
        if len(ys):
            corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / mask.shape[0]
            boxes[i] = focus.crop_box(*corners.tolist())
    return boxes


class Sampler:
    """Draws balanced, augmented, focused batches."""

    def __init__(
        self, rows: list[data.Row], pixels: np.ndarray, masks: np.ndarray, keep: set[int]
    ) -> None:
        self.pixels, self.masks = torch.from_numpy(pixels), torch.from_numpy(masks)
        self.boxes = torch.from_numpy(boxes_of(masks))
        self.members = {
            task: [
                np.array([i for i in keep if rows[i].task == task and rows[i].label == label])
                for label in labels
            ]
            for task, labels in data.TASKS.items()
        }
        self.tasks = list(data.TASKS)

    def batch(
        self, size: int, side: int, random: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images `[B, 3, side, side]` in [0, 1], task numbers and class numbers."""
        shares = np.array([SHARE[t] for t in self.tasks])
        tasks = random.choice(len(self.tasks), size, p=shares / shares.sum())
        classes = np.array([random.integers(len(self.members[self.tasks[t]])) for t in tasks])
        pick = torch.tensor(
            [
                random.choice(self.members[self.tasks[t]][c])
                for t, c in zip(tasks, classes, strict=True)
            ]
        )
        styles = random.choice(list(STYLE_SHARE), size, p=list(STYLE_SHARE.values()))
        crops = torch.from_numpy(styles == "crop")
        boxes = torch.where(crops[:, None], self.boxes[pick], torch.tensor([0.0, 0, 1, 1]))
        theta = augment.random_affine(
            size,
            generator,
            degrees=12,
            shift=0.08,
            scale=(0.82, 1.12),
            aspect=0.12,
            flip=torch.ones(size, dtype=torch.bool),
        )
        theta = augment.compose(augment.crop_affine(boxes), theta)
        # Halved first: the warp samples four pixels, the device's resize averages all.
        source = F.avg_pool2d(self.pixels[pick].unsqueeze(1).float() / 255, 2)
        image = augment.jitter(augment.warp(source, theta, side), generator, 0.6)
        image = augment.erase(image, generator, 0.15).expand(-1, 3, -1, -1).clone()
        mask = (augment.warp(self.masks[pick].unsqueeze(1).float(), theta, side) > 0.5).float()
        for style in ("overlay", "blur", "cutout"):
            chosen = torch.from_numpy(styles == style)
            if chosen.any():
                image[chosen] = focus.paint(style, image[chosen], mask[chosen])
        return image, torch.from_numpy(tasks), torch.from_numpy(classes)


class Texts:
    """Tokenised text prompts of every class of every task."""

    def __init__(self, vocabulary: Path) -> None:
        tokenizer = Tokenizer(vocabulary)
        self.classes = [(t, label) for t, labels in data.TASKS.items() for label in labels]
        self.tokens = [
            torch.tensor([tokenizer.encode(text) for text in text_prompts(*pair)])
            for pair in self.classes
        ]
        self.first = {
            task: next(i for i, p in enumerate(self.classes) if p[0] == task) for task in data.TASKS
        }

    def sample(self, random: np.random.Generator) -> Tensor:
        """One text prompt a class."""
        return torch.stack([t[random.integers(len(t))] for t in self.tokens])

    @torch.no_grad()
    def prototypes(self, model: Clip, task: str) -> Tensor:
        """Mean unit text embedding of each class of a task, unit length again."""
        first, count = self.first[task], len(data.TASKS[task])
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
    image: Tensor,
    tasks: Tensor,
    classes: Tensor,
    random: np.random.Generator,
) -> Tensor:
    """L = lambda Lc + (1 - lambda) Le."""
    mix = Mix.draw(tasks, random)
    feature = model.image((mix(image) - 0.5) / 0.25)
    text = F.normalize(model.text(texts.sample(random)), dim=1)
    names = list(data.TASKS)
    index = torch.tensor([texts.first[names[t]] for t in tasks.tolist()]) + classes
    target = mix(F.one_hot(index, len(text)).float())
    scale = model.log_scale.exp().clamp(max=50)
    lc = contrastive(F.normalize(feature, dim=1), text, target, scale)
    le = feature.new_zeros(())
    for number, name in enumerate(names):
        mine = tasks == number
        if mine.any():
            first, count = texts.first[name], len(data.TASKS[name])
            le = le + F.cross_entropy(
                model.classifiers[name](feature[mine]),
                target[mine, first : first + count],
                label_smoothing=SMOOTHING,
                reduction="sum",
            )
    return LAMBDA * lc + (1 - LAMBDA) * le / len(tasks)


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
    for task in data.EXAMS:
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


def train(arguments: argparse.Namespace) -> None:
    work, steps = arguments.work, arguments.steps
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    masks = region_masks(work, pixels)
    validation = data.load_split(arguments.split)
    kept = {i for i, row in enumerate(rows) if row.sha256 not in validation}
    held = [i for i in range(len(rows)) if i not in kept]
    sampler, boxes = Sampler(rows, pixels, masks, kept), boxes_of(masks)
    texts = Texts(arguments.vocabulary)
    model = Clip(ClipConfig(), {t: len(labels) for t, labels in data.TASKS.items()})
    before = {"steps": 0, "seconds": 0}
    if arguments.go_on:
        model.load_state_dict(torch.load(work / "clip.pt", weights_only=True))
        before = json.loads((work / "clip.json").read_text())
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=arguments.rate, total_steps=steps, pct_start=0.08
    )
    begin = time.monotonic()
    figures: dict[str, float] = {}
    for step in range(1, steps + 1):
        # Two thirds of the way on small pictures, the rest at the true size.
        side = 96 if step < 2 * steps / 3 else model.config.input_size
        image, tasks, classes = sampler.batch(arguments.batch, side, random, generator)
        loss = objective(model, texts, image, tasks, classes, random)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if step % 100 == 0 or step == 10:
            spent = time.monotonic() - begin
            print(f"step {step}/{steps} loss {loss.item():.4f} {spent:.0f} s", flush=True)
        if step % 1000 == 0 or step == steps:
            size = model.config.input_size if step == steps else side
            figures = validate(average.module, texts, rows, pixels, boxes, held, size)
            print(json.dumps(figures), flush=True)
            torch.save(average.module.state_dict(), work / "clip.pt")
    record = {
        "steps": before["steps"] + steps,
        "batch": arguments.batch,
        "seed": arguments.seed,
        "lambda": LAMBDA,
        "seconds": before["seconds"] + round(time.monotonic() - begin),
        **figures,
    }
    (work / "clip.json").write_text(json.dumps(record, indent=1) + "\n")


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """Where CLIP's byte-pair vocabulary lies."""
    root = Path(__file__).resolve().parents[3]
    vocabulary = root / "shared/data/clip/bpe_simple_vocab_16e6.txt.gz"
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
