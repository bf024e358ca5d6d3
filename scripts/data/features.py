"""Local features of every image: what near-duplicates are found and proved by.

SIFT describes a place by its own direction, so turning, cropping and rescaling change
little; a mirrored picture has the same places with descriptors whose parts stand in another
order, so mirrored copies need no second pass (`mirrored`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from .manifest import grey
from .progress import Progress

SIDE = 256
"""Images are stretched to a square of this side; what was stretched is found again, since
a match may stretch either axis."""
PLACES = 128
"""Places an image, the strongest."""


@dataclass(frozen=True)
class Features:
    """Places and descriptors of all images, padded to `PLACES`."""

    halves: np.ndarray = field(init=False)
    """The same at half the side: what images are laid over each other at."""
    pixels: np.ndarray
    """uint8 `[N, SIDE, SIDE]`."""
    places: np.ndarray
    """float32 `[N, PLACES, 2]`, x and y."""
    descriptors: np.ndarray
    """uint8 `[N, PLACES, 128]`."""
    counts: np.ndarray
    """int16 `[N]`: how many of them are real."""

    def __post_init__(self) -> None:
        size = (SIDE // 2, SIDE // 2)
        halves = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in self.pixels]
        object.__setattr__(self, "halves", np.stack(halves))


def detector() -> cv2.SIFT:
    """Low thresholds: ultrasound and blurred films have few strong places."""
    return cv2.SIFT_create(nfeatures=PLACES, contrastThreshold=0.02, edgeThreshold=15)


def describe(picture: np.ndarray, sift: cv2.SIFT) -> tuple[np.ndarray, np.ndarray]:
    """Places `[n, 2]` and descriptors `[n, 128]` of one square grey picture."""
    found, descriptors = sift.detectAndCompute(picture, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    places = np.array([point.pt for point in found], np.float32)
    return places[:PLACES], descriptors[:PLACES].astype(np.uint8)


def mirrored(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors that the mirrored picture's places would have: rows of cells in
    the opposite order, directions counted the other way round."""
    cells = descriptors.reshape(*descriptors.shape[:-1], 4, 4, 8)
    turned = cells[..., ::-1, :, :][..., (-np.arange(8)) % 8]
    return turned.reshape(descriptors.shape)


def root(descriptors: np.ndarray) -> np.ndarray:
    """RootSIFT (Arandjelovic and Zisserman 2012): dot products compare histograms."""
    values = descriptors.astype(np.float32)
    total = values.sum(axis=-1, keepdims=True)
    return np.sqrt(values / np.maximum(total, 1e-6))


def of_pixels(pixels: np.ndarray) -> Features:
    """The features of square grey pictures, uint8 `[N, SIDE, SIDE]`."""
    n, sift = len(pixels), detector()
    places = np.zeros((n, PLACES, 2), np.float32)
    descriptors = np.zeros((n, PLACES, 128), np.uint8)
    counts = np.zeros(n, np.int16)
    with Progress("features", n) as progress:
        for i, picture in enumerate(pixels):
            where, what = describe(picture, sift)
            counts[i] = len(where)
            places[i, : len(where)], descriptors[i, : len(what)] = where, what
            progress.step()
    return Features(pixels, places, descriptors, counts)


def of_files(root: Path, files: list[str]) -> Features:
    """The features of these files."""
    pixels = np.stack([grey(root / file, SIDE) for file in files])
    return of_pixels(pixels)
