"""Marks in nbgrader's gradebook: its database is where instructors look, correct and export."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError

__all__ = ["COURSE", "Gradebook"]

COURSE = "vanishing-gradients"


class Gradebook:
    """The gradebook of a course; use `opened`.

    Parameters
    ----------
    book
        nbgrader's own.
    """

    def __init__(self, book: Any) -> None:
        self._book = book

    @classmethod
    @contextlib.contextmanager
    def opened(cls, url: str) -> Iterator[Gradebook]:
        """Open the gradebook at a database URL, which is made where there is none.

        Raises
        ------
        CannotRunError
            The database cannot be reached or written.
        """
        from nbgrader.api import Gradebook as NbGraderBook
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with _commands_of_this_python():
                book = NbGraderBook(url, COURSE)
        except (SQLAlchemyError, ImportError) as error:
            reason = str(error).splitlines()[0][:300]
            raise CannotRunError(f"cannot open the gradebook at {_without_password(url)}: {reason}") from None
        try:
            yield cls(book)
        except SQLAlchemyError as error:
            reason = str(error).splitlines()[0][:300]
            raise CannotRunError(f"the gradebook at {_without_password(url)} failed: {reason}") from None
        finally:
            book.close()

    def prepare(self, topic: str, released: Mapping[str, Any]) -> None:
        """See to it that the gradebook knows a topic and its cells as they are released.

        Raises
        ------
        CannotRunError
            Marks are there for cells that the release no longer has.
        """
        from nbgrader.api import MissingEntry

        book = self._book
        book.update_or_create_assignment(topic)
        book.update_or_create_notebook(topic, topic)
        cells = [cell for cell in released["cells"] if "nbgrader" in cell["metadata"]]
        graded = {
            cell["metadata"]["nbgrader"]["grade_id"]
            for cell in cells
            if cell["metadata"]["nbgrader"]["grade"]
        }
        notebook = book.find_notebook(topic, topic)
        gone = {cell.name for cell in notebook.grade_cells} - graded
        if gone and notebook.submissions:
            raise CannotRunError(
                f"the gradebook has marks for {', '.join(sorted(gone))}, which {topic} no longer has: "
                "use another course folder (--course) for a changed release"
            )
        for cell in cells:
            marks = cell["metadata"]["nbgrader"]
            name, where = marks["grade_id"], (topic, topic)
            source = {"cell_type": cell["cell_type"], "source": "".join(cell["source"])}
            book.update_or_create_source_cell(name, *where, locked=marks["locked"], **source)
            try:
                if marks["grade"]:
                    found = book.find_grade_cell(name, *where)
                    if (found.max_score, found.cell_type) != (float(marks["points"]), cell["cell_type"]):
                        found.max_score, found.cell_type = float(marks["points"]), cell["cell_type"]
                        book.db.commit()
                elif marks["solution"]:
                    book.find_solution_cell(name, *where)
            except MissingEntry:
                if marks["grade"]:
                    about = {"max_score": float(marks["points"]), "cell_type": cell["cell_type"]}
                    book.add_grade_cell(name, *where, **about)
                else:
                    book.add_solution_cell(name, *where)

    def store(self, record: Mapping[str, Any]) -> None:
        """Store what a submission earned; an instructor's own marks and comments stay."""
        from sqlalchemy.exc import SAWarning

        book, topic, student = self._book, record["topic"], record["student"]
        with warnings.catch_warnings():
            # nbgrader builds a submission part by part, which SQLAlchemy remarks on.
            warnings.simplefilter("ignore", SAWarning)
            book.update_or_create_student(student)
            when = datetime.fromisoformat(record["handed_in"])
            submission = book.update_or_create_submission(topic, student, timestamp=when)
        scores = {f"{mark['task']}-check": mark["score"] for mark in record["marks"]}
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                grade.auto_score = scores.get(grade.name, 0.0)
                # A mark that an instructor gave before is to be looked at again, as nbgrader does it.
                grade.needs_manual_grade = grade.manual_score is not None
        book.db.commit()

    def automatic(self, topic: str) -> dict[str, dict[str, float]]:
        """Return the stored automatic scores of a topic by student and cell."""
        return {
            student: {name: score.auto_score for name, score in grades.items()}
            for student, grades in self._grades(topic).items()
        }

    def scores(self, topic: str) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Return what counts, by student and graded cell: automatic scores, or an instructor's instead."""
        return {
            student: {name: {"score": one.score, "manual": one.manual_score} for name, one in grades.items()}
            for student, grades in self._grades(topic).items()
        }

    def comments(self, topic: str) -> dict[str, dict[str, str]]:
        """Return instructors' comments by student and cell."""
        from nbgrader import api

        rows = (
            self._book.db.query(api.Student.id, api.BaseCell.name, api.Comment)
            .select_from(api.Comment)
            .join(api.BaseCell, api.BaseCell.id == api.Comment.cell_id)
            .join(api.SubmittedNotebook, api.SubmittedNotebook.id == api.Comment.notebook_id)
            .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
            .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            .join(api.Student, api.Student.id == api.SubmittedAssignment.student_id)
            .filter(api.Assignment.name == topic, api.Comment.manual_comment.is_not(None))
        )
        found: dict[str, dict[str, str]] = {}
        for student, name, comment in rows:
            found.setdefault(student, {})[name] = comment.manual_comment
        return found

    def _grades(self, topic: str) -> dict[str, dict[str, Any]]:
        from nbgrader import api

        rows = (
            self._book.db.query(api.Student.id, api.BaseCell.name, api.Grade)
            .select_from(api.Grade)
            .join(api.BaseCell, api.BaseCell.id == api.Grade.cell_id)
            .join(api.SubmittedNotebook, api.SubmittedNotebook.id == api.Grade.notebook_id)
            .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
            .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            .join(api.Student, api.Student.id == api.SubmittedAssignment.student_id)
            .filter(api.Assignment.name == topic)
        )
        found: dict[str, dict[str, Any]] = {}
        for student, name, grade in rows:
            found.setdefault(student, {})[name] = grade
        return found


@contextlib.contextmanager
def _commands_of_this_python() -> Iterator[None]:
    """Put the commands installed beside this Python on the path: nbgrader calls alembic by its name."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(url)


def mismatched(records: Sequence[Mapping[str, Any]], stored: Mapping[str, Mapping[str, float]]) -> list[Any]:
    """Return the records of a topic whose marks are not in the gradebook: a grader was killed in between."""
    missing = []
    for record in records:
        scores = {f"{mark['task']}-check": mark["score"] for mark in record["marks"]}
        if dict(stored.get(record["student"], {})) != scores:
            missing.append(record)
    return missing
