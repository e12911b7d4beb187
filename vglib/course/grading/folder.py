"""An instructor's course folder: where marks lie, who may see what, and nothing that is written by halves.

    COURSE/
      grading.toml        limits and gradebook, if they are to differ; the only file an instructor edits
      gradebook.db        nbgrader's gradebook (unless it lies in another database)
      records/            one JSON file a submission: what it earned; the gradebook can be made again from it
      autograded/         rebuilt notebooks with marks, as nbgrader's formgrader shows them
      feedback/           one page a submission, for the learner
      source/, release/   what was released: formgrader lists the topics that it finds there
      grades.csv          one line a submission;  tasks.csv: one line a task
      secret              the seed of the hidden inputs
      nbgrader_config.py  tells nbgrader where all this is;  exchange/: an empty folder that it asks for

Nobody but the instructor may look into it: marks are nobody else's business.
There is no ``submitted`` folder on purpose: nbgrader's own button *autograde* would run what lies there
without a sandbox.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError
from vglib.course.grading import records
from vglib.course.grading.configured import configured
from vglib.course.grading.limits import Limits

__all__ = ["Folder", "write"]

_NBGRADER = '''"""Read by nbgrader and its formgrader. Written by: python -m vglib grade"""

c = get_config()  # noqa: F821
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = {course!r}
c.CourseDirectory.db_url = {url!r}
# Nothing is exchanged with students through this machine; without a folder formgrader complains.
c.Exchange.root = {exchange!r}
# nbgrader's own autograder runs strangers' code with your rights: here it refuses to.
c.Autograde.sanitize_preprocessors = ["vglib.course.grading.refusal.Refusal"]
c.Autograde.autograde_preprocessors = ["vglib.course.grading.refusal.Refusal"]
'''
_SUFFIX = ".new"


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
        if path.exists() and not path.is_dir():
            raise CannotRunError(f"the course folder {path} is a file: choose another with --course")
        limits, found = configured(path / "grading.toml")
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CannotRunError(f"cannot make the course folder {path}: {error.strerror}") from None
        # What is typed is meant from where it is typed; what stands in the folder, from there.
        if url:
            return cls(path, limits, _absolute(url, Path.cwd()))
        return cls(path, limits, _absolute(found or "sqlite:///gradebook.db", path))

    def secret(self) -> int:
        """Return the seed of the hidden inputs, drawn once for the course."""
        path = self.path / "secret"
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            text = str(secrets.randbits(62))
            write(path, f"{text}\n", mode=0o600)
        except ValueError:
            text = ""
        if not (text.isdecimal() and len(text) < 20):
            raise CannotRunError(f"{path} is damaged; delete it to draw another seed")
        return int(text)

    def configure_nbgrader(self, course: str) -> None:
        """Write what nbgrader reads to find the gradebook and the notebooks."""
        exchange = self.path / "exchange"
        exchange.mkdir(exist_ok=True)
        about = {"root": str(self.path), "course": course, "url": self.url, "exchange": str(exchange)}
        write(self.path / "nbgrader_config.py", _NBGRADER.format(**about), mode=0o600)

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
            yield records.read(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second grader out of the folder; sweep up what one that was killed has left half written.

        Raises
        ------
        CannotRunError
            One is at work in it, or nobody can work in it.
        """
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(open(self.path / ".lock", "w", encoding="utf-8"))
            except OSError as error:
                raise CannotRunError(f"cannot write into {self.path}: {error.strerror}") from None
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotRunError(f"another grader is at work in {self.path}") from None
            for path in self.path.rglob(f".*{_SUFFIX}"):
                with contextlib.suppress(OSError):
                    path.unlink()
            yield


def _absolute(url: str, base: Path) -> str:
    """Return the URL of a database that is the same for nbgrader, wherever that is started."""
    kind, found, file = url.partition(":///")
    if not found or not kind.startswith("sqlite") or file.startswith("/"):
        return url
    if not file or file.startswith(":memory:"):
        raise CannotRunError(f"the gradebook {url} would be gone at the end of the run: name a file")
    return f"{kind}:///{base.resolve() / file}"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file as a whole or not at all, also when the machine stops half way.

    Raises
    ------
    OSError
        With the name of the file, which the system's own error does not always have.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=_SUFFIX)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
