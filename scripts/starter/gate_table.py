"""Measures the gate and the guard on the validation images and writes `docs/gate.md`.

The gate is judged by the program's own code (`cargo run --release --example
gate_judge`). The guard's distances are worked out here from the embeddings that the program
makes, by the formula of `src/triage/guard.rs`. The colour photographs are those that scikit-image
ships.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import load_file

from bundling.exams import EXAMS

from . import data, device, gate
from .train_gate import KINDS

PHOTOGRAPHS = [
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "color.png",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "rocket.jpg",
]
GREY_PHOTOGRAPHS = ["brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png"]
VARIANTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "right": lambda image: image,
    "turned left": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned right": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "inverted": ImageOps.invert,
}
HEAD = """# The gate and the guard

Before the models see an image, the gate looks at it: what it says of itself, what can be
measured (colour, exposure, contrast, border, sharpness), and what a small graph makes of
it (kind of image, and which way up). After them, the guard measures how far the embedding
lies from those of the exam's training images. Every refusal has a code, a sentence and a
cure; `--force` answers all the same and marks the finding with `forced:`. All thresholds
stand in the bundle's `[gate]` and `guard`.

Measured on the validation images of `scripts/starter/split.json` by `python -m starter
gate_table`; no threshold was fitted to them. Two choices were made after a first look at them,
though: to leave out the slices described below, which came to light there, and to accept an
unsure pose from 0.2 on, for the sake of the brain phantom (at 0.5: 1.1 % of the right images
refused, 99.1 % of those upside down). Nothing but pixels was given: no image says its modality
here.

The set of `brain4` holds many of its slices without a tumour both ways up: {doubtful} of the
{all} validation images have a copy in it that is turned by 180 degrees or flipped top to
bottom (`stand_on_their_heads` in `scripts/starter/data.py`; no image of another exam has one).
Which of the two is upside down the set does not say, so such images are neither trained on nor
counted as right; the row "stored both ways up" says how many of them the gate refuses. Of these
about one in two should be.
"""


def photographs(names: list[str]) -> Iterator[Image.Image]:
    import skimage

    for name in names:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
            yield image.convert("RGB")


def made(kind: str) -> Iterator[Image.Image]:
    """Noise of several kinds, or blank pictures."""
    generator = np.random.default_rng(11)
    for number in range(60):
        if kind == "noise":
            side = [256, 64, 16, 8][number % 4]
            values = generator.normal(128, 10 + number, (side, side)).clip(0, 255)
            picture = Image.fromarray(values.astype(np.uint8))
            yield picture.resize((256, 256), Image.Resampling.BILINEAR)
        else:
            values = generator.normal(4 * number, 0.6 * (number % 3), (256, 256)).clip(0, 255)
            yield Image.fromarray(values.astype(np.uint8))


def judge(cases: list[tuple[str, Image.Image]]) -> list[str]:
    """The gate's word on each (exam, picture)."""
    program = Path(__file__).resolve().parents[2] / "target/release/examples/gate_judge"
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for number, (exam, picture) in enumerate(cases):
            path = Path(folder) / f"{number}.png"
            picture.save(path, compress_level=1)
            lines.append(f"{exam} {path}")
        run = subprocess.run(
            [program],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            check=True,
            cwd=program.parents[3],
        )
    return run.stdout.split()


