"""Writes `tests/vectors/reference.json`: what Python makes of the phantoms.

For each phantom the stages of `bundling/reference.py` as short digests (samples of the
arrays) that the Rust tests compare with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from bundling.reference import Case, Reference

from .phantoms import PHANTOMS


def sample(values: np.ndarray) -> dict[str, object]:
    """Every so many values of an array, and its mean."""
    flat = values.astype(np.float64).ravel()
    step = max(len(flat) // 64, 1)
    return {
        "step": step,
        "mean": round(float(flat.mean()), 7),
        "values": [round(float(v), 6) for v in flat[::step]],
    }


def runs(mask: np.ndarray) -> list[int]:
    """Row by row, alternating lengths of outside and inside; the first is outside."""
    flat = np.concatenate([[False], mask.ravel()])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def digest(case: Case) -> dict[str, object]:
    return {
        "segmenter_input": sample(case.segmenter_input),
        "mask_area": int(case.mask.sum()),
        "focus_mask": runs(case.focus_mask),
        "predicted_iou": round(case.predicted_iou, 6),
        "pictures": {style: sample(picture) for style, picture in case.pictures.items()},
        "embeddings": {style: sample(pair[1]) for style, pair in case.embeddings.items()},
        "logits": {
            task: {style: [round(float(v), 6) for v in row] for style, row in styles.items()}
            for task, styles in case.logits.items()
        },
    }


def run(arguments: argparse.Namespace) -> None:
    reference = Reference(arguments.bundle)
    cases = {n: digest(reference.read(arguments.phantoms / f"{n}.png")) for n in PHANTOMS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(cases, indent=1) + "\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--out", type=Path, default=root / "tests/vectors/reference.json")
