"""Workers of this machine for `fan_out`: the process itself, or a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from typing import Any

from vglib.base.errors import whole_number
from vglib.course.book import ONE_THREAD

__all__ = ["Inline", "Processes"]


class Inline:
    """No other process: one task after the other, here, when its outcome is asked for."""

    at_once = 1

    def start(self) -> Executor:
        """Return an executor that runs what it is given."""
        return _InlineExecutor()

    def stop(self, executor: Executor, hurry: bool) -> str:
        """Do nothing: nothing runs."""
        return ""


class Processes:
    """Spawned processes, one thread each. They end with the process that started them, however it ends.

    Parameters
    ----------
    jobs : int
        How many.

    Raises
    ------
    ValueError, TypeError
        No positive whole number.
    """

    def __init__(self, jobs: int) -> None:
        self.at_once = whole_number("jobs", jobs, 1)

    def start(self) -> Executor:
        """Return a pool; its processes start when there is something to do."""
        return _Pool(self.at_once)

    def stop(self, executor: Executor, hurry: bool) -> str:
        """End its processes; those that are at work are killed if in a hurry."""
        # One that failed to start can be neither killed nor joined.
        started = [one for one in executor.context.started if one.pid is not None]  # type: ignore[attr-defined]
        if hurry:
            for process in started:
                process.kill()
        executor.shutdown(wait=True, cancel_futures=True)
        for process in started:
            process.join()
        # The pool itself ends with SIGTERM what a death has left over.
        codes = {process.exitcode for process in started} - {0, -signal.SIGTERM}
        return ", ".join(f"signal {-code}" if code < 0 else f"exit status {code}" for code in sorted(codes))


class _InlineExecutor(Executor):
    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except (Exception, SystemExit) as error:  # as in a process of its own; Ctrl-C is for all
            future.set_exception(error)
        return future


class _Recording(SpawnContext):
    """Starts processes and knows them: a pool keeps its own to itself, so that nobody else can end them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def Process(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - its name there
        process = multiprocessing.get_context("spawn").Process(*args, **kwargs)
        self.started.append(process)
        return process


class _Pool(ProcessPoolExecutor):
    def __init__(self, jobs: int) -> None:
        self.context = _Recording()
        super().__init__(jobs, mp_context=self.context, initializer=_begin)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        # A process may start here, and libraries read the environment when they load.
        with _one_thread():
            return super().submit(_guarded, function, *args, **kwargs)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    """Begin a worker: Ctrl-C is for the process that gave the order, and without it the worker ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _guarded(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function; raise what can be unpickled, since what cannot would break the pool."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - it was made here
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise
