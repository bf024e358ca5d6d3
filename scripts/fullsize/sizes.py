"""At which size the segmenter runs: time against agreement with SAM2 at 1024 pixels.

`scripts/parity --sizes` measures the table; `scripts/export` chooses by it where nobody
names a size, and writes it into the manifest.
"""

from __future__ import annotations

import json
from pathlib import Path

from . import sam2
from .checkpoint import CheckpointError

FILE = "segmenter-sizes.json"
"""Under `models`; there only once it has been measured with trained weights."""
IOU_NEEDED = 0.9
"""A smaller size must agree this well with SAM2 at the size it was trained at."""

Table = dict[str, object]


def load(models: Path) -> Table | None:
    """The measured table; `None` where there is none."""
    file = models / FILE
    if not file.is_file():
        return None
    try:
        table = json.loads(file.read_text())
        choose(table)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file}: is no table of sizes ({error}); remove it, or measure it again with "
            "scripts/parity --sizes"
        ) from error
    return table


def choose(table: Table | None) -> int:
    """The smallest size that agrees well enough; SAM2's own where nothing was measured."""
    own = max(sam2.SIDES)
    if table is None or table["weights"] != "trained":
        return own
    good = [row["size"] for row in table["sizes"] if row["mask_iou"] >= IOU_NEEDED]
    return min(good, default=own)


def comments(table: Table | None) -> list[str]:
    """The table as comment lines for the manifest."""
    if table is None:
        return ["# No other size has been measured with trained weights: SAM2's own."]
    lines = [f"# Sizes, {table['weights']} weights, {table['images']} images, by {table['by']}:"]
    for row in table["sizes"]:
        ratio, iou = row["latency_ratio"], row["mask_iou"]
        lines.append(f"# {row['size']:5} px  latency x {ratio:.3f}  mask IoU {iou:.3f}")
    return lines
