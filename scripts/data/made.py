"""Copies made on purpose: how many of them the search finds again, and how many pairs of
different pictures it takes for one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import cv2
import numpy as np

from . import features, groups, manifest

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def cropped(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A part of 65 to 90 % of each side, stretched to the whole."""
    side = picture.shape[0]
    size = (random.uniform(0.65, 0.9, 2) * side).astype(int)
    top, left = (random.random(2) * (side - size)).astype(int)
    return cv2.resize(picture[top : top + size[0], left : left + size[1]], (side, side))


def rescaled(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As small as 96 pixels and back, as JPEG."""
    side = int(random.integers(96, 180))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, picture.shape[::-1])
    _, coded = cv2.imencode(".jpg", back, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)


def mirrored(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def turned(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(picture, random.integers(1, 4)))


def tilted(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """By 5 to 25 degrees either way, with other grey values."""
    angle = random.uniform(5, 25) * random.choice([-1, 1])
    matrix = cv2.getRotationMatrix2D((128, 128), angle, 1.0)
    moved = cv2.warpAffine(picture, matrix, picture.shape[::-1])
    return (255 * (moved / 255) ** random.uniform(0.6, 1.6)).astype(np.uint8)


def mirrored_and_cropped(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return mirrored(cropped(picture, random), random)


CHANGES: dict[str, Change] = {
    "cropped": cropped,
    "rescaled": rescaled,
    "mirrored": mirrored,
    "turned": turned,
    "tilted": tilted,
    "mirrored and cropped": mirrored_and_cropped,
}


def run(arguments: argparse.Namespace) -> None:
    """Prints the share found again by kind of change, among `--count` images of the exams."""
    random = np.random.default_rng(7)
    images = [i for i in manifest.load(arguments.images) if i.task not in ("ook", "pretrain")]
    chosen = random.choice(len(images), arguments.count, replace=False)
    originals = [manifest.grey(arguments.images / images[i].file, features.SIDE) for i in chosen]
    record: dict[str, float] = {}
    for name, change in CHANGES.items():
        changed = [change(picture, random) for picture in originals]
        found = groups.copies(features.of_pixels(np.stack(originals + changed)))
        n = len(originals)
        again = {first for first, second in found if second == first + n}
        record[name] = round(len(again) / n, 4)
    print(json.dumps(record, indent=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=300)
