"""The labelled images: manifest, pixels, near-duplicate groups and the split.

This module never augments and never looks at a label when it groups: a group
is decided by pixels alone, so that no copy of a training image can stand in
the validation split.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bundling.exams import EXAMS

SIDE = 256
"""Side, in pixels, of the square grey images that every later step works from."""

DUPLICATE_SIDE = 48
DUPLICATE_CORRELATION = 0.95
VALIDATION_FRACTION = 0.2
SPLIT_SEED = 20261124

PRETRAIN: dict[str, list[str]] = {"cxr_extra": ["covid19", "no_findings", "pneumonia"]}
"""Labelled images used to train the encoders only; no exam is made from them."""

TASKS = EXAMS | PRETRAIN


@dataclass(frozen=True)
class Row:
    """One labelled image of the manifest."""

    task: str
    label: str
    file: str
    mask: str
    sha256: str

    @property
    def class_index(self) -> int:
        return TASKS[self.task].index(self.label)


def load_rows(images: Path) -> list[Row]:
    """Reads `manifest.csv`; the order of its rows is the order used everywhere."""
    with (images / "manifest.csv").open(newline="") as handle:
        return [
            Row(r["task"], r["label"], r["file"], r["mask"], r["source_sha256"])
            for r in csv.DictReader(handle)
        ]


def load_pixels(images: Path, rows: list[Row], cache: Path) -> np.ndarray:
    """Grey pixels, uint8 `[N, SIDE, SIDE]`, stretched to a square; cached as one file."""
    if cache.exists():
        pixels = np.load(cache, mmap_mode="r")
        if len(pixels) == len(rows):
            return np.asarray(pixels)
    pixels = np.stack([read_grey(images / row.file) for row in rows])
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.save(cache, pixels)
    return pixels


def read_grey(path: Path, side: int = SIDE) -> np.ndarray:
    """One image as uint8 luma `[side, side]`."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BILINEAR))


def read_mask(path: Path, side: int = SIDE) -> np.ndarray:
    """One mask as uint8 `[side, side]` of 0 and 1."""
    with Image.open(path) as image:
        grey = image.convert("L").resize((side, side), Image.Resampling.BILINEAR)
        return (np.asarray(grey) > 127).astype(np.uint8)


def unit_thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Thumbnails `[N, S, S]` without mean and of length 1: products are correlations."""
    size = (DUPLICATE_SIDE, DUPLICATE_SIDE)
    small = [np.asarray(Image.fromarray(p).resize(size), dtype=np.float32) for p in pixels]
    thumbs = np.stack(small)
    thumbs -= thumbs.mean(axis=(1, 2), keepdims=True)
    thumbs /= np.linalg.norm(thumbs, axis=(1, 2), keepdims=True) + 1e-6
    return thumbs


def stand_on_their_heads(pixels: np.ndarray) -> np.ndarray:
    """Whether another image is near to this one turned by 180 degrees, or flipped top to
    bottom. Public sets hold such copies, made to have more images: one of the two is upside
    down, and nobody says which."""
    thumbs = unit_thumbnails(pixels)
    flat = thumbs.reshape(len(thumbs), -1)
    found = np.zeros(len(thumbs), dtype=bool)
    for turned in (thumbs[:, ::-1, ::-1], thumbs[:, ::-1]):
        alike = flat @ turned.reshape(len(thumbs), -1).T
        np.fill_diagonal(alike, 0)
        found |= alike.max(axis=1) > DUPLICATE_CORRELATION
    return found


def duplicate_groups(pixels: np.ndarray) -> np.ndarray:
    """Group number of each image: images whose thumbnails correlate above
    `DUPLICATE_CORRELATION`, directly or through others, share a number."""
    thumbs = unit_thumbnails(pixels).reshape(len(pixels), -1)
    parent = np.arange(len(thumbs))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    for start in range(0, len(thumbs), 512):
        block = thumbs[start : start + 512] @ thumbs.T
        for i, j in zip(*np.nonzero(block > DUPLICATE_CORRELATION), strict=True):
            a, b = root(start + int(i)), root(int(j))
            if a != b:
                parent[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(len(thumbs))])


def make_split(rows: list[Row], pixels: np.ndarray) -> set[str]:
    """SHA-256 of the validation images: whole near-duplicate groups, drawn at random
    within each task and label until `VALIDATION_FRACTION` of its images is reached.

    The images of `PRETRAIN` tasks that share a group with a validation image are
    put into the validation split too, so that they are never trained on."""
    generator = np.random.default_rng(SPLIT_SEED)
    groups = duplicate_groups(pixels)
    chosen: set[int] = set()
    for task, labels in EXAMS.items():
        for label in labels:
            members = [i for i, r in enumerate(rows) if r.task == task and r.label == label]
            wanted = round(VALIDATION_FRACTION * len(members))
            order = generator.permutation(np.unique(groups[members]))
            taken = sum(int(groups[i] in chosen) for i in members)
            for group in order:
                size = int((groups[members] == group).sum())
                # A group as large as the whole share stays in training.
                if taken >= wanted or group in chosen or size > max(wanted // 2, 1):
                    continue
                chosen.add(int(group))
                taken += size
    return {rows[i].sha256 for i in range(len(rows)) if int(groups[i]) in chosen}


def load_split(path: Path) -> set[str]:
    """The committed validation list written by `write_split`."""
    return set(json.loads(path.read_text())["validation_sha256"])


def write_split(path: Path, rows: list[Row], validation: set[str]) -> None:
    counts = {
        f"{task}/{label}": [
            sum(r.task == task and r.label == label and r.sha256 not in validation for r in rows),
            sum(r.task == task and r.label == label and r.sha256 in validation for r in rows),
        ]
        for task, labels in TASKS.items()
        for label in labels
    }
    document = {
        "about": "Validation images of the starter bundle, by SHA-256 of the source file. "
        "Near-duplicates (correlation above "
        f"{DUPLICATE_CORRELATION} at {DUPLICATE_SIDE} x {DUPLICATE_SIDE}) never straddle it.",
        "seed": SPLIT_SEED,
        "images_train_validation": counts,
        "validation_sha256": sorted(validation),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
