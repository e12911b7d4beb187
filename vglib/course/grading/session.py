"""A learner's notebook at work in a sandbox: cells go in, calls of its functions come out."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from vglib.course.grading.limits import Limits
from vglib.course.grading.sandbox import Sandbox, SandboxError
from vglib.course.guest import FLOOD, FRAME
from vglib.course.wire import WireError, pack, unpack

__all__ = ["Session", "Stopped"]

_CODE = "from vglib.course.guest import main; main(FD, {limits!r})"
_WATCH = 0.05  # seconds between two looks


class Stopped(Exception):  # noqa: N818 - the submission was stopped, the grader is well
    """The sandbox is gone; the text says why.

    Attributes
    ----------
    kind : str
        ``"time"``, ``"total"``, ``"memory"``, ``"output"``, ``"died"`` or ``"protocol"``.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, str(self))


class Session:
    """A sandbox with a learner's names in it. Close it, or use it in a `with` statement.

    Parameters
    ----------
    limits
        What may be used.
    until
        When all must be over, on the clock of `time.monotonic`.
    unsafe
        Without a sandbox.

    Raises
    ------
    SandboxError
        The sandbox does not start: a matter of this machine, not of the submission.
    """

    def __init__(self, limits: Limits, until: float = float("inf"), *, unsafe: bool = False) -> None:
        self.limits, self._until = limits, until
        self._numbers, self._why, self._deadline = 0, None, float("inf")
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        self._closed = threading.Event()
        hard = {} if unsafe else limits.hard()
        try:
            self._sandbox = Sandbox(_CODE.format(limits=hard), limits, theirs.detach(), unsafe=unsafe)
        except BaseException:
            self._connection.close()
            raise
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        try:
            with self._within(limits.start, "start", ends=False):
                self._receive(0)
        except Stopped as stopped:
            said = self.close()
            raise SandboxError(f"the sandbox did not start: {said or stopped}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """The outermost process of the sandbox."""
        return self._sandbox.process.pid

    def cell(self, source: str) -> tuple[bool, str]:
        """Run a cell; return whether it ended without an error, and what it printed.

        Raises
        ------
        Stopped
            The sandbox is gone.
        """
        with self._within(self.limits.cell, "a cell"):
            number = self._next()
            self._connection.send_bytes(pack({"op": "cell", "id": number, "source": source}))
            about = self._receive(number)
            if type(about.get("ok")) is not bool:
                raise WireError("no word on whether the cell went well")
            return about["ok"], about["text"]

    def send(self, request: bytes) -> bytes:
        """Carry a request of `vglib.course.calling.Call` to the learner's functions, and the reply back.

        Raises
        ------
        Stopped
            The sandbox is gone.
        """
        with self._within(self.limits.call, "a call"):
            number = self._next()
            self._connection.send_bytes(pack({"op": "call", "id": number}))
            self._connection.send_bytes(request)
            self._receive(number)
            return self._connection.recv_bytes(FRAME)

    def close(self) -> str:
        """End the sandbox with all that runs in it; return what it said if it did not start."""
        self._closed.set()
        said = self._sandbox.end()
        self._watch.join()
        self._connection.close()
        return said

    def _next(self) -> int:
        # Nobody inside can know it beforehand, so an answer cannot lie ready.
        self._numbers = int.from_bytes(os.urandom(6), "big")
        return self._numbers

    def _receive(self, number: int) -> dict[str, Any]:
        about = unpack(self._connection.recv_bytes(2**20))
        if type(about) is not dict or about.get("id") != number:
            raise WireError("an answer to a question that was not asked")
        if number and type(about.get("text")) is not str:
            raise WireError("no word on what was printed")
        return about

    @contextmanager
    def _within(self, seconds: float, what: str, *, ends: bool = True) -> Iterator[None]:
        """Bound the time of an exchange; whatever goes wrong in it ends the sandbox and is told as `Stopped`."""
        self._limit, self._what = seconds, what
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except (EOFError, OSError, WireError) as error:
            self._sandbox.kill()
            status = self._sandbox.process.wait()
            stopped = self._stopped(error, status)
            if ends:
                self.close()
            raise stopped from None
        finally:
            self._deadline = float("inf")

    def _stopped(self, error: Exception, status: int) -> Stopped:
        if self._why is not None:
            return self._why
        if status == FLOOD:
            return Stopped("output", "printed more than any reader would read")
        if isinstance(error, WireError) or "bad message length" in str(error):
            return Stopped("protocol", f"sent the grader something that no exercise sends ({error})")
        return Stopped("died", "its process ended, as by os._exit, a crash, or for want of memory")

    def _look(self) -> None:
        """Watch time and memory, and end the sandbox when there is too much of either."""
        while not self._closed.wait(_WATCH):
            now = time.monotonic()
            if now > self._until:
                self._why = Stopped("total", f"the submission took more than {self.limits.total:g} s in all")
            elif now > self._deadline:
                self._why = Stopped("time", f"{self._what} took more than {self._limit:g} s")
            elif self._sandbox.memory() > self.limits.memory:
                most = self.limits.memory / 2**30
                self._why = Stopped("memory", f"used more than {most:.3g} GiB of memory")
            else:
                continue
            self._sandbox.kill()
            return
