"""The whole experiment, reduced, on drawn pictures: the wrapper's module, the built program
and the starter bundle. CI runs it; it needs no labelled images of real people.

`scripts/with-python requirements-fewshot.txt -m unittest few_shot.test_end_to_end`, after
`cargo build --release --examples`.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from . import __main__ as command

SIDE, EACH = 160, 14
CLASSES = ("benign", "malignant", "normal")


def picture(label: str, random: np.random.Generator) -> Image.Image:
    """Speckle as of an ultrasound image; a dark smooth disc, a dark spiked one, or neither."""
    speckle = random.normal(110, 28, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(speckle).filter(ImageFilter.BoxBlur(1))
    if label == "normal":
        return image
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    spikes = 1.0 if label == "benign" else random.uniform(0.45, 1.5, len(angles))
    radius = random.uniform(18, 30) * spikes
    x, y = random.uniform(60, 100, 2)
    corners = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    ImageDraw.Draw(image).polygon([tuple(c) for c in corners.tolist()], fill=30)
    return image.filter(ImageFilter.BoxBlur(1))


class Experiment(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.folder = Path(folder)
        random = np.random.default_rng(20261126)
        for label in CLASSES:
            (cls.folder / "images" / label).mkdir(parents=True)
            for i in range(EACH):
                picture(label, random).save(cls.folder / "images" / label / f"{i}.pgm")
        arguments = ["--exam", "breast3", "--fractions", "20,100", "--shots", "1", "--seeds", "2"]
        cls.rows = [json.loads(line) for line in cls.run_command(*arguments, "--json")]

    @classmethod
    def run_command(cls, *arguments: str, code: int = 0) -> list[str]:
        folders = {"--bundle": command.ROOT / "models/starter", "--images": cls.folder / "images"}
        folders["--out"] = cls.folder / "out"
        told = [str(part) for pair in folders.items() for part in pair]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            found = command.main([*told, *arguments])
        assert found == code, found
        return printed.getvalue().splitlines()

    def figures(self, column: str, **wanted: object) -> list[float]:
        rows = [r for r in self.rows if all(r.get(key) == v for key, v in wanted.items())]
        self.assertTrue(rows, wanted)
        return [row[column] for row in rows]

    def test_the_rows_have_the_keys_that_are_promised(self) -> None:
        for row in self.rows:
            self.assertLessEqual(
                {"exam", "method", "focus", "seed", "accuracy", "balanced_accuracy", "macro_auroc"}
                | {"ece", "n_train", "n_test"},
                row.keys(),
            )
            self.assertTrue(("fraction" in row) != ("shots" in row))
        self.assertEqual({row["n_test"] for row in self.rows}, {9})
        self.assertEqual(set(self.figures("n_train", fraction=100)), {33})
        self.assertEqual(set(self.figures("n_train", fraction=20)), {6})
        self.assertEqual(set(self.figures("n_train", shots=1)), {3})

    def test_known_values(self) -> None:
        """One test image more or less is what another processor's floats may change."""
        for method, value in KNOWN.items():
            found = self.figures("accuracy", method=method, focus="crop", fraction=100)
            for accuracy in found:
                self.assertAlmostEqual(accuracy, value, delta=1.01 / 9, msg=method)
        for area in self.figures("macro_auroc", method="medfocus", focus="none", fraction=100):
            self.assertGreater(area, 0.9)

    def test_learning_helps(self) -> None:
        zero = np.mean(self.figures("accuracy", method="zero_shot"))
        trained = np.mean(self.figures("accuracy", method="text_probe", fraction=100))
        self.assertGreater(trained, zero + 0.1)

    def test_the_files_are_written(self) -> None:
        out = self.folder / "out"
        self.assertEqual(len((out / "rows.jsonl").read_text().splitlines()), len(self.rows))
        self.assertIn("| text_probe | crop | 100 % | 33 |", (out / "table.md").read_text())
        self.assertIn("<svg", (out / "accuracy.svg").read_text())
        with np.load(out / "answers.npz") as answers:
            self.assertEqual(answers["probabilities"].shape, (len(self.rows), 9, 3))

    def test_another_exam_or_no_program_ends_with_its_exit_code(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            self.run_command("--exam", "brain4", code=1)
            self.run_command("--exam", "nothing", code=1)
            self.run_command("--exam", "breast3", "--program", "/no/program", code=3)
        self.assertIn("no class of brain4: benign, malignant, normal", told.getvalue())


KNOWN = {
    "linear_probe": 8 / 9,
    "text_probe": 8 / 9,
    "tip_adapter": 6 / 9,
    "tip_adapter_f": 9 / 9,
    "clip_adapter": 9 / 9,
    "medfocus": 9 / 9,
}
"""Accuracy on the nine test images after training on all others, with the crop."""


if __name__ == "__main__":
    unittest.main()
