"""Step `targets`: what the teacher makes of every view, asked once and kept."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.left_out import parts
from data.listing import read
from data.meanings import EXAMS
from data.progress import Progress

from .sampling import kinds
from .teacher import FEATURE, Teacher, begin
from .tower import INPUT
from .views import SIDE, folder, load

BATCH = 64


@dataclass(frozen=True)
class Targets:
    """float16 features `[V, FEATURE]` and logits `[V, L]`: the exams' in their order, then
    the kinds'; the features' mean and spread."""

    features: np.ndarray
    logits: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    def feature(self, views: Tensor) -> Tensor:
        """Standardised, `[B, FEATURE]`."""
        values = self.features[views.numpy()].astype(np.float32)
        return torch.from_numpy((values - self.mean) / self.spread)

    def answers(self, views: Tensor) -> dict[str, Tensor]:
        """Logits by exam, and `kind`."""
        values = torch.from_numpy(self.logits[views.numpy()].astype(np.float32))
        found, start = {}, 0
        for exam, classes in EXAMS.items():
            found[exam] = values[:, start : start + len(classes)]
            start += len(classes)
        return found | {"kind": values[:, start:]}


def read_targets(path: Path) -> Targets | None:
    """What has been asked so far; nothing where that is nothing."""
    done_file = path / "targets.done"
    count = int(done_file.read_text()) if done_file.exists() else 0
    if not count:
        return None
    files = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("features", "logits"))
    features, logits = (values[:count] for values in files)
    some = features[:: max(len(features) // 5000, 1)].astype(np.float32)
    return Targets(features, logits, some.mean(0), some.std(0) + 1e-3)


@torch.no_grad()
def ask(teacher: Teacher, path: Path) -> None:
    """Writes both files; goes on where it was stopped."""
    views = load(path)
    margin = (SIDE - INPUT) // 2
    width = sum(map(len, EXAMS.values())) + teacher.heads.kind.out_features
    shapes = {"features": (len(views), FEATURE), "logits": (len(views), width)}
    done_file = path / "targets.done"
    first = int(done_file.read_text()) if done_file.exists() else 0
    files = {
        name: np.lib.format.open_memmap(
            path / f"{name}.npy", "r+" if first else "w+", np.float16, shape
        )
        for name, shape in shapes.items()
    }
    with Progress("targets", len(views)) as progress:
        progress.step(first)
        for start in range(first, len(views), BATCH):
            part = views.pictures[start : start + BATCH]
            middle = np.ascontiguousarray(part[:, margin : margin + INPUT, margin : margin + INPUT])
            with torch.autocast("cpu", torch.bfloat16):
                feature, logits = teacher(torch.from_numpy(middle))
            files["features"][start : start + BATCH] = feature.float().numpy()
            row = torch.cat([logits[name].float() for name in (*EXAMS, "kind")], dim=1)
            files["logits"][start : start + BATCH] = row.numpy()
            progress.step(len(part))
            if start % (20 * BATCH) == 0:
                done_file.write_text(str(start))
    done_file.write_text(str(len(views)))


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    entries = read(arguments.list)
    path = folder(arguments.work, arguments.run)
    teacher = Teacher(len(kinds(entries, parts(entries, arguments.run).trained)))
    begin(teacher, arguments.weights or path / "teacher.safetensors")
    ask(teacher.eval(), path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help="the teacher's; else what was trained here")
