"""`python -m data STEP`."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from .listing import PATH

STEPS = {
    "build": "reads the image folders and writes the list",
    "left_out": "prints which sources each exam has, and which run leaves each out",
    "made": "measures how many copies made on purpose are found again",
}
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="data", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, about in STEPS.items():
        step = steps.add_parser(name, help=about, description=about)
        step.add_argument("--images", type=Path, default=ROOT.parent / "shared/data")
        step.add_argument("--list", type=Path, default=PATH)
        step.add_argument("--work", type=Path, default=ROOT / ".work/data")
        import_module(f"data.{name}").add_arguments(step)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    import_module(f"data.{arguments.step}").run(arguments)


if __name__ == "__main__":
    main()
