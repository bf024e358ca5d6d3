"""Checkpoints from disk: tensors by name, every shape checked before any is used.

Reads the safetensors folders that `transformers` saves and the original `.pt` files of
SAM2. A `.pt` file is a pickle; it is read by an unpickler that knows how to rebuild
tensors and refuses everything else by name, so that a file cannot run code here.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize

Weights = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]

FILE = "model.safetensors"


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file, what is wrong in it
    and the way out."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of one model and the file that they came from."""

    path: Path
    weights: Weights


def read(path: Path, shapes: Shapes, kind: str) -> Checkpoint:
    """The tensors that `shapes` names, as float32, from a checkpoint of `kind`: a folder
    as `transformers` saves it, its `model.safetensors`, or an original SAM2 `.pt`."""
    file = _file(path)
    if file.suffix == ".pt":
        if kind != "SAM2":
            raise CheckpointError(f"{file}: is a .pt file; {kind} is read from {FILE}")
        found = {sam2_name(name): value for name, value in _read_pt(file).items()}
    else:
        found = _read_safetensors(file)
    return Checkpoint(file, _checked(file, found, shapes, kind))


def _file(path: Path) -> Path:
    """The file that holds the weights."""
    if path.is_file():
        if path.suffix in (".safetensors", ".pt"):
            return path
        raise CheckpointError(
            f"{path}: a {path.suffix or 'file without a suffix'} is not read, since it may be a "
            f"pickle that runs code; give {FILE}, its folder, or an original SAM2 .pt"
        )
    if not path.is_dir():
        raise CheckpointError(f"{path}: is not there; give the folder that holds {FILE}")
    if (path / FILE).is_file():
        return path / FILE
    pickles = sorted(p.name for p in path.glob("*.bin"))
    if pickles:
        raise CheckpointError(
            f"{path / pickles[0]}: is a pickle, which may run code, and is not read; save the "
            f"model again with save_pretrained, which writes {FILE}"
        )
    if list(path.glob("*.safetensors.index.json")):
        raise CheckpointError(f"{path}: its weights are in parts; save it again as one {FILE}")
    raise CheckpointError(f"{path / FILE}: is not there; the folder must hold it")


def _checked(file: Path, found: Weights, shapes: Shapes, kind: str) -> Weights:
    """Exactly the tensors of `shapes`; what else a checkpoint holds is left out."""
    missing = [name for name in shapes if name not in found]
    if missing:
        raise CheckpointError(
            f"{file}: tensor {missing[0]} is missing (and {len(missing) - 1} more); "
            f"{len(shapes)} tensors are needed: is this a whole {kind} checkpoint?"
        )
    weights = {}
    for name, shape in shapes.items():
        value = found[name]
        if value.shape != shape:
            raise CheckpointError(
                f"{file}: tensor {name} is {list(value.shape)}; expected {list(shape)} for {kind}"
            )
        weights[name] = np.asarray(value, np.float32)
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"{file}: tensor {name} holds a value that is not finite")
    return weights


# safetensors

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def _read_safetensors(file: Path) -> Weights:
    try:
        tensors = deserialize(file.read_bytes())
    except SafetensorError as error:
        raise CheckpointError(
            f"{file}: is no whole safetensors file ({error}); copy it again"
        ) from error
    weights = {}
    for name, tensor in tensors:
        dtype = DTYPES.get(tensor["dtype"])
        if dtype is None:
            continue  # position numbers and the like
        value = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
        if tensor["dtype"] == "BF16":
            value = (value.astype(np.uint32) << 16).view(np.float32)
        weights[name] = value
    return weights


def declared_patch(path: Path) -> int | None:
    """The patch size that a CLIP folder's `config.json` declares; `None` where it is
    silent, as old files are that rely on the default."""
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file}: is no JSON ({error}); copy it again") from error
    return config.get("vision_config", {}).get("patch_size")


# Original SAM2 files

NAMES = [
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (
        r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "shared_image_embedding.positional_embedding",
    ),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"(attn|image|token)\.out_proj\.", r"\1.o_proj."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(mlps\.\d|_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d|_head)\.layers\.2\.", r"\1.proj_out."),
]
"""From SAM2's own names to those of `transformers`, in this order."""


def sam2_name(name: str) -> str:
    """The name that `transformers` gives a tensor of SAM2."""
    before = name
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
        # One rule for a head's numbered layer: the names it gives are numbered too.
        if name != before and pattern.startswith(r"(mlps"):
            break
        before = name
    return name


def _joined_points(tensors: Weights) -> Weights:
    """SAM2 keeps the four label embeddings as four tensors."""
    parts = [tensors.pop(f"sam_prompt_encoder.point_embeddings.{i}.weight", None) for i in range(4)]
    if all(part is not None for part in parts):
        tensors["sam_prompt_encoder.point_embed.weight"] = np.concatenate(parts)
    return tensors


STORAGES = {"FloatStorage": np.float32, "HalfStorage": np.float16, "BFloat16Storage": np.uint16}


class _Storage(str):
    """Name of a storage type; never a class of PyTorch's."""


class _TensorUnpickler(pickle.Unpickler):
    """Rebuilds tensors as numpy arrays and refuses every other class or function."""

    def __init__(self, archive: zipfile.ZipFile, pickled: str) -> None:
        super().__init__(io.BytesIO(archive.read(pickled)))
        self.archive, self.folder = archive, pickled.removesuffix("data.pkl")

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name in STORAGES:
            return _Storage(name)
        _refuse(f"{module}.{name}")

    def persistent_load(self, reference: object) -> np.ndarray:
        match reference:
            case ("storage", _Storage() as kind, str() as key, _, int()):
                data = self.archive.read(f"{self.folder}data/{key}")
                values = np.frombuffer(data, STORAGES[kind])
                if kind == "BFloat16Storage":
                    values = (values.astype(np.uint32) << 16).view(np.float32)
                return values
        _refuse(f"a storage {reference!r}")


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(f"it asks for {what}, which no table of weights needs")


def _rebuilt(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> np.ndarray:
    """A tensor over its storage; reaching outside of it is refused."""
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if offset < 0 or min(strides, default=0) < 0 or min(shape, default=1) < 0:
        _refuse(f"a tensor of shape {shape} with strides {strides}")
    if last >= len(storage):
        _refuse(f"value {last} of a storage of {len(storage)}")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _read_pt(file: Path) -> Weights:
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = [n for n in archive.namelist() if n.endswith("data.pkl")]
            if len(pickled) != 1:
                raise CheckpointError(f"{file}: is no PyTorch file: it holds no data.pkl")
            content = _TensorUnpickler(archive, pickled[0]).load()
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{file}: cannot be read as a table of weights: {error}; copy the original again"
        ) from error
    tensors = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{file}: holds no table of weights")
    return _joined_points({k: v for k, v in tensors.items() if isinstance(v, np.ndarray)})
