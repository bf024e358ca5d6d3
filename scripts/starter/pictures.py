"""Pictures that hold more, or other, than one whole film, made from single films.

In goes a square grey film, others of its kind and a seeded draw; out comes one picture. The
three tables are by what a device should make of it: `SAME` is answered as the bare film (or
refused), `SEVERAL` and `PARTIAL` are refused. Films are never changed beyond what a layout is
about; greys, widths, gutters, sizes and compression are drawn anew for every picture.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageOps

Film = Image.Image
Make = Callable[[Film, list[Film], Random], Film]
SIDE = 512
"""Pixels a side of a bare film, as a device meets it."""


def read(path: str) -> Film:
    with Image.open(path) as image:
        return image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def compressed(picture: Film, draw: Random) -> Film:
    """Through JPEG and back."""
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=draw.randint(55, 95))
    return Image.open(held).convert("L")


def sometimes_compressed(picture: Film, draw: Random) -> Film:
    return compressed(picture, draw) if draw.random() < 0.3 else picture


def grey(draw: Random) -> int:
    """A ground: black in half of the pictures, nearly black or white in most others."""
    return (
        draw.choice([0, 0, 0, 0, draw.randrange(24), 255, 255 - draw.randrange(24)])
        if (draw.random() < 0.8)
        else draw.randrange(256)
    )


def noisy(picture: Film, draw: Random, level: float) -> Film:
    noise = np.random.default_rng(draw.randrange(2**32)).normal(0, level, picture.size[::-1])
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def bordered(film: Film, widths: tuple[int, int, int, int], ground: int) -> Film:
    """With `(left, top, right, bottom)` pixels of one grey around it."""
    return ImageOps.expand(film, widths, fill=ground)


def share(film: Film, part: float) -> int:
    return round(part * min(film.size))


def side_bars(film: Film, _: list[Film], draw: Random) -> Film:
    width = share(film, draw.uniform(0.05, 0.6))
    return sometimes_compressed(bordered(film, (width, 0, width, 0), grey(draw)), draw)


def letterbox(film: Film, _: list[Film], draw: Random) -> Film:
    height = share(film, draw.uniform(0.05, 0.5))
    return sometimes_compressed(bordered(film, (0, height, 0, height), grey(draw)), draw)


def border(film: Film, _: list[Film], draw: Random) -> Film:
    width = share(film, draw.uniform(0.02, 0.35))
    return sometimes_compressed(bordered(film, (width,) * 4, grey(draw)), draw)


def uneven_border(film: Film, _: list[Film], draw: Random) -> Film:
    widths = tuple(share(film, max(0.0, draw.uniform(-0.1, 0.5))) for _ in range(4))
    return sometimes_compressed(bordered(film, widths, grey(draw)), draw)


def noisy_border(film: Film, _: list[Film], draw: Random) -> Film:
    width = share(film, draw.uniform(0.05, 0.3))
    level = draw.uniform(0.5, 3)
    return noisy(bordered(film, (width,) * 4, draw.randrange(256)), draw, level)


def border_in_border(film: Film, _: list[Film], draw: Random) -> Film:
    for _ in range(draw.choice([2, 2, 3])):
        film = bordered(film, (share(film, draw.uniform(0.02, 0.12)),) * 4, draw.randrange(256))
    return film


def scaled_border(film: Film, others: list[Film], draw: Random) -> Film:
    picture = border(film, others, draw)
    side = draw.uniform(0.4, 1.6)
    size = tuple(round(side * length) for length in picture.size)
    return picture.resize(size, draw.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]))


def words(picture: Film, at: tuple[int, int], draw: Random, size: int = 0) -> None:
    text = draw.choice(
        ["L", "R", "L   12345   2026-01-02 03:04", "AP PORTABLE 71 kV", "SE: 3 IM: 12"]
    )
    pen, size = ImageDraw.Draw(picture), size or draw.randint(10, 22)
    ground = picture.getpixel((min(at[0], picture.width - 1), min(at[1], picture.height - 1)))
    pen.text(at, text, fill=0 if ground > 128 else 255, font_size=size)


def words_in_border(film: Film, _: list[Film], draw: Random) -> Film:
    width = share(film, draw.uniform(0.12, 0.3))
    ground = draw.choice([0, 0, 0, 255, 90])
    picture = bordered(film, (width,) * 4, ground)
    for _ in range(draw.randint(1, 4)):
        line = draw.choice([8, width // 3, picture.height - width // 2])
        words(picture, (draw.randint(4, picture.width // 2), line), draw, draw.randint(10, 14))
    return picture


def marker(film: Film, _: list[Film], draw: Random) -> Film:
    picture = film.copy()
    words(picture, (draw.randint(8, SIDE // 2), draw.choice([12, 16, SIDE - 30])), draw)
    return picture


def shape(film: Film, _: list[Film], draw: Random) -> Film:
    """In the proportions that units make films of."""
    width, height = draw.choice([(4, 5), (5, 6), (5, 4), (6, 5), (4, 3), (3, 4)])
    return film.resize((SIDE * width // 5, SIDE * height // 5), Image.Resampling.BICUBIC)


def trimmed(film: Film, _: list[Film], draw: Random) -> Film:
    """A little cut off, as collimated: still the whole film."""
    cut = [round(draw.uniform(0, 0.05) * SIDE) for _ in range(4)]
    return film.crop((cut[0], cut[1], SIDE - cut[2], SIDE - cut[3]))


def windowed(film: Film, _: list[Film], draw: Random) -> Film:
    """Other brightness and contrast."""
    values = np.asarray(film, np.float32) / 255
    values = values ** draw.uniform(0.75, 1.35) * draw.uniform(0.85, 1.15)
    return Image.fromarray((255 * values).clip(0, 255).astype(np.uint8))


SAME: dict[str, Make] = {
    "bare": lambda film, _others, _draw: film,
    "side_bars": side_bars,
    "letterbox": letterbox,
    "border": border,
    "uneven_border": uneven_border,
    "noisy_border": noisy_border,
    "border_in_border": border_in_border,
    "scaled_border": scaled_border,
    "words_in_border": words_in_border,
    "marker": marker,
    "shape": shape,
    "trimmed": trimmed,
    "windowed": windowed,
}


def grid(columns: int, rows: int, size: tuple[int, int]) -> Make:
    """Films in columns and rows, each of about the same size, with or without gutters."""

    def make(film: Film, others: list[Film], draw: Random) -> Film:
        count = columns * rows
        films = [film, *draw.choices(others, k=count - 1)]
        if draw.random() < 0.1:
            films = [film] * count
        draw.shuffle(films)
        side = draw.randint(*size)
        gutter = draw.choice([0, 0, draw.randint(1, 40)]) * side // SIDE + draw.choice([0, 0, 2])
        unequal = draw.choice([0, 0, 0.1, 0.3])
        widths = [round(side * draw.uniform(1 - unequal, 1 + unequal)) for _ in range(columns)]
        heights = [round(side * draw.uniform(1 - unequal, 1 + unequal)) for _ in range(rows)]
        full = sum(widths) + gutter * (columns - 1), sum(heights) + gutter * (rows - 1)
        picture = Image.new("L", full, grey(draw))
        y = 0
        for row, height in enumerate(heights):
            x = 0
            for column, width in enumerate(widths):
                one = films[row * columns + column]
                # Shorter films of one row stand in the middle of the ground.
                low = round(height * draw.choice([1, 1, 1, draw.uniform(0.7, 1)]))
                one = one.resize((width, low), Image.Resampling.BICUBIC)
                picture.paste(one, (x, y + (height - low) // 2))
                x += width + gutter
            y += height + gutter
        if draw.random() < 0.25:
            edge = draw.randint(1, side // 4)
            picture = bordered(picture, (edge,) * 4, grey(draw))
        if draw.random() < 0.25:
            picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return sometimes_compressed(picture, draw)

    return make


SEVERAL: dict[str, Make] = {
    "side_by_side": grid(2, 1, (256, 512)),
    "stacked": grid(1, 2, (256, 512)),
    "three": grid(3, 1, (192, 384)),
    "three_stacked": grid(1, 3, (192, 384)),
    "four": grid(2, 2, (192, 512)),
    "six": grid(3, 2, (160, 320)),
    "nine": grid(3, 3, (128, 256)),
    "sheet": grid(4, 5, (96, 160)),
}


def part(left: float, top: float, right: float, bottom: float) -> Make:
    """What is left inside these shares of the film, in its own shape or stretched."""

    def make(film: Film, _: list[Film], draw: Random) -> Film:
        box = [round(SIDE * at) for at in (left, top, right, bottom)]
        jitter = [round(SIDE * draw.uniform(-0.04, 0.04)) * (0 < at < SIDE) for at in box]
        picture = film.crop(tuple(at + by for at, by in zip(box, jitter, strict=True)))
        if draw.random() < 0.5:
            picture = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return sometimes_compressed(picture, draw)

    return make


PARTIAL: dict[str, Make] = {
    "left_half": part(0, 0, 0.5, 1),
    "right_half": part(0.5, 0, 1, 1),
    "top_half": part(0, 0, 1, 0.5),
    "bottom_half": part(0, 0.5, 1, 1),
    "left_part": part(0, 0, 0.6, 1),
    "right_part": part(0.4, 0, 1, 1),
    "top_part": part(0, 0, 1, 0.6),
    "bottom_part": part(0, 0.4, 1, 1),
    "quarter": part(0, 0, 0.5, 0.5),
    "other_quarter": part(0.5, 0.5, 1, 1),
}
