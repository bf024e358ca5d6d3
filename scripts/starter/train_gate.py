"""Trains the gate's graph: what kind of image this is, and which way up.

A small convolutional net looks at a 64 x 64 grey thumbnail before any model of the
exams does. Its classes are every kind of image in every pose, and `other` for what is
none of them. It is never shown a validation image, nor one whose pose nobody knows, and
thresholds are chosen on a tenth of the training images that it was not trained on either.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from . import augment, data
from .clip import convolution

SETTINGS = Path(__file__).resolve().parent / "gate.json"
SIDE = 64
KINDS = {
    "chest": ["covid3", "lung_tb2", "cxr_extra"],
    "brain": ["brain4"],
    "breast": ["breast3"],
}
"""Kinds of image, and the tasks whose images are of this kind."""
BRAIN = 1
POSES = ["upright", "left", "upside_down", "right", "inverted"]
"""Turned to the left by 0, 90, 180 and 270 degrees, and black for white."""
CLASSES = len(KINDS) * len(POSES) + 1
HELD_OUT = 0.1
REFUSED_RIGHT = 0.008
"""Share of the right images that a threshold may refuse, on the held-out tenth."""
UNSURE = 0.2
"""An upright pose of this probability is never refused: of a round head nobody can tell."""


class Gate(nn.Module):
    """Grey pixels `[B, 1, 64, 64]`, normalised as the encoders' are, to logits `[B, 16]`:
    poses of the first kind, of the second, of the third, then `other`."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, 24, 48, 96, 128]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [*convolution(before, after, 2), *convolution(after, after, 1)]
        # At 4 x 4 there is nothing left to look around at.
        self.features = nn.Sequential(*layers[:-3])
        self.drop = nn.Dropout(0.2)
        self.classes = nn.Linear(widths[-1] * 16, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.classes(self.drop(self.features(pixels).flatten(1)))


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """uint8 `[N, SIDE, SIDE]` by the device's own filter."""
    size = (SIDE, SIDE)
    small = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR) for p in pixels]
    return np.stack([np.asarray(s) for s in small])


def posed(upright: Tensor, pose: int) -> Tensor:
    """Upright pictures `[n, 1, S, S]` in 0 to 1, in one of `POSES`."""
    return 1 - upright if POSES[pose] == "inverted" else torch.rot90(upright, pose, (2, 3))


