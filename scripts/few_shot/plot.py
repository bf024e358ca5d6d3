"""A plot like the paper's Figure 2 as a small SVG: accuracy by per cent of the training
images, a line a method. Drawn by hand, so that the same figures give the same file."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 560, 340, 48, 32, 168, 40
COLOURS = (
    "#1b6ca8", "#d1495b", "#2e8b57", "#c77d0a", "#6a4c93", "#008c95", "#8a5a44", "#5b5b5b",
)  # fmt: skip


@dataclass
class Line:
    """Points of per cent trained on and per cent right."""

    name: str
    points: list[tuple[float, float]]
    dashed: bool = False
    dotted: bool = False

    @property
    def dash(self) -> str:
        if self.dotted:
            return ' stroke-dasharray="1.5 4" stroke-linecap="round"'
        return ' stroke-dasharray="7 4"' if self.dashed else ""


def across(fraction: float) -> float:
    """Where a share lies: logarithmic from 5 to 100 %."""
    low, high = log10(5), log10(100)
    width = WIDTH - LEFT - RIGHT
    return round(LEFT + width * (log10(max(fraction, 1)) - low) / (high - low), 1)


def accuracy_plot(title: str, lines: list[Line]) -> str:
    """The whole picture."""
    values = [y for line in lines for _, y in line.points]
    bottom = max(10 * int(min(values) // 10), 0)
    top = 100

    def up(value: float) -> float:
        return round(
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom), 1
        )

    right = WIDTH - RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="13" font-weight="bold">{escape(title)}: '
        "accuracy in %</text>",
    ]
    for value in range(bottom, top + 1, 10):
        y = up(value)
        parts.append(f'<path d="M{LEFT} {y}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value}</text>')
    for fraction in (5, 10, 20, 50, 100):
        x, y = across(fraction), HEIGHT - BOTTOM + 16
        parts.append(f'<text x="{x}" y="{y}" text-anchor="middle">{fraction}</text>')
    x, y = (LEFT + right) / 2, HEIGHT - 8
    parts.append(f'<text x="{x}" y="{y}" text-anchor="middle">% of the training images</text>')
    for number, line in enumerate(lines):
        colour = "#222" if line.dotted else COLOURS[number % len(COLOURS)]
        stroke = f'stroke="{colour}" stroke-width="1.8"{line.dash} fill="none"'
        path = "L".join(f"{across(x)} {up(y)}" for x, y in sorted(line.points))
        parts.append(f'<path d="M{path}" {stroke}/>')
        y = TOP + 10 + 20 * number
        parts.append(f'<path d="M{right + 10} {y}h24" {stroke}/>')
        parts.append(f'<text x="{right + 40}" y="{y + 4}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
