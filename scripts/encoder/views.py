"""Step `views`: worn pictures of the training images, made once and learnt from many times.

Teacher and student see the same ones, so the teacher need look at each only once. View `n`
is drawn by a generator of its own seed, so that a run that was stopped goes on to the same.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.left_out import parts
from data.listing import Entry, read
from data.progress import Progress

from . import masks, pixels
from .sampling import weights
from .tower import INPUT, PATCH
from .wear import HARSH, MILD, Planes, worn

SIDE = 168
"""Of a view; the encoder is shown a part of it of `INPUT` pixels, now here, now there."""
GRID = INPUT // PATCH
MILD_SHARE = 0.3
CHUNK = 500
SEED = 20261130


@dataclass(frozen=True)
class Views:
    """`V` views: pixels, lesion masks by patch (0 to 255), and the place in the list."""

    pictures: np.ndarray
    lesions: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)


def folder(work: Path, run: int | None) -> Path:
    """Where a run's files stand."""
    path = work / ("all" if run is None else f"run-{run}")
    path.mkdir(parents=True, exist_ok=True)
    return path


def opened(path: Path, mode: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The two files of the views, mapped."""
    shapes = {"views.npy": (count, SIDE, SIDE), "lesions.npy": (count, GRID, GRID)}
    arrays = []
    for name, shape in shapes.items():
        if mode == "w+":
            array = np.lib.format.open_memmap(path / name, "w+", np.uint8, shape)
        else:
            array = np.load(path / name, mmap_mode=mode)
        arrays.append(array)
    return arrays[0], arrays[1]


def load(path: Path) -> Views:
    """What this step made."""
    places = np.load(path / "places.npy")
    pictures, lesions = opened(path, "r", len(places))
    return Views(pictures, lesions, places)


class Maker:
    """Makes the views of a chunk."""

    def __init__(self, path: Path, images: np.ndarray, lesions: masks.Masks) -> None:
        self.path, self.images, self.lesions = path, images, lesions

    def __call__(self, start: int) -> int:
        places = np.load(self.path / "places.npy")
        pictures, lesions = opened(self.path, "r+", len(places))
        for n in range(start, min(start + CHUNK, len(places))):
            random = np.random.default_rng((SEED, n))
            i = places[n]
            planes = Planes(np.array(self.images[i]), self.lesions.planes[i])
            wear = MILD if random.random() < MILD_SHARE else HARSH
            made = worn(planes, random, wear, SIDE)
            margin = (SIDE - INPUT) // 2
            middle = made.mask[margin : margin + INPUT, margin : margin + INPUT]
            pictures[n] = made.picture
            lesions[n] = cv2.resize(middle, (GRID, GRID), interpolation=cv2.INTER_AREA)
        return start


def make(arguments: argparse.Namespace, entries: list[Entry], path: Path) -> None:
    """Draws the places, then fills in what is not there yet, chunk by chunk."""
    images = pixels.load(arguments.images, entries, arguments.work)
    lesions = masks.load(arguments.images, entries, arguments.work)
    done_file = path / "views.done"
    if not (path / "places.npy").exists():
        trained = parts(entries, arguments.run).trained
        chance = weights(entries, trained)
        random = np.random.default_rng(SEED)
        np.save(path / "places.npy", random.choice(len(entries), arguments.count, p=chance))
        opened(path, "w+", arguments.count)
    count = len(np.load(path / "places.npy"))
    done = set(map(int, done_file.read_text().split())) if done_file.exists() else set()
    todo = [start for start in range(0, count, CHUNK) if start not in done]
    cv2.setNumThreads(1)
    maker = Maker(path, images, lesions)
    with (
        ThreadPoolExecutor(arguments.threads) as pool,
        Progress("views", len(todo)) as progress,
        done_file.open("a") as log,
    ):
        for start in pool.map(maker, todo):
            print(start, file=log, flush=True)
            progress.step()


def run(arguments: argparse.Namespace) -> None:
    make(arguments, read(arguments.list), folder(arguments.work, arguments.run))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=60_000, help="views in all")
