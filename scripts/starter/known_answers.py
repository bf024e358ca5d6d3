"""Writes a bundle's known answers: the phantoms, and what the Python reference makes
of them. The device's self-test must reproduce these numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from . import data
from .phantoms import PHANTOMS
from .reference import Reference

STYLE = "crop"
TOLERANCE = {"probability": 0.01, "area_fraction": 0.005, "predicted_iou": 0.01}
"""Wide enough for int8 arithmetic, narrow enough that a wrong kernel shows."""


def write(bundle: Path, phantoms: Path) -> None:
    """Copies the phantoms into the bundle and writes `known_answers/answers.json`."""
    folder = bundle / "known_answers"
    folder.mkdir(exist_ok=True)
    reference, images = Reference(bundle), {}
    for name in PHANTOMS:
        file = folder / f"{name}.png"
        shutil.copyfile(phantoms / f"{name}.png", file)
        case = reference.read(file)
        images[f"known_answers/{name}.png"] = {
            "area_fraction": round(float(case.mask.mean()), 6),
            "predicted_iou": round(case.predicted_iou, 6),
            "probabilities": {
                task: [round(float(p), 6) for p in reference.probabilities(case, task, STYLE)]
                for task in data.EXAMS
            },
        }
    answers = {"tolerance": TOLERANCE, "images": images}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
