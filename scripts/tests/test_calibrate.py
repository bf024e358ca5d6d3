"""What `starter/calibrate.py` makes of a validation split, on numbers known beforehand."""

from __future__ import annotations

import unittest

import numpy as np

from bundling.head import softmax
from starter import calibrate


def cases(count: int, too_sure: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are so many times too large, and labels drawn by what they mean."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(count, 3))
    labels = np.array([random.choice(3, p=p) for p in softmax(logits)])
    return too_sure * logits, labels


class Temperature(unittest.TestCase):
    def test_it_undoes_what_was_too_sure(self) -> None:
        logits, labels = cases(4000, too_sure=3)
        self.assertAlmostEqual(calibrate.fit_temperature(logits, labels), 3, delta=0.2)

    def test_no_case_has_a_part_in_its_own(self) -> None:
        logits, labels = cases(60, too_sure=1)
        place = calibrate.folds([str(i) for i in range(60)], labels, 5)
        before = calibrate.cross_fitted(logits, labels, place)
        labels[place == 0] = (labels[place == 0] + 1) % 3
        after = calibrate.cross_fitted(logits, labels, place)
        np.testing.assert_array_equal(before[place == 0], after[place == 0])
        self.assertFalse(np.allclose(before[place == 1], after[place == 1]))


class Sets(unittest.TestCase):
    def test_a_coverage_needs_its_number_of_cases(self) -> None:
        for coverage, needed in ((0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)):
            self.assertEqual(calibrate.cases_needed(coverage), needed)
            self.assertEqual(calibrate.threshold(np.full(needed - 1, 0.5), coverage), 1.0)
            self.assertEqual(calibrate.threshold(np.full(needed, 0.5), coverage), 0.5)

    def test_the_threshold_is_the_score_of_the_right_rank(self) -> None:
        self.assertEqual(calibrate.threshold(np.arange(19, 0, -1) / 100, 0.9), 0.18)

    def test_only_what_the_cases_allow_is_stated(self) -> None:
        p = np.full((60, 2), 0.5)
        few = calibrate.sets(p, np.repeat([0, 1], [55, 5]))
        np.testing.assert_array_equal(few["conformal.levels"], [0.8, 0.9, 0.95])
        self.assertNotIn("conformal.class_thresholds", few)
        each = calibrate.sets(p, np.repeat([0, 1], [45, 15]))
        np.testing.assert_array_equal(each["conformal.levels"], [0.8, 0.9])
        self.assertEqual(each["conformal.class_thresholds"].shape, (2, 2))

    def test_new_cases_are_covered_as_often_as_stated(self) -> None:
        logits, labels = cases(1000, too_sure=1)
        made = calibrate.sets(softmax(logits), labels)
        others, truth = cases(5000, too_sure=1, seed=6)
        for coverage in (0.8, 0.9, 0.95):
            inside = calibrate.members(made, softmax(others), coverage)
            self.assertAlmostEqual(inside[np.arange(5000), truth].mean(), coverage, delta=0.02)

    def test_rounding_never_takes_a_case_out_of_its_set(self) -> None:
        values = np.random.default_rng(1).random(1000)
        self.assertTrue((calibrate.rounded_up(values).astype(np.float64) >= values).all())


class DriftReference(unittest.TestCase):
    def test_refused_images_are_not_counted(self) -> None:
        p = np.array([[0.95, 0.05], [0.3, 0.7], [1.0, 0.0]])
        made = calibrate.reference(p, np.array([0.05, 1.0, 1.2]))
        self.assertEqual(made["reference.cases"].tolist(), [2])
        self.assertEqual(made["reference.classes"].tolist(), [0.5, 0.5])
        self.assertEqual(np.flatnonzero(made["reference.top"]).tolist(), [7, 9])
        self.assertEqual(np.flatnonzero(made["reference.guard"]).tolist(), [0, 9])


if __name__ == "__main__":
    unittest.main()
