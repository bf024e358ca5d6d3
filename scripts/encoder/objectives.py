"""What is asked of teacher and student: the exams' answers, the kind of image, and where
the lesion is.

An answer is a set of possible classes; the loss is the negative logarithm of the chance
that the model gives to the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.listing import Entry
from data.meanings import EXAMS

SMOOTHING = 0.05
KIND_WEIGHT = 0.4
LESION_WEIGHT = 0.3
EVIDENCE_WEIGHT, EVIDENCE_SCALE = 0.3, 1.0
FEWEST_SHARE = 0.3
"""Of a patch that a lesion must fill to be evidence for it."""


@dataclass(frozen=True)
class Truth:
    """What is known of the list's images, in its order."""

    possible: dict[str, Tensor]
    """By exam, `[N, classes]`: whether a class is possible; nowhere true where nothing is
    known."""
    kinds: Tensor
    """`[N]`; -1 for a kind that is not told apart."""
    lesion_known: Tensor
    """`[N]`"""

    @classmethod
    def of(cls, entries: list[Entry], kinds: list[str], known: np.ndarray) -> Truth:
        possible = {}
        for exam, classes in EXAMS.items():
            rows = [[c in e.answers.get(exam, ()) for c in classes] for e in entries]
            possible[exam] = torch.tensor(rows)
        numbers = {kind: n for n, kind in enumerate(kinds)}
        of_kind = torch.tensor([numbers.get(e.kind, -1) for e in entries])
        return cls(possible, of_kind, torch.from_numpy(known))

    def at(self, places: Tensor) -> Truth:
        """The same for these places of the list."""
        possible = {exam: rows[places] for exam, rows in self.possible.items()}
        return Truth(possible, self.kinds[places], self.lesion_known[places])


class Heads(nn.Module):
    """A linear layer an exam and one for the kind, on a feature."""

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.exams = nn.ModuleDict({e: nn.Linear(width, len(c)) for e, c in EXAMS.items()})
        self.kind = nn.Linear(width, kinds)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """Logits by exam, and `kind`."""
        return {e: h(feature) for e, h in self.exams.items()} | {"kind": self.kind(feature)}


def set_loss(logits: Tensor, possible: Tensor) -> Tensor:
    """By row; sure rows are smoothed a little towards all classes."""
    logs = F.log_softmax(logits, dim=1)
    told = torch.logsumexp(logs.masked_fill(~possible, -torch.inf), dim=1)
    return -(1 - SMOOTHING) * told - SMOOTHING * logs.mean(dim=1)


def answers_loss(logits: dict[str, Tensor], truth: Truth) -> Tensor:
    """Exams and kind, each image once for everything that is known of it."""
    total = logits["kind"].new_zeros(())
    count = len(truth.kinds)
    for exam, possible in truth.possible.items():
        told = possible.any(dim=1)
        if told.any():
            total = total + set_loss(logits[exam][told], possible[told]).sum() / count
    of_kind = truth.kinds >= 0
    if of_kind.any():
        kind = F.cross_entropy(logits["kind"][of_kind], truth.kinds[of_kind])
        total = total + KIND_WEIGHT * kind
    return total


def evidence_loss(
    patches: Tensor, heads: Heads, truth: Truth, share: Tensor, weighed: float = EVIDENCE_SCALE
) -> Tensor:
    """The answer must rest on the lesion. A patch's evidence for the classes that are possible is
    how much further its embedding lies their way than the classes' mean; over the patches
    `[B, P, E]` it is softened to a distribution, and the part of it on the lesion (`share`,
    `[B, P]`) is to be one. Images without a known lesion, or with none, say nothing."""
    total, count = patches.new_zeros(()), 0
    seen = truth.lesion_known & (share.amax(dim=1) > FEWEST_SHARE)
    for exam, possible in truth.possible.items():
        rows = seen & possible.any(dim=1) & ~possible.all(dim=1)
        if not rows.any():
            continue
        weight, mine = heads.exams[exam].weight, possible[rows].float()
        way = mine @ weight / mine.sum(dim=1, keepdim=True) - weight.mean(dim=0)
        evidence = torch.einsum("bpe,be->bp", patches[rows], way) * weighed
        part = (F.softmax(evidence, dim=1) * (share[rows] > FEWEST_SHARE)).sum(dim=1)
        total = total - part.clamp_min(1e-6).log().sum()
        count += int(rows.sum())
    return total / max(count, 1)


def lesion_loss(logits: Tensor, share: Tensor, known: Tensor) -> Tensor:
    """Patches `[B, P]` against the share of lesion in each, where the lesion is known;
    the few patches of lesions count as much as the many without."""
    if not known.any():
        return logits.new_zeros(())
    logits, share = logits[known], share[known]
    weight = 1 + 4 * share
    loss = F.binary_cross_entropy_with_logits(logits, share, weight, reduction="sum")
    return loss / weight.sum()
