"""`python -m encoder STEP`: the steps, in order."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

STEPS = {
    "views": "makes worn pictures of the training images",
    "teacher": "trains the ImageNet teacher further on them",
    "targets": "asks the teacher about every view",
    "student": "trains the tower that the product runs",
    "graph": "writes the tower as the graph that a bundle holds",
    "figures": "probes and measures it on images held back and on sources left out",
}
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="encoder", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, about in STEPS.items():
        step = steps.add_parser(name, help=about, description=about)
        step.add_argument("--images", type=Path, default=ROOT.parent / "shared/data")
        step.add_argument("--list", type=Path, default=ROOT / "scripts/data/list.tsv")
        step.add_argument("--work", type=Path, default=ROOT / ".work/encoder")
        step.add_argument("--run", type=int, help="leave out the sources of this run (1 to 5)")
        step.add_argument("--threads", type=int, default=2)
        import_module(f"encoder.{name}").add_arguments(step)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    import_module(f"encoder.{arguments.step}").run(arguments)


if __name__ == "__main__":
    main()
