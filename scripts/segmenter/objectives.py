"""SAM's losses: focal and Dice on the mask that answers, the predicted IoU of every mask, and
whether there is anything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .prompts import Questions

FOCAL, DICE, IOU, OBJECT = 20.0, 1.0, 4.0, 0.15
GAMMA, ALPHA = 2.0, 0.6
OTHER = 0.4
"""Of the organ as a second right answer to the whole image."""


def mask_losses(masks: Tensor, goal: Tensor, counts: Tensor) -> Tensor:
    """Focal and Dice loss of every mask `[Q, M, S, S]`, where it counts: `[Q, M]`. The goal
    is a share of each cell, so the focal loss is that of a soft label."""
    goal, counts = goal.unsqueeze(1), counts.unsqueeze(1)
    p = masks.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(masks, goal.expand_as(masks), reduction="none")
    weight = (goal - p).abs() ** GAMMA * (ALPHA * goal + (1 - ALPHA) * (1 - goal)) * 2
    focal = (weight * entropy * counts).mean((2, 3))
    overlap = (p * goal * counts).sum((2, 3))
    total = (p * counts).sum((2, 3)) + (goal * counts).sum((2, 3))
    return FOCAL * focal + DICE * (1 - (2 * overlap + 1) / (total + 1))


@torch.no_grad()
def true_iou(masks: Tensor, goal: Tensor) -> Tensor:
    """IoU of every mask with its goal, `[Q, M]`; 0 where both are empty."""
    hard, real = masks > 0, goal.unsqueeze(1) > 0.5
    return (hard & real).sum((2, 3)) / (hard | real).sum((2, 3)).clamp(min=1)


def loss(masks: Tensor, iou: Tensor, score: Tensor, asked: Questions, first: bool) -> Tensor:
    """The loss of one turn. The single mask answers every question; the best of the three
    others too at the first turn, and always where points alone ask."""
    per_mask = mask_losses(masks, asked.goal, asked.counts)
    there, has_other = asked.exists.float(), asked.has_other.float()
    many = torch.ones_like(there) if first else (~asked.single).float()
    best = per_mask[:, 1:].min(dim=1).values
    value = there * (per_mask[:, 0] + many * best)
    if first:
        others = mask_losses(masks[:, 1:], asked.other, torch.ones_like(asked.other))
        value = value + OTHER * has_other * others.min(dim=1).values
    real = true_iou(masks, asked.goal)
    elsewhere = true_iou(masks, asked.other) * has_other.unsqueeze(1)
    real = torch.cat([real[:, :1], torch.maximum(real, elsewhere)[:, 1:]], dim=1)
    off = (iou - real).abs().mean(dim=1) * asked.outlined.float()
    existence = F.binary_cross_entropy_with_logits(score[:, 0], there)
    return (value + IOU * off).mean() + OBJECT * existence
