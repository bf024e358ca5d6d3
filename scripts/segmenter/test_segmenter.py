"""What the segmenter's training promises, on drawn pictures and untrained weights.

Needs PyTorch (`requirements-training.txt`), so it is run by hand:
`scripts/with-python requirements-training.txt -m unittest segmenter.test_segmenter`.
"""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import cv2
import numpy as np
import torch

from data.listing import Entry
from encoder.pixels import SIDE
from encoder.wear import Planes
from segmenter import (
    answers,
    figures,
    grafts,
    graphs,
    model,
    objectives,
    page,
    prompts,
    scenes,
    scoring,
)
from segmenter import shipped as read_back
from segmenter.outlines import BOX, DOUBTFUL, HUMAN, MODEL, SURE, Outline, Outlines, plane_of
from segmenter.sampling import DRAWN, SHARES, weights
from segmenter.train import Batch, Batches, chosen, objective

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = (0.0, 0.0, float(SIDE), float(SIDE))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def disc(x: int, y: int, radius: int = 25) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def sure(plane: np.ndarray) -> scenes.Target:
    return scenes.Target(plane, plane)


def entry(sha: str, kind: str, split: str = "train", source: str = "s") -> Entry:
    return Entry(sha, source, kind, sha, split, {})


def stage() -> scenes.Stage:
    """An outlined lesion, a boxed one, a model's, a lung, one held back, a head without any."""
    kinds = ("breast", "chest", "brain", "chest", "breast", "brain")
    entries = [entry(f"{n}", kind, "val" if n == 4 else "train") for n, kind in enumerate(kinds)]
    lesion = disc(120, 80)
    boxed = plane_of(Outline(BOX, None, "20,30,60,40", (SIDE, SIDE)))
    planes = np.stack([lesion * np.uint8(SURE), boxed, disc(60, 60, 40) * np.uint8(SURE)])
    grey = np.stack([np.where(lesion, 220, 90).astype(np.uint8)] * 6)
    return scenes.Stage(
        entries,
        grey,
        Outlines(
            planes,
            np.array([0, 1, 0, -1, 0, -1]),
            np.array([-1, 2, -1, 2, -1, -1]),
            np.array([HUMAN, BOX, MODEL, "", HUMAN, ""]),
            np.arange(6) == 5,
        ),
    )


class Known(unittest.TestCase):
    def test_a_box_is_sure_within_and_doubtful_at_its_corners(self) -> None:
        plane = plane_of(Outline(BOX, None, "10,20,40,60", (SIDE, SIDE)))
        self.assertEqual(plane[50, 30], SURE)
        self.assertEqual(plane[21, 11], DOUBTFUL)
        self.assertEqual(plane[5, 5], 0)
        found = scenes.target(plane, True)
        assert found is not None
        self.assertFalse(found.outlined)
        self.assertEqual(prompts.bounds(found.possible).tolist(), [10, 20, 50, 80])

    def test_a_box_is_scaled_with_its_picture(self) -> None:
        plane = plane_of(Outline(BOX, None, "10,20,40,60", (2 * SIDE, 4 * SIDE)))
        self.assertEqual(prompts.bounds(plane > 0).tolist(), [5, 5, 25, 20])

    def test_nothing_that_is_held_back_is_shown(self) -> None:
        of = stage()
        chances = weights(of.entries, of.outlines)
        shown, drawn, grafted = chances
        self.assertEqual(chances[:, 4].tolist(), [0, 0, 0])
        self.assertTrue((shown[:4] > 0).all())
        self.assertAlmostEqual(chances.sum(), 1)
        self.assertNotIn(4, [i for places in of.donors.values() for i in places])
        self.assertEqual(grafted.nonzero()[0].tolist(), [5], "only where nothing is to be found")
        self.assertEqual(drawn.nonzero()[0].tolist(), [3, 5], "not on what is outlined")
        self.assertIn((DRAWN, ""), SHARES)

    def test_figures_are_never_of_a_model_s_outline(self) -> None:
        found = figures.cases(stage(), list(range(5)))
        self.assertEqual(
            [(c.place, c.what) for c in found],
            [
                (0, "lesion"),
                (1, "box"),
                (1, "lungs"),
                (3, "lungs"),
                (4, "lesion"),
            ],
        )


