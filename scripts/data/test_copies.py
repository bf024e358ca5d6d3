"""Copies of drawn pictures are found, and different pictures are not taken for copies."""

from __future__ import annotations

import unittest

import cv2
import numpy as np

from data import features, groups, made


def drawn(seed: int) -> np.ndarray:
    """A picture with structure of many sizes, like no other seed's."""
    random = np.random.default_rng(seed)
    picture = np.zeros((features.SIDE, features.SIDE), np.float32)
    for side in (4, 8, 16, 32, 64):
        coarse = random.standard_normal((side, side)).astype(np.float32)
        picture += cv2.resize(coarse, picture.shape, interpolation=cv2.INTER_CUBIC)
    scaled = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    return scaled.astype(np.uint8)


class Copies(unittest.TestCase):
    def test_each_kind_of_copy_is_found_and_nothing_else(self) -> None:
        originals = [drawn(seed) for seed in range(12)]
        for name, change in made.CHANGES.items():
            random = np.random.default_rng(1)
            changed = [change(picture, random) for picture in originals]
            found = set(groups.copies(features.of_pixels(np.stack(originals + changed))))
            pairs = {(min(a, b), max(a, b)) for a, b in found}
            with self.subTest(change=name):
                self.assertEqual(pairs, {(i, i + 12) for i in range(12)})

    def test_the_mirrored_descriptors_are_those_of_the_mirrored_picture(self) -> None:
        picture, sift = drawn(3), features.detector()
        places, mine = features.describe(picture, sift)
        others, theirs = features.describe(np.ascontiguousarray(picture[:, ::-1]), sift)
        alike = features.root(features.mirrored(mine)) @ features.root(theirs).T
        best = others[alike.argmax(1)]
        off = np.abs(features.SIDE - 1 - places[:, 0] - best[:, 0])
        self.assertGreater((off < 4).mean(), 0.8)


if __name__ == "__main__":
    unittest.main()
