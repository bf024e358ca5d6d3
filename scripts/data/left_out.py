"""Leave one source out: which sources each of the five runs does without, and what is judged.

One run leaves out one source (or a few small ones that only together hold both sides of a
question) of every exam at once, and some other kinds of image. A picture of a source that is
left out is no test where a copy of it was trained on: collections copy each other.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass

from .listing import Entry, read
from .meanings import EXAMS, KIND_OF_EXAM


@dataclass(frozen=True)
class Run:
    """What a run does without."""

    sources: frozenset[str]
    kinds: frozenset[str]


def run_of(sources: str, kinds: str) -> Run:
    return Run(frozenset(sources.split()), frozenset(kinds.split()))


RUNS: dict[int, Run] = {
    1: run_of(
        "cxnet qatar tcga_lgg navoneel hfh serebrum bus_bra",
        "cardiac_us ct_head hand_xray retina oct_angiography document",
    ),
    2: run_of(
        "cohen hannover ssheikhorg brats utsw pardoe full_head stu",
        "ct_abdomen fetal_us knee_xray histology screenshot lateral_cxr",
    ),
    3: run_of(
        "nih shenzhen mendeley pd25 sartaj buscot",
        "pelvic_us ct_chest dental_xray skin photo lung_us",
    ),
    4: run_of(
        "tbx11k montgomery figure1 ms_t1", "abdominal_us breast_mri spine_xray noise photo_of_film"
    ),
    5: run_of(
        "nickparvar busi", "skull_xray photo_of_monitor nerve_us spine_mri endoscopy chest_child"
    ),
}
"""Run 5 leaves out what the brain and breast exams are mostly made of: it says what the rest
alone can teach."""


@dataclass(frozen=True)
class Parts:
    """Places in the list: trained on, held back of the same sources, and foreign."""

    trained: list[int]
    held: list[int]
    foreign: list[int]


def parts(entries: list[Entry], run: int | None) -> Parts:
    """The three parts of a run; without one, nothing is foreign."""
    gone = RUNS[run] if run is not None else Run(frozenset(), frozenset())
    outside = [e.source in gone.sources or e.kind in gone.kinds for e in entries]
    inside_groups = {e.group for e, out in zip(entries, outside, strict=True) if not out}
    trained, held, foreign = [], [], []
    for i, (entry, out) in enumerate(zip(entries, outside, strict=True)):
        if out:
            if entry.group not in inside_groups:
                foreign.append(i)
        elif entry.held:
            held.append(i)
        else:
            trained.append(i)
    return Parts(trained, held, foreign)


def table(entries: list[Entry]) -> str:
    """Every exam's sources, their images by answer, and the run that leaves each out."""
    runs = {source: number for number, run in RUNS.items() for source in run.sources}
    lines = ["| exam | source | images by answer | of them val | left out in run |"]
    lines.append("|---|---|---|---|---|")
    for exam in EXAMS:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        held: Counter[str] = Counter()
        for entry in entries:
            if exam in entry.answers:
                counts[entry.source]["/".join(entry.answers[exam])] += 1
                held[entry.source] += entry.held
        for source in sorted(counts, key=lambda s: -counts[s].total()):
            said = ", ".join(f"{label} {n}" for label, n in sorted(counts[source].items()))
            lines.append(
                f"| {exam} | {source} | {said} | {held[source]} | {runs.get(source, '')} |"
            )
    kinds = Counter(e.kind for e in entries if e.kind not in KIND_OF_EXAM.values())
    of_kind = {kind: number for number, run in RUNS.items() for kind in run.kinds}
    lines += ["", "| other kind | images | left out in run |", "|---|---|---|"]
    lines += [f"| {kind} | {n} | {of_kind.get(kind, '')} |" for kind, n in kinds.most_common()]
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    print(table(read(arguments.list)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table has no options of its own."""
