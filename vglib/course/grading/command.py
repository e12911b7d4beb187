"""The command ``grade``: a folder of submissions in, marks, pages and tables out."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError, require
from vglib.course.checks.topic import NAMES
from vglib.course.fan_out import fan_out
from vglib.course.grading import export, feedback, pages, records, summary
from vglib.course.grading.bounded import cut, graded
from vglib.course.grading.collect import Found, collect
from vglib.course.grading.folder import Folder, write
from vglib.course.grading.grade import Job, Result
from vglib.course.grading.gradebook import COURSE, Gradebook, mismatched
from vglib.course.grading.intake import Refused, Submission, parse, read, rebuild
from vglib.course.grading.options import Options, must_be_apart
from vglib.course.grading.parts import parts
from vglib.course.grading.released import released
from vglib.course.grading.sandbox import SandboxError
from vglib.course.grading.syscalls import FilterError
from vglib.version import __version__

__all__ = ["run"]

# A page and a notebook are small; a disk with less than this is as good as full.
_FREE = 64 * 2**20


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
    require("grading", "latex2mathml", "nbgrader", "nbconvert", "tqdm")
    submissions = options.submissions.resolve()
    if not submissions.is_dir():
        raise CannotRunError(f"there is no folder {submissions}")
    must_be_apart(options)
    folder = Folder.open(options.course, url=options.url)
    try:
        found = collect(submissions, NAMES)
    except OSError as error:
        raise CannotRunError(f"cannot read the folder {submissions}: {error.strerror}") from None
    if options.only:
        found = [one for one in found if one.topic in options.only or not one.topic]
    with folder.alone():
        free = shutil.disk_usage(folder.path).free
        if free < _FREE:
            raise CannotRunError(
                f"nothing is graded: the disk of {folder.path} has {free / 2**20:.0f} MB left"
            )
        try:
            return _Grading(options, folder).all(found)
        except OSError as error:
            raise CannotRunError(f"stopped, and all marks so far are kept: {error}") from None


@dataclass
class _Todo:
    """A submission that is to be graded."""

    found: Found
    digest: str
    submission: Submission
    job: Job
    handed_in: str


class _Grading:
    def __init__(self, options: Options, folder: Folder) -> None:
        self.options, self.folder = options, folder
        self.secret = folder.secret()
        self.released: dict[str, dict[str, Any]] = {}
        self.digests: dict[str, Any] = {}  # of what the marks of a topic depend on besides a submission
        self.remarks: dict[tuple[str, str], str] = {}
        self.graded = self.kept = self.bad = 0

    def all(self, found: Sequence[Found]) -> int:
        from tqdm import tqdm

        # All of them are read before anything is done: a damaged one stops the run here.
        before = [one for one in self.folder.records() if one["status"] == "graded"]
        self.folder.configure_nbgrader(COURSE)
        with Gradebook.opened(self.folder.url) as book:
            known = {one["topic"] for one in before if one["topic"] in (self.options.only or NAMES)}
            for topic in sorted(known | {one.topic for one in found if one.topic}):
                self._prepare(topic, book)
                # A grader that was killed in between had not brought these there.
                of_topic = [one for one in before if one["topic"] == topic]
                for record in mismatched(of_topic, book.automatic(topic)):
                    book.store(record)
            with tqdm(desc="grading", total=len(found), unit="notebook", disable=None) as bar:
                wrong = [one for one in found if one.problem]
                for one in wrong:
                    self._refuse(one, one.problem, bar)
                    bar.update()
                for one in wrong:
                    self._note(one)
                for batch in parts(self._admitted([one for one in found if not one.problem], bar)):
                    self._grade(batch, book, bar)
            self._finish(book)
        return 1 if self.bad else 0

    def _prepare(self, topic: str, book: Gradebook) -> None:
        notebook = self.released[topic] = released(self.options.exercises, topic)
        book.prepare(topic, notebook)
        about = json.dumps(notebook, sort_keys=True).encode()
        self.digests[topic] = hashlib.sha256(b"\0".join([__version__.encode(), about, b""]))
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        # Formgrader lists the topics that it finds among the sources.
        for stage in ("source", "release"):
            write(self.folder.path / stage / topic / f"{topic}.ipynb", text)

    def _admitted(self, found: Sequence[Found], bar: Any) -> Iterator[tuple[_Todo, int]]:
        """Yield what is to be graded, and its size."""
        for one in found:
            todo = self._taken(one, bar)
            if todo is None:
                bar.update()
            else:
                yield todo, sum(len(item.source) for item in todo.submission.items)

    def _taken(self, one: Found, bar: Any) -> _Todo | None:
        """Let a submission in, or say why not."""
        released = self.released[one.topic]
        try:
            data, handed_in = _read(one.path)
            # Whoever hands in again gets other inputs, and what was right under others is looked at again.
            whole = self.digests[one.topic].copy()
            whole.update(data)
            digest = whole.hexdigest()
            if not self.options.again and self._is_kept(one, digest):
                return None
            submission = rebuild(released, parse(data))
        except Refused as refused:
            self._refuse(one, str(refused), bar)
            self._note(one)
            return None
        seed = (self.secret, int(digest[:15], 16))
        unsafe = self.options.unsafe
        job = Job(one.topic, submission.items, submission.spoilt, seed, self.folder.limits, unsafe)
        return _Todo(one, digest, submission, job, handed_in)

    def _is_kept(self, one: Found, digest: str) -> bool:
        """Return whether this very submission has been graded."""
        path = self.folder.record(one.topic, one.student)
        # nbgrader's own autograder takes the notebook away before it is refused.
        if not (path.is_file() and self.folder.autograded(one.topic, one.student).is_file()):
            return False
        record = records.read(path)
        if record["digest"] != digest or record["status"] != "graded":
            return False
        # What was refused beside it may have come in the meantime, or gone.
        self._note(one)
        self.kept += 1
        return True

    def _refuse(self, one: Found, why: str, bar: Any) -> None:
        """Say that something is not graded."""
        self.bad += 1
        bar.write(summary.refusal(one, why), file=sys.stdout)
        key, reason = (one.topic, one.student), f"{one.file}: {why}"
        self.remarks[key] = "; ".join(filter(None, [self.remarks.get(key), reason]))

    def _note(self, one: Found) -> None:
        """Write down what was said of a student's topic. What was earned before stays earned."""
        if not one.topic:
            return
        path = self.folder.record(one.topic, one.student)
        before = records.read(path) if path.is_file() else None
        earned = before is not None and before["status"] == "graded"
        record = before if earned else records.make(one.student, one.topic, one.file)
        record = {**record, "reason": self.remarks.get((one.topic, one.student), "")}
        if record != before:
            write(path, records.dump(record))

    def _grade(self, batch: Sequence[_Todo], book: Gradebook, bar: Any) -> None:
        todo = {f"{one.found.student}/{one.found.topic}": one for one in batch}
        tasks = {name: partial(graded, one.job) for name, one in todo.items()}
        with closing(fan_out(tasks, self.options.workers)) as outcomes:
            for outcome in outcomes:
                one, error = todo.pop(outcome.key), outcome.error
                bar.update()
                if isinstance(error, SandboxError | FilterError):
                    raise CannotRunError(
                        f"stopped, and all marks so far are kept: {error}\nSee: python -m vglib grade --probe"
                    )
                if isinstance(error, OSError):
                    # A submission's own are caught where it runs: this one is the machine's.
                    raise error
                if error is not None:
                    why = cut(f"{type(error).__name__}: {error}", 400)
                    self._refuse(one.found, f"the grader failed: {why}", bar)
                    self._note(one.found)
                    continue
                self._keep(one, outcome.value, book)
                bar.write(summary.line(one.found, outcome.value), file=sys.stdout)

    def _keep(self, one: _Todo, result: Result, book: Gradebook) -> None:
        """Write down what was earned. The record comes first: the gradebook can be made again from it."""
        topic, student = one.found.topic, one.found.student
        notebook = json.dumps(pages.graded_notebook(one.submission.items, result), ensure_ascii=False)
        write(self.folder.autograded(topic, student), notebook + "\n")
        record = records.make(
            student,
            topic,
            one.found.file,
            digest=one.digest,
            handed_in=one.handed_in,
            reason=self.remarks.get((topic, student), ""),
            result=result,
            notes=one.submission.notes,
        )
        write(self.folder.record(topic, student), records.dump(record))
        book.store(record)
        self.graded += 1

    def _finish(self, book: Gradebook) -> None:
        """Write tables and pages for all that is in the folder."""
        found = list(self.folder.records())
        topics = sorted({record["topic"] for record in found})
        counts: Mapping[str, Any] = {topic: book.scores(topic) for topic in topics}
        write(self.folder.path / "grades.csv", export.grades(found, counts))
        write(self.folder.path / "tasks.csv", export.tasks(found, counts))
        if self.options.feedback:
            comments = {topic: book.comments(topic) for topic in topics}
            failed = feedback.make(self.folder, self.options.workers, found, counts, comments)
            for line in failed:
                print(f"no page {line}", file=sys.stderr)
            self.bad += len(failed)
        print(summary.table(found, counts))
        print(f"\n{self.graded} graded now, {self.kept} before, {self.bad} not graded")
        print(f"marks: {self.folder.path / 'grades.csv'}")
        if self.options.feedback:
            print(f"pages: {self.folder.path / 'feedback'}")


def _read(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a submission and the time of its file.

    Raises
    ------
    Refused
        Whatever is wrong with it: no learner's file may stop the others from being graded.
    """
    try:
        data = read(path)
        seconds = path.lstat().st_mtime
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    if not data.strip():
        raise Refused("it is empty")
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # a file's time may be any number
        when = datetime.fromtimestamp(0, UTC)
    return data, when.isoformat(timespec="seconds")
