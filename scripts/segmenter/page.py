"""The figures as tables, put into the page between its two marks."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- `python -m segmenter figures` writes from here -->"
END = "<!-- to here -->"
Figures = dict[str, dict]
NONE = "-"

WAYS = {
    "filled": "the true box, filled",
    "box": "the true box",
    "off": "the box, each side off by up to a tenth",
    "point": "one point, the deepest inside",
    "random": "one point, anywhere inside",
    "three": "that and two points more",
    "whole": "without any prompt",
    "organs": "without any prompt, best of three",
    "mask": "without any prompt, its answer given back",
}
WHAT = {
    "breast lesion": "breast lesions",
    "brain lesion": "brain tumours",
    "chest lungs": "lungs",
    "chest rough": "tuberculosis, outlined roughly",
    "chest box": "tuberculosis and other findings, boxes",
    "brain box": "gliomas, boxes",
    "photo_of_monitor box": "thyroid nodules on a monitor, boxes",
}


def spelt(figure: list[float]) -> str:
    """`0.712 (0.650 to 0.760)`."""
    value, low, high = figure
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def of(figures: Figures, name: str, what: str) -> str:
    cell = figures["by_exam"].get(name)
    return NONE if cell is None else spelt(cell[what])


def outlined(stage: Figures, shipped: Figures) -> list[str]:
    """Overlap with what people outlined, by way of asking."""
    lines = ["| object | asked by | Dice, this stage | shipped | IoU, this stage | shipped |"]
    lines.append("|---|---|---|---|---|---|")
    for what, title in WHAT.items():
        if what.endswith("box"):
            continue
        some = stage["by_exam"].get(f"{what} box")
        count = "" if some is None else f" ({some['images']} in {some['groups']} groups)"
        for way, said in WAYS.items():
            name = f"{what} {way}"
            if name in stage["by_exam"]:
                cells = [of(f, name, m) for m in ("dice", "iou") for f in (stage, shipped)]
                lines.append(f"| {title}{count} | {said} | " + " | ".join(cells) + " |")
                title, count = "", ""
    return lines


def pointing(stage: Figures, shipped: Figures) -> list[str]:
    """Without any prompt: whether the surest place lies on what is to be found."""
    lines = [
        "| without any prompt | images | pointing hit, this stage | shipped "
        "| covered, this stage | shipped |",
        "|---|---|---|---|---|---|",
    ]
    for what, title in WHAT.items():
        name = f"{what} whole"
        if what != "chest lungs" and name in stage["by_exam"]:
            cells = [of(f, name, m) for m in ("hit", "covered") for f in (stage, shipped)]
            count = stage["by_exam"][name]["images"]
            lines.append(f"| {title} | {count} | " + " | ".join(cells) + " |")
    return lines


def said(stage: Figures, shipped: Figures) -> list[str]:
    """What predicted IoU and object score are worth."""
    lines = [
        "| predicted against true IoU | answers | rank correlation, this stage | shipped "
        "| mean error, this stage | shipped |",
        "|---|---|---|---|---|---|",
    ]
    for name, mine in stage["correlation"].items():
        theirs = shipped["correlation"].get(name)
        other = (NONE, NONE) if theirs is None else (spelt(theirs["rank"]), f"{theirs['off']:.2f}")
        lines.append(
            f"| {name} | {mine['answers']} | {spelt(mine['rank'])} | {other[0]} "
            f"| {mine['off']:.2f} | {other[1]} |"
        )
    lines += [
        "",
        "| object score: a finding or none | findings | none | area, this stage | shipped |",
        "|---|---|---|---|---|",
    ]
    for kind, (area, some, none) in stage["existence"].items():
        theirs = shipped["existence"][kind][0]
        lines.append(f"| {kind} | {some} | {none} | {area:.2f} | {theirs:.2f} |")
    return lines


def sources(stage: Figures, shipped: Figures) -> list[str]:
    """By source, the three ways that the goals speak of."""
    lines = [
        "| source | images | Dice, true box: this stage | shipped | one point: this stage "
        "| shipped | IoU without any prompt: this stage | shipped | hit: this stage | shipped |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    names = {name.rsplit(" ", 1)[0] for name in stage["by_source"]}
    for name in sorted(names):
        cells = []
        for way, what in (("box", "dice"), ("point", "dice"), ("whole", "iou"), ("whole", "hit")):
            for figures in (stage, shipped):
                cell = figures["by_source"].get(f"{name} {way}")
                cells.append(NONE if cell is None else f"{cell[what][0]:.2f}")
        kind, what, source = name.split(" ", 2)
        count = stage["by_source"][f"{name} whole"]["images"]
        title = f"{source}: {WHAT[f'{kind} {what}']}"
        lines.append(f"| {title} | {count} | " + " | ".join(cells) + " |")
    return lines


def tables(record: dict) -> str:
    """What stands between the marks."""
    parts = [make(record["stage"], record["shipped"]) for make in (outlined, pointing, said)]
    parts.append(sources(record["stage"], record["shipped"]))
    return "\n\n".join("\n".join(lines) for lines in parts)


def write(page: Path, record: dict) -> None:
    """Renews the page's tables; a page without the marks is refused."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page}: has no place for the tables, `{BEGIN}` and `{END}`")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{tables(record)}\n{END}{after}")
