"""Step `figures`: how well a segmenter follows its prompts, on images held back.

Every image with an outline or a box that people drew is asked in each of `WAYS`; of its
answers the one is taken that the runtime takes. The bundle's own segmenter is asked the same.
Outlines that a model made are left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.listing import Entry, read
from data.progress import Progress
from encoder import pixels
from encoder.pixels import SIDE
from starter.segmenter import Segmenter

from . import outlines, shipped
from .answers import Answer, choose, cleaned, enlarged
from .model import Prompted, load, normalised
from .outlines import BOX, HUMAN, ROUGH
from .page import write
from .prompts import CORNERS, ONE_POINT, bounds, parts, point_in, whole
from .scenes import Stage, Target
from .scoring import area_under_curve, interval, mean_interval, overlap, rank_correlation

WAYS = ("box", "off", "point", "random", "three", "whole", "organs", "mask")
"""The true box; the same with each corner moved by up to a tenth; a point in the deepest
place; a point anywhere inside; that and two more where the answer was wrong; no prompt of a
person (the whole image as the box); the same, best of the three others; the answer to the
whole image given back as a mask."""
OFF = 0.1
Prompt = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One object of one image held back."""

    place: int
    what: str
    """`lesion`, `rough`, `box` or `lungs`."""
    target: Target


@dataclass(frozen=True)
class Row:
    """One answer, measured. With boxes alone overlap is with the filled box."""

    sha256: str
    group: str
    kind: str
    source: str
    what: str
    way: str
    iou: float
    dice: float
    covered: float
    hit: bool
    predicted: float
    score: float


def cases(stage: Stage, held: list[int]) -> list[Case]:
    """Findings that people outlined or boxed, and lung fields."""
    found = []
    names = {HUMAN: "lesion", ROUGH: "rough", BOX: "box"}
    for i in held:
        scene, maker = stage.still(i), str(stage.outlines.makers[i])
        if scene.finding is not None and maker in names:
            found.append(Case(i, names[maker], scene.finding))
        if scene.organ is not None and stage.entries[i].kind == "chest":
            found.append(Case(i, "lungs", scene.organ))
    return found


