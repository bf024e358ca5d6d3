"""What the reduced CLIP is trained on: balanced batches of whole and focused images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import augment, data, focus

SHARE = {"covid3": 0.13, "lung_tb2": 0.2, "brain4": 0.32, "breast3": 0.22, "cxr_extra": 0.13}
"""Share of each task in a batch; within a task all classes are drawn alike."""
STYLE_SHARE = {"none": 0.45, "crop": 0.45, "overlay": 0.06, "blur": 0.02, "cutout": 0.02}
MASK_SIDE = 128


@dataclass(frozen=True)
class Changes:
    """How far a picture may be changed before it is learnt from."""

    degrees: float = 12
    shift: float = 0.08
    scale: tuple[float, float] = (0.82, 1.12)
    aspect: float = 0.12
    grey: float = 0.6
    """Strength of the changes of grey values, blur and noise."""
    erased: float = 0.15
    """Share of the images that lose a rectangle."""

    def affine(self, count: int, generator: torch.Generator) -> Tensor:
        """As many maps of the picture's place and shape, any of them turned over."""
        return augment.random_affine(
            count,
            generator,
            degrees=self.degrees,
            shift=self.shift,
            scale=self.scale,
            aspect=self.aspect,
            flip=torch.ones(count, dtype=torch.bool),
        )


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """What `crop` shows for each mask, in the unit square; all of it where it is empty."""
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(masks), 1))
    for i, mask in enumerate(masks):
        ys, xs = np.nonzero(mask)
        if len(ys):
            corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / mask.shape[0]
            boxes[i] = focus.crop_box(*corners.tolist())
    return boxes


class Batch(NamedTuple):
    """Pictures `[B, 3, side, side]` in [0, 1], and what they are."""

    image: Tensor
    clean: Tensor
    """The same before grey values and noise were changed."""
    tasks: Tensor
    classes: Tensor


class Sampler:
    """Draws balanced, augmented, focused batches of these tasks."""

    def __init__(
        self,
        rows: list[data.Row],
        pixels: np.ndarray,
        masks: np.ndarray,
        keep: set[int],
        tasks: dict[str, list[str]],
        styles: dict[str, float] = STYLE_SHARE,
        shares: dict[str, float] = SHARE,
        changes: Changes = Changes(),
    ) -> None:
        self.pixels, self.masks = torch.from_numpy(pixels), torch.from_numpy(masks)
        self.boxes = torch.from_numpy(boxes_of(masks))
        self.members = {
            task: [
                np.array([i for i in keep if rows[i].task == task and rows[i].label == label])
                for label in labels
            ]
            for task, labels in tasks.items()
        }
        self.tasks, self.styles, self.changes = list(tasks), styles, changes
        of_tasks = np.array([shares[task] for task in tasks])
        self.shares = of_tasks / of_tasks.sum()

    def batch(
        self, size: int, side: int, random: np.random.Generator, generator: torch.Generator
    ) -> Batch:
        """`size` pictures of `side` pixels."""
        changes = self.changes
        tasks = random.choice(len(self.tasks), size, p=self.shares)
        classes = np.array([random.integers(len(self.members[self.tasks[t]])) for t in tasks])
        pick = torch.tensor(
            [
                random.choice(self.members[self.tasks[t]][c])
                for t, c in zip(tasks, classes, strict=True)
            ]
        )
        styles = random.choice(list(self.styles), size, p=list(self.styles.values()))
        crops = torch.from_numpy(styles == "crop")
        boxes = torch.where(crops[:, None], self.boxes[pick], torch.tensor([0.0, 0, 1, 1]))
        theta = changes.affine(size, generator)
        theta = augment.compose(augment.crop_affine(boxes), theta)
        # Halved first: the warp samples four pixels, the device's resize averages all.
        source = F.avg_pool2d(self.pixels[pick].unsqueeze(1).float() / 255, 2)
        clean = augment.warp(source, theta, side)
        grey = augment.jitter(clean, generator, changes.grey)
        image = augment.erase(grey, generator, changes.erased)
        image, clean = (x.expand(-1, 3, -1, -1).clone() for x in (image, clean))
        mask = (augment.warp(self.masks[pick].unsqueeze(1).float(), theta, side) > 0.5).float()
        for style in ("overlay", "blur", "cutout"):
            chosen = torch.from_numpy(styles == style)
            if chosen.any():
                image[chosen] = focus.paint(style, image[chosen], mask[chosen])
                clean[chosen] = focus.paint(style, clean[chosen], mask[chosen])
        return Batch(image, clean, torch.from_numpy(tasks), torch.from_numpy(classes))
