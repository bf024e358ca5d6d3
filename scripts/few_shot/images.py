"""The labelled images of one exam: from a folder by class, a folder with `manifest.csv`,
or a CSV. Never reads a label off a picture, and never guesses one."""

from __future__ import annotations

import csv
import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .refused import Refused

SUFFIXES = {".png", ".jpg", ".jpeg", ".pgm", ".tif", ".tiff", ".dcm"}
LEAST = 5
"""Images a class must have: one to test on and some to learn from."""


@dataclass(frozen=True)
class Labelled:
    """One image and its class number."""

    path: Path
    label: int
    sha256: str
    """Of the source that a manifest names, otherwise of the file: the split knows it by this."""


def classes_of(bundle: Path, exam: str) -> list[str]:
    """The exam's classes in the order of its logits."""
    manifest = bundle / "bundle.toml"
    if not manifest.is_file():
        raise Refused(f"{bundle} is no bundle: it has no bundle.toml")
    exams = {e["name"]: e for e in tomllib.loads(manifest.read_text())["exams"]}
    if exam not in exams:
        raise Refused(f"{bundle} has no exam {exam}; it has: {', '.join(exams)}")
    return [c["name"] for c in exams[exam]["classes"]]


def load(source: Path, exam: str, classes: list[str]) -> list[Labelled]:
    """The exam's images, sorted by hash, so that their order says nothing."""
    if source.is_dir() and (source / "manifest.csv").is_file():
        source = source / "manifest.csv"
    if source.is_file():
        named = from_csv(source, exam)
    elif source.is_dir():
        named = from_folders(source)
    else:
        raise Refused(f"{source} is neither a folder nor a CSV file")
    strange = {label for _, label, _ in named} - set(classes)
    if strange:
        raise Refused(
            f"{source}: no class of {exam}: {', '.join(sorted(strange))}; "
            f"its classes are {', '.join(classes)}"
        )
    images = [Labelled(path, classes.index(label), sha) for path, label, sha in named]
    check_counts(images, classes, source)
    return sorted(images, key=lambda image: image.sha256)


def check_counts(images: list[Labelled], classes: list[str], source: Path) -> None:
    counts = Counter(image.label for image in images)
    few = [f"{name} has {counts[i]}" for i, name in enumerate(classes) if counts[i] < LEAST]
    if few:
        raise Refused(f"{source}: {', '.join(few)}; at least {LEAST} images a class are needed")


def from_csv(file: Path, exam: str) -> list[tuple[Path, str, str]]:
    """Columns `file` and `label`; `task` (the exam) and `source_sha256` where there are."""
    with file.open(newline="") as handle:
        reader = csv.DictReader(handle)
        if not {"file", "label"} <= set(reader.fieldnames or ()):
            raise Refused(f"{file}: the first line must name the columns file and label")
        rows = [row for row in reader if row.get("task") in (None, "", exam)]
    found = []
    for row in rows:
        path = file.parent / row["file"]
        if not path.is_file():
            raise Refused(f"{file}: {row['file']} does not exist")
        found.append((path, row["label"], row.get("source_sha256") or digest(path)))
    return found


def from_folders(folder: Path) -> list[tuple[Path, str, str]]:
    """Every image of the folders in `folder`, which are named after the classes."""
    return [
        (path, place.name, digest(path))
        for place in sorted(folder.iterdir())
        if place.is_dir()
        for path in sorted(place.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
