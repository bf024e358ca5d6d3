"""Draws the phantom images that the repository may ship.

They are geometry and noise, made from no person's image: good enough to show that
the whole path runs, and no test of what the models know.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

SIDE = 512


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0) -> np.ndarray:
    """True inside an ellipse; centre and radii in the unit square."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle = np.deg2rad(degrees)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    return (u / rx) ** 2 + (v / ry) ** 2 < 1


def smooth(mask: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(mask.astype(float), sigma)


def chest(noise: np.random.Generator) -> np.ndarray:
    """Radiograph-like: two dark lung fields, ribs, heart, spine and diaphragm."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    picture = 0.72 - 0.18 * np.abs(x - 0.5) + 0.12 * y
    lungs = ellipse(0.31, 0.46, 0.145, 0.31, 6) | ellipse(0.69, 0.46, 0.145, 0.31, -6)
    lungs &= y < 0.74 - 0.25 * (np.abs(x - 0.5) - 0.2) ** 2
    heart = ellipse(0.55, 0.60, 0.14, 0.17, -25)
    picture -= 0.48 * smooth(lungs & ~heart, 5)
    for i in range(9):
        arc = 0.16 + i * 0.072 + 0.55 * (np.abs(x - 0.5) - 0.2) ** 2
        ribs = (np.abs(y - arc) < 0.010) & (np.abs(x - 0.5) > 0.06) & (np.abs(x - 0.5) < 0.37)
        picture += 0.09 * smooth(ribs, 2)
    picture += 0.12 * smooth(np.abs(x - 0.5) < 0.035, 4)
    collar = (np.abs(y - 0.15 + 0.2 * (np.abs(x - 0.5) - 0.2)) < 0.012) & (np.abs(x - 0.5) > 0.05)
    picture += 0.12 * smooth(collar, 2)
    body = ellipse(0.5, 0.62, 0.47, 0.66) | (y > 0.5)
    picture *= 0.25 + 0.75 * smooth(body, 8)
    return picture + 0.015 * noise.standard_normal((SIDE, SIDE))


def brain(noise: np.random.Generator) -> np.ndarray:
    """MRI-like: scalp, skull, white and grey matter, ventricles, one bright ring."""
    head, inner = ellipse(0.5, 0.5, 0.36, 0.44), ellipse(0.5, 0.5, 0.315, 0.395)
    texture = smooth(noise.standard_normal((SIDE, SIDE)) > 0, 7)
    texture = (texture - texture.mean()) / texture.std()
    picture = 0.55 * smooth(head, 2) - 0.42 * smooth(ellipse(0.5, 0.5, 0.34, 0.42), 2)
    picture += smooth(inner, 2) * (0.28 + 0.03 * texture)
    ventricles = ellipse(0.455, 0.46, 0.035, 0.11, 12) | ellipse(0.545, 0.46, 0.035, 0.11, -12)
    picture -= 0.22 * smooth(ventricles, 2)
    ring = ellipse(0.64, 0.36, 0.075, 0.07).astype(float) - 0.6 * ellipse(0.64, 0.36, 0.05, 0.045)
    picture += 0.4 * smooth(ring, 2)
    return picture + 0.012 * np.abs(noise.standard_normal((SIDE, SIDE)))


def breast(noise: np.random.Generator) -> np.ndarray:
    """Ultrasound-like: layered speckle, a dark oval lesion and the echo behind it."""
    y = np.mgrid[0:SIDE, 0:SIDE][0] / SIDE
    layers = 0.42 + 0.14 * np.sin(26 * y + 2 * smooth(noise.standard_normal((SIDE, SIDE)), 30) * 20)
    layers *= 1.05 - 0.75 * y
    lesion = ellipse(0.47, 0.42, 0.16, 0.105, -8)
    layers *= 1 - 0.86 * smooth(lesion, 4)
    shine = ellipse(0.47, 0.66, 0.13, 0.17) & (y > 0.5)
    layers += 0.16 * smooth(shine, 10)
    shape = (SIDE, SIDE)
    speckle = ndimage.gaussian_filter(noise.rayleigh(1, shape), (1.2, 2.6)) / 1.25
    return layers * speckle


PHANTOMS = {
    "chest": (chest, "DX", "CHEST"),
    "brain": (brain, "MR", "BRAIN"),
    "breast": (breast, "US", "BREAST"),
}


def run(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, (draw, modality, part)) in enumerate(PHANTOMS.items()):
        picture = draw(np.random.default_rng(number))
        about = PngInfo()
        about.add_text("Modality", modality)
        about.add_text("BodyPartExamined", part)
        about.add_text("Comment", "phantom: drawn by a script, no person's image")
        grey = (picture.clip(0, 1) * 255).astype(np.uint8)
        Image.fromarray(grey).save(folder / f"{name}.png", pnginfo=about, optimize=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=Path, default=root / "tests/phantoms")
