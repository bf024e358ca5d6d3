"""Fills the tables of `docs/few-shot.md` from what `scripts/fewshot` left, an exam a folder,
and copies the plots: `python -m few_shot.page [IMAGES]`. `scripts/fewshot-page` does all of it.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; the words around it are written
by hand and are never touched.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundling.exams import EXAMS
from bundling.focus import STYLES

from . import regions
from .bootstrap import Bootstrap, Estimate
from .report import PAPER, PAPER_FRACTIONS, amount_of
from .trials import EVERY_STYLE

ROOT = Path(__file__).resolve().parents[2]
PAGE = "few-shot.md"
FOCUSED = [style for style in (*STYLES, "mask", "centre") if style != "none"]
FEW = ("5 %", "10 %")
LEARNT = [name for name in EVERY_STYLE if name != "zero_shot"]


@dataclass(frozen=True)
class Results:
    """One exam's rows and what each answered."""

    rows: list[dict]
    probabilities: np.ndarray
    bootstrap: Bootstrap

    @classmethod
    def load(cls, folder: Path, seed: int) -> Results:
        lines = (folder / "rows.jsonl").read_text().splitlines()
        with np.load(folder / "answers.npz") as answers:
            probabilities, labels = answers["probabilities"], answers["labels"]
        return cls([json.loads(line) for line in lines], probabilities, Bootstrap(labels, seed))

    def members(self, method: str, focus: str, amount: str) -> list[int]:
        """Row numbers by seed."""
        found = [
            i
            for i, row in enumerate(self.rows)
            if (row["method"], row["focus"], amount_of(row)) == (method, focus, amount)
        ]
        return sorted(found, key=lambda i: self.rows[i]["seed"])

    def mean(self, method: str, focus: str, amount: str, column: str) -> float:
        values = [self.rows[i][column] for i in self.members(method, focus, amount)]
        return float(np.mean(values)) if values else float("nan")

    def draws(self, method: str, focus: str, amount: str) -> np.ndarray:
        """Balanced accuracy `[seeds, resamples]`."""
        members = self.members(method, focus, amount)
        return np.stack([self.bootstrap.balanced_accuracy(self.probabilities[i]) for i in members])

    def gain(self, method: str, focus: str, amount: str) -> tuple[float, np.ndarray]:
        """Balanced accuracy with this focus less that with none, paired over seeds and
        test images: its mean, and its draws."""
        column = "balanced_accuracy"
        mean = self.mean(method, focus, amount, column) - self.mean(method, "none", amount, column)
        apart = self.draws(method, focus, amount) - self.draws(method, "none", amount)
        return mean, self.bootstrap.over_seeds(apart)


def estimate(mean: float, draws: np.ndarray) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(mean, float(low), float(high))


def focus_table(results: dict[str, Results], method: str) -> list[str]:
    """By how much each focus style helps at few images, by exam and on average."""
    lines = [
        f"| {method} | images | {' | '.join(results)} | average |",
        "|---|---|" + "---|" * (len(results) + 1),
    ]
    for style in FOCUSED:
        for amount in FEW:
            gains = [r.gain(method, style, amount) for r in results.values()]
            cells = [estimate(*gain).text() for gain in gains]
            cells.append(f"**{average(gains).text()}**")
            lines.append(f"| {style} | {amount} | {' | '.join(cells)} |")
    return lines


def both_table(results: dict[str, Results]) -> list[str]:
    """The average over exams, both amounts together: one number a style and method, and one
    over the methods too."""
    lines = ["| focus | " + " | ".join(LEARNT) + " | all three |", "|---|" + "---|" * 4]
    for style in FOCUSED:
        cells, every = [], []
        for method in LEARNT:
            gains = [r.gain(method, style, a) for r in results.values() for a in FEW]
            every += gains
            cells.append(average(gains).text())
        cells.append(f"**{average(every).text()}**")
        lines.append(f"| {style} | {' | '.join(cells)} |")
    return lines


def average(gains: list[tuple[float, np.ndarray]]) -> Estimate:
    """Of means and their draws."""
    mean = float(np.mean([gain[0] for gain in gains]))
    return estimate(mean, np.mean([gain[1] for gain in gains], axis=0))


def methods_table(results: Results, exam: str, style: str, column: str) -> list[str]:
    """One exam: methods against amounts, with the bundle's focus style."""
    amounts = list(dict.fromkeys(amount_of(row) for row in results.rows))
    amounts = [a for a in amounts if a != "none"]
    names = dict.fromkeys(r["method"] for r in results.rows if "lambda" not in r["method"])
    lines = [f"| {exam} | {' | '.join(amounts)} |", "|---|" + "---|" * len(amounts)]
    for name in names:
        shown = ["none"] * len(amounts) if name == "zero_shot" else amounts
        cells = [f"{100 * results.mean(name, style, a, column):.1f}" for a in shown]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if column == "accuracy":
        known = dict(zip((f"{f} %" for f in PAPER_FRACTIONS), PAPER[exam], strict=True))
        cells = [f"{known[a]:.1f}" if a in known else "" for a in amounts]
        lines.append(f"| *the paper, its own data* | {' | '.join(cells)} |")
    return lines


