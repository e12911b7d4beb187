"""Many tasks on many workers: results as they come, lost tasks again, nothing left running.

A task is a callable without arguments under a key, and may be run more than once: a worker can die after it
has done the work and before it has said so. What is handed to another process is pickled, so that a task is a
function of a module, or a `functools.partial` of one.

Where tasks run is a matter of `Workers`. Those of a cluster fit in as well: Dask's
``Client(address).get_executor(pure=False)`` is an executor as `start` has to return.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["LostTaskError", "Outcome", "Workers", "fan_out"]

Task = Callable[[], Any]
# So often may a worker die over a task that has all of them to itself.
DEATHS = 2


class LostTaskError(Exception):
    """A task that ended the process it ran in."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a task.

    Attributes
    ----------
    key : str
    value
        What it returned.
    error : BaseException or None
        What it raised, or `LostTaskError`.
    """

    key: str
    value: Any = None
    error: BaseException | None = None


class Workers(Protocol):
    """Where tasks run: `vglib.course.workers` has those of this machine."""

    at_once: int
    """How many tasks to hand over at a time."""

    def start(self) -> Executor:
        """Return a fresh executor; one whose workers died raises `BrokenExecutor` and is replaced."""

    def stop(self, executor: Executor, hurry: bool) -> str:
        """End all of its workers, at once if in a hurry; return what is known about those that died."""


def fan_out(tasks: Mapping[str, Task], workers: Workers) -> Iterator[Outcome]:
    """Run all tasks and yield what came of each, as it comes.

    When a worker dies, the tasks that were running are run again, one at a time, which tells the one that did
    it from the others. One that kills its worker then as well is given up; the others go on.

    Whoever stops asking, by an exception or Ctrl-C, should close the iterator (`contextlib.closing`): that
    ends the workers at once.

    Parameters
    ----------
    tasks : mapping of str to callable
    workers : Workers

    Yields
    ------
    Outcome

    Raises
    ------
    TypeError
        `tasks` is no mapping to callables.
    """
    if not isinstance(tasks, Mapping):
        raise TypeError(f"tasks must be a mapping from keys to callables; got {type(tasks).__name__}")
    for key, task in tasks.items():
        if not callable(task):
            raise TypeError(f"tasks must be a mapping from keys to callables; {key!r} has {task!r}")
    return _fan_out(tasks, workers)


def _fan_out(tasks: Mapping[str, Task], workers: Workers) -> Iterator[Outcome]:
    waiting: deque[str] = deque(tasks)
    suspects: deque[str] = deque()
    deaths = dict.fromkeys(tasks, 0)
    running: dict[Future[Any], str] = {}
    executor: Executor | None = None
    try:
        while waiting or suspects or running:
            executor = executor or workers.start()
            # With suspects about, what runs is let to end; then they go one at a time.
            source, limit = (suspects, 1) if suspects else (waiting, workers.at_once)
            broken = _submit(tasks, source, limit, executor, running)
            alone = len(running) == 1
            done = wait(running, return_when=FIRST_COMPLETED).done
            broken = broken or any(isinstance(future.exception(), BrokenExecutor) for future in done)
            lost = []
            # When an executor breaks, all that it was given ends.
            for future in list(running) if broken else done:
                error = future.exception()
                key = running.pop(future)
                if isinstance(error, BrokenExecutor):
                    lost.append(key)
                else:
                    yield Outcome(key, None if error else future.result(), error)
            if not broken:
                continue
            how = workers.stop(executor, hurry=True)
            executor = None
            for key in lost:
                deaths[key] += alone
                if deaths[key] < DEATHS:
                    suspects.append(key)
                else:
                    yield Outcome(key, error=LostTaskError(_obituary(key, how)))
    finally:
        if executor is not None:
            workers.stop(executor, hurry=bool(running))


def _submit(
    tasks: Mapping[str, Task],
    source: deque[str],
    limit: int,
    executor: Executor,
    running: dict[Future[Any], str],
) -> bool:
    """Hand over tasks up to the limit; return whether the executor turned out to be broken."""
    while source and len(running) < limit:
        try:
            running[executor.submit(tasks[source[0]])] = source[0]
        except BrokenExecutor:
            return True
        source.popleft()
    return False


def _obituary(key: str, how: str) -> str:
    return (
        f"task {key}: its process died {DEATHS} times while no other task ran{f' ({how})' if how else ''}. "
        "Signal 9 often means that memory ran out"
    )
