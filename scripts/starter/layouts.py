"""Measures what the built program makes of pictures that hold more, or other, than one film.

`pictures` makes every layout of every film; `cargo run --release` has answered the bare films
and answers the pictures. Two tables: by layout and exam the share that is refused (and, of the
layouts that are one whole film, the share with the bare film's class or refused), and by size
how often the exams are right, from which `shortest_side` is taken: the smallest side at which
accuracy has not fallen by five points. Works on any folder of images, one folder a class.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from PIL import Image

from bundling.exams import EXAMS

from . import data, pictures
from .train_gate import KINDS, SETTINGS
from .train_layouts import PARTS_ARE_FILMS, own_films

PROGRAM = Path(__file__).resolve().parents[2] / "target/release/medfocus"
SIDES = [32, 40, 48, 64, 80, 96, 128, 160, 192, 256]
FALL = 0.05
AT_ONCE = 400


def classify(bundle: Path, exam: str, files: list[Path], *options: str) -> list[dict]:
    """The program's answers, in order."""
    command = [PROGRAM, "classify", "--bundle", bundle, "--exam", exam, "--format", "ndjson"]
    answers = []
    for start in range(0, len(files), AT_ONCE):
        run = subprocess.run(
            [*command, *options, *files[start : start + AT_ONCE]],
            capture_output=True,
            text=True,
            check=False,
        )
        answers += [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(files)
    return answers


def layouts_of(exam: str) -> dict[str, pictures.Make]:
    kind = next(kind for kind, tasks in KINDS.items() if exam in tasks)
    partial = {} if kind in PARTS_ARE_FILMS else pictures.PARTIAL
    named = {"same": pictures.SAME, "several": pictures.SEVERAL, "partial": partial}
    return {f"{what} {name}": make for what, of in named.items() for name, make in of.items()}


def films_of(arguments: argparse.Namespace, exam: str) -> list[Path]:
    """Films to measure with: of a folder with one folder a class, or validation images."""
    if arguments.folder:
        classes = [p for p in sorted(arguments.folder.iterdir()) if p.name in EXAMS[exam]]
        return [file for folder in classes for file in sorted(folder.glob("*.jpg"))]
    split = data.load_split(arguments.split)
    return own_films(arguments.images, [exam], split, held=True)


def measure(arguments: argparse.Namespace, exam: str, scratch: Path) -> dict[str, list[dict]]:
    """The program's answers by layout; the bare film's come first."""
    draw = Random(arguments.seed)
    files = films_of(arguments, exam)
    draw.shuffle(files)
    films = [pictures.read(str(file)) for file in files[: arguments.count]]
    answers: dict[str, list[dict]] = {}
    for name, make in layouts_of(exam).items():
        written = []
        for number, film in enumerate(films):
            written.append(scratch / f"{number}.png")
            make(film, films, draw).save(written[-1], compress_level=1)
        answers[name] = classify(arguments.bundle, exam, written)
    return answers


def refused(answers: list[dict]) -> float:
    return 100 * sum(answer["status"] == "refusal" for answer in answers) / len(answers)


def layout_lines(arguments: argparse.Namespace, exams: list[str]) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        tables = {exam: measure(arguments, exam, Path(folder)) for exam in exams}
    names = {name: None for table in tables.values() for name in table}
    lines += ["| layout | " + " | ".join(exams) + " | codes |", "|---|" + "---|" * (len(exams) + 1)]
    for name in names:
        cells, codes = [], Counter()
        for table in tables.values():
            if name not in table:
                cells.append("")
                continue
            of = table[name]
            cell = f"{refused(of):.1f} %"
            if name.startswith("same"):
                pairs = zip(of, table["same bare"], strict=True)
                kept = [a.get("class") in (None, b.get("class")) for a, b in pairs]
                cell += f", kept {100 * sum(kept) / len(kept):.1f} %"
            cells.append(cell)
            codes += Counter(a["code"] for a in of if a["status"] == "refusal")
        said = ", ".join(f"{code} {count}" for code, count in codes.most_common(3))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {said} |")
    return lines


def accuracy(exam: str, files: list[Path], answers: list[dict]) -> float:
    assert all(file.parent.name in EXAMS[exam] for file in files)
    right = [a.get("class") == f.parent.name for a, f in zip(answers, files, strict=True)]
    return sum(right) / len(right)


def size_lines(arguments: argparse.Namespace, exams: list[str]) -> list[str]:
    """Accuracy by the side of the file. The gate is overruled: it is the models that are
    measured."""
    lines = ["| side | " + " | ".join(exams) + " |", "|---|" + "---|" * len(exams)]
    by_exam: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for exam in exams:
            files = films_of(arguments, exam)
            Random(arguments.seed).shuffle(files)
            files = files[: arguments.size_count]
            by_exam[exam] = {}
            for side in SIDES:
                written = []
                for number, file in enumerate(files):
                    written.append(Path(folder) / f"{number}.png")
                    with Image.open(file) as image:
                        small = image.convert("L").resize((side, side), Image.Resampling.BICUBIC)
                    small.save(written[-1], compress_level=1)
                answers = classify(arguments.bundle, exam, written, "--force")
                by_exam[exam][side] = accuracy(exam, files, answers)
    for side in SIDES:
        cells = [f"{100 * by_exam[exam][side]:.1f} %" for exam in exams]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    least: dict[str, int] = {}
    for kind, tasks in KINDS.items():
        mine = [exam for exam in exams if exam in tasks]
        fell = [
            side
            for exam in mine
            for side in SIDES
            if by_exam[exam][side] <= by_exam[exam][SIDES[-1]] - FALL
        ]
        above = [side for side in SIDES if side > max(fell, default=0)]
        least[kind] = above[0]
    lines += ["", "The shortest side that is answered, by kind: " + json.dumps(least)]
    if arguments.write and set(exams) == set(EXAMS):
        chosen = json.loads(SETTINGS.read_text()) | {"shortest_side": least}
        SETTINGS.write_text(json.dumps(chosen, indent=1) + "\n")
    return lines


def run(arguments: argparse.Namespace) -> None:
    exams = arguments.exams.split(",")
    if arguments.what in ("sizes", "both"):
        print("\n".join(size_lines(arguments, exams)), flush=True)
    if arguments.what in ("layouts", "both"):
        print("\n".join(layout_lines(arguments, exams)), flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["layouts", "sizes", "both"], nargs="?", default="both")
    parser.add_argument("--exams", default=",".join(EXAMS))
    parser.add_argument("--count", type=int, default=60, help="films an exam, for the layouts")
    parser.add_argument("--size-count", type=int, default=200, help="films an exam, for the sizes")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--folder", type=Path, help="films in one folder a class, for one exam")
    parser.add_argument("--write", action="store_true", help="keep the shortest sides in gate.json")
