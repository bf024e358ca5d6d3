"""Holds medfocus's DICOM decoding against pydicom's, file by file and frame by frame.

Writes the table that `tests/program/dicom_files.rs` reads: what became of each file, and the
SHA-256 of the values as 64-bit little-endian integers, all frames in order. Exact means
equal to pydicom; lossy syntaxes may differ by less than one level on average.

    cargo build --release --example dicom_values
    python compare.py FOLDER TABLE.csv
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

ROOT = Path(__file__).resolve().parents[2]
LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}


def ours(program: Path, path: Path, frame: int) -> np.ndarray | str:
    """The frame's values, or the refusal."""
    run = subprocess.run([program, path, str(frame)], capture_output=True)
    if run.returncode:
        return run.stderr.decode().strip().splitlines()[-1]
    return np.frombuffer(run.stdout, "<i8")


def source(path: Path) -> Path | Dataset:
    """The file as pydicom wants it: with a transfer syntax, if only that of its data set."""
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" in dataset.file_meta:
        return path
    syntaxes = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
    dataset.file_meta.TransferSyntaxUID = syntaxes[dataset.original_encoding]
    return dataset


def theirs(path: Path, frame: int) -> np.ndarray | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = pixel_array(source(path), index=frame)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:160]
    if array.dtype.kind == "f":
        return "floating point"
    return array.astype("<i8").ravel()


def compare(program: Path, path: Path) -> dict[str, object]:
    dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID", ""))
    row: dict[str, object] = {"file": path.name, "syntax": syntax.name}
    frames = int(dataset.get("NumberOfFrames") or 1)
    digest, worst = hashlib.sha256(), 0.0
    for frame in range(frames):
        mine, other = ours(program, path, frame), theirs(path, frame)
        if isinstance(mine, str):
            code = mine.rsplit("(", 1)[-1].rstrip(")")
            return row | {"outcome": code, "frames": frames, "why": mine.rsplit(" (", 1)[0]}
        digest.update(mine.tobytes())
        if isinstance(other, str):
            worst = float("nan")
            row["why"] = f"pydicom: {other}"
        elif mine.shape != other.shape:
            worst = float("inf")
        else:
            worst = max(worst, float(np.abs(mine - other).mean()))
    if worst == 0:
        outcome = "exact"
    elif worst < 1 and str(syntax) in LOSSY:
        outcome = "lossy"
    else:
        outcome = "WRONG"
    return row | {
        "outcome": outcome,
        "frames": frames,
        "mean_error": f"{worst:.4f}",
        "sha256": digest.hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    program = ROOT / "target/release/examples/dicom_values"
    parser.add_argument("--program", type=Path, default=program)
    arguments = parser.parse_args()
    rows = [compare(arguments.program, p) for p in sorted(arguments.folder.glob("*.dcm"))]
    fields = ["file", "syntax", "outcome", "frames", "mean_error", "sha256", "why"]
    with arguments.table.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts: dict[str, int] = {}
    for row in rows:
        counts[str(row["outcome"])] = counts.get(str(row["outcome"]), 0) + 1
    print(len(rows), "files:", counts)


if __name__ == "__main__":
    main()
