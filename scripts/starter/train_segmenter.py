"""Trains the reduced SAM2 on lung fields, heads and breast lesions.

Lung fields and lesions have drawn masks; heads have none, so their silhouette
is taken from the picture itself (`head_silhouette`). Breast images without a
lesion teach the object score what nothing looks like. Validation images are
never trained on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from . import augment, data
from .segmenter import Segmenter, SegmenterConfig

BATCH = {"lung_tb2": 5, "brain4": 1, "breast3": 3, "none": 1}
"""Images of each kind in one step; `none` are breast images without a lesion."""


def head_silhouette(pixels: np.ndarray) -> np.ndarray:
    """The head in an MRI slice: the largest bright, smoothed, filled component."""
    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), 3)
    low, high = np.percentile(smooth, [2, 98])
    body = ndimage.binary_opening(smooth > low + 0.15 * (high - low), iterations=3)
    labels, count = ndimage.label(body)
    if count == 0:
        return np.zeros_like(pixels)
    largest = 1 + int(np.argmax(ndimage.sum(body, labels, range(1, count + 1))))
    return ndimage.binary_fill_holes(labels == largest).astype(np.uint8)


class MaskedImages:
    """Images with their masks, by kind, in memory."""

    def __init__(
        self, images: Path, pixels: np.ndarray, rows: list[data.Row], keep: set[int]
    ) -> None:
        self.kinds: dict[str, tuple[Tensor, Tensor]] = {}
        members: dict[str, list[int]] = {kind: [] for kind in BATCH}
        for i, row in enumerate(rows):
            if i not in keep:
                continue
            if row.mask:
                members[row.task].append(i)
            elif row.task == "brain4":
                members["brain4"].append(i)
            elif row.task == "breast3" and row.label == "normal":
                members["none"].append(i)
        for kind, chosen in members.items():
            masks = [self.mask_of(images, rows[i], pixels[i], kind) for i in chosen]
            self.kinds[kind] = (
                torch.from_numpy(pixels[chosen]).unsqueeze(1),
                torch.from_numpy(np.stack(masks)).unsqueeze(1),
            )

    @staticmethod
    def mask_of(images: Path, row: data.Row, pixels: np.ndarray, kind: str) -> np.ndarray:
        if kind == "none":
            return np.zeros_like(pixels)
        return data.read_mask(images / row.mask) if row.mask else head_silhouette(pixels)

    def batch(self, generator: torch.Generator, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images `[B, 1, side, side]`, masks alike, and whether a region exists."""
        x, y = [], []
        for kind, count in BATCH.items():
            pixels, masks = self.kinds[kind]
            pick = torch.randint(len(pixels), (count,), generator=generator)
            x.append(pixels[pick])
            y.append(masks[pick])
        image, mask = torch.cat(x).float() / 255, torch.cat(y).float()
        theta = augment.random_affine(
            len(image),
            generator,
            degrees=15,
            shift=0.12,
            scale=(0.75, 1.15),
            aspect=0.15,
            flip=torch.ones(len(image), dtype=torch.bool),
        )
        image = augment.jitter(augment.warp(image, theta, side), generator)
        mask = (augment.warp(mask, theta, side) > 0.5).float()
        return augment.erase(image, generator, 0.1), mask, mask.flatten(1).sum(1) > 24


def pixels_to_input(image: Tensor) -> Tensor:
    """Grey `[B, 1, S, S]` in [0, 1] to the network's three normalised channels."""
    return ((image - 0.5) / 0.25).expand(-1, 3, -1, -1)


