"""The focus styles' numbers, and the styles themselves in numpy: the reference for
`src/focus`.

`crop` changes where the encoder looks; `overlay`, `blur` and `cutout` repaint the whole
image at the encoder's input size.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

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


def blur_kernel(side: int) -> np.ndarray:
    """One axis of the Gaussian for images of `side` pixels, cut at three sigma."""
    sigma = BLUR_SIGMA * side
    radius = int(3 * sigma + 0.5)
    axis = np.arange(-radius, radius + 1, dtype=np.float32)
    kernel = np.exp(-(axis**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def paint(style: str, image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """`image [3, S, S]` in 0 to 1, repainted by the truths `inside [S, S]` (not `crop`)."""
    if style == "overlay":
        tint = np.array(TINT, np.float32).reshape(3, 1, 1)
        return image + inside * np.float32(TINT_ALPHA) * (tint - image)
    if style == "blur":
        kernel, blurred = blur_kernel(image.shape[-1]), image
        for axis in (1, 2):
            blurred = ndimage.correlate1d(blurred, kernel, axis, mode="nearest")
        return np.where(inside, image, blurred)
    if style == "cutout":
        return image * inside
    return image
