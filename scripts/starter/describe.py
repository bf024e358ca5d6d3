"""Makes the reduced CLIP describe what it sees, besides naming it.

Trained on the classes of some exams alone, the encoder keeps what tells those apart and
drops the rest: on an exam that it never saw it then does worse than one with random weights.
So it must also predict a description of the picture, before noise and grey values were
changed: orientations of edges (Dalal & Triggs 2005), brightness and contrast, cell by cell,
as MaskFeat does (Wei et al. 2022). No label is needed for that.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELLS, ANGLES = 4, 8
COMPONENTS = 64
"""Numbers of the description that are predicted: its main axes over the training images."""
CLASS_SHARE = 0.3
"""Weight of the classes' loss beside the description's."""


def describe(picture: Tensor) -> Tensor:
    """Logarithms of edge strength by angle, brightness and contrast of `[B, 1, S, S]`."""
    across = picture[:, :, 1:-1, 2:] - picture[:, :, 1:-1, :-2]
    down = picture[:, :, 2:, 1:-1] - picture[:, :, :-2, 1:-1]
    strength = (across**2 + down**2).sqrt()
    angle = torch.atan2(down, across) % torch.pi / torch.pi * ANGLES
    parts = []
    for place in range(ANGLES):
        apart = (angle - place).abs()
        parts.append(strength * (1 - torch.minimum(apart, ANGLES - apart)).clamp(min=0))
    edges = F.adaptive_avg_pool2d(torch.cat(parts, dim=1), CELLS)
    mean = F.adaptive_avg_pool2d(picture, CELLS)
    spread = (F.adaptive_avg_pool2d(picture**2, CELLS) - mean**2).clamp(min=1e-6).sqrt()
    brightness = F.adaptive_avg_pool2d(picture, 2 * CELLS)
    shades = [(edges + 1e-3).log(), brightness, (spread + 1e-3).log()]
    return torch.cat([part.flatten(1) for part in shades], dim=1)


class Describer(nn.Module):
    """Predicts descriptions from unit embeddings; thrown away after training."""

    def __init__(
        self, pixels: np.ndarray, embedding: int, class_share: float = CLASS_SHARE
    ) -> None:
        """The description's scale and main axes are those of `pixels [N, S, S]`;
        `class_share` weighs the classes' loss beside it."""
        super().__init__()
        self.class_share = class_share
        picture = torch.from_numpy(pixels).unsqueeze(1).float() / 255
        size = (96, 96)
        small = F.interpolate(picture, size=size, mode="bilinear", antialias=True)
        found = describe(small)
        mean, deviation = found.mean(0), found.std(0) + 1e-6
        _, lengths, axes = torch.linalg.svd((found - mean) / deviation, full_matrices=False)
        # Between the axes' own lengths and all alike: the short ones are mostly noise.
        stretch = lengths[:COMPONENTS] / len(found) ** 0.5
        axes = axes[:COMPONENTS] / stretch.sqrt()[:, None]
        self.register_buffer("mean", mean)
        self.register_buffer("axes", axes / deviation)
        self.scale = float(stretch.mean())
        self.read = nn.Linear(embedding, COMPONENTS)

    def target(self, picture: Tensor) -> Tensor:
        """The description of `[B, 3, S, S]` by the main axes, of variance 1 on average."""
        found = describe(picture.mean(1, keepdim=True))
        return (found - self.mean) @ self.axes.T / self.scale**0.5

    def loss(self, unit: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of what is read off unit embeddings."""
        return F.mse_loss(self.read(unit * unit.shape[1] ** 0.5), target)
