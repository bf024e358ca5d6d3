"""What the training code promises, on drawn pictures and tiny models.

Needs PyTorch (`requirements-training.txt`), so it is run by hand:
`scripts/with-python requirements-training.txt -m unittest encoder.test_encoder`.
"""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.listing import Entry
from encoder import loop, page, probe, student, tower, wear
from encoder.graph import fold, write
from encoder.grow import neutral
from encoder.objectives import (
    Heads,
    Truth,
    answers_loss,
    evidence_loss,
    lesion_loss,
    set_loss,
)
from encoder.views import GRID, SIDE, Views


def entry(sha: str, answers: dict[str, tuple[str, ...]], kind: str = "breast") -> Entry:
    return Entry(sha, "s", kind, sha, "train", answers)


def disc(side: int = 192) -> wear.Planes:
    """A bright disc right of the middle on grey, and its mask."""
    y, x = np.mgrid[0:side, 0:side]
    inside = (y - 80) ** 2 + (x - 120) ** 2 < 25**2
    picture = np.where(inside, 220, 90).astype(np.uint8)
    return wear.Planes(picture, (inside * 255).astype(np.uint8))


def views(count: int = 32) -> Views:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    lesions = random.integers(0, 256, (count, GRID, GRID), dtype=np.uint8)
    return Views(pictures, lesions, np.arange(count))


class Wear(unittest.TestCase):
    def test_the_mask_moves_with_the_picture(self) -> None:
        for seed in range(20):
            random = np.random.default_rng(seed)
            moved = wear.place(disc(), random, wear.HARSH, SIDE)
            lesion = moved.mask > 127
            self.assertGreater(moved.picture[lesion].mean(), 200)

    def test_a_framed_mask_has_nothing_in_the_frame(self) -> None:
        for seed in range(20):
            made = wear.framed(disc(), np.random.default_rng(seed))
            self.assertGreater(made.picture[made.mask > 200].min(), 180)

    def test_the_same_seed_gives_the_same_view(self) -> None:
        one, two = (wear.worn(disc(), np.random.default_rng(5), wear.HARSH, SIDE) for _ in range(2))
        np.testing.assert_array_equal(one.picture, two.picture)
        self.assertEqual(one.picture.shape, (SIDE, SIDE))


