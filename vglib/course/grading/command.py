"""The command ``grade``: a folder of submissions in, marks, pages and tables out."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError, require
from vglib.course.checks.topic import NAMES
from vglib.course.fan_out import Workers, fan_out
from vglib.course.grading import export, pages
from vglib.course.grading.collect import Found, collect
from vglib.course.grading.folder import Folder, read_record, write
from vglib.course.grading.grade import Job, Result, grade
from vglib.course.grading.gradebook import COURSE, Gradebook, mismatched
from vglib.course.grading.intake import Refused, Submission, parse, read, rebuild
from vglib.course.grading.sandbox import SandboxError, exposed
from vglib.course.release import blank
from vglib.version import __version__

__all__ = ["Options", "run"]

SCHEMA = 1
# So many bytes of submissions are held at a time, however many there are.
_BATCH = 32 * 2**20
# A page and a notebook are small; a disk with less than this is as good as full.
_FREE = 64 * 2**20


@dataclass(frozen=True)
class Options:
    """What an instructor asked for.

    Attributes
    ----------
    submissions, course, exercises : Path
        Folders: what was handed in, where the marks go, the exercises with solutions.
    workers : Workers
        Where submissions are graded.
    url : str or None
        Of the gradebook.
    only : tuple of str
        Topics; all if empty.
    again : bool
        Grade also what has been graded.
    feedback : bool
        Make pages for the learners.
    unsafe : bool
        Run strangers' code without a sandbox.
    """

    submissions: Path
    course: Path
    exercises: Path
    workers: Workers
    url: str | None = None
    only: tuple[str, ...] = ()
    again: bool = False
    feedback: bool = True
    unsafe: bool = False


def run(options: Options) -> int:
    """Grade what has not been graded, and write pages and tables.

    Returns
    -------
    int
        0 if everything was graded, 1 if something was refused or failed.

    Raises
    ------
    CannotRunError
        Nothing, or nothing more, can be graded here; the message says why and what to do.
    """
    require("grading", "nbgrader", "nbconvert", "tqdm")
    submissions = options.submissions.resolve()
    if not submissions.is_dir():
        raise CannotRunError(f"there is no folder {submissions}")
    folder = Folder.open(options.course, url=options.url)
    _must_be_apart(submissions, folder.path, options)
    released = {topic: _released(options.exercises, topic) for topic in options.only or NAMES}
    found = collect(submissions, NAMES)
    if options.only:
        found = [one for one in found if one.problem or one.topic in options.only]
    with folder.alone():
        _must_have_room(folder.path)
        grading = _Grading(options, folder, released)
        try:
            return grading.all(found)
        except OSError as error:
            raise CannotRunError(f"stopped, and all marks so far are kept: {error}") from None


def _released(exercises: Path, topic: str) -> dict[str, Any]:
    path = exercises / f"{topic}.ipynb"
    try:
        return blank(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CannotRunError(f"cannot read the exercises of {topic}: {error}") from None
    except (ValueError, KeyError) as error:
        raise CannotRunError(f"{path} is no exercise notebook: {error}") from None


def _must_be_apart(submissions: Path, course: Path, options: Options) -> None:
    if submissions == course or submissions in course.parents:
        raise CannotRunError(f"the course folder {course} must not lie among the submissions")
    if options.unsafe:
        return
    for path in (submissions, course, options.exercises):
        folder = exposed(path)
        if folder is not None:
            raise CannotRunError(
                f"{path} lies in {folder}, which submissions can read in the sandbox: move it elsewhere"
            )


def _must_have_room(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < _FREE:
        raise CannotRunError(f"nothing is graded: the disk of {path} has {free / 2**20:.0f} MB left")


@dataclass
class _Todo:
    """A submission that is to be graded."""

    found: Found
    digest: str
    submission: Submission
    job: Job
    handed_in: str


class _Grading:
    def __init__(self, options: Options, folder: Folder, released: Mapping[str, dict[str, Any]]) -> None:
        self.options, self.folder, self.released = options, folder, released
        self.secret = folder.secret()
        self.bad: list[str] = []
        self.graded = self.kept = 0

    def all(self, found: Sequence[Found]) -> int:
        from tqdm import tqdm

        self.folder.configure_nbgrader(COURSE)
        with Gradebook.opened(self.folder.url) as book:
            for topic in sorted({one.topic for one in found if not one.problem}):
                book.prepare(topic, self.released[topic])
                path = self.folder.path / "release" / topic / f"{topic}.ipynb"
                write(path, json.dumps(self.released[topic], indent=1, ensure_ascii=False) + "\n")
            self._catch_up(book, found)
            with tqdm(desc="grading", total=len(found), unit="notebook", disable=None) as bar:
                for batch in self._batches(found, bar):
                    self._grade(batch, book, bar)
            self._finish(book)
        return 1 if self.bad else 0

    def _catch_up(self, book: Gradebook, found: Sequence[Found]) -> None:
        """Bring marks to the gradebook that a grader, killed at that moment, had not brought there."""
        for topic in sorted({one.topic for one in found if not one.problem}):
            records = [
                one for one in self.folder.records() if one["topic"] == topic and one["status"] == "graded"
            ]
            for record in mismatched(records, book.automatic(topic)):
                book.store(record)

    def _batches(self, found: Sequence[Found], bar: Any) -> Iterator[list[_Todo]]:
        """Yield what is to be graded, in parts that fit into memory."""
        batch: list[_Todo] = []
        size = 0
        for one in found:
            todo = self._taken(one, bar)
            if todo is None:
                bar.update()
                continue
            batch.append(todo)
            size += sum(len(item.source) for item in todo.submission.items)
            if size > _BATCH:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _taken(self, one: Found, bar: Any) -> _Todo | None:
        """Let a submission in, or say why not."""
        if one.problem:
            return self._refuse(one, one.problem, bar)
        try:
            data = read(one.path)
            # Whoever hands in again gets other inputs, and what was right under others is looked at again.
            about = json.dumps(self.released[one.topic], sort_keys=True).encode()
            digest = hashlib.sha256(b"\0".join([__version__.encode(), about, data])).hexdigest()
            path = self.folder.record(one.topic, one.student)
            if path.is_file() and not self.options.again:
                record = read_record(path)
                if record["digest"] == digest and record["status"] == "graded":
                    self.kept += 1
                    return None
            submission = rebuild(self.released[one.topic], parse(data))
        except Refused as refused:
            return self._refuse(one, str(refused), bar)
        seed = (self.secret, int(digest[:15], 16))
        job = Job(
            one.topic, submission.items, submission.spoilt, seed, self.folder.limits, self.options.unsafe
        )
        handed_in = datetime.fromtimestamp(one.path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        return _Todo(one, digest, submission, job, handed_in)

    def _refuse(self, one: Found, why: str, bar: Any) -> None:
        self.bad.append(f"{one.path}: {why}")
        bar.write(f"{one.student:<24} {one.topic:<16} not graded: {why}", file=sys.stdout)
        if one.topic not in self.released:
            return
        path = self.folder.record(one.topic, one.student)
        before = read_record(path) if path.is_file() else {"status": "refused"}
        if before["status"] == "graded":
            # What was earned stays earned; the table says that there is something newer.
            before["reason"] = f"{one.path.name} was refused: {why}"
            write(path, json.dumps(before, indent=1, ensure_ascii=False) + "\n")
        else:
            self._record(one, "", "refused", why, handed_in="")

    def _record(
        self,
        one: Found,
        digest: str,
        status: str,
        reason: str = "",
        *,
        handed_in: str,
        result: Result | None = None,
        notes: Iterable[str] = (),
    ) -> dict[str, Any]:
        record = {
            "schema": SCHEMA,
            "student": one.student,
            "topic": one.topic,
            "file": one.path.name,
            "digest": digest,
            "handed_in": handed_in,
            "status": status,
            "reason": reason,
            "marks": [asdict(mark) for mark in result.marks] if result else [],
            "reports": result.reports if result else [],
            "notes": list(notes),
            "version": __version__,
        }
        path = self.folder.record(one.topic, one.student)
        write(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return record

    def _grade(self, batch: Sequence[_Todo], book: Gradebook, bar: Any) -> None:
        todo = {f"{one.found.student}/{one.found.topic}": one for one in batch}
        tasks = {name: partial(grade, one.job) for name, one in todo.items()}
        with closing(fan_out(tasks, self.options.workers)) as outcomes:
            for outcome in outcomes:
                one = todo.pop(outcome.key)
                bar.update()
                if isinstance(outcome.error, SandboxError):
                    raise CannotRunError(f"{outcome.error}\nSee: python -m vglib grade --probe")
                if outcome.error is not None:
                    why = f"the grader failed: {type(outcome.error).__name__}: {outcome.error}"
                    self._refuse(one.found, why, bar)
                    continue
                self._keep(one, outcome.value, book)
                bar.write(_line(one.found, outcome.value), file=sys.stdout)

    def _keep(self, one: _Todo, result: Result, book: Gradebook) -> None:
        """Write down what was earned. The record comes first: the gradebook can be made again from it."""
        topic, student = one.found.topic, one.found.student
        notebook = json.dumps(pages.graded_notebook(one.submission.items, result), ensure_ascii=False)
        write(self.folder.autograded(topic, student), notebook + "\n")
        record = self._record(
            one.found,
            one.digest,
            "graded",
            handed_in=one.handed_in,
            result=result,
            notes=one.submission.notes,
        )
        book.store(record)
        self.graded += 1

    def _finish(self, book: Gradebook) -> None:
        """Write tables and pages for all that is in the folder."""
        records = list(self.folder.records())
        topics = sorted({record["topic"] for record in records})
        counts = {topic: book.scores(topic) for topic in topics}
        write(self.folder.path / "grades.csv", export.grades(records, counts))
        write(self.folder.path / "tasks.csv", export.tasks(records, counts))
        if self.options.feedback:
            self._feedback(records, counts, {topic: book.comments(topic) for topic in topics})
        print(_summary(records, counts))
        print(f"\n{self.graded} graded now, {self.kept} before, {len(self.bad)} not graded")
        print(f"marks: {self.folder.path / 'grades.csv'}")
        if self.options.feedback:
            print(f"pages: {self.folder.path / 'feedback'}")

    def _feedback(self, records: Sequence[Mapping[str, Any]], counts: Any, comments: Any) -> None:
        from tqdm import tqdm

        failed = []
        with tqdm(desc="feedback", total=len(records), unit="page", disable=None) as bar:
            for tasks in self._pages(records, counts, comments, bar):
                with closing(fan_out(tasks, self.options.workers)) as outcomes:
                    for outcome in outcomes:
                        bar.update()
                        if outcome.error is None:
                            write(Path(outcome.key), outcome.value)
                        else:
                            error = outcome.error
                            failed.append(f"{outcome.key}: {type(error).__name__}: {error}")
        for line in failed:
            print(f"no page {line}", file=sys.stderr)
        self.bad += failed

    def _pages(
        self, records: Sequence[Mapping[str, Any]], counts: Any, comments: Any, bar: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield tasks that make the pages which are missing or out of date, in parts that fit into memory."""
        tasks: dict[str, Any] = {}
        size = 0
        for record in records:
            topic, student = record["topic"], record["student"]
            source, path = self.folder.autograded(topic, student), self.folder.feedback(topic, student)
            if record["status"] != "graded" or not source.is_file():
                bar.update()
                continue
            notebook = source.read_text(encoding="utf-8")
            about = (counts[topic].get(student, {}), comments[topic].get(student, {}))
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
            if pages.is_current(before, pages.digest(notebook, *about)):
                bar.update()
                continue
            tasks[str(path)] = partial(pages.page, notebook, topic, student, *about)
            size += len(notebook)
            if size > _BATCH:
                yield tasks
                tasks, size = {}, 0
        if tasks:
            yield tasks


def _line(one: Found, result: Result) -> str:
    score, points = (sum(getattr(mark, name) for mark in result.marks) for name in ("score", "points"))
    line = f"{one.student:<24} {one.topic:<16} {score:>5g} of {points:g}"
    return f"{line}   {'; '.join(result.reports)}" if result.reports else line


def _summary(records: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    """Return a table: students down, topics across; what was not graded is no number."""
    if not records:
        return "There are no submissions."
    topics = sorted({record["topic"] for record in records}, key=list(NAMES).index)
    cells: dict[str, dict[str, str]] = {}
    for record in records:
        text = "not graded"
        if record["status"] == "graded":
            found = counts[record["topic"]].get(record["student"], {})
            score = sum(one["score"] for one in found.values())
            text = f"{score:g}/{sum(mark['points'] for mark in record['marks']):g}"
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
