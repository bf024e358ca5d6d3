"""Graphs against plain numpy, where that is short, and smoothing against the float graph.

The whole models are held against the PyTorch originals by `scripts/parity`.
"""

from __future__ import annotations

import unittest

import numpy as np
import onnx
from onnx import numpy_helper

from bundling.quantise import quantise_weights
from bundling.reference import session
from fullsize import calibrate, clip, sam2, sensitivity, sizes, smooth
from fullsize.graph import Graph

GENERATOR = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def run(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
    return session(graph.model().SerializeToString()).run(None, inputs)


def empty(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights that take no memory: every value is the same one."""
    return {name: np.broadcast_to(np.float32(0.01), shape) for name, shape in shapes.items()}


class Whole(unittest.TestCase):
    """Every full-size graph, as onnx itself sees it."""

    def assert_sound(self, graph: Graph) -> None:
        model = graph.model()
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        for ours, theirs in zip(model.graph.output, inferred.graph.output, strict=True):
            self.assertEqual(ours, theirs)

    def test_the_segmenter_at_every_size(self) -> None:
        weights = empty(sam2.shapes())
        for side in sam2.SIDES:
            for build in (sam2.image_encoder, sam2.mask_decoder, sam2.mask_prompt):
                with self.subTest(side=side, graph=build.__name__):
                    self.assert_sound(build(weights, side))

    def test_the_image_encoder_at_both_patch_sizes(self) -> None:
        for name, config in clip.CONFIGS.items():
            with self.subTest(name=name):
                self.assert_sound(clip.image_encoder(empty(clip.shapes(config)), config))


class Windows(unittest.TestCase):
    def test_windows_come_back_where_they_were(self) -> None:
        for side, window in ((8, 4), (8, 8), (16, 14), (9, 7)):
            with self.subTest(side=side, window=window):
                graph = Graph("windows")
                x = graph.input("x", (1, side, side, 3))
                parted = sam2._partition(graph, x, window, "parted")
                back = sam2._unpartition(graph, parted, window, side, side, "back")
                graph.output(graph.relu(back, "same"), "y")
                value = np.abs(normal(1, side, side, 3))
                np.testing.assert_array_equal(run(graph, x=value)[0], value)


class Doubling(unittest.TestCase):
    def test_a_transposed_convolution_is_one_product(self) -> None:
        graph, kernel, bias = Graph("doubled"), normal(5, 3, 2, 2), normal(3)
        x = graph.input("x", (1, 4, 4, 5))
        weights = {"up.weight": kernel, "up.bias": bias}
        graph.output(sam2._doubled(graph, x, weights, "up"), "y")
        value = normal(1, 4, 4, 5)
        wanted = np.zeros((8, 8, 3), np.float32)
        for row, column in np.ndindex(8, 8):
            tap = kernel[:, :, row % 2, column % 2]
            wanted[row, column] = value[0, row // 2, column // 2] @ tap + bias
        np.testing.assert_allclose(run(graph, x=value)[0][0], wanted, atol=1e-5)


class Position(unittest.TestCase):
    def test_bicubic_rows_sum_to_one_and_mirror_each_other(self) -> None:
        matrix = sam2.bicubic(7, 64)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)

    def test_the_same_size_changes_nothing(self) -> None:
        np.testing.assert_array_equal(sam2.bicubic(7, 7), np.eye(7))


class Int8(unittest.TestCase):
    def layers(self) -> onnx.ModelProto:
        """A LayerNorm with one outlier channel, then two linear layers."""
        graph = Graph("layers")
        x = graph.input("x", (None, 64))
        gain = np.ones(64, np.float32)
        gain[3] = 40
        x = graph.layer_norm(x, gain, np.zeros(64, np.float32), 1e-5, "norm")
        x = graph.linear(x, normal(96, 64), normal(96), "first")
        graph.output(graph.linear(graph.gelu(x, "gelu"), normal(32, 96), None, "second"), "y")
        return graph.model()

    def test_smoothing_changes_no_bit_and_helps_the_layer_behind_an_outlier(self) -> None:
        model, x = self.layers(), normal(100, 64)
        before = session(model.SerializeToString()).run(None, {"x": x})[0]
        flow = calibrate.watch(model, [{"x": x}])
        rough = sensitivity.measure(model, flow)
        self.assertEqual(smooth.smooth(model, flow), 1)
        smoothed = sensitivity.measure(model, flow)
        after = session(model.SerializeToString()).run(None, {"x": x})[0]
        np.testing.assert_array_equal(before, after)
        self.assertGreater(smoothed[0].sqnr_db, rough[0].sqnr_db + 6)
        again = sensitivity.measure(model, calibrate.watch(model, [{"x": x}]))
        self.assertEqual(smoothed, again, "what was seen is scaled as the graph is")

    def test_a_convolution_is_measured_as_the_product_that_it_is(self) -> None:
        graph, kernel = Graph("patches"), normal(64, 3, 7, 7)
        x = graph.relu(graph.input("x", (1, 3, 32, 32)), "bright")
        graph.output(graph.convolution(x, kernel, None, 4, 3, "patch"), "y")
        model, planes = graph.model(), normal(1, 3, 32, 32)
        flow = calibrate.watch(model, [{"x": planes}])
        rows = flow.rows["patch.weight"]
        wanted = run(graph, x=planes)[0][0].reshape(64, -1).T
        np.testing.assert_allclose(rows @ kernel.reshape(64, -1).T, wanted, atol=1e-4)
        (layer,) = sensitivity.measure(model, flow)
        self.assertEqual((layer.name, layer.shape), ("patch", (147, 64)))
        self.assertGreater(layer.sqnr_db, 30)

    def test_a_layer_that_is_kept_stays_float_and_the_other_becomes_int8(self) -> None:
        model = quantise_weights(self.layers(), ["second.weight"])
        types = {t.name: numpy_helper.to_array(t).dtype for t in model.graph.initializer}
        self.assertEqual(types["first.weight.int8"], np.int8)
        self.assertEqual(types["second.weight"], np.float32)
        self.assertNotIn("first.weight", types)

    def test_a_layer_that_loses_too_much_is_kept(self) -> None:
        layers = [
            sensitivity.Layer("good", (1, 1), 0.999, 35.0),
            sensitivity.Layer("bad", (1, 1), 0.9, 12.0),
            sensitivity.Layer("last", (1, 1), 0.999, 35.0),
        ]
        self.assertEqual(sensitivity.kept_in_float(layers, ["last"]), ["bad", "last"])


class Sizes(unittest.TestCase):
    def table(self, weights: str) -> sizes.Table:
        rows = [(256, 0.8), (512, 0.93), (1024, 0.99)]
        rows = [{"size": s, "latency_ratio": s / 1024, "mask_iou": iou} for s, iou in rows]
        return {"weights": weights, "images": 9, "by": "medfocus", "sizes": rows}

    def test_the_smallest_size_that_agrees_is_chosen(self) -> None:
        self.assertEqual(sizes.choose(self.table("trained")), 512)

    def test_random_weights_and_no_table_choose_nothing(self) -> None:
        self.assertEqual(sizes.choose(self.table("random")), 1024)
        self.assertEqual(sizes.choose(None), 1024)


if __name__ == "__main__":
    unittest.main()
