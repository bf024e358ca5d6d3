"""How well a bundle's regions lie on what people outlined.

    scripts/localise FOLDER
    scripts/localise FOLDER --bundle models/starter --prompts none,box,point --styles crop,none
    scripts/localise --collection ../shared/data FOLDER

FOLDER has a table `outlines.csv` (columns `file`, `exam`, `mask` or `boxes`, and where known
`source`, `group`, `class`), or pictures with masks of the same names in its folder `masks` (then
say `--exam`). `--collection` writes such a table of this project's own images that were held back.
The program is asked about every image; gate and guard are told to answer.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path

from data.progress import Progress

from .ask import PROMPTS, Program, Way
from .outlines import NotRead, Outlined, read
from .score import FIGURES, Row, Sum, measured, sums

ROOT = Path(__file__).resolve().parents[2]
STYLES = ("none", "overlay", "blur", "crop", "cutout")


def words(allowed: tuple[str, ...], text: str) -> list[str]:
    """A list separated by commas."""
    found = text.split(",")
    for word in found:
        if word not in allowed:
            raise argparse.ArgumentTypeError(f"{word!r}; there are {', '.join(allowed)}")
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/localise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--exam", help="only images for this exam")
    parser.add_argument("--bundle", type=Path, default=ROOT / "models/starter")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/medfocus")
    parser.add_argument("--prompts", type=lambda text: words(PROMPTS, text), default=["none"])
    parser.add_argument(
        "--styles",
        type=lambda text: words(STYLES, text),
        default=[""],
        help="focus styles, which change the answer and not the region; default: the bundle's",
    )
    parser.add_argument("--threads", type=int, default=2, help="processes at once")
    parser.add_argument("--csv", type=Path, help="where a line for each image goes")
    parser.add_argument("--json", type=Path, help="where the sums go")
    parser.add_argument("--collection", type=Path, help="folder with `images` and `more`")
    parser.add_argument("--list", type=Path, default=ROOT / "scripts/data/list.tsv")
    parser.add_argument("--everything", action="store_true", help="also what was trained on")
    return parser.parse_args()


def asked(images: list[Outlined], program: Program, ways: list[Way]) -> list[Row]:
    """All images in all ways."""
    rows = []
    with Progress("images", len(images) * len(ways)) as progress:
        for way in ways:
            for image, answer in program.answers(images, way):
                rows.append(measured(image, answer, way))
                progress.step()
    return rows


def shown(sum_: Sum) -> str:
    """A line of the table for people."""
    cells = [sum_.exam, sum_.source or "all", sum_.outlined_by, sum_.prompt]
    cells += [sum_.style or "bundle's", f"{sum_.images} in {sum_.groups}"]
    for name in FIGURES:
        figure = sum_.figures[name]
        cells.append("-" if figure is None else "{:.2f} ({:.2f} to {:.2f})".format(*figure))
    return "| " + " | ".join(cells) + " |"


def written(rows: list[Row], found: list[Sum], arguments: argparse.Namespace) -> None:
    """The files that were asked for."""
    if arguments.csv:
        with arguments.csv.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")


def main() -> None:
    arguments = parsed()
    if arguments.collection:
        from .collection import write

        count = write(arguments.collection, arguments.list, arguments.folder, arguments.everything)
        print(f"{arguments.folder}: {count} outlined images", file=sys.stderr)
    images = read(arguments.folder, arguments.exam)
    if not arguments.program.is_file():
        raise NotRead(f"{arguments.program}: no program; `cargo build --release` makes it")
    ways = [Way(prompt, style) for prompt in arguments.prompts for style in arguments.styles]
    program = Program(arguments.program, arguments.bundle, arguments.threads)
    rows = asked(images, program, ways)
    if not rows:
        raise NotRead("no image has a finding")
    found = sums(rows)
    written(rows, found, arguments)
    print("| exam | source | outlined by | prompt | style | images | " + " | ".join(FIGURES) + " |")
    print("|---" * (6 + len(FIGURES)) + "|")
    for one in found:
        print(shown(one))


if __name__ == "__main__":
    try:
        main()
    except NotRead as error:
        print(f"localise: {error}", file=sys.stderr)
        sys.exit(1)
