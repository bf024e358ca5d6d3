"""Where the lesion is, for the images of which that is known.

Masks of people, of models, and filled boxes are one thing here: they teach where to look and
are never scored with. An image whose class means that there is none has an empty mask.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data import manifest
from data.listing import Entry
from data.progress import Progress

from .pixels import SIDE, key

EMPTY = {("brain4", "notumor"), ("lung_tb2", "normal"), ("breast3", "normal")}


@dataclass(frozen=True)
class Masks:
    """uint8 `[N, SIDE, SIDE]` (0 or 255) in the order of the list, and whether each is known."""

    planes: np.ndarray
    known: np.ndarray


def drawn(root: Path) -> dict[str, tuple[Path | None, str, tuple[int, int]]]:
    """By file: the mask's path or the boxes, and the width and height that boxes are in."""
    found: dict[str, tuple[Path | None, str, tuple[int, int]]] = {}
    tables = (
        ("images/manifest.csv", "images", "images"),
        ("more/manifest.csv", "more", "more"),
        ("more/masks_for_existing.csv", "images", "more"),
    )
    for table, of_files, of_masks in tables:
        with (root / table).open(newline="") as handle:
            for row in csv.DictReader(handle):
                # The first folder's masks of chest films are lungs.
                lungs = row["task"] == "lung_tb2" and table == "images/manifest.csv"
                boxes = row.get("boxes") or ""
                if lungs or row["task"] == "ook" or not (row["mask"] or boxes):
                    continue
                path = root / of_masks / row["mask"] if row["mask"] else None
                size = (int(row["width"]), int(row["height"]))
                found[f"{of_files}/{row['file']}"] = (path, boxes, size)
    return found


def filled(boxes: str, size: tuple[int, int]) -> np.ndarray:
    """Boxes `x,y,w,h;...` of a picture of this size, filled, at `SIDE`."""
    plane = np.zeros((SIDE, SIDE), np.uint8)
    for box in boxes.split(";"):
        x, y, w, h = (float(v) for v in box.split(","))
        scale = np.array([SIDE / size[0], SIDE / size[1]])
        a, b = np.array([x, y]) * scale, np.array([x + w, y + h]) * scale
        cv2.rectangle(plane, a.astype(int).tolist(), b.astype(int).tolist(), 255, -1)
    return plane


def load(root: Path, entries: list[Entry], work: Path) -> Masks:
    """The masks of the list's images; made once."""
    path, known_path = (work / f"{name}-{key(entries)}.npy" for name in ("masks", "known"))
    if known_path.exists():
        return Masks(np.load(path, mmap_mode="r"), np.load(known_path))
    files = {image.sha256: image.file for image in manifest.load(root)}
    found = drawn(root)
    planes = np.lib.format.open_memmap(path, "w+", np.uint8, (len(entries), SIDE, SIDE))
    known = np.zeros(len(entries), bool)
    with Progress("masks", len(entries)) as progress:
        for i, entry in enumerate(entries):
            mask, boxes, size = found.get(files[entry.sha256], (None, "", (1, 1)))
            if mask is not None:
                planes[i] = (manifest.grey(mask, SIDE) > 127) * np.uint8(255)
            elif boxes:
                planes[i] = filled(boxes, size)
            empty = any((exam, entry.answer(exam)) in EMPTY for exam in entry.answers)
            known[i] = mask is not None or bool(boxes) or empty
            progress.step()
    planes.flush()
    np.save(known_path, known)
    return Masks(planes, known)
