"""Tables of marks, for spreadsheets: one line a submission, and one a task."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["grades", "tasks"]

_OF_GRADES = ["student", "topic", "status", "score", "points", "changed_by_hand", "handed_in", "why"]
_OF_TASKS = ["student", "topic", "task", "score", "points", "stopped", "message"]


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
        line = {**record, "why": record["reason"], "score": "", "points": "", "changed_by_hand": ""}
        if record["status"] == "graded":
            found = counts.get(record["topic"], {}).get(record["student"], {})
            line["score"] = f"{sum(_score(mark, found) for mark in record['marks']):g}"
            line["points"] = f"{sum(mark['points'] for mark in record['marks']):g}"
            line["changed_by_hand"] = (
                "yes" if any(one["manual"] is not None for one in found.values()) else ""
            )
            line["why"] = "; ".join(record["reports"])
        rows.append(line)
    return _table(_OF_GRADES, rows)


def tasks(records: Iterable[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return one line a task of what was graded; arguments as for `grades`."""
    rows = []
    for record in records:
        found = counts.get(record["topic"], {}).get(record["student"], {})
        for mark in record["marks"]:
            about = {"student": record["student"], "topic": record["topic"], "message": mark["text"]}
            rows.append(
                {**mark, **about, "score": f"{_score(mark, found):g}", "points": f"{mark['points']:g}"}
            )
    return _table(_OF_TASKS, rows)


def _score(mark: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    return found.get(f"{mark['task']}-check", mark)["score"]


def _table(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _harmless(str(row[name])) for name in columns})
    return file.getvalue()


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, on one line."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
