"""Trains a bundle's image encoder further, where nothing is left of it but the bundle.

The image tower starts from the graph's own int8 weights (`from_bundle`). The text tower is
gone, but what it said of each class stands in the exams' heads: those prototypes are kept
fixed, and L = lambda Lc + (1 - lambda) Le is the one of `train_clip`, with the description
of `describe` beside it. Focus is shown as the device shows it: half of the pictures whole,
half the crop. The steps are fixed beforehand and the weights' running average is kept, so
that the validation split chooses nothing. A bundle comes of it under `--out`: this encoder,
the bundle's own segmenter, prototypes and manifest; its guards are still the old encoder's.
Where it is better (docs/few-shot.md says how the starter's fared), `gate` and `train_head`
make the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bundling.head import plain
from bundling.manifest import reseal

from . import data
from .clip import Clip, ClipConfig, ImageTower
from .describe import Describer
from .export import write_image_encoder
from .from_bundle import image_tower
from .leave_one_out import DESCRIBED, region_masks
from .sampler import Changes, Sampler
from .train_clip import LAMBDA, Pictures, Plan, embed, fit
from .train_head import save as save_head

STYLES = {"none": 0.5, "crop": 0.5}
SHARES = {"covid3": 0.12, "lung_tb2": 0.26, "brain4": 0.28, "breast3": 0.24, "cxr_extra": 0.1}
"""Share of each task in a batch: more of those that do worst than at first."""
CHANGES = Changes(degrees=15, shift=0.1, scale=(0.75, 1.15), aspect=0.18, grey=1.0, erased=0.3)
CLASS_SHARE = 3.0
"""Weight of the classes' loss beside the description's, unless another is given."""


class Prototypes(nn.Module):
    """In place of the text tower: what it once said of every class, fixed."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self, _: Tensor) -> Tensor:
        return self.rows


class FixedTexts:
    """Stands in for `train_clip.Texts`: one row a class, nothing to draw."""

    def __init__(self, tasks: dict[str, list[str]]) -> None:
        self.tasks = tasks
        counts = [len(labels) for labels in tasks.values()]
        self.first = dict(zip(tasks, np.cumsum([0, *counts[:-1]]).tolist(), strict=True))

    def sample(self, _: np.random.Generator) -> Tensor:
        return torch.empty(0)

    def prototypes(self, model: Clip, task: str) -> Tensor:
        first = self.first[task]
        return model.text.rows[first : first + len(self.tasks[task])]


@torch.no_grad()
def class_means(tower: ImageTower, task: str, pictures: Pictures, side: int) -> Tensor:
    """Unit mean embedding of each class's training images: prototypes of a task that no
    head has any of, as `medfocus enroll` makes them of images alone."""
    shown = nn.ModuleDict({"image": tower})
    means = []
    for label in data.TASKS[task]:
        mine = [i for i in pictures.kept if pictures.rows[i].task == task]
        mine = sorted(i for i in mine if pictures.rows[i].label == label)
        means.append(embed(shown, pictures.pixels[mine], None, side).mean(0))  # type: ignore[arg-type]
    return F.normalize(torch.stack(means), dim=1)


def start(bundle: Path, config: ClipConfig, pictures: Pictures) -> Clip:
    """The reduced CLIP as far as the bundle has it; its classifiers start as the prototypes'
    own answer."""
    tower = image_tower(bundle, config)
    heads = {task: load_file(bundle / f"heads/{task}.safetensors") for task in data.EXAMS}
    rows = {task: head["prototypes"] for task, head in heads.items()}
    for task in data.PRETRAIN:
        rows[task] = class_means(tower, task, pictures, config.input_size)
    scale = float(heads[next(iter(heads))]["logit_scale"][0])
    clip = Clip(config, {task: len(labels) for task, labels in data.TASKS.items()})
    clip.image, clip.text = tower, Prototypes(torch.cat([rows[task] for task in data.TASKS]))
    clip.log_scale.data.fill_(math.log(scale))
    with torch.no_grad():
        some = torch.from_numpy(pictures.pixels[sorted(pictures.kept)[::40]]).unsqueeze(1) / 255
        shown = F.interpolate(some, size=config.input_size, mode="bilinear", antialias=True)
        length = tower((shown.expand(-1, 3, -1, -1) - 0.5) / 0.25).norm(dim=1).mean()
        for task, layer in clip.classifiers.items():
            layer.weight.copy_(scale * rows[task] / length)
            layer.bias.zero_()
    return clip


def write_bundle(clip: Clip, arguments: argparse.Namespace, out: Path) -> None:
    """The bundle with this encoder instead of its own, and heads of prototypes alone."""
    bundle = out / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    shutil.copytree(arguments.bundle, bundle)
    write_image_encoder(clip, out / "image_encoder.onnx")
    shutil.copyfile(out / "image_encoder.onnx", bundle / "image_encoder.onnx")
    texts, scale = FixedTexts(data.TASKS), float(clip.log_scale.detach().exp().clamp(max=50))
    for task in data.EXAMS:
        head = plain(texts.prototypes(clip, task).numpy(), scale)
        save_head(head, bundle / f"heads/{task}.safetensors")
    reseal(bundle)


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    work, out = arguments.work, arguments.out or arguments.work / "fine-tune"
    out.mkdir(parents=True, exist_ok=True)
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, work / "pixels.npy")
    masks = region_masks(arguments.bundle, pixels, out / "regions.npy")
    validation = data.load_split(arguments.split)
    held = [i for i, row in enumerate(rows) if row.sha256 in validation]
    pictures = Pictures(rows, pixels, masks, set(range(len(rows))) - set(held), held)
    config = ClipConfig(vocabulary=1)
    clip, texts = start(arguments.bundle, config, pictures), FixedTexts(data.TASKS)
    sampler = Sampler(rows, pixels, masks, pictures.kept, data.TASKS, STYLES, SHARES, CHANGES)
    plan = Plan(
        arguments.steps, arguments.batch, arguments.seed, arguments.rate, small=0, bfloat16=True
    )
    some = np.random.default_rng(plan.seed).choice(sorted(pictures.kept), DESCRIBED)
    describer = Describer(pixels[some], config.embedding, arguments.class_share)
    begin = time.monotonic()
    figures = fit(clip, texts, pictures, sampler, plan, out / "clip.pt", describer)
    record = {
        "steps": plan.steps,
        "batch": plan.batch,
        "seed": plan.seed,
        "rate": plan.rate,
        "lambda": LAMBDA,
        "class_share": arguments.class_share,
        "seconds": round(time.monotonic() - begin),
        **figures,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    clip.load_state_dict(torch.load(out / "clip.pt", weights_only=True))
    write_bundle(clip.eval(), arguments, out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="default: WORK/fine-tune")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-4, help="the highest learning rate")
    parser.add_argument("--class-share", type=float, default=CLASS_SHARE)
    parser.add_argument("--threads", type=int, default=1)