class Scenes(unittest.TestCase):
    def test_outlines_move_with_the_picture(self) -> None:
        for seed in range(12):
            scene = stage().scene(0, random(seed))
            assert scene.finding is not None
            inside = scene.picture[scene.finding.inside].mean()
            self.assertNotEqual(round(inside), round(scene.picture[~scene.finding.inside].mean()))

    def test_blobs_are_seen_where_their_masks_are(self) -> None:
        for seed in range(8):
            flat = np.full((SIDE, SIDE), 128, np.uint8)
            planes = scenes.with_blobs(flat, random(seed))
            inside = planes.mask.max(axis=2) > 0
            self.assertGreater(np.abs(planes.picture[inside] - 128.0).mean(), 8)
            outside = ~inside & (planes.picture != 128)
            self.assertLess(outside.mean(), 0.15)
            self.assertLessEqual((planes.mask > 0).sum(axis=2).max(), 1, "they lie apart")

    def test_a_graft_is_where_its_mask_is_and_stands_out_as_it_did(self) -> None:
        donor = np.full((SIDE, SIDE), 60, np.uint8)
        lesion = disc(100, 90)
        donor[lesion] = 120
        planes = Planes(donor, lesion * np.uint8(255))
        organ = (disc(96, 96, 80)) * np.uint8(255)
        found = 0
        for seed in range(12):
            onto = np.full((SIDE, SIDE), 150, np.uint8)
            made = grafts.grafted(onto, organ, planes, random(seed))
            inside = made.mask > 0
            if not inside.any():
                self.assertTrue((made.picture == 150).all())
                continue
            found += 1
            self.assertGreaterEqual((organ[inside] > 0).mean(), grafts.WITHIN)
            # It was 60 brighter than around; at least 0.36 of that is left.
            self.assertGreater(np.median(made.picture[inside]), 160)
            far = cv2.dilate(made.mask, np.ones((61, 61))) == 0
            self.assertTrue((made.picture[far] == 150).all())
        self.assertGreater(found, 6)

    def test_every_kind_of_scene_gives_a_batch(self) -> None:
        of = stage()
        batches = Batches(of, weights(of.entries, of.outlines))
        one, two = (batches.at(3, 8, 1) for _ in range(2))
        torch.testing.assert_close(one.pictures, two.pictures)
        torch.testing.assert_close(one.asked.points, two.asked.points)
        self.assertEqual(len(one.asked.points), 24)


class Prompts(unittest.TestCase):
    def test_a_point_lies_inside_and_a_box_around(self) -> None:
        plane = disc(120, 80)
        for seed in range(20):
            at = prompts.asked(sure(plane), prompts.POINT, random(seed)).corners[0].astype(int)
            self.assertTrue(plane[at[1], at[0]])
            made = prompts.asked(sure(plane), prompts.BOX, random(seed))
            off = np.abs(made.corners.reshape(-1) - prompts.bounds(plane))
            self.assertLessEqual(off.max(), prompts.FARTHEST)
            self.assertEqual(made.labels.tolist(), [2, 3])

    def test_a_box_is_never_drawn_around_what_is_known_by_a_box(self) -> None:
        self.assertNotIn(prompts.BOX, prompts.CHANCES["boxed"])

    def test_nothing_to_find_is_asked_for_by_the_whole_image(self) -> None:
        scene = scenes.Scene(np.zeros((SIDE, SIDE), np.uint8), None, None, empty=True)
        made = prompts.question(scene, random())
        self.assertFalse(made.exists)
        self.assertEqual(tuple(made.corners.reshape(-1)), EVERYTHING)

    def test_the_next_point_lies_where_the_answer_is_wrong(self) -> None:
        plane = disc(120, 80)
        asked = prompts.together([prompts.asked(sure(plane), prompts.BOX, random())] * 2)
        right = torch.where(asked.goal > 0.5, 5.0, -5.0)
        answer = right.clone()
        answer[0, 20:24, 28:32] = -5.0
        answer[1, 40:44, 2:6] = 5.0
        for _ in range(10):
            next_one = prompts.corrected(asked, answer, torch.tensor([True, False]))
            inside, outside = next_one.points[:, -1]
            self.assertTrue(28 * 4 - 1 < inside[0] < 32 * 4 and 20 * 4 - 1 < inside[1] < 24 * 4)
            self.assertTrue(2 * 4 - 1 < outside[0] < 6 * 4 and 40 * 4 - 1 < outside[1] < 44 * 4)
            self.assertEqual(next_one.labels[:, -1].tolist(), [1, 0])
            self.assertEqual(next_one.masked.tolist(), [True, False])
            torch.testing.assert_close(next_one.masks[0, 0], answer[0])


