"""Pages for the learners: those that are missing or out of date are made anew, many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from vglib.course.fan_out import Workers, fan_out
from vglib.course.grading import pages
from vglib.course.grading.folder import Folder, write
from vglib.course.grading.parts import parts

__all__ = ["make"]


def make(
    folder: Folder, workers: Workers, records: Sequence[Mapping[str, Any]], counts: Any, comments: Any
) -> list[str]:
    """Make the pages of all that is graded; return a line for each that could not be made.

    Parameters
    ----------
    folder, workers
        Where the notebooks lie, and who works.
    records
        As they are stored.
    counts, comments
        What counts and what an instructor said, by topic, student and cell.
    """
    from tqdm import tqdm

    failed = []
    with tqdm(desc="feedback", total=len(records), unit="page", disable=None) as bar:
        for tasks in parts(_tasks(folder, records, counts, comments, bar)):
            with closing(fan_out(dict(tasks), workers)) as outcomes:
                for outcome in outcomes:
                    bar.update()
                    if outcome.error is None:
                        write(Path(outcome.key), outcome.value)
                    else:
                        failed.append(f"{outcome.key}: {type(outcome.error).__name__}: {outcome.error}")
    return failed


def _tasks(
    folder: Folder, records: Sequence[Mapping[str, Any]], counts: Any, comments: Any, bar: Any
) -> Iterator[tuple[tuple[str, Any], int]]:
    """Yield tasks that make pages, each with its key, and the size of its notebook."""
    for record in records:
        topic, student = record["topic"], record["student"]
        source, path = folder.autograded(topic, student), folder.feedback(topic, student)
        if record["status"] != "graded" or not source.is_file():
            bar.update()
            continue
        notebook = source.read_text(encoding="utf-8")
        about = (counts[topic].get(student, {}), comments[topic].get(student, {}))
        if pages.is_current(_end(path), pages.digest(notebook, *about)):
            bar.update()
            continue
        yield (str(path), partial(pages.page, notebook, topic, student, *about)), len(notebook)


def _end(path: Path) -> str:
    """Return the last letters of a page; none if there is no page."""
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 200, 0))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
