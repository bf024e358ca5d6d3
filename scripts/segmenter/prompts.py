"""What a scene is asked, as SAM is trained: a box that is a little off, a point inside, the
whole image, a coarse mask; then, in turns, a point where the answer was wrong.

A question has the form in which the runtime asks it (`src/focus/prompt.rs`): two corners for
a box, a point and a padding point otherwise, and one point more for every turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from .scenes import Random, Scene, Target

BACKGROUND, INSIDE, TOP_LEFT, BOTTOM_RIGHT, PADDING = 0.0, 1.0, 2.0, 3.0, -1.0
CELL = 4
"""Pixels of the input to one of the mask logits."""
JITTER = 0.1
"""Standard deviation of a box's corner as a share of its side, at most `FARTHEST` pixels."""
FARTHEST = 12.0
PARTS = 0.5
"""How often one of several parts is asked for."""
COARSE = 12
"""Cells a side of a coarse mask, as the embedding has."""
WHOLE, BOX, POINT, MASK = "whole", "box", "point", "mask"
CHANCES: dict[str, dict[str, float]] = {
    "finding": {WHOLE: 0.3, BOX: 0.28, POINT: 0.32, MASK: 0.1},
    "boxed": {WHOLE: 0.55, POINT: 0.35, MASK: 0.1},
    "organ": {BOX: 0.45, POINT: 0.45, MASK: 0.1},
}
"""Of each way to ask, by what is asked for. A finding of which only a box is known is never
asked for by a box: the answer would be the box."""


@dataclass(frozen=True)
class Question:
    """One prompt and its answer. `other` may be meant as well (the organ, where the whole
    image is asked about); `exists` is false where there is nothing to find."""

    corners: np.ndarray
    labels: np.ndarray
    mask: np.ndarray | None
    goal: Target
    other: Target | None
    exists: bool
    single: bool
    """Whether the single mask answers, and not the best of three."""


def parts(plane: np.ndarray) -> list[np.ndarray]:
    """Connected parts that are large enough to be asked for."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(plane.astype(np.uint8))
    return [labels == n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= 24]


def bounds(plane: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of what is inside; the last two behind it."""
    x, y = np.flatnonzero(plane.any(axis=0)), np.flatnonzero(plane.any(axis=1))
    return np.array([x[0], y[0], x[-1] + 1, y[-1] + 1], np.float32)


def jittered(box: np.ndarray, random: Random, side: int) -> np.ndarray:
    size = np.tile(box[2:] - box[:2], 2)
    off = np.clip(random.normal(0, JITTER, 4) * size, -FARTHEST, FARTHEST)
    moved = np.clip(box + off, 0, side)
    return moved if (moved[2:] - moved[:2] >= 2).all() else box


