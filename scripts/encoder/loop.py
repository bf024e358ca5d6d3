"""The training loop that teacher and student share: batches of views, a schedule, averaged
weights, and a checkpoint from which a run that was stopped goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .tower import INPUT
from .views import SIDE, Views

WARM_UP = 0.08


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    steps: int
    batch: int
    rate: float
    seed: int
    averaging: float = 0.995
    decay: float = 0.03
    saved_every: int = 100
    """Steps between two checkpoints."""

    def rate_at(self, step: int) -> float:
        """Up in a line, down as a cosine."""
        begin = WARM_UP * self.steps
        if step < begin:
            return self.rate * (step + 1) / begin
        share = (step - begin) / max(self.steps - begin, 1)
        return self.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class Batch:
    """Views, which of all views they are, and their places in the list."""

    pictures: Tensor
    """uint8 `[B, INPUT, INPUT]`"""
    lesions: Tensor
    """float `[B, patches]` in [0, 1]"""
    views: Tensor
    places: Tensor


class Batches:
    """Every view (or the first `count`) once, in another order each time; each seen at a
    place that moves and mirrored half of the time."""

    def __init__(self, views: Views, count: int | None = None) -> None:
        self.views, self.count = views, count or len(views)

    def at(self, step: int, size: int, seed: int) -> Batch:
        """The batch of a step: the same whenever it is asked for."""
        each = self.count // size
        order = np.random.default_rng((seed, step // each)).permutation(self.count)
        random = np.random.default_rng((seed, step, 1))
        start = step % each * size
        chosen = np.sort(order[start : start + size])
        pictures, lesions = self.views.pictures[chosen], self.views.lesions[chosen]
        corners = random.integers(0, SIDE - INPUT + 1, (size, 2))
        shown = np.stack(
            [p[y : y + INPUT, x : x + INPUT] for p, (y, x) in zip(pictures, corners, strict=True)]
        )
        mirror = random.random(size) < 0.5
        shown[mirror], lesions[mirror] = shown[mirror][:, :, ::-1], lesions[mirror][:, :, ::-1]
        return Batch(
            torch.from_numpy(shown),
            torch.from_numpy(lesions.reshape(size, -1)).float() / 255,
            torch.from_numpy(chosen),
            torch.from_numpy(self.views.places[chosen]),
        )


def grouped(groups: Iterable[dict]) -> torch.optim.Optimizer:
    """AdamW; weights of one axis (norms, biases) do not decay."""
    split = []
    for group in groups:
        learnt = [p for p in group["params"] if p.requires_grad]
        for decays in (True, False):
            mine = [p for p in learnt if (p.ndim > 1) == decays]
            split.append({"params": mine, "factor": group["factor"], "decays": decays})
    return torch.optim.AdamW(split, lr=1e-3, betas=(0.9, 0.98))


def fit(
    model: nn.Module,
    groups: Iterable[dict],
    batches: Batches,
    loss: Callable[[nn.Module, Batch], Tensor],
    plan: Plan,
    path: Path,
) -> None:
    """Trains `model` to its averaged weights, which are written to `path`; goes on from
    `path` with `.part` where that is there. What was spent stands beside it as JSON."""
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return
    average = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(plan.averaging), use_buffers=True
    )
    optimiser, part = grouped(groups), path.with_suffix(".part")
    first, spent, busy = 0, 0.0, 0.0
    if part.exists():
        saved = torch.load(part, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        first, spent, busy = saved["step"], saved["spent"], saved["busy"]
    begin, begin_busy = time.monotonic() - spent, time.process_time() - busy
    model.train()
    shown = 0.0
    for step in range(first, plan.steps):
        rate = plan.rate_at(step)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
            group["weight_decay"] = plan.decay if group["decays"] else 0.0
        torch.manual_seed(plan.seed * 1_000_003 + step)
        value = loss(model, batches.at(step, plan.batch, plan.seed))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(model)
        shown = value.item() if step == first else 0.95 * shown + 0.05 * value.item()
        done = step + 1
        if done % 20 == 0:
            seconds = time.monotonic() - begin
            print(f"step {done}/{plan.steps} loss {shown:.4f} {seconds:.0f} s", flush=True)
        if done % plan.saved_every == 0 and done < plan.steps:
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": done,
                "spent": time.monotonic() - begin,
                "busy": time.process_time() - begin_busy,
            }
            torch.save(state, part.with_suffix(".new"))
            part.with_suffix(".new").replace(part)
    model.load_state_dict(average.module.state_dict())
    record = asdict(plan) | {
        "loss": round(shown, 4),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "processor_minutes": round((time.process_time() - begin_busy) / 60, 1),
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    torch.save(model.state_dict(), path)
    part.unlink(missing_ok=True)
