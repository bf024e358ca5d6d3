"""The few-shot experiment's parts: draws, probes, heads, figures."""

from __future__ import annotations

import json
import tempfile
import unittest
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bundling import head
from few_shot import images, metrics, page, split, vectors
from few_shot.bootstrap import Bootstrap
from few_shot.choose import choose, fitted
from few_shot.descend import unit_and_back
from few_shot.methods import METHODS, SWEEP
from few_shot.probe import balanced_weights, fit_probe
from few_shot.projection import ProLip
from few_shot.reduce import reduced
from few_shot.refused import Refused
from few_shot.sample import Exam, Sample

CLASSES, SIZE = 3, 12


def clusters(count: int, noise: float, seed: int = 0) -> tuple[Exam, Sample]:
    """Embeddings around one centre a class, and prototypes that know little of them."""
    random = np.random.default_rng(seed)
    centres = np.eye(CLASSES, SIZE)
    labels = np.arange(count) % CLASSES
    whole = head.unit(centres[labels] + noise * random.normal(size=(count, SIZE)))
    focused = head.unit(whole + 0.05 * random.normal(size=whole.shape))
    prototypes = head.unit(0.2 * centres + random.normal(size=centres.shape))
    return Exam(prototypes, 10.0), Sample(whole, focused, labels)


class Probes(unittest.TestCase):
    def test_the_gradient_vanishes_at_the_answer(self) -> None:
        exam, sample = clusters(40, 0.6)
        q, labels = sample.query, sample.labels[:]
        weight, bias = fit_probe(exam.alike(q), q, labels, 0.01)
        p = head.softmax(exam.alike(q) + q @ weight.T + bias)
        slope = (p - np.eye(CLASSES)[labels]) * balanced_weights(labels, CLASSES)[:, None]
        self.assertLess(np.linalg.norm(slope.T @ q + 0.01 * weight), 1e-8)
        self.assertLess(np.linalg.norm(slope.sum(0)), 1e-8)
        self.assertAlmostEqual(bias.sum(), 0, places=9)

    def test_the_committed_vectors_are_what_is_made_today(self) -> None:
        kept, made = json.loads(vectors.FILE.read_text()), vectors.document()
        self.assertEqual(kept["about"], made["about"])
        for name, answers in made["heads"].items():
            for part in ("logits", "probabilities"):
                apart = np.abs(np.array(answers[part]) - np.array(kept["heads"][name][part]))
                self.assertLess(apart.max(), 1e-7, name)

    def test_unit_and_back_is_the_slope(self) -> None:
        random = np.random.default_rng(1)
        v, g, step = random.normal(size=(1, 5)), random.normal(size=(1, 5)), 1e-6
        u, back = unit_and_back(v)
        for i in range(5):
            moved = v + step * np.eye(5)[i]
            slope = ((unit_and_back(moved)[0] - u) * g).sum() / step
            self.assertAlmostEqual(slope, back(g)[0, i], places=4)


class Heads(unittest.TestCase):
    def test_every_method_learns_what_can_be_learnt(self) -> None:
        exam, train = clusters(30, 0.05)
        _, test = clusters(60, 0.05, seed=1)
        for method in (*METHODS.values(), *SWEEP):
            if method.name == "zero_shot":
                continue
            predict = fitted(method, exam, train, choose(method, exam, train))
            right = predict(test).argmax(1) == test.labels
            self.assertGreater(right.mean(), 0.8, method.name)

    def test_the_labels_of_what_is_tested_are_never_looked_at(self) -> None:
        exam, train = clusters(15, 0.5)
        _, test = clusters(9, 0.5, seed=1)
        hidden = Sample(test.whole, test.focused, np.zeros(len(test), int))
        for method in METHODS.values():
            predict = fitted(method, exam, train, choose(method, exam, train))
            np.testing.assert_array_equal(predict(test), predict(hidden), method.name)

    def test_the_projection_starts_as_it_was_and_learns(self) -> None:
        exam, train = clusters(30, 0.05)
        features = head.unit(np.random.default_rng(3).normal(size=(30, 2, 20)))
        features[:, :, :CLASSES] += 2 * np.eye(CLASSES)[train.labels][:, None]
        sample = replace(train, features=features)
        start = np.random.default_rng(4).normal(size=(SIZE, 20))
        stiff = ProLip(start).fit(exam, sample, {"penalty": 1e9})(sample)
        pair = (head.unit(features[:, i] @ start.T) for i in (0, 1))
        np.testing.assert_allclose(stiff, exam.alike(head.query(*pair)), atol=1e-3)
        learnt = ProLip(start).fit(exam, sample, {"penalty": 0.01})(sample)
        self.assertEqual((learnt.argmax(1) == sample.labels).mean(), 1.0)

    def test_one_image_a_class_is_enough_for_every_method(self) -> None:
        exam, train = clusters(CLASSES, 0.3)
        for method in METHODS.values():
            chosen = choose(method, exam, train)
            self.assertEqual(chosen.setting, method.grid[0])
            self.assertTrue(np.isfinite(fitted(method, exam, train, chosen)(train)).all())

    def test_blending_falls_back_on_prototypes_that_know_more(self) -> None:
        _, noise = clusters(30, 9.0)
        exam = Exam(np.eye(CLASSES, SIZE), 30.0)
        whole = head.unit(np.eye(CLASSES, SIZE)[noise.labels] + 0.05 * noise.whole)
        sample = Sample(whole, whole, noise.labels)
        method = METHODS["text_probe"]
        predict = fitted(method, exam, sample, choose(method, exam, sample))
        self.assertEqual((predict(sample).argmax(1) == sample.labels).mean(), 1.0)


