"""Chooses, trains and calibrates the head of each exam on a bundle's own embeddings.

A bundle in, the same bundle with better heads out: the built program reads the images, so
that a head is fitted to what the device will see. The forms are those of the few-shot
experiment that a head file can hold, each blended with the prototypes' own answer; one of
them is chosen where cross-validation on the training images finds its log loss better than
the prototypes' beyond chance. The encoder has seen these images, so it is asked of changed
views of them (`views`) as well, and the views of an image are never parted. Even so it
remembers them: the head that the bundle came with stays unless the chosen one does better
on the validation split too, by more than twice the standard error. Temperature, prediction
sets and drift reference are of that split (`calibrate`).
"""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from bundling import head, known_answers
from bundling.head import Tensors
from bundling.manifest import reseal
from few_shot.choose import Chosen, temperature, tried
from few_shot.methods import METHODS, InHead
from few_shot.metrics import balanced_accuracy, figures
from few_shot.probe import balanced_weights
from few_shot.sample import Exam, Sample

from . import calibrate, data, device, views
from .gate import distances

FORMS = ("text_probe", "medfocus", "tip_adapter")
"""Of `few_shot.methods`. The linear probe is none: it forgets the text, and `text_probe` with
a small penalty comes to the same."""
BLENDS = (0.25, 0.5, 0.75, 1.0)
FOLDS = 5


@dataclass(frozen=True)
class Choice:
    """What the folds say of an exam; without a form the prototypes answer alone."""

    form: str | None = None
    chosen: Chosen = field(default_factory=lambda: Chosen({}, blend=0.0))
    gain: float = 0.0
    """Of the class-balanced mean log loss over the prototypes', each at its temperature."""
    error: float = 0.0
    """Standard error of the gain."""


@dataclass(frozen=True)
class Lesson:
    """One exam's training images, every view of them a row, and the image of each row."""

    sample: Sample
    image: np.ndarray


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log probabilities of the truths, at the temperature that suits them all."""
    p = head.softmax(logits / temperature(logits, labels))
    return -np.log(p[np.arange(len(p)), labels])


def gain_of(lesson: Lesson, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """By how much the class-balanced loss falls, and the standard error of that over images,
    of which all views count as one."""
    weights = balanced_weights(lesson.sample.labels, lesson.sample.labels.max() + 1)
    by_image = np.bincount(lesson.image, weights * (before - after))
    return float(by_image.sum()), float(by_image.std(ddof=1) * len(by_image) ** 0.5)


def choose(exam: Exam, lesson: Lesson, groups: np.ndarray) -> Choice:
    """The form, setting and blend with the least loss, where it gains over the prototypes
    more than its standard error. Near-duplicates share a fold."""
    sample = lesson.sample
    place = np.random.default_rng(7).integers(FOLDS, size=groups.max() + 1)[groups]
    zero = losses(exam.alike(sample.query), sample.labels)
    best = Choice()
    for form in FORMS:
        for one in tried(METHODS[form], exam, sample, place, BLENDS):
            gain, error = gain_of(lesson, zero, losses(one.logits, sample.labels))
            if gain > max(error, best.gain):
                best = Choice(form, one.chosen, gain, error)
    return best


def trained(exam: Exam, sample: Sample, choice: Choice) -> Tensors:
    """The head of this choice, trained on all of the sample."""
    made = head.plain(exam.prototypes, exam.scale)
    if choice.form is None:
        return made
    method = METHODS[choice.form]
    assert isinstance(method, InHead)
    made |= method.tensors(exam, sample, choice.chosen.setting)
    return made | {"blend": np.array([choice.chosen.blend])}


@dataclass(frozen=True)
class Held:
    """One exam's validation images."""

    sample: Sample
    names: list[str]
    guard_shares: np.ndarray


def unseen(tensors: Tensors, held: Held) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of the validation images, their probabilities by temperatures that they had no
    part in, and the parts of that."""
    logits = head.logits(tensors, held.sample.whole, held.sample.focused)
    place = calibrate.folds(held.names, held.sample.labels)
    return logits, calibrate.cross_fitted(logits, held.sample.labels, place), place


@dataclass(frozen=True)
class Compared:
    """A new head beside the one that the bundle came with, on images that neither was
    trained on."""

    gain: float
    """By how much its class-balanced log loss is less."""
    error: float
    """Standard error of the gain."""
    balanced_accuracy: float
    """Of the new head."""
    is_better: bool
    """Whether the gain is beyond chance, and balanced accuracy no lower."""


def compared(made: Tensors, before: Tensors, held: Held) -> Compared:
    labels = held.sample.labels
    own, other = (unseen(tensors, held)[1] for tensors in (before, made))
    true = np.arange(len(labels)), labels
    lesson = Lesson(held.sample, np.arange(len(labels)))
    gain, error = gain_of(lesson, -np.log(own[true]), -np.log(other[true]))
    was, now = (balanced_accuracy(p.argmax(1) == labels, labels) for p in (own, other))
    return Compared(gain, error, now, gain > 2 * error and now >= was)


def calibrated(tensors: Tensors, held: Held) -> tuple[Tensors, dict[str, object]]:
    """The head with all that `calibrate` adds, and how it does on the validation split."""
    labels = held.sample.labels
    logits, p, place = unseen(tensors, held)
    fitted = calibrate.fit_temperature(logits, labels)
    sets = calibrate.sets(p, labels)
    made = tensors | {"temperature": np.array([fitted])} | sets
    made |= calibrate.reference(head.softmax(logits / fitted), held.guard_shares)
    levels = [round(float(level), 6) for level in sets["conformal.levels"]]
    stated = [coverage_figures(p, labels, place, level) for level in levels]
    return made, {"temperature": round(fitted, 4), **figures(p, labels), "sets": stated}


def coverage_figures(
    p: np.ndarray, labels: np.ndarray, place: np.ndarray, level: float
) -> dict[str, float]:
    hits, size = calibrate.coverage_of(p, labels, place, level)
    low, high = calibrate.binomial_interval(hits / len(labels), len(labels))
    return {
        "stated": level,
        "held": round(hits / len(labels), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "classes": round(size, 3),
    }


def save(tensors: Tensors, path: Path) -> None:
    """The file that `src/triage/head.rs` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {n: np.ascontiguousarray(v, np.float32) for n, v in tensors.items()}
    save_file(named, path)


