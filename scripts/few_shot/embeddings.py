"""What the program reads off the images, kept by program, graphs and image: the heads are
trained on what the device will see, and nothing is read twice.

Nothing is worked out here: the way from file to embedding is the program's own.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .images import Labelled, digest
from .refused import Broken

WHOLE = "whole"


@dataclass(frozen=True)
class Readings:
    """Unit embeddings of the same images, `[N, D]`."""

    whole: np.ndarray
    focused: dict[str, np.ndarray]
    """By focus style."""


class Cache:
    """Embeddings of one program and one set of graphs, in one file."""

    def __init__(self, folder: Path, program: Path, bundle: Path) -> None:
        manifest = tomllib.loads((bundle / "bundle.toml").read_text())
        parts = manifest["segmenter"], manifest["image_encoder"], manifest["focus"]
        graphs = b"".join(path.read_bytes() for path in sorted(bundle.glob("*.onnx")))
        told = json.dumps(parts, sort_keys=True).encode()
        key = hashlib.sha256(program.read_bytes() + graphs + told).hexdigest()[:16]
        self.file = folder / f"{key}.npz"
        self.known: dict[str, np.ndarray] = {}
        if self.file.exists():
            with np.load(self.file) as kept:
                self.known = dict(zip(kept["names"].tolist(), kept["vectors"], strict=True))

    def lacks(self, image: str, styles: list[str]) -> bool:
        return any(f"{image}/{style}" not in self.known for style in (WHOLE, *styles))

    def add(self, image: str, reading: dict) -> None:
        self.known[f"{image}/{WHOLE}"] = np.array(reading["whole"], np.float32)
        for style, values in reading["focused"].items():
            self.known[f"{image}/{style}"] = np.array(values, np.float32)

    def save(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        names, vectors = np.array(list(self.known)), np.stack(list(self.known.values()))
        np.savez(self.file, names=names, vectors=vectors)


def read(
    images: list[Labelled], styles: list[str], bundle: Path, program: Path, folder: Path
) -> Readings:
    """The embeddings of these images in these styles, read or remembered."""
    if not program.is_file():
        raise Broken(f"{program} is not there; make it: cargo build --release --examples")
    cache = Cache(folder, program, bundle)
    content = [digest(image.path) for image in images]
    missing = [i for i, sha in enumerate(content) if cache.lacks(sha, styles)]
    if missing:
        wanted = [str(images[i].path.resolve()) for i in missing]
        for i, line in zip(missing, spoken(program, bundle, styles, wanted), strict=True):
            cache.add(content[i], json.loads(line))
        cache.save()

    def gathered(style: str) -> np.ndarray:
        return np.stack([cache.known[f"{sha}/{style}"] for sha in content]).astype(np.float64)

    return Readings(gathered(WHOLE), {style: gathered(style) for style in styles})


def spoken(program: Path, bundle: Path, styles: list[str], files: list[str]) -> Iterator[str]:
    """The program's line for each file, asked one at a time."""
    command = [str(program), str(bundle), *styles]
    done = 0
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        for file in files:
            try:
                child.stdin.write(file + "\n")
                child.stdin.flush()
            except BrokenPipeError:
                break
            line = child.stdout.readline()
            if not line:
                break
            done += 1
            progress("embeddings", done, len(files))
            yield line
        child.stdin.close()
        complaint = child.stderr.read().strip()
    if done < len(files):
        raise Broken(f"{program.name} stopped at image {done + 1} of {len(files)}: {complaint}")


def progress(what: str, done: int, of: int) -> None:
    """A bar on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        full = round(30 * done / max(of, 1))
        bar = "#" * full + "." * (30 - full)
        print(f"\r{what} [{bar}] {done}/{of}", end="\n" if done == of else "", file=sys.stderr)
