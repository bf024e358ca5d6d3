"""Writes a small `manifest.csv` over a folder of images, so that everything that needs the
whole of it can be tried in minutes: `python -m few_shot.reduce IMAGES FOLDER EACH`.

It names the first images of each task and label by an order of their hashes, where they lie.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from .split import rank


def reduced(rows: list[dict[str, str]], each: int) -> list[dict[str, str]]:
    """`each` rows of every task and label, in the order of the manifest."""
    by_label: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_label[row["task"], row["label"]].append(row)
    kept = {
        (row["task"], row["source_sha256"])
        for mine in by_label.values()
        for row in sorted(mine, key=lambda row: rank("reduced", row["source_sha256"]))[:each]
    }
    return [row for row in rows if (row["task"], row["source_sha256"]) in kept]


def main() -> None:
    images, folder, each = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with (images / "manifest.csv").open(newline="") as handle:
        rows = reduced(list(csv.DictReader(handle)), each)
    for row in rows:
        for column in ("file", "mask"):
            row[column] = str((images / row[column]).resolve()) if row[column] else ""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