class Figures(unittest.TestCase):
    def test_known_values(self) -> None:
        labels = np.array([0, 0, 1, 1])
        p = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
        figures = metrics.figures(p, labels)
        self.assertEqual(figures["accuracy"], 0.75)
        self.assertEqual(figures["macro_auroc"], 0.875)
        self.assertAlmostEqual(figures["ece"], (0.1 + 2 * 0.1 + 0.2) / 4, places=5)

    def test_a_resample_of_everything_once_is_the_figure_itself(self) -> None:
        random = np.random.default_rng(0)
        labels = np.arange(40) % CLASSES
        p = head.softmax(random.normal(size=(40, CLASSES)))
        bootstrap = Bootstrap(labels)
        bootstrap.counts[0] = 1
        figures = metrics.figures(p, labels)
        for column, value in figures.items():
            self.assertAlmostEqual(bootstrap.of(column)(p)[0], value, places=4, msg=column)


class Page(unittest.TestCase):
    def results(self, focused: np.ndarray, plain: np.ndarray) -> page.Results:
        labels = np.arange(len(plain)) % CLASSES
        key = {"method": "medfocus", "fraction": 5, "seed": 0, "n_train": 9}
        answers = {"crop": focused, "none": plain}
        rows = [key | {"focus": style} | metrics.figures(p, labels) for style, p in answers.items()]
        return page.Results(rows, np.stack([focused, plain]), Bootstrap(labels))

    def test_a_paired_difference_of_the_same_answers_is_surely_none(self) -> None:
        p = head.softmax(np.random.default_rng(0).normal(size=(30, CLASSES)))
        mean, draws = self.results(p, p).gain("medfocus", "crop", "5 %")
        self.assertEqual(mean, 0)
        self.assertEqual(np.abs(draws).max(), 0)

    def test_a_paired_difference_counts_what_only_one_gets_right(self) -> None:
        right = np.eye(CLASSES)[np.arange(30) % CLASSES]
        wrong = right.copy()
        wrong[0] = np.roll(right[0], 1)
        mean, draws = self.results(right, wrong).gain("medfocus", "crop", "5 %")
        self.assertAlmostEqual(mean, 1 / 30, places=4)
        self.assertGreaterEqual(draws.min(), 0)

    def test_only_what_stands_between_the_marks_is_written(self) -> None:
        before = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
        after = "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
        self.assertEqual(page.filled(before, "t", ["new"]), after)
        with self.assertRaises(SystemExit):
            page.filled(before, "u", ["new"])


class Splits(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        random = np.random.default_rng(0)
        for name in ("a", "b"):
            (self.folder / name).mkdir()
            for i in range(12):
                grey = random.integers(0, 256, (8, 8), np.uint8)
                picture = Image.fromarray(grey).resize((64, 64))
                picture.save(self.folder / name / f"{i}.pgm")
                if i < 3:
                    lighter = picture.point(lambda v: min(v + 9, 255))
                    lighter.save(self.folder / name / f"{i}-copy.pgm")
        self.images = images.load(self.folder, "exam", ["a", "b"])
        self.groups = split.near_duplicates(self.images)
        self.test = split.test_set(self.images, self.groups, None, 2)

    def test_near_duplicates_never_straddle(self) -> None:
        self.assertEqual(len(set(self.groups)), 24)
        self.assertFalse(set(self.groups[self.test]) & set(self.groups[~self.test]))
        self.assertGreaterEqual(self.test.sum(), 4)

    def test_a_larger_draw_holds_the_smaller_ones_and_never_the_test(self) -> None:
        drawn = [
            set(split.draw(self.images, self.groups, self.test, amount, 3))
            for amount in (
                split.Amount(shots=2),
                split.Amount(fraction=50),
                split.Amount(fraction=100),
            )
        ]
        self.assertEqual(len(drawn[0]), 4)
        self.assertTrue(drawn[0] <= drawn[1] <= drawn[2])
        self.assertEqual(drawn[2], set(np.flatnonzero(~self.test)))

    def test_another_seed_draws_others(self) -> None:
        amount = split.Amount(shots=3)
        one, two = (
            set(split.draw(self.images, self.groups, self.test, amount, seed)) for seed in (0, 1)
        )
        self.assertNotEqual(one, two)

    def test_a_reduced_manifest_has_so_many_of_each_label_whatever_their_order(self) -> None:
        rows = [
            {"task": task, "label": label, "source_sha256": f"{task}{label}{i}"}
            for task, label in (("x", "a"), ("x", "b"), ("y", "a"))
            for i in range(9)
        ]
        kept = reduced(rows, 4)
        counts = Counter((row["task"], row["label"]) for row in kept)
        self.assertEqual(set(counts.values()), {4})
        self.assertEqual(len(counts), 3)
        again = reduced(rows[::-1], 4)
        self.assertEqual(kept, again[::-1])

    def test_what_does_not_do_is_refused_with_the_reason(self) -> None:
        with self.assertRaisesRegex(Refused, "no class of exam: b"):
            images.load(self.folder, "exam", ["a", "c"])
        with self.assertRaisesRegex(Refused, "c has 0"):
            images.load(self.folder, "exam", ["a", "b", "c"])
        with self.assertRaisesRegex(Refused, "neither a folder nor a CSV"):
            images.load(self.folder / "none", "exam", ["a", "b"])


if __name__ == "__main__":
    unittest.main()
