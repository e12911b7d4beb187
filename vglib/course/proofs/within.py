"""A judgement with a hard limit of time, for proofs from strangers.

The work of a proof is counted (`vglib.course.proofs.arithmetic`), so that nearly always it ends by itself, at
the same place each time. What is not counted, such as one call of SymPy that never returns, is ended from
outside: the judgement runs in another process, which is killed. That works in any thread, and in processes
that may use no signals and have no children of `multiprocessing`. The process is kept for the next proof,
since most of its start is importing SymPy.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from vglib.course.proofs.reading import MAX_STEPS, parts
from vglib.course.proofs.report import Report, Verdict
from vglib.course.proofs.theorems import find

__all__ = ["judge_within"]

START = 60.0  # seconds that a process may take until it is ready, on a busy machine
GRACE = 2.0  # so much later it ends by itself if nobody is left to kill it
MAX_USES = 100  # proofs that one process judges


def judge_within(theorem: str, plain: object, seconds: float = 5.0) -> Report:
    """Judge a proof that comes as plain lists from a process that is not trusted, within some time.

    Parameters
    ----------
    theorem
        Its name.
    plain
        What `vglib.course.proofs.read` gave there: a list of ``[tree, rule, uses]``. Anything else is looked
        at and refused, too.
    seconds
        Limit of the judgement, by the clock; an honest proof takes a few tenths of a second. Starting the
        first process, about half a second, is not counted.

    Returns
    -------
    Report
        Not passed if the time is over; the message says so. Whatever `plain` holds is no reason to raise.

    Raises
    ------
    ValueError
        There is no such theorem, or `seconds` is no positive number.
    ImportError
        SymPy is missing.
    RuntimeError
        The other process cannot be started: nothing is known about the proof.
    """
    find(theorem)
    if type(seconds) not in (int, float) or not 0 < seconds < 1e6:
        raise ValueError(f"seconds must be a positive number; got {seconds!r:.60}")
    if type(plain) is not list or not 0 < len(plain) <= MAX_STEPS:
        return Report(theorem, (), f"the proof: a list of 1 to {MAX_STEPS} steps is wanted.")
    steps = []
    for number, item in enumerate(plain, 1):
        try:
            steps.append(parts(item, number))
        except ValueError as error:
            return Report(theorem, (), f"step {number}: {error}.")
    request = json.dumps([theorem, steps, seconds + GRACE])
    judge = _take()
    answer = judge.ask(request, seconds)
    if answer is None and not judge.late and judge.uses > 1:
        # It has died, perhaps of what came before: this proof gets a fresh one.
        judge = _Judge()
        answer = judge.ask(request, seconds)
    if answer is None:
        what = f"stopped after {seconds:g} s" if judge.late else "the checker ran out of memory or failed"
        return Report(
            theorem,
            (),
            f"{what}: this proof is too much to check. Take smaller steps, and say by their numbers which "
            "earlier steps each of them uses.",
        )
    _give_back(judge)
    verdicts, message = answer
    return Report(theorem, tuple(Verdict(*verdict) for verdict in verdicts), message)


def _code() -> str:
    root = str(Path(__file__).resolve().parents[3])
    # Never the folder that somebody happens to be in: it may hold a sympy.py of its own.
    paths = [root, *(path for path in sys.path if os.path.isabs(path) and path != root)]
    return f"import sys; sys.path[:] = {paths!r}; from vglib.course.proofs.child import main; main()"


class _Judge:
    """A process that judges one proof after another.

    Raises
    ------
    ImportError
        SymPy is missing.
    RuntimeError
        It does not start.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("sympy") is None:
            raise ImportError('a proof is checked with SymPy: pip install "vglib[proofs]"')
        # One order of sets and one thread, so that the same proof always takes the same way.
        settings = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.uses, self.late = 0, False
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _code()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | settings,
            text=True,
            encoding="ascii",
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A thread listens, since not every system can wait for a pipe and a clock at once.
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        if self._answer(START) != "ready":
            self.stop()
            raise RuntimeError(f"a process that checks proofs does not start: {sys.executable}")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, request: str, seconds: float) -> Any:
        """Hand over a proof and return the answer; without one in time, end the process and return None."""
        self.uses += 1
        assert self.process.stdin is not None
        answer = None
        try:
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{request}\n")
                self.process.stdin.flush()
                answer = self._answer(seconds)
        finally:  # on Ctrl-C, too
            if answer is None:
                self.stop()
        return answer

    def _answer(self, seconds: float) -> Any:
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            self.late = True
            return None
        return json.loads(line) if line.endswith("\n") else None

    def stop(self) -> None:
        """End it now, whatever it does."""
        self.process.kill()
        self.process.wait()
        # A process that was forked meanwhile may hold the pipe open; closing would wait for the listener.
        self.listener.join(1)
        for pipe in (self.process.stdin, None if self.listener.is_alive() else self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


class _Idle:
    """The processes that wait for a proof."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.judges: list[_Judge] = []


_idle = _Idle()
_inherited: list[_Judge] = []


def _forget() -> None:
    """Leave the processes to the parent: two that talk to one would get each other's answers."""
    global _idle
    for judge in _idle.judges:
        judge.process.returncode = 0  # nothing to wait for here
        _inherited.append(judge)
    _idle = _Idle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@atexit.register
def _close() -> None:
    while _idle.judges:
        _idle.judges.pop().stop()


def _take() -> _Judge:
    with _idle.lock:
        judge = _idle.judges.pop() if _idle.judges else None
    return judge or _Judge()


def _give_back(judge: _Judge) -> None:
    if judge.uses >= MAX_USES:
        judge.stop()
        return
    with _idle.lock:
        _idle.judges.append(judge)
