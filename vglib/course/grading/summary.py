"""What an instructor reads while a folder is graded, and at the end of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vglib.course.grading.collect import Found, printable
from vglib.course.grading.grade import Result
from vglib.course.grading.records import total

__all__ = ["line", "refusal", "table"]


def line(one: Found, result: Result) -> str:
    """Return the line of a submission that was graded."""
    score, points = (sum(getattr(mark, name) for mark in result.marks) for name in ("score", "points"))
    text = f"{one.student:<24} {one.topic:<16} {score:>5g} of {points:g}"
    # What was stopped may tell of a learner's own words; a terminal is not to obey them.
    return f"{text}   {'; '.join(map(_plain, result.reports))}" if result.reports else text


def refusal(one: Found, why: str) -> str:
    """Return the line of a submission that was not graded."""
    return f"{one.student:<24} {one.topic or '–':<16} not graded: {one.file}: {_plain(why)}"


def table(records: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return a table: students down, topics across; what was not graded is no number.

    Parameters
    ----------
    records
        As they are stored.
    counts
        What counts, by topic, student and cell: see `Gradebook.scores`.
    """
    if not records:
        return "There are no submissions."
    topics = sorted({record["topic"] for record in records})
    cells: dict[str, dict[str, str]] = {}
    for record in records:
        text = "not graded"
        if record["status"] == "graded":
            score, points = total(record, counts.get(record["topic"], {}).get(record["student"], {}))
            text = f"{score:g}/{points:g}"
        cells.setdefault(record["student"], {})[record["topic"]] = text
    head = ["student", *topics]
    rows = [[student, *(row.get(topic, "–") for topic in topics)] for student, row in sorted(cells.items())]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            f"{text:<{wide}}" if i == 0 else f"{text:>{wide}}"
            for i, (text, wide) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    )


def _plain(text: str) -> str:
    return printable(" ".join(text.split()))
