"""The committed list, and the rules by which it was made."""

from __future__ import annotations

import tempfile
import unittest
from collections import Counter
from pathlib import Path

import numpy as np

from data import left_out, listing, split
from data.listing import Entry
from data.manifest import Image
from data.meanings import EXAMS, KIND_OF_EXAM, answers_of, kind_of, source_of
from encoder import sampling


def image(task: str, label: str, repository: str, path: str = "a/b.png") -> Image:
    return Image("0" * 64, "images/a.jpg", task, label, repository, path, "", "", "")


class Meanings(unittest.TestCase):
    def test_what_a_row_means(self) -> None:
        lungs, nih = "rochadiego/MultiResUNet-lung-segmentation", "muhammedtalo/COVID-19"
        children = "Dilara-Benli/covid19_image_classification"
        normal = {"covid3": ("neither",), "lung_tb2": ("normal",)}
        cases = [
            (image("lung_tb2", "normal", lungs, "x/MCUCXR_1_0.png"), "montgomery", "chest", normal),
            (image("lung_tb2", "normal", lungs, "x/CHNCXR_1_0.png"), "shenzhen", "chest", normal),
            (
                image("cxr_extra", "pneumonia", nih),
                "nih",
                "chest",
                {"covid3": ("other_pneumonia",)},
            ),
            (image("cxr_extra", "covid19", nih), "cohen", "chest", {"covid3": ("covid",)}),
            (image("covid3", "normal", children), "kermany", "chest_child", {}),
            (image("covid3", "covid", children), "cohen", "chest", {"covid3": ("covid",)}),
            (
                image("brain4", "tumor", "Mmaslach96/Brain-Cancer-Detector"),
                "navoneel",
                "brain",
                {"brain4": ("glioma", "meningioma", "pituitary")},
            ),
            (
                image("breast3", "lesion_unlabelled", "xbhlk/STU-Hospital"),
                "stu",
                "breast",
                {"breast3": ("benign", "malignant")},
            ),
            (
                image("ook", "lateral_cxr", "s-mostafa-a/covid-chestxray-dataset"),
                "kind_lateral_cxr",
                "lateral_cxr",
                {},
            ),
        ]
        for row, source, kind, answers in cases:
            with self.subTest(row=(row.task, row.label)):
                self.assertEqual(source_of(row), source)
                self.assertEqual(kind_of(row), kind)
                self.assertEqual(answers_of(row), answers)


class Split(unittest.TestCase):
    def test_a_group_stands_on_one_side(self) -> None:
        before = ["val", "train", "train", "val", "val", "train"]
        groups = np.array([0, 0, 2, 3, 3, 5])
        self.assertEqual(
            split.assign(before, groups), ["train", "train", "train", "val", "val", "train"]
        )

    def test_a_large_cell_that_has_none_gets_some_whole_groups(self) -> None:
        groups = np.repeat(np.arange(100), 2)
        sides = split.topped_up(["train"] * 200, groups, ["nih neither"] * 200)
        self.assertEqual(sides.count("val"), 30)
        for group in range(100):
            self.assertEqual(sides[2 * group], sides[2 * group + 1])
        few = ["train"] * 200
        self.assertEqual(split.topped_up(few, groups, [""] * 200), few)

    def test_the_list_refuses_a_group_on_both(self) -> None:
        rows = [Entry("a", "s", "chest", "g", side, {}) for side in ("train", "val")]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "list.tsv"
            listing.write(path, rows)
            with self.assertRaisesRegex(ValueError, "both sides"):
                listing.read(path)

    def test_what_is_written_is_read_again(self) -> None:
        entry = Entry("a" * 64, "s", "breast", "a" * 8, "val", {"breast3": ("benign", "malignant")})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "list.tsv"
            listing.write(path, [entry])
            self.assertEqual(listing.read(path), [entry])

    def test_an_answer_that_no_exam_has_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "no answer"):
            listing.parse("brain4=normal")


class Committed(unittest.TestCase):
    """Reading it checks that no group stands on both sides."""

    entries = listing.read()

    def test_every_image_once_and_every_class_on_both_sides(self) -> None:
        self.assertEqual(len({e.sha256 for e in self.entries}), len(self.entries))
        for exam, classes in EXAMS.items():
            counts = Counter((e.answer(exam), e.held) for e in self.entries)
            for one in classes:
                self.assertGreaterEqual(counts[one, True], 10, (exam, one))
                self.assertGreater(counts[one, False], counts[one, True], (exam, one))

    def test_an_answer_is_of_its_kind_of_image(self) -> None:
        for entry in self.entries:
            for exam in entry.answers:
                self.assertEqual(entry.kind, KIND_OF_EXAM[exam])

    def test_every_source_and_kind_is_left_out_at_most_once(self) -> None:
        sources = Counter(s for run in left_out.RUNS.values() for s in run.sources)
        kinds = Counter(k for run in left_out.RUNS.values() for k in run.kinds)
        self.assertEqual(set(sources.values()), {1})
        self.assertEqual(set(kinds.values()), {1})
        self.assertLessEqual(set(sources), {e.source for e in self.entries})
        self.assertLessEqual(set(kinds), {e.kind for e in self.entries})

    def test_nothing_of_a_source_left_out_or_held_back_is_trained_on(self) -> None:
        for number, run in left_out.RUNS.items():
            found = left_out.parts(self.entries, number)
            trained = [self.entries[i] for i in found.trained]
            groups = {e.group for e in trained}
            self.assertFalse(any(e.held or e.source in run.sources for e in trained))
            self.assertFalse(any(e.kind in run.kinds for e in trained))
            others = (*found.held, *found.foreign)
            self.assertFalse(any(self.entries[i].group in groups for i in others))

    def test_classes_are_drawn_alike_whatever_their_sources(self) -> None:
        trained = left_out.parts(self.entries, 1).trained
        chance = sampling.weights(self.entries, trained)
        self.assertAlmostEqual(chance.sum(), 1)
        for exam in ("brain4", "breast3"):
            of_class = Counter()
            for i in trained:
                of_class[self.entries[i].answer(exam)] += chance[i]
            shares = [of_class[c] for c in EXAMS[exam]]
            self.assertAlmostEqual(min(shares), max(shares))
        left = [i for i in range(len(self.entries)) if i not in set(trained)]
        self.assertEqual(chance[left].sum(), 0)


if __name__ == "__main__":
    unittest.main()
