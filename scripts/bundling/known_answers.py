"""Writes a bundle's known answers: the phantoms, and what the Python reference makes
of them. The device's self-test must reproduce these numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .reference import Reference

PHANTOMS = ("chest", "brain", "breast")
TOLERANCE = {"probability": 0.015, "area_fraction": 0.001, "predicted_iou": 0.002}
"""Twice what int8 arithmetic was seen to change on any kernel, so that a wrong one shows."""
FILE = "known_answers/answers.json"


def write(bundle: Path, phantoms: Path, tolerance: dict[str, float] = TOLERANCE) -> None:
    """Copies the phantoms into the bundle and writes `known_answers/answers.json`. The
    manifest and all it names must be there; its hashes are not looked at."""
    (bundle / FILE).parent.mkdir(exist_ok=True)
    reference, images = Reference(bundle), {}
    reference.styles = [reference.style]
    for name in PHANTOMS:
        file = f"known_answers/{name}.png"
        shutil.copyfile(phantoms / f"{name}.png", bundle / file)
        case = reference.read(bundle / file)
        answers = {
            task: reference.probabilities(case, task, reference.style) for task in reference.heads
        }
        images[file] = {
            "area_fraction": round(float(case.mask.mean()), 6),
            "predicted_iou": round(case.predicted_iou, 6),
            "probabilities": {
                task: [round(float(p), 6) for p in values] for task, values in answers.items()
            },
        }
    document = {"tolerance": tolerance, "images": images}
    (bundle / FILE).write_text(json.dumps(document, indent=1) + "\n")
