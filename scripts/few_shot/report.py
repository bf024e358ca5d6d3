"""Rows become a table, a CSV and a plot."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bootstrap import Bootstrap, Estimate
from .plot import Line, accuracy_plot
from .trials import Outcome

COLUMNS = ("accuracy", "balanced_accuracy", "macro_auroc", "ece")
PAPER = {
    "covid3": [71.15, 77.27, 83.33, 87.88, 93.94],
    "lung_tb2": [81.28, 82.12, 84.49, 85.63, 91.52],
    "brain4": [86.09, 92.12, 94.91, 96.28, 97.57],
    "breast3": [58.63, 69.06, 76.22, 97.39, 96.09],
}
"""MedFocusCLIP's accuracy at 5, 10, 20, 50 and 100 % of its own data (arXiv 2501.03839)."""
PAPER_FRACTIONS = (5, 10, 20, 50, 100)

Key = tuple[str, str, str]
"""Method, focus style and amount."""


@dataclass(frozen=True)
class Summary:
    """One line of the table: a method's figures over its seeds."""

    method: str
    focus: str
    amount: str
    n_train: int
    seeds: int
    figures: dict[str, Estimate]


def amount_of(row: dict) -> str:
    """`10 %`, `4 shots` or `none`."""
    if "shots" in row:
        return f"{row['shots']} shot{'s' if row['shots'] > 1 else ''}"
    return f"{row['fraction']} %" if row["n_train"] else "none"


def grouped(rows: list[dict]) -> dict[Key, list[int]]:
    """Which rows differ by nothing but their seed."""
    groups: dict[Key, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((row["method"], row["focus"], amount_of(row)), []).append(i)
    return groups


def summaries(outcome: Outcome, bootstrap: Bootstrap) -> Iterator[Summary]:
    for (method, focus, amount), members in grouped(outcome.rows).items():
        figures = {}
        for column in COLUMNS:
            mean = float(np.mean([outcome.rows[i][column] for i in members]))
            draws = np.stack([bootstrap.of(column)(outcome.probabilities[i]) for i in members])
            figures[column] = bootstrap.estimate(mean, draws)
        n_train = outcome.rows[members[0]]["n_train"]
        yield Summary(method, focus, amount, n_train, len(members), figures)


def table_of(found: list[Summary]) -> str:
    """Markdown: per cent with 95 % intervals."""
    lines = [
        "| method | focus | amount | images | accuracy | balanced accuracy | AUROC | ECE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        cells = " | ".join(one.figures[column].text() for column in COLUMNS)
        lines.append(f"| {one.method} | {one.focus} | {one.amount} | {one.n_train} | {cells} |")
    return "\n".join(lines) + "\n"


def write_csv(found: list[Summary], exam: str, file: Path) -> None:
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        ends = [f"{column}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
        writer.writerow(["exam", "method", "focus", "amount", "n_train", "seeds", *ends])
        for s in found:
            values = [
                f"{v:.4f}"
                for c in COLUMNS
                for e in (s.figures[c],)
                for v in (e.mean, e.low, e.high)
            ]
            writer.writerow([exam, s.method, s.focus, s.amount, s.n_train, s.seeds, *values])


def lines_of(found: list[Summary], exam: str, own_style: str) -> list[Line]:
    """Accuracy by per cent of the training images: the methods with the bundle's style,
    `medfocus` without focus as well, and the paper's own numbers."""
    lines: dict[str, Line] = {}
    for s in found:
        if not s.amount.endswith("%") or s.method == "zero_shot" or "lambda" in s.method:
            continue
        if s.focus == own_style:
            name = s.method
        elif (s.method, s.focus) == ("medfocus", "none"):
            name = "medfocus, no focus"
        else:
            continue
        line = lines.setdefault(name, Line(name, [], dashed=name != s.method))
        line.points.append((float(s.amount[:-1]), 100 * s.figures["accuracy"].mean))
    zero = [s for s in found if s.method == "zero_shot" and s.focus == own_style]
    for s in zero:
        value = 100 * s.figures["accuracy"].mean
        lines["zero_shot"] = Line("zero_shot", [(f, value) for f in (5.0, 100.0)], dashed=True)
    if exam in PAPER:
        points = list(zip(map(float, PAPER_FRACTIONS), PAPER[exam], strict=True))
        lines["paper"] = Line("the paper (its data)", points, dotted=True)
    return [line for line in lines.values() if line.points]


def write(out: Path, outcome: Outcome, labels: np.ndarray, exam: str, own_style: str) -> str:
    """Writes everything into `out`; gives the table."""
    out.mkdir(parents=True, exist_ok=True)
    found = list(summaries(outcome, Bootstrap(labels)))
    table = table_of(found)
    (out / "table.md").write_text(table)
    write_csv(found, exam, out / "table.csv")
    rows = "".join(json.dumps(row) + "\n" for row in outcome.rows)
    (out / "rows.jsonl").write_text(rows)
    answers = np.stack(outcome.probabilities).astype(np.float32)
    np.savez_compressed(out / "answers.npz", probabilities=answers, labels=labels)
    lines = lines_of(found, exam, own_style)
    if any(len(line.points) > 1 and not line.dotted for line in lines):
        (out / "accuracy.svg").write_text(accuracy_plot(exam, lines))
    return table
