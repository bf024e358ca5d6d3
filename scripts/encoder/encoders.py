"""Encoders that can be measured: the student, and the shipped bundle's for comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from data.progress import Progress
from starter.clip import ClipConfig
from starter.from_bundle import image_tower

from .student import Student
from .tower import INPUT, normalised

Encoder = Callable[[Tensor], Tensor]
"""uint8 `[B, INPUT, INPUT]` to embeddings `[B, E]`."""
BATCH = 64


def student(path: Path) -> Student:
    """The student of these weights; what only the teacher needs stays as it began."""
    with safe_open(path, "pt") as weights:
        of_kinds = weights.get_slice("heads.kind.weight").get_shape()[0]
    model = Student(of_kinds)
    model.load_state_dict(load_file(path), strict=False)
    return model.float().eval()


def of_student(model: Student) -> Encoder:
    def encode(grey: Tensor) -> Tensor:
        return model.tower(normalised(grey))[0]

    return encode


def of_bundle(bundle: Path) -> Encoder:
    """The bundle's image encoder, as floats."""
    config = ClipConfig()
    tower = image_tower(bundle, config).eval()

    def encode(grey: Tensor) -> Tensor:
        size = (config.input_size, config.input_size)
        return tower(F.interpolate(normalised(grey), size=size, mode="bilinear", antialias=True))

    return encode


def of_teacher(path: Path, of_kinds: int) -> Encoder:
    """The teacher's feature: what the student could come to."""
    from .teacher import Teacher, begin

    teacher = Teacher(of_kinds)
    begin(teacher, path)
    return teacher.eval().feature


@torch.no_grad()
def embed(encode: Encoder, pixels: np.ndarray, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Embeddings `[N, E]` of square grey pictures of any side, moved by whole pixels of the
    encoder's input where that is asked for."""
    found = []
    with Progress("embeddings", len(pixels)) as progress:
        for start in range(0, len(pixels), BATCH):
            part = torch.from_numpy(np.array(pixels[start : start + BATCH])).unsqueeze(1)
            size = (INPUT, INPUT)
            small = F.interpolate(part.float(), size=size, mode="bilinear", antialias=True)
            moved = moved_by(small.round().to(torch.uint8)[:, 0], *shift)
            found.append(encode(moved).float().numpy())
            progress.step(len(part))
    return np.concatenate(found)


def embedded(encode: Encoder, pixels: np.ndarray, weights: bytes, cache: Path) -> np.ndarray:
    """The embeddings of all images; made once for these weights."""
    key = hashlib.sha256(weights).hexdigest() + f" {len(pixels)}"
    if cache.exists():
        with np.load(cache) as made:
            if str(made["key"]) == key:
                return made["embeddings"]
    embeddings = embed(encode, pixels)
    np.savez(cache, key=key, embeddings=embeddings)
    return embeddings


def moved_by(pictures: Tensor, down: int, right: int) -> Tensor:
    """Moved by whole pixels, the border repeated."""
    if not (down or right):
        return pictures
    wide = F.pad(pictures.float().unsqueeze(1), (1, 1, 1, 1), mode="replicate")[:, 0]
    side = pictures.shape[-1]
    return wide[:, 1 - down : 1 - down + side, 1 - right : 1 - right + side].to(torch.uint8)
