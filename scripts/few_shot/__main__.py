"""The few-shot experiment: how well heads do that were trained on few labelled images.

Reads the images with the program itself (target/release/examples/readings), draws training
images by seed, trains every kind of head on them, and tests each on the same held-out part."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from bundling.focus import STYLES

from . import embeddings, images, report, split, trials
from .methods import METHODS, Method
from .projection import ProLip
from .refused import Refused
from .sample import Exam

ROOT = Path(__file__).resolve().parents[2]
ABLATIONS = ["mask", "centre"]
EPILOG = """
images:
  a folder with one folder of images a class, named as the bundle names the classes; a CSV
  with the columns file and label (and task, source_sha256); or a folder with such a
  manifest.csv. Near-duplicates never straddle the split: the test part is that of the
  hash list --split where it names the images, otherwise a fifth of each class by hash.

methods:
  zero_shot      the prototypes alone             tip_adapter    key-value cache
  linear_probe   logistic regression              tip_adapter_f  the same, keys trained
  text_probe     logistic regression on top of    clip_adapter   two layers beside the
                 the prototypes (enroll's head)                  embedding
  medfocus       the paper's L = lambda Lc + (1 - lambda) Le on the fusion head

focus:
  overlay, blur, crop, cutout, none; two more are ablations: mask is the binary mask itself
  as the second picture, centre the crop moved to the middle of the image.
  zero_shot, the probes and medfocus are tried with each of them at the fractions; the
  adapters, and all methods at so many shots, with none and the bundle's own style only.

output:
  rows (--json: one JSON object a line), and in --out rows.jsonl, table.md, table.csv,
  accuracy.svg and answers.npz (what each head answered, for paired comparisons).

exit codes: 0 done, 1 the images or the bundle do not do, 2 wrong arguments,
            3 the program that reads the images fails

few-shot is few-shot only with an encoder that never saw the labels: the starter bundle's has
seen those of its own exams, the bundles of `starter leave_one_out` have not (docs/few-shot.md).

examples:
  scripts/fewshot --bundle models/starter --images photos/ --exam breast3
  scripts/fewshot --bundle .work/leave-one-out/breast3/bundle --images ../shared/data/images \\
      --exam breast3 --fractions 5,10,20,50,100 --shots 1,2,4,8,16 --seeds 3 --json
"""


def numbers(text: str) -> list[float]:
    """Comma-separated numbers above 0."""
    values = [float(part) for part in text.split(",") if part]
    if any(not 0 < value <= 100 for value in values):
        raise argparse.ArgumentTypeError("numbers from above 0 to 100, such as 5,10,100")
    return [int(value) if value == int(value) else value for value in values]


def counts(text: str) -> list[int]:
    """Comma-separated whole numbers from 1."""
    values = [int(part) for part in text.split(",") if part]
    if any(value < 1 for value in values):
        raise argparse.ArgumentTypeError("whole numbers from 1, such as 1,2,4")
    return values


def words(known: list[str]) -> object:
    """A parser of comma-separated words out of these."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        strange = [word for word in chosen if word not in known]
        if strange:
            raise argparse.ArgumentTypeError(f"{strange[0]} is none of {', '.join(known)}")
        return chosen

    return parse


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fewshot",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    styles = [*STYLES, *ABLATIONS]
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle's folder")
    parser.add_argument("--images", type=Path, required=True, help="a folder or a CSV, see below")
    parser.add_argument("--exam", required=True, help="an exam of the bundle")
    parser.add_argument(
        "--fractions", type=numbers, default=[5, 10, 20, 50, 100], help="per cent of each class"
    )
    parser.add_argument("--shots", type=counts, default=[], help="images of each class, as 1,2,4")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each amount (3)")
    parser.add_argument("--methods", type=words(list(METHODS)), default=list(METHODS))
    parser.add_argument("--focus", type=words(styles), default=styles, help="focus styles")
    parser.add_argument(
        "--features",
        type=Path,
        help="a bundle whose encoder ends before its last projection, projection.safetensors "
        "beside it (starter leave_one_out makes both): that projection is trained too, prolip",
    )
    parser.add_argument("--sweep-lambda", action="store_true", help="medfocus by lambda as well")
    parser.add_argument(
        "--split", type=Path, default=ROOT / "scripts/starter/split.json", help="test hashes"
    )
    parser.add_argument("--out", type=Path, help="default: .work/few-shot/EXAM")
    parser.add_argument("--json", action="store_true", help="print rows instead of the table")
    parser.add_argument(
        "--program",
        type=Path,
        default=ROOT / "target/release/examples/readings",
        help="cargo build --release --examples makes it",
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error("--seeds: at least 1")
    return arguments


def prepared(arguments: argparse.Namespace) -> trials.Setup:
    """Images, split and embeddings."""
    bundle, name = arguments.bundle, arguments.exam
    classes = images.classes_of(bundle, name)
    manifest = tomllib.loads((bundle / "bundle.toml").read_text())
    spec = next(e for e in manifest["exams"] if e["name"] == name)
    head = load_file(bundle / spec["head"])
    exam = Exam(head["prototypes"].astype(np.float64), float(head["logit_scale"][0]))
    labelled = images.load(arguments.images, name, classes)
    groups = split.near_duplicates(labelled)
    test = split.test_set(labelled, groups, arguments.split, len(classes))
    cache = ROOT / ".work/few-shot/embeddings"
    read = embeddings.read(labelled, arguments.focus, bundle, arguments.program, cache)
    own_style, features = manifest["focus"]["style"], None
    if arguments.features:
        styles = [style for style in arguments.focus if style in ("none", own_style)]
        place = arguments.features
        features = embeddings.read(labelled, styles, place, arguments.program, cache)
    return trials.Setup(name, exam, labelled, groups, test, read, features, own_style)


def methods_of(arguments: argparse.Namespace) -> list[Method]:
    """The methods that are asked for, and the one that needs the encoder's features."""
    methods = [METHODS[name] for name in arguments.methods]
    if arguments.features:
        kept = load_file(arguments.features.with_name("projection.safetensors"))
        methods.append(ProLip(kept["weight"].astype(np.float64)))
    return methods


def experiment(arguments: argparse.Namespace) -> None:
    setup = prepared(arguments)
    amounts = [split.Amount(fraction=f) for f in arguments.fractions]
    amounts += [split.Amount(shots=k) for k in arguments.shots]
    seeds = range(arguments.seeds)
    plan = list(
        trials.planned(setup.own_style, arguments.focus, methods_of(arguments), amounts, seeds)
    )
    if arguments.sweep_lambda:
        plan += trials.sweep(setup.own_style, amounts, seeds)
    outcome = trials.run(setup, plan)
    labels = setup.sample(arguments.focus[0]).labels[setup.test]
    out = arguments.out or ROOT / ".work/few-shot" / arguments.exam
    table = report.write(out, outcome, labels, arguments.exam, setup.own_style)
    if arguments.json:
        print("\n".join(json.dumps(row) for row in outcome.rows))
    else:
        print(table)


def main(argv: list[str] | None = None) -> int:
    try:
        experiment(parsed(argv))
    except Refused as why:
        print(f"fewshot: {why}", file=sys.stderr)
        return why.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
