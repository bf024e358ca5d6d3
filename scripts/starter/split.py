"""Groups near-duplicates and writes the validation list, `split.json`.

Run once; the list is committed, so that every later figure is on the same images.
"""

from __future__ import annotations

import argparse

from . import data


def run(arguments: argparse.Namespace) -> None:
    rows = data.load_rows(arguments.images)
    pixels = data.load_pixels(arguments.images, rows, arguments.work / "pixels.npy")
    data.write_split(arguments.split, rows, data.make_split(rows, pixels))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The split has no options of its own: it is what it is."""
