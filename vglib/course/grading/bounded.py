"""A submission graded, and what came of it cut to what anybody would read.

What a learner's code prints, and what the checks say about it, may be long; a whole folder of that would not
fit into the memory of the process that writes it down.
"""

from __future__ import annotations

from dataclasses import replace

from vglib.course.grading.grade import Job, Result, grade

__all__ = ["cut", "graded"]

_PRINTED, _ALL_PRINTED, _TEXT, _REPORT, _REPORTS = 20_000, 400_000, 4_000, 400, 40


def graded(job: Job) -> Result:
    """Grade a submission; arguments and errors as for `grade`."""
    result = grade(job)
    printed, left = {}, _ALL_PRINTED
    for number, text in result.printed.items():
        printed[number] = cut(text, min(_PRINTED, left))
        left -= len(printed[number])
    reports = [cut(text, _REPORT) for text in result.reports[:_REPORTS]]
    if len(result.reports) > _REPORTS:
        reports.append(f"and {len(result.reports) - _REPORTS} more like these")
    return Result([replace(mark, text=cut(mark.text, _TEXT)) for mark in result.marks], printed, reports)


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, and how long it was."""
    return text if len(text) <= most else f"{text[: max(most, 0)]}… ({len(text):,} characters in all)"
