"""Marks in nbgrader's gradebook: its database is where instructors look, correct and export."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from vglib.course.checkout import CannotRunError

__all__ = ["COURSE", "Gradebook", "hidden", "mismatched"]

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
        with _quiet_grammars():
            from nbgrader.api import Gradebook as NbGraderBook
            from nbgrader.api import InvalidEntry, MissingEntry
        from sqlalchemy.exc import SQLAlchemyError

        # A server that does not answer must not hold up everybody for minutes.
        os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
        # nbgrader logs what it raises, with the way it came; here it becomes a message.
        logging.getLogger("tornado.application").addFilter(_not_of_nbgrader)
        try:
            with _version_found_here():
                book = NbGraderBook(url, COURSE)
        except (SQLAlchemyError, InvalidEntry, ImportError) as error:
            raise CannotRunError(f"cannot open the gradebook at {hidden(url)}: {_first(error)}") from None
        try:
            yield cls(book)
        except (SQLAlchemyError, InvalidEntry, MissingEntry) as error:
            raise CannotRunError(
                "stopped, and all marks so far are kept: "
                f"the gradebook at {hidden(url)} failed: {_first(error)}"
            ) from None
        finally:
            with contextlib.suppress(SQLAlchemyError):
                book.close()

    def prepare(self, topic: str, released: Mapping[str, Any]) -> None:
        """See to it that the gradebook knows a topic and its cells as they are released.

        Raises
        ------
        CannotRunError
            Marks are there, and the release has other tasks than they are for.
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
        changed = {cell.name for cell in notebook.grade_cells} ^ graded
        if changed and notebook.submissions:
            raise CannotRunError(
                f"the gradebook has marks for other tasks than {topic} has now "
                f"({', '.join(sorted(changed))}): use another course folder (--course) for a changed release"
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
            student: {name: one["automatic"] for name, one in grades.items()}
            for student, grades in self.scores(topic).items()
        }

    def scores(self, topic: str) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Return what counts, by student and graded cell: automatic scores, or an instructor's instead.

        A cell comes with ``score``, which counts, ``automatic``, and ``by_hand``: did somebody change it?
        """
        from nbgrader.api import Grade

        columns = (Grade.score, Grade.auto_score, Grade.manual_score, Grade.extra_credit)
        found: dict[str, dict[str, Mapping[str, Any]]] = {}
        for student, name, score, automatic, manual, extra in self._of_topic(topic, Grade, *columns):
            by_hand = manual is not None or bool(extra)
            one = {"score": score or 0.0, "automatic": automatic, "by_hand": by_hand}
            found.setdefault(student, {})[name] = one
        return found

    def comments(self, topic: str) -> dict[str, dict[str, str]]:
        """Return instructors' comments by student and cell."""
        from nbgrader.api import Comment

        found: dict[str, dict[str, str]] = {}
        for student, name, comment in self._of_topic(topic, Comment, Comment.manual_comment):
            if comment is not None:
                found.setdefault(student, {})[name] = comment
        return found

    def _of_topic(self, topic: str, kind: Any, *columns: Any) -> list[Any]:
        """Return student, cell and columns of all grades, or comments, of a topic as they are now."""
        from nbgrader import api

        # Colleagues may be at work in it: nothing is remembered from before, and no lock is kept behind.
        self._book.db.commit()
        rows = (
            self._book.db.query(api.Student.id, api.BaseCell.name, *columns)
            .select_from(kind)
            .join(api.BaseCell, api.BaseCell.id == kind.cell_id)
            .join(api.SubmittedNotebook, api.SubmittedNotebook.id == kind.notebook_id)
            .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
            .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            .join(api.Student, api.Student.id == api.SubmittedAssignment.student_id)
            .filter(api.Assignment.name == topic)
            .all()
        )
        self._book.db.commit()
        return rows


@contextlib.contextmanager
def _version_found_here() -> Iterator[None]:
    """Let nbgrader find the version of its tables in this process.

    It would start a command for it, ``alembic``, which need not be on the path and takes longer than to grade
    five submissions.
    """
    from nbgrader import api

    def version() -> str:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        with api._temp_alembic_ini("sqlite://") as settings:
            return str(ScriptDirectory.from_config(Config(settings)).get_current_head())

    before, api.get_alembic_version = api.get_alembic_version, version
    try:
        yield
    finally:
        api.get_alembic_version = before


@contextlib.contextmanager
def _quiet_grammars() -> Iterator[None]:
    """Do without a module that compiles grammars of internet addresses when it is loaded.

    That takes as long as ten submissions, for a check of formats that no notebook has; whoever would load it
    does without when it is missing.
    """
    name = "rfc3987_syntax"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


def _not_of_nbgrader(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Rolling back session due to database error")


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def hidden(url: str) -> str:
    """Return a database URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        # No URL; what may be a password is not repeated all the same.
        return repr(re.sub(r":[^@]*@", ":***@", url))


def mismatched(records: Sequence[Mapping[str, Any]], stored: Mapping[str, Mapping[str, float]]) -> list[Any]:
    """Return the records of a topic whose marks are not in the gradebook: a grader was killed in between."""
    missing = []
    for record in records:
        scores = {f"{mark['task']}-check": mark["score"] for mark in record["marks"]}
        if dict(stored.get(record["student"], {})) != scores:
            missing.append(record)
    return missing
