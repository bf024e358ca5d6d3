"""Changed views of the training images, read by the program as it reads any image.

The encoder has seen the training images themselves, so what is fitted to them alone thinks
the encoder surer than it is; of views that are turned, moved and re-shaded it is less sure,
as of new images.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image

from . import augment, data, device
from .sampler import Changes

MILD = Changes()
BATCH = 64


def draw(pixels: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """One changed view of each grey image, uint8 `[N, S, S]`."""
    n, side = len(pixels), pixels.shape[-1]
    theta = MILD.affine(n, generator)
    seen = augment.warp(torch.from_numpy(pixels).unsqueeze(1).float() / 255, theta, side)
    shaded = augment.jitter(seen, generator, MILD.grey)
    return (shaded[:, 0] * 255).round().to(torch.uint8).numpy()


def readings(arguments: argparse.Namespace, rows: list[data.Row], number: int) -> np.ndarray:
    """The program's unit embeddings `[N, 2, D]` of one view of each of these images; the
    number of the view seeds it."""
    folder = arguments.work / f"views/{number}"
    files = [folder / f"{row.sha256}.png" for row in rows]
    if not all(file.exists() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(number)
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            pixels = np.stack([data.read_grey(arguments.images / row.file) for row in part])
            for file, picture in zip(files[start:], draw(pixels, generator), strict=False):
                Image.fromarray(picture).save(file)
    return device.read(arguments.bundle, files, arguments.work / f"views-{number}.npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=2, help="changed views of each image")
