"""The figures as tables, put into the page between its two marks."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- `python -m encoder figures` writes from here -->"
END = "<!-- to here -->"
EXAMS = ("covid3", "lung_tb2", "brain4", "breast3")
Figures = dict[str, dict]


def share(pair: list[int]) -> str:
    """`12 of 40 (30 %)`."""
    some, whole = pair
    return f"{some} of {whole} ({100 * some / whole:.0f} %)" if whole else "none"


def score(pair: list) -> str:
    return "not to be judged" if pair[0] is None else f"{pair[0]:.3f} of {pair[1]}"


def overview(student: Figures, shipped: Figures) -> list[str]:
    """Exam by exam: balanced accuracy and what a shift changes."""
    lines = [
        "| exam | left-out sources: student | shipped | held back, all: student "
        "| held back by both splits: student | shipped | one-pixel shift: student | shipped |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for exam in EXAMS:
        a, b = student[exam], shipped[exam]
        lines.append(
            f"| {exam} | {score(a['foreign'])} | {score(b['foreign'])} | {score(a['held'])} "
            f"| {score(a['held_before'])} | {score(b['held_before'])} "
            f"| {a['shift']['95th']:.3f} | {b['shift']['95th']:.3f} |"
        )
    return lines


def questions(student: Figures, shipped: Figures) -> list[str]:
    """The goals that are no balanced accuracy."""
    rows: list[tuple[str, str, str]] = []

    def row(what: str, of: object) -> None:
        rows.append((what, of(student), of(shipped)))  # type: ignore[operator]

    def of_all(part: str, some: str, whole: str) -> object:
        return lambda f: share([f[part][some], f[part][whole]])

    covid = "foreign films without COVID-19 called so"
    row(covid, of_all("covid_elsewhere", "called", "films"))
    row(f"{covid}, unrefused", of_all("covid_elsewhere", "called_unrefused", "films"))
    row(f"{covid} at 0.9 and more", of_all("covid_elsewhere", "called_sure", "films"))
    for part, where in (("tumour_elsewhere", "foreign"), ("tumour_held", "held back")):
        for key, name in (
            ("area", "area under the curve"),
            ("sensitivity_at_0.8", "sensitivity at specificity 0.8"),
            ("sensitivity", "sensitivity as answered"),
            ("specificity", "specificity as answered"),
        ):
            row(f"tumour against none, {where}: {name}", lambda f, p=part, k=key: f"{f[p][k]:.3f}")
    row(
        "foreign tumours called none at 0.9 and more, unrefused",
        of_all("tumour_elsewhere", "none_sure_and_wrong", "tumours"),
    )
    row(
        "foreign breast lesions called normal",
        of_all("lesions_elsewhere", "called_normal", "lesions"),
    )
    row("the same, unrefused", of_all("lesions_elsewhere", "called_normal_unrefused", "lesions"))
    return [
        "| | student | shipped |",
        "|---|---|---|",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
    ]


def sources(figures: Figures) -> list[str]:
    """Every source by itself."""
    lines = [
        "| exam | source | | right, by class | refused by the guard |",
        "|---|---|---|---|---|",
    ]
    for exam in EXAMS:
        for part, name in (("foreign_by_source", "**left out**"), ("held_by_source", "held back")):
            for of in figures[exam][part]:
                right = ", ".join(f"{c} {a} of {n}" for c, (a, n) in of["right"].items())
                lines.append(
                    f"| {exam} | {of['source']} | {name} | {right} | {share(of['refused'])} |"
                )
    return lines


def guards(student: Figures, shipped: Figures) -> list[str]:
    """Other kinds refused by the guard alone, all kinds together and the worst."""
    lines = ["| exam | other kinds | student | worst kind | shipped |", "|---|---|---|---|---|"]
    for exam in EXAMS:
        for part, name in (
            ("other_kinds_left_out", "left out of training"),
            ("other_kinds_held", "held back"),
        ):
            mine, theirs = student[exam][part], shipped[exam][part]
            enough = {kind: pair for kind, pair in mine.items() if pair[1] >= 20} or mine
            worst = min(enough, key=lambda kind: enough[kind][0] / enough[kind][1])
            lines.append(
                f"| {exam} | {name} | {share(added(mine))} | {worst}: {share(enough[worst])} "
                f"| {share(added(theirs))} |"
            )
    return lines


def added(pairs: dict[str, list[int]]) -> list[int]:
    return [sum(pair[n] for pair in pairs.values()) for n in (0, 1)]


def of_teacher(teacher: Figures) -> list[str]:
    """What the student could come to."""
    lines = ["| exam | left-out sources, teacher | held back, all |", "|---|---|---|"]
    for exam in EXAMS:
        of = teacher[exam]
        lines.append(f"| {exam} | {score(of['foreign'])} | {score(of['held'])} |")
    area = teacher["tumour_elsewhere"]["area"]
    lines += ["", f"Tumour against none, foreign, area under the curve: {area:.3f}."]
    return lines


def tables(record: dict) -> str:
    """What stands between the marks."""
    student, shipped = record["student"], record["shipped"]
    parts = [
        overview(student, shipped),
        questions(student, shipped),
        guards(student, shipped),
        sources(student),
    ]
    if "teacher" in record:
        parts.insert(2, of_teacher(record["teacher"]))
    return "\n\n".join("\n".join(lines) for lines in parts)


def write(page: Path, record: dict) -> None:
    """Renews the page's tables; a page without the marks is refused."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page}: has no place for the tables, `{BEGIN}` and `{END}`")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{tables(record)}\n{END}{after}")
