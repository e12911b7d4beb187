"""Tables of marks, for spreadsheets: one line a submission, and one a task."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vglib.course.grading.records import score, total

__all__ = ["grades", "tasks"]

_OF_GRADES = ["student", "topic", "status", "score", "points", "changed_by_hand", "handed_in", "why"]
_OF_TASKS = ["student", "topic", "task", "score", "points", "stopped", "message"]
# Where a cell begins: at its beginning, or behind what another spreadsheet takes for a separator.
_FORMULA = re.compile(r"(^|;\s*)(?=[=+\-@])")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


def grades(records: Iterable[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return one line a submission; what was not graded has an empty score, never 0.

    Parameters
    ----------
    records
        As they are stored.
    counts
        What counts, by topic, student and cell: see `Gradebook.scores`.
    """
    rows = []
    for record in records:
        line = {**record, "score": "", "points": "", "changed_by_hand": ""}
        # What was earned stays earned, also when something newer was refused.
        line["why"] = "; ".join(filter(None, [record["reason"], *record["reports"]]))
        if record["status"] == "graded":
            found = counts.get(record["topic"], {}).get(record["student"], {})
            line["score"], line["points"] = map(_number, total(record, found))
            line["changed_by_hand"] = "yes" if any(one["by_hand"] for one in found.values()) else ""
        rows.append(line)
    return _table(_OF_GRADES, rows)


def tasks(records: Iterable[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return one line a task of what was graded; arguments as for `grades`."""
    rows = []
    for record in records:
        found = counts.get(record["topic"], {}).get(record["student"], {})
        for mark in record["marks"]:
            about = {"student": record["student"], "topic": record["topic"], "message": mark["text"]}
            about |= {"score": _number(score(mark, found)), "points": _number(mark["points"])}
            rows.append({**mark, **about})
    return _table(_OF_TASKS, rows)


def _number(value: float) -> str:
    return f"{value:.10g}"


def _table(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _harmless(str(row[name])) for name in columns})
    return file.getvalue()


def _harmless(text: str) -> str:
    """Return text on one line that no spreadsheet takes for a formula, and no terminal obeys."""
    text = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)