def coarse(plane: np.ndarray, random: Random) -> np.ndarray:
    """Mask logits as somebody might hint at an object: coarse, moved, not sure."""
    side, cells = plane.shape[0], plane.shape[0] // CELL
    shift = random.normal(0, 0.03, 2) * side
    moved = cv2.warpAffine(
        plane.astype(np.float32), np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (side, side)
    )
    small = cv2.resize(moved, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(small, (cells, cells), interpolation=cv2.INTER_LINEAR)
    return (smooth - random.uniform(0.15, 0.5)).astype(np.float32) * random.uniform(4, 20)


def whole(side: int) -> np.ndarray:
    return np.array([[0, 0], [side, side]], np.float32)


def point_in(plane: np.ndarray, random: Random) -> np.ndarray:
    """The middle of a pixel of the plane, as the runtime counts: a pixel's own number."""
    y, x = np.nonzero(plane)
    n = random.integers(len(y))
    return np.array([x[n], y[n]], np.float32)


CORNERS = np.array([TOP_LEFT, BOTTOM_RIGHT], np.float32)
ONE_POINT = np.array([INSIDE, PADDING], np.float32)


def asked(goal: Target, kind: str, random: Random) -> Question:
    """A question for this object."""
    side = goal.inside.shape[0]
    if kind in (BOX, POINT) and random.random() < PARTS:
        pieces = parts(goal.inside)
        if len(pieces) > 1:
            piece = pieces[random.integers(len(pieces))]
            goal = Target(piece, piece) if goal.outlined else replace(goal, inside=piece)
    if kind == POINT:
        corners = np.stack([point_in(goal.inside, random), np.zeros(2, np.float32)])
        return Question(corners, ONE_POINT, None, goal, None, True, False)
    if kind == BOX:
        corners = jittered(bounds(goal.inside), random, side).reshape(2, 2)
        return Question(corners, CORNERS, None, goal, None, True, True)
    mask = coarse(goal.inside, random) if kind == MASK else None
    return Question(whole(side), CORNERS, mask, goal, None, True, True)


def question(scene: Scene, random: Random) -> Question:
    """One of the questions that this scene can answer."""
    side = scene.picture.shape[0]
    if scene.empty and (not scene.asks_organ or scene.organ is None or random.random() < 0.5):
        nothing = np.zeros((side, side), bool)
        goal = Target(nothing, nothing)
        return Question(whole(side), CORNERS, None, goal, scene.organ, False, True)
    choices: list[tuple[str, Target]] = [("organ", o) for o in scene.drawn]
    if scene.finding is not None:
        role = "finding" if scene.finding.outlined else "boxed"
        choices += [(role, scene.finding)] * 4
    if scene.organ is not None and scene.asks_organ:
        choices.append(("organ", scene.organ))
    role, goal = choices[random.integers(len(choices))]
    kinds = CHANCES[role]
    kind = str(random.choice(list(kinds), p=list(kinds.values())))
    made = asked(goal, kind, random)
    return replace(made, other=scene.organ) if kind == WHOLE else made


@dataclass(frozen=True)
class Questions:
    """`Q` questions as tensors; targets at the decoder's resolution."""

    points: Tensor
    labels: Tensor
    masks: Tensor
    """Logits `[Q, 1, S/4, S/4]`, 0 where there is none."""
    masked: Tensor
    goal: Tensor
    """Share of each cell that is inside, `[Q, S/4, S/4]`."""
    counts: Tensor
    """1 where it is known whether the cell is inside, else 0."""
    other: Tensor
    has_other: Tensor
    exists: Tensor
    outlined: Tensor
    single: Tensor


def small(plane: np.ndarray) -> np.ndarray:
    side = plane.shape[0] // CELL
    return cv2.resize(plane.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def together(questions: list[Question]) -> Questions:
    side = questions[0].goal.inside.shape[0] // CELL
    nothing = np.zeros((side, side), np.float32)

    def stacked(planes: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(planes).astype(np.float32))

    def flags(values: list[bool]) -> Tensor:
        return torch.tensor(values)

    return Questions(
        stacked([q.corners for q in questions]),
        stacked([q.labels for q in questions]),
        stacked([nothing if q.mask is None else q.mask for q in questions]).unsqueeze(1),
        flags([q.mask is not None for q in questions]),
        stacked([small(q.goal.inside) for q in questions]),
        stacked([small(q.goal.inside | ~q.goal.possible) > 0.99 for q in questions]),
        stacked([nothing if q.other is None else small(q.other.inside) for q in questions]),
        flags([q.other is not None for q in questions]),
        flags([q.exists for q in questions]),
        flags([q.goal.outlined for q in questions]),
        flags([q.single for q in questions]),
    )


def corrected(questions: Questions, answer: Tensor, keep_mask: Tensor) -> Questions:
    """The same questions with one point more, drawn from where `answer` (mask logits
    `[Q, S/4, S/4]`) is wrong, and with the answer itself as the mask where `keep_mask`."""
    real = questions.goal > 0.5
    wrong = ((answer > 0) != real).float() * questions.counts
    chances = wrong + 1e-5 * (real.float() + 1e-3)
    place = torch.multinomial(chances.flatten(1), 1)[:, 0]
    side = answer.shape[-1]
    within = torch.rand(len(place), 2) - 0.5
    at = torch.stack([place % side, place // side], dim=1).float()
    point = ((at + 0.5 + within) * CELL - 0.5).clamp(0, CELL * side - 1)
    label = real.flatten(1).gather(1, place.unsqueeze(1)).float()
    return replace(
        questions,
        points=torch.cat([questions.points, point.unsqueeze(1)], dim=1),
        labels=torch.cat([questions.labels, label], dim=1),
        masks=torch.where(keep_mask.reshape(-1, 1, 1, 1), answer.unsqueeze(1), questions.masks),
        masked=keep_mask | questions.masked,
    )