class Losses(unittest.TestCase):
    def asked(self, target: scenes.Target) -> prompts.Questions:
        return prompts.together([prompts.asked(target, prompts.MASK, random())])

    def test_the_right_mask_costs_little_and_what_is_doubtful_nothing(self) -> None:
        plane = disc(96, 96, 30)
        asked = self.asked(scenes.Target(plane, disc(96, 96, 60)))
        right = torch.where(asked.goal > 0.5, 12.0, -12.0).unsqueeze(1)
        wider = right.clone()
        doubtful = asked.counts < 0.5
        wider[:, 0][doubtful] = 12.0
        cost = [objectives.mask_losses(m, asked.goal, asked.counts) for m in (right, wider, -right)]
        self.assertLess(cost[0].item(), 0.1)
        torch.testing.assert_close(cost[0], cost[1])
        self.assertGreater(cost[2].item(), 5)

    def test_a_right_prediction_of_the_iou_costs_less(self) -> None:
        asked = self.asked(sure(disc(96, 96)))
        masks = torch.where(asked.goal > 0.5, 9.0, -9.0).unsqueeze(1).repeat(1, 4, 1, 1)
        score = torch.tensor([[3.0]])
        good, bad = (
            objectives.loss(masks, torch.full((1, 4), said), score, asked, True).item()
            for said in (1.0, 0.3)
        )
        self.assertLess(good + 1, bad)

    def test_of_three_masks_only_the_best_is_taught(self) -> None:
        asked = self.asked(sure(disc(96, 96)))
        masks = torch.zeros(1, 4, 48, 48)
        masks[:, 2] = torch.where(asked.goal > 0.5, 3.0, -3.0)
        masks.requires_grad_()
        objectives.loss(masks, torch.zeros(1, 4), torch.zeros(1, 1), asked, True).backward()
        assert masks.grad is not None
        taught = masks.grad.abs().sum((2, 3))[0] > 0
        self.assertEqual(taught.tolist(), [True, False, True, False])


class Model(unittest.TestCase):
    def test_a_step_teaches_every_weight_and_a_mask_begins_as_nothing(self) -> None:
        torch.manual_seed(0)
        net = model.Prompted()
        model.begun(net)
        self.assertEqual(net.dense(torch.randn(1, 1, 48, 48)).abs().max().item(), 0)
        of = stage()
        batch = Batches(of, weights(of.entries, of.outlines)).at(1, 4, 1)
        objective(net, Batch(batch.pictures, batch.asked, 3)).backward()
        untaught = [n for n, p in net.named_parameters() if p.grad is None]
        self.assertEqual(untaught, [])

    def test_hints_are_drawn_where_the_prompts_lie(self) -> None:
        hints = model.Hints(model.SegmenterConfig())
        points = torch.tensor([[[40.0, 80.0], [100.0, 120.0], [20.0, 160.0], [0.0, 0.0]]])
        labels = torch.tensor([[2.0, 3.0, 0.0, -1.0]])
        inside, wide, outside, _, box, beside, ellipse = hints.maps(points, labels)[0]
        self.assertEqual((inside.max().item(), wide.max().item()), (0, 0))
        self.assertEqual(divmod(outside.argmax().item(), 48), (40, 5))
        self.assertGreater(box[25, 15].item(), 0.98)
        for cell in ((25, 5), (25, 30), (15, 15), (35, 15)):
            self.assertLess(box[cell].item(), 0.02)
            self.assertGreater(beside[cell].item(), 0.98)
        self.assertGreater(ellipse[25, 17].item(), 0.9)
        self.assertLess(ellipse[20, 10].item(), 0.1)
        whole = torch.tensor([[[0.0, 0.0], [float(SIDE), float(SIDE)]]])
        self.assertLess(hints.maps(whole, labels[:, :2])[0, 6].max().item(), 0.05)
        padded = hints.maps(points[:, 3:], labels[:, 3:])
        self.assertEqual(padded.abs().max().item(), 0)

    def test_a_box_is_answered_by_the_single_mask_and_a_point_by_the_surest(self) -> None:
        target = sure(disc(96, 96))
        asked = prompts.together(
            [prompts.asked(target, kind, random()) for kind in (prompts.BOX, prompts.POINT)]
        )
        masks = torch.arange(4.0).reshape(1, 4, 1, 1).expand(2, 4, 48, 48)
        iou = torch.tensor([[0.1, 0.2, 0.9, 0.3]] * 2)
        self.assertEqual(chosen(masks, iou, asked, True)[:, 0, 0].tolist(), [0, 2])

    def test_weights_come_back_as_halves(self) -> None:
        torch.manual_seed(0)
        net = model.Prompted().eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "w.safetensors"
            model.save(net, path)
            self.assertLess(path.stat().st_size, 8e6)
            again = model.load(path)
        for name, value in net.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], value, atol=2e-3, rtol=2e-3)

    def test_the_bundle_s_segmenter_is_read_back_and_another_s_is_refused(self) -> None:
        net = read_back.segmenter(ROOT / "models/starter")
        net.encoder.trunk.blocks[3].mlp.layers[0].weight.data.mul_(-1)
        manifest = {
            "encoder": "segmenter_encoder.onnx",
            "decoder": "segmenter_decoder.onnx",
        }
        with self.assertRaisesRegex(SystemExit, "not read back"):
            read_back.check(net, ROOT / "models/starter", manifest)

    def test_the_graphs_answer_as_the_weights(self) -> None:
        net = read_back.segmenter(ROOT / "models/starter")
        picture = stage().grey[0]
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            graphs.write(net, Path(folder))
            made = graphs.OfGraphs(Path(folder))
            net = read_back.segmenter(ROOT / "models/starter")
            case = figures.cases(stage(), [0])[0]
            prompt = figures.first_prompt(case, "box", random())
            one, two = (figures.Asker(m, picture).answer(prompt).logits > 0 for m in (net, made))
        self.assertGreater(scoring.overlap(one, two)[0], 0.95)


