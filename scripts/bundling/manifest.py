"""The parts of `bundle.toml` that every bundle has alike, and its hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from . import focus
from .exams import AGES, CLASSES, EXAMS, SHORT_TITLES, SOURCES, TITLES
from .prompts import text_prompts

FILE = "bundle.toml"


def strings(values: list[str]) -> str:
    """A TOML array."""
    return "[" + ", ".join(f'"{v}"' for v in values) + "]"


def focus_table(style: str) -> list[str]:
    """The lines of `[focus]`."""
    tint = ", ".join(str(v) for v in focus.TINT)
    return [
        "[focus]",
        f'style = "{style}"',
        f"crop_margin = {focus.CROP_MARGIN}",
        f"crop_minimum = {focus.CROP_MINIMUM}",
        f"tint = [{tint}]",
        f"tint_alpha = {focus.TINT_ALPHA}",
        f"blur_sigma = {focus.BLUR_SIGMA}",
    ]


def ages(task: str) -> list[str]:
    """The lines of an exam that say whom it is for; none where it is for everybody."""
    if task not in AGES:
        return []
    youngest, oldest = AGES[task]
    return [f"ages = [{youngest}, {oldest}]", 'age_unsaid = "note"']


def exam_tables(
    extra: dict[str, list[str]] | None = None, exams: Collection[str] = tuple(EXAMS)
) -> list[str]:
    """The lines of every `[[exams]]`; `extra` has more of them by exam."""
    lines = []
    for task in exams:
        labels = EXAMS[task]
        modalities, parts = SOURCES[task]
        lines += [
            "",
            "[[exams]]",
            f'name = "{task}"',
            f'title = "{TITLES[task]}"',
            f'short_title = "{SHORT_TITLES[task]}"',
            f"modalities = {strings(modalities)}",
            f"body_parts = {strings(parts)}",
            *ages(task),
            f'head = "heads/{task}.safetensors"',
            "review_below = 0.6",
            *(extra or {}).get(task, []),
        ]
        for label in labels:
            title, level = CLASSES[label]
            lines += [
                "",
                "[[exams.classes]]",
                f'name = "{label}"',
                f'label = "{title}"',
                f'triage_level = "{level}"',
                "text_prompts = [",
                *(f'  "{text}",' for text in text_prompts(task, label)),
                "]",
            ]
    return lines


def reseal(bundle: Path) -> None:
    """Writes the hashes again after files of the bundle changed; all else stays."""
    lines = (bundle / FILE).read_text().splitlines()
    write(bundle, lines[: lines.index("[files]") - 1])


def write(bundle: Path, lines: list[str]) -> None:
    """Writes the manifest with the hash of every file that the bundle holds now."""
    names = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != FILE)
    hashes = {
        p.relative_to(bundle).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in names
    }
    files = ["", "[files]", *(f'"{name}" = "{digest}"' for name, digest in hashes.items())]
    (bundle / FILE).write_text("\n".join(lines + files) + "\n")
