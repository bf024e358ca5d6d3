"""Augmentation on whole batches of grey images, uint8 in, float32 in [0, 1] out.

Geometry and grey values change; labels never do. Left and right are swapped
only where the caller says that the anatomy allows it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_affine(
    n: int,
    generator: torch.Generator,
    *,
    degrees: float,
    shift: float,
    scale: tuple[float, float],
    aspect: float,
    flip: Tensor,
) -> Tensor:
    """Affine matrices `[n, 2, 3]` for `affine_grid`; `flip` says which may be mirrored."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle = uniform(-degrees, degrees) * (torch.pi / 180)
    zoom, stretch = uniform(*scale), torch.exp(uniform(-aspect, aspect))
    mirror = torch.where(flip & (torch.rand(n, generator=generator) < 0.5), -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos * zoom * stretch * mirror, -sin * zoom
    theta[:, 1, 0], theta[:, 1, 1] = sin * zoom * mirror, cos * zoom / stretch
    theta[:, :, 2] = torch.stack([uniform(-shift, shift), uniform(-shift, shift)], dim=1)
    return theta


def crop_affine(boxes: Tensor) -> Tensor:
    """Affine matrices that show the boxes `[n, 4]` (x0, y0, x1, y1 in the unit square)."""
    theta = torch.zeros(len(boxes), 2, 3)
    theta[:, 0, 0] = boxes[:, 2] - boxes[:, 0]
    theta[:, 1, 1] = boxes[:, 3] - boxes[:, 1]
    theta[:, 0, 2] = boxes[:, 2] + boxes[:, 0] - 1
    theta[:, 1, 2] = boxes[:, 3] + boxes[:, 1] - 1
    return theta


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The map that looks through `inner` first and at the result through `outer`."""
    linear = outer[:, :, :2] @ inner[:, :, :2]
    offset = outer[:, :, :2] @ inner[:, :, 2:] + outer[:, :, 2:]
    return torch.cat([linear, offset], dim=2)


def warp(batch: Tensor, theta: Tensor, side: int, mode: str = "bilinear") -> Tensor:
    """`[n, c, H, W]` float seen through `theta` at `side` pixels, zero outside."""
    grid = F.affine_grid(theta, [len(batch), batch.shape[1], side, side], align_corners=False)
    return F.grid_sample(batch, grid, mode=mode, padding_mode="zeros", align_corners=False)


def jitter(x: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Random gamma, contrast, brightness, blur and noise on `[n, 1, S, S]` in [0, 1]."""
    n = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(n, 1, 1, 1, generator=generator) * (high - low) + low) * strength

    x = x.clamp(1e-4, 1) ** torch.exp(uniform(-0.4, 0.4))
    mean = x.mean(dim=(2, 3), keepdim=True)
    x = (x - mean) * torch.exp(uniform(-0.35, 0.35)) + mean + uniform(-0.12, 0.12)
    soft = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    blend = uniform(-0.6, 0.9)
    x = x + blend * (soft - x)
    x = x + torch.randn(x.shape, generator=generator) * uniform(0, 0.04)
    return x.clamp(0, 1)


def erase(x: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    """Random erasing (Zhong et al. 2017): one grey rectangle in some of the images."""
    n, _, h, w = x.shape
    axis_y, axis_x = torch.arange(h).reshape(1, h, 1), torch.arange(w).reshape(1, 1, w)
    size = (torch.rand(n, 2, generator=generator) * 0.3 + 0.1) * torch.tensor([h, w])
    corner = torch.rand(n, 2, generator=generator) * (torch.tensor([h, w]) - size)
    inside = (
        (axis_y >= corner[:, 0].reshape(n, 1, 1))
        & (axis_y < (corner + size)[:, 0].reshape(n, 1, 1))
        & (axis_x >= corner[:, 1].reshape(n, 1, 1))
        & (axis_x < (corner + size)[:, 1].reshape(n, 1, 1))
    )
    hit = torch.rand(n, 1, 1, generator=generator) < probability
    fill = torch.rand(n, 1, 1, 1, generator=generator)
    return torch.where((inside & hit).unsqueeze(1), fill, x)
