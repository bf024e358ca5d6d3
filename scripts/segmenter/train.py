"""Step `train`: the reduced SAM2 on worn pictures, asked several questions about each.

An image is encoded once, and the decoder is asked `QUESTIONS` times about it, in up to three
turns: the second and third add a point where the answer was wrong, and often the answer
itself as a mask. It begins from weights of a stage before, or from a bundle's graphs.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.listing import read
from encoder import pixels
from encoder.loop import Plan, fit

from . import outlines, shipped
from .model import Prompted, load, normalised, save
from .objectives import loss
from .prompts import Questions, corrected, question, together
from .sampling import weights
from .scenes import Stage

QUESTIONS = 3
TURNS = (1, 2, 3)
TURN_CHANCES = (0.6, 0.25, 0.15)
KEEP_MASK = 0.6
"""How often a further turn has the answer before as a mask."""
FACTORS = (1.0, 1.5, 3.0, 6.0)
"""Rates of the encoder, the decoder, what began as nothing, and of the two heads that say how
good the masks are: these run after all the others."""


@dataclass(frozen=True)
class Batch:
    """Pictures `[B, S, S]` uint8, and `QUESTIONS` questions about each in their order."""

    pictures: Tensor
    asked: Questions
    turns: int


class Batches:
    """Draws the scenes and questions of a step: the same whenever it is asked for."""

    def __init__(self, stage: Stage, chances: np.ndarray) -> None:
        self.stage, self.chances = stage, chances
        self.makers = (stage.scene, stage.drawn, stage.grafted)
        """In the order of `sampling.WAYS`."""

    def at(self, step: int, size: int, seed: int) -> Batch:
        random = np.random.default_rng((seed, step))
        count = len(self.stage.entries)
        places = random.choice(self.chances.size, size, p=self.chances.ravel())
        scenes = []
        for place in places:
            way, i = divmod(int(place), count)
            scenes.append(self.makers[way](i, random))
        asked = [question(scene, random) for scene in scenes for _ in range(QUESTIONS)]
        pictures = torch.from_numpy(np.stack([scene.picture for scene in scenes]))
        return Batch(pictures, together(asked), int(random.choice(TURNS, p=TURN_CHANCES)))


def objective(model: Prompted, batch: Batch) -> Tensor:
    """The loss of all turns."""
    asked, total = batch.asked, torch.zeros(())
    with torch.autocast("cpu", torch.bfloat16):
        maps = model.encoder(normalised(batch.pictures))
    embedding, *finer = (m.repeat_interleave(QUESTIONS, dim=0) for m in maps)
    for turn in range(batch.turns):
        with torch.autocast("cpu", torch.bfloat16):
            masked = asked.masked.reshape(-1, 1, 1, 1)
            prompted = embedding + masked * model.dense(asked.masks)
            answer = model.decoder(prompted, *finer, asked.points, asked.labels)
        masks, iou, score = (part.float() for part in answer)
        total = total + loss(masks, iou, score, asked, turn == 0)
        if turn + 1 < batch.turns:
            keep = torch.rand(len(masks)) < KEEP_MASK
            asked = corrected(asked, chosen(masks, iou, asked, turn == 0).detach(), keep)
    return total / batch.turns


def chosen(masks: Tensor, iou: Tensor, asked: Questions, first: bool) -> Tensor:
    """The mask that the runtime would take: the single one for a box or after a mask, else
    the one of three with the highest predicted IoU."""
    best = 1 + iou[:, 1:].argmax(dim=1)
    single = asked.single if first else asked.single | asked.masked
    place = torch.where(single, torch.zeros_like(best), best)
    return masks[torch.arange(len(masks)), place]


FROZEN = tuple(f"encoder.trunk.{n}" for n in ("patch_embed", "pos_embed", "blocks.0", "blocks.1"))
"""What `--keep-lower` leaves as it is: edges and textures, a fifth of a step's time."""


def part(name: str) -> int:
    """Which of `FACTORS` a weight learns by."""
    if name.startswith(("decoder.drawn", "mask_prompt")):
        return 2
    if name.startswith(("decoder.iou_head", "decoder.object_head")):
        return 3
    return int(name.startswith("decoder"))


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(arguments.seed)
    path = arguments.work / f"{arguments.name}.pt"
    begin = arguments.begin
    model = shipped.segmenter(arguments.bundle) if begin is None else load(begin)
    entries = read(arguments.list)
    grey = pixels.load(arguments.images, entries, arguments.work)
    found = outlines.load(arguments.images, entries, arguments.work)
    batches = Batches(Stage(entries, grey, found), weights(entries, found))
    if arguments.keep_lower:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(FROZEN))
    groups = [
        {"params": [p for name, p in model.named_parameters() if part(name) == n], "factor": f}
        for n, f in enumerate(FACTORS)
    ]
    plan = Plan(
        arguments.steps,
        arguments.batch,
        arguments.rate,
        arguments.seed,
        averaging=arguments.averaging,
        saved_every=arguments.saved_every,
    )
    fit(model, groups, batches, objective, plan, path)
    save(model, arguments.out or path.with_suffix(".safetensors"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8, help="pictures of a step")
    parser.add_argument("--rate", type=float, default=5e-4, help="the highest learning rate")
    parser.add_argument("--averaging", type=float, default=0.99, help="of the weights, a step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--saved-every", type=int, default=50, help="steps")
    parser.add_argument("--begin", type=Path, help="weights of a stage before, not the bundle's")
    parser.add_argument("--keep-lower", action="store_true", help="train the upper blocks only")
    parser.add_argument("--name", default="segmenter", help="of the files under --work")
    parser.add_argument("--out", type=Path, help="where the weights go, float16")
