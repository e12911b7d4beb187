"""What a submission earned, as it is stored: a JSON file, from which a gradebook can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError
from vglib.course.grading.grade import Result
from vglib.version import __version__

__all__ = ["dump", "make", "read", "score", "total"]

SCHEMA = 1
_TEXTS = ("student", "topic", "file", "digest", "handed_in", "status", "reason", "version")
_OF_MARK = {"task": str, "text": str, "stopped": str, "score": (int, float), "points": (int, float)}


def make(
    student: str,
    topic: str,
    file: str,
    *,
    digest: str = "",
    handed_in: str = "",
    reason: str = "",
    result: Result | None = None,
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """Return a record: of what was graded if there is a result, else of what was refused.

    Parameters
    ----------
    student, topic, file
        Whose it is, and the file's name within the folder of submissions.
    digest
        Of all that the marks depend on.
    handed_in
        The time, in UTC, as ISO 8601 writes it.
    reason
        Why it was refused, or why something else that was handed in was.
    result
        What it earned.
    notes
        What was put right on the way in.
    """
    return {
        "schema": SCHEMA,
        "student": student,
        "topic": topic,
        "file": file,
        "digest": digest,
        "handed_in": handed_in,
        "status": "graded" if result else "refused",
        "reason": reason,
        "marks": [asdict(mark) for mark in result.marks] if result else [],
        "reports": list(result.reports) if result else [],
        "notes": list(notes),
        "version": __version__,
    }


def dump(record: Mapping[str, Any]) -> str:
    """Return a record as a file holds it."""
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> dict[str, Any]:
    """Return a record from its file.

    Raises
    ------
    CannotRunError
        It is damaged, or somebody else's.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        whole = _is_record(record) and (record["topic"], record["student"]) == (path.parent.name, path.stem)
    except (ValueError, RecursionError):
        whole = False
    except OSError as error:
        raise CannotRunError(f"{path} cannot be read: {error.strerror}") from None
    if not whole:
        raise CannotRunError(f"{path} is damaged; delete it to grade that submission again")
    return record


def _is_record(record: object) -> bool:
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return False
    if not all(isinstance(record.get(name), str) for name in _TEXTS):
        return False
    if record["status"] not in ("graded", "refused"):
        return False
    lists = [record.get(name) for name in ("marks", "reports", "notes")]
    if not all(isinstance(one, list) for one in lists):
        return False
    return all(isinstance(text, str) for text in lists[1] + lists[2]) and all(
        isinstance(mark, dict)
        and all(
            isinstance(mark.get(name), kind) and not isinstance(mark[name], bool)
            for name, kind in _OF_MARK.items()
        )
        for mark in lists[0]
    )


def score(mark: Mapping[str, Any], counts: Mapping[str, Any]) -> float:
    """Return what counts for a task: the gradebook's score, where an instructor may have changed it.

    Parameters
    ----------
    mark
        Of a record.
    counts
        Of the same submission, by cell: see `Gradebook.scores`.
    """
    return counts.get(f"{mark['task']}-check", mark)["score"]


def total(record: Mapping[str, Any], counts: Mapping[str, Any]) -> tuple[float, float]:
    """Return the score that counts and the points of a whole submission; arguments as for `score`."""
    marks = record["marks"]
    return sum(score(mark, counts) for mark in marks), sum(mark["points"] for mark in marks)
