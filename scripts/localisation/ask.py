"""Asks the program about outlined images, in one way after another.

A way is a prompt and a focus style. Without a prompt all images of an exam are asked about by one
process, as a user would; a true box or a point is another for each image, and so is its process.
Answers are taken by the image's path. Gate and guard are told to answer (`--force`), so that
regions are measured on every image; which images they would have refused is counted.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from .outlines import NotRead, Outlined, plane

PROMPTS = ("none", "box", "point")
"""The bundle's own way; the box around what was outlined; the point inside that is farthest from
its border."""
MOST = 200
"""Images that one process is asked about."""


@dataclass(frozen=True)
class Way:
    """How an image is asked about; style `""` is the bundle's own."""

    prompt: str
    style: str


@dataclass(frozen=True)
class Answer:
    """What the program said of one image."""

    region: np.ndarray
    """bool `[height, width]`"""
    predicted_iou: float
    label: str
    is_refused: bool
    """Whether gate or guard would have refused it."""


class Program:
    """The program, and the bundle that it is to use."""

    def __init__(self, path: Path, bundle: Path, threads: int) -> None:
        self.path, self.bundle, self.threads = path, bundle, threads

    def answers(self, images: list[Outlined], way: Way) -> Iterator[tuple[Outlined, Answer]]:
        """Every image that has an answer. One that has none (a file that is no image) is told
        on the standard error and left out."""
        jobs = list(batches(images, way))
        with ThreadPoolExecutor(self.threads) as pool:
            for part in pool.map(lambda job: self.asked(job, way), jobs):
                yield from part

    def asked(self, images: list[Outlined], way: Way) -> list[tuple[Outlined, Answer]]:
        """One process."""
        command = [str(self.path), "classify", "--bundle", str(self.bundle), "--force"]
        command += ["--format", "ndjson", "--exam", images[0].exam]
        command += ["--focus", way.style] if way.style else []
        command += ["--prompt", prompt(images[0], way.prompt)] if way.prompt != "none" else []
        run = subprocess.run(
            [*command, "--", *(str(image.file) for image in images)],
            capture_output=True,
            text=True,
            check=False,
        )
        said = {line["source"]: line for line in map(json.loads, run.stdout.splitlines())}
        if not said:
            raise NotRead(f"{self.path} gave no answer: {run.stderr.strip()[-400:]}")
        found = []
        for image in images:
            line = said.get(str(image.file))
            if line is None or line["status"] != "finding":
                print(f"{image.file}: no finding; left out", flush=True)
                continue
            found.append((image, answer_of(line)))
        return found


def batches(images: list[Outlined], way: Way) -> Iterator[list[Outlined]]:
    """Images that one process can be asked about: of one exam, and with one prompt."""
    most = MOST if way.prompt == "none" else 1
    by_exam = sorted(images, key=lambda image: image.exam)
    for _, members in groupby(by_exam, key=lambda image: image.exam):
        of_exam = list(members)
        yield from (of_exam[start : start + most] for start in range(0, len(of_exam), most))


def answer_of(line: dict) -> Answer:
    """Of a finding's JSON."""
    mask = line["mask"]
    refused = any("forced" in str(line.get(check)) for check in ("gate", "guard"))
    return Answer(
        from_runs(mask["rle"]["size"], mask["rle"]["counts"]),
        float(mask["predicted_iou"]),
        line["class"],
        refused,
    )


def from_runs(size: list[int], counts: list[int]) -> np.ndarray:
    """The mask of run lengths down the columns, the first of what is outside."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T


def deepest(inside: np.ndarray) -> tuple[int, int]:
    """Column and row of the place that is farthest from the border of what is inside."""
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def prompt(image: Outlined, kind: str) -> str:
    """As `--prompt` takes it, in the image's own pixels."""
    picture = cv2.imread(str(image.file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise NotRead(f"{image.file}: prompts of the outline need a PNG, JPEG or TIFF image")
    inside = plane(image, picture.shape[:2])
    if not inside.any():
        raise NotRead(f"{image.file}: its outline holds nothing")
    if kind == "point":
        column, row = deepest(inside)
        return f"point:{column},{row}"
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return f"box:{columns[0]},{rows[0]},{width},{height}"
