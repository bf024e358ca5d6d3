"""Few-shot by training the encoder itself: LoRA and all of it, from the bundles of
`leave_one_out`.

`scripts/fewshot` trains heads on embeddings; here the image tower is read back from a bundle's
graph (`from_bundle`) and trained on the same draws of the same images, with a linear head on
top of the prototypes' answer as in `text_probe`. `lora` adds matrices of rank 4 to the
attention of every block (Hu et al. 2022); `full` trains every weight. Steps and rates are
fixed: with so few images there is nothing to choose them by. The rows are those of
`scripts/fewshot`, with focus `crop`.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import Tensor, nn

from bundling.head import softmax
from few_shot import images, report, split
from few_shot.metrics import figures
from few_shot.probe import balanced_weights
from few_shot.trials import Outcome

from . import augment, data
from .clip import Block, ClipConfig, ImageTower
from .from_bundle import image_tower
from .leave_one_out import region_masks
from .sampler import Changes, boxes_of

RANK = 4
RATES = {"lora": 1e-3, "full": 1e-4}
HEAD_RATE = 1e-2
PAIRS = 16
"""Images a step, each seen whole and as the crop."""
MILD = Changes()


class LowRank(nn.Module):
    """A linear layer that is kept, and what is learnt beside it: `B A`, which starts as 0."""

    def __init__(self, kept: nn.Linear) -> None:
        super().__init__()
        self.kept = kept.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(RANK, kept.in_features) / kept.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(kept.out_features, RANK))

    @property
    def in_features(self) -> int:
        return self.kept.in_features

    def forward(self, x: Tensor) -> Tensor:
        return self.kept(x) + x @ self.down.T @ self.up.T


def with_low_rank(tower: ImageTower) -> ImageTower:
    """The tower with nothing to train but low-rank changes of its attention."""
    tower.requires_grad_(False)
    for block in tower.blocks:
        assert isinstance(block, Block)
        block.qkv, block.proj = LowRank(block.qkv), LowRank(block.proj)  # type: ignore[assignment]
    return tower


class Learner(nn.Module):
    """A tower and a head: `s P q + C q + c`, `q` of the whole picture and the crop."""

    def __init__(self, tower: ImageTower, prototypes: np.ndarray, scale: float) -> None:
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(prototypes.shape[1], len(prototypes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("prior", scale * torch.tensor(prototypes, dtype=torch.float32))

    def forward(self, whole: Tensor, crop: Tensor) -> Tensor:
        pictures = (torch.cat([whole, crop]).expand(-1, 3, -1, -1) - 0.5) / 0.25
        z_whole, z_crop = F.normalize(self.tower(pictures).float(), dim=1).chunk(2)
        q = F.normalize(z_whole + z_crop, dim=1)
        return q @ self.prior.T + self.head(q)


class Shown:
    """An exam's pictures at the encoder's size, whole and cropped."""

    def __init__(self, pixels: np.ndarray, boxes: np.ndarray, side: int) -> None:
        self.pixels, self.boxes, self.side = torch.from_numpy(pixels), torch.from_numpy(boxes), side

    def pair(self, which: np.ndarray, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The pictures as they are, or changed at random where there is a generator."""
        source = F.avg_pool2d(self.pixels[which].unsqueeze(1).float() / 255, 2)
        theta = torch.eye(2, 3).repeat(len(which), 1, 1)
        if generator is not None:
            theta = augment.random_affine(
                len(which),
                generator,
                degrees=MILD.degrees,
                shift=MILD.shift,
                scale=MILD.scale,
                aspect=MILD.aspect,
                flip=torch.ones(len(which), dtype=torch.bool),
            )
        crop = augment.compose(augment.crop_affine(self.boxes[which]), theta)
        both = [augment.warp(source, t, self.side) for t in (theta, crop)]
        if generator is not None:
            both = [augment.jitter(x, generator, MILD.grey) for x in both]
        return both[0], both[1]


def learn(
    model: Learner,
    method: str,
    shown: Shown,
    labels: np.ndarray,
    train: np.ndarray,
    seed: int,
    steps: int,
) -> None:
    """Trains on the images `train` with classes weighted alike; the rate falls to 0."""
    torch.manual_seed(seed)
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    weights = torch.tensor(balanced_weights(labels[train], labels.max() + 1) * len(train))
    inner = [p for p in model.tower.parameters() if p.requires_grad]
    groups = [
        {"params": inner, "lr": RATES[method]},
        {"params": list(model.head.parameters()), "lr": HEAD_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.05)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        place = random.choice(len(train), min(PAIRS, len(train)), replace=False)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(*shown.pair(train[place], generator))
        truth = torch.from_numpy(labels[train[place]])
        losses = F.cross_entropy(logits.float(), truth, reduction="none", label_smoothing=0.05)
        loss = (losses * weights[place]).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 1.0)
        optimiser.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def answers(model: Learner, shown: Shown, which: np.ndarray) -> np.ndarray:
    parts = [which[start : start + 32] for start in range(0, len(which), 32)]
    logits = torch.cat([model(*shown.pair(part, None)) for part in parts])
    return softmax(logits.double().numpy())


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    work, config = arguments.work, ClipConfig()
    rows = data.load_rows(arguments.images)
    place = {(row.task, row.sha256): i for i, row in enumerate(rows)}
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    masks = region_masks(arguments.bundle, pixels, work / "leave-one-out/regions.npy")
    for exam in arguments.exams:
        bundle = work / f"leave-one-out/{exam}/bundle"
        head = load_file(bundle / f"heads/{exam}.safetensors")
        labelled = images.load(arguments.images, exam, images.classes_of(bundle, exam))
        labels = np.array([image.label for image in labelled])
        groups = split.near_duplicates(labelled)
        test = split.test_set(labelled, groups, arguments.split, labels.max() + 1)
        mine = [place[exam, image.sha256] for image in labelled]
        shown = Shown(pixels[mine], boxes_of(masks[mine]), config.input_size)
        outcome = Outcome()
        for fraction, seed in product(arguments.fractions, range(arguments.seeds)):
            amount = split.Amount(fraction=fraction)
            train = split.draw(labelled, groups, test, amount, seed)
            for method in RATES:
                begin = time.monotonic()
                tower = image_tower(bundle, config)
                tower = with_low_rank(tower) if method == "lora" else tower
                model = Learner(tower, head["prototypes"], float(head["logit_scale"][0]))
                learn(model, method, shown, labels, train, seed, arguments.steps)
                p = answers(model, shown, np.flatnonzero(test))
                row = {
                    "exam": exam,
                    "method": method,
                    "focus": "crop",
                    **amount.key(),
                    "seed": seed,
                    **figures(p, labels[test]),
                    "n_train": len(train),
                    "n_test": len(p),
                    "seconds": round(time.monotonic() - begin),
                }
                outcome.rows.append(row)
                outcome.probabilities.append(p)
                print(json.dumps(row), flush=True)
        out = work / f"few-shot/{exam}-encoder"
        print(report.write(out, outcome, labels[test], exam, "crop"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exams", nargs="+", choices=data.EXAMS, default=["covid3", "breast3"])
    parser.add_argument("--fractions", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
