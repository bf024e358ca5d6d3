"""Reads a folder of outlined images: which files, for which exam, and what was outlined.

A folder has a table `outlines.csv` with the columns `file` and `exam`, one or both of `mask` and
`boxes`, and where they are known `source`, `group` and `class`. Paths are relative to the table.
A mask is a picture that is bright inside; boxes are `x,y,width,height` in the image's pixels,
several separated by `;`. Without a table the images are those that have a mask of the same
name in the folder `masks`, all of one exam. What is wrong with a folder is told before any image
is asked about.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

TABLE = "outlines.csv"
MASKS = "masks"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Outlined:
    """One image and what people outlined in it."""

    file: Path
    exam: str
    mask: Path | None
    boxes: tuple[Box, ...]
    source: str
    group: str
    """What shares it (a patient, copies) is one draw of an interval; the file where not known."""
    label: str
    """The class, where it is known."""


class NotRead(Exception):
    """A folder, table or picture that cannot be used: which, and what to do."""


def read(folder: Path, exam: str | None) -> list[Outlined]:
    """All outlined images of a folder."""
    table = folder if folder.is_file() else folder / TABLE
    found = of_table(table, exam) if table.is_file() else of_masks(folder, exam)
    if not found:
        raise NotRead(f"{folder}: no image with an outline; give a folder with {TABLE} or {MASKS}/")
    return found


def of_table(table: Path, exam: str | None) -> list[Outlined]:
    """The rows of a table, of one exam where one is asked for."""
    with table.open(newline="") as handle:
        rows = csv.DictReader(handle)
        missing = {"file", "exam"} - set(rows.fieldnames or ())
        if missing:
            raise NotRead(f"{table}: no column {missing.pop()}; its first line names the columns")
        found = [of_row(table, number, row) for number, row in enumerate(rows, 2)]
    return [one for one in found if exam is None or one.exam == exam]


def of_row(table: Path, number: int, row: dict[str, str]) -> Outlined:
    """One line of a table."""
    where = f"{table}, line {number}"
    file = table.parent / row["file"]
    mask = table.parent / row["mask"] if row.get("mask") else None
    for path in (file, mask):
        if path is not None and not path.is_file():
            raise NotRead(f"{where}: there is no file {path}")
    boxes = tuple(box_of(where, text) for text in (row.get("boxes") or "").split(";") if text)
    if mask is None and not boxes:
        raise NotRead(f"{where}: neither mask nor boxes")
    source, group = row.get("source") or "", row.get("group") or row["file"]
    return Outlined(file, row["exam"], mask, boxes, source, group, row.get("class") or "")


def box_of(where: str, text: str) -> Box:
    """`x,y,width,height`."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise NotRead(f"{where}: box {text!r} is not x,y,width,height") from None
    if not (width > 0 and height > 0 and np.isfinite([x, y, width, height]).all()):
        raise NotRead(f"{where}: box {text!r} holds nothing")
    return x, y, width, height


def of_masks(folder: Path, exam: str | None) -> list[Outlined]:
    """Images that have a mask of the same name."""
    if exam is None:
        raise NotRead(f"{folder}: it has no {TABLE}; say with --exam which exam its images are for")
    images = {path.stem: path for path in sorted(folder.iterdir()) if path.is_file()}
    masks = sorted((folder / MASKS).iterdir()) if (folder / MASKS).is_dir() else []
    return [
        Outlined(images[mask.stem], exam, mask, (), "", mask.stem, "")
        for mask in masks
        if mask.stem in images
    ]


def plane(outlined: Outlined, size: tuple[int, int]) -> np.ndarray:
    """What was outlined, `[height, width]` of the image as the program read it: the mask, or
    else the filled boxes."""
    height, width = size
    if outlined.mask is not None:
        mask = cv2.imread(str(outlined.mask), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise NotRead(f"{outlined.mask}: no picture that can be read")
        return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 127
    inside = np.zeros(size, bool)
    for x, y, w, h in outlined.boxes:
        inside[max(round(y), 0) : round(y + h), max(round(x), 0) : round(x + w)] = True
    return inside
