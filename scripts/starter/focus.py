"""The focus styles over batches in PyTorch, for training; their numbers and what they
mean stand in `bundling.focus`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bundling.focus import STYLES, TINT, TINT_ALPHA, blur_kernel, crop_box

__all__ = ["STYLES", "crop_box", "gaussian_blur", "paint"]


def gaussian_blur(image: Tensor) -> Tensor:
    """Separable Gaussian over `[B, C, S, S]`, edges repeated."""
    channels = image.shape[1]
    kernel = torch.from_numpy(blur_kernel(image.shape[-1])).repeat(channels, 1)
    radius = kernel.shape[1] // 2
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel[:, None, None, :], groups=channels)
    return F.conv2d(rows, kernel[:, None, :, None], groups=channels)


def paint(style: str, image: Tensor, mask: Tensor) -> Tensor:
    """`image [B, 3, S, S]` in [0, 1] repainted by `mask [B, 1, S, S]` (not `crop`)."""
    if style == "overlay":
        tint = torch.tensor(TINT).reshape(1, 3, 1, 1)
        return image + mask * TINT_ALPHA * (tint - image)
    if style == "blur":
        return torch.where(mask > 0, image, gaussian_blur(image))
    if style == "cutout":
        return image * mask
    return image