def make_prompts(mask: Tensor, seed: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One prompt an image: coordinates `[B, 4, 2]`, labels `[B, 4]`, the mask that it
    asks for and whether it is a box (answered by the single mask)."""
    count, _, side, _ = mask.shape
    coords = np.zeros((count, 4, 2), np.float32)
    labels = np.full((count, 4), -1, np.int64)
    target = mask.clone()
    is_box = np.zeros(count, bool)
    for i in range(count):
        m = mask[i, 0].numpy() > 0
        ys, xs = np.nonzero(m)
        roll = seed.random()
        if len(ys) == 0 or roll < 0.6:
            coords[i, :2] = [[0, 0], [side, side]]
            labels[i, :2] = [2, 3]
            is_box[i] = True
        elif roll < 0.7:
            noise = seed.uniform(-0.06, 0.06, 4) * side
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) + noise
            coords[i, :2] = box.clip(0, side).reshape(2, 2)
            labels[i, :2] = [2, 3]
            is_box[i] = True
        elif roll < 0.75:
            coords[i, 0] = side / 2
            labels[i, 0] = 1
        else:
            parts, _ = ndimage.label(m)
            pick = seed.integers(len(ys))
            coords[i, 0] = [xs[pick], ys[pick]]
            labels[i, 0] = 1
            if seed.random() < 0.5:
                part = parts == parts[ys[pick], xs[pick]]
                target[i, 0] = torch.from_numpy(part.astype(np.float32))
            for extra in range(1, seed.integers(1, 4)):
                inside = seed.random() < 0.5
                where = np.nonzero(target[i, 0].numpy() > 0 if inside else ~m)
                if len(where[0]):
                    pick = seed.integers(len(where[0]))
                    coords[i, extra] = [where[1][pick], where[0][pick]]
                    labels[i, extra] = int(inside)
    return torch.from_numpy(coords), torch.from_numpy(labels), target, torch.from_numpy(is_box)


def losses(
    masks: Tensor, iou: Tensor, score: Tensor, target: Tensor, is_box: Tensor, exists: Tensor
) -> Tensor:
    """SAM's losses: cross-entropy and Dice on the answering mask (the single mask for a
    box, the best of three for points), squared error of the predicted IoU, and
    cross-entropy of the object score."""
    side = masks.shape[-1]
    goal = F.adaptive_avg_pool2d(target, side).expand_as(masks)
    entropy = F.binary_cross_entropy_with_logits(masks, goal, reduction="none").mean((2, 3))
    p = masks.sigmoid()
    overlap, total = (p * goal).sum((2, 3)), p.sum((2, 3)) + goal.sum((2, 3))
    per_mask = 4 * entropy + 1 - (2 * overlap + 1) / (total + 1)
    best = 1 + per_mask[:, 1:].detach().argmin(dim=1)
    chosen = torch.where(is_box, torch.zeros_like(best), best)
    mask_loss = per_mask.gather(1, chosen.unsqueeze(1)).squeeze(1)
    with torch.no_grad():
        hard, real = masks > 0, goal > 0.5
        union = (hard | real).sum((2, 3)).clamp(min=1)
        true_iou = (hard & real).sum((2, 3)) / union
    iou_loss = ((iou - true_iou) ** 2).gather(1, chosen.unsqueeze(1)).squeeze(1)
    there = exists.float()
    object_loss = F.binary_cross_entropy_with_logits(score.squeeze(1), there)
    return ((mask_loss + iou_loss) * there).sum() / there.sum() + 0.3 * object_loss


@torch.no_grad()
def whole_box_masks(model: Segmenter, pixels: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Single-mask logits at `side` pixels, predicted IoU and object score for the
    whole-image box, for uint8 pixels `[N, H, W]`."""
    size = model.config.input_size
    results = []
    for start in range(0, len(pixels), 32):
        image = pixels[start : start + 32].unsqueeze(1).float() / 255
        image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
        count = len(image)
        coords = torch.tensor([[[0.0, 0.0], [size, size]]]).expand(count, -1, -1)
        labels = torch.tensor([[2, 3]]).expand(count, -1)
        masks, iou, score = model.decoder(*model.encoder(pixels_to_input(image)), coords, labels)
        full = F.interpolate(masks[:, :1], size=(side, side), mode="bilinear")[:, 0]
        results.append((full, iou[:, 0], score[:, 0]))
    return tuple(torch.cat(part) for part in zip(*results, strict=True))


def dice(predicted: Tensor, real: Tensor) -> Tensor:
    """Dice coefficient of binary masks `[N, H, W]`."""
    overlap = (predicted & real).sum((1, 2)).float()
    return (2 * overlap + 1e-6) / (predicted.sum((1, 2)) + real.sum((1, 2)) + 1e-6)


def validate(model: Segmenter, held: MaskedImages) -> dict[str, float]:
    model.eval()
    figures: dict[str, float] = {}
    for kind, (pixels, masks) in held.kinds.items():
        pixels, masks = pixels[:200], masks[:200]
        logits, iou, score = whole_box_masks(model, pixels[:, 0], data.SIDE)
        figures[f"{kind}_object_rate"] = (score > 0).float().mean().item()
        if kind != "none":
            values = dice(logits > 0, masks[:, 0] > 0)
            figures[f"{kind}_dice"] = values.mean().item()
            figures[f"{kind}_predicted_iou"] = iou.mean().item()
    model.train()
    return {key: round(value, 4) for key, value in figures.items()}


def train(
    images: Path, work: Path, split: Path, steps: int, seed: int, rate: float, go_on: bool
) -> None:
    torch.manual_seed(seed)
    generator, prompts = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    rows = data.load_rows(images)
    pixels = data.load_pixels(images, rows, work / "pixels.npy")
    validation = data.load_split(split)
    kept = {i for i, row in enumerate(rows) if row.sha256 not in validation}
    trained = MaskedImages(images, pixels, rows, kept)
    held = MaskedImages(images, pixels, rows, set(range(len(rows))) - kept)
    model = Segmenter(SegmenterConfig())
    before = {"steps": 0, "seconds": 0}
    if go_on:
        model.load_state_dict(torch.load(work / "segmenter.pt", weights_only=True))
        before = json.loads((work / "segmenter.json").read_text())
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=steps, pct_start=0.1
    )
    begin = time.monotonic()
    for step in range(1, steps + 1):
        image, mask, exists = trained.batch(generator, model.config.input_size)
        coords, labels, target, is_box = make_prompts(mask, prompts)
        embed, s0, s1 = model.encoder(pixels_to_input(image))
        loss = losses(*model.decoder(embed, s0, s1, coords, labels), target, is_box, exists)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if step % 100 == 0 or step == 10:
            spent = time.monotonic() - begin
            print(f"step {step}/{steps} loss {loss.item():.4f} {spent:.0f} s", flush=True)
        if step % 300 == 0 or step == steps:
            print(json.dumps(validate(average.module, held)), flush=True)
            torch.save(average.module.state_dict(), work / "segmenter.pt")
    figures = validate(average.module, held)
    record = {
        "steps": before["steps"] + steps,
        "seed": seed,
        "seconds": before["seconds"] + round(time.monotonic() - begin),
        **figures,
    }
    (work / "segmenter.json").write_text(json.dumps(record, indent=1) + "\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.2e-3, help="the highest learning rate")
    parser.add_argument("--go-on", action="store_true", help="start from the weights of before")


def run(arguments: argparse.Namespace) -> None:
    a = arguments
    train(a.images, a.work, a.split, a.steps, a.seed, a.rate, a.go_on)
