"""Step `figures`: what an encoder is worth, by plain probes, on images held back and on
sources that were left out.

An exam's head is a linear probe on the training images' embeddings; its temperature and the
guard's threshold are of the images held back, so figures of foreign sources are of images
that nothing was fitted to. The same is done for the shipped bundle's encoder.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.left_out import Parts, parts
from data.listing import Entry, read
from data.meanings import EXAMS, KIND_OF_EXAM

from . import pixels
from .encoders import Encoder, embed, embedded, of_bundle, of_student, of_teacher, student
from .page import write
from .probe import Guard, Probe, fit, warmed
from .sampling import kinds
from .views import folder

RIGHT_REFUSED = 0.03
"""Share of the right images held back that the guard may refuse."""
SHIFTS = ((0, 1), (1, 0))
SHIFTED = 150
"""Images an exam that are moved."""
SURE = 0.9


@dataclass(frozen=True)
class Exam:
    """An exam's probe and guard, ready to be asked."""

    name: str
    probe: Probe
    guard: Guard
    up_to: float


@dataclass(frozen=True)
class Bench:
    """The images, which part each is in, and an encoder's embeddings of all of them."""

    entries: list[Entry]
    parts: Parts
    embeddings: np.ndarray

    def told(self, exam: str, places: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Those of these places whose class is known, and their classes."""
        mine = [i for i in places if self.entries[i].answer(exam) is not None]
        labels = [EXAMS[exam].index(str(self.entries[i].answer(exam))) for i in mine]
        return np.array(mine, int), np.array(labels, int)

    def exam(self, name: str) -> Exam:
        probe = fit(name, self.entries, self.embeddings, self.parts.trained)
        held, labels = self.told(name, self.parts.held)
        probe = warmed(probe, self.embeddings[held], labels)
        mine, classes = self.told(name, self.parts.trained)
        everything = self.embeddings[self.parts.trained]
        guard = Guard.of(self.embeddings[mine], classes, everything)
        distances = guard.distance(self.embeddings[held])
        return Exam(name, probe, guard, float(np.quantile(distances, 1 - RIGHT_REFUSED)))


def balanced(answers: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean recall over the classes; nothing where there is only one."""
    there = np.unique(labels)
    if len(there) < 2:
        return None
    return round(float(np.mean([(answers[labels == c] == c).mean() for c in there])), 4)


def by_source(bench: Bench, exam: Exam, places: list[int]) -> list[dict[str, object]]:
    """Recall of each class, and how many the guard refuses, source by source."""
    mine, labels = bench.told(exam.name, places)
    sources: dict[str, list[int]] = defaultdict(list)
    for n, i in enumerate(mine):
        sources[bench.entries[i].source].append(n)
    answers = exam.probe.probabilities(bench.embeddings[mine]).argmax(1)
    refused = exam.guard.distance(bench.embeddings[mine]) > exam.up_to
    rows = []
    for source, chosen in sorted(sources.items(), key=lambda item: -len(item[1])):
        truth, said = labels[chosen], answers[chosen]
        recall = {
            EXAMS[exam.name][c]: [int((said[truth == c] == c).sum()), int((truth == c).sum())]
            for c in np.unique(truth)
        }
        rows.append(
            {
                "source": source,
                "right": recall,
                "balanced": balanced(said, truth),
                "refused": [int(refused[chosen].sum()), len(chosen)],
            }
        )
    return rows


def covid_elsewhere(bench: Bench, exam: Exam) -> dict[str, object]:
    """Foreign adult films that cannot show COVID-19: how many are called so."""
    films = [
        i
        for i in bench.parts.foreign
        if bench.entries[i].answers.get("covid3")
        and "covid" not in bench.entries[i].answers["covid3"]
    ]
    chances = exam.probe.probabilities(bench.embeddings[films])
    said = chances.argmax(1) == 0
    passed = exam.guard.distance(bench.embeddings[films]) <= exam.up_to
    return {
        "films": len(films),
        "called": int(said.sum()),
        "called_unrefused": int((said & passed).sum()),
        "called_sure": int((said & (chances[:, 0] >= SURE)).sum()),
    }


def tumour_or_none(bench: Bench, exam: Exam, places: list[int]) -> dict[str, float | int]:
    """Any tumour against none: sensitivity and specificity of the answers, area under the
    curve, and sensitivity where the specificity is 0.8."""
    classes = EXAMS["brain4"]
    none = classes.index("notumor")
    mine = [i for i in places if "brain4" in bench.entries[i].answers]
    tumour = np.array(["notumor" not in bench.entries[i].answers["brain4"] for i in mine])
    chances = exam.probe.probabilities(bench.embeddings[mine])
    said, score = chances.argmax(1) != none, 1 - chances[:, none]
    above = (score[tumour][:, None] > score[~tumour]).mean()
    bound = np.quantile(score[~tumour], 0.8)
    passed = exam.guard.distance(bench.embeddings[mine]) <= exam.up_to
    return {
        "tumours": int(tumour.sum()),
        "without": int((~tumour).sum()),
        "sensitivity": round(float(said[tumour].mean()), 4),
        "specificity": round(float((~said[~tumour]).mean()), 4),
        "area": round(float(above), 4),
        "sensitivity_at_0.8": round(float((score[tumour] > bound).mean()), 4),
        "refused": int((~passed).sum()),
        "none_sure_and_wrong": int((tumour & (chances[:, none] >= SURE) & passed).sum()),
    }


def lesions_elsewhere(bench: Bench, exam: Exam) -> dict[str, int]:
    """Foreign breast lesions of any class: how many are called normal."""
    normal = EXAMS["breast3"].index("normal")
    mine = [i for i in bench.parts.foreign if "breast3" in bench.entries[i].answers]
    said = exam.probe.probabilities(bench.embeddings[mine]).argmax(1) == normal
    passed = exam.guard.distance(bench.embeddings[mine]) <= exam.up_to
    return {
        "lesions": len(mine),
        "called_normal": int(said.sum()),
        "called_normal_unrefused": int((said & passed).sum()),
        "refused": int((~passed).sum()),
    }


def other_kinds(bench: Bench, exam: Exam, places: list[int]) -> dict[str, list[int]]:
    """Refused, of so many, by kind."""
    counts: dict[str, list[int]] = {}
    right = set(KIND_OF_EXAM.values())
    mine = [i for i in places if bench.entries[i].kind not in right]
    refused = exam.guard.distance(bench.embeddings[mine]) > exam.up_to
    for i, one in zip(mine, refused, strict=True):
        count = counts.setdefault(bench.entries[i].kind, [0, 0])
        count[0] += int(one)
        count[1] += 1
    return dict(sorted(counts.items()))


def shifted(bench: Bench, exam: Exam, encode: Encoder, grey: np.ndarray) -> dict[str, float]:
    """How far the largest change of any class's probability goes when the picture moves by
    one pixel: the mean, and what 95 in 100 stay under."""
    mine, _ = bench.told(exam.name, bench.parts.held)
    mine = np.random.default_rng(3).permutation(mine)[:SHIFTED]
    still = exam.probe.probabilities(bench.embeddings[mine])
    change = np.zeros(len(mine))
    for shift in SHIFTS:
        moved = exam.probe.probabilities(embed(encode, grey[mine], shift))
        change = np.maximum(change, np.abs(moved - still).max(axis=1))
    return {
        "images": len(mine),
        "mean": round(float(change.mean()), 4),
        "95th": round(float(np.quantile(change, 0.95)), 4),
    }


def measure(bench: Bench, encode: Encoder, grey: np.ndarray, before: set[str]) -> dict[str, object]:
    """Every figure of one encoder. `held_before` is of the images that the shipped encoder's
    split held back too: of the others it has seen many."""
    record: dict[str, object] = {}
    exams = {name: bench.exam(name) for name in EXAMS}
    for name, exam in exams.items():
        held, labels = bench.told(name, bench.parts.held)
        both = np.array([bench.entries[i].sha256 in before for i in held])
        away, elsewhere = bench.told(name, bench.parts.foreign)
        answers = exam.probe.probabilities(bench.embeddings[held]).argmax(1)
        abroad = exam.probe.probabilities(bench.embeddings[away]).argmax(1)
        record[name] = {
            "held": [balanced(answers, labels), len(held)],
            "held_before": [balanced(answers[both], labels[both]), int(both.sum())],
            "foreign": [balanced(abroad, elsewhere), len(away)],
            "held_by_source": by_source(bench, exam, bench.parts.held),
            "foreign_by_source": by_source(bench, exam, bench.parts.foreign),
            "shift": shifted(bench, exam, encode, grey),
            "other_kinds_held": other_kinds(bench, exam, bench.parts.held),
            "other_kinds_left_out": other_kinds(bench, exam, bench.parts.foreign),
        }
    record["covid_elsewhere"] = covid_elsewhere(bench, exams["covid3"])
    record["tumour_elsewhere"] = tumour_or_none(bench, exams["brain4"], bench.parts.foreign)
    record["tumour_held"] = tumour_or_none(bench, exams["brain4"], bench.parts.held)
    record["lesions_elsewhere"] = lesions_elsewhere(bench, exams["breast3"])
    return record


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    entries = read(arguments.list)
    grey = pixels.load(arguments.images, entries, arguments.work)
    weights = arguments.weights or folder(arguments.work, arguments.run) / "student.safetensors"
    shipped = arguments.bundle / "image_encoder.onnx"
    encoders = {
        "student": (of_student(student(weights)), weights),
        "shipped": (of_bundle(arguments.bundle), shipped),
    }
    before = set(json.loads(arguments.before.read_text())["validation_sha256"])
    record: dict[str, object] = {"run": arguments.run}
    teacher = folder(arguments.work, arguments.run) / "teacher.safetensors"
    if teacher.exists():
        of_kinds = len(kinds(entries, parts(entries, arguments.run).trained))
        encoders["teacher"] = (of_teacher(teacher, of_kinds), teacher)
    for name, (encode, file) in encoders.items():
        cache = arguments.work / f"embeddings-{name}.npz"
        embeddings = embedded(encode, grey, file.read_bytes(), cache)
        bench = Bench(entries, parts(entries, arguments.run), embeddings)
        record[name] = measure(bench, encode, grey, before)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    write(arguments.page, record)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("--weights", type=Path, help="default: the student of this run")
    before = root / "scripts/starter/split.json"
    parser.add_argument("--before", type=Path, default=before, help="the shipped encoder's split")
    parser.add_argument("--bundle", type=Path, default=root / "models/starter")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "figures.json")
    parser.add_argument("--page", type=Path, default=root / "docs/encoder-training.md")
