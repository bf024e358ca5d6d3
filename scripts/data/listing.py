"""The committed list: one line an image, read by whatever trains or measures.

Columns: `sha256` (of the source file), `source`, `kind`, `group` (nothing for an image that is
alone in its group), `split`, `answers`.
`answers` is what the image says to each exam, `exam=class`, several possible classes joined
by `|`, several exams by a blank; nothing where it says nothing.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .meanings import EXAMS, Answers

PATH = Path(__file__).resolve().parent / "list.tsv"
COLUMNS = ("sha256", "source", "kind", "group", "split", "answers")


@dataclass(frozen=True)
class Entry:
    """One image of the list."""

    sha256: str
    source: str
    kind: str
    group: str
    split: str
    answers: Answers

    @property
    def held(self) -> bool:
        return self.split == "val"

    def answer(self, exam: str) -> str | None:
        """The class, where there is exactly one."""
        possible = self.answers.get(exam, ())
        return possible[0] if len(possible) == 1 else None


def spell(answers: Answers) -> str:
    return " ".join(f"{exam}={'|'.join(classes)}" for exam, classes in sorted(answers.items()))


def parse(text: str) -> Answers:
    """The other way round; refuses exams and classes that there are not."""
    answers: Answers = {}
    for part in text.split():
        exam, _, classes = part.partition("=")
        answers[exam] = tuple(classes.split("|"))
        if not set(answers[exam]) <= set(EXAMS.get(exam, ())):
            raise ValueError(f"`{part}` is no answer of an exam")
    return answers


def write(path: Path, entries: list[Entry]) -> None:
    """Sorted, so that two lists can be compared line by line."""
    with path.open("w", newline="") as handle:
        lines = csv.writer(handle, delimiter="\t", lineterminator="\n")
        lines.writerow(COLUMNS)
        size = Counter(e.group for e in entries)
        for e in sorted(entries, key=lambda e: (e.kind, e.source, e.sha256)):
            group = e.group if size[e.group] > 1 else ""
            lines.writerow((e.sha256, e.source, e.kind, group, e.split, spell(e.answers)))


def read(path: Path = PATH) -> list[Entry]:
    """The list; refuses a group that stands on both sides."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    entries = [
        Entry(
            r["sha256"],
            r["source"],
            r["kind"],
            r["group"] or r["sha256"][:8],
            r["split"],
            parse(r["answers"]),
        )
        for r in rows
    ]
    sides: dict[str, str] = {}
    for entry in entries:
        if sides.setdefault(entry.group, entry.split) != entry.split:
            raise ValueError(f"{path}: group {entry.group} stands on both sides of the split")
    return entries
