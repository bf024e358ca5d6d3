"""What the segmenter's regions are in each exam's images: how much of the picture they hold,
and how well they agree with masks that people drew. Evidence for `docs/few-shot.md`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bundling.exams import EXAMS
from bundling.focus import crop_box
from starter import data


def crop_share(mask: np.ndarray) -> float:
    """Share of the picture that `crop` shows."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return 1.0
    corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / len(mask)
    x0, y0, x1, y1 = crop_box(*corners.tolist())
    return (x1 - x0) * (y1 - y0)


def overlap(mask: np.ndarray, drawn: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & drawn).sum() / max((mask | drawn).sum(), 1))


def table(images: Path, masks: np.ndarray) -> list[str]:
    """A line an exam; `masks` are those of `starter leave_one_out`, in the manifest's order."""
    rows = data.load_rows(images)
    lines = [
        "| exam | region, share of the image | crop, share | no region | IoU with drawn masks |",
        "|---|---|---|---|---|",
    ]
    for exam in EXAMS:
        mine = [i for i, row in enumerate(rows) if row.task == exam]
        regions = masks[mine] > 0
        areas = regions.mean((1, 2))
        crops = [crop_share(region) for region in regions]
        agreed = [
            overlap(masks[i] > 0, data.read_mask(images / rows[i].mask, masks.shape[1]) > 0)
            for i in mine
            if rows[i].mask
        ]
        drawn = f"{np.mean(agreed):.2f} (n = {len(agreed)})" if agreed else "none drawn"
        shares = f"{100 * np.median(areas):.0f} % | {100 * np.median(crops):.0f} %"
        lines.append(f"| {exam} | {shares} | {100 * (areas == 0).mean():.0f} % | {drawn} |")
    return lines