class Answers(unittest.TestCase):
    def test_islands_go_and_holes_fill(self) -> None:
        logits = np.where(disc(96, 96, 40), 3.0, -3.0).astype(np.float32)
        logits[96, 96], logits[2, 2] = -3.0, 3.0
        again = answers.cleaned(logits)
        np.testing.assert_array_equal(again > 0, disc(96, 96, 40))

    def test_the_steady_mask_wins_and_a_mask_of_nothing_only_alone(self) -> None:
        sharp = np.where(disc(96, 96), 9.0, -9.0)
        soft, none = sharp * 0.05, np.full_like(sharp, -9.0)
        found = answers.choose(
            [answers.Answer(m, p, 0.0) for m, p in ((soft, 0.9), (sharp, 0.7), (none, 1.0))]
        )
        self.assertEqual(found.predicted, 0.7)


class Scores(unittest.TestCase):
    def test_overlap(self) -> None:
        one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
        one[:2], two[1:3] = True, True
        iou, dice, covered = scoring.overlap(one, two)
        self.assertAlmostEqual(iou, 1 / 3)
        self.assertAlmostEqual(dice, 0.5)
        self.assertAlmostEqual(covered, 0.5)

    def test_an_interval_is_wider_where_images_are_of_few_groups(self) -> None:
        values = random().random(60)
        alone = scoring.mean_interval(values, [str(n) for n in range(60)])
        grouped = np.sort(values)
        few = scoring.mean_interval(grouped, [str(n // 20) for n in range(60)])
        self.assertLess(alone[2] - alone[1], few[2] - few[1])
        self.assertLess(alone[1], alone[0])

    def test_rank_correlation_and_area(self) -> None:
        self.assertAlmostEqual(scoring.rank_correlation(np.arange(5), np.arange(5) ** 3), 1)
        self.assertTrue(np.isnan(scoring.rank_correlation(np.ones(5), np.arange(5))))
        there = np.array([False, False, True, True])
        self.assertEqual(scoring.area_under_curve(np.array([0.1, 0.4, 0.4, 0.9]), there), 0.875)

    def test_a_perfect_answer_and_an_empty_one(self) -> None:
        case = figures.Case(0, "lesion", sure(disc(120, 80)))
        logits = np.where(case.target.inside[2::4, 2::4], 9.0, -9.0).astype(np.float32)
        right, wrong = (
            figures.measured(case, entry("a", "breast"), "box", answers.Answer(m, 0.5, 1.0))
            for m in (logits, np.full_like(logits, -9.0))
        )
        self.assertGreater(right.dice, 0.9)
        self.assertTrue(right.hit)
        self.assertEqual((wrong.iou, wrong.covered), (0, 0))

    def test_the_deepest_place_lies_within(self) -> None:
        self.assertEqual(figures.deepest(disc(120, 80)).tolist(), [120, 80])

    def test_every_figure_has_its_place_on_the_page(self) -> None:
        of, held = stage(), [0, 1, 3]
        net = model.Prompted().eval()
        found = figures.rows(net, of, held, True)
        with_boxes = {row.way for row in found if row.what == "box"}
        self.assertNotIn("box", with_boxes)
        of.outlines.empty[3] = True
        record = figures.tabled(found) | {"existence": figures.existence(net, of, held)}
        text = page.tables({"stage": record, "shipped": record})
        for said in ("breast lesions", "the true box, filled", "rank correlation", "lungs"):
            self.assertIn(said, text)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "p.md"
            path.write_text("nothing")
            with self.assertRaisesRegex(SystemExit, "no place"):
                page.write(path, {})


if __name__ == "__main__":
    unittest.main()
