"""Step `student`: the tower that the product runs, trained on the views and by the teacher.

It learns the answers themselves, the teacher's features and its doubts (Hinton et al. 2015),
also of images that nobody labelled, where the lesion is, and that its answer rests on it. In
half of the steps it sees only some of the patches and must say the same: a masked picture's
embedding is the whole's.
It begins from weights of a stage before, or from the shipped bundle's encoder (`grow`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data.left_out import parts
from data.listing import Entry, read
from data.meanings import EXAMS, KIND_OF_EXAM

from . import masks
from .grow import grown
from .loop import Batch, Batches, Plan, fit
from .objectives import (
    EVIDENCE_WEIGHT,
    LESION_WEIGHT,
    Heads,
    Truth,
    answers_loss,
    evidence_loss,
    lesion_loss,
)
from .sampling import kinds
from .targets import FEATURE, Targets, read_targets
from .tower import Tower, normalised
from .views import folder, load

TEMPERATURE = 2.0
FEATURE_WEIGHT, DOUBT_WEIGHT, KIND_DOUBT = 1.0, 0.7, 0.3
SHOWN = 0.6
"""Share of the patches in the steps that hide some."""


class Student(nn.Module):
    """The tower, and what it is asked while it learns."""

    def __init__(self, of_kinds: int) -> None:
        super().__init__()
        self.tower = Tower()
        width = self.tower.config.embedding
        self.heads = Heads(width, of_kinds)
        self.like_teacher = nn.Linear(width, FEATURE)
        self.lesion = nn.Linear(width, 1)


def doubt(mine: Tensor, teachers: Tensor) -> Tensor:
    """Kullback-Leibler from the teacher's softened answer, by row."""
    t = TEMPERATURE
    logs, target = F.log_softmax(mine / t, dim=1), F.softmax(teachers / t, dim=1)
    return t * t * F.kl_div(logs, target, reduction="none").sum(dim=1)


class Objective:
    """The student's loss of a batch."""

    def __init__(
        self, truth: Truth, targets: Targets | None, exams_of_kind: dict[str, Tensor]
    ) -> None:
        self.truth, self.targets, self.exams_of_kind = truth, targets, exams_of_kind

    def __call__(self, model: Student, batch: Batch) -> Tensor:
        truth, tower = self.truth.at(batch.places), model.tower
        size, patches = batch.lesions.shape
        hide = bool(torch.rand(()) < 0.5)
        order = torch.rand(size, patches).argsort(dim=1)[:, : int(SHOWN * patches)]
        keep = order if hide else None
        with torch.autocast("cpu", torch.bfloat16):
            tokens, alone = tower.tokens(normalised(batch.pictures), keep)
        tokens, patches = tokens.float(), tower.projection(alone.float())
        embedding = tower.pooled(tokens)
        logits = model.heads(embedding)
        shares = batch.lesions if keep is None else batch.lesions.gather(1, keep)
        where = model.lesion(patches).squeeze(-1)
        loss = answers_loss(logits, truth)
        loss = loss + LESION_WEIGHT * lesion_loss(where, shares, truth.lesion_known)
        loss = loss + EVIDENCE_WEIGHT * evidence_loss(patches, model.heads, truth, shares)
        return (
            loss
            if self.targets is None
            else loss + self.by_teacher(model, embedding, logits, batch)
        )

    def by_teacher(
        self, model: Student, embedding: Tensor, logits: dict[str, Tensor], batch: Batch
    ) -> Tensor:
        """How far the student is from what the teacher made of the same views."""
        assert self.targets is not None
        alike = F.cosine_similarity(
            model.like_teacher(embedding), self.targets.feature(batch.views), dim=1
        )
        theirs = self.targets.answers(batch.views)
        doubts = KIND_DOUBT * doubt(logits["kind"], theirs["kind"])
        for exam in EXAMS:
            mine = self.exams_of_kind[exam][batch.places]
            doubts = doubts + mine * doubt(logits[exam], theirs[exam])
        return FEATURE_WEIGHT * (1 - alike).mean() + DOUBT_WEIGHT * doubts.mean()


def of_kind(entries: list[Entry], exam: str) -> Tensor:
    """Which images of the list are of the exam's kind, as 0 and 1."""
    return torch.tensor([float(e.kind == KIND_OF_EXAM[exam]) for e in entries])


def make(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    entries = read(arguments.list)
    path = folder(arguments.work, arguments.run)
    names = kinds(entries, parts(entries, arguments.run).trained)
    known = masks.load(arguments.images, entries, arguments.work).known
    model = Student(len(names))
    if arguments.begin is not None:
        model.load_state_dict(load_file(arguments.begin), strict=False)
        model.float()
    elif arguments.grow is not None:
        grown(model.tower, arguments.grow, load(path))
    truth = Truth.of(entries, names, known)
    targets = None if arguments.alone else read_targets(path)
    objective = Objective(truth, targets, {e: of_kind(entries, e) for e in EXAMS})
    batches = Batches(load(path), None if targets is None else len(targets.features))
    plan = Plan(arguments.steps, arguments.batch, arguments.rate, arguments.seed)
    rest = [p for name, p in model.named_parameters() if not name.startswith("tower")]
    groups = [
        {"params": list(model.tower.parameters()), "factor": 1.0},
        {"params": rest, "factor": 2.0},
    ]
    fit(model, groups, batches, objective, plan, path / f"{arguments.name}.pt")
    save(model, arguments.out or path / f"{arguments.name}.safetensors")


def save(model: Student, path: Path) -> None:
    """The tower, the heads and the lesion layer, float16; what only the teacher needs goes."""
    kept = {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith("like_teacher") and value.is_floating_point()
    }
    save_file(kept, path, metadata={"format": "pt"})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def run(arguments: argparse.Namespace) -> None:
    make(arguments)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begin", type=Path, help="weights of a stage before")
    parser.add_argument("--grow", type=Path, help="a bundle whose encoder it begins from")
    parser.add_argument("--alone", action="store_true", help="without what the teacher said")
    parser.add_argument("--name", default="student", help="of the files under --work")
    parser.add_argument("--out", type=Path, help="where the weights go, float16")
