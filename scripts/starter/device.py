"""What the built program reads off the exams' images: heads, temperatures and guards are
fitted to these numbers, since the device's int8 activations are not onnxruntime's floats.

Nothing is worked out here: the way from file to embedding is the program's own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np

from . import data

PROGRAM = Path(__file__).resolve().parents[2] / "target/release/examples/readings"


def readings(arguments: argparse.Namespace) -> tuple[list[data.Row], np.ndarray]:
    """The exams' images, and their unit embeddings `[N, 2, D]` (whole, focused)."""
    rows = [row for row in data.load_rows(arguments.images) if row.task in data.EXAMS]
    files = [arguments.images / row.file for row in rows]
    return rows, read(arguments.bundle, files, arguments.work / "readings.npz")


def read(bundle: Path, files: list[Path], cache: Path) -> np.ndarray:
    """Unit embeddings `[N, 2, D]` of these files by `cargo run --release --example readings`;
    made once for these files, these graphs and this program."""
    sources = [PROGRAM, *sorted(bundle.glob("*.onnx"))]
    names = "\n".join(map(str, files))
    parts = [*(path.read_bytes() for path in sources), names.encode()]
    key = hashlib.sha256(b"".join(parts)).hexdigest()
    if cache.exists():
        with np.load(cache) as made:
            if str(made["key"]) == key:
                return made["embeddings"]
    output = subprocess.run(
        [PROGRAM, bundle], input=names, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = [json.loads(line) for line in output.stdout.splitlines()]
    pairs = [(line["whole"], *line["focused"].values()) for line in lines]
    embeddings = np.array(pairs, np.float32)
    np.savez(cache, key=key, embeddings=embeddings)
    return embeddings
