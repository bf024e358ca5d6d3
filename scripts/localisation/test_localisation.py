"""Folders that are read or refused, and figures that are known beforehand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import cv2
import numpy as np

from .ask import Way, batches, deepest, from_runs, prompt
from .outlines import NotRead, read

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/medfocus"
PHANTOMS = {"brain.png": "brain4", "breast.png": "breast3"}


class Folders(unittest.TestCase):
    """What is wrong is named before anything is asked."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        cv2.imwrite(str(self.folder / "a.png"), np.zeros((40, 60), np.uint8))

    def table(self, *lines: str) -> None:
        (self.folder / "outlines.csv").write_text("\n".join(lines) + "\n")

    def test_what_cannot_be_used_is_named(self) -> None:
        cases = (
            (("file,mask", "a.png,"), "no column exam"),
            (("file,exam,boxes", 'b.png,brain4,"1,2,3,4"'), "line 2: there is no file"),
            (("file,exam,mask", "a.png,brain4,m.png"), "there is no file"),
            (("file,exam,boxes", "a.png,brain4,"), "neither mask nor boxes"),
            (("file,exam,boxes", 'a.png,brain4,"1,2,3"'), "is not x,y,width,height"),
            (("file,exam,boxes", 'a.png,brain4,"1,2,0,4"'), "holds nothing"),
            (("file,exam,boxes", 'a.png,brain4,"1,2,nan,4"'), "holds nothing"),
            (("file,exam,boxes",), "no image with an outline"),
        )
        for lines, said in cases:
            self.table(*lines)
            with self.assertRaisesRegex(NotRead, said):
                read(self.folder, None)

    def test_masks_of_the_same_name_need_no_table(self) -> None:
        with self.assertRaisesRegex(NotRead, "--exam"):
            read(self.folder, None)
        with self.assertRaisesRegex(NotRead, "no image with an outline"):
            read(self.folder, "brain4")
        (self.folder / "masks").mkdir()
        mask = np.zeros((40, 60), np.uint8)
        mask[10:21, 30:51] = 255
        cv2.imwrite(str(self.folder / "masks/a.png"), mask)
        (one,) = read(self.folder, "brain4")
        self.assertEqual(prompt(one, "box"), "box:30,10,21,11")
        self.assertEqual(prompt(one, "point"), f"point:{deepest(mask > 0)[0]},15")

    def test_boxes_are_prompts_of_all_of_them(self) -> None:
        self.table("file,exam,boxes", 'a.png,brain4,"3,4,5,6;20,30,5,5"')
        (one,) = read(self.folder, None)
        self.assertEqual(prompt(one, "box"), "box:3,4,22,31")

    def test_one_process_is_asked_about_one_exam(self) -> None:
        self.table("file,exam,boxes", *(f'a.png,{exam},"1,1,9,9"' for exam in "xyxx"))
        images = read(self.folder, None)
        sizes = [len(batch) for batch in batches(images, Way("none", ""))]
        self.assertEqual(sizes, [3, 1])
        self.assertEqual(len(list(batches(images, Way("box", "")))), 4)


class Figures(unittest.TestCase):
    """Of the real program."""

    def test_runs_go_down_the_columns(self) -> None:
        mask = from_runs([3, 4], [4, 2, 5, 1])
        self.assertEqual(np.argwhere(mask).tolist(), [[1, 1], [2, 1], [2, 3]])

    @unittest.skipUnless(PROGRAM.is_file(), "no target/release/medfocus")
    def test_a_regions_own_box_holds_it(self) -> None:
        """With the region's own box as the outline, IoU is the region's share of the box."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        lines, shares = ["file,exam,boxes,source,class"], {}
        for name, exam in PHANTOMS.items():
            shutil.copy(ROOT / "tests/phantoms" / name, folder / name)
            said = subprocess.run(
                [PROGRAM, "classify", folder / name, "--exam", exam, "--format", "json", "--force"],
                check=True,
                capture_output=True,
            )
            finding = json.loads(said.stdout)
            box, size = finding["mask"]["bbox"], finding["mask"]["rle"]["size"]
            area = finding["mask"]["area_fraction"] * size[0] * size[1]
            shares[exam] = area / (box[2] * box[3])
            text = ",".join(map(str, box))
            lines.append(f'{name},{exam},"{text}",drawn,{finding["class"]}')
        (folder / "outlines.csv").write_text("\n".join(lines) + "\n")
        sums = folder / "sums.json"
        command = [sys.executable, "-m", "localisation", folder, "--json", sums]
        command += ["--csv", folder / "rows.csv", "--styles", "crop,none"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "scripts")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("| brain4 | all | boxes | none | crop | 1 in 1 |", run.stdout)
        found = json.loads(sums.read_text())
        self.assertEqual(len(found), 2 * 2 * 2, "exams, all and by source, styles")
        for one in found:
            self.assertAlmostEqual(one["figures"]["iou"][0], shares[one["exam"]], places=6)
            # All of the region lies in the box, so the part of the box that it holds is the same.
            self.assertEqual(one["figures"]["covered"], one["figures"]["iou"])
            if one["style"] == "crop":
                self.assertEqual(one["figures"]["right"][0], 1.0)

    def test_a_folder_without_outlines_ends_with_1_and_says_why(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "localisation", folder]
            run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "scripts")
        self.assertEqual(run.returncode, 1)
        self.assertIn("say with --exam", run.stderr)


if __name__ == "__main__":
    unittest.main()
