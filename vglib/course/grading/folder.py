"""An instructor's course folder: where marks lie, who may see what, and nothing that is written by halves.

    COURSE/
      grading.toml        limits and gradebook, if they are to differ; the only file an instructor edits
      gradebook.db        nbgrader's gradebook (unless it lies in another database)
      records/            one JSON file a submission: what it earned; the gradebook can be made again from it
      autograded/         rebuilt notebooks with marks, as nbgrader's formgrader shows them
      feedback/           one page a submission, for the learner
      release/            what was released
      grades.csv          one line a submission;  tasks.csv: one line a task
      secret              the seed of the hidden inputs
      nbgrader_config.py  tells nbgrader where all this is

There is no ``submitted`` folder on purpose: nbgrader's own button *autograde* would run what lies there
without a sandbox.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError
from vglib.course.grading.limits import Limits

__all__ = ["Folder", "write"]

_NBGRADER = '''"""Read by nbgrader and its formgrader. Written by: python -m vglib grade"""

c = get_config()  # noqa: F821
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = {course!r}
c.CourseDirectory.db_url = {url!r}
# nbgrader's own autograder runs strangers' code with your rights: here it refuses to.
c.Autograde.sanitize_preprocessors = ["vglib.course.grading.refusal.Refusal"]
c.Autograde.autograde_preprocessors = ["vglib.course.grading.refusal.Refusal"]
'''


@dataclass(frozen=True)
class Folder:
    """A course folder; `open` makes one.

    Attributes
    ----------
    path : Path
    limits : Limits
        What a submission may use.
    url : str
        Of the gradebook, as SQLAlchemy writes it.
    """

    path: Path
    limits: Limits
    url: str

    @classmethod
    def open(cls, path: Path, *, url: str | None = None) -> Folder:
        """Return the folder with what its ``grading.toml`` says; make it where there is none.

        Parameters
        ----------
        path
            Where it is.
        url
            Of the gradebook; that of ``grading.toml``, or a file in the folder, by default.

        Raises
        ------
        CannotRunError
            The configuration is damaged, or the folder cannot be made. Nothing is graded then.
        """
        path = path.resolve()
        limits, configured = _configured(path / "grading.toml")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotRunError(f"cannot make the course folder {path}: {error.strerror}") from None
        return cls(path, limits, url or configured or f"sqlite:///{path / 'gradebook.db'}")

    def secret(self) -> int:
        """Return the seed of the hidden inputs, drawn once for the course."""
        path = self.path / "secret"
        if not path.is_file():
            write(path, f"{secrets.randbits(62)}\n", mode=0o600)
        text = path.read_text(encoding="utf-8").strip()
        if not text.isdecimal():
            raise CannotRunError(f"{path} is damaged; delete it to draw another seed")
        return int(text)

    def configure_nbgrader(self, course: str) -> None:
        """Write what nbgrader reads to find the gradebook and the notebooks."""
        text = _NBGRADER.format(root=str(self.path), course=course, url=self.url)
        write(self.path / "nbgrader_config.py", text, mode=0o600)

    def record(self, topic: str, student: str) -> Path:
        """Return the file of what a submission earned."""
        return self.path / "records" / topic / f"{student}.json"

    def autograded(self, topic: str, student: str) -> Path:
        """Return the notebook that nbgrader shows."""
        return self.path / "autograded" / student / topic / f"{topic}.ipynb"

    def feedback(self, topic: str, student: str) -> Path:
        """Return the learner's page."""
        return self.path / "feedback" / student / topic / f"{topic}.html"

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield all records, by topic and student.

        Raises
        ------
        CannotRunError
            One of them is damaged.
        """
        for path in sorted((self.path / "records").glob("*/*.json")):
            yield read_record(path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second grader out of the folder.

        Raises
        ------
        CannotRunError
            One is at work in it.
        """
        with open(self.path / ".lock", "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotRunError(f"another grader is at work in {self.path}") from None
            yield


def read_record(path: Path) -> dict[str, Any]:
    """Return what a submission earned."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["topic"], record["student"], record["digest"], record["marks"]
    except (ValueError, KeyError, TypeError):
        raise CannotRunError(f"{path} is damaged; delete it to grade that submission again") from None
    return record


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file as a whole or not at all, also when the machine stops half way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _configured(path: Path) -> tuple[Limits, str | None]:
    """Return limits and the gradebook's URL from a file; what is not in it keeps its default."""
    limits = Limits()
    if not path.exists():
        return limits, None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotRunError(f"{path} cannot be read, so nothing is graded: {error}") from None
    unknown = set(found) - {"limits", "gradebook"}
    if unknown:
        raise CannotRunError(f"{path}: unknown {', '.join(sorted(unknown))}; limits and gradebook are known")
    kinds = {one.name: type(getattr(limits, one.name)) for one in fields(limits)}
    wanted = found.get("limits", {})
    if not isinstance(wanted, dict):
        raise CannotRunError(f"{path}: limits must be a table: [limits]")
    for name, value in wanted.items():
        if name not in kinds:
            raise CannotRunError(f"{path}: unknown limit {name}; known are {', '.join(kinds)}")
        if type(value) not in (int, float) or not 0 < value < 2**50:
            raise CannotRunError(f"{path}: limit {name} must be a positive number; got {value!r}")
    url = found.get("gradebook")
    if not isinstance(url, str | None):
        raise CannotRunError(f"{path}: gradebook must be a database URL as text; got {url!r}")
    return replace(limits, **{name: kinds[name](value) for name, value in wanted.items()}), url