def lambda_table(results: dict[str, Results]) -> list[str]:
    """The sweep over lambda, balanced accuracy."""
    first = next(iter(results.values()))
    names = list(dict.fromkeys(r["method"] for r in first.rows if "lambda" in r["method"]))
    head = " | ".join(name.rsplit("_", 1)[1] for name in names)
    lines = [f"| exam | images | {head} |", "|---|---|" + "---|" * len(names)]
    for exam, one in results.items():
        style = next(r["focus"] for r in one.rows if "lambda" in r["method"])
        for amount in FEW:
            cells = [f"{100 * one.mean(n, style, amount, 'balanced_accuracy'):.1f}" for n in names]
            lines.append(f"| {exam} | {amount} | {' | '.join(cells)} |")
    return lines


def tuned_table(results: dict[str, Results], tuned: dict[str, Results]) -> list[str]:
    """Balanced accuracy where the encoder itself is trained, beside heads on the same draws,
    and by how much that differs from `text_probe`, paired."""
    lines = [
        "| exam | images | linear_probe | text_probe | prolip | lora | full "
        "| lora less text_probe | full less text_probe |",
        "|" + "---|" * 9,
    ]
    for exam, own in tuned.items():
        heads, style = results[exam], own.rows[0]["focus"]
        for amount in dict.fromkeys(amount_of(row) for row in own.rows):
            key = style, amount, "balanced_accuracy"
            means = {m: heads.mean(m, *key) for m in ("linear_probe", "text_probe", "prolip")}
            means |= {m: own.mean(m, *key) for m in ("lora", "full")}
            base, apart = heads.draws("text_probe", style, amount), []
            for method in ("lora", "full"):
                draws = own.bootstrap.over_seeds(own.draws(method, style, amount) - base)
                apart.append(estimate(means[method] - means["text_probe"], draws).text())
            cells = [f"{100 * mean:.1f}" for mean in means.values()] + apart
            lines.append(f"| {exam} | {amount} | {' | '.join(cells)} |")
    return lines


def encoders_table(folder: Path) -> list[str]:
    """What each encoder was trained on, and how it does on the exams that it has seen."""
    lines = [
        "| without | images | steps | seed | minutes | on the exams it saw |",
        "|" + "---|" * 6,
    ]
    for exam in (exam for exam in EXAMS if (folder / exam / "training.json").exists()):
        record = json.loads((folder / exam / "training.json").read_text())
        seen = [
            f"{key.removesuffix('_both')} {100 * value:.0f}"
            for key, value in record.items()
            if key.endswith("_both")
        ]
        cells = [" and ".join(record["left_out"]), record["images"], record["steps"]]
        cells += [record["seed"], round(record["seconds"] / 60), ", ".join(sorted(seen))]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def filled(page: str, name: str, lines: list[str]) -> str:
    """The page with another table between the marks of this name."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"the page has no place for the table {name}")
    return pattern.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], page)


def arguments_of(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="few_shot.page", description=__doc__)
    parser.add_argument("images", nargs="?", type=Path, default=ROOT.parent / "shared/data/images")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page lies")
    parser.add_argument("--results", type=Path, default=ROOT / ".work/few-shot")
    parser.add_argument("--encoders", type=Path, default=ROOT / ".work/leave-one-out")
    return parser.parse_args(argv)


def main() -> None:
    arguments = arguments_of(None)
    docs, found, encoders = arguments.docs, arguments.results, arguments.encoders
    results, focused, tuned = (
        {
            exam: Results.load(found / f"{exam}{end}", i)
            for i, exam in enumerate(EXAMS)
            if (found / f"{exam}{end}" / "rows.jsonl").exists()
        }
        for end in ("", "-focus", "-encoder")
    )
    page = (docs / PAGE).read_text()
    page = filled(page, "encoders", encoders_table(encoders))
    masks = np.load(encoders / "regions.npy")
    page = filled(page, "regions", regions.table(arguments.images, masks))
    page = filled(page, "focus", both_table(focused))
    for method in LEARNT:
        page = filled(page, f"focus {method}", focus_table(focused, method))
    (docs / "few-shot").mkdir(exist_ok=True)
    for exam, one in results.items():
        page = filled(page, f"accuracy {exam}", methods_table(one, exam, "crop", "accuracy"))
        balanced = methods_table(one, exam, "crop", "balanced_accuracy")
        page = filled(page, f"balanced {exam}", balanced)
        shutil.copyfile(found / exam / "accuracy.svg", docs / f"few-shot/{exam}.svg")
        shutil.copyfile(found / exam / "table.csv", docs / f"few-shot/{exam}.csv")
    page = filled(page, "tuned", tuned_table(results, tuned))
    page = filled(page, "lambda", lambda_table(results))
    (docs / PAGE).write_text(page)


if __name__ == "__main__":
    main()