ADDED = ("temperature", "conformal.", "reference.")


def own_part(tensors: Tensors) -> Tensors:
    """A head without what `calibrate` adds."""
    kept = {n: v.astype(np.float64) for n, v in tensors.items() if not n.startswith(ADDED)}
    return kept | {"temperature": np.array([1.0])}


def form_in_words(tensors: Tensors, choice: Choice | None) -> str:
    """What answers; `None` for the head that the bundle came with."""
    if choice is not None and choice.form is not None:
        return f"{choice.form}, blend {choice.chosen.blend:g}"
    trained = tensors["classifier.weight"].any() or tensors["fusion.weight"].any()
    return "the fusion head of before" if trained else "prototypes alone"


def guards_of(bundle: Path) -> dict[str, float]:
    """The largest distance that each exam's guard answers."""
    exams = tomllib.loads((bundle / "bundle.toml").read_text())["exams"]
    return {exam["name"]: exam["guard"]["up_to"] for exam in exams if "guard" in exam}


@dataclass(frozen=True)
class Read:
    """What the program reads off all exams' images."""

    rows: list[data.Row]
    embeddings: np.ndarray
    views: list[np.ndarray]
    """Of the images in `seen`, as they are and changed."""
    seen: list[int]
    """The training images."""
    groups: np.ndarray
    """Near-duplicates share a number."""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Read:
        rows, embeddings = device.readings(arguments)
        validation = data.load_split(arguments.split)
        seen = [i for i, row in enumerate(rows) if row.sha256 not in validation]
        every = data.load_rows(arguments.images)
        pixels = data.load_pixels(arguments.images, every, arguments.work / "pixels.npy")
        groups = data.duplicate_groups(pixels[[row.task in data.EXAMS for row in every]])
        of_seen = [rows[i] for i in seen]
        numbers = range(1, arguments.views + 1)
        changed = [views.readings(arguments, of_seen, number) for number in numbers]
        return cls(rows, embeddings, [embeddings[seen], *changed], seen, groups)

    def lesson(self, task: str) -> tuple[Lesson, np.ndarray]:
        """An exam's training images and the group of each row."""
        mine = np.array([k for k, i in enumerate(self.seen) if self.rows[i].task == task])
        labels = np.array([self.rows[self.seen[k]].class_index for k in mine])
        pairs = np.concatenate([view[mine] for view in self.views]).astype(np.float64)
        image = np.tile(np.arange(len(mine)), len(self.views))
        _, group = np.unique([self.groups[self.seen[k]] for k in mine], return_inverse=True)
        return Lesson(Sample(pairs[:, 0], pairs[:, 1], labels[image]), image), group[image]

    def held(self, task: str, guard: Tensors, up_to: float) -> Held:
        """An exam's validation images."""
        hidden = set(range(len(self.rows))) - set(self.seen)
        out = sorted(i for i in hidden if self.rows[i].task == task)
        pairs = self.embeddings[out].astype(np.float64)
        labels = np.array([self.rows[i].class_index for i in out])
        far = distances(guard, pairs[:, 0]) / up_to
        sample = Sample(pairs[:, 0], pairs[:, 1], labels)
        return Held(sample, [self.rows[i].sha256 for i in out], far)


def remake(before: Tensors, lesson: Lesson, groups: np.ndarray, held: Held) -> tuple[Tensors, dict]:
    """An exam's head, chosen, trained and calibrated, and the record of that."""
    before = own_part(before)
    exam = Exam(before["prototypes"], float(before["logit_scale"][0]))
    choice = choose(exam, lesson, groups)
    made = trained(exam, lesson.sample, choice)
    outcome = compared(made, before, held)
    finished, result = calibrated(made if outcome.is_better else before, held)
    record = {
        "form": form_in_words(finished, choice if outcome.is_better else None),
        "tried": {
            "form": choice.form or "prototypes",
            **choice.chosen.setting,
            "blend": choice.chosen.blend,
            "folds": [round(choice.gain, 4), round(choice.error, 4)],
            "validation": [round(outcome.gain, 4), round(outcome.error, 4)],
            "balanced_accuracy": round(outcome.balanced_accuracy, 5),
        },
        **result,
    }
    return finished, record


def run(arguments: argparse.Namespace) -> None:
    bundle: Path = arguments.bundle
    read, up_to, records = Read.of(arguments), guards_of(bundle), {}
    for task in data.EXAMS:
        path = bundle / f"heads/{task}.safetensors"
        guard = load_file(bundle / f"guards/{task}.safetensors")
        held = read.held(task, guard, up_to[task])
        head_of_task, records[task] = remake(load_file(path), *read.lesson(task), held)
        save(head_of_task, path)
        print(task, json.dumps(records[task]), flush=True)
    arguments.heads.write_text(json.dumps(records, indent=1) + "\n")
    known_answers.write(bundle, arguments.phantoms)
    reseal(bundle)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    views.add_arguments(parser)
    here = Path(__file__).resolve().parent
    parser.add_argument("--heads", type=Path, default=here / "heads.json", help="the record")