def run(arguments: argparse.Namespace) -> None:
    rows = data.load_rows(arguments.images)
    validation = data.load_split(arguments.split)
    pixels = data.load_pixels(arguments.images, rows, arguments.work / "pixels.npy")
    unknown = data.stand_on_their_heads(pixels)
    held = [(row, turned) for row, turned in zip(rows, unknown, strict=True)]
    held = [(row, turned) for row, turned in held if row.sha256 in validation]
    rows_of = {task: [r for r, turned in held if r.task == task and not turned] for task in EXAMS}
    doubtful = {task: [r for r, turned in held if r.task == task and turned] for task in EXAMS}
    all_of = {task: [r for r, _ in held if r.task == task] for task in EXAMS}
    kind_of = {task: kind for kind, tasks in KINDS.items() for task in tasks}

    def images(task: str, of: dict[str, list[data.Row]] = rows_of) -> Iterator[Image.Image]:
        for row in of[task]:
            with Image.open(arguments.images / row.file) as image:
                yield image.convert("L")

    table: dict[str, dict[str, list[str]]] = {}
    for name, change in VARIANTS.items():
        table[name] = {task: judge([(task, change(i)) for i in images(task)]) for task in EXAMS}
    table["stored both ways up"] = {
        task: judge([(task, i) for i in images(task, doubtful)]) for task in EXAMS
    }
    table["another modality"] = {
        task: judge(
            [
                (task, image)
                for other in EXAMS
                if kind_of[other] != kind_of[task]
                for number, image in enumerate(images(other))
                if number % 4 == 0
            ]
        )
        for task in EXAMS
    }
    sets = {
        "colour photographs": list(photographs(PHOTOGRAPHS)),
        "grey photographs": [p.convert("L") for p in photographs(GREY_PHOTOGRAPHS)],
        "noise": list(made("noise")),
        "blank": list(made("blank")),
    }
    for name, pictures in sets.items():
        table[name] = {task: judge([(task, p) for p in pictures]) for task in EXAMS}
    counts = {"doubtful": len(doubtful["brain4"]), "all": len(all_of["brain4"])}
    lines = [HEAD.format(**counts), "## The gate", "", "Refused, of so many images:", ""]
    lines += ["| | " + " | ".join(EXAMS) + " | all |", "|---|" + "---|" * (len(EXAMS) + 1)]
    for name, by_task in table.items():
        cells, refused, total = [], 0, 0
        for words in by_task.values():
            no = sum(word != "accepted" for word in words)
            cells.append(f"{no} of {len(words)}")
            refused, total = refused + no, total + len(words)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {100 * refused / total:.1f} % |")
    lines += ["", *guard_lines(arguments, all_of, kind_of), "", LIMITS]
    page = Path(__file__).resolve().parents[2] / "docs/gate.md"
    # What `python -m starter layouts` measured stands behind it, and stays.
    _, found, rest = page.read_text().partition(LAYOUTS)
    page.write_text("\n".join(lines) + (f"\n{LAYOUTS}{rest}" if found else ""))
    print("\n".join(lines))


LAYOUTS = "## Borders, several films, parts and sizes\n"
LIMITS = """## Limits

- The gate's graph knows the starter's three kinds of image. Another view of the same part
  of the body may pass it: that is the routing rules' and the guard's to stop.
- Slices of a head are cut in every direction; which way up is the hardest question here.
- The training images of gate and guard come from the same collections as the validation
  images. Another unit's images may be refused more often: that is the safe side.
"""


def guard_lines(
    arguments: argparse.Namespace,
    rows_of: dict[str, list[data.Row]],
    kind_of: dict[str, str],
) -> list[str]:
    rows, embeddings = device.readings(arguments)
    place = {row.file: number for number, row in enumerate(rows)}
    lines = [
        "## The guard alone",
        "",
        "Refused, of so many images, had the gate let them pass:",
        "",
    ]
    lines += ["| exam | right images | another modality |", "|---|---|---|"]
    for task in EXAMS:
        guard = load_file(arguments.bundle / f"guards/{task}.safetensors")
        up_to = gate.settings()["guard_up_to"][task]

        def refused(rows: list[data.Row], guard: dict = guard, up_to: float = up_to) -> str:
            whole = embeddings[[place[row.file] for row in rows], 0]
            far = gate.distances(guard, whole) > up_to
            return f"{far.sum()} of {len(far)}"

        others = [r for t, of in rows_of.items() if kind_of[t] != kind_of[task] for r in of]
        lines.append(f"| {task} | {refused(rows_of[task])} | {refused(others)} |")
    return lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table has no options of its own."""
