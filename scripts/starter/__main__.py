"""`python -m starter STEP`: the steps that make the starter bundle, in order."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

STEPS = {
    "split": "groups near-duplicates and writes the validation list",
    "train_segmenter": "trains the reduced SAM2",
    "train_clip": "trains the reduced CLIP on whole and focused images",
    "fine_tune": "trains a bundle's image encoder further, from its own graph",
    "export": "writes graphs, prototypes, known answers and manifest as a bundle",
    "train_head": "trains the bundle's fusion heads on its own embeddings and calibrates them",
    "train_gate": "trains the gate that looks at an image before the exams do",
    "gate": "puts the gate and the guards into the bundle",
    "train_layouts": "trains what tells one whole film from several films and parts of one",
    "gate_table": "measures gate and guard on the validation images",
    "layouts": "measures borders, several films, parts and sizes with the built program",
    "evaluate": "runs the built program over the validation images and writes the model card",
    "leave_one_out": "pre-trains the reduced CLIP without one exam, for few-shot experiments",
    "adapt": "trains an encoder itself on few images, by LoRA and in full",
    "phantoms": "draws the phantom images that the repository ships",
    "vectors": "writes the reference vectors that the Rust tests compare with",
}
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="starter", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, about in STEPS.items():
        step = steps.add_parser(name, help=about, description=about)
        step.add_argument("--images", type=Path, default=ROOT.parent / "shared/data/images")
        step.add_argument("--work", type=Path, default=ROOT / ".work")
        step.add_argument("--split", type=Path, default=HERE / "split.json")
        step.add_argument("--bundle", type=Path, default=ROOT / "models/starter")
        step.add_argument("--training", type=Path, default=HERE / "training.json")
        step.add_argument("--phantoms", type=Path, default=ROOT / "tests/phantoms")
        import_module(f"starter.{name}").add_arguments(step)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    import_module(f"starter.{arguments.step}").run(arguments)


if __name__ == "__main__":
    main()