def deepest(plane: np.ndarray) -> np.ndarray:
    """The place of a plane that is farthest from its border."""
    padded = cv2.copyMakeBorder(plane.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([x, y], np.float32)


def first_prompt(case: Case, way: str, random: np.random.Generator) -> Prompt:
    """Points and labels in the input's pixels."""
    real = case.target.possible
    if way in ("box", "off"):
        box = bounds(real)
        if way == "off":
            size = np.tile(box[2:] - box[:2], 2)
            box = np.clip(box + random.uniform(-OFF, OFF, 4) * size, 0, SIDE)
        return box.reshape(2, 2).astype(np.float32), CORNERS
    if way == "point":
        at = deepest(max(parts(case.target.inside) or [case.target.inside], key=np.sum))
        return np.stack([at, np.zeros(2, np.float32)]), ONE_POINT
    if way in ("random", "three"):
        at = point_in(case.target.inside, random)
        return np.stack([at, np.zeros(2, np.float32)]), ONE_POINT
    return whole(SIDE), CORNERS


class Asker:
    """A segmenter and the maps of one picture."""

    def __init__(self, model: Segmenter, picture: np.ndarray) -> None:
        self.model = model
        self.maps = model.encoder(normalised(torch.from_numpy(picture).unsqueeze(0)))

    def masks(self, prompt: Prompt, mask: np.ndarray | None = None) -> list[Answer]:
        """The single mask and the three others."""
        embedding, *finer = self.maps
        if mask is not None:
            assert isinstance(self.model, Prompted)
            embedding = embedding + self.model.dense(torch.from_numpy(mask)[None, None])
        points, labels = (torch.from_numpy(part).unsqueeze(0) for part in prompt)
        found: tuple[Tensor, ...] = self.model.decoder(embedding, *finer, points, labels)
        logits, iou, score = (part[0].numpy() for part in found)
        return [Answer(m, float(p), float(score[0])) for m, p in zip(logits, iou, strict=True)]

    def answer(self, prompt: Prompt) -> Answer:
        """As the runtime asks: one mask for a box, the best of three for points."""
        found = self.masks(prompt)
        return found[0] if (prompt[1] == CORNERS[0]).any() else choose(found[1:])

    def three(self, prompt: Prompt, real: np.ndarray) -> Answer:
        """Two points more, each in the deepest place where the answer is wrong."""
        for _ in range(2):
            wrong = (enlarged(cleaned(self.answer(prompt).logits), SIDE) > 0) ^ real
            if not wrong.any():
                break
            at = deepest(wrong)
            label = float(real[int(at[1]), int(at[0])])
            prompt = (np.vstack([prompt[0], at]), np.append(prompt[1], np.float32(label)))
        return self.answer(prompt)


def asked(asker: Asker, case: Case, way: str, random: np.random.Generator) -> Answer:
    """The answer of one way."""
    prompt = first_prompt(case, way, random)
    if way == "three":
        return asker.three(prompt, case.target.inside)
    if way == "organs":
        return choose(asker.masks(prompt)[1:])
    if way == "mask":
        return asker.masks(prompt, asker.masks(prompt)[0].logits)[0]
    return asker.answer(prompt)


def measured(case: Case, entry: Entry, way: str, answer: Answer) -> Row:
    full = enlarged(cleaned(answer.logits), SIDE)
    real = case.target.possible
    y, x = np.unravel_index(full.argmax(), full.shape)
    values = overlap(full > 0, real)
    return Row(
        entry.sha256,
        entry.group,
        entry.kind,
        entry.source,
        case.what,
        way,
        *values,
        bool(real[y, x]),
        answer.predicted,
        answer.score,
    )


def filled(case: Case, entry: Entry) -> Row:
    """The true box, filled: what a segmenter must beat."""
    left, top, right, bottom = bounds(case.target.possible).astype(int)
    plane = np.zeros((SIDE, SIDE), bool)
    plane[top:bottom, left:right] = True
    values = overlap(plane, case.target.possible)
    return Row(
        entry.sha256,
        entry.group,
        entry.kind,
        entry.source,
        case.what,
        "filled",
        *values,
        True,
        0.0,
        0.0,
    )


@torch.no_grad()
def rows(model: Segmenter, stage: Stage, held: list[int], masks: bool) -> list[Row]:
    """Every case asked in every way; where the segmenter takes no mask, without that one."""
    found = []
    ways = [way for way in WAYS if masks or way != "mask"]
    mine = cases(stage, held)
    with Progress("asked", len(mine)) as progress:
        for case in mine:
            entry = stage.entries[case.place]
            asker = Asker(model, np.array(stage.grey[case.place]))
            for n, way in enumerate(ways):
                # A box is no outline: to ask by it would be to be told the answer.
                if case.what == "box" and way in ("box", "off", "three"):
                    continue
                random = np.random.default_rng((case.place, n))
                found.append(measured(case, entry, way, asked(asker, case, way, random)))
            if case.what != "box":
                found.append(filled(case, entry))
            progress.step()
    return found


@torch.no_grad()
def existence(model: Segmenter, stage: Stage, held: list[int]) -> dict[str, list[float]]:
    """By kind: how well the object score tells findings from nothing, and of how many."""
    scores: dict[str, list[tuple[float, bool]]] = {}
    for i in held:
        there = bool(stage.outlines.makers[i])
        kind = stage.entries[i].kind
        if not (there or stage.outlines.empty[i]) or kind not in ("breast", "brain", "chest"):
            continue
        asker = Asker(model, np.array(stage.grey[i]))
        answer = asker.masks((whole(SIDE), CORNERS))[0]
        scores.setdefault(kind, []).append((answer.score, there))
    record = {}
    for kind, pairs in sorted(scores.items()):
        values, there = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        area = area_under_curve(values, there)
        record[kind] = [round(area, 3), int(there.sum()), int((~there).sum())]
    return record


def summary(mine: list[Row]) -> dict[str, object]:
    """Figures of one cell, each with its interval."""
    groups = [row.group for row in mine]
    record: dict[str, object] = {"images": len(mine), "groups": len(set(groups))}
    for name in ("iou", "dice", "covered", "hit"):
        values = np.array([float(getattr(row, name)) for row in mine])
        record[name] = [round(v, 3) for v in mean_interval(values, groups)]
    return record


def correlation(mine: list[Row]) -> dict[str, object]:
    """Rank correlation of predicted and true IoU."""
    predicted, real = (np.array([getattr(r, n) for r in mine]) for n in ("predicted", "iou"))
    groups = [row.group for row in mine]
    found = interval([predicted, real], groups, rank_correlation)
    return {
        "answers": len(mine),
        "rank": [round(v, 3) for v in found],
        "off": round(float(np.abs(predicted - real).mean()), 3),
    }


def tabled(all_rows: list[Row]) -> dict[str, object]:
    """By kind, what and way; the same by source; and the correlations. Where only a box is
    known IoU is not, so those answers are left out of the last."""
    cells: dict[str, dict[str, object]] = {"by_exam": {}, "by_source": {}, "correlation": {}}

    def split(keys: list[str]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in all_rows:
            found.setdefault(" ".join(str(getattr(row, key)) for key in keys), []).append(row)
        return dict(sorted(found.items()))

    for name, mine in split(["kind", "what", "way"]).items():
        cells["by_exam"][name] = summary(mine)
    for name, mine in split(["kind", "what", "source", "way"]).items():
        cells["by_source"][name] = summary(mine)
    said = [r for r in all_rows if r.what in ("lesion", "lungs") and r.way != "filled"]
    lesions = [r for r in said if r.what == "lesion"]
    kinds = ("breast", "brain")
    sets = {"all": said, "lesions": lesions}
    sets |= {f"{kind} lesions": [r for r in lesions if r.kind == kind] for kind in kinds}
    sets |= {f"lesions, {way}": [r for r in lesions if r.way == way] for way in WAYS}
    cells["correlation"] = {name: correlation(mine) for name, mine in sets.items() if mine}
    return cells


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    entries = read(arguments.list)
    grey = pixels.load(arguments.images, entries, arguments.work)
    stage = Stage(entries, grey, outlines.load(arguments.images, entries, arguments.work))
    held = [i for i, entry in enumerate(entries) if entry.held]
    path = arguments.weights
    models: dict[str, tuple[Segmenter, bool]] = {"stage": (load(path), True)}
    if not arguments.alone:
        models["shipped"] = (shipped.segmenter(arguments.bundle), False)
    record: dict[str, object] = {}
    for name, (model, masks) in models.items():
        found = tabled(rows(model, stage, held, masks))
        record[name] = found | {"existence": existence(model, stage, held)}
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.page is not None:
        write(arguments.page, record)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    weights = root / "models/training/segmenter-stage5.safetensors"
    parser.add_argument("--weights", type=Path, default=weights)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "figures.json")
    parser.add_argument("--page", type=Path, default=root / "docs/segmenter-training.md")
    parser.add_argument("--alone", action="store_true", help="without the shipped bundle's")
