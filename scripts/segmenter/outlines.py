"""Step `outlines`: the images of the list, and what is outlined in them.

An image has at most one finding (all its lesions together) and one organ. An outline knows
who made it: figures are of outlines that people drew (`HUMAN`, `ROUGH`) and of boxes that
people drew (`BOX`), never of a model's (`MODEL`). An image whose class means that there is
nothing to find is `empty`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data import manifest
from data.listing import Entry, read
from data.progress import Progress
from encoder import pixels
from encoder.masks import EMPTY
from encoder.pixels import SIDE, key
from starter.train_segmenter import head_silhouette

HUMAN, ROUGH, MODEL, BOX = "human", "rough", "model", "box"
MAKERS = {
    "lesion": HUMAN,
    "lesion_approx": ROUGH,
    "pseudo_lesion": MODEL,
    "box": BOX,
    "finding": BOX,
    # The first folder's masks do not say: they are people's.
    "": HUMAN,
}
SURE, DOUBTFUL = 255, 128
"""Of a plane: certainly inside; inside or not (the corners of a box)."""
FEWEST = 12
"""Pixels of an outline that counts."""
NODULE = "class1"
"""What the photographs of a monitor call the lesion; the rest of their boxes is the screen."""


@dataclass(frozen=True)
class Outline:
    """Where an outline is written: a mask's path, or boxes in a picture of `size`."""

    maker: str
    path: Path | None
    boxes: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Outlines:
    """Planes `[M, SIDE, SIDE]`, and for every image of the list which is its finding's and
    which its organ's (-1: not known), who made the finding's, and whether there is none."""

    planes: np.ndarray
    findings: np.ndarray
    organs: np.ndarray
    makers: np.ndarray
    empty: np.ndarray


def rows(root: Path) -> Iterator[tuple[str, Path, dict[str, str]]]:
    """Every row of every table that may outline something: table, folder of the masks, row
    (its `file` with the folder)."""
    for table, of_files, of_masks in (
        ("images/manifest.csv", "images", "images"),
        ("more/manifest.csv", "more", "more"),
        ("more/masks_for_existing.csv", "images", "more"),
    ):
        with (root / table).open(newline="") as handle:
            for row in csv.DictReader(handle):
                row["file"] = f"{of_files}/{row['file']}"
                yield table, root / of_masks, row


def lesion_boxes(row: dict[str, str]) -> str:
    """The row's boxes, without those of a screen."""
    boxes = row.get("boxes") or ""
    if row["task"] != "ook" or not boxes:
        return boxes
    pairs = zip(boxes.split(";"), row["box_labels"].split(";"), strict=True)
    return ";".join(box for box, label in pairs if label == NODULE)


def drawn(root: Path) -> tuple[dict[str, Outline], dict[str, Path]]:
    """Findings and lung fields by file; a later table knows better than an earlier one."""
    findings: dict[str, Outline] = {}
    lungs: dict[str, Path] = {}
    for table, folder, row in rows(root):
        if table == "images/manifest.csv" and row["task"] == "lung_tb2":
            if row["mask"]:
                lungs[row["file"]] = folder / row["mask"]
            continue
        boxes = lesion_boxes(row)
        if row["mask"] or boxes:
            path = folder / row["mask"] if row["mask"] else None
            maker = MAKERS[row.get("mask_kind") or ""]
            size = (int(row["width"]), int(row["height"]))
            findings[row["file"]] = Outline(maker, path, boxes, size)
    return findings, lungs


def plane_of(outline: Outline) -> np.ndarray:
    """A mask as it is; of a box the ellipse inside is sure and its corners are doubtful."""
    if outline.path is not None:
        return (manifest.grey(outline.path, SIDE) > 127) * np.uint8(SURE)
    plane = np.zeros((SIDE, SIDE), np.uint8)
    corners = np.array([[float(v) for v in box.split(",")] for box in outline.boxes.split(";")])
    scale = np.array([SIDE / outline.size[0], SIDE / outline.size[1]])
    first, last = corners[:, :2] * scale, (corners[:, :2] + corners[:, 2:]) * scale
    for a, b in zip(first, last, strict=True):
        cv2.rectangle(plane, a.astype(int).tolist(), (b.astype(int) - 1).tolist(), DOUBTFUL, -1)
    for a, b in zip(first, last, strict=True):
        centre, axes = (a + b) / 2, np.maximum((b - a) / 2 - 1, 1)
        cv2.ellipse(
            plane, centre.astype(int).tolist(), axes.astype(int).tolist(), 0, 0, 360, SURE, -1
        )
    return plane


def load(root: Path, entries: list[Entry], work: Path) -> Outlines:
    """The outlines of the list's images; read once."""
    path = work / f"outlines-{key(entries)}.npz"
    if not path.exists():
        findings, lungs = drawn(root)
        files = {image.sha256: image.file for image in manifest.load(root)}
        grey = pixels.load(root, entries, work)
        planes: list[np.ndarray] = []
        places = np.full((2, len(entries)), -1)
        makers = np.full(len(entries), "", "<U8")
        empty = np.zeros(len(entries), bool)
        with Progress("outlines", len(entries)) as progress:
            for i, entry in enumerate(entries):
                progress.step()
                file = files[entry.sha256]
                empty[i] = any((exam, entry.answer(exam)) in EMPTY for exam in entry.answers)
                plane = plane_of(findings[file]) if file in findings else None
                if plane is not None and (plane == SURE).sum() >= FEWEST:
                    makers[i], empty[i] = findings[file].maker, False
                    places[0, i] = len(planes)
                    planes.append(plane)
                if file in lungs:
                    places[1, i] = len(planes)
                    planes.append(plane_of(Outline(HUMAN, lungs[file], "", (1, 1))))
                elif entry.kind == "brain" and (empty[i] or makers[i]):
                    places[1, i] = len(planes)
                    planes.append(head_silhouette(np.asarray(grey[i])) * np.uint8(SURE))
        np.savez_compressed(
            path, planes=np.stack(planes), places=places, makers=makers, empty=empty
        )
    with np.load(path) as made:
        places = made["places"]
        return Outlines(made["planes"], places[0], places[1], made["makers"], made["empty"])


def run(arguments: argparse.Namespace) -> None:
    entries = read(arguments.list)
    outlines = load(arguments.images, entries, arguments.work)
    counts: dict[tuple[str, str, str], list[int]] = {}
    for i, entry in enumerate(entries):
        made = [str(outlines.makers[i])] if outlines.makers[i] else []
        made += ["organ"] if outlines.organs[i] >= 0 else []
        for maker in made + (["nothing"] if outlines.empty[i] else []):
            count = counts.setdefault((entry.kind, maker, entry.source), [0, 0])
            count[0] += 1
            count[1] += entry.held
    for (kind, maker, source), (count, held) in sorted(counts.items()):
        print(f"{kind} {maker} {source}: {count}, of them held back {held}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside what every step takes."""