def others(n: int, generator: torch.Generator, images: Tensor) -> Tensor:
    """Pictures that are no medical image: noise at every scale, blank, stripes, boxes,
    patchworks and shuffles of real ones."""

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    def pick(count: int) -> Tensor:
        return images[torch.randint(len(images), (count,), generator=generator)]

    made = []
    for _ in range(n):
        what = int(torch.randint(7, (1,), generator=generator))
        if what == 0:
            scale = 2 ** int(torch.randint(6, (1,), generator=generator))
            noise = F.interpolate(rand(1, 1, max(SIDE // scale, 2), max(SIDE // scale, 2)), SIDE)
            picture = noise * rand(1) + rand(1) * 0.5
        elif what == 1:
            octaves = [
                F.interpolate(rand(1, 1, 2**k, 2**k), SIDE, mode="bilinear") / 1.6**k
                for k in range(1, 7)
            ]
            picture = torch.stack(octaves).sum(0)
            picture = (picture - picture.min()) / (picture.max() - picture.min())
        elif what == 2:
            picture = (rand(1, 1, 1, 1) + 0.02 * rand(1, 1, SIDE, SIDE)).clamp(0, 1)
        elif what == 3:
            ramp = torch.linspace(0, 6.28 * float(rand(1)) * 8, SIDE)
            picture = (ramp.sin() / 2 + 0.5).expand(1, 1, SIDE, SIDE)
            picture = picture if rand(1) < 0.5 else picture.transpose(2, 3)
        elif what == 4:
            picture = rand(1, 1, 1, 1).repeat(1, 1, SIDE, SIDE)
            for _ in range(int(torch.randint(2, 30, (1,), generator=generator))):
                x, y = (torch.randint(SIDE - 4, (2,), generator=generator)).tolist()
                w, h = (torch.randint(1, SIDE // 2, (2,), generator=generator)).tolist()
                picture[:, :, y : y + h, x : x + w] = rand(1)
        elif what == 5:
            a, half = pick(4), SIDE // 2
            tiles = F.interpolate(a, half)
            rows = [torch.cat([tiles[2 * i], tiles[2 * i + 1]], dim=2) for i in (0, 1)]
            picture = torch.cat(rows, dim=1)[None]
        else:
            tile = SIDE // int(2 ** torch.randint(2, 6, (1,), generator=generator))
            parts = (
                pick(1)[0, 0].unfold(0, tile, tile).unfold(1, tile, tile).reshape(-1, tile, tile)
            )
            parts = parts[torch.randperm(len(parts), generator=generator)]
            across = SIDE // tile
            picture = parts.reshape(across, across, tile, tile).permute(0, 2, 1, 3)
            picture = picture.reshape(1, 1, SIDE, SIDE)
        made.append(picture[0])
    return torch.stack(made).clamp(0, 1)


def share(kind: int, pose: int) -> int:
    """How often a kind is shown in a pose. Upright is what must not be refused, and slices
    of a head are the hardest to tell which way up."""
    if kind == BRAIN:
        return 4 if POSES[pose] in ("upright", "upside_down") else 2
    return 2 if POSES[pose] == "upright" else 1


def batch(pools: list[Tensor], each: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures in every kind and pose, and their classes."""
    x, y = [], []
    for kind, pool in enumerate(pools):
        for pose in range(len(POSES)):
            count = each * share(kind, pose)
            drawn = mirrored(
                pool[torch.randint(len(pool), (count,), generator=generator)], generator
            )
            turned = posed(drawn, pose)
            if POSES[pose] == "inverted":
                turned = torch.rot90(
                    turned, int(torch.randint(4, (1,), generator=generator)), (2, 3)
                )
            x.append(turned)
            y.append(torch.full((count,), kind * len(POSES) + pose))
    x.append(others(each * 2, generator, torch.cat(pools)))
    y.append(torch.full((each * 2,), CLASSES - 1))
    pictures, labels = torch.cat(x), torch.cat(y)
    theta = augment.random_affine(
        len(pictures),
        generator,
        degrees=8,
        shift=0.08,
        scale=(0.85, 1.15),
        aspect=0.15,
        flip=torch.zeros(len(pictures), dtype=torch.bool),
    )
    # An inverted picture's border is white: outside is drawn by repeating the edge.
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return augment.jitter(pictures, generator), labels


def mirrored(upright: Tensor, generator: torch.Generator) -> Tensor:
    """Half of them left for right. Before they are turned: a picture turned to the left and
    then mirrored looks as if turned to the right."""
    half = torch.rand(len(upright), 1, 1, 1, generator=generator) < 0.5
    return torch.where(half, upright.flip(3), upright)


def normalised(pictures: Tensor) -> Tensor:
    return (pictures - 0.5) / 0.25


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, arguments.work / "pixels.npy")
    small = torch.from_numpy(thumbnails(pixels))[:, None].float() / 255
    validation = data.load_split(arguments.split)
    groups = data.duplicate_groups(pixels)
    generator = torch.Generator().manual_seed(7)
    drawn = np.random.default_rng(7).random(groups.max() + 1) < HELD_OUT
    unknown = data.stand_on_their_heads(pixels)
    pools, held = [], []
    for tasks in KINDS.values():
        mine = [i for i, r in enumerate(rows) if r.task in tasks and r.sha256 not in validation]
        mine = [i for i in mine if not unknown[i]]
        pools.append(small[[i for i in mine if not drawn[groups[i]]]])
        held.append(small[[i for i in mine if drawn[groups[i]]]])
    print("training", [len(p) for p in pools], "held out", [len(h) for h in held], flush=True)
    torch.manual_seed(7)
    net = Gate()
    if arguments.go_on:
        net.load_state_dict(torch.load(arguments.work / "gate.pt", weights_only=True))
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, arguments.steps)
    begin = time.time()
    for step in range(arguments.steps):
        net.train()
        pictures, labels = batch(pools, arguments.each, generator)
        loss = F.cross_entropy(net(normalised(pictures)), labels, label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 199:
            print(f"{step + 1} loss {loss.item():.3f} {time.time() - begin:.0f} s", flush=True)
    net.eval()
    torch.save(net.state_dict(), arguments.work / "gate.pt")
    thresholds = choose_thresholds(net, held)
    kept = json.loads(arguments.settings.read_text()) if arguments.settings.exists() else {}
    kept["accept_from"] = thresholds
    arguments.settings.write_text(json.dumps(kept, indent=1) + "\n")
    print(thresholds)


def choose_thresholds(net: Gate, held: list[Tensor]) -> dict[str, float]:
    """By kind: the least probability of the right kind, upright, that is accepted."""
    thresholds = {}
    for kind, (name, pictures) in enumerate(zip(KINDS, held, strict=True)):
        with torch.no_grad():
            right = net(normalised(pictures)).softmax(1)[:, kind * len(POSES)]
        thresholds[name] = round(min(float(right.quantile(REFUSED_RIGHT)), UNSURE), 4)
        for pose, word in enumerate(POSES[1:], 1):
            with torch.no_grad():
                wrong = net(normalised(posed(pictures, pose))).softmax(1)[:, kind * len(POSES)]
            refused = float((wrong < thresholds[name]).float().mean())
            print(f"{name} {word}: {refused:.3f} refused of {len(pictures)}")
    return thresholds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--each", type=int, default=5, help="pictures of a share in a batch")
    parser.add_argument("--go-on", action="store_true", help="from the weights of before")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--settings", type=Path, default=SETTINGS)
