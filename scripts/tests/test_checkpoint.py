"""Wrong checkpoints are refused by name, and a `.pt` file cannot run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import tempfile
import types
import unittest
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fullsize import clip, export
from fullsize.checkpoint import FILE, CheckpointError, read

SHAPES = {"a.weight": (2, 3), "a.bias": (2,)}


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def save(self, tensors: dict[str, np.ndarray]) -> Path:
        save_file(tensors, self.folder / FILE)
        return self.folder

    def refusal(self, path: Path, kind: str = "SAM2") -> str:
        with self.assertRaises(CheckpointError) as caught:
            read(path, SHAPES, kind)
        return str(caught.exception)

    def assert_says(self, message: str, *parts: str) -> None:
        for part in parts:
            self.assertIn(part, message)


def whole() -> dict[str, np.ndarray]:
    return {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}


class Safetensors(Case):
    def test_a_whole_checkpoint_is_read_and_the_rest_left_out(self) -> None:
        path = self.save(whole() | {"memory.weight": np.zeros(3, np.float32)})
        self.assertEqual(set(read(path, SHAPES, "SAM2").weights), set(SHAPES))

    def test_half_precision_becomes_float32(self) -> None:
        halves = {name: value.astype(np.float16) for name, value in whole().items()}
        weights = read(self.save(halves), SHAPES, "SAM2").weights
        self.assertEqual({value.dtype for value in weights.values()}, {np.dtype(np.float32)})

    def test_a_missing_tensor_is_named(self) -> None:
        tensors = whole()
        del tensors["a.bias"]
        self.assert_says(self.refusal(self.save(tensors)), "a.bias", "missing", FILE)

    def test_a_wrong_shape_is_named_with_both_shapes(self) -> None:
        path = self.save(whole() | {"a.weight": np.ones((2, 4), np.float32)})
        self.assert_says(self.refusal(path), "a.weight", "[2, 4]", "[2, 3]")

    def test_a_value_that_is_no_number_is_refused(self) -> None:
        path = self.save(whole() | {"a.bias": np.array([1, np.nan], np.float32)})
        self.assert_says(self.refusal(path), "a.bias", "not finite")

    def test_half_a_file_is_refused(self) -> None:
        file = self.save(whole()) / FILE
        file.write_bytes(file.read_bytes()[:-7])
        self.assert_says(self.refusal(self.folder), FILE, "copy it again")

    def test_a_folder_without_weights_is_refused(self) -> None:
        self.assert_says(self.refusal(self.folder), FILE, "is not there")
        self.assert_says(self.refusal(self.folder / "none"), "is not there")

    def test_weights_in_parts_are_refused(self) -> None:
        (self.folder / f"{FILE}.index.json").write_text("{}")
        self.assert_says(self.refusal(self.folder), "in parts")


class Pickles(Case):
    def test_a_bin_file_is_refused_by_name(self) -> None:
        file = self.folder / "pytorch_model.bin"
        file.write_bytes(pickle.dumps({}))
        self.assert_says(self.refusal(self.folder), "pytorch_model.bin", "save_pretrained")
        self.assert_says(self.refusal(file), "pytorch_model.bin", "may be a pickle")

    def test_a_pt_that_runs_code_is_refused_and_runs_nothing(self) -> None:
        marker = self.folder / "ran"

        class Evil:
            def __reduce__(self) -> tuple:
                return (os.mkdir, (str(marker),))

        file = self.folder / "evil.pt"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("evil/data.pkl", pickle.dumps({"model": Evil()}))
        self.assert_says(self.refusal(file), "mkdir", "evil.pt")
        self.assertFalse(marker.exists())

    def test_a_pt_that_reaches_outside_its_storage_is_refused(self) -> None:
        file = write_pt(self.folder / "far.pt", {"a": np.ones(4, np.float32)}, offset=1)
        self.assert_says(self.refusal(file), "value 4 of a storage of 4")

    def test_a_file_that_is_no_archive_is_refused(self) -> None:
        file = self.folder / "old.pt"
        file.write_bytes(b"\x80\x02 an old pickle")
        self.assert_says(self.refusal(file), "old.pt")

    def test_sam2s_own_file_is_read_under_the_names_of_transformers(self) -> None:
        tensors = {
            "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": np.ones((2, 4)),
            "sam_mask_decoder.iou_prediction_head.layers.1.weight": np.full((2, 3), 2.0),
        } | {
            f"sam_prompt_encoder.point_embeddings.{i}.weight": np.full((1, 2), float(i))
            for i in range(4)
        }
        file = write_pt(
            self.folder / "sam2.pt",
            {name: value.astype(np.float32) for name, value in tensors.items()},
        )
        shapes = {
            "shared_image_embedding.positional_embedding": (2, 4),
            "mask_decoder.iou_prediction_head.layers.0.weight": (2, 3),
            "prompt_encoder.point_embed.weight": (4, 2),
        }
        weights = read(file, shapes, "SAM2").weights
        labels = weights["prompt_encoder.point_embed.weight"][:, 0]
        np.testing.assert_array_equal(labels, [0, 1, 2, 3])


def write_pt(file: Path, tensors: dict[str, np.ndarray], offset: int = 0) -> Path:
    """A file as `torch.save({"model": tensors})` lays it out, without PyTorch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild() -> None: ...

    class FloatStorage: ...

    for thing, name, module in (
        (rebuild, "_rebuild_tensor_v2", utils),
        (FloatStorage, "FloatStorage", torch),
    ):
        thing.__module__, thing.__qualname__ = module.__name__, name
        setattr(module, name, thing)
    storages: list[np.ndarray] = []

    class Tensor:
        def __init__(self, value: np.ndarray) -> None:
            self.value = value

        def __reduce__(self) -> tuple:
            strides = tuple(s // self.value.itemsize for s in self.value.strides)
            return rebuild, (self.value, offset, self.value.shape, strides, False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> tuple | None:
            if not isinstance(value, np.ndarray):
                return None
            storages.append(value)
            return "storage", FloatStorage, str(len(storages) - 1), "cpu", value.size

    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        pickled = io.BytesIO()
        model = OrderedDict((name, Tensor(value)) for name, value in tensors.items())
        Pickler(pickled, protocol=2).dump({"model": model})
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for i, storage in enumerate(storages):
            archive.writestr(f"archive/data/{i}", storage.tobytes())
    return file


class Clip(Case):
    def test_another_patch_size_is_refused_before_any_tensor_is_read(self) -> None:
        config = {"vision_config": {"patch_size": 14}}
        (self.folder / "config.json").write_text(json.dumps(config))
        with self.assertRaises(CheckpointError) as caught:
            export.clip_name(self.folder)
        self.assert_says(str(caught.exception), "patch size 14", "clip-vit-base-patch16")

    def test_a_pt_is_no_clip_checkpoint(self) -> None:
        file = self.folder / "clip.pt"
        file.write_bytes(b"")
        self.assert_says(self.refusal(file, "clip-vit-base-patch32"), FILE)

    def test_the_patch_sizes_differ_in_two_tensors_only(self) -> None:
        tables = [clip.shapes(config) for config in clip.CONFIGS.values()]
        differ = [name for name in tables[0] if tables[0][name] != tables[1][name]]
        self.assertEqual(len(differ), 2)


if __name__ == "__main__":
    unittest.main()