class Tower(unittest.TestCase):
    def test_the_folded_kernel_is_blur_then_convolution(self) -> None:
        torch.manual_seed(0)
        layer = tower.Halving(3, 8, last=True)
        x = torch.randn(2, 3, 32, 32)
        line = torch.tensor([0.25, 0.5, 0.25])
        blur = (line[:, None] * line).reshape(1, 1, 3, 3).repeat(3, 1, 1, 1)
        blurred = F.conv2d(F.pad(x, (2, 2, 2, 2)), blur, groups=3)
        wanted = F.conv2d(blurred, layer.convolution.weight, layer.convolution.bias, stride=2)
        torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)

    def test_a_folded_tower_answers_as_before(self) -> None:
        torch.manual_seed(0)
        model = tower.Tower(tower.TowerConfig(depth=1)).eval()
        pixels = torch.randn(2, 3, tower.INPUT, tower.INPUT)
        before, after = model(pixels), fold(model)(pixels)
        for one, two in zip(before, after, strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)

    def test_the_graph_takes_any_number_of_pictures_and_answers_as_the_tower(self) -> None:
        torch.manual_seed(0)
        model = tower.Tower(tower.TowerConfig(depth=1)).eval()
        pixels = torch.randn(5, 3, tower.INPUT, tower.INPUT)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = Path(folder) / "g.onnx"
            wanted = model(pixels)
            write(model, path)
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            found = session.run(None, {"pixels": pixels.numpy()})
        for one, two in zip(wanted, found, strict=True):
            alike = F.cosine_similarity(one, torch.from_numpy(two), dim=-1)
            self.assertGreater(alike.min().item(), 0.99)

    def test_patches_lie_in_the_embedding_s_space(self) -> None:
        model = tower.Tower(tower.TowerConfig(depth=1)).eval()
        grey = torch.zeros(2, tower.INPUT, tower.INPUT, dtype=torch.uint8)
        embedding, patches = model(tower.normalised(grey))
        self.assertEqual(embedding.shape, (2, 192))
        self.assertEqual(patches.shape, (2, GRID * GRID, 192))

    def test_all_patches_kept_is_nothing_hidden(self) -> None:
        torch.manual_seed(0)
        model = tower.Tower(tower.TowerConfig(depth=1)).eval()
        pixels = torch.randn(2, 3, tower.INPUT, tower.INPUT)
        order = torch.rand(2, GRID * GRID).argsort(dim=1)
        whole, kept = (model.pooled(model.tokens(pixels, keep)[0]) for keep in (None, order))
        torch.testing.assert_close(whole, kept, atol=1e-4, rtol=1e-4)

    def test_a_neutral_norm_adds_its_bias_alone(self) -> None:
        norm, values = nn.BatchNorm2d(3), torch.randn(8, 3, 5, 5) * 4 + 2
        with torch.no_grad():
            neutral(norm, values, torch.tensor([1.0, 0.0, -1.0]))
        wanted = values + torch.tensor([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
        torch.testing.assert_close(norm.eval()(values), wanted, atol=1e-3, rtol=1e-3)


class Objectives(unittest.TestCase):
    def test_a_set_costs_less_than_any_of_its_classes(self) -> None:
        logits = torch.tensor([[2.0, 1.0, -3.0]])
        both, first, all_of_them = (
            set_loss(logits, torch.tensor([rows])).item()
            for rows in ([True, True, False], [True, False, False], [True, True, True])
        )
        self.assertLess(both, first)
        self.assertLess(all_of_them, both)

    def test_what_is_not_known_costs_nothing(self) -> None:
        rows = [entry("a", {}, "noise"), entry("b", {"breast3": ("benign", "malignant")})]
        truth = Truth.of(rows, ["breast", "noise"], np.array([False, True]))
        logits = {
            e: torch.zeros(2, n)
            for e, n in (("covid3", 3), ("lung_tb2", 2), ("brain4", 4), ("breast3", 3))
        }
        logits["kind"] = torch.zeros(2, 2)
        before = answers_loss(logits, truth)
        logits["brain4"] = torch.randn(2, 4)
        self.assertEqual(before, answers_loss(logits, truth))
        where, share = torch.randn(2, 4), torch.rand(2, 4)
        loss = lesion_loss(where, share, truth.lesion_known)
        where[0] += 3
        self.assertEqual(loss, lesion_loss(where, share, truth.lesion_known))

    def test_evidence_costs_least_where_the_lesion_is(self) -> None:
        rows = [
            entry("a", {"breast3": ("malignant",)}),
            entry("b", {"breast3": ("benign", "malignant")}),
            entry("c", {"breast3": ("normal",)}),
            entry("d", {"breast3": ("benign",)}),
        ]
        truth = Truth.of(rows, ["breast"], np.array([True, True, True, False]))
        heads = Heads(8, 1)
        share = torch.zeros(4, 6)
        share[[0, 1, 3], 2] = 1
        weight = heads.exams["breast3"].weight.detach()
        way = weight[1] - weight.mean(dim=0)
        costs = []
        for place in (2, 4):
            patches = torch.zeros(4, 6, 8)
            patches[:, place] = 20 * way / way.norm()
            costs.append(evidence_loss(patches, heads, truth, share).item())
        self.assertLess(costs[0], costs[1])
        nothing = evidence_loss(torch.randn(4, 6, 8), heads, truth, torch.zeros(4, 6))
        self.assertEqual(nothing.item(), 0)
        hidden = torch.zeros(4, 6, 8, requires_grad=True)
        evidence_loss(hidden, heads, truth, share).backward()
        assert hidden.grad is not None
        self.assertEqual(hidden.grad[2:].abs().max().item(), 0, "without lesion, or not known")


class Loop(unittest.TestCase):
    def test_a_run_that_was_stopped_ends_as_one_that_was_not(self) -> None:
        def train(folder: Path, stop: int | None) -> Tensor:
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(tower.INPUT**2, 1))
            groups = [{"params": list(model.parameters()), "factor": 1.0}]
            calls = 0

            def loss(net: nn.Module, batch: loop.Batch) -> Tensor:
                nonlocal calls
                calls += 1
                if calls == stop:
                    raise KeyboardInterrupt
                return net(batch.pictures.float() / 255).square().mean()

            plan = loop.Plan(6, 8, 1e-3, seed=1, saved_every=2)
            loop.fit(model, groups, loop.Batches(views()), loss, plan, folder / "x.pt")
            return model[1].weight.detach().clone()

        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            whole = train(Path(one), None)
            with self.assertRaises(KeyboardInterrupt):
                train(Path(two), 4)
            torch.testing.assert_close(train(Path(two), None), whole)

    def test_a_round_shows_every_view_once(self) -> None:
        batches = loop.Batches(views())
        seen = torch.cat([batches.at(step, 8, 1).views for step in range(4)])
        self.assertEqual(sorted(seen.tolist()), list(range(32)))


class Student(unittest.TestCase):
    def test_the_weights_come_back_as_halves(self) -> None:
        model = student.Student(4).eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "w.safetensors"
            student.save(model, path)
            self.assertLess(path.stat().st_size, 8e6)
            from encoder.encoders import of_student
            from encoder.encoders import student as read

            grey = torch.randint(0, 256, (2, tower.INPUT, tower.INPUT), dtype=torch.uint8)
            with torch.no_grad():
                mine, theirs = of_student(model)(grey), of_student(read(path))(grey)
            self.assertGreater(F.cosine_similarity(mine, theirs).min().item(), 0.999)


class Probe(unittest.TestCase):
    def test_it_learns_what_can_be_told_apart_and_the_guard_what_is_far(self) -> None:
        random = np.random.default_rng(0)
        rows = [
            entry(str(i), {"breast3": (("benign", "malignant", "normal")[i % 3],)})
            for i in range(90)
        ]
        x = random.standard_normal((90, 8)).astype(np.float32)
        x[np.arange(90), np.arange(90) % 3] += 4
        made = probe.fit("breast3", rows, x, list(range(90)))
        self.assertGreater((made.probabilities(x).argmax(1) == np.arange(90) % 3).mean(), 0.95)
        far = random.standard_normal((90, 8)).astype(np.float32) + 6
        guard = probe.Guard.of(x, np.arange(90) % 3, np.concatenate([x, far]))
        self.assertGreater(guard.distance(far).min(), np.quantile(guard.distance(x), 0.97))


class Page(unittest.TestCase):
    def test_a_page_without_marks_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "p.md"
            path.write_text("nothing")
            with self.assertRaisesRegex(SystemExit, "no place"):
                page.write(path, {})


if __name__ == "__main__":
    unittest.main()
