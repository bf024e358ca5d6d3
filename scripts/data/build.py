"""Step `list`: reads the image folders, finds the groups, and writes the committed list."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from . import features, groups, manifest, split
from .listing import Entry, write
from .manifest import Image
from .meanings import answers_of, kind_of, source_of


def copies(images: list[Image], root: Path, work: Path) -> list[tuple[int, int]]:
    """The proved copies among these images; kept, since they take minutes to find."""
    names = "\n".join(image.sha256 for image in images)
    path = work / f"copies-{hashlib.sha256(names.encode()).hexdigest()[:12]}.npy"
    if path.exists():
        return [(int(a), int(b)) for a, b in np.load(path)]
    described = features.of_files(root, [image.file for image in images])
    found = sorted({*groups.copies(described), *groups.by_correlation(described.pixels)})
    np.save(path, np.array(found).reshape(-1, 2))
    return found


def build(images: list[Image], pairs: list[tuple[int, int]], held: set[str]) -> list[Entry]:
    """The list's entries; `held` is the validation list of before."""
    united = groups.Groups(len(images))
    for a, b in [*pairs, *groups.known_series(images)]:
        united.join(a, b)
    numbers = united.numbers()
    cells = [cell(image) for image in images]
    sides = split.topped_up(split.assign(split.began(images, held), numbers), numbers, cells)
    # A group is named by an image of it, so that its name outlives other images' coming.
    names = [images[number].sha256[:8] for number in numbers]
    return [
        Entry(image.sha256, source_of(image), kind_of(image), name, side, answers_of(image))
        for image, name, side in zip(images, names, sides, strict=True)
    ]


def cell(image: Image) -> str:
    """Source and class, of an image that has one."""
    sure = [f"{exam} {c[0]}" for exam, c in answers_of(image).items() if len(c) == 1]
    return f"{source_of(image)} {sure[0]}" if sure else ""


def summary(images: list[Image], entries: list[Entry], held: set[str]) -> dict[str, object]:
    """What changed against the split of before."""
    before = split.began(images, held)
    moved: dict[str, int] = {}
    for image, was, entry in zip(images, before, entries, strict=True):
        if was != entry.split:
            key = f"{image.task}: {was} to {entry.split}"
            moved[key] = moved.get(key, 0) + 1
    return {
        "images": len(entries),
        "groups": len({e.group for e in entries}),
        "held": sum(e.held for e in entries),
        "moved": dict(sorted(moved.items())),
    }


def run(arguments: argparse.Namespace) -> None:
    images = manifest.load(arguments.images)
    held = set(json.loads(arguments.before.read_text())["validation_sha256"])
    entries = build(images, copies(images, arguments.images, arguments.work), held)
    write(arguments.list, entries)
    print(json.dumps(summary(images, entries, held), indent=1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    before = Path(__file__).resolve().parents[1] / "starter/split.json"
    parser.add_argument("--before", type=Path, default=before, help="the validation list of before")
