"""Draws the Hindi words of the screens, one picture a word and face.

Run from the repository's root after a change of `words.rs`, `names.rs` or `warnings.rs` in
`firmware-host/src/screens`:

    python scripts/screens/devanagari.py FOLDER

FOLDER holds `NotoSansDevanagari-Regular.ttf` and `-Bold.ttf` (Debian: fonts-noto-core,
`/usr/share/fonts/truetype/noto`). Pillow must be built with Raqm, as its wheels are. The
form of the files is described in `firmware-host/src/screens/devanagari.rs`.
"""

import re
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SCREENS = Path("firmware-host/src/screens")
SOURCES = ("words.rs", "names.rs", "warnings.rs")

# Pixels of an em such that the headline is as high as the Latin capitals of the face.
FACES = {
    "tiny": ("Regular", 12),
    "tiny_bold": ("Bold", 12),
    "small": ("Regular", 15),
    "body": ("Regular", 18),
    "body_bold": ("Bold", 18),
    "strong": ("Bold", 20),
    "large": ("Bold", 27),
    "huge": ("Bold", 36),
}


def words() -> list[str]:
    source = "".join((SCREENS / name).read_text(encoding="utf-8") for name in SOURCES)
    return sorted(set(re.findall("[\u0900-\u097f]+", source)), key=str.encode)


def entry(word: str, font: ImageFont.FreeTypeFont) -> bytes:
    advance = round(font.getlength(word, language="hi"))
    margin = font.size
    picture = Image.new("1", (advance + 2 * int(margin), 4 * int(margin)))
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"  # whole pixels: the panels know no grey
    baseline = (int(margin), 2 * int(margin))
    draw.text(baseline, word, font=font, fill=1, anchor="ls", language="hi")
    box = picture.getbbox()
    if box is None:
        raise SystemExit(f"{word}: nothing was drawn")
    ink = picture.crop(box)
    left, rise = box[0] - baseline[0], baseline[1] - box[1]
    # Ink that stands out at the end would be cut by the end of an area.
    advance = max(advance, left + ink.width)
    name = word.encode()
    head = bytes([len(name), *name, advance, left & 0xFF, rise & 0xFF, *ink.size])
    return head + ink.tobytes()


def main() -> None:
    fonts = Path(sys.argv[1])
    target = SCREENS / "devanagari"
    target.mkdir(exist_ok=True)
    for face, (weight, size) in FACES.items():
        file = fonts / f"NotoSansDevanagari-{weight}.ttf"
        font = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.RAQM)
        drawn = b"".join(entry(word, font) for word in words())
        (target / f"{face}.bin").write_bytes(drawn)
        print(f"{face}: {len(words())} words, {len(drawn)} bytes")


if __name__ == "__main__":
    main()
