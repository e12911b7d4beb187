"""One submission: its cells run in a sandbox, its checks run here, and marks come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vglib.course.calling import Call, CheckFailed
from vglib.course.checks import find
from vglib.course.grading.intake import Item
from vglib.course.grading.limits import Limits
from vglib.course.grading.session import Session, Stopped, shown

__all__ = ["Job", "Mark", "Result", "grade"]

MAX_PRINTED = 500_000  # characters, of all items
MAX_TEXT = 4_000  # of a mark
MAX_REPLAYS = 2


@dataclass(frozen=True)
class Job:
    """A submission to be graded; it can be sent to another machine.

    Attributes
    ----------
    topic : str
    items : list of Item
    spoilt : dict of str to str
        Tasks that cannot be graded, and why.
    seed : list of int
        Of the secret inputs.
    limits : Limits
    unsafe : bool
        Without a sandbox.
    """

    topic: str
    items: Sequence[Item]
    spoilt: dict[str, str]
    seed: tuple[int, ...]
    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False


@dataclass(frozen=True)
class Mark:
    """What a task earned.

    Attributes
    ----------
    task : str
    score, points : float
        Of so many.
    text : str
        For the learner: the report, or what to look at.
    stopped : str
        What was too much, if it was stopped.
    """

    task: str
    score: float
    points: float
    text: str
    stopped: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a submission.

    Attributes
    ----------
    marks : list of Mark
        In the order of the notebook.
    printed : dict of int to str
        What the items printed, by their numbers.
    reports : list of str
        For the instructor: what was stopped, and what the checks did not understand.
    """

    marks: list[Mark]
    printed: dict[int, str]
    reports: list[str]


def grade(job: Job) -> Result:
    """Grade a submission.

    Cells run in the order of the notebook, and a task is checked where its check stands. Whatever has to be
    stopped ends the sandbox; the next one gets all cells again but that one. A task whose cell or call was
    stopped gets a second try by itself, in a sandbox without the learner's other cells: it may have been one
    of those, say a thread that ends the process a second later.

    Parameters
    ----------
    job
        What to grade.

    Raises
    ------
    SandboxError
        This machine cannot run a sandbox: nothing was graded.
    ValueError
        The release and the checks do not belong together.
    """
    return _Grading(job).run()


class _Grading:
    def __init__(self, job: Job) -> None:
        self.job, self.checks = job, find(job.topic)
        missing = {one.task for one in job.items if one.kind == "check"} - set(self.checks.tasks)
        if missing:
            raise ValueError(f"{job.topic}: there is no check for {', '.join(sorted(map(str, missing)))}")
        if not __debug__:
            raise ValueError("checks are assertions, which python -O (PYTHONOPTIMIZE) removes: do without")
        self.until = time.monotonic() + job.limits.total
        self.session: Session | None = None
        self.out: dict[int, Stopped] = {}  # items that were stopped
        self.printed: dict[int, str] = {}
        self.reports: list[str] = []
        self.replays = 0
        self.room = MAX_PRINTED

    def run(self) -> Result:
        marks = []
        try:
            for number, item in enumerate(self.job.items):
                if item.kind in ("given", "own", "answer"):
                    self._cell(number, item)
                elif item.kind == "check":
                    mark = self._mark(number, item)
                    self._keep(number, mark.text)
                    marks.append(mark)
        finally:
            self._close()
        return Result(marks, self.printed, self.reports)

    def _close(self) -> None:
        if self.session is not None:
            self.session.close()
        self.session = None

    def _over(self) -> bool:
        return time.monotonic() > self.until

    def _cell(self, number: int, item: Item) -> None:
        if self._over():
            self.out[number] = Stopped("total", "the time for the submission was over")
            return
        try:
            self._ready(number)
            self._keep(number, self.session.cell(item.source)[1])
        except Stopped as stopped:
            self._stop(number, item, stopped)

    def _stop(self, number: int, item: Item, stopped: Stopped) -> None:
        self.session = None
        self.out[number] = stopped
        self._keep(number, f"[stopped: {stopped}]")
        self.reports.append(f"cell {number + 1} ({item.task or item.kind}): {stopped}")

    def _keep(self, number: int, text: str) -> None:
        """Keep what an item printed, as long as it is not too much of all of them together."""
        self.room -= len(text)
        self.printed[number] = text if self.room >= 0 else text[:200]

    def _ready(self, number: int) -> None:
        """See to it that there is a sandbox in which the cells before this one have run."""
        while self.session is None:
            session = self._start()
            # After some replays that end before their time, what is left is the course's own cells.
            kinds = ("given", "own", "answer") if self.replays <= MAX_REPLAYS else ("given",)
            self.replays += number > 0
            self.session = session
            for earlier, item in enumerate(self.job.items[:number]):
                if item.kind not in kinds or earlier in self.out:
                    continue
                try:
                    session.cell(item.source)
                except Stopped as stopped:
                    if self._over():
                        self.session = None
                        raise
                    self._stop(earlier, item, stopped)
                    break

    def _start(self) -> Session:
        return Session(self.job.limits, self.until, unsafe=self.job.unsafe)

    def _mark(self, number: int, item: Item) -> Mark:
        task = item.task or ""
        if task in self.job.spoilt:
            return Mark(task, 0.0, item.points, self.job.spoilt[task])
        answer = next(
            (i for i, one in enumerate(self.job.items) if one.kind == "answer" and one.task == task), 0
        )
        stopped = self.out.get(answer)
        # A sandbox with the course's cells alone has no answer in it.
        bare = self.session is None and self.replays > MAX_REPLAYS
        if stopped is None and not bare and not self._over():
            try:
                self._ready(number)
                return self._checked(self.session, item)
            except Stopped as error:
                self.session = None
                self.reports.append(f"{task}: {error}")
                stopped = self.out.get(answer) or error
        if bare or self._alone_may_help(answer):
            return self._alone(answer, item, stopped)
        why = stopped or Stopped("total", "the time for the submission was over")
        return Mark(task, 0.0, item.points, f"Stopped: {why}.", why.kind)

    def _alone_may_help(self, answer: int) -> bool:
        """Return whether something else than the task's own cell may have been the reason."""
        others = [one for one in self.job.items[:answer] if one.kind in ("own", "answer")]
        return bool(others)

    def _alone(self, answer: int, item: Item, first: Stopped | None) -> Mark:
        """Check a task with the course's cells and its own."""
        try:
            with self._start() as session:
                for number, one in enumerate(self.job.items[: answer + 1]):
                    if one.kind == "given" or number == answer:
                        session.cell(one.source)
                return self._checked(session, item)
        except Stopped as stopped:
            why = stopped if first is None else first
            return Mark(item.task or "", 0.0, item.points, f"Stopped: {why}.", why.kind)

    def _checked(self, session: Session, item: Item) -> Mark:
        task = item.task or ""
        rng = self.checks.rng(task, *self.job.seed)
        try:
            # Large answers are not to be written out in full only because they are wrong.
            with np.printoptions(threshold=50):
                text = self.checks.run(task, Call(session.send), rng)
        except CheckFailed as failed:
            return Mark(task, 0.0, item.points, shown(str(failed), MAX_TEXT))
        except Stopped:
            raise
        except Exception as error:
            # Answers can be stranger than a check's author thought; they are wrong all the same.
            why = " ".join(shown(str(error), 200).split())
            self.reports.append(f"{task}: the check raised {type(error).__name__}: {why}")
            return Mark(task, 0.0, item.points, "What came back is nothing that this task could ask for.")
        return Mark(task, item.points, item.points, shown(text))
