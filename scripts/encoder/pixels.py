"""The list's images as square grey pixels, decoded once and kept as one file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from data import manifest
from data.listing import Entry
from data.progress import Progress

SIDE = 192


def key(entries: list[Entry]) -> str:
    """Names these images in this order."""
    names = "\n".join(entry.sha256 for entry in entries)
    return hashlib.sha256(names.encode()).hexdigest()[:12]


def load(root: Path, entries: list[Entry], work: Path) -> np.ndarray:
    """uint8 `[N, SIDE, SIDE]` in the order of the list, mapped from the file; an image that
    the folders do not hold is named."""
    path = work / f"pixels-{key(entries)}.npy"
    if not path.exists():
        files = {image.sha256: image.file for image in manifest.load(root)}
        absent = [entry.sha256 for entry in entries if entry.sha256 not in files]
        if absent:
            raise SystemExit(f"{root}: {len(absent)} images of the list are not there: {absent[0]}")
        part = path.with_suffix(".part.npy")
        shape = (len(entries), SIDE, SIDE)
        pixels = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        with Progress("pixels", len(entries)) as progress:
            for i, entry in enumerate(entries):
                pixels[i] = manifest.grey(root / files[entry.sha256], SIDE)
                progress.step()
        pixels.flush()
        part.rename(path)
    return np.load(path, mmap_mode="r")
