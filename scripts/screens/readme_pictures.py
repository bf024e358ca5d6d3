"""Draws the README's screens from the running program: one real case a panel.

Run from the repository's root, after `cargo build --release`:

    python scripts/screens/readme_pictures.py

Each panel shows what `medfocus serve --display png:FOLDER` writes for a phantom of
`tests/phantoms`, magnified by a whole number; `docs/screens.png` holds them all.
"""

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PROGRAM = "target/release/medfocus"
TARGET = Path("docs/screens.png")
GAP = 24
GROUND = (120, 126, 130)
PATIENCE = 60.0


@dataclass(frozen=True)
class Shot:
    """One panel: its language, what is asked on the console, and the picture to keep."""

    size: str
    language: str
    lines: tuple[str, ...]
    picture: str
    magnified: int


def case(exam: str, phantom: str) -> tuple[str, str]:
    return f"EXAM {exam}", f'CASE:RUN "tests/phantoms/{phantom}.png"'


SHOTS = (
    Shot("320x240", "en", case("brain4", "brain"), "finding", 2),
    Shot("240x240", "hi", case("lung_tb2", "chest"), "finding", 2),
    Shot("128x64", "sw", case("breast3", "breast"), "finding", 4),
    Shot("250x122", "fr", ('CASE:RUN "tests/phantoms/README.md"',), "refusal", 2),
)


def wait_for(picture: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not picture.exists():
        if time.monotonic() > end:
            raise SystemExit(f"{picture.name} was not written")
        time.sleep(0.05)


def take(shot: Shot) -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        display = f"png:{folder}/shown,size={shot.size}"
        command = [PROGRAM, "serve", "--serial", "-", "--state", f"{folder}/state"]
        command += ["--display", display, "--language", shot.language]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as device:
            if device.stdin is None or device.stdout is None:
                raise SystemExit("no pipes")
            for line in ("SYST:COMM:TALK ON", *shot.lines):
                device.stdin.write(line + "\n")
                device.stdin.flush()
                answer = device.stdout.readline().strip()
                if answer.startswith("ERR"):
                    raise SystemExit(f"{line}: {answer}")
            picture = Path(folder, "shown", f"{shot.picture}.png")
            wait_for(picture)
            # Now: a device that ends leaves no picture of a case.
            with Image.open(picture) as shown:
                size = (shown.width * shot.magnified, shown.height * shot.magnified)
                large = shown.convert("RGB").resize(size, Image.Resampling.NEAREST)
            device.stdin.close()
        return large


def main() -> None:
    pictures = [take(shot) for shot in SHOTS]
    rows = (pictures[:2], pictures[2:])
    width = max(sum(p.width + GAP for p in row) for row in rows) + GAP
    height = sum(max(p.height for p in row) + GAP for row in rows) + GAP
    sheet = Image.new("RGB", (width, height), GROUND)
    top = GAP
    for row in rows:
        tallest = max(picture.height for picture in row)
        left = (width - sum(p.width + GAP for p in row) + GAP) // 2
        for picture in row:
            sheet.paste(picture, (left, top + (tallest - picture.height) // 2))
            left += picture.width + GAP
        top += tallest + GAP
    sheet.save(TARGET, optimize=True)
    print(f"{TARGET}: {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    main()
