"""The manifests of the image folders, as they are: one `Image` a file.

Nothing is decided here about splits or about what an exam makes of a label.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture

FOLDERS = ("images", "more")
"""The folders, in the order in which a file that both have is taken."""


@dataclass(frozen=True)
class Image:
    """One row of a manifest; `file` begins with its folder."""

    sha256: str
    file: str
    task: str
    label: str
    repository: str
    path: str
    split: str
    """What the folder's own manifest says: `train`, `val`, or nothing."""
    series: str
    """What the manifest groups by (patient, series, near copies), or nothing."""
    note: str


def load(root: Path) -> list[Image]:
    """All images but those that `images/exclude.csv` names, one for each SHA-256."""
    excluded = root / "images/exclude.csv"
    gone = {f"images/{row['file']}" for row in csv.DictReader(excluded.open(newline=""))}
    found: dict[str, Image] = {}
    for folder in FOLDERS:
        with (root / folder / "manifest.csv").open(newline="") as handle:
            for row in csv.DictReader(handle):
                image = Image(
                    row["source_sha256"],
                    f"{folder}/{row['file']}",
                    row["task"],
                    row["label"],
                    row["source_repo"],
                    row["source_path"],
                    row.get("split") or "",
                    row.get("group") or "",
                    row.get("note") or "",
                )
                if image.file not in gone:
                    found.setdefault(image.sha256, image)
    return list(found.values())


def grey(path: Path, side: int | None = None) -> np.ndarray:
    """Luma, uint8; stretched to a square where a side is given."""
    with Picture.open(path) as picture:
        luma = picture.convert("L")
        if side is not None:
            luma = luma.resize((side, side), Picture.Resampling.BILINEAR)
        return np.asarray(luma)
