"""The focus styles, as the device makes them: the reference for `src/focus`.

`crop` changes where the encoder looks; `overlay`, `blur` and `cutout` repaint
the whole image at the encoder's input size. Masks are 0 or 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STYLES = ["overlay", "blur", "crop", "cutout", "none"]
TINT = (1.0, 0.25, 0.25)
TINT_ALPHA = 0.35
CROP_MARGIN = 0.15
CROP_MINIMUM = 0.3
BLUR_SIGMA = 1 / 32
"""Standard deviation of the blur, as a share of the input size."""


def crop_box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """The part of the unit square that `crop` shows for a region's bounding box: wider
    by `CROP_MARGIN` of its own size on each side, at least `CROP_MINIMUM` wide and
    high, and moved (not cut) to stay inside the image."""

    def axis(low: float, high: float) -> tuple[float, float]:
        size = min(max((high - low) * (1 + 2 * CROP_MARGIN), CROP_MINIMUM), 1.0)
        start = min(max((low + high - size) / 2, 0.0), 1.0 - size)
        return start, start + size

    left, right = axis(x0, x1)
    top, bottom = axis(y0, y1)
    return left, top, right, bottom


def gaussian_blur(image: Tensor) -> Tensor:
    """Separable Gaussian over `[B, C, S, S]`, edges repeated, cut at three sigma."""
    sigma = BLUR_SIGMA * image.shape[-1]
    radius = int(3 * sigma + 0.5)
    axis = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(image.shape[1], 1)
    channels = image.shape[1]
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
