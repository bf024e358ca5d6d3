"""Writes the table of this project's own outlined images: those of `scripts/data/list.tsv` that
people outlined or boxed.

Only images held back from training are taken, unless all are asked for. What a model outlined
is left out: nothing is scored with it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from data import manifest
from data.listing import Entry, read
from data.meanings import EXAMS, KIND_OF_EXAM
from segmenter.outlines import BOX, HUMAN, ROUGH, Outline, drawn

from .outlines import TABLE

FIELDS = ("file", "exam", "mask", "boxes", "source", "group", "class")
PEOPLE = (HUMAN, ROUGH, BOX)


def exam_of(entry: Entry) -> str | None:
    """The exam that an image of its kind is asked; of films, the one on tuberculosis."""
    exams = [exam for exam in EXAMS if KIND_OF_EXAM[exam] == entry.kind]
    return exams[-1] if exams else None


def lines(root: Path, entries: list[Entry], everything: bool) -> Iterator[dict[str, str]]:
    """The table's lines."""
    findings, _ = drawn(root)
    files = {image.sha256: image.file for image in manifest.load(root)}
    for entry in entries:
        exam, file = exam_of(entry), files[entry.sha256]
        outline = findings.get(file)
        if exam is None or outline is None or outline.maker not in PEOPLE:
            continue
        if entry.held or everything:
            yield line(entry, exam, root / file, outline)


def line(entry: Entry, exam: str, file: Path, outline: Outline) -> dict[str, str]:
    """One line; roughly drawn outlines are a source of their own."""
    answer = entry.answer(exam)
    rough = " (rough)" if outline.maker == ROUGH else ""
    values = (
        str(file.resolve()),
        exam,
        str(outline.path.resolve()) if outline.path else "",
        "" if outline.path else outline.boxes,
        entry.source + rough,
        entry.group or entry.sha256,
        answer or "",
    )
    return dict(zip(FIELDS, values, strict=True))


def write(root: Path, listing: Path, to: Path, everything: bool) -> int:
    """Writes the table and says how many lines it has."""
    to.mkdir(parents=True, exist_ok=True)
    with (to / TABLE).open("w", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS)
        writer.writeheader()
        count = 0
        for row in lines(root, read(listing), everything):
            writer.writerow(row)
            count += 1
    return count
