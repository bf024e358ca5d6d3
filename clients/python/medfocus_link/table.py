"""Answers as a table of pandas (`pip install medfocus-link[pandas]`): one row for each, whatever
came of it. A refusal is a row with a code, so that no count of findings hides it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .messages import Aborted, Answer, Finding, Refusal

if TYPE_CHECKING:
    import pandas

#: Every table has these columns, then one `p_CLASS` for each class of its findings.
COLUMNS = [
    "case",
    "name",
    "status",
    "exam",
    "answer",
    "level",
    "p",
    "area_fraction",
    "x",
    "y",
    "width",
    "height",
    "notes",
    "code",
    "cure",
    "intended_use",
]


def row(answer: Answer, name: str | None) -> dict[str, Any]:
    """One answer; `name` is what the caller calls its image."""
    found: dict[str, Any] = {"case": answer.case, "name": name}
    match answer:
        case Finding():
            x, y, width, height = answer.region
            found |= {
                "status": "finding",
                "exam": answer.exam,
                "answer": answer.answer,
                "level": answer.level,
                "p": answer.probabilities.get(answer.answer),
                "area_fraction": answer.area_fraction,
                "x": x,
                "y": y,
                "width": width,
                "height": height,
                "notes": ",".join(answer.notes),
                "intended_use": answer.intended_use,
            }
            found |= {f"p_{name}": p for name, p in answer.probabilities.items()}
        case Refusal():
            found |= {
                "status": "refusal",
                "code": answer.code,
                "cure": answer.cure,
                "intended_use": answer.intended_use,
            }
        case Aborted():
            found |= {"status": "aborted"}
    return found


def table(answers: Iterable[Answer | tuple[str, Answer]]) -> "pandas.DataFrame":
    """A table of answers, or of pairs of what an image is called and its answer."""
    import pandas

    pairs = (answer if isinstance(answer, tuple) else (None, answer) for answer in answers)
    rows = [row(answer, name) for name, answer in pairs]
    classes = sorted({key for found in rows for key in found} - set(COLUMNS))
    return pandas.DataFrame(rows, columns=COLUMNS + classes)
