"""`python -m segmenter STEP`: the steps, in order."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

STEPS = {
    "outlines": "reads images and outlines once, at the side that is trained on",
    "train": "trains the reduced SAM2 to follow its prompts",
    "figures": "measures it, and the shipped bundle's, on images held back",
    "graphs": "writes the graphs that a bundle holds and compares them with the weights",
}
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="segmenter", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, about in STEPS.items():
        step = steps.add_parser(name, help=about, description=about)
        step.add_argument("--images", type=Path, default=ROOT.parent / "shared/data")
        step.add_argument("--list", type=Path, default=ROOT / "scripts/data/list.tsv")
        step.add_argument("--work", type=Path, default=ROOT / ".work/segmenter")
        step.add_argument("--bundle", type=Path, default=ROOT / "models/starter")
        step.add_argument("--threads", type=int, default=1)
        import_module(f"segmenter.{name}").add_arguments(step)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    import_module(f"segmenter.{arguments.step}").run(arguments)


if __name__ == "__main__":
    main()
